//! Problems between this proxy and Bitbucket.

use std::time::Duration;

use http::StatusCode;

use super::{Action, Code, Href, Problem, Text};

/// Why a call to Bitbucket brought no usable answer, without addresses: strangers may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitbucketFault {
    /// The name is not known, or nothing listens there.
    NoConnection,
    /// The certificate is not trusted, or TLS failed otherwise.
    Tls,
    /// The outbound proxy refused or could not be reached.
    OutboundProxy,
    /// No complete answer within `bitbucket.timeout`.
    Timeout,
    /// Bitbucket said 429.
    RateLimited,
    /// Bitbucket, or something in front of it, answered with a 5xx.
    ServerError(StatusCode),
    /// The answer is not what Bitbucket's OAuth provider or REST API says; its status, where
    /// that is what is odd.
    UnexpectedAnswer(Option<StatusCode>),
}

impl BitbucketFault {
    fn what_happened(self) -> Text {
        match self {
            Self::NoConnection => "This proxy could not connect to Bitbucket.".into(),
            Self::Tls => "This proxy could not make a trusted TLS connection to Bitbucket.".into(),
            Self::OutboundProxy => {
                "The outbound proxy on the way to Bitbucket did not let the call through.".into()
            }
            Self::Timeout => "Bitbucket did not answer in time.".into(),
            Self::RateLimited => {
                "Bitbucket answered that it is asked too often just now (status `429`).".into()
            }
            Self::ServerError(status) => {
                Text::new("Bitbucket answered with an error of its own (status ")
                    .setting(status.as_str())
                    .words(").")
            }
            Self::UnexpectedAnswer(Some(status)) => {
                Text::new("What answered does not speak as Bitbucket does (status ")
                    .setting(status.as_str())
                    .words(").")
            }
            Self::UnexpectedAnswer(None) => {
                "What answered does not speak as Bitbucket does.".into()
            }
        }
    }

    fn what_to_look_at(self) -> &'static str {
        match self {
            Self::NoConnection => {
                "Check `bitbucket.url` (and `bitbucket.token_url`, where set), the name \
                 service and the firewall; behind an outbound proxy, `bitbucket.proxy_url`."
            }
            Self::Tls => {
                "If Bitbucket's certificate comes from an authority of your own, name that \
                 authority's PEM file in `bitbucket.ca_file`. The host of `bitbucket.url` must \
                 stand in the certificate."
            }
            Self::OutboundProxy => {
                "Check `bitbucket.proxy_url`, or `HTTPS_PROXY` and `NO_PROXY` where it is not set."
            }
            Self::Timeout => {
                "If Bitbucket is merely slow, raise `bitbucket.timeout`. If a firewall drops the \
                 call, check `bitbucket.url` and `bitbucket.proxy_url`."
            }
            Self::RateLimited => {
                "Bitbucket's rate limiting has a list of exemptions: Administration › System › \
                 Rate limiting."
            }
            Self::ServerError(_) => {
                "Look into the log of Bitbucket, and of a proxy between (`bitbucket.url`)."
            }
            Self::UnexpectedAnswer(_) => {
                "Check `bitbucket.url`, its context path included, and `bitbucket.token_url` and \
                 `bitbucket.whoami_url` where set. Bitbucket Data Center has an OAuth 2.0 \
                 provider since 7.20."
            }
        }
    }
}

impl Problem {
    /// A call to Bitbucket failed. `sign_in` is there at a login, which then has to start again;
    /// without it a session waits for Bitbucket to come back, and is kept.
    pub fn bitbucket_unreachable(
        fault: BitbucketFault,
        retry_after: Option<Duration>,
        sign_in: Option<Href>,
    ) -> Self {
        let again = if sign_in.is_some() {
            " You were not signed in."
        } else {
            " Your session is kept; this page works again as soon as Bitbucket does."
        };
        let message = fault.what_happened().words(again);
        let mut problem =
            Self::new(Code::BitbucketUnreachable, "Bitbucket is not available", message)
                .advise("Wait a minute, then try again. If it lasts, tell your administrator.")
                .tell_administrator(fault.what_to_look_at())
                .tell_administrator(EXACT_CAUSE);
        problem.action = sign_in.map(|href| Action::top("Start again", href));
        problem.retry_after = retry_after;
        problem
    }

    /// The token endpoint does not know this client (`invalid_client`, `unauthorized_client`).
    /// The client id is public: it stands in the address of each authorization request.
    pub fn bitbucket_rejected_client(client_id: &str, sign_in: Option<Href>) -> Self {
        let message = "Bitbucket does not accept this proxy: `bitbucket.client_id` or \
                       `bitbucket.client_secret` is not what the application link in Bitbucket \
                       has. You can do nothing about it here; please tell your administrator.";
        let in_use = Text::new("`bitbucket.client_id` is now ")
            .setting(client_id)
            .words(". The secret may also be of another link, cut short, or replaced since.");
        let mut problem = Self::new(
            Code::BitbucketRejectedClient,
            "Bitbucket does not accept the client id or secret",
            message.into(),
        )
        .tell_administrator(APPLICATION_LINKS)
        .tell_administrator(in_use);
        problem.action = sign_in.map(|href| Action::top("Try again", href));
        problem
    }

    /// The token endpoint says that the redirect URL is not that of the application link.
    pub fn redirect_url_mismatch(redirect_url: &str, sign_in: Href) -> Self {
        let message = "The redirect URL of this proxy is not the one in Bitbucket, so the sign-in \
                       could not be completed. You can do nothing about it here; please tell your \
                       administrator.";
        let in_use = Text::new("This proxy uses ").setting(redirect_url).words(
            " (`bitbucket.redirect_url`). It must stand as Redirect URL in the application link \
             character for character: https or http, the host, the port, the path, no slash at \
             the end.",
        );
        Self::new(Code::RedirectUrlMismatch, "The redirect URL does not match", message.into())
            .offer(Action::top("Try again", sign_in))
            .tell_administrator(in_use)
            .tell_administrator(
                "In Bitbucket, the link is under Administration › Applications › Application \
                 links. Change either side until both are the same.",
            )
    }
}

const EXACT_CAUSE: &str = "The log line with this request id has the exact cause, and \
                           `codescan-oauth-proxy doctor` tries each call.";
const APPLICATION_LINKS: &str = "In Bitbucket, open Administration › Applications › Application links and the link of \
     CodeScan. Copy its Client ID to `bitbucket.client_id` and its Client Secret to \
     `bitbucket.client_secret` (or into the file that `bitbucket.client_secret_file` names).";
