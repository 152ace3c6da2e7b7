//! No secret is anywhere but where it belongs.
//!
//! The other tests run the program with `log.level = "trace"` and leave behind what it said: log
//! lines, answers, metrics, panics, and what reached the servers on either side; and with it every
//! secret that was about (`tests/front_door/harness/evidence.rs`). Here the one is searched for the
//! other: raw, in base64, hex and other [`forms`], and for any twelve characters in a row. First
//! [`planted`] shows that the search finds what is there.
//!
//! Run it after the other tests: `cargo test --test front_door && cargo test --test leaks`.

mod commands;
mod debug;
mod evidence;
mod forms;
mod hunter;
mod planted;

use std::path::Path;

use evidence::{Folder, folders};
use hunter::{Find, Hunter};

/// Finds that are shown; one is enough to fail.
const SHOWN: usize = 20;

#[test]
fn no_secret_is_in_what_the_program_said() {
    let folders = all();
    let secrets: Vec<String> = folders.iter().flat_map(Folder::secrets).collect();
    let found = hunter::hunt(&secrets, &folders);
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), shown(&found));
}

/// A harness that notes no secrets would make the search above find nothing.
#[test]
fn secrets_of_every_kind_were_about() {
    let secrets: Vec<String> = all().iter().flat_map(Folder::secrets).collect();
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let count = |kind: &dyn Fn(&str) -> bool| secrets.iter().filter(|one| kind(one)).count();
    assert!(count(&|one| one.starts_with("eyJ")) > 0, "no tokens");
    assert!(count(&|one| one.len() == 32 && hex(one)) > 0, "no codes");
    assert!(count(&|one| one.len() == 64 && hex(one)) > 0, "no client secrets");
    assert!(count(&|one| one.len() == 43) > 0, "no cookies");
}

/// A harness that keeps no logs or answers, too.
#[test]
fn the_evidence_is_worth_searching() {
    for folder in all() {
        let name = folder.path().display();
        assert!(folder.bytes_of("proxy-") > 0, "{name} has no log");
        assert!(folder.bytes_of("answers") > 0, "{name} has no answers");
        assert!(!folder.secrets().is_empty(), "{name} has no secrets");
    }
}

#[test]
fn nothing_panicked() {
    for folder in all() {
        let lines = folder.lines_with("proxy-", b"panicked at");
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// What the other tests left.
fn all() -> Vec<Folder> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evidence");
    let folders = folders(&root);
    assert!(
        !folders.is_empty(),
        "There is no evidence in {}: this test searches what other tests leave behind, so run \
         them first (cargo test --test front_door).",
        root.display(),
    );
    folders
}

fn shown(found: &[Find]) -> String {
    let lines: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
    lines.join("\n")
}

/// For tests here that have something the program said in hand.
#[track_caller]
fn assert_silent(said: &str, secrets: &[&str]) {
    let secrets: Vec<String> = secrets.iter().map(|&secret| secret.to_owned()).collect();
    let mut found = Vec::new();
    Hunter::new(&secrets).search_line("what it said", 0, said.as_bytes(), &mut found);
    assert!(found.is_empty(), "it tells a secret:\n{}\nin:\n{said}", shown(&found));
}
