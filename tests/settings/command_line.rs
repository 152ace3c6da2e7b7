//! The program itself: arguments, output, exit code.

use std::ffi::OsString;
use std::process::{Command, Output};

use codescan_oauth_proxy::commands::cli;

use crate::support::{NEEDED, assert_contains};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codescan-oauth-proxy"));
    command.args(arguments).env_clear();
    command
}

#[track_caller]
fn run(arguments: &[&str]) -> (i32, String, String) {
    said(&program(arguments).output().expect("it runs"))
}

#[track_caller]
fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn help_and_version() {
    for flag in ["--help", "-h"] {
        let (code, out, _) = run(&[flag]);
        assert_eq!(code, 0);
        assert_contains(&out, "Usage: codescan-oauth-proxy");
    }
    for arguments in [&["--version"][..], &["-V"], &["check", "--version"]] {
        let (code, out, _) = run(arguments);
        assert_eq!(
            (code, out.as_str()),
            (0, concat!("codescan-oauth-proxy ", env!("CARGO_PKG_VERSION"), "\n"))
        );
    }
}

#[test]
fn check_reads_a_real_file_and_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    std::fs::write(&path, NEEDED).expect("written");
    let path = path.to_str().expect("text");
    let (code, out, err) = run(&["check", "--config", path, "--set", "log.level=warn"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_contains(&out, &format!("{path}:2"));
    let output =
        program(&["--set=log.level=warn", "check"]).env("CODESCAN_PROXY_CONFIG", path).output();
    assert_eq!(said(&output.expect("it runs")).0, 0);
}

#[test]
fn wrong_settings_end_with_78_on_stderr() {
    let (code, out, err) = run(&["check", "--set", "log.level=inof"]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert_contains(&err, "--set (number 1): log.level has no such level");
    assert_contains(&err, "6 faults in the settings");
}

#[test]
fn a_file_without_end_is_refused() {
    let (code, _, err) = run(&["check", "--config", "/dev/zero"]);
    assert_eq!(code, 78);
    assert_contains(&err, "it is larger than 4 MiB");
    let (code, _, err) = run(&["check", "--config", "/"]);
    assert_eq!(code, 78);
    assert_contains(&err, "cannot be read");
}

#[test]
fn a_wrong_command_line_says_what_to_do_and_ends_with_78() {
    for (arguments, hint) in [
        (&["chekc"][..], "did you mean check?"),
        (&["doctor"], "there are serve, check, healthcheck"),
        (&["--confg", "x"], "did you mean --config?"),
        (&["--verbose"], "there are --config, --set"),
        (&["--bitbucket.url=x"], "write --set bitbucket.url=VALUE"),
        (&["-c", "x"], "-c is not a flag"),
        (&["--config"], "write --config FILE"),
        (&["--config="], "write --config FILE"),
        (&["--set"], "write --set SECTION.KEY=VALUE"),
        (&["--config", "a", "--config", "b"], "given twice"),
        (&["check", "check"], "one command only"),
        (&["--help=x"], "a value that it does not take"),
    ] {
        let (code, out, err) = run(arguments);
        assert_eq!((code, out.as_str()), (78, ""), "{arguments:?}");
        assert_contains(&err, hint);
        assert_contains(&err, "see codescan-oauth-proxy --help");
    }
}

#[test]
fn flags_stand_before_or_after_the_command() {
    let parse = |words: &[&str]| cli::parse(words.iter().map(OsString::from)).expect("good");
    let expected = parse(&["check", "--config", "a", "--set", "b.c=d"]);
    assert_eq!(expected.command, cli::Command::Check);
    assert_eq!(parse(&["--config=a", "check", "--set=b.c=d"]), expected);
    assert_eq!(parse(&["--set", "b.c=d", "--config", "a", "check"]), expected);
    assert_eq!(parse(&[]).command, cli::Command::Serve);
}
