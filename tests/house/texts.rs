//! What is written for people: links lead somewhere, and nothing tells of one machine.

use std::path::PathBuf;

use crate::tree;

/// Addresses outside that a text may name. Another needs a decision, not a slip. (w3.org is in the
/// name of SVG's elements.)
const HOSTS: &[&str] = &["github.com", "www.apache.org", "www.w3.org"];

fn texts_for_people() -> Vec<PathBuf> {
    let mut files = tree::files_at_the_root();
    files.retain(|file| !tree::has_extension(file, "lock"));
    for folder in ["docs", "config", ".ci", ".cargo", "examples"] {
        files.extend(tree::files(folder));
    }
    files
}

#[test]
fn links_between_our_texts_lead_somewhere() {
    let texts = texts_for_people();
    for text in texts.iter().filter(|text| tree::has_extension(text, "md")) {
        for target in links(&tree::read(text)) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path =
                if file.is_empty() { text.clone() } else { text.parent().unwrap().join(file) };
            assert!(path.exists(), "{} links to {target}", tree::name(text));
            if !anchor.is_empty() {
                let anchors: Vec<String> =
                    tree::read(&path).lines().filter_map(anchor_of).collect();
                assert!(
                    anchors.iter().any(|one| one == anchor),
                    "{} links to {target}",
                    tree::name(text)
                );
            }
        }
    }
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    let readme = tree::read(&tree::root().join("README.md"));
    for command in ["cargo demo", "tests/run"] {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

#[test]
fn nothing_tells_of_one_machine() {
    let mut files = texts_for_people();
    for folder in ["src", "tests", "templates"] {
        files.extend(tree::files(folder));
    }
    // Bytes, not text.
    files.retain(|file| !file.starts_with(tree::root().join("tests/corpus/fuzz")));
    // In two parts, so that this file is not the first to be found.
    let places = [("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("/Us", "ers/")];
    for file in files {
        let text = tree::read(&file);
        for (one, two) in places {
            let place = format!("{one}{two}");
            assert!(!text.contains(&place), "{} names {place}", tree::name(&file));
        }
    }
}

#[test]
fn addresses_outside_are_known_ones() {
    for file in texts_for_people() {
        for host in hosts(&tree::read(&file)) {
            let is_example = ["example.com", ".example"].iter().any(|end| host.ends_with(end));
            let is_inside =
                !host.contains(|c: char| c == '.' && host.contains(char::is_alphabetic));
            assert!(
                is_example || is_inside || HOSTS.contains(&host.as_str()),
                "{} names {host}",
                tree::name(&file)
            );
        }
    }
}

/// Targets of `[…](…)` that are files of ours or anchors.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The anchor that a heading has where Markdown is shown.
fn anchor_of(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
}

/// Hosts of `http://…` and `https://…`.
fn hosts(text: &str) -> Vec<String> {
    let after = ["http://", "https://"].into_iter().flat_map(|start| text.split(start).skip(1));
    let is_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    after
        .map(|rest| rest.split(|c| !is_host(c)).next().unwrap().to_lowercase())
        .filter(|host| !host.is_empty())
        .collect()
}
