//! Everything that is wrong is told in one run, with its place and a cure.

use crate::support::{assert_contains, file, needed, nothing};

/// Ten things are wrong with it, of ten kinds.
const TEN_FAULTS: &str = r#"[server]
public_url = "codescan.example.com"
listne = "0.0.0.0:8080"
header_timeout = "30 sec"
trusted_proxies = [
    "10.0.0.0/8",
    "10.0.0.0/99",
]
workers = "many"

[bitbuket]
url = "https://bitbucket.example.com"

[bitbucket]
client_id = "an id"
client_secret = "secret"
client_secret_file = "/run/secrets/client"

[codescan]
url = "http://127.0.0.1:9000/codescan"

[codescan.headers]
X-User = "{usr}"

[access]
client_tokens = "allow"
"#;

#[test]
fn a_file_with_ten_faults_is_told_all_ten_with_their_lines() {
    let faults = file(TEN_FAULTS).faults();
    let expected = [
        "settings.toml:2: server.public_url must begin with http:// or https://",
        "settings.toml:3: server.listne is not a setting; did you mean server.listen?",
        "settings.toml:4: server.header_timeout is not a duration (\"30 sec\"); write 500ms, 30s",
        "settings.toml:7: server.trusted_proxies has \"10.0.0.0/99\", which is not a network",
        "settings.toml:9: server.workers must be a whole number without quotes",
        "settings.toml:11: bitbuket is not a section; did you mean [bitbucket]?",
        "settings.toml:15: bitbucket.client_id holds a blank or a line end",
        "settings.toml:17: bitbucket.client_secret_file is set, and so is bitbucket.client_secret",
        "settings.toml:20: codescan.url must not have a path",
        "settings.toml:23: codescan.headers.X-User has an unknown placeholder {usr}; did you mean {user}?",
        "settings.toml:26: access.client_tokens must be deny or pass, not \"allow\"",
    ];
    for part in expected {
        assert_contains(&faults, part);
    }
}

#[test]
fn faults_are_told_in_the_order_of_their_places() {
    let setup = file("[log]\nlevel = \"inof\"\nformat = \"xml\"\n")
        .variable("CODESCAN_PROXY_SERVER_WORKERS", "0")
        .set("session.capacity=0");
    let faults = setup.faults();
    let places: Vec<&str> = faults.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(
        places[..4],
        ["settings.toml:2", "settings.toml:3", "CODESCAN_PROXY_SERVER_WORKERS", "--set (number 1)"]
    );
}

#[test]
fn nothing_set_names_the_five_needed_settings() {
    let faults = nothing().faults();
    assert_eq!(faults.lines().count(), 5, "{faults}");
    for key in [
        "server.public_url",
        "bitbucket.url",
        "bitbucket.client_id",
        "bitbucket.client_secret",
        "codescan.url",
    ] {
        assert_contains(&faults, &format!("{key} is not set and has no default"));
    }
    assert_contains(&faults, "CODESCAN_PROXY_BITBUCKET_CLIENT_SECRET, or the same with _file");
}

#[test]
fn check_counts_the_faults_and_exits_with_78() {
    let report = nothing().check();
    assert_eq!((report.code, report.stdout.as_str()), (78, ""));
    assert_contains(&report.stderr, "\n5 faults in the settings\n");
    let report = needed().set("session.capacity=0").check();
    assert_contains(&report.stderr, "\n1 fault in the settings\n");
}

#[test]
fn unknown_names_get_the_nearest_known_one() {
    for (assignment, near) in [
        ("server.publik_url=x", "server.public_url"),
        ("server.client_id=x", "bitbucket.client_id"),
        ("codescan.client_tokens=deny", "access.client_tokens"),
        ("bitbucket.client_secret_fil=x", "bitbucket.client_secret_file"),
        ("sesion.capacity=1", "session.capacity"),
    ] {
        assert_contains(&needed().set(assignment).fault(), &format!("did you mean {near}?"));
    }
    let fault = needed().variable("CODESCAN_PROXY_BITBUCKET_CLIENTID", "x").fault();
    assert_contains(&fault, "did you mean CODESCAN_PROXY_BITBUCKET_CLIENT_ID?");
    let fault = needed().variable("CODESCAN_PROXY_CONFIGURATION_OF_EVERYTHING", "x").fault();
    assert_contains(&fault, "docs/settings.md lists all");
}

#[test]
fn a_setting_outside_a_section_is_told_its_section() {
    let faults = file("client_id = \"abc\"\nnonsense = 1\n").faults();
    assert_contains(
        &faults,
        "settings.toml:1: client_id stands outside a section; put it under [bitbucket]",
    );
    assert_contains(
        &faults,
        "settings.toml:2: nonsense stands outside a section and is not a setting",
    );
    assert_contains(
        &file("server = 3\n").faults(),
        "settings.toml:1: server is a section; write [server]",
    );
}

#[test]
fn a_file_that_is_not_toml_is_told_its_lines_and_what_else_is_certain() {
    let faults = file("[server]\nlisten = oops\nworkers = \"x\"\nidle_timeout = \"1\"\n").faults();
    assert_contains(&faults, "settings.toml:2: is not TOML: string values must be quoted");
    assert_contains(&faults, "settings.toml:3: server.workers must be a whole number");
    assert_contains(&faults, "settings.toml:4: server.idle_timeout is not a duration");
    assert!(!faults.contains("has no default"), "what is missing may be there:\n{faults}");
}

#[test]
fn a_broken_header_leaves_only_itself_to_be_told() {
    let fault = file("[server\nurl = \"x\"\n[codescan]\nurl = \"nonsense\"\n").fault();
    assert_contains(&fault, "settings.toml:1: is not TOML");
}

#[test]
fn a_name_set_twice_is_a_fault_of_the_second() {
    let faults = file("[log]\nlevel = \"info\"\nlevel = \"debug\"\n").faults();
    assert_contains(&faults, "settings.toml:3: is not TOML: duplicate key");
}

#[test]
fn a_settings_file_that_is_not_there_is_a_fault() {
    let fault = nothing().config("missing.toml").fault();
    assert_eq!(fault, "--config: names a settings file that does not exist (missing.toml)");
    let fault = nothing().variable("CODESCAN_PROXY_CONFIG", "gone.toml").fault();
    assert_contains(&fault, "CODESCAN_PROXY_CONFIG: names a settings file that does not exist");
    let fault = nothing().file("latin.toml", b"# \xe4").config("latin.toml").fault();
    assert_contains(&fault, "is not UTF-8 text");
}

#[test]
fn files_that_settings_name_must_be_readable() {
    for key in ["bitbucket.ca_file", "codescan.ca_file", "bitbucket.proxy_url_file"] {
        let fault = needed().set(&format!("{key}=/run/missing.pem")).fault();
        assert_contains(
            &fault,
            &format!("{key} names a file that does not exist (/run/missing.pem)"),
        );
    }
    let good = needed().file("/run/ca.pem", "pem").set("codescan.ca_file=/run/ca.pem").loaded();
    assert!(good.watched_files.contains(&"/run/ca.pem".into()));
}
