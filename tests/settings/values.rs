//! Each form of value: what is taken and what is refused.

use std::time::Duration;

use codescan_oauth_proxy::config::settings::{
    ClientTokens, CodescanUrl, ListenAddress, LogFormat, ReadyNeed,
};

use crate::support::{COOKIE_SECRET, NEEDED, assert_contains, fault_of, file, needed, with};

/// Each of `texts` must be refused with a fault that names the key and says `cure`.
#[track_caller]
fn refused(key: &str, cure: &str, texts: &[&str]) {
    for text in texts {
        let fault = fault_of(&format!("{key}={text}"));
        assert_contains(&fault, &format!("--set (number 1): {key} "));
        assert_contains(&fault, cure);
    }
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let settings = needed().settings();
    let server = &settings.server;
    assert_eq!(server.listen, ListenAddress::Tcp(([0, 0, 0, 0], 8080).into()));
    assert_eq!((server.socket_mode, server.max_header_size), (0o660, 32 * 1024));
    assert_eq!(server.max_body_size, None);
    assert_eq!(server.max_connections, 10_000);
    assert_eq!(server.drain_timeout, Duration::from_secs(25));
    assert_eq!(settings.admin.listen, ([0, 0, 0, 0], 8081).into());
    assert_eq!(settings.admin.ready_needs, [ReadyNeed::Codescan]);
    assert_eq!(settings.codescan.session_cookies, ["JWT-SESSION", "XSRF-TOKEN"]);
    assert_eq!(settings.session.max_lifetime, Duration::from_hours(7 * 24));
    assert_eq!((settings.session.capacity, settings.session.per_person), (100_000, 50));
    assert!(settings.session.cookie_secrets.is_empty());
    assert_eq!(settings.access.client_tokens, ClientTokens::Deny);
    assert_eq!(settings.access.public.len(), 3);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn bitbucket_addresses_are_derived_from_its_url() {
    let bitbucket = with("bitbucket.url=https://example.com/bitbucket/").bitbucket;
    assert_eq!(bitbucket.url.as_str(), "https://example.com/bitbucket");
    assert_eq!(bitbucket.authorize_url.path(), "/bitbucket/rest/oauth2/latest/authorize");
    assert_eq!(bitbucket.token_url.path(), "/bitbucket/rest/oauth2/latest/token");
    let whoami = bitbucket.whoami_url.expect("it is asked for");
    assert_eq!(whoami.path(), "/bitbucket/rest/api/latest/application-properties");
    let redirect = "https://codescan.example.com/_codescan/oauth2/authorize";
    assert_eq!(bitbucket.redirect_url, redirect);
    assert!(bitbucket.revoke_url.is_none() && bitbucket.proxy_url.is_none());
    assert!(with("bitbucket.whoami_url=").bitbucket.whoami_url.is_none());
    let root = with("bitbucket.url=https://example.com").bitbucket;
    assert_eq!(root.token_url.as_str(), "https://example.com/rest/oauth2/latest/token");
}

#[test]
fn the_cookie_is_named_after_the_scheme() {
    let https = needed().settings().session;
    assert_eq!(
        (https.cookie_name.as_str(), https.cookie_name_is_set),
        ("__Host-codescan_session", false)
    );
    let http = with("server.public_url=http://localhost:8080").session;
    assert_eq!(http.cookie_name, "codescan_session");
    let named = with("session.cookie_name=__Host-other").session;
    assert_eq!((named.cookie_name.as_str(), named.cookie_name_is_set), ("__Host-other", true));
}

#[test]
fn workers_default_to_the_cores_allowed() {
    let cores = std::thread::available_parallelism().expect("known here");
    assert_eq!(needed().settings().server.workers, cores);
    assert_eq!(with("server.workers=3").server.workers.get(), 3);
    refused("server.workers", "from 1 to 1024", &["0", "-1", "1025", "two", "1.5", ""]);
}

#[test]
fn durations() {
    for (text, milliseconds) in
        [("500ms", 500), ("30s", 30_000), ("15m", 900_000), ("8h", 28_800_000), ("7d", 604_800_000)]
    {
        let settings = with(&format!("session.idle_timeout={text}"));
        assert_eq!(settings.session.idle_timeout, Duration::from_millis(milliseconds));
    }
    let bad = [
        "30",
        "30 s",
        "s",
        "1.5h",
        "-1s",
        "30S",
        "1h30m",
        "",
        "99999999999999999999d",
        "600000000000d",
    ];
    refused("session.idle_timeout", "write 500ms, 30s, 15m, 8h or 7d", &bad);
}

#[test]
fn durations_are_neither_nothing_nor_for_ever() {
    refused("server.header_timeout", "more than nothing", &["0s", "0ms"]);
    refused("bitbucket.timeout", "at most 24h", &["25h", "9d"]);
    refused("session.max_lifetime", "at most 400d", &["401d"]);
    refused("server.drain_timeout", "at most 1h", &["2h"]);
    let server = needed().set("server.drain_delay=0s").settings().server;
    assert!(server.drain_delay.is_zero(), "no pause is a pause too");
}

#[test]
fn sizes() {
    for (text, bytes) in
        [("1", 1), ("16KiB", 16 << 10), ("10MiB", 10 << 20), ("2GiB", 2 << 30), ("7B", 7)]
    {
        let settings = with(&format!("server.max_body_size={text}"));
        assert_eq!(settings.server.max_body_size, Some(bytes));
    }
    assert_eq!(with("server.max_body_size=0").server.max_body_size, None);
    let bad = ["10MB", "10 MiB", "KiB", "-1", "1.5MiB", "", "99999999999GiB", "10mib"];
    refused("server.max_body_size", "write 16KiB, 10MiB", &bad);
    refused("server.max_header_size", "from 4KiB to 1MiB", &["4095", "1025KiB", "0"]);
    assert_eq!(with("server.max_header_size=4KiB").server.max_header_size, 4096);
}

#[test]
fn listeners() {
    assert_eq!(
        with("server.listen=unix:/run/proxy.sock").server.listen,
        ListenAddress::Unix("/run/proxy.sock".into())
    );
    assert_eq!(
        with("server.listen=[::1]:80").server.listen,
        ListenAddress::Tcp("[::1]:80".parse().expect("an address"))
    );
    let bad =
        ["8080", ":8080", "localhost:8080", "0.0.0.0", "0.0.0.0:99999", "http://0.0.0.0:80", ""];
    refused("server.listen", "such as 0.0.0.0:8080 or [::]:8080, or unix:/path", &bad);
    refused("server.listen", "by its whole path", &["unix:", "unix:run/proxy.sock", "unix:/run/"]);
    let long = format!("unix:/{}", "x".repeat(107));
    refused("server.listen", "at most 107 bytes", &[&long]);
    refused("admin.listen", "is not an address to listen on", &["unix:/run/admin.sock", "8081"]);
}

#[test]
fn socket_modes() {
    for text in ["0660", "660", "0o660"] {
        assert_eq!(with(&format!("server.socket_mode={text}")).server.socket_mode, 0o660);
    }
    refused("server.socket_mode", "write 0660", &["0888", "rw-rw----", "01777", "", "+660", "-1"]);
    let octal = file(&format!("{NEEDED}server.socket_mode = 0o600\n")).settings();
    assert_eq!(octal.server.socket_mode, 0o600);
    let decimal = file(&format!("{NEEDED}server.socket_mode = 600\n")).fault();
    assert_contains(&decimal, "must be an octal mode in quotes");
}

#[test]
fn public_urls() {
    let url = with("server.public_url=https://Example.COM:443/tools/").server.public_url;
    assert_eq!((url.origin(), url.prefix(), url.port()), ("https://example.com", "/tools", 443));
    assert_eq!(url.at("/x"), "https://example.com/tools/x");
    let key = "server.public_url";
    refused(
        key,
        "begin with http:// or https://",
        &["example.com", "ftp://example.com", "https:example.com"],
    );
    refused(
        key,
        "user name or password",
        &["https://user@example.com", "https://user:pw@example.com"],
    );
    refused(key, "query or a fragment", &["https://example.com/?a", "https://example.com/#a"]);
    refused(
        key,
        "blanks",
        &["https://exam ple.com", " https://example.com", "https://example.com\\a", "https://a\tb"],
    );
    refused(key, "is not a URL", &["https://", "https://example.com:port", "https://[::1"]);
    refused(key, "port 0", &["https://example.com:0"]);
    refused(key, "the one that browsers go to", &["http://0.0.0.0:8080", "http://[::]"]);
    refused(
        key,
        "path prefix",
        &["https://example.com/a//b", "https://example.com/a%2fb", "https://example.com/a;b"],
    );
    refused(key, "before /_codescan/", &["https://example.com/_codescan/oauth2/authorize"]);
}

#[test]
fn codescan_urls() {
    let url = |text: &str| with(&format!("codescan.url={text}")).codescan.url;
    assert_eq!(url("unix:/run/codescan.sock"), CodescanUrl::Unix("/run/codescan.sock".into()));
    assert!(matches!(url("http://codescan"), CodescanUrl::Http { port: 80, .. }));
    assert!(matches!(url("https://codescan/"), CodescanUrl::Https { port: 443, .. }));
    let CodescanUrl::Http { authority, host, port } = url("http://[::1]:9000") else {
        panic!("http")
    };
    assert_eq!((authority.as_str(), host.as_str(), port), ("[::1]:9000", "::1", 9000));
    refused(
        "codescan.url",
        "must not have a path",
        &["http://codescan/app", "http://codescan/?a", "http://codescan/#a"],
    );
    refused("codescan.url", "http://, https:// or unix:/", &["codescan:9000", "ftp://codescan"]);
    refused("codescan.url", "whole path", &["unix:codescan.sock"]);
}

#[test]
fn bitbucket_urls() {
    refused(
        "bitbucket.url",
        "query or a fragment",
        &["https://b.example.com/?a", "https://b.example.com/#a"],
    );
    refused("bitbucket.url", "http:// or https://", &["b.example.com", "ssh://b.example.com"]);
    refused("bitbucket.token_url", "fragment", &["https://b.example.com/token#a"]);
    refused("bitbucket.redirect_url", "http:// or https://", &["/_codescan/oauth2/authorize"]);
    refused("bitbucket.redirect_url", "is empty", &[""]);
    with("bitbucket.authorize_url=https://b.example.com/authorize?audience=x");
    let proxy =
        with("bitbucket.proxy_url=http://user:pw@proxy.example.com:3128").bitbucket.proxy_url;
    assert_eq!(proxy.expect("set").expose(), "http://user:pw@proxy.example.com:3128");
    refused(
        "bitbucket.proxy_url",
        "must",
        &["proxy.example.com:3128", "http://proxy/path", "ftp://proxy"],
    );
}

#[test]
fn trusted_proxies() {
    let trusted = with("server.trusted_proxies=10.0.0.1/8,192.0.2.7,2001:db8::/32,unix")
        .server
        .trusted_proxies;
    assert!(trusted.unix);
    for address in ["10.200.0.1", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.1"] {
        assert!(trusted.contains(address.parse().expect("an address")), "{address}");
    }
    assert!(!trusted.contains("192.0.2.8".parse().expect("an address")));
    let mapped = with("server.trusted_proxies=::ffff:10.0.0.0/104").server.trusted_proxies;
    assert!(mapped.contains("10.1.2.3".parse().expect("an address")));
    refused(
        "server.trusted_proxies",
        "is not a network",
        &["10.0.0.0/33", "proxy.example.com", "10.0.0.0/8,"],
    );
}

#[test]
fn choices() {
    assert_eq!(with("access.client_tokens=pass").access.client_tokens, ClientTokens::Pass);
    refused("access.client_tokens", "must be deny or pass", &["verify", "Deny", ""]);
    refused("log.format", "must be json or text", &["xml"]);
    refused("log.access", "must be true or false", &["yes", "1", "True", ""]);
    refused("admin.ready_needs", "must be codescan or store", &["bitbucket", "codescan,redis"]);
    assert_eq!(needed().on_a_terminal().settings().log.format, LogFormat::Text);
}

#[test]
fn log_levels() {
    for text in
        ["debug", "info,hyper=debug", "off", "WARN", "codescan_oauth_proxy[request{id=a}]=trace"]
    {
        assert_eq!(with(&format!("log.level={text}")).log.level, text);
    }
    refused("log.level", "did you mean info?", &["inof", "debug,ifo"]);
    refused("log.level", "write off, error, warn", &["", "loud,verbose", "chatty"]);
    refused("log.level", "is not a filter", &["hyper=loud"]);
}

#[test]
fn counts() {
    assert_eq!(with("session.capacity=1").session.capacity, 1);
    refused("session.capacity", "from 1 to 100000000", &["0", "-5", "1e6", "100000001"]);
    refused("codescan.max_connections", "from 1 to 1000000", &["0", "many"]);
    refused("session.per_person", "from 1 to 1000000", &["0", "many"]);
}

#[test]
fn cookie_secrets() {
    let bytes = b"0123456789abcdef0123456789abcdef";
    let unpadded = COOKIE_SECRET.trim_end_matches('=');
    for text in [COOKIE_SECRET, unpadded] {
        let secrets = with(&format!("session.cookie_secret={text}")).session.cookie_secrets;
        assert_eq!(secrets[0].as_slice(), bytes);
    }
    let standard = format!("+/+/{}", &unpadded[4..]);
    let url_safe = format!("-_-_{}", &unpadded[4..]);
    let both = with(&format!("session.cookie_secret={standard},{url_safe}")).session.cookie_secrets;
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], both[1]);
    let listed =
        file(&format!("{NEEDED}session.cookie_secret = [\"{standard}\", \"{unpadded}\"]\n"));
    assert_eq!(listed.settings().session.cookie_secrets.len(), 2);
    refused("session.cookie_secret", "is empty", &[""]);
    refused("session.cookie_secret", "is not base64", &["not base64!", "MDEyMz=Q1"]);
    refused(
        "session.cookie_secret",
        "exactly 32 bytes",
        &["MDEy", &format!("MDEy{COOKIE_SECRET}")],
    );
}

