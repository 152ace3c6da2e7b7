//! Problems of signing in: someone has to, or it did not come to its end.

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

    /// A form that a page of another site sent: to such a one browsers add no session
    /// (`SameSite=Lax`), so that signing in and sending it again would change nothing.
    pub fn login_required_for_foreign_form(public_url: &PublicUrl) -> Self {
        let message = "A page of another site sent this form. Browsers withhold your session from \
                       such forms, so it was not passed on to CodeScan and nothing was changed.";
        Self::login_wanted("This form came from another site", message.into())
            .offer(Action::top("Open CodeScan", Href::home(public_url)))
            .advise("If you meant to do it, open CodeScan itself and do it there.")
    }

    fn login_wanted(title: &'static str, message: Text) -> Self {
        Self::new(Code::LoginRequired, title, message)
    }
}

/// The login went out, and something did not come back.
impl Problem {
    /// The attempt is older than ten minutes, or its `state` is not one that can be opened.
    pub fn login_expired(sign_in: Href) -> Self {
        let message = "This sign-in was started more than ten minutes ago or can no longer be \
                       matched to your browser. You were not signed in.";
        Self::new(Code::LoginExpired, "This login has expired", message.into())
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
        Self::new(Code::LoginExpired, "This login has expired", message.into())
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
