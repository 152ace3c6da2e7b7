//! The binary run to its end, for what it says and its exit code.

use std::process::{Command, Output, Stdio};

use super::proxy::Settings;

pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command with these settings in its file.
pub fn run(settings: &Settings, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder for settings");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, settings.toml()).expect("settings are written");
    run_alone(&[arguments, &["--config", file.to_str().expect("a path of text")]].concat())
}

/// Runs a command with nothing but its arguments.
pub fn run_alone(arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_codescan-oauth-proxy"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
