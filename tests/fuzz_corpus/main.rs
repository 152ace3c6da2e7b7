//! What fuzzing found, once more in every run, and some thousands of mutations of it.
//!
//! The targets are those of `fuzz/`; the inputs are in `tests/corpus/fuzz/<target>`. How many
//! mutations there are, and which, can be set: `FUZZ_MUTATIONS`, `FUZZ_SEED`.

mod mutation;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use mutation::Mutator;
use targets::{TARGETS, Target};

/// Mutations of one target's corpus.
const MUTATIONS: u64 = 3000;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/fuzz").join(name);
    let files = fs::read_dir(&folder).unwrap_or_else(|_| panic!("no {}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

fn holds(name: &str, target: Target, input: &[u8], origin: &str) {
    let held = catch_unwind(|| target(input)).is_ok();
    assert!(held, "{name} fails for {origin}: b\"{}\"", input.escape_ascii());
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 5, "{name} has hardly a corpus");
        for input in inputs {
            holds(name, target, &input, "its corpus");
        }
    }
}

#[test]
fn every_target_holds_for_mutations_of_its_corpus() {
    let seed = setting("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    for (name, target) in TARGETS {
        let mut mutator = Mutator::new(seed, corpus(name));
        for _ in 0..setting("FUZZ_MUTATIONS").unwrap_or(MUTATIONS) {
            holds(name, target, &mutator.mutate(), &format!("FUZZ_SEED={seed}"));
        }
    }
}

#[test]
fn every_folder_has_its_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/fuzz");
    for file in fs::read_dir(folder).expect("the corpus") {
        let name = file.expect("an entry").file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{}", name.display());
    }
}
