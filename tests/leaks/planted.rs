//! The search finds what is there: every secret in every form, and every part of one.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::evidence::{Folder, folders};
use super::hunter::{PUBLIC, WINDOW, hunt};

const CLIENT_SECRET: &str = "3f9c1e7ab2d84c5e8f60718293a4b5c6d7e8f90123456789abcdef0011223344";
const CODE: &str = "9b3e07c4d5f1a2680e1d2c3b4a596877";
const COOKIE: &str = "Zk3vQ-9yT_0aB7cD1eF5gH2iJ4kL6mN8oP0qR_sT-uU";
const COOKIE_SECRET: &str = "q+7/ZJ1t8lqGv0P2m5Y6xw3eKbnRHcUo9iTAsDfgXhM=";
const ODD_SECRET: &str = r#"a"b<c>&d'e+f/g=h%i\j k"#;

fn token() -> String {
    let parts = [r#"{"alg":"HS256"}"#, r#"{"jti":"0f1e2d3c4b5a69788796a5b4"}"#, CODE];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn secrets() -> Vec<String> {
    let mut secrets = [CLIENT_SECRET, CODE, COOKIE, COOKIE_SECRET, ODD_SECRET].map(str::to_owned);
    secrets.sort();
    [secrets.to_vec(), vec![token()]].concat()
}

/// A folder as the harness would leave it, with `said` in the file of this name.
fn evidence(root: &Path, file: &str, said: &[u8]) -> Vec<Folder> {
    let folder = root.join("1-0");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("secrets.txt"), secrets().join("\n")).expect("written");
    fs::write(folder.join(file), said).expect("written");
    folders(root)
}

/// How many places it is found in.
fn found_in(file: &str, said: &[u8]) -> usize {
    let root = tempfile::tempdir().expect("a folder");
    let folders = evidence(root.path(), file, said);
    let secrets: Vec<String> = folders.iter().flat_map(Folder::secrets).collect();
    assert_eq!(secrets.len(), 6);
    hunt(&secrets, &folders).len()
}

fn is_found(said: impl AsRef<[u8]>) -> bool {
    found_in("proxy-1.log", said.as_ref()) == 1
}

fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| {
        [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
    };
    bytes.iter().flat_map(digits).collect()
}

