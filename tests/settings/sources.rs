//! File, environment and flags: which wins, and how each is written.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use codescan_oauth_proxy::config::key::{Kind, variable};
use codescan_oauth_proxy::config::keys::spellings;
use codescan_oauth_proxy::config::{self, Loaded};

use crate::support::{COOKIE_SECRET, NEEDED, Setup, assert_contains, file, needed, nothing};

const KEY: &str = "log.level";
const VARIABLE: &str = "CODESCAN_PROXY_LOG_LEVEL";

#[track_caller]
fn shown(loaded: &Loaded, key: &str) -> (String, String) {
    let row = loaded.effective.iter().find(|row| row.key == key);
    let row = row.unwrap_or_else(|| panic!("no row of {key}"));
    (row.shown_value.clone(), row.origin.clone())
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    // in the file?, in the environment?, as a flag? → value and origin
    for (in_file, in_environment, as_flag, value, origin) in [
        (false, false, false, "info", "default"),
        (true, false, false, "warn", "settings.toml:7"),
        (false, true, false, "debug", VARIABLE),
        (true, true, false, "debug", VARIABLE),
        (true, false, true, "error", "--set (number 1)"),
        (true, true, true, "error", "--set (number 1)"),
    ] {
        let extra = if in_file { "log.level = \"warn\"" } else { "" };
        let mut setup = file(&format!("{NEEDED}{extra}"));
        if in_environment {
            setup = setup.variable(VARIABLE, "debug");
        }
        if as_flag {
            setup = setup.set("log.level=error");
        }
        assert_eq!(shown(&setup.loaded(), KEY), (value.into(), origin.into()));
    }
}

#[test]
fn the_last_flag_of_a_setting_counts() {
    let settings = needed().set("log.level=warn").set("log.level=debug").settings();
    assert_eq!(settings.log.level, "debug");
}

#[test]
fn the_config_flag_wins_over_its_variable() {
    let setup = needed().variable("CODESCAN_PROXY_CONFIG", "other.toml").file("other.toml", "x");
    assert_contains(&shown(&setup.loaded(), "codescan.url").1, "settings.toml:6");
    let setup = nothing().variable("CODESCAN_PROXY_CONFIG", "s.toml").file("s.toml", NEEDED);
    assert_contains(&shown(&setup.loaded(), "codescan.url").1, "s.toml:6");
}

#[test]
fn no_file_at_all_is_fine() {
    let settings = nothing()
        .variable("CODESCAN_PROXY_CONFIG", "")
        .variable("CODESCAN_PROXY_SERVER_PUBLIC_URL", "https://codescan.example.com")
        .variable("CODESCAN_PROXY_BITBUCKET_URL", "https://bitbucket.example.com")
        .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_ID", "id")
        .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET", "secret")
        .variable("CODESCAN_PROXY_CODESCAN_URL", "unix:/run/codescan.sock")
        .settings();
    assert_eq!(settings.bitbucket.client_secret.expose(), "secret");
}

/// Text that some setting of each form takes.
fn sample(path: &str, kind: Kind) -> &'static str {
    match (path, kind) {
        (_, Kind::Text) if path == "log.level" => "debug",
        ("session.store", _) => "memory",
        (_, Kind::Text) => "sample",
        ("codescan.url", _) => "http://codescan.internal:9000",
        ("bitbucket.redirect_url", _) => "https://codescan.example.com/_codescan/oauth2/authorize",
        (_, Kind::Url) => "https://sample.example.com",
        (_, Kind::Address) => "127.0.0.1:0",
        (_, Kind::Path) => "/run/sample",
        (_, Kind::Duration) => "20s",
        (_, Kind::Size) => "64KiB",
        (_, Kind::Count) => "7",
        (_, Kind::Switch) => "false",
        (_, Kind::Mode) => "0600",
        (_, Kind::OneOf(choices)) => choices[1],
        ("server.trusted_proxies", _) => "10.0.0.0/8, unix",
        ("admin.ready_needs", _) => "codescan,store",
        ("access.public" | "session.logout_routes", _) => "GET /a, /b/**",
        (_, Kind::List(_)) => "ONE,TWO",
        (_, Kind::TextOrList | Kind::Map) => COOKIE_SECRET,
    }
}

/// The needed settings, and both halves of what comes in halves.
fn complete(content: &str) -> Setup {
    needed()
        .file("/run/sample", content)
        .set("codescan.client_certificate_file=/run/sample")
        .set("codescan.client_key_file=/run/sample")
        .set("server.tls_certificate_file=/run/sample")
        .set("server.tls_key_file=/run/sample")
}

#[test]
fn every_setting_has_an_environment_name_that_works() {
    for spelled in spellings().filter(|spelled| spelled.is_settable_by_variable()) {
        let (path, key) = (spelled.path(), spelled.key);
        let name = variable(&path);
        let value = sample(&path, spelled.kind());
        let setup = complete(sample(key.path, key.kind)).variable(&name, value);
        let setup = setup.without_flag(&path);
        assert_contains(&shown(&setup.loaded(), key.path).1, &name);
    }
}

#[test]
fn no_setting_takes_nonsense() {
    for spelled in spellings().filter(|spelled| spelled.is_settable_by_variable()) {
        let path = spelled.path();
        let faults = needed().set(&format!("{path}=no \0sense")).faults();
        assert_contains(&faults, &format!("--set (number 1): {path} "));
    }
}

#[test]
fn environment_names_are_all_different() {
    let mut names: Vec<String> = spellings().map(|spelled| variable(&spelled.path())).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count);
    assert!(names.contains(&"CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET_FILE".to_owned()));
}

