//! Pages for people, and for the browser that walks through them.

use super::paths::Asked;
use super::session::Who;
use super::state::State;
use crate::answer::{self, Body};
use crate::form::Form;
use crate::page::{Look, escape, page};
use crate::wire::Head;
use http::{Response, StatusCode, Uri};

const LOOK: Look = Look { name: "CodeScan stand-in", note: "the upstream", colour: "#0f6b5c" };
/// So many characters of a credential are shown.
const SHOWN: usize = 6;

/// Any page: who is here, and what has been received.
pub(super) fn any(state: &State, asked: &Asked) -> Response<Body> {
    let base = &state.context_path;
    let content = format!(
        "<p class=\"who\" id=\"who\">{who}</p>\n\
         <nav><a href=\"{base}/\">Home</a><a href=\"{base}/projects?sort=name\">Projects</a>\
         <a href=\"{base}/api/push/sonarlint_events\">Events</a>\
         <a href=\"{base}/_codescan/oauth2/userinfo\">Who am I (proxy)</a>\
         <a id=\"logout\" href=\"{base}/sessions/logout\">Log out</a>\
         <a id=\"proxy-logout\" href=\"{base}/_codescan/oauth2/logout\">Log out (proxy)</a></nav>\n\
         <h2>A form</h2>\n<form class=\"row\" method=\"post\" action=\"{base}/form\">\
         <input type=\"text\" name=\"text\" id=\"text\" value=\"Hello\">\
         <button id=\"send\">Send</button></form>\n\
         <h2>Headers received</h2>\n<table id=\"headers\">{headers}</table>",
        who = greeting(&asked.who),
        headers = rows(asked),
    );
    let title = format!("{} {}", asked.head.method, asked.head.uri.path());
    answer::html(StatusCode::OK, page(&LOOK, &title, &content))
}

fn greeting(who: &Who) -> String {
    match who {
        Who::Nobody => "Nobody is logged in.".to_owned(),
        Who::Unknown => "Credentials came that are unknown here.".to_owned(),
        Who::Person { login, name, by } => {
            let (login, name) = (escape(login), escape(name));
            format!("Logged in: <b id=\"name\">{name}</b> (<span id=\"login\">{login}</span>) ")
                + &format!("<small>by {}</small>", format!("{by:?}").to_lowercase())
        }
    }
}

fn rows(asked: &Asked) -> String {
    let Some(head) = asked.head.extensions.get::<Head>() else { return String::new() };
    let row = |(name, value): &(String, String)| {
        format!("<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&masked(name, value)))
    };
    head.headers.iter().map(row).collect()
}

/// No page shows a whole credential.
fn masked(name: &str, value: &str) -> String {
    let cut = |secret: &str| match secret.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &secret[..at]),
        None => "…".to_owned(),
    };
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "authorization" | "proxy-authorization" => {
            let (scheme, secret) = value.split_once(' ').unwrap_or(("", value));
            format!("{scheme} {}", cut(secret))
        }
        "cookie" => {
            let one = |pair: &str| match pair.split_once('=') {
                Some((name, secret)) => format!("{}={}", name.trim(), cut(secret)),
                None => cut(pair),
            };
            value.split(';').map(one).collect::<Vec<_>>().join("; ")
        }
        _ => value.to_owned(),
    }
}

/// `POST /form`: what was sent, and by whom.
pub(super) fn posted(state: &State, asked: &Asked) -> Response<Body> {
    let form = Form::parse(&asked.body);
    let content = format!(
        "<p class=\"who\" id=\"who\">{}</p><p>You sent: <b id=\"sent\">{}</b></p>\
         <p><a href=\"{}/\">Back</a></p>",
        greeting(&asked.who),
        escape(form.one("text").unwrap_or_default()),
        state.context_path,
    );
    answer::html(StatusCode::OK, page(&LOOK, "Form received", &content))
}

/// Where the application's own connections come back to: shows the query as it came.
pub(super) fn foreign_callback(asked: &Asked) -> Response<Body> {
    let target = asked.head.extensions.get::<Head>().map(|head| head.target.clone());
    let target = target.unwrap_or_else(|| asked.head.uri.to_string());
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let content = format!("<p>Connection set-up came back with:</p><pre id=\"query\">{}</pre>", {
        escape(query)
    });
    answer::html(StatusCode::OK, page(&LOOK, "CodeScan's own callback", &content))
}

/// `/sessions/logout`: posts the logout, by script as the real page does, or by its button.
pub(super) fn logout(state: &State) -> Response<Body> {
    let base = &state.context_path;
    let content = format!(
        "<form method=\"post\" action=\"{base}/api/authentication/logout\">\
         <button class=\"main\" id=\"logout-now\">Log out</button></form>\n\
         <script>fetch('{base}/api/authentication/logout',{{method:'POST'}})\
         .then(()=>location.replace('{base}/'))</script>"
    );
    answer::html(StatusCode::OK, page(&LOOK, "Log out", &content))
}

/// The page after a logout by the button.
pub(super) fn logged_out(state: &State) -> String {
    let content = format!("<p>Logged out. <a href=\"{}/\">Home</a></p>", state.context_path);
    page(&LOOK, "Log out", &content)
}

/// `/sessions/new`: the application's own login, which nobody should meet behind the proxy.
pub(super) fn own_login(state: &State, uri: &Uri) -> Response<Body> {
    let base = &state.context_path;
    let back = Form::of_query(uri).one("return_to").map_or_else(|| format!("{base}/"), escape);
    let content = format!(
        "<form class=\"row\" method=\"post\" action=\"{base}/api/authentication/login\">\
         <input type=\"hidden\" name=\"return_to\" value=\"{back}\">\
         <input type=\"text\" name=\"login\" id=\"login\" placeholder=\"Login\">\
         <button id=\"own-login\">Log in to CodeScan itself</button></form>"
    );
    answer::html(StatusCode::OK, page(&LOOK, "CodeScan's own login", &content))
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn credentials_are_cut_in_every_spelling_of_their_header() {
        assert_eq!(masked("Authorization", "Bearer abcdefghij"), "Bearer abcdef…");
        assert_eq!(masked("AUTHORIZATION", "abc"), " …");
        assert_eq!(masked("cookie", "a=1; JWT-SESSION=0123456789"), "a=…; JWT-SESSION=012345…");
        assert_eq!(masked("Accept", "text/html"), "text/html");
    }
}
