//! The rules about trailer fields, written down once more from RFC 9110 §6.5.1 and from what the
//! proxy says of itself.

use crate::message::{Fields, Request, Seen};
use crate::model::{can_have_trailers, lists, named};
use crate::pairs::Front;

/// What passes of the names that the exchanges here make use of.
const MAY_TRAIL: &[&str] = &[
    "a",
    "content-digest",
    "digest",
    "server-timing",
    "x-after",
    "x-hop",
    "x-many",
    "x-sum",
    "x_sum",
];

pub fn may_trail(name: &str) -> bool {
    MAY_TRAIL.contains(&name.to_ascii_lowercase().as_str())
}

/// Whether it goes on to the next neighbour. `named` are the names in `Connection`.
pub fn passes_on(name: &str, named: &[String]) -> bool {
    may_trail(name) && !named.contains(&name.to_ascii_lowercase())
}

/// The names in `Trailer` that pass, as one field.
pub fn announced(fields: &Fields, passes: impl Fn(&str) -> bool) -> String {
    let names = lists(fields, "trailer").into_iter().filter(|name| passes(name));
    names.collect::<Vec<_>>().join(", ")
}

/// What the upstream should get behind a body.
pub fn of_request(direct: &Seen) -> Fields {
    only(&direct.trailers, |name| passes_on(name, &named(&direct.fields)))
}

/// What the client should get behind a body: over HTTP/1.1 only if it said so, and only what the
/// head names.
pub fn of_answer(direct: &Seen, front: Front, request: &Request) -> Fields {
    let takes = front.is_http2() || takes_trailers(&request.fields);
    if !takes || !can_have_trailers(front, request) {
        return Fields::new();
    }
    let passes = |name: &str| passes_on(name, &named(&direct.fields));
    let names = lists(&direct.fields, "trailer");
    only(&direct.trailers, |name| {
        passes(name) && (front.is_http2() || names.contains(&name.to_ascii_lowercase()))
    })
}

/// RFC 9110 §10.1.4.
pub fn takes_trailers(fields: &Fields) -> bool {
    lists(fields, "te").iter().any(|member| member == "trailers")
}

fn only(trailers: &Fields, passes: impl Fn(&str) -> bool) -> Fields {
    trailers.iter().filter(|(name, _)| passes(name)).cloned().collect()
}
