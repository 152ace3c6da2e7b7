//! The command line, from outside.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::harness::command::{run, run_alone};
use crate::harness::{Settings, Stage, wait_until};

#[test]
fn version_and_help() {
    for flag in ["--version", "-V"] {
        let ended = run_alone(&[flag]);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stdout, format!("codescan-oauth-proxy {}\n", env!("CARGO_PKG_VERSION")));
    }
    let help = run_alone(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in ["serve", "check", "healthcheck", "--config", "--set"] {
        assert!(help.stdout.contains(word), "{}", help.stdout);
    }
}

#[test]
fn what_it_does_not_know_is_a_fault() {
    for arguments in [&["sevre"][..], &["--flag"], &["serve", "check"], &["--config"]] {
        let ended = run_alone(arguments);
        assert_eq!(ended.code, Some(78), "{arguments:?}");
        assert!(ended.stderr.contains("--help"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn every_fault_is_told_at_once_by_serve_as_by_check() {
    let stage = Stage::set().await;
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    settings.text("server.idle_timeout", "soon").text("server.lissten", "x");
    settings.set("access.public", "[\"open\"]");
    let said: Vec<String> = [&[][..], &["serve"], &["check"], &["healthcheck"]]
        .into_iter()
        .map(|arguments| {
            let ended = run(&settings, arguments);
            assert_eq!(ended.code, Some(78), "{arguments:?}");
            assert_eq!(ended.stdout, "", "{arguments:?}");
            for part in [
                "server.public_url",
                "server.idle_timeout",
                "server.lissten",
                "server.listen",
                "access.public",
                "4 faults",
            ] {
                assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
            }
            let line = |text: &str| text.split_once(".toml").map(|(_, rest)| rest.to_owned());
            ended.stderr.lines().filter_map(line).collect()
        })
        .collect();
    assert!(said.iter().all(|it| *it == said[0]), "{said:?}");
}

/// What `check` says of a setting to a process that may use these cores alone.
fn told_on(cores: &CpuSet, settings: &Settings, key: &str) -> String {
    let ended = std::thread::scope(|scope| {
        // A thread of its own, as it hands what it may use down to what it starts.
        let running = scope.spawn(|| {
            sched_setaffinity(None, cores).expect("fewer cores are no privilege");
            run(settings, &["check"])
        });
        running.join().expect("it runs")
    });
    let line = ended.stdout.lines().find(|line| line.starts_with(key));
    line.unwrap_or_else(|| panic!("no {key}: {}", ended.stdout)).to_owned()
}

fn workers_of(process: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("a process");
    // One that has just ended has no name any more.
    let names = threads.flatten().flat_map(|it| std::fs::read_to_string(it.path().join("comm")));
    names.filter(|name| name.starts_with("worker-")).count()
}

#[tokio::test]
async fn there_is_a_worker_for_each_core_that_is_allowed() {
    let stage = Stage::with(|settings| {
        settings.set("server.workers", "3");
    })
    .await;
    wait_until("three workers", async || workers_of(stage.proxy.pid()) == 3).await;

    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    settings.text("server.public_url", "http://codescan.example").remove("server.workers");
    let all = sched_getaffinity(None).expect("known");
    let first = (0..CpuSet::MAX_CPU).find(|core| all.is_set(*core)).expect("a core");
    let mut one = CpuSet::new();
    one.set(first);
    for (cores, workers) in [(one, 1), (all, all.count())] {
        let line = told_on(&cores, &settings, "server.workers");
        assert!(line.split_whitespace().any(|word| word == workers.to_string()), "{line}");
    }
}

#[tokio::test]
async fn secrets_are_in_no_message() {
    let stage = Stage::set().await;
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    settings.text("server.public_url", "http://codescan.example");
    settings.text("session.cookie_secret", "too-short-and-secret");
    let wrong = run(&settings, &["serve"]);
    assert_eq!(wrong.code, Some(78));
    settings.text("session.cookie_secret", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=");
    let right = run(&settings, &["check"]);
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    let said = [wrong.stdout, wrong.stderr, right.stdout, right.stderr].concat();
    for secret in ["too-short", "MDEyMzQ1", stage.bitbucket.client_secret()] {
        assert!(!said.contains(secret), "{said}");
    }
    assert!(said.contains("server.public_url"), "{said}");
}

#[tokio::test]
async fn files_of_certificates_are_read_before_it_serves() {
    let stage = Stage::set().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "no certificate").expect("it is written");
    for key in ["codescan.ca_file", "bitbucket.ca_file"] {
        let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
        settings.text("server.public_url", "http://codescan.example");
        settings.text(key, file.to_str().expect("a path of text"));
        if key.starts_with("codescan") {
            settings.text("codescan.url", "https://codescan.internal");
        }
        let ended = run(&settings, &["serve"]);
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        assert!(ended.stderr.contains(key), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_flag_beats_the_environment_and_that_the_file() {
    let stage = Stage::with(|settings| {
        settings.text("access.client_tokens", "deny");
        settings
            .environment
            .push(("CODESCAN_PROXY_ACCESS_CLIENT_TOKENS".to_owned(), "pass".to_owned()));
        // What Kubernetes makes for a Service called so.
        settings
            .environment
            .push(("CODESCAN_PROXY_PORT_8080_TCP_ADDR".to_owned(), "10.0.0.1".to_owned()));
    })
    .await;
    let answer = stage.client().get_with("/api/x", &[("authorization", "Bearer squ_1")]).await;
    assert_eq!(answer.status, 200);
    let file = stage.proxy.settings_file();
    let set = "access.client_tokens=pass";
    let shown =
        run_alone(&["check", "--config", file.to_str().expect("a path of text"), "--set", set]);
    let line = shown.stdout.lines().find(|line| line.starts_with("access.client_tokens"));
    assert!(line.is_some_and(|line| line.contains("pass")), "{}", shown.stdout);
}

#[tokio::test]
async fn check_says_what_serve_would_of_a_certificate_that_is_none() {
    let stage = Stage::set().await;
    let mut settings = Settings::between(&stage.bitbucket, &stage.codescan);
    let broken = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(broken.path(), "no certificate").expect("it is written");
    settings.text("server.public_url", "http://127.0.0.1:8080");
    settings.text("bitbucket.ca_file", broken.path().to_str().expect("a path"));
    for arguments in ["check", "serve"] {
        let ended = run(&settings, &[arguments]);
        assert_eq!(ended.code, Some(78), "{arguments}");
        assert!(ended.stderr.contains("bitbucket.ca_file"), "{}", ended.stderr);
    }
}
