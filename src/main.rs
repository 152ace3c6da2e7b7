//! The program: arguments to a command, its result to an exit code.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use codescan_oauth_proxy::commands::cli::{self, Command, Invocation};
use codescan_oauth_proxy::commands::{check, healthcheck, serve};
use codescan_oauth_proxy::config::Sources;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => run(invocation),
        Err(fault) => say("", &format!("{fault}\n"), check::WRONG_SETTINGS),
    }
}

fn run(invocation: Invocation) -> ExitCode {
    let Invocation { command, config, set } = invocation;
    match command {
        Command::Help => say(cli::HELP, "", 0),
        Command::Version => say(&format!("{}\n", cli::VERSION), "", 0),
        Command::Check | Command::Serve | Command::Healthcheck => {
            let sources = Sources::of_process(config, set, io::stdout().is_terminal());
            let report = match command {
                Command::Serve => serve::run(&sources),
                Command::Healthcheck => healthcheck::run(&sources),
                _ => check::run(&sources),
            };
            say(&report.stdout, &report.stderr, report.code)
        }
    }
}

/// Whoever closed our output does not want to hear of it.
fn say(stdout: &str, stderr: &str, code: u8) -> ExitCode {
    let _ = io::stdout().write_all(stdout.as_bytes());
    let _ = io::stderr().write_all(stderr.as_bytes());
    ExitCode::from(code)
}
