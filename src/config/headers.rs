//! `[codescan.headers]`: names that a proxy may set, and templates.

use std::collections::BTreeMap;

use http::HeaderName;

use super::faults::Place;
use super::raw::Item;
use super::reader::Reader;
use super::settings::HeaderTemplate;
use super::template::Template;

const PATH: &str = "codescan.headers";

/// Framing and connection (RFC 9110 §7.6.1, RFC 9112 §6), and what the proxy itself says about
/// the request: a second author would contradict it.
const NOT_OURS_TO_SET: [&str; 18] = [
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
];

pub(super) fn read(read: &mut Reader) -> Option<Vec<HeaderTemplate>> {
    let entries = read.entries(PATH)?;
    let mut taken = BTreeMap::new();
    let mut headers = Vec::with_capacity(entries.len());
    for (name, item) in &entries {
        let parsed =
            header(name, item).and_then(|header| match taken.insert(folded(name), name.clone()) {
                Some(other) => Err(format!("is the same header as {other}; leave one out")),
                None => Ok(header),
            });
        match parsed {
            Ok(header) => headers.push(header),
            Err(message) => add(read, name, &item.place, message),
        }
    }
    (headers.len() == entries.len()).then_some(headers)
}

/// For `check`: the template as far as it can be shown.
pub(super) fn shown(template: &str) -> String {
    Template::parse(template).map_or_else(|_| String::new(), |template| template.shown())
}

/// Headers that cannot be rendered while nobody asks Bitbucket who the person is.
pub(super) fn check_identity(read: &mut Reader) {
    let asks = read.peek("bitbucket.whoami_url", |text| Ok(!text.is_empty()));
    if asks != Some(false) {
        return;
    }
    for (name, item) in read.entries(PATH).unwrap_or_default() {
        if Template::parse(&item.text).is_ok_and(|template| template.needs_identity()) {
            let message = "needs to know the person, but bitbucket.whoami_url is empty; set that, \
                           or take the placeholder out";
            add(read, &name, &item.place, message.into());
        }
    }
}

fn header(name: &str, item: &Item) -> Result<HeaderTemplate, String> {
    if NOT_OURS_TO_SET.contains(&folded(name).as_str()) {
        return Err("is a header that cannot be set here: the proxy itself decides it".into());
    }
    let header = HeaderName::from_bytes(name.as_bytes());
    let header = header.map_err(|_| "is not the name of a header (RFC 9110 §5.1)")?;
    Ok(HeaderTemplate { name: header, value: Template::parse(&item.text)? })
}

fn add(read: &mut Reader, name: &str, place: &Place, message: String) {
    read.faults.add(place.clone(), format!("{PATH}.{}", name.escape_debug()), message);
}

/// Applications behind CGI-like interfaces cannot tell these spellings apart (RFC 3875 §4.1.18).
fn folded(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}
