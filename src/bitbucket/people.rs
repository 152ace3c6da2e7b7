//! Whose token it is: first the name that Bitbucket puts on its answer, then the person of that
//! name.
//!
//! The name comes from the `X-AUSERNAME` field and not from the status: Bitbucket says 401 both to
//! a dead token and to one that may not see something, and may answer a dead one as it answers a
//! stranger, 200.

mod record;

use std::time::Duration;

use http::{StatusCode, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Client;
use super::transport::Answer;
use super::unreachable::{Cause, Unreachable, content_type};
use crate::secret::Secret;

use record::{Page, Record, is_plain, is_same_name};

/// Pages of the search that are read: a thousand people whose name, display name or address
/// contains the name that is wanted.
const MAX_PAGES: usize = 10;
const PAGE_SIZE: u32 = 100;

/// All but RFC 3986's unreserved characters.
const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A person as Bitbucket knows them. No text is longer than 255 characters or holds control
/// characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub name: String,
    /// Stable where names change. The rest is missing too where Bitbucket told the name only.
    pub id: Option<u64>,
    pub slug: Option<String>,
    pub display_name: Option<String>,
    pub email: Option<String>,
}

impl Person {
    /// By id; by name, without case, where either has no id.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(one), Some(another)) => one == another,
            _ => is_same_name(&self.name, &other.name),
        }
    }
}

/// Why a token's owner is not known; a variant for each thing that is done about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeopleError {
    /// Bitbucket took the token for none.
    #[error("Bitbucket does not accept the access token")]
    DeadToken,
    #[error("the Bitbucket user {name} is not active")]
    Inactive { name: String },
    /// Says nothing about the token or the person.
    #[error("Bitbucket is unreachable: {cause}")]
    Unreachable { cause: Cause, retry_after: Option<Duration> },
    #[error("Bitbucket's answer about a person makes no sense: {0}")]
    Nonsense(&'static str),
}

impl From<Unreachable> for PeopleError {
    fn from(Unreachable { cause, retry_after }: Unreachable) -> Self {
        Self::Unreachable { cause, retry_after }
    }
}

impl From<Cause> for PeopleError {
    fn from(cause: Cause) -> Self {
        Unreachable::from(cause).into()
    }
}

/// What the second question, about the person of a name, may come to.
enum Lookup {
    Found(Record),
    /// Nobody of that slug or name.
    Nobody,
    /// The token may not ask.
    NotAllowed,
}

impl Client {
    /// Who the token belongs to; `Ok(None)` where `bitbucket.whoami_url` is empty. Changes
    /// nothing at Bitbucket, so the future may be dropped. Three times `bitbucket.timeout` at most.
    ///
    /// Once the name is known, a person who cannot be found, or whom the token may not look up, is
    /// a [`Person`] with a name only: Bitbucket has vouched for the name, and an inactive person's
    /// token is dead. A look-up that merely fails is an error, as the id matters to callers.
    pub async fn whoami(&self, access_token: &Secret) -> Result<Option<Person>, PeopleError> {
        let Some(uri) = self.shared.addresses.whoami.clone() else { return Ok(None) };
        let name = owner(&self.shared.transport.get(uri, Some(access_token)).await?)?;
        match self.look_up(&name, access_token).await? {
            Lookup::Found(record) => record.into_person(name).map(Some),
            Lookup::Nobody | Lookup::NotAllowed => {
                tracing::debug!("Bitbucket tells no more of a person than the name");
                Ok(Some(Person { name, id: None, slug: None, display_name: None, email: None }))
            }
        }
    }

    /// The path wants the slug and we have the name; where they differ, or the slug is another
    /// person's, the search finds them.
    async fn look_up(&self, name: &str, access_token: &Secret) -> Result<Lookup, PeopleError> {
        match self.by_slug(name, access_token).await? {
            Lookup::Found(record) if is_same_name(&record.name, name) => Ok(Lookup::Found(record)),
            Lookup::NotAllowed => Ok(Lookup::NotAllowed),
            Lookup::Found(_) | Lookup::Nobody => {
                let timeout = self.shared.transport.timeout();
                tokio::time::timeout(timeout, self.by_search(name, access_token))
                    .await
                    .unwrap_or_else(|_| Err(Cause::TimedOut { after: timeout, sent: true }.into()))
            }
        }
    }

