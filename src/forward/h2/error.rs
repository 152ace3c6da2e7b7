//! How a stream ends before its time.

use std::fmt;

use h2::Reason;

/// Said without the words that a server may add to its goodbye: nobody knows what they hold.
#[derive(Debug)]
pub struct StreamError(h2::Error);

impl StreamError {
    /// Whether the server promises not to have looked at the request (RFC 9113 §8.7).
    pub fn was_refused(&self) -> bool {
        let error = &self.0;
        error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM))
    }

    /// Whether the whole connection broke, and not this stream alone.
    pub fn is_lost_connection(&self) -> bool {
        self.0.is_io()
    }
}

impl From<h2::Error> for StreamError {
    fn from(error: h2::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &self.0;
        let what = match (error.is_go_away(), error.is_remote()) {
            (true, true) => "it ended the connection",
            (false, true) => "it reset the stream",
            (true, false) => "the connection was ended",
            (false, false) => "the stream was reset",
        };
        match (error.get_io(), error.reason()) {
            (Some(error), _) => write!(out, "the connection broke: {error}"),
            (None, Some(reason)) => write!(out, "{what}: {reason}"),
            (None, None) => write!(out, "it cannot be sent as HTTP/2"),
        }
    }
}

impl std::error::Error for StreamError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_happened() {
        let error = StreamError::from(h2::Error::from(Reason::PROTOCOL_ERROR));
        assert_eq!(error.to_string(), "the stream was reset: unspecific protocol error detected");
        assert!(!error.was_refused(), "we refuse nothing ourselves");
        let error = StreamError::from(h2::Error::from(Reason::REFUSED_STREAM));
        assert!(!error.was_refused());
    }
}