#[test]
fn lists_are_comma_separated_outside_the_file() {
    let scopes =
        |text: &str| needed().set(&format!("bitbucket.scopes={text}")).settings().bitbucket.scopes;
    assert_eq!(scopes("REPO_READ"), ["REPO_READ"]);
    assert_eq!(scopes(" REPO_READ , PUBLIC_REPOS "), ["REPO_READ", "PUBLIC_REPOS"]);
    let settings = needed().variable("CODESCAN_PROXY_ACCESS_PUBLIC", "").settings();
    assert!(settings.access.public.is_empty(), "an empty list replaces the default");
}

#[test]
fn a_file_variant_gives_the_trimmed_content() {
    let setup = needed()
        .file("/run/secret", "  from-the-file\n")
        .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET_FILE", "/run/secret");
    let loaded = setup.loaded();
    assert_eq!(loaded.settings.bitbucket.client_secret.expose(), "from-the-file");
    assert_eq!(
        shown(&loaded, "bitbucket.client_secret").1,
        "CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET_FILE (content of /run/secret)"
    );
    assert_eq!(
        loaded.watched_files,
        ["settings.toml", "/run/secret"].map(std::path::PathBuf::from)
    );
}

#[test]
fn a_value_overrides_a_file_variant_of_a_lower_source() {
    let text = NEEDED.replace("client_secret = \"", "client_secret_file = \"/run/");
    let settings =
        file(&text).variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET", "higher").settings();
    assert_eq!(
        settings.bitbucket.client_secret.expose(),
        "higher",
        "its missing file is not asked for"
    );
}

#[test]
fn value_and_file_variant_in_one_source_are_a_fault() {
    let faults = needed()
        .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET", "planted")
        .variable("CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET_FILE", "/run/secret")
        .file("/run/secret", "planted")
        .fault();
    assert_contains(
        &faults,
        "bitbucket.client_secret_file is set, and so is bitbucket.client_secret (CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET); leave one out",
    );
}

#[test]
fn a_list_of_cookie_secrets_can_come_from_a_file() {
    let content = format!("{COOKIE_SECRET}\n{}\n", COOKIE_SECRET.replace("MDEy", "AAAA"));
    let setup = needed().file("/run/keys", &content).set("session.cookie_secret_file=/run/keys");
    assert_eq!(setup.settings().session.cookie_secrets.len(), 2);
}

#[test]
fn variables_that_kubernetes_makes_are_ignored() {
    let mut setup = needed();
    for name in [
        "PORT",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT_8080_TCP",
        "PORT_8080_TCP_PROTO",
        "PORT_8080_TCP_PORT",
        "PORT_8080_TCP_ADDR",
        "PORT_53_UDP",
        "ADMIN_SERVICE_HOST",
        "ADMIN_SERVICE_PORT_METRICS",
        "ADMIN_PORT",
        "SERVER_PORT_9000_TCP_ADDR",
    ] {
        setup = setup.variable(&format!("CODESCAN_PROXY_{name}"), "tcp://10.0.0.1:8080");
    }
    setup.loaded();
}

#[test]
fn what_only_resembles_kubernetes_is_a_fault() {
    for name in ["PORT_HTTP", "PORT_80", "SERVICE_HOSTS", "PORT_X_TCP", "PORT_80_TCPX", "EXPORT_"] {
        let fault = needed().variable(&format!("CODESCAN_PROXY_{name}"), "x").fault();
        assert_contains(&fault, "is not a setting");
    }
}

#[test]
fn variables_of_others_are_none_of_our_business() {
    needed().variable("CODESCAN_URL", "x").variable("CODESCAN_PROXY", "x").loaded();
}

#[test]
fn a_variable_that_is_not_text_is_a_fault() {
    let mut sources = needed().sources();
    let bytes = OsString::from_vec(vec![0xff]);
    sources.environment.insert("CODESCAN_PROXY_LOG_LEVEL".into(), bytes);
    let faults = config::load(&sources).map(|_| ()).expect_err("it is wrong");
    assert_eq!(faults.to_string(), "CODESCAN_PROXY_LOG_LEVEL: log.level is not UTF-8");
}

#[test]
fn headers_are_set_in_the_file_only() {
    for assignment in ["codescan.headers=X", "codescan.headers.X-User={user}"] {
        assert_contains(&needed().set(assignment).fault(), "in the settings file only");
    }
    for name in ["CODESCAN_PROXY_CODESCAN_HEADERS", "CODESCAN_PROXY_CODESCAN_HEADERS_X"] {
        assert_contains(&needed().variable(name, "x").fault(), "in the settings file only");
    }
}

#[test]
fn check_shows_each_setting_with_its_origin() {
    let report = needed().variable(VARIABLE, "debug").on_a_terminal().check();
    assert_eq!((report.code, report.stderr.as_str()), (0, ""));
    let row = |key: &str| {
        let row = report.stdout.lines().find(|line| line.split(' ').next() == Some(key));
        row.map(|row| row.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(row("log.level").as_deref(), Some("debug CODESCAN_PROXY_LOG_LEVEL"));
    assert_eq!(row("log.format").as_deref(), Some("text default"));
    assert_eq!(row("bitbucket.client_secret").as_deref(), Some("**** settings.toml:5"));
    assert_eq!(row("bitbucket.revoke_url").as_deref(), Some("(none) default"));
    assert_eq!(row("session.cookie_secret").as_deref(), Some("(random at start) default"));
    assert_eq!(
        row("codescan.headers.Authorization").as_deref(),
        Some("Bearer {access_token} default")
    );
}
