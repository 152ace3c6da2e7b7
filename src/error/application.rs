//! Problems of a request itself, of this proxy, and of `CodeScan` behind it.

use std::time::Duration;

use super::{Code, Problem, Text};

/// `CodeScan` did not answer. Its address is internal and is not told.
impl Problem {
    /// No connection within `codescan.connect_timeout`, or it broke before the response head.
    pub fn upstream_unreachable() -> Self {
        let message = "You are not at fault: this proxy is running, but CodeScan behind it does \
                       not answer.";
        Self::new(Code::UpstreamUnreachable, "CodeScan cannot be reached", message.into())
            .advise("CodeScan may be starting. Wait a minute, then reload this page.")
            .tell_administrator(
                "Is CodeScan running, and is `codescan.url` its address as seen from this proxy? \
                 It must accept a connection within `codescan.connect_timeout`.",
            )
            .tell_administrator("The log line with this request id has the exact cause.")
    }

    /// No response head within `codescan.response_timeout`.
    pub fn upstream_timeout() -> Self {
        let message = "CodeScan took the request, but did not begin to answer in time. What it \
                       was asked for may still be done.";
        Self::new(Code::UpstreamTimeout, "CodeScan did not answer in time", message.into())
            .advise("Look whether it was done before you try again.")
            .tell_administrator(
                "If this request needs longer, raise `codescan.response_timeout`. If many do, \
                 CodeScan is overloaded or waits for its database.",
            )
    }

    /// A bound of this proxy is reached.
    pub fn overloaded(retry_after: Duration) -> Self {
        let message = "There are more requests at this moment than this proxy takes at a time. \
                       Yours was not passed on.";
        Self::new(Code::Overloaded, "Too many requests at once", message.into())
            .advise("Wait a few seconds, then reload this page.")
            .tell_administrator(
                "When CodeScan is slow, requests pile up before it. `codescan.max_connections` \
                 bounds how many it gets at a time.",
            )
            .wait(retry_after)
    }

    /// More logins than are finished at a time; the code of this one is unspent.
    pub fn too_many_logins(retry_after: Duration) -> Self {
        let message = "More people are signing in at this moment than this proxy takes at a time. \
                       You are not signed in yet.";
        Self::new(Code::Overloaded, "Too many logins at once", message.into())
            .advise("Wait a few seconds, then reload this page.")
            .tell_administrator(
                "Logins pile up when Bitbucket is slow to answer; `bitbucket.timeout` bounds how \
                 long each may take.",
            )
            .wait(retry_after)
    }

    /// The session store did not answer: nobody is signed out by that.
    pub fn session_store_unavailable(retry_after: Duration) -> Self {
        let message = "This proxy cannot look up sessions just now. You have not been signed out.";
        Self::new(
            Code::SessionStoreUnavailable,
            "Sessions are not available just now",
            message.into(),
        )
        .advise("Wait a few seconds, then reload this page.")
        .tell_administrator(
            "The store that `session.store` names does not answer. The log line with this \
             request id has the exact cause.",
        )
        .wait(retry_after)
    }

    fn wait(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }
}

/// The request cannot be served as it is.
impl Problem {
    /// The head is larger than `server.max_header_size`, of which `limit` is the value in bytes.
    pub fn header_too_large(limit: usize) -> Self {
        let message = Text::new("The head of this request is larger than ")
            .amount(size(limit as u64))
            .words(". Mostly this is due to cookies, or to a very long address.");
        Self::new(Code::HeaderTooLarge, "The head of the request is too large", message)
            .advise("Delete the cookies of this site in your browser, then open it again.")
            .tell_administrator(
                "The limit is `server.max_header_size`. Other applications on the same domain may \
                 set cookies that come here too.",
            )
    }

    /// The body is larger than `server.max_body_size`, of which `limit` is the value in bytes.
    pub fn body_too_large(limit: u64) -> Self {
        let message = Text::new("What you sent is larger than ")
            .amount(size(limit))
            .words(", the most that this proxy takes. It was not passed on to CodeScan.");
        Self::new(Code::BodyTooLarge, "The upload is too large", message).tell_administrator(
            "The limit is `server.max_body_size`; `0` means none. Reports of scanners of large \
             projects can be many megabytes.",
        )
    }

    /// The address takes only the methods in `allow`, written as in the field `Allow`.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let message = Text::new("This address takes only ").setting(allow).words(".");
        let mut problem =
            Self::new(Code::MethodNotAllowed, "This method is not allowed here", message);
        problem.allow = Some(allow);
        problem
    }

    /// One of our own addresses that is not served on this listener.
    pub fn not_found() -> Self {
        let message = "There is nothing at this address.";
        Self::new(Code::NotFound, "Not found", message.into()).tell_administrator(
            "`/_codescan/oauth2/auth` answers only on `server.auth_listen`, so that no page's \
             script can read a token.",
        )
    }

    /// The request breaks a rule. `fault` says which, in a whole sentence.
    pub fn invalid_request(fault: impl Into<Text>) -> Self {
        let title = "This request cannot be understood";
        Self::new(Code::InvalidRequest, title, fault.into()).advise(
            "If you followed a link, the link may be broken. Open CodeScan at its usual address.",
        )
    }
}

/// A number of bytes as people write it.
fn size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = |&(_, unit): &(&str, u64)| bytes > 0 && bytes.is_multiple_of(unit);
    match units.into_iter().find(fits) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_written_as_in_the_settings() {
        let cases =
            [(0, "0 bytes"), (1023, "1023 bytes"), (32 << 10, "32 KiB"), (1025, "1025 bytes")];
        for (bytes, expected) in cases.into_iter().chain([(10 << 20, "10 MiB"), (1 << 30, "1 GiB")])
        {
            assert_eq!(size(bytes), expected);
        }
    }
}
