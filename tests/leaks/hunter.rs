//! Finds any twelve characters of any secret in any form.
//!
//! A run of twelve that begins anywhere holds, whole, one of the runs of eight that begin at every
//! fifth place. So only these are looked up, in a bitmap; what is in it is looked at closely.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::evidence::Folder;
use super::forms::{Form, forms};

/// Characters in a row that give a secret away.
pub const WINDOW: usize = 12;
const GRAM: usize = 8;
const STRIDE: usize = WINDOW - GRAM + 1;

/// Runs of all forms of the secrets that are looked for at a time: bounds the memory (a quarter of
/// a gibibyte), whatever the number of secrets.
const AT_A_TIME: usize = 8 << 20;

/// How the simulator's tokens begin, all of them: the base64 of `{"alg":"HS256"}`, a dot, and that
/// of `{"jti":"` as far as it does not depend on what follows. It is no secret, nor is anything
/// that lies within it; what reaches beyond it is.
pub const PUBLIC: &str = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOi";

/// A place where a secret was found.
#[derive(Debug)]
pub struct Find {
    pub place: String,
    pub line: usize,
    pub form: &'static str,
    pub secret: String,
    pub context: String,
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, line, form, secret, context } = self;
        write!(f, "{place}:{line}: twelve characters of {secret} ({form}) in: {context}")
    }
}

/// Searches all folders for all secrets.
pub fn hunt(secrets: &[String], folders: &[Folder]) -> Vec<Find> {
    let mut secrets = secrets.to_vec();
    secrets.sort();
    secrets.dedup();
    let short = secrets.iter().find(|secret| secret.len() < WINDOW);
    assert!(short.is_none(), "{short:?} is too short to be looked for; let the test use a longer");
    let mut found = Vec::new();
    for batch in batches(&secrets) {
        let hunter = Hunter::new(batch);
        for folder in folders {
            folder.each_line(|place, number, line| {
                hunter.search_line(place, number, line, &mut found);
            });
        }
    }
    found
}

/// Each with about [`AT_A_TIME`] runs at most.
fn batches(secrets: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut begin, mut runs) = (0, 0);
    for (index, secret) in secrets.iter().enumerate() {
        runs += forms(secret).iter().map(|form| form.windows().count()).sum::<usize>();
        if runs > AT_A_TIME || index + 1 == secrets.len() {
            batches.push(&secrets[begin..=index]);
            (begin, runs) = (index + 1, 0);
        }
    }
    batches
}

/// What is looked for.
pub struct Hunter<'s> {
    secrets: &'s [String],
    grams: Bitmap,
    windows: HashSet<u64, BuildHasherDefault<AsItIs>>,
}

impl<'s> Hunter<'s> {
    pub fn new(secrets: &'s [String]) -> Self {
        let forms: Vec<Form> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        let runs = forms.iter().map(|form| form.windows().count()).sum();
        let mut grams = Bitmap::for_entries(runs * STRIDE);
        let mut windows = HashSet::with_capacity_and_hasher(runs, BuildHasherDefault::default());
        for form in &forms {
            for window in form.windows() {
                if windows.insert(fingerprint(window)) {
                    for begin in 0..STRIDE {
                        grams.insert(eight(&window[begin..]));
                    }
                }
            }
        }
        for form in self::forms(PUBLIC) {
            for window in form.bytes.windows(WINDOW) {
                windows.remove(&fingerprint(window));
            }
        }
        Self { secrets, grams, windows }
    }

    /// Notes the first find in a line.
    pub fn search_line(&self, place: &str, number: usize, line: &[u8], found: &mut Vec<Find>) {
        let mut at = 0;
        while at + GRAM <= line.len() {
            if self.grams.holds(eight(&line[at..]))
                && let Some((begin, form, secret)) = self.look_closely(line, at)
            {
                found.push(Find {
                    place: place.to_owned(),
                    line: number,
                    form,
                    secret: secret.to_owned(),
                    context: context(line, begin),
                });
                return;
            }
            at += STRIDE;
        }
    }

    /// Whether a run of twelve around the eight at `gram` is one that is looked for.
    fn look_closely(&self, line: &[u8], gram: usize) -> Option<(usize, &'static str, &'s str)> {
        (gram.saturating_sub(WINDOW - GRAM)..=gram).find_map(|begin| {
            let window = line.get(begin..begin + WINDOW)?;
            let known = self.windows.contains(&fingerprint(window));
            let (form, secret) = known.then(|| self.name(&line[begin..])).flatten()?;
            Some((begin, form, secret))
        })
    }

    /// Which secret it is that `text` begins with a run of, the longest if there are several; none
    /// if only the fingerprint is the same.
    fn name(&self, text: &[u8]) -> Option<(&'static str, &'s str)> {
        let named = self.secrets.iter().flat_map(|secret| {
            forms(secret).into_iter().map(|form| (run(&form.bytes, text), form.name, &**secret))
        });
        let (length, form, secret) = named.max_by_key(|(length, ..)| *length)?;
        (length >= WINDOW).then_some((form, secret))
    }
}

/// How much of `text` stands in `form` in a row.
fn run(form: &[u8], text: &[u8]) -> usize {
    let common = |from: &[u8]| from.iter().zip(text).take_while(|(a, b)| a == b).count();
    (0..form.len()).map(|at| common(&form[at..])).max().unwrap_or(0)
}

fn context(line: &[u8], at: usize) -> String {
    let part = &line[at.saturating_sub(80)..line.len().min(at + 80)];
    String::from_utf8_lossy(part).escape_debug().to_string()
}

fn eight(bytes: &[u8]) -> u64 {
    u64::from_le_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
}

/// Of [`WINDOW`] bytes.
fn fingerprint(bytes: &[u8]) -> u64 {
    mix(mix(eight(bytes)) ^ eight(&bytes[WINDOW - GRAM..]))
}

fn mix(word: u64) -> u64 {
    let word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ (word >> 32)
}

/// May say yes to what is not in it, never no to what is.
struct Bitmap {
    words: Vec<u64>,
    shift: u32,
}

impl Bitmap {
    /// About one wrong yes in eight at worst.
    fn for_entries(entries: usize) -> Self {
        let bits = (entries * 4).next_power_of_two().max(1 << 10);
        Self { words: vec![0; bits / 64], shift: 64 - bits.ilog2() }
    }

    fn insert(&mut self, entry: u64) {
        let (word, bit) = self.place(entry);
        self.words[word] |= bit;
    }

    fn holds(&self, entry: u64) -> bool {
        let (word, bit) = self.place(entry);
        self.words[word] & bit != 0
    }

    fn place(&self, entry: u64) -> (usize, u64) {
        let index = entry.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        let word = usize::try_from(index / 64).expect("an index of a vector in memory");
        (word, 1 << (index % 64))
    }
}

/// For keys that are well mixed already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64");
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
