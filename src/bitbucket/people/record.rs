//! A person, and a page of them, as Bitbucket's REST API tells them.

use serde::Deserialize;

use super::{PeopleError, Person};

/// Characters of a name that is believed.
pub const MAX_NAME: usize = 255;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub name: String,
    id: Option<u64>,
    slug: Option<String>,
    display_name: Option<String>,
    email_address: Option<String>,
    /// Missing counts as active: the token was accepted.
    active: Option<bool>,
}

impl Record {
    /// `name` is the one on the token's answer, which this record's equals but for case.
    pub fn into_person(self, name: String) -> Result<Person, PeopleError> {
        if self.active == Some(false) {
            return Err(PeopleError::Inactive { name });
        }
        Ok(Person {
            name,
            id: self.id,
            slug: plain(self.slug),
            display_name: plain(self.display_name),
            email: plain(self.email_address),
        })
    }
}

#[derive(Deserialize)]
pub struct Page {
    values: Vec<Record>,
    #[serde(default, rename = "isLastPage")]
    last: bool,
    #[serde(rename = "nextPageStart")]
    next_start: Option<u64>,
}

impl Page {
    /// Where the next page starts, if there is one and it lies ahead.
    pub fn next_after(&self, start: u64) -> Option<u64> {
        self.next_start.filter(|next| !self.last && *next > start)
    }

    pub fn into_record_of(self, name: &str) -> Option<Record> {
        self.values.into_iter().find(|record| is_same_name(&record.name, name))
    }
}

/// Bitbucket's names are compared without case, beyond ASCII too.
pub fn is_same_name(one: &str, another: &str) -> bool {
    one.to_lowercase() == another.to_lowercase()
}

/// Short enough, and without control characters.
pub fn is_plain(text: &str) -> bool {
    !text.chars().any(char::is_control) && text.chars().count() <= MAX_NAME
}

fn plain(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && is_plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(json: &str) -> Page {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn a_substring_is_not_the_person() {
        let page = page(
            r#"{"size":3,"limit":100,"isLastPage":true,"start":0,"values":[
                {"name":"jane.smith","id":1},{"name":"Jane","id":2},{"name":"janet","id":3}]}"#,
        );
        assert_eq!(page.into_record_of("jane").expect("found").id, Some(2));
    }

    #[test]
    fn pages_go_forward_only() {
        for (json, expected) in [
            (r#"{"values":[],"isLastPage":false,"nextPageStart":100}"#, Some(100)),
            (r#"{"values":[],"isLastPage":true,"nextPageStart":100}"#, None),
            (r#"{"values":[],"isLastPage":true,"nextPageStart":null}"#, None),
            (r#"{"values":[],"isLastPage":false,"nextPageStart":50}"#, None),
            (r#"{"values":[],"isLastPage":false}"#, None),
        ] {
            assert_eq!(page(json).next_after(50), expected, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_left_out() {
        let json = r#"{"name":"jane","id":7,"slug":"jane","displayName":"a\nb","emailAddress":""}"#;
        let record: Record = serde_json::from_str(json).expect("a record");
        let person = record.into_person("jane".into()).expect("a person");
        assert_eq!((person.id, person.slug.as_deref()), (Some(7), Some("jane")));
        assert_eq!((person.display_name, person.email), (None, None));
    }
}
