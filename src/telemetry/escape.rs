//! Makes what strangers sent harmless in a log line: it can neither end the line, nor close the
//! quotes it stands in, nor steer the terminal of whoever reads it.

/// Appends `text` with every control character as `\u001b`, quotes and backslashes untouched: for
/// lines that are already formatted. In a JSON line such characters can only stand in strings, so
/// it stays the same JSON.
pub(super) fn push_controls_escaped(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, steers);
}

/// Appends `text` in quotes, as a JSON string. Text lines use the same form.
pub(super) fn push_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text, |c| matches!(c, '"' | '\\') || steers(c));
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str, escapes: impl Fn(char) -> bool) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut clean_from = 0;
    for (at, c) in text.char_indices() {
        if escapes(c) {
            out.extend_from_slice(&text.as_bytes()[clean_from..at]);
            push_escape(out, c);
            clean_from = at + c.len_utf8();
        }
    }
    out.extend_from_slice(&text.as_bytes()[clean_from..]);
}

/// Whether surely nothing in it needs an escape, as in nearly every path and name. Looks at every
/// byte without stopping early: so it is done many bytes at a time.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~');
    text.bytes().fold(true, |all, byte| all & plain(byte))
}

/// Control characters, C1 included (a terminal may take U+009B for ESC `[`), line separators,
/// and marks that turn the direction of what follows.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// All characters that are escaped lie in the first plane, so four digits do.
fn push_escape(out: &mut Vec<u8>, c: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if matches!(c, '"' | '\\') {
        out.extend_from_slice(&[b'\\', c as u8]);
        return;
    }
    let code = u32::from(c);
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[(code >> shift) as usize & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str =
        "a\"b\\c\r\n\t\0\u{1b}[31m\u{7f}\u{9b}\u{2028}\u{202e}\u{2066}é😀</script>";

    #[test]
    fn quoted_text_is_json_and_nothing_in_it_steers() {
        let mut out = Vec::new();
        push_quoted(&mut out, HOSTILE);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), HOSTILE);
        assert!(!String::from_utf8(out).unwrap().contains(steers));
    }

    #[test]
    fn a_formatted_json_line_stays_the_same_json() {
        let line = serde_json::json!({ "message": HOSTILE }).to_string();
        let mut out = Vec::new();
        push_controls_escaped(&mut out, &line);
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["message"], HOSTILE);
        assert!(!String::from_utf8(out).unwrap().contains(steers));
    }
}
