//! The fields of `[codescan.headers]` for one session, rendered once and not for each request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::Session;
use crate::config::settings::HeaderTemplate;
use crate::config::template::{Part, Placeholder, Template};

/// What a header cannot carry (RFC 9110 §5.5), and `%` so that the encoding can be undone.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The fields to set, and which reading of the settings they were rendered for.
pub struct Rendered {
    settings_version: u64,
    pub fields: Vec<(HeaderName, HeaderValue)>,
}

impl Session {
    /// The fields to send with each request of this session.
    pub fn fields(&self, templates: &[HeaderTemplate], settings_version: u64) -> Arc<Rendered> {
        if let Some(rendered) = &*self.rendered.load()
            && rendered.settings_version == settings_version
        {
            return Arc::clone(rendered);
        }
        let fields = templates
            .iter()
            .filter_map(|template| Some((template.name.clone(), self.value(&template.value)?)))
            .collect();
        let rendered = Arc::new(Rendered { settings_version, fields });
        self.rendered.store(Some(Arc::clone(&rendered)));
        rendered
    }

    /// `None` when a placeholder has no value: the field is then left out.
    fn value(&self, template: &Template) -> Option<HeaderValue> {
        let mut text = String::new();
        for part in &template.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Placeholder(Placeholder::AccessToken) => {
                    text.push_str(self.tokens.access.expose());
                }
                Part::Placeholder(placeholder) => {
                    text.extend(utf8_percent_encode(&self.about(*placeholder)?, ENCODED));
                }
            }
        }
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn about(&self, placeholder: Placeholder) -> Option<String> {
        let person = self.person.as_deref();
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
