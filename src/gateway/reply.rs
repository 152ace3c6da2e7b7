//! Answers that the proxy makes itself.

use std::time::Instant;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use super::Exchange;
use super::admission::ALLOWED;
use super::record::Answer;
use crate::error::Problem;
use crate::forward::body::ResponseBody;
use crate::forward::fields::REQUEST_ID;
use crate::login::{Content, Reply};
use crate::pages;

impl Exchange<'_> {
    /// Tells of a problem, as a page or as JSON.
    pub(super) fn refuse(mut self, problem: &Problem) -> Response<Answer> {
        self.record.error = Some(problem.code());
        let as_html = self.sender().reads_html();
        let response = pages::respond(problem, as_html, self.record.request_id());
        self.finish(response)
    }

    pub(super) fn reply(mut self, reply: Reply) -> Response<Answer> {
        let mut response = match reply.content {
            Content::Redirect(to) => redirect(StatusCode::FOUND, &to),
            Content::SeeOther(to) => redirect(StatusCode::SEE_OTHER, &to),
            Content::Page(draw) => draw(self.record.request_id()),
            Content::Json(json) => self::json(json),
            Content::Problem(problem) => {
                self.record.error = Some(problem.code());
                pages::respond(&problem, self.sender().reads_html(), self.record.request_id())
            }
        };
        for cookie in reply.set_cookies {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        self.finish(response)
    }

    /// What this proxy itself lets through, asked with an OPTIONS that may go no further.
    pub(super) fn options(self) -> Response<Answer> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(ALLOWED));
        self.finish(response)
    }

    /// Our own answers are never stored, and name the request.
    fn finish(mut self, response: Response<Bytes>) -> Response<Answer> {
        let (mut head, body) = response.into_parts();
        head.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.headers.insert(REQUEST_ID, self.record.arrival.identity.request_id.to_value());
        self.record.answered(head.status, Instant::now());
        Response::from_parts(head, Answer::new(ResponseBody::from(body), self.record))
    }
}

fn redirect(status: StatusCode, to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    // Both Bitbucket's address and our own are serialised URLs: visible ASCII.
    match HeaderValue::from_str(to) {
        Ok(location) => {
            *response.status_mut() = status;
            response.headers_mut().insert(LOCATION, location);
        }
        Err(_) => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    response
}

fn json(json: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(json));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
