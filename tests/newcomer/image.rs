//! The image, as far as can be seen without an engine; `.ci/run` builds it where there is one.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::readme;

const IGNORED: &str = include_str!("../../.dockerignore");
const DOCKERFILE: &str = include_str!("../../Dockerfile");

#[test]
fn the_builder_gets_every_file_that_the_manifests_name() {
    let context = tempfile::tempdir().unwrap();
    let mut lines = IGNORED.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "all but what is listed is left out");
    for listed in lines {
        let path = listed.strip_prefix('!').expect("only exceptions follow");
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        if from.exists() {
            copy(&from, &context.path().join(path));
        }
    }
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    for left_out in ["examples/demo.rs", "tests/simulator/tests", "settings.toml"] {
        assert!(!context.path().join(left_out).exists(), "{left_out}");
    }
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

#[test]
fn it_is_static_without_a_shell_and_with_a_numeric_user() {
    let (build, image) = DOCKERFILE.split_once("\nFROM scratch\n").expect("an empty base");
    assert!(build.contains("-C target-feature=+crt-static"));
    let copies: Vec<&str> = image.lines().filter(|line| line.starts_with("COPY")).collect();
    assert_eq!(copies.len(), 2, "the binary and its licence: {copies:?}");
    for line in [
        "USER 65532:65532",
        "    CMD [\"/codescan-oauth-proxy\", \"healthcheck\"]",
        "ENTRYPOINT [\"/codescan-oauth-proxy\"]",
    ] {
        assert!(image.lines().any(|it| it == line), "{line}");
    }
}

/// `FROM rust:1.95-…` is the version that the workspace asks for and the README names.
#[test]
fn it_is_built_with_the_rust_that_the_manifest_asks_for() {
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    assert!(DOCKERFILE.contains(&format!("FROM rust:{wanted}-")), "Rust {wanted}");
    assert!(readme::README.contains(&format!("Rust {wanted} or later")), "Rust {wanted}");
}
