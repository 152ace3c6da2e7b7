//! The forms in which a secret may turn up.
//!
//! Twelve characters of a secret are as many in its raw form, and more in the others: 24 in hex, at
//! least 15 whole ones in base64. So of these not every run of twelve has to be looked for: at a
//! wider step there is still one in each that twelve characters of the secret make.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::hunter::WINDOW;

/// One way of writing one secret.
#[derive(Clone)]
pub struct Form {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    /// From one run that is looked for to the next.
    step: usize,
}

impl Form {
    /// The runs that are looked for.
    pub fn windows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.windows(WINDOW).step_by(self.step)
    }
}

const HEX_STEP: usize = 2 * WINDOW - WINDOW + 1;
const BASE64_STEP: usize = 15 - WINDOW + 1;
/// At least a digit for each byte, and what stands between them.
const DECIMAL_STEP: usize = 2 * WINDOW - 1 - WINDOW + 1;

/// The text itself, and what it stands for where it is 32 bytes in base64 (cookies and cookie
/// secrets are). Escaped for JSON or URLs, twelve characters may be two bytes, which are in many a
/// body by chance: so the bytes are looked for in the other forms only.
pub fn forms(secret: &str) -> Vec<Form> {
    let mut forms = [forms_of(secret.as_bytes()), escaped_forms_of(secret)].concat();
    let url_safe = secret.trim_end_matches('=').replace('+', "-").replace('/', "_");
    if let Some(bytes) = URL_SAFE_NO_PAD.decode(url_safe).ok().filter(|bytes| bytes.len() == 32) {
        forms.extend(forms_of(&bytes));
    }
    // Of two that are equal the closer look stays.
    forms.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.step.cmp(&b.step)));
    forms.dedup_by(|a, b| a.bytes == b.bytes);
    forms
}

fn forms_of(bytes: &[u8]) -> Vec<Form> {
    let mut forms = vec![
        form("raw", bytes, 1),
        form("hex", hex(bytes), HEX_STEP),
        form("upper-case hex", hex(bytes).to_uppercase(), HEX_STEP),
        form("bytes in decimal", decimals(bytes, ", "), DECIMAL_STEP),
        form("bytes in decimal, without blanks", decimals(bytes, ","), DECIMAL_STEP),
    ];
    for alignment in 0..3 {
        let standard = aligned(&STANDARD_NO_PAD, bytes, alignment);
        let url_safe = aligned(&URL_SAFE_NO_PAD, bytes, alignment);
        forms.push(form("base64", standard, BASE64_STEP));
        forms.push(form("url-safe base64", url_safe, BASE64_STEP));
    }
    forms
}

fn escaped_forms_of(text: &str) -> Vec<Form> {
    let percent = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let json = serde_json::to_string(text).expect("text is JSON");
    vec![
        form("URL-encoded", lower_case_escapes(&percent), 1),
        form("URL-encoded, upper case", percent, 1),
        form("JSON", json.trim_matches('"'), 1),
        form("HTML", html(text), 1),
    ]
}

fn form(name: &'static str, bytes: impl AsRef<[u8]>, step: usize) -> Form {
    Form { name, bytes: bytes.as_ref().to_vec(), step }
}

/// How `bytes` show up in the base64 of something that holds them after `alignment` bytes more
/// than a multiple of three: what depends on neighbours is left out.
fn aligned(engine: &GeneralPurpose, bytes: &[u8], alignment: usize) -> String {
    let padded = [&[0; 2][..alignment], bytes].concat();
    let text = engine.encode(&padded);
    let first = (alignment * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    text[first.min(end)..end].to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What `Debug` makes of a `Vec<u8>`.
fn decimals(bytes: &[u8], separator: &str) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(separator)
}

fn html(text: &str) -> String {
    text.replace('&', "&#38;")
        .replace('<', "&#60;")
        .replace('>', "&#62;")
        .replace('"', "&#34;")
        .replace('\'', "&#39;")
}

fn lower_case_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (escape, rest) = part.split_at(2);
        text + "%" + &escape.to_lowercase() + rest
    })
}
