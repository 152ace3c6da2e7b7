//! Reads what `tests/front_door/harness/evidence.rs` wrote, without holding it in memory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::hunter::WINDOW;

/// Bytes of a line that are looked at together; the rest of a longer one comes as another.
const LONGEST_LINE: usize = 1 << 20;

const SECRETS: &str = "secrets.txt";
/// Names of header fields that a token belongs in.
const TOKEN_FIELDS: &str = "token-fields.txt";

/// What one test left behind.
pub struct Folder {
    path: PathBuf,
}

/// All of them, in order.
pub fn folders(root: &Path) -> Vec<Folder> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root)
        .map(|entries| entries.map(|entry| entry.expect("an entry").path()).collect())
        .unwrap_or_default();
    paths.retain(|path| path.is_dir());
    paths.sort();
    paths.into_iter().map(|path| Folder { path }).collect()
}

impl Folder {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn secrets(&self) -> Vec<String> {
        lines_of(&self.path.join(SECRETS))
    }

    /// Size of the files whose names begin so.
    pub fn bytes_of(&self, prefix: &str) -> u64 {
        let files = self.files().into_iter().filter(|path| begins(path, prefix));
        files.map(|path| path.metadata().expect("a file").len()).sum()
    }

    /// Lines that hold `wanted`, in files whose names begin so.
    pub fn lines_with(&self, prefix: &str, wanted: &[u8]) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        for path in self.files().into_iter().filter(|path| begins(path, prefix)) {
            each_line(&path, |_, line| {
                if memchr::memmem::find(line, wanted).is_some() {
                    found.push((path.clone(), String::from_utf8_lossy(line).into_owned()));
                }
            });
        }
        found
    }

    /// Every line of every file but the secrets themselves, with its place.
    ///
    /// `CodeScan`'s double echoes the request that it got, as JSON or on a page. What it got in the
    /// fields that tokens are for is its to tell, so those values are taken out of its echoes.
    pub fn each_line(&self, mut look: impl FnMut(&str, usize, &[u8])) {
        let mut token_fields = lines_of(&self.path.join(TOKEN_FIELDS));
        token_fields.push("authorization".to_owned());
        for path in self.files() {
            let place = path.display().to_string();
            let is_answers = begins(&path, "answers");
            each_line(&path, |number, line| {
                if is_answers && is_echo(line) {
                    look(&place, number, &without_fields(line, &token_fields));
                } else {
                    look(&place, number, line);
                }
            });
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).expect("a folder of evidence");
        let mut files: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| {
            path.is_file() && !path.ends_with(SECRETS) && !path.ends_with(TOKEN_FIELDS)
        });
        files.sort();
        files
    }
}

fn is_echo(line: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [br#""headers":[["#, b"<table id=\"headers\">"];
    marks.iter().any(|mark| memchr::memmem::find(line, mark).is_some())
}

/// Takes the values of `["name","value"]` and of `<th>name</th><td>value` out of an echo.
fn without_fields(line: &[u8], names: &[String]) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(line).into_owned();
    for name in names {
        take_out(&mut text, &format!("[\"{name}\",\""), "\"]");
        take_out(&mut text, &format!("<th>{name}</th><td>"), "<");
    }
    text.into_bytes()
}

/// What stands between `begin`, in any case, and `end`.
fn take_out(text: &mut String, begin: &str, end: &str) {
    let begin = begin.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = text[from..].to_ascii_lowercase().find(&begin) {
        let value = from + at + begin.len();
        let Some(length) = text[value..].find(end) else { return };
        text.replace_range(value..value + length, "");
        from = value;
    }
}

fn begins(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Lines from 1; what is longer than [`LONGEST_LINE`] comes in pieces that overlap.
fn each_line(path: &Path, mut look: impl FnMut(usize, &[u8])) {
    let mut file = BufReader::new(File::open(path).expect("evidence opens"));
    let (mut line, mut number) = (Vec::new(), 1);
    loop {
        let bytes = file.fill_buf().expect("evidence is read");
        if bytes.is_empty() {
            look(number, &line);
            return;
        }
        let end = memchr::memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |at| at + 1);
        line.extend_from_slice(&bytes[..end.unwrap_or(taken)]);
        file.consume(taken);
        if end.is_some() {
            look(number, &line);
            line.clear();
            number += 1;
        } else if line.len() >= LONGEST_LINE {
            look(number, &line);
            line.drain(..line.len() - (WINDOW - 1));
        }
    }
}
