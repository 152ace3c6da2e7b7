//! The pages themselves. The templates escape every value.

use askama::Template;
use bytes::Bytes;
use http::{Response, StatusCode};

use super::respond::{Framing, page};
use crate::error::{Href, Piece, Problem};

/// The one stylesheet, which stands inside each page. The policy knows it by its hash.
pub(super) const STYLE: &str = include_str!("style.css");

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    problem: &'a Problem,
    request_id: &'a str,
}

#[derive(Template)]
#[template(path = "logout_question.html")]
struct LogoutQuestion<'a> {
    user: Option<&'a str>,
    post_to: &'a Href,
    cancel: &'a Href,
    request_id: &'a str,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOut<'a> {
    sign_in: &'a Href,
    request_id: &'a str,
}

pub(super) fn draw(problem: &Problem, request_id: &str) -> String {
    render(&ProblemPage { problem, request_id })
}

/// The page that asks whether to sign out. Its form is posted to `post_to`; `cancel` leads back.
/// `user` is the name of the person who is signed in.
pub fn logout_question(
    user: Option<&str>,
    post_to: &Href,
    cancel: &Href,
    request_id: &str,
) -> Response<Bytes> {
    let html = render(&LogoutQuestion { user, post_to, cancel, request_id });
    page(StatusCode::OK, html, Framing::Nobody, request_id)
}

/// The page that is shown after a logout, so that nobody is logged straight back in.
pub fn signed_out(sign_in: &Href, request_id: &str) -> Response<Bytes> {
    let html = render(&SignedOut { sign_in, request_id });
    page(StatusCode::OK, html, Framing::SameOrigin, request_id)
}

fn render(template: &impl Template) -> String {
    template.render().expect("writing to a String cannot fail")
}
