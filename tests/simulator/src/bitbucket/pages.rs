//! What a person sees: login, consent, and little more. Works without script.

use super::authorize::Request;
use super::calls::Call;
use super::routes::{Asked, SESSION_COOKIE};
use super::state::State;
use crate::answer::{self, Body};
use crate::form::Form;
use crate::page::{Look, escape, page};
use crate::random;
use http::header::SET_COOKIE;
use http::{Response, StatusCode};
use std::fmt::Write;

const LOOK: Look =
    Look { name: "Bitbucket simulator", note: "not the real one", colour: "#1b4a9c" };

/// The login page's address, which leads back to `next` afterwards.
pub(super) fn login_address(state: &State, next: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("next", next);
    format!("{}/login?{}", state.context_path, query.finish())
}

/// Who are you?
pub(super) fn login(state: &State, asked: &Asked) -> Response<Body> {
    let query = asked.query();
    let next = escape(&inside(state, query.one("next")));
    let action = format!("{}/login", state.context_path);
    let hidden = format!("<input type=\"hidden\" name=\"next\" value=\"{next}\">");
    let mut buttons = String::new();
    for person in state.people().iter() {
        let (slug, name) = (escape(&person.slug), escape(&person.name));
        let shown = escape(&person.display_name);
        let state = if person.active { "" } else { ", inactive" };
        let _ = writeln!(
            buttons,
            "<button id=\"login-{slug}\" name=\"user\" value=\"{name}\">{shown}\
             <small>{name}{state}</small></button>"
        );
    }
    let content = format!(
        "<p>Choose a person. There are no passwords here.</p>\n\
         <form class=\"people\" method=\"post\" action=\"{action}\">{hidden}\n{buttons}</form>\n\
         <h2>Somebody else</h2>\n\
         <form class=\"row\" method=\"post\" action=\"{action}\">{hidden}\n\
         <input type=\"text\" name=\"user\" id=\"user\" placeholder=\"User name\" required>\n\
         <button id=\"login\">Log in</button></form>"
    );
    answer::html(StatusCode::OK, page(&LOOK, "Log in", &content))
}

/// The login form was posted.
pub(super) fn log_in(state: &State, asked: &Asked) -> Response<Body> {
    state.calls.note(Call::Login);
    let form = Form::parse(&asked.body);
    let next = inside(state, form.one("next"));
    let name = form.one("user").unwrap_or_default();
    let slug = {
        let people = state.people();
        let person = people.iter().find(|one| one.name.eq_ignore_ascii_case(name));
        person.map(|person| person.slug.clone())
    };
    let Some(slug) = slug else { return answer::see_other(&login_address(state, &next)) };
    let session = random::hex(16);
    state.sessions().insert(session.clone(), slug);
    let mut response = answer::see_other(&next);
    set_session(state, &mut response, &session, "");
    response
}

/// Ends the session of Bitbucket's own pages.
pub(super) fn log_out(state: &State, asked: &Asked) -> Response<Body> {
    if let Some(slug) = asked.browser_session(state) {
        state.sessions().retain(|_, one| *one != slug);
    }
    let mut response = answer::see_other(&format!("{}/", state.context_path));
    set_session(state, &mut response, "", "; Max-Age=0");
    response
}

/// The front page.
pub(super) fn welcome(state: &State, asked: &Asked) -> Response<Body> {
    let base = &state.context_path;
    let who = asked.browser_session(state);
    let content = who.map_or_else(
        || format!("<p>Nobody is logged in. <a href=\"{base}/login\">Log in</a></p>"),
        |slug| {
            let (slug, grants) = (escape(&slug), state.grants().count(&slug));
            format!(
                "<p class=\"who\">Logged in: <b>{slug}</b></p><p>Authorized applications: \
                 {grants}</p><p><a id=\"logout\" href=\"{base}/logout\">Log out</a></p>"
            )
        },
    );
    answer::html(StatusCode::OK, page(&LOOK, "Bitbucket", &content))
}

/// May this application do this in your name?
pub(super) fn consent(state: &State, request: &Request, slug: &str) -> Response<Body> {
    let labels = request
        .scopes
        .iter()
        .map(|scope| format!("<li><b>{}</b> <small>{}</small></li>", label(scope), escape(scope)));
    let content = format!(
        "<p class=\"who\">Logged in: <b id=\"person\">{}</b></p>\n\
         <p><b id=\"application\">{}</b> wants to act in your name:</p>\n<ul>{}</ul>\n\
         <form class=\"row\" method=\"post\">\n\
         <button class=\"main\" id=\"allow\" name=\"decision\" value=\"allow\">Allow</button>\n\
         <button id=\"deny\" name=\"decision\" value=\"deny\">Deny</button></form>",
        escape(slug),
        escape(&state.application),
        labels.collect::<String>(),
    );
    answer::html(StatusCode::OK, page(&LOOK, "Authorize application", &content))
}

/// A request that cannot be answered by a redirect.
pub(super) fn refusal(why: &str) -> Response<Body> {
    let content = format!("<p id=\"error\">{}</p>", escape(why));
    answer::html(StatusCode::BAD_REQUEST, page(&LOOK, "Invalid request", &content))
}

/// The words of the application link's check boxes.
fn label(scope: &str) -> &'static str {
    match scope {
        "PUBLIC_REPOS" => "See what is public, and your name",
        "REPO_READ" => "Repositories – Read",
        "REPO_WRITE" => "Repositories – Write",
        "REPO_ADMIN" => "Repositories – Admin",
        "PROJECT_ADMIN" => "Projects – Admin",
        _ => "Other",
    }
}

/// A destination on this server, or the front page.
fn inside(state: &State, next: Option<&str>) -> String {
    let front = format!("{}/", state.context_path);
    let inside = |next: &&str| next.starts_with(&front) && !next.starts_with("//");
    next.filter(inside).map_or(front.clone(), str::to_owned)
}

fn set_session(state: &State, response: &mut Response<Body>, value: &str, more: &str) {
    let path = format!("{}/", state.context_path);
    let line = format!("{SESSION_COOKIE}={value}; Path={path}; HttpOnly; SameSite=Lax{more}");
    answer::add(response, SET_COOKIE, line.as_bytes());
}
