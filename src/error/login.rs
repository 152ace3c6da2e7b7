//! Problems of signing in and of who the person is.

use super::{Action, Code, Href, Problem, Text};
use crate::config::public_url::PublicUrl;

/// Someone needs to sign in first.
impl Problem {
    /// A request without a session that is not sent to Bitbucket. For machines the answer holds
    /// only the code and `sign_in` as `login_url`.
    pub fn login_required(sign_in: Href) -> Self {
        Self::login_wanted("Please sign in", "You need to sign in to see this.".into())
            .offer(Action::top("Sign in", sign_in))
    }

    /// A navigation inside a frame, where Bitbucket's login page cannot be shown.
    pub fn login_required_in_frame(sign_in: Href) -> Self {
        let message = "This part of the page needs you to sign in. Signing in cannot happen \
                       inside a frame, so the link below opens it in the whole window.";
        Self::login_wanted("Please sign in", message.into()).offer(Action::top("Sign in", sign_in))
    }

    /// A form post of a browser whose session has ended: the tab still holds what was typed.
    pub fn login_required_for_form(sign_in: Href) -> Self {
        let message = "Your session ended before this form arrived. Nothing of it was saved or \
                       kept here, but this tab still holds what you entered.";
        Self::login_wanted("You are no longer signed in", message.into())
            .offer(Action::new_tab("Sign in in a new tab", sign_in))
            .advise("First leave this tab open, and sign in in a new one.")
            .advise(
                "Then come back here, reload the page and agree that the form is sent again; or \
                 go back one page and submit it once more.",
            )
    }

    fn login_wanted(title: &'static str, message: Text) -> Self {
        Self::new(Code::LoginRequired, title, message)
    }
}

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

    /// The authorization response holds any other `error` (RFC 6749 §4.1.2.1). All of them are
    /// 403: a stranger can write such an address, and a 5xx would let them have this proxy
    /// taken for broken.
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

/// The login went out, and something did not come back.
impl Problem {
    /// The attempt is older than ten minutes, or its `state` is not one that can be opened.
    pub fn login_expired(sign_in: Href) -> Self {
        let message = "This sign-in was started more than ten minutes ago or can no longer be \
                       matched to your browser. You were not signed in.";
        Self::new(Code::LoginExpired, "This sign-in has expired", message.into())
            .offer(Action::top("Start again", sign_in))
            .advise("Start again with the link. Do not use a bookmark of a sign-in page.")
            .tell_administrator(
                "If it happens to everybody: replicas must share `session.cookie_secret`, and \
                 without that setting a restart ends every sign-in that is under way.",
            )
    }

    /// Bitbucket says that the code is spent, expired or not ours (`invalid_grant`).
    pub fn code_expired(sign_in: Href) -> Self {
        let message = "Bitbucket no longer accepts the code of this sign-in: it holds once, and \
                       for a few seconds only. You were not signed in.";
        Self::new(Code::LoginExpired, "This sign-in has expired", message.into())
            .offer(Action::top("Start again", sign_in))
            .advise("Start again with the link. Going back to an older page does not help.")
            .tell_administrator(
                "If it happens every time: compare `bitbucket.redirect_url` with the Redirect URL \
                 of the application link in Bitbucket, and `bitbucket.client_id` with its client \
                 id. The log line of this request names those in use.",
            )
    }

    /// The way back from Bitbucket lacks the cookie that the login set out with.
    pub fn login_cookie_lost(public_url: &PublicUrl, sign_in: Href) -> Self {
        let message = "Your browser came back from Bitbucket without the cookie that this sign-in \
                       began with. You were not signed in.";
        cookie_lost("The sign-in cookie did not come back", message, public_url, sign_in)
    }

    /// A login was completed just now, and the session's cookie is not there.
    pub fn session_cookie_lost(public_url: &PublicUrl, sign_in: Href) -> Self {
        let message = "Bitbucket signed you in a moment ago, but your browser did not bring the \
                       session back. You were not sent to Bitbucket again, as that could go on \
                       for ever.";
        cookie_lost("Signed in, but the session is not there", message, public_url, sign_in)
            .tell_administrator(
                "With several replicas and `session.store` set to `memory`, each knows only the \
                 sessions it made: use a store that they share, or a single replica.",
            )
    }
}

const OTHER_ACCOUNT: &str =
    "To use another account, sign out in Bitbucket first: it remembers who you are.";
const LET_IN: &str = "The settings under `access` say who is let in: `access.users`, \
                      `access.projects`, `access.repositories` and `access.groups`.";
const WRONG_ADDRESS: &str = "Bitbucket did not understand the request: look at `bitbucket.authorize_url` and at \
     `bitbucket.redirect_url`.";

fn not_let_in(user: &str) -> Text {
    Text::new("You are signed in to Bitbucket as ")
        .value(user)
        .words(". This account is not among those that may use CodeScan here.")
}

fn cookie_lost(
    title: &'static str,
    message: &'static str,
    public_url: &PublicUrl,
    sign_in: Href,
) -> Problem {
    let one_address = Text::new("`server.public_url` is ").setting(&public_url.at("")).words(
        ". Browsers must reach CodeScan at exactly this address: http in place of https, \
             another host name or another port loses the cookie.",
    );
    Problem::new(Code::CookieLost, title, message.into())
        .offer(Action::top("Start again", sign_in))
        .advise("Allow cookies for this site; a private window or an extension may block them.")
        .advise("Open CodeScan at its usual address, not at an IP address or a short name.")
        .tell_administrator(one_address)
        .tell_administrator("A proxy in front must pass `Set-Cookie` and `Cookie` on unchanged.")
}
