//! What the sender of a request can make use of: a redirect, a page, or JSON.
//!
//! Browsers say what they are about in `Sec-Fetch-*` (W3C Fetch Metadata); older ones, and pages
//! over plain http, only in `Accept` (RFC 9110 §12.5.1).

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method};

/// Who sent a request, as far as the answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A browser that shows the answer to a person in a tab.
    Navigation,
    /// A browser that shows it inside another page.
    Frame,
    /// A browser that sent a form, and would show the answer in its place.
    Form,
    /// Anything else: a script, a scanner, a prefetch.
    Machine,
}

impl Sender {
    pub fn of(method: &Method, headers: &HeaderMap, is_upgrade: bool) -> Self {
        if is_upgrade || headers.contains_key(AUTHORIZATION) || is_prefetch(headers) {
            return Self::Machine;
        }
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let navigates = match headers.get("sec-fetch-mode") {
            Some(mode) => mode == "navigate",
            None => prefers_html(headers) && (is_read || sends_form(headers)),
        };
        match (navigates, is_read) {
            (false, _) => Self::Machine,
            (true, _) if is_in_frame(headers) => Self::Frame,
            (true, true) => Self::Navigation,
            (true, false) => Self::Form,
        }
    }

    /// Whether errors are pages.
    pub fn reads_html(self) -> bool {
        match self {
            Self::Navigation | Self::Frame | Self::Form => true,
            Self::Machine => false,
        }
    }
}

fn is_prefetch(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-purpose") || headers.get("purpose").is_some_and(|it| it == "prefetch")
}

fn is_in_frame(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|destination| destination != "document")
}

fn sends_form(headers: &HeaderMap) -> bool {
    const FORMS: [&str; 3] =
        ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"];
    let content_type = headers.get(CONTENT_TYPE).and_then(|field| field.to_str().ok());
    let media_type = content_type.and_then(|field| field.split(';').next()).map(str::trim);
    media_type.is_some_and(|it| FORMS.iter().any(|form| it.eq_ignore_ascii_case(form)))
}

/// Whether `text/html` is named, and nothing is wanted more.
fn prefers_html(headers: &HeaderMap) -> bool {
    let mut html = 0.0_f32;
    let mut other = 0.0_f32;
    for range in headers.get_all(ACCEPT).iter().filter_map(|field| field.to_str().ok()) {
        for (media_type, quality) in range.split(',').map(media_range) {
            if media_type.eq_ignore_ascii_case("text/html") {
                html = html.max(quality);
            } else if is_data(media_type) {
                other = other.max(quality);
            }
        }
    }
    html > 0.0 && html > other
}

/// Whether a client that wants this wants no page. Wildcards and images come with every browser.
fn is_data(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.ends_with("json") || media_type == "text/event-stream"
}

fn media_range(range: &str) -> (&str, f32) {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q="));
    (media_type, quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn sender(method: &Method, fields: &[(&'static str, &'static str)]) -> Sender {
        let headers = fields
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_static(value))
            })
            .collect();
        Sender::of(method, &headers, false)
    }

    #[test]
    fn the_table_of_senders() {
        type Fields = [(&'static str, &'static str)];
        const FIREFOX: (&str, &str) =
            ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
        const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
        let (get, post) = (Method::GET, Method::POST);
        #[rustfmt::skip]
        let table: [(&Method, &Fields, Sender); 20] = [
            (&get, &[], Sender::Machine),
            (&get, &[("accept", "*/*")], Sender::Machine),
            (&get, &[FIREFOX], Sender::Navigation),
            (&get, &[NAVIGATE], Sender::Navigation),
            (&get, &[NAVIGATE, ("sec-fetch-dest", "document")], Sender::Navigation),
            (&get, &[NAVIGATE, ("sec-fetch-dest", "iframe")], Sender::Frame),
            (&get, &[FIREFOX, ("sec-fetch-mode", "cors")], Sender::Machine),
            (&get, &[FIREFOX, ("sec-fetch-mode", "websocket")], Sender::Machine),
            (&get, &[FIREFOX, ("authorization", "Bearer x")], Sender::Machine),
            (&get, &[NAVIGATE, ("sec-purpose", "prefetch;prerender")], Sender::Machine),
            (&get, &[NAVIGATE, ("purpose", "prefetch")], Sender::Machine),
            (&get, &[("accept", "application/json, text/html")], Sender::Machine),
            (&get, &[("accept", "application/json;q=0.5, text/html")], Sender::Navigation),
            (&get, &[("accept", "text/html;q=0, */*")], Sender::Machine),
            (&get, &[("accept", "text/event-stream")], Sender::Machine),
            (&post, &[NAVIGATE, FORM], Sender::Form),
            (&post, &[FIREFOX, FORM], Sender::Form),
            (&post, &[FIREFOX], Sender::Machine),
            (&post, &[FORM], Sender::Machine),
            (&post, &[NAVIGATE, ("sec-fetch-dest", "iframe")], Sender::Frame),
        ];
        for (method, fields, wanted) in table {
            assert_eq!(sender(method, fields), wanted, "{method} {fields:?}");
        }
    }

    #[test]
    fn an_upgrade_is_never_a_navigation() {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("text/html"))]);
        assert_eq!(Sender::of(&Method::GET, &headers, true), Sender::Machine);
    }
}