/// Every form, written here by other means than those of the search.
fn written(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = hex(bytes);
    let url: String = url::form_urlencoded::byte_serialize(bytes).collect();
    let mut forms = vec![
        secret.to_owned(),
        hex.to_uppercase(),
        hex,
        url.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d"),
        url,
        format!("{bytes:?}"),
        serde_json::json!({ "token": secret }).to_string(),
        serde_json::json!(bytes).to_string(),
    ];
    for before in ["", "x", "xy", "xyz"] {
        for after in ["", ":", "::"] {
            let text = format!("{before}{secret}{after}");
            forms.push(STANDARD.encode(&text));
            forms.push(URL_SAFE_NO_PAD.encode(&text));
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

#[test]
fn a_secret_is_found_in_every_form() {
    for secret in secrets() {
        for form in written(&secret) {
            let text = String::from_utf8_lossy(&form).into_owned();
            let line = [b"{\"message\":\"", &form[..], b"\"}"].concat();
            assert!(is_found(&line), "{secret} as {text}");
        }
    }
}

#[test]
fn the_bytes_that_a_cookie_stands_for_are_found() {
    let bytes = URL_SAFE_NO_PAD.decode(COOKIE).expect("base64url");
    assert!(is_found(hex(&bytes)));
    assert!(is_found(format!("{bytes:?}")));
    assert!(is_found(&bytes));
    let secret = STANDARD.decode(COOKIE_SECRET).expect("base64");
    assert!(is_found(URL_SAFE_NO_PAD.encode(&secret)));
    assert!(is_found(STANDARD.encode([b"ab", &secret[..]].concat())));
}

#[test]
fn a_body_that_counts_upwards_is_no_cookie() {
    let mut bytes = [0xff; 32];
    bytes[7..9].copy_from_slice(&[0, 1]);
    let cookie = URL_SAFE_NO_PAD.encode(bytes);
    let root = tempfile::tempdir().expect("a folder");
    let counting = serde_json::to_vec("\u{0}\u{1}\u{2}\u{3}").expect("JSON");
    assert_eq!(hunt(&[cookie], &evidence(root.path(), "answers.txt", &counting)).len(), 0);
}

/// At every place of the secret, and at every place of the line.
#[test]
fn any_twelve_characters_are_found_and_eleven_are_not() {
    let root = tempfile::tempdir().expect("a folder");
    for secret in [CLIENT_SECRET, COOKIE] {
        for (index, part) in secret.as_bytes().windows(WINDOW).enumerate() {
            let mut said = vec![b'.'; index % 7];
            said.extend_from_slice(part);
            said.push(b'.');
            let folders = evidence(root.path(), "proxy-1.log", &said);
            assert_eq!(hunt(&[secret.to_owned()], &folders).len(), 1, "{index} of {secret}");
            said.remove(index % 7);
            let folders = evidence(root.path(), "proxy-1.log", &said);
            assert_eq!(hunt(&[secret.to_owned()], &folders).len(), 0, "{index} of {secret}");
        }
    }
}

#[test]
fn any_twelve_characters_are_found_in_every_form() {
    let root = tempfile::tempdir().expect("a folder");
    for secret in [CODE, COOKIE] {
        for (index, part) in secret.as_bytes().windows(WINDOW).enumerate() {
            // A base64 of something longer does not begin anew where the part begins.
            let whole = &secret.as_bytes()[..index + WINDOW];
            let mut all = written(std::str::from_utf8(part).expect("text"));
            all.push(STANDARD.encode(whole).into_bytes().split_off(index * 4 / 3));
            for said in all {
                let folders = evidence(root.path(), "proxy-1.log", &said);
                let text = String::from_utf8_lossy(&said);
                assert_eq!(hunt(&[secret.to_owned()], &folders).len(), 1, "{index}: {text}");
            }
        }
    }
}

#[test]
fn the_random_parts_of_a_token_are_found_and_its_public_head_is_not() {
    let token = token();
    assert!(token.starts_with(PUBLIC));
    assert!(!is_found(PUBLIC));
    assert!(!is_found(STANDARD.encode(PUBLIC)));
    for end in PUBLIC.len() + 1..token.len() {
        assert!(is_found(&token[end - WINDOW..end]), "up to {end}");
    }
}

#[test]
fn it_is_found_across_the_pieces_of_a_long_line() {
    let filling = "all quiet on the western front; ".repeat(1 << 16);
    for before in (1 << 20) - 2 * WINDOW..(1 << 20) + WINDOW {
        let mut said = filling.as_bytes()[..before].to_vec();
        said.extend_from_slice(&CODE.as_bytes()[..WINDOW]);
        assert!(is_found(&said), "after {before}");
    }
}

#[test]
fn every_file_of_a_folder_is_searched() {
    for file in ["answers.txt", "proxy-8080.log", "reached-codescan.txt", "other"] {
        assert_eq!(found_in(file, CODE.as_bytes()), 1, "{file}");
        assert_eq!(found_in(file, b"all quiet\n"), 0, "{file}");
    }
}

/// Of an echo only the field that the token belongs in is passed over.
#[test]
fn an_echo_of_codescan_may_show_the_token_where_it_belongs_alone() {
    let token = token();
    let echo = |name: &str, value: &str| {
        format!(r#"{{"body":"","headers":[["host","a"],["{name}","{value}"]],"target":"/"}}"#)
    };
    let bearer = format!("Bearer {token}");
    assert_eq!(found_in("answers.txt", echo("Authorization", &bearer).as_bytes()), 0);
    assert_eq!(found_in("answers.txt", echo("x-other", &bearer).as_bytes()), 1);
    let page = format!("<table id=\"headers\"><tr><th>Authorization</th><td>{bearer}</td></tr>");
    assert_eq!(found_in("answers.txt", page.as_bytes()), 0);
    assert_eq!(found_in("answers.txt", format!("{page}{token}").as_bytes()), 1);
    assert_eq!(found_in("answers.txt", bearer.as_bytes()), 1);
    assert_eq!(found_in("proxy-1.log", echo("authorization", &bearer).as_bytes()), 1);
}

#[test]
fn where_there_is_no_evidence_there_are_no_folders() {
    assert!(folders(Path::new("/nowhere")).is_empty());
    let root = tempfile::tempdir().expect("a folder");
    assert!(folders(root.path()).is_empty());
}

/// Hundreds of megabytes must be a matter of seconds, and of memory that does not grow with them.
#[test]
fn it_is_quick() {
    let root = tempfile::tempdir().expect("a folder");
    let line = b"{\"level\":\"INFO\",\"target\":\"access\",\"path\":\"/project/overview\"}\n";
    let folders = evidence(root.path(), "proxy-1.log", &line.repeat(8 << 14));
    let secrets: Vec<String> =
        (0..500).map(|number| format!("{number:04}{CLIENT_SECRET}")).collect();
    let began = std::time::Instant::now();
    assert!(hunt(&secrets, &folders).is_empty());
    let seconds = began.elapsed().as_secs_f64();
    assert!(seconds < 20.0, "{seconds} s for 8 MiB and 500 secrets");
}
