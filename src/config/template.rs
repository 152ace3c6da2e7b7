//! Values of `[codescan.headers]`: text with placeholders.

use std::fmt;

use super::faults::nearest;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    AccessToken,
    User,
    UserId,
    DisplayName,
    Email,
    SessionIdHash,
}

impl Placeholder {
    /// Every placeholder and its name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("access_token", Self::AccessToken),
        ("user", Self::User),
        ("user_id", Self::UserId),
        ("display_name", Self::DisplayName),
        ("email", Self::Email),
        ("session_id_hash", Self::SessionIdHash),
    ];

    /// Whether it is known only where Bitbucket is asked who the person is.
    pub fn needs_identity(self) -> bool {
        match self {
            Self::User | Self::UserId | Self::DisplayName | Self::Email => true,
            Self::AccessToken | Self::SessionIdHash => false,
        }
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, placeholder)| *placeholder == self).map_or("", |(name, _)| name)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    Literal(String),
    Placeholder(Placeholder),
}

/// A parsed template.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
}

/// Its text may be a secret.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({:?})", self.shown())
    }
}

impl Template {
    /// Reads text with `{placeholder}`s; `{{` and `}}` are braces. The error is one sentence for
    /// the person who wrote it, and quotes nothing but what looks like a placeholder's name:
    /// a template may hold a secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("holds a control character, which no header can carry".into());
        }
        let mut template = Self { parts: Vec::new() };
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            template.push_text(&rest[..at]);
            rest = template.take_brace(&rest[at..])?;
        }
        template.push_text(rest);
        Ok(template)
    }

    /// Whether it holds `{user}` or another placeholder that needs `bitbucket.whoami_url`.
    pub fn needs_identity(&self) -> bool {
        self.parts.iter().any(
            |part| matches!(part, Part::Placeholder(placeholder) if placeholder.needs_identity()),
        )
    }

    /// For people: placeholders as they are, text masked where it could be a secret.
    pub fn shown(&self) -> String {
        let shown = self.parts.iter().map(|part| match part {
            Part::Placeholder(placeholder) => format!("{{{}}}", placeholder.name()),
            Part::Literal(text) if is_harmless(text) => text.clone(),
            Part::Literal(_) => "****".into(),
        });
        shown.collect()
    }

    /// Takes what begins at a brace, and gives what comes after it.
    fn take_brace<'a>(&mut self, text: &'a str) -> Result<&'a str, String> {
        if let Some(rest) = text.strip_prefix("{{") {
            self.push_text("{");
            return Ok(rest);
        }
        if let Some(rest) = text.strip_prefix("}}") {
            self.push_text("}");
            return Ok(rest);
        }
        let inner = text.strip_prefix('{').ok_or("has a } without a {; write }} for a brace")?;
        let (name, rest) = inner
            .split_once('}')
            .filter(|(name, _)| !name.contains('{'))
            .ok_or("has a { without a }; write {{ for a brace")?;
        self.parts.push(Part::Placeholder(placeholder(name)?));
        Ok(rest)
    }

    fn push_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Literal(literal)) => literal.push_str(text),
            _ => self.parts.push(Part::Literal(text.to_owned())),
        }
    }
}

fn placeholder(name: &str) -> Result<Placeholder, String> {
    let known = Placeholder::ALL.iter().find(|(own, _)| *own == name);
    known.map(|(_, placeholder)| *placeholder).ok_or_else(|| {
        let names = Placeholder::ALL.map(|(own, _)| own);
        match nearest(name, names) {
            Some(near) => {
                format!("has an unknown placeholder {{{name}}}; did you mean {{{near}}}?")
            }
            None => format!("has an unknown placeholder; known are {{{}}}", names.join("}, {")),
        }
    })
}

/// Names of authentication schemes, and what only separates.
fn is_harmless(text: &str) -> bool {
    matches!(text.trim(), "Bearer" | "Basic") || text.chars().all(|c| !c.is_alphanumeric())
}
