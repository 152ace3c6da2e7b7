//! The names of a request in logs and traces.

use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use http::{HeaderMap, HeaderValue};

use crate::digits::write_hex;
use crate::forward::fields::{REQUEST_ID, TRACEPARENT, Trace};

/// Longest `X-Request-Id` that is kept.
const LONGEST_ID: usize = 128;

/// Request id and trace context: a trusted proxy's, or ours.
pub struct Identity {
    pub request_id: RequestId,
    pub trace: Trace,
}

/// Visible ASCII.
pub enum RequestId {
    Given(HeaderValue),
    Made([u8; 36]),
}

impl Identity {
    /// `now` becomes part of an id that is made.
    pub fn of(headers: &HeaderMap, is_trusted: bool, now: SystemTime) -> Self {
        let given = |name| if is_trusted { headers.get(name) } else { None };
        let request_id = given(REQUEST_ID).filter(|id| is_plain(id)).cloned();
        let traceparent = given(TRACEPARENT).filter(|value| is_traceparent(value));
        let traceparent = traceparent.and_then(|value| value.as_bytes().try_into().ok());
        let mut random = Rng::new();
        Self {
            request_id: request_id
                .map_or_else(|| RequestId::make(now, &mut random), RequestId::Given),
            trace: Trace {
                keep_tracestate: traceparent.is_some(),
                traceparent: traceparent.unwrap_or_else(|| new_traceparent(&mut random)),
            },
        }
    }
}

impl RequestId {
    /// `UUIDv7` (RFC 9562 §5.7). Not a secret, so the generator need not be a slow one.
    fn make(now: SystemTime, random: &mut Rng) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let random = random.u128(..).to_be_bytes();
        let mut ten = [0; 10];
        ten.copy_from_slice(&random[..10]);
        let id = uuid::Builder::from_unix_timestamp_millis(millis, &ten).into_uuid();
        let mut text = [0; 36];
        id.hyphenated().encode_lower(&mut text);
        Self::Made(text)
    }

    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Given(id) => id.as_bytes(),
            Self::Made(id) => id,
        }
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    pub fn to_value(&self) -> HeaderValue {
        match self {
            Self::Given(id) => id.clone(),
            Self::Made(id) => HeaderValue::from_bytes(id).expect("hexadecimal digits and dashes"),
        }
    }
}

/// W3C Trace Context §3.2: version 00, not sampled.
fn new_traceparent(random: &mut Rng) -> [u8; 55] {
    // Ids of zeros only are invalid.
    let (trace, parent) = (random.u128(..).max(1), random.u64(..).max(1));
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    write_hex(&mut text[3..35], &trace.to_be_bytes());
    write_hex(&mut text[36..52], &parent.to_be_bytes());
    text
}

fn is_plain(id: &HeaderValue) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

fn is_traceparent(value: &HeaderValue) -> bool {
    let parts: Vec<&[u8]> = value.as_bytes().split(|byte| *byte == b'-').collect();
    let hex = |part: &[u8], length: usize| {
        part.len() == length && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    match parts.as_slice() {
        [version, trace, parent, flags] => {
            *version == b"00"
                && hex(trace, 32)
                && some(trace)
                && hex(parent, 16)
                && some(parent)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn given(name: http::HeaderName, value: &'static str, is_trusted: bool) -> Identity {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        Identity::of(&headers, is_trusted, SystemTime::now())
    }

    #[test]
    fn only_a_trusted_peer_names_a_request() {
        assert_eq!(given(REQUEST_ID, "abc", true).request_id.as_str(), "abc");
        assert_ne!(given(REQUEST_ID, "abc", false).request_id.as_str(), "abc");
        for odd in ["", "a b"] {
            assert_ne!(given(REQUEST_ID, odd, true).request_id.as_str(), odd);
        }
        let made = given(TRACEPARENT, "x", false);
        let id = Uuid::parse_str(made.request_id.as_str()).expect("a UUID");
        assert_eq!(id.get_version_num(), 7);
    }

    #[test]
    fn trace_context_is_kept_whole_or_made() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(given(TRACEPARENT, good, true).trace.traceparent, good.as_bytes());
        assert!(!given(TRACEPARENT, good, false).trace.keep_tracestate);
        for broken in ["00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let made = given(TRACEPARENT, broken, true).trace.traceparent;
            let made = HeaderValue::from_bytes(&made).expect("ASCII");
            assert!(is_traceparent(&made), "{made:?}");
        }
    }
}
