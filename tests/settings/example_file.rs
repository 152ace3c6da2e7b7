//! config/codescan-oauth-proxy.toml works as it is, and with every line of it in force.

use codescan_oauth_proxy::config::keys::KEYS;

use crate::support::file;

const EXAMPLE: &str = include_str!("../../config/codescan-oauth-proxy.toml");

/// `#name = value` is a setting; `# text` is a comment.
fn uncommented() -> String {
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ");
    let lines = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if is_setting(line) => setting,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_works() {
    let loaded = file(EXAMPLE).loaded();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn the_example_works_with_every_setting_in_force() {
    let loaded = file(&uncommented()).loaded();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn its_comments_show_the_defaults() {
    let plain = file(EXAMPLE).loaded();
    let full = file(&uncommented()).loaded();
    for (plain, full) in plain.effective.iter().zip(&full.effective) {
        let varies = plain.key == "server.workers"
            || full.shown_value == "\"\""
            || full.shown_value == "****";
        assert!(
            varies || plain.shown_value == full.shown_value,
            "{}: {}",
            full.key,
            full.shown_value
        );
    }
}

#[test]
fn it_names_every_setting() {
    for key in KEYS {
        assert!(EXAMPLE.contains(key.name()), "{} is missing", key.path);
    }
}
