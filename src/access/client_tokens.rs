//! A client's own `Authorization`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// What a request brings as `Authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientToken {
    Absent,
    /// One `Bearer` (RFC 6750 §2.1) or `Basic` (RFC 7617 §2) credential.
    WellFormed,
    /// Anything else: several, another scheme, broken characters.
    Malformed,
}

impl ClientToken {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        match (fields.next(), fields.next()) {
            (None, _) => Self::Absent,
            (Some(field), None) if is_well_formed(field.as_bytes()) => Self::WellFormed,
            (Some(_), _) => Self::Malformed,
        }
    }
}

fn is_well_formed(field: &[u8]) -> bool {
    let Some(space) = field.iter().position(|byte| *byte == b' ') else { return false };
    let (scheme, credential) = (&field[..space], field[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        is_b64token(credential)
    } else {
        scheme.eq_ignore_ascii_case(b"basic") && STANDARD.decode(credential).is_ok()
    }
}

/// `b64token` of RFC 6750 §2.1.
fn is_b64token(token: &[u8]) -> bool {
    let end = token.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    end > 0 && token[..end].iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn forms_of_authorization() {
        use ClientToken::{Malformed, WellFormed};
        let table: [(&[u8], ClientToken); 12] = [
            (b"Bearer squ_0123", WellFormed),
            (b"bearer a.b-c_d~e+f/g==", WellFormed),
            (b"Basic c3F1XzAxMjM6", WellFormed),
            (b"BASIC  c3F1XzAxMjM6", WellFormed),
            (b"Basic c3F1XzAxM", Malformed),
            (b"Bearer", Malformed),
            (b"Bearer ", Malformed),
            (b"Bearer ==", Malformed),
            (b"Bearer a b", Malformed),
            (b"Bearer a,b", Malformed),
            (b"Negotiate abc", Malformed),
            (b"\xff\xfe", Malformed),
        ];
        for (field, wanted) in table {
            let value = HeaderValue::from_bytes(field).expect("a value");
            let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
            assert_eq!(ClientToken::of(&headers), wanted, "{field:?}");
        }
        assert_eq!(ClientToken::of(&HeaderMap::new()), ClientToken::Absent);
    }

    #[test]
    fn two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert_eq!(ClientToken::of(&headers), ClientToken::Malformed);
    }
}
