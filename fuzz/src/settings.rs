//! Values as they are written in settings: `config/values.rs`.

use codescan_oauth_proxy::config::values::{duration, size};

/// Durations and sizes mean the same in the smallest unit, and nothing but digits is a number.
pub fn values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(value) = duration(text) {
        assert_eq!(duration(&format!("{}ms", value.as_millis())), Ok(value));
    }
    if let Ok(bytes) = size(text) {
        assert_eq!(size(&bytes.to_string()), Ok(bytes));
    }
    if duration(text).is_ok() || size(text).is_ok() {
        let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        assert!(!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
    }
}
