//! Settings that are good each, but not together; and what works but is hardly meant.

use codescan_oauth_proxy::config::settings::Store;

use crate::support::{COOKIE_SECRET, assert_contains, fault_of, file, needed, with};

#[test]
fn a_drain_ends_after_its_delay() {
    let fault = fault_of("server.drain_delay=25s");
    assert_contains(
        &fault,
        "--set (number 1): server.drain_delay must be shorter than server.drain_timeout",
    );
    assert_contains(
        &fault_of("server.drain_timeout=5s"),
        "--set (number 1): server.drain_delay must be shorter",
    );
    needed().set("server.drain_delay=0s").set("server.drain_timeout=1s").loaded();
}

#[test]
fn the_admin_listener_has_an_address_of_its_own() {
    assert_contains(&fault_of("admin.listen=0.0.0.0:8080"), "is the same as server.listen");
    assert_contains(&fault_of("admin.listen=127.0.0.1:8080"), "is the same as server.listen");
    needed().set("server.listen=127.0.0.1:0").set("admin.listen=127.0.0.1:0").loaded();
    needed().set("server.listen=unix:/run/a.sock").set("admin.listen=127.0.0.1:8080").loaded();
}

#[test]
fn certificate_and_key_come_together() {
    let pem = || needed().file("/run/pem", "pem");
    let fault = pem().set("codescan.client_certificate_file=/run/pem").fault();
    assert_contains(
        &fault,
        "client_certificate_file is of no use without codescan.client_key_file",
    );
    let fault = pem().set("codescan.client_key_file=/run/pem").fault();
    assert_contains(
        &fault,
        "client_key_file is of no use without codescan.client_certificate_file",
    );
    let both = pem()
        .set("codescan.client_certificate_file=/run/pem")
        .set("codescan.client_key_file=/run/pem")
        .settings();
    assert!(both.codescan.client_key_file.is_some());
    let fault = pem().set("server.tls_certificate_file=/run/pem").fault();
    assert_contains(&fault, "tls_certificate_file is of no use without server.tls_key_file");
    let fault = pem().set("server.tls_key_file=/run/pem").fault();
    assert_contains(&fault, "tls_key_file is of no use without server.tls_certificate_file");
}

#[test]
fn the_proxy_protocol_needs_somebody_who_may_speak_it() {
    let fault = fault_of("server.proxy_protocol=true");
    assert_contains(&fault, "server.trusted_proxies must name the proxies");
    let named = needed().set("server.proxy_protocol=true").set("server.trusted_proxies=unix");
    assert!(named.settings().server.proxy_protocol);
}

#[test]
fn cookie_prefixes_need_https() {
    for name in ["__Host-codescan", "__Secure-codescan", "__host-codescan"] {
        let over = |url: &str| {
            needed()
                .set(&format!("session.cookie_name={name}"))
                .set(&format!("server.public_url={url}"))
        };
        assert_contains(&over("http://localhost:8080").fault(), "session.cookie_name has a prefix");
        over("https://codescan.example.com").loaded();
    }
}

#[test]
fn the_cookie_is_not_one_that_a_login_expires() {
    let fault = fault_of("session.cookie_name=JWT-SESSION");
    assert_contains(&fault, "is also in codescan.session_cookies");
}

#[test]
fn a_shared_store_needs_a_shared_secret() {
    let shared = || needed().set("session.store=redis://cache.example.com");
    let fault = shared().fault();
    assert_contains(&fault, "session.cookie_secret must be set where session.store is not memory");
    let loaded = shared().variable("CODESCAN_PROXY_SESSION_COOKIE_SECRET", COOKIE_SECRET).loaded();
    assert!(matches!(loaded.settings.session.store, Store::Redis(_)));
    assert!(matches!(needed().settings().session.store, Store::Memory));
    needed().set("session.store=memory").loaded();
}

#[test]
fn exchanged_credentials_are_noticed() {
    let exchanged = needed()
        .set(&format!("bitbucket.client_id={}", "ab".repeat(32)))
        .set(&format!("bitbucket.client_secret={}", "cd".repeat(16)));
    assert_contains(&exchanged.fault(), "exchange them");
    let same = needed().set("bitbucket.client_id=same").set("bitbucket.client_secret=same");
    assert_contains(&same.fault(), "is the same as bitbucket.client_secret");
}

#[test]
fn settings_that_fit_have_no_warnings() {
    assert!(needed().loaded().warnings.is_empty());
    let local = needed().set("server.public_url=http://127.0.0.1:8080").loaded();
    assert!(local.warnings.is_empty(), "{:?}", local.warnings);
}

#[test]
fn what_is_hardly_meant_is_warned_of() {
    for (assignment, warning) in [
        ("server.public_url=http://codescan.example.com", "server.public_url is http"),
        ("bitbucket.url=http://bitbucket.example.com", "bitbucket.url is http"),
        (
            "bitbucket.redirect_url=https://other.example.com/",
            "bitbucket.redirect_url is not https://codescan.example.com/_codescan/oauth2/authorize",
        ),
        ("bitbucket.client_secret=x", "bitbucket.client_secret is on the command line"),
    ] {
        let loaded = needed().set(assignment).loaded();
        assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
        assert_contains(&loaded.warnings[0], warning);
        assert_contains(&needed().set(assignment).check().stderr, &format!("warning: {warning}"));
    }
}

#[test]
fn a_redirect_url_is_kept_character_for_character() {
    let written = "https://CodeScan.example.com:443/_codescan/oauth2/authorize";
    let settings = with(&format!("bitbucket.redirect_url={written}"));
    assert_eq!(settings.bitbucket.redirect_url, written);
}

#[test]
fn combinations_are_told_beside_other_faults() {
    let faults = file("[server]\ndrain_delay = \"1m\"\nworkers = 0\n").faults();
    assert_contains(&faults, "settings.toml:2: server.drain_delay must be shorter");
    assert_contains(&faults, "settings.toml:3: server.workers");
}
