//! The values of `[codescan.headers]` for one session, written straight into a request's head:
//! that costs no more than to copy what was rendered before, and nothing has to be kept.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Session;
use crate::config::template::{Part, Placeholder, Template};

/// What a header cannot carry (RFC 9110 §5.5), and `%` so that the encoding can be undone.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

impl Session {
    /// Whether all placeholders have a value: without, the field is left out.
    pub fn has_values(&self, template: &Template) -> bool {
        template.parts.iter().all(|part| match part {
            Part::Literal(_) | Part::Placeholder(Placeholder::AccessToken) => true,
            Part::Placeholder(placeholder) => self.about(*placeholder).is_some(),
        })
    }

    /// Writes the value for this session; of a template that has all its values.
    pub fn write_value(&self, template: &Template, out: &mut Vec<u8>) {
        for part in &template.parts {
            match part {
                Part::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
                // Visible ASCII: its reading from Bitbucket sees to that.
                Part::Placeholder(Placeholder::AccessToken) => {
                    out.extend_from_slice(self.tokens().access.expose().as_bytes());
                }
                Part::Placeholder(placeholder) => {
                    let value = self.about(*placeholder).unwrap_or_default();
                    for part in utf8_percent_encode(&value, ENCODED) {
                        out.extend_from_slice(part.as_bytes());
                    }
                }
            }
        }
    }

    fn about(&self, placeholder: Placeholder) -> Option<String> {
        let person = self.person();
        let person = person.as_deref();
        match placeholder {
            Placeholder::AccessToken => None,
            Placeholder::User => person.map(|person| person.name.clone()),
            Placeholder::UserId => person?.id.map(|id| id.to_string()),
            Placeholder::DisplayName => person?.display_name.clone(),
            Placeholder::Email => person?.email.clone(),
            Placeholder::SessionIdHash => Some(self.public_hash.to_text()),
        }
    }
}