    async fn by_slug(&self, name: &str, access_token: &Secret) -> Result<Lookup, PeopleError> {
        if matches!(name, "." | "..") {
            // Would name another address, and cannot be escaped (RFC 3986 §6.2.2.3).
            return Ok(Lookup::Nobody);
        }
        let segment = utf8_percent_encode(name, PATH_SEGMENT);
        let answer = self.api(&format!("/users/{segment}"), access_token).await?;
        Ok(match answer.status {
            // 400 is what Tomcat says to an escaped slash or backslash.
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Lookup::Nobody,
            status if is_forbidden(status) => Lookup::NotAllowed,
            _ => Lookup::Found(content(&answer)?),
        })
    }

    /// The filter finds substrings, in display names and addresses too: only the entry whose name
    /// is the very one counts, never the first.
    async fn by_search(&self, name: &str, access_token: &Secret) -> Result<Lookup, PeopleError> {
        let filter = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let mut start = 0;
        for _ in 0..MAX_PAGES {
            let path = format!("/users?filter={filter}&limit={PAGE_SIZE}&start={start}");
            let answer = self.api(&path, access_token).await?;
            if is_forbidden(answer.status) {
                return Ok(Lookup::NotAllowed);
            }
            let page: Page = content(&answer)?;
            let next = page.next_after(start);
            if let Some(found) = page.into_record_of(name) {
                return Ok(Lookup::Found(found));
            }
            match next {
                Some(next) => start = next,
                None => return Ok(Lookup::Nobody),
            }
        }
        tracing::warn!(pages = MAX_PAGES, "a person was not found in as many pages");
        Ok(Lookup::Nobody)
    }

    async fn api(&self, path: &str, access_token: &Secret) -> Result<Answer, PeopleError> {
        let uri = format!("{}{path}", self.shared.addresses.api)
            .parse::<Uri>()
            .map_err(|_| PeopleError::Nonsense("a name that makes no address"))?;
        Ok(self.shared.transport.get(uri, Some(access_token)).await?)
    }
}

fn is_forbidden(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The JSON of a success.
fn content<T: DeserializeOwned>(answer: &Answer) -> Result<T, PeopleError> {
    if !answer.status.is_success() {
        return Err(Unreachable::from_head(answer.status, &answer.headers).into());
    }
    serde_json::from_slice(&answer.body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            PeopleError::Nonsense("a field is missing or malformed")
        }
        _ => Unreachable::not_json(&answer.headers).into(),
    })
}

/// The name on an answer to the token, whatever its status.
fn owner(answer: &Answer) -> Result<String, PeopleError> {
    let trouble = || Err(Unreachable::from_head(answer.status, &answer.headers).into());
    if answer.status.is_redirection() {
        return trouble();
    }
    if let Some(name) = named(answer)? {
        return Ok(name);
    }
    let is_page = || content_type(&answer.headers).is_some_and(|found| found.contains("html"));
    match answer.status {
        StatusCode::UNAUTHORIZED => Err(PeopleError::DeadToken),
        // A page of a reverse proxy or of a log-in: not Bitbucket's API.
        status if status.is_success() && is_page() => {
            Err(Unreachable::not_json(&answer.headers).into())
        }
        status if status.is_success() => Err(PeopleError::DeadToken),
        _ => trouble(),
    }
}

