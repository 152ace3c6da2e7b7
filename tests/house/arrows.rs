//! Which room may use which: the list, and a reading of every `crate::` path against it.
//!
//! docs/architecture.md draws the same picture and gives the reasons.

use std::fmt::Write;

use crate::tree;

/// A room, and the paths in other rooms that it may use. Rooms stand from top to bottom: each
/// may use only such as come after it, so that no circle can be listed.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["commands", "config"]),
    ("commands", EVERYTHING),
    (
        "gateway",
        &[
            "login",
            "pages",
            "error",
            "access",
            "session",
            "bitbucket",
            "forward",
            // Who it was that sent a request, never how it was taken in.
            "server::peer",
            // What is wrong with a head; the parser does not tell.
            "server::raw_head",
            "telemetry",
            "tls",
            "config",
            "digits",
        ],
    ),
    (
        "login",
        &[
            "pages",
            "error",
            // One rule about foreign pages, for logout as for everything else.
            "access::cross_site",
            "session",
            "bitbucket",
            "telemetry",
            "seal",
            "config",
            "secret",
        ],
    ),
    ("pages", &["error", "config"]),
    ("error", &["config"]),
    ("access", &["config"]),
    // Of telemetry, the metrics that refreshes count.
    ("session", &["bitbucket", "store", "telemetry", "seal", "config", "secret"]),
    ("store", &["seal", "tls", "config"]),
    ("bitbucket", &["tls", "config", "secret"]),
    ("forward", &["telemetry", "config", "digits"]),
    // Of TLS, the names of what is agreed on.
    ("server", &["telemetry", "tls", "config"]),
    ("admin", &["telemetry", "config"]),
    ("telemetry", &["config", "digits"]),
    ("seal", &["config", "secret"]),
    ("tls", &[]),
    ("config", &["secret"]),
    ("secret", &[]),
    ("digits", &[]),
];

/// It builds and joins all rooms.
const EVERYTHING: &[&str] = &[
    "gateway",
    "login",
    "pages",
    "error",
    "access",
    "session",
    "store",
    "bitbucket",
    "forward",
    "server",
    "admin",
    "telemetry",
    "seal",
    "tls",
    "config",
    "secret",
];

/// The map: it names rooms, and uses none.
const MAP: &str = "lib";

#[test]
fn no_room_uses_one_that_it_should_not_know() {
    let mut wrong = String::new();
    for file in tree::files("src") {
        let name = tree::name(&file);
        if !tree::has_extension(&file, "rs") || room_of(&name) == MAP {
            continue;
        }
        for arrow in unlisted(room_of(&name), &tree::read(&file)) {
            let _ = writeln!(wrong, "{name}: {arrow}");
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that are not listed in {}; see docs/architecture.md:\n{wrong}",
        file!()
    );
}

#[test]
fn every_room_is_listed() {
    for file in tree::files("src") {
        let name = tree::name(&file);
        let is_known = ROOMS.iter().any(|(room, _)| *room == room_of(&name));
        let is_code = tree::has_extension(&file, "rs");
        assert!(is_known || !is_code || room_of(&name) == MAP, "{name} is in no listed room");
    }
}

#[test]
fn listed_arrows_point_down() {
    for (place, (room, uses)) in ROOMS.iter().enumerate() {
        for used in *uses {
            let below = used.split("::").next().unwrap();
            let other = ROOMS.iter().position(|(room, _)| *room == below);
            assert!(other.is_some_and(|other| other > place), "{room} > {used} does not");
        }
    }
}

#[test]
fn the_reading_sees_paths_but_not_comments() {
    let code = "use crate::config::Rule;\n// crate::gateway\n//! [`crate::pages`]\n\
                let x = crate::login::start::begin(); // crate::server\n";
    assert_eq!(unlisted("access", code), ["access > login::start::begin"]);
    assert_eq!(unlisted("gateway", "use crate::server::worker::Worker;").len(), 1);
    assert_eq!(unlisted("gateway", "use crate::server::{peer::Peer, worker};").len(), 1);
    assert!(unlisted("gateway", "use crate::server::peer::Peer;").is_empty());
    assert!(unlisted("tls", "use crate::tls::{self, Tls};").is_empty());
    assert_eq!(unlisted("tls", "use crate::{access, tls};"), ["tls > {: name each room"]);
}

fn room_of(file: &str) -> &str {
    let inside = file.strip_prefix("src/").unwrap_or(file);
    inside.split('/').next().unwrap().trim_end_matches(".rs")
}

/// What a file of `room` uses and may not.
fn unlisted(room: &str, code: &str) -> Vec<String> {
    let listed = ROOMS.iter().find(|(name, _)| *name == room);
    let uses = listed.map_or(&[][..], |(_, uses)| uses);
    let paths = code.lines().flat_map(paths_in);
    paths.filter(|path| !is_listed(path, room, uses)).map(|path| explain(room, path)).collect()
}

fn explain(room: &str, path: &str) -> String {
    if path.is_empty() {
        format!("{room} > {{: name each room")
    } else {
        format!("{room} > {path}")
    }
}

/// What follows each `crate::` of a line (in `main.rs`, the crate's name).
fn paths_in(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap();
    let is_path = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':';
    ["crate::", "codescan_oauth_proxy::"].into_iter().flat_map(move |start| {
        let after = code.split(start).skip(1);
        after.map(move |rest| {
            let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
            rest[..end].trim_end_matches(':')
        })
    })
}

fn is_listed(path: &str, room: &str, uses: &[&str]) -> bool {
    let begins_with = |listed: &str| {
        path.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    begins_with(room) || uses.iter().any(|listed| begins_with(listed))
}
