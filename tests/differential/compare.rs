//! One exchange, directly and through the proxy, and what is not as it should be.

use crate::message::{Answer, Fields, Framing, Request, Seen};
use crate::model::{self, Heads};
use crate::model_trailers;
use crate::pairs::{Back, Client, Front, Place};
use crate::upstream::EXCHANGE;
use std::fmt::Debug;

/// Makes the exchange both ways; what differs.
pub async fn exchange(
    place: &Place,
    client: &mut Client,
    front: Front,
    request: &Request,
    answer: &Answer,
) -> Result<(), String> {
    let name = crate::message::value(&request.fields, EXCHANGE).expect("it has one").to_owned();
    // One name for each pair of protocols at this place.
    let name = format!("{front:?}-{name}");
    let mut request = request.clone();
    for (field, value) in &mut request.fields {
        if field == EXCHANGE {
            *value = name.clone().into_bytes();
        }
    }
    if request.has_session {
        let cookie = ("cookie".to_owned(), place.cookie.clone().into_bytes());
        request.fields.push(cookie);
    }
    place.upstream.will_answer(&name, answer);
    let said_directly = match place.direct().await.exchange(&request).await {
        Ok((said, _)) => said,
        Err(error) => return Err(format!("the test itself fails: {error}")),
    };
    let got_directly = place.upstream.take(&name).ok_or("the test itself sends nothing")?;
    let said = client.exchange(place, front, &request).await?;
    if model::is_answered_here(&request) {
        return compare_own_answer(&said, place.upstream.take(&name).is_some());
    }
    let lost = || format!("nothing reached the upstream, and the proxy says {}", said.line);
    let got = place.upstream.take(&name).ok_or_else(lost)?;
    compare_requests(&got_directly, &got, front, place.back, &request)?;
    compare_answers(&said_directly, &said, front, &request, answer)?;
    same("the request's id", &got.value("x-request-id"), &said.value("x-request-id"))
}

fn compare_own_answer(said: &Seen, went_on: bool) -> Result<(), String> {
    same("whether it went on", &false, &went_on)?;
    same("the status", "204", &said.line)?;
    same("that it says what may be asked for", &true, &said.value("allow").is_some())
}

fn compare_requests(
    direct: &Seen,
    through: &Seen,
    front: Front,
    back: Back,
    request: &Request,
) -> Result<(), String> {
    let target = direct.line.replace("http://third.example", "");
    same("the request line", &target, &through.line)?;
    let wanted = model::request_fields(direct, front, back, request);
    same_heads("the request", &wanted, &model::comparable_request(through, back))?;
    same_bytes("the request's body", &direct.body, &through.body)?;
    if request.body.framing == Framing::Length && !request.body.bytes.is_empty() {
        same_length("the request's length", direct, through)?;
    }
    let wanted = model_trailers::of_request(direct);
    same("the request's trailers", &sorted(&wanted), &sorted(&through.trailers))
}

fn compare_answers(
    direct: &Seen,
    through: &Seen,
    front: Front,
    request: &Request,
    answer: &Answer,
) -> Result<(), String> {
    same("the status", &direct.line, &through.line)?;
    let wanted = model::answer_fields(direct, front, request);
    let made_date = direct.value("date").is_none();
    same_heads("the answer", &wanted, &model::comparable_answer(through, made_date))?;
    same_bytes("the answer's body", &direct.body, &through.body)?;
    if answer.body.framing == Framing::Length {
        same_length("the answer's length", direct, through)?;
    }
    let wanted = model_trailers::of_answer(direct, front, request);
    same("the answer's trailers", &sorted(&wanted), &sorted(&through.trailers))
}

fn same_length(what: &str, direct: &Seen, through: &Seen) -> Result<(), String> {
    let length = |seen: &Seen| seen.value("content-length").map(str::to_owned);
    same(what, &length(direct), &length(through))
}

/// By name, as the order across names is nobody's.
fn sorted(fields: &Fields) -> Fields {
    let mut fields: Fields =
        fields.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, wanted: &T, seen: &T) -> Result<(), String> {
    if wanted == seen { Ok(()) } else { Err(format!("{what} is {seen:?}, not {wanted:?}")) }
}

fn same_bytes(what: &str, wanted: &[u8], seen: &[u8]) -> Result<(), String> {
    if wanted == seen {
        return Ok(());
    }
    let at = wanted.iter().zip(seen).take_while(|(one, other)| one == other).count();
    let (long, short) = (wanted.len(), seen.len());
    Err(format!("{what} has {short} bytes, not {long}, and differs at {at}"))
}

fn same_heads(what: &str, wanted: &Heads, seen: &Heads) -> Result<(), String> {
    let names = wanted.keys().chain(seen.keys());
    for name in names {
        let (wanted, seen) = (wanted.get(name), seen.get(name));
        if wanted != seen {
            let shown = |values: Option<&Vec<Vec<u8>>>| {
                let values = values.into_iter().flatten();
                values.map(|value| value.escape_ascii().to_string()).collect::<Vec<_>>()
            };
            return Err(format!("{what} has {name} {:?}, not {:?}", shown(seen), shown(wanted)));
        }
    }
    Ok(())
}
