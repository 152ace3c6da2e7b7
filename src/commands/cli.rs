//! The command line: arguments to a command and flags.
//!
//! No message here repeats an argument's value: behind `--set` it may be a secret.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::Arg;

use crate::config::faults::nearest;
use crate::secret::Secret;

/// What `--help` prints.
pub const HELP: &str = "\
A reverse-proxy sidecar that signs people in to CodeScan through Bitbucket Data Center.

Usage: codescan-oauth-proxy [COMMAND] [--config FILE] [--set SECTION.KEY=VALUE]...

Commands:
  serve        run the proxy until SIGTERM or SIGINT, then drain (also with no command)
  check        validate the settings and print those in force, or every fault
  healthcheck  ask the running program's /readyz

Flags:
  --config FILE            settings file (also CODESCAN_PROXY_CONFIG)
  --set SECTION.KEY=VALUE  set one setting; may be repeated, the last one counts
  -h, --help               print this
  -V, --version            print the version

Every setting but [codescan.headers] is also a variable: CODESCAN_PROXY_SERVER_PUBLIC_URL.
Precedence: --set, environment, file, default.
";

/// What `--version` prints.
pub const VERSION: &str = concat!("codescan-oauth-proxy ", env!("CARGO_PKG_VERSION"));

const COMMANDS: [(&str, Command); 3] =
    [("serve", Command::Serve), ("check", Command::Check), ("healthcheck", Command::Healthcheck)];

const FLAGS: [&str; 4] = ["config", "set", "help", "version"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Serve,
    Check,
    Healthcheck,
    Help,
    Version,
}

/// A command line that makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    pub command: Command,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// What followed each `--set`, in order.
    pub set: Vec<Secret>,
}

/// A command line that does not: what is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliFault(String);

impl fmt::Display for CliFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nsee codescan-oauth-proxy --help", self.0)
    }
}

impl std::error::Error for CliFault {}

/// Reads the arguments behind the program's name. `--help` and `--version` end the reading.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, CliFault> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut command = None;
    let mut config = None;
    let mut set = Vec::new();
    while let Some(argument) = parser.next().map_err(|_| CliFault(SURPLUS_VALUE.into()))? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return alone(Command::Help, &mut parser),
            Arg::Short('V') | Arg::Long("version") => {
                return alone(Command::Version, &mut parser);
            }
            Arg::Long("config") => once(&mut config, value(&mut parser, "--config FILE")?.into())?,
            Arg::Long("set") => set.push(assignment(value(&mut parser, SET)?)?),
            Arg::Value(word) if command.is_none() => command = Some(named(&word)?),
            Arg::Value(_) => return Err(CliFault("there can be one command only".into())),
            Arg::Short(letter) => return Err(CliFault(format!("-{letter} is not a flag"))),
            Arg::Long(name) => return Err(unknown_flag(name)),
        }
    }
    Ok(Invocation { command: command.unwrap_or(Command::Serve), config, set })
}

const SET: &str = "--set SECTION.KEY=VALUE";

/// What lexopt can find wrong by itself: `--flag=value` where the flag was taken without.
const SURPLUS_VALUE: &str = "a flag has a value that it does not take";

/// A flag that is a command, whatever else is there.
fn alone(command: Command, parser: &mut lexopt::Parser) -> Result<Invocation, CliFault> {
    match parser.optional_value() {
        None => Ok(Invocation { command, config: None, set: Vec::new() }),
        Some(_) => Err(CliFault(SURPLUS_VALUE.into())),
    }
}

fn value(parser: &mut lexopt::Parser, usage: &str) -> Result<OsString, CliFault> {
    let value = parser.value().ok().filter(|value| !value.is_empty());
    value.ok_or_else(|| CliFault(format!("a value is missing; write {usage}")))
}

fn once(config: &mut Option<PathBuf>, path: PathBuf) -> Result<(), CliFault> {
    match config.replace(path) {
        None => Ok(()),
        Some(_) => Err(CliFault("--config is given twice; there is one settings file".into())),
    }
}

fn assignment(value: OsString) -> Result<Secret, CliFault> {
    let text = value.into_string().map_err(|_| CliFault("a --set is not UTF-8".into()))?;
    Ok(Secret::new(text))
}

fn named(word: &OsString) -> Result<Command, CliFault> {
    let known = COMMANDS.iter().find(|(name, _)| word == name);
    known.map(|(_, command)| *command).ok_or_else(|| {
        let names = COMMANDS.map(|(name, _)| name);
        match word.to_str().and_then(|word| nearest(word, names)) {
            Some(near) => CliFault(format!("there is no such command; did you mean {near}?")),
            None => CliFault(format!("there is no such command; there are {}", names.join(", "))),
        }
    })
}

/// What looks like a setting is not repeated either: `--bitbucket.client_secret=…`.
fn unknown_flag(name: &str) -> CliFault {
    if crate::config::keys::by_path(name).is_some() {
        return CliFault(format!("--{name} is not a flag; write --set {name}=VALUE"));
    }
    match nearest(name, FLAGS) {
        Some(near) => CliFault(format!("--{name} is not a flag; did you mean --{near}?")),
        None => CliFault(format!("there is no such flag; there are --{}", FLAGS.join(", --"))),
    }
}
