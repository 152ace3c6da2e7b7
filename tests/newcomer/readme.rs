//! Every command of the README is run, here or where the test says; every setting exists.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use codescan_oauth_proxy::config::keys;
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};
use tempfile::TempDir;

use crate::browser::Browser;
use crate::demo;
use crate::process::{PATIENCE, Running};

pub const README: &str = include_str!("../../README.md");
const CI: &str = include_str!("../../.ci/run");

/// A fenced block: what stands behind the fence, and the text.
struct Block {
    info: &'static str,
    text: String,
}

fn blocks() -> Vec<Block> {
    let parts = README.split("```").skip(1).step_by(2);
    let block = |part: &'static str| {
        let (info, text) = part.split_once('\n').unwrap();
        Block { info, text: text.to_owned() }
    };
    parts.map(block).collect()
}

fn of_kind(info: &str) -> Vec<String> {
    let found = blocks().into_iter().filter(|block| block.info == info);
    found.map(|block| block.text).collect()
}

/// The one command that is marked so.
fn command(name: &str) -> String {
    let found = of_kind(&format!("sh run={name}"));
    let [one] = found.as_slice() else { panic!("{} commands are marked {name}", found.len()) };
    one.trim().to_owned()
}

#[test]
fn every_command_is_one_that_something_runs() {
    let run_here = ["check", "serve", "healthcheck"];
    let run_elsewhere = ["demo", "tests", "build", "image", "container"];
    for block in blocks() {
        let language = block.info.split(' ').next().unwrap();
        let is_known = match language {
            "sh" => block
                .info
                .strip_prefix("sh run=")
                .is_some_and(|name| run_here.contains(&name) || run_elsewhere.contains(&name)),
            "toml" | "yaml" => true,
            _ => false,
        };
        assert!(is_known, "nothing runs the block {:?}", block.info);
    }
    assert_eq!(command("demo"), demo::COMMAND);
    for elsewhere in [command("tests"), command("build")] {
        assert!(CI.contains(&elsewhere), ".ci/run does not have {elsewhere}");
    }
    // .ci/run builds the image, and runs it, where there is an engine.
    let image = command("image").replace("codescan-oauth-proxy", "codescan-oauth-proxy:ci");
    assert!(CI.contains(&image), ".ci/run does not have {image}");
}

#[test]
fn the_container_finds_the_files_that_the_settings_name() {
    let (settings, container) = (&of_kind("toml")[0], command("container"));
    let secret = settings.lines().find_map(|line| line.strip_prefix("client_secret_file = "));
    let secret = secret.unwrap().trim_matches('"');
    assert!(container.contains(&format!("/client_secret:{secret}:ro\"")), "{container}");
    assert!(container.contains("/settings.toml:/settings.toml:ro\""), "{container}");
    assert!(container.contains("--env CODESCAN_PROXY_CONFIG=/settings.toml "), "{container}");
    let image = command("image");
    let name = image.split(' ').nth(3).unwrap();
    assert!(container.ends_with(name), "{container}");
}

/// A folder with the files that the README has one write.
fn desk(settings: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("client_secret");
    fs::write(&secret, "secret\n").unwrap();
    let settings = settings.replace("/run/secrets/client_secret", secret.to_str().unwrap());
    fs::write(folder.path().join("settings.toml"), settings).unwrap();
    folder
}

/// The command, with the binary of this build in the place of the released one.
fn shell(command: &str, folder: &Path, environment: &[(&str, String)]) -> Command {
    let binary = env!("CARGO_BIN_EXE_codescan-oauth-proxy");
    let command = command.replace("target/release/codescan-oauth-proxy", binary);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {command}")]).current_dir(folder);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CODESCAN_PROXY_")) {
        shell.env_remove(name);
    }
    shell.envs(environment.iter().map(|(name, value)| (name, value)));
    shell
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn its_settings_are_right() {
    let settings = of_kind("toml");
    for more in &settings {
        let all = if more == &settings[0] { more } else { &format!("{}\n{more}", settings[0]) };
        let desk = desk(all);
        let output = shell(&command("check"), desk.path(), &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}\n{all}", says(&output));
    }
}

#[tokio::test]
async fn its_commands_bring_somebody_to_codescan() {
    let bitbucket = Bitbucket::start(BitbucketOptions::default()).await.unwrap();
    let known = Some(bitbucket.clone());
    let codescan = CodescanOptions { bitbucket: known, ..Default::default() };
    let codescan = Codescan::start(codescan).await.unwrap();
    let (public, admin) = (free_port(), free_port());
    let public_url = format!("http://127.0.0.1:{public}");
    bitbucket.register_redirect_url(&format!("{public_url}/_codescan/oauth2/authorize"));

    let settings = of_kind("toml")[0]
        .replace("https://codescan.example.com", &public_url)
        .replace("https://bitbucket.example.com", &bitbucket.url())
        .replace("0123456789abcdef0123456789abcdef", bitbucket.client_id())
        .replace("http://127.0.0.1:9000", codescan.url());
    let desk = desk(&settings);
    fs::write(desk.path().join("client_secret"), bitbucket.client_secret()).unwrap();
    let ports = [
        ("CODESCAN_PROXY_SERVER_LISTEN", format!("127.0.0.1:{public}")),
        ("CODESCAN_PROXY_ADMIN_LISTEN", format!("127.0.0.1:{admin}")),
        ("CODESCAN_PROXY_SERVER_DRAIN_DELAY", "0s".to_owned()),
    ];

    let running = Running::start(&mut shell(&command("serve"), desk.path(), &ports));
    let began = Instant::now();
    while !shell(&command("healthcheck"), desk.path(), &ports).status().unwrap().success() {
        assert!(began.elapsed() < PATIENCE, "healthcheck never says that it is ready");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let steps = tokio::task::spawn_blocking(move || {
        let probes = of_kind("yaml").concat();
        for path in probes.split("path: ").skip(1).map(|rest| rest.split(',').next().unwrap()) {
            let page = Browser::default().open(&format!("http://127.0.0.1:{admin}{path}"));
            assert_eq!(page.status, 200, "{path}");
        }
        let page = Browser::default().log_in(&format!("{public_url}/projects"), "asmith");
        assert!(page.body.contains("<span id=\"login\">asmith</span>"), "{}", page.body);
        running.interrupt()
    });
    let (status, _) = steps.await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn every_setting_and_code_that_it_names_exists() {
    let errors = include_str!("../../src/error.rs");
    let sections = ["server", "admin", "bitbucket", "codescan", "session", "access", "log"];
    for text in [README, include_str!("../../docs/bitbucket.md")] {
        let fenced_out: String = text.split("```").step_by(2).collect();
        for word in fenced_out.split('`').skip(1).step_by(2) {
            let word = word.split(" = ").next().unwrap();
            let is_name = word.chars().all(|c| c.is_ascii_lowercase() || "._".contains(c));
            match word.split_once('.') {
                Some((section, _)) if is_name && sections.contains(&section) => {
                    let known = keys::by_path(word.trim_end_matches("_file"));
                    assert!(known.is_some() || keys::by_path(word).is_some(), "setting {word}");
                }
                None if is_name && word.contains('_') && !word.starts_with('_') => {
                    assert!(errors.contains(&format!("\"{word}\"")), "error code {word}");
                }
                _ => {}
            }
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
