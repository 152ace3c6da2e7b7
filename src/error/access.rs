//! Problems of who may go on: a client with a token, a person, another site.

use super::{Action, Code, Href, Problem, Text};
use crate::config::public_url::PublicUrl;

/// A client, such as a scanner or an editor, brought a token of its own.
impl Problem {
    /// Refused because of `access.client_tokens = "deny"`.
    pub fn client_token_refused() -> Self {
        let message = "This request brings its own `Authorization`, which this proxy does not let \
                       through while `access.client_tokens` is `deny`. Set `access.client_tokens` \
                       to `pass` so that scanners and IDE plug-ins can use their CodeScan tokens.";
        Self::token_refused(message.into()).advise(
            "Scanners and IDE plug-ins cannot sign in through Bitbucket: they need the setting \
             above. In a browser, sign in without a token.",
        )
    }

    /// Refused although tokens pass: it is neither a well-formed Bearer nor Basic.
    pub fn client_token_malformed() -> Self {
        let message = "The `Authorization` of this request is neither a well-formed `Bearer` nor \
                       a well-formed `Basic`. Only these go through with `access.client_tokens` \
                       set to `pass`.";
        Self::token_refused(message.into())
            .advise("Look for a line break, a space or quotation marks in the token.")
    }

    fn token_refused(message: Text) -> Self {
        Self::new(Code::ClientTokenRefused, "This token is not let through", message)
    }
}

/// The person is known or has answered, and may not go on.
impl Problem {
    /// The authorization response says `access_denied`.
    pub fn consent_denied(sign_in: Href) -> Self {
        let message = "You pressed Deny in Bitbucket, so you were not signed in. CodeScan opens \
                       only for those who allow it there.";
        Self::denied("Access was denied in Bitbucket", message.into(), sign_in).advise(
            "If that was a mistake, sign in once more and press Allow. Bitbucket asks for rights \
             that CodeScan can use in your name, never for more than you have yourself.",
        )
    }

    /// The authorization response holds an `error` (RFC 6749 §4.1.2.1), whichever it is. Each is
    /// a 403: a stranger can write such an address, and with a 5xx could have a load balancer
    /// take this proxy for broken.
    pub fn authorization_refused(error: &str, scopes: &[String], sign_in: Href) -> Self {
        match error {
            "access_denied" => Self::consent_denied(sign_in),
            "invalid_scope" => Self::scope_refused(scopes, sign_in),
            "server_error" | "temporarily_unavailable" => Self::refused_for_now(error, sign_in),
            "unauthorized_client" => Self::refused_grant(error, sign_in),
            "invalid_request" | "unsupported_response_type" => {
                Self::refused_with(error, sign_in).tell_administrator(WRONG_ADDRESS)
            }
            _ => Self::refused_with(error, sign_in)
                .tell_administrator("The log of Bitbucket may say why it answered so."),
        }
    }

    fn scope_refused(scopes: &[String], sign_in: Href) -> Self {
        let message = "Bitbucket does not grant the permissions that this proxy asks for \
                       (`invalid_scope`). `bitbucket.scopes` and the application link in \
                       Bitbucket do not agree.";
        let asked = Text::new("`bitbucket.scopes` is now ").setting(&scopes.join(" ")).words(
            ". Use the names Bitbucket knows, in capitals: `REPO_ADMIN` is what CodeScan needs.",
        );
        Self::denied("Bitbucket did not grant the permissions", message.into(), sign_in)
            .tell_administrator(asked)
            .tell_administrator(
                "In Bitbucket, open Administration › Applications › Application links, edit the \
                 link of CodeScan, and tick the permission Repositories - Admin.",
            )
    }

    fn refused_for_now(error: &str, sign_in: Href) -> Self {
        let message = Text::new("Bitbucket had a problem of its own while you were signing in (")
            .value(error)
            .words("). You were not signed in.");
        Self::denied("Bitbucket could not finish the sign-in", message, sign_in)
            .advise("Wait a minute, then sign in again.")
            .tell_administrator("The log of Bitbucket says what happened there.")
    }

    fn refused_grant(error: &str, sign_in: Href) -> Self {
        Self::refused_with(error, sign_in).tell_administrator(
            "The application link in Bitbucket must be of the type External application with the \
             direction Incoming, and `bitbucket.client_id` must be its client id: \
             Administration › Applications › Application links.",
        )
    }

    fn refused_with(error: &str, sign_in: Href) -> Self {
        let message = Text::new("Bitbucket ended the sign-in with the answer ")
            .value(error)
            .words(". You were not signed in.");
        Self::denied("Bitbucket refused the sign-in", message, sign_in)
    }

    /// Bitbucket no longer takes this person for an active user.
    pub fn inactive_user(user: &str, sign_in: Href) -> Self {
        let message = Text::new("The Bitbucket account ")
            .value(user)
            .words(" is not active, so it cannot be used to sign in to CodeScan.");
        Self::denied("This Bitbucket account is not active", message, sign_in)
            .advise(OTHER_ACCOUNT)
            .tell_administrator(
                "In Bitbucket, Administration › Accounts › Users shows whether the account is \
                 active and has a licence.",
            )
    }

    /// A login of a person whom the `access` settings keep out.
    pub fn not_let_in(user: &str, sign_in: Href) -> Self {
        Self::denied("This account is not let in", not_let_in(user), sign_in)
            .advise(OTHER_ACCOUNT)
            .tell_administrator(LET_IN)
    }

    /// A live session of a person whom the `access` settings keep out by now.
    pub fn no_longer_let_in(user: &str, sign_out: Href) -> Self {
        Self::new(Code::AccessDenied, "This account is not let in", not_let_in(user))
            .offer(Action::top("Sign out", sign_out))
            .advise("If you are to be let in again, you need not sign in anew: reload this page.")
            .advise("To use another account, sign out here and in Bitbucket.")
            .tell_administrator(LET_IN)
    }

    fn denied(title: &'static str, message: Text, sign_in: Href) -> Self {
        Self::new(Code::AccessDenied, title, message).offer(Action::top("Sign in again", sign_in))
    }

    /// An unsafe request or WebSocket handshake that another origin caused.
    pub fn cross_site_request(public_url: &PublicUrl) -> Self {
        let message = "Another site tried to do something in CodeScan in your name. It was not \
                       passed on, and nothing was changed.";
        let seen_as =
            Text::new("`server.public_url` must be the address that browsers show. It is ")
                .setting(&public_url.at(""))
                .words(". A request counts as coming from another site if its `Origin` differs.");
        Self::new(Code::CrossSiteRequest, "This request came from another site", message.into())
            .offer(Action::top("Open CodeScan", Href::home(public_url)))
            .advise("If you meant to do it, open CodeScan itself and repeat it there.")
            .tell_administrator(seen_as)
    }
}

const OTHER_ACCOUNT: &str =
    "To use another account, sign out in Bitbucket first: it remembers who you are.";
const LET_IN: &str = "The settings under `access` say who is let in: `access.users`, \
                      `access.projects`, `access.repositories` and `access.groups`.";
const WRONG_ADDRESS: &str = "Bitbucket did not understand the request: look at \
                             `bitbucket.authorize_url` and at `bitbucket.redirect_url`.";

fn not_let_in(user: &str) -> Text {
    Text::new("You are signed in to Bitbucket as ")
        .value(user)
        .words(". This account is not among those that may use CodeScan here.")
}