/// `X-AUSERNAME`, percent-decoded. None for nobody, which is no field, an empty one, or
/// `anonymous`.
fn named(answer: &Answer) -> Result<Option<String>, PeopleError> {
    let mut values = answer.headers.get_all("x-ausername").iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(PeopleError::Nonsense("several X-AUSERNAME fields that differ"));
    }
    let name = percent_decode(value.as_bytes())
        .decode_utf8()
        .map_err(|_| PeopleError::Nonsense("X-AUSERNAME is not UTF-8"))?;
    if name.trim().is_empty() || name.eq_ignore_ascii_case("anonymous") {
        return Ok(None);
    }
    if !is_plain(&name) {
        return Err(PeopleError::Nonsense("X-AUSERNAME is too long or holds control characters"));
    }
    Ok(Some(name.into_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::bitbucket::testing::answer;

    fn named_answer(status: u16, content_type: &str, name: Option<&[u8]>) -> Answer {
        let mut answer = answer(status, content_type, "{}");
        if let Some(name) = name {
            let name = HeaderValue::from_bytes(name).expect("a field value");
            answer.headers.insert("X-AUSERNAME", name);
        }
        answer
    }

    #[test]
    fn a_name_is_percent_encoded_utf8() {
        let long = "x".repeat(record::MAX_NAME + 1);
        for (value, expected) in [
            ("jcitizen", Ok(Some("jcitizen"))),
            ("J%C3%BCrgen", Ok(Some("Jürgen"))),
            ("jane%40example.com", Ok(Some("jane@example.com"))),
            ("jane+x@example.com", Ok(Some("jane+x@example.com"))),
            ("jane doe", Ok(Some("jane doe"))),
            ("100%", Ok(Some("100%"))),
            ("", Ok(None)),
            ("%20", Ok(None)),
            ("anonymous", Ok(None)),
            ("Anonymous", Ok(None)),
            ("J%FCrgen", Err("not UTF-8")),
            ("a%0Ab", Err("control")),
            ("a%00", Err("control")),
            (long.as_str(), Err("too long")),
        ] {
            let found = named(&named_answer(200, "application/json", Some(value.as_bytes())));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), expected, "{value}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (found, _) => panic!("{value}: {found:?}"),
            }
        }
        let raw = named(&named_answer(200, "application/json", Some(b"J\xFCrgen")));
        assert!(matches!(raw, Err(PeopleError::Nonsense(_))));
    }

    #[test]
    fn the_field_decides_and_not_the_status() {
        for (status, content_type, name, expected) in [
            (200, "application/json", Some("jane"), "jane"),
            (401, "application/json", Some("jane"), "jane"),
            (403, "application/json", Some("jane"), "jane"),
            (404, "text/html", Some("jane"), "jane"),
            (401, "application/json", None, "dead"),
            (401, "text/html", None, "dead"),
            (200, "application/json", None, "dead"),
            (200, "text/plain", None, "dead"),
            (200, "application/json", Some("anonymous"), "dead"),
            (200, "text/html", None, "unreachable"),
            (403, "text/html", None, "unreachable"),
            (404, "application/json", None, "unreachable"),
            (429, "application/json", None, "unreachable"),
            (500, "application/json", None, "unreachable"),
            (503, "text/html", None, "unreachable"),
            (302, "text/html", None, "unreachable"),
            (302, "text/html", Some("jane"), "unreachable"),
        ] {
            let found = owner(&named_answer(status, content_type, name.map(str::as_bytes)));
            let found = match &found {
                Ok(name) => name,
                Err(PeopleError::DeadToken) => "dead",
                Err(PeopleError::Unreachable { .. }) => "unreachable",
                Err(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{status} {content_type} {name:?}");
        }
    }

    #[test]
    fn a_second_field_must_agree() {
        let mut answer = named_answer(200, "application/json", Some(b"jane"));
        answer.headers.append("X-AUSERNAME", HeaderValue::from_static("jane"));
        assert_eq!(named(&answer), Ok(Some("jane".into())));
        answer.headers.append("X-AUSERNAME", HeaderValue::from_static("root"));
        assert!(matches!(named(&answer), Err(PeopleError::Nonsense(_))));
    }

    #[test]
    fn people_are_told_apart_by_id_then_by_name() {
        let person = |name: &str, id| Person {
            name: name.into(),
            id,
            slug: None,
            display_name: None,
            email: None,
        };
        for (one, another, same) in [
            (person("jane", Some(1)), person("renamed", Some(1)), true),
            (person("jane", Some(1)), person("jane", Some(2)), false),
            (person("jane", Some(1)), person("Jane", None), true),
            (person("jane", None), person("john", Some(1)), false),
        ] {
            assert_eq!(one.is_same_as(&another), same, "{one:?} {another:?}");
        }
    }
}