#[test]
fn names_of_cookies_and_scopes() {
    refused(
        "session.cookie_name",
        "RFC 6265bis",
        &["", "a b", "a=b", "a;b", "ä", &"x".repeat(129)],
    );
    refused("codescan.session_cookies", "no cookie name", &["JWT-SESSION,", "a b"]);
    refused("bitbucket.scopes", "at least one scope", &["", " "]);
    refused(
        "bitbucket.scopes",
        "one scope an entry",
        &["REPO_READ REPO_WRITE", "\"REPO_READ\"", "a,"],
    );
}

#[test]
fn client_credentials() {
    refused("bitbucket.client_id", "holds a blank or a line end", &["an id", "id\n", " id"]);
    refused("bitbucket.client_id", "is empty", &[""]);
    refused("bitbucket.client_secret", "holds a blank or a line end", &["a secret", "secret\r"]);
    refused("bitbucket.client_secret", "not ASCII", &["sécret"]);
}

#[test]
fn the_file_wants_each_value_in_its_form() {
    for (line, expected) in [
        ("server.listen = 8080", "an address in quotes"),
        ("server.header_timeout = 10", "a duration in quotes, such as \"30s\""),
        ("server.max_header_size = true", "a size in quotes"),
        ("server.workers = \"4\"", "a whole number without quotes"),
        ("server.workers = 4.5", "a whole number without quotes"),
        ("log.access = \"true\"", "true or false without quotes"),
        ("log.level = 3", "text in quotes"),
        ("bitbucket.scopes = \"REPO_ADMIN\"", "a list of texts"),
        ("bitbucket.scopes = [\"REPO_ADMIN\", 3]", "a list of texts"),
        ("session.cookie_secret = 3", "text in quotes, or a list of texts"),
        ("codescan.headers = \"X\"", "a table of names and texts"),
        ("codescan.ca_file = []", "the path of a file in quotes"),
        ("bitbucket.revoke_url = 1979-05-27", "a URL in quotes"),
    ] {
        let fault = file(&format!("{NEEDED}{line}\n")).fault();
        let key = line.split(' ').next().unwrap_or_default();
        assert_contains(&fault, &format!("settings.toml:7: {key} must be {expected}"));
    }
}

#[test]
fn the_file_takes_plain_numbers_where_they_are_meant() {
    let text = "session.capacity = 10_000\nserver.max_body_size = 0x400\nserver.workers = 2\n";
    let settings = file(&format!("{NEEDED}{text}")).settings();
    assert_eq!(settings.session.capacity, 10_000);
    assert_eq!(settings.server.max_body_size, Some(1024));
}
