//! `METHOD /path` rules of `access.public` and `session.logout_routes`.

use http::Method;

/// Methods a rule may name. `TRACE` and `CONNECT` are never forwarded, so none speaks of them.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// One rule: an optional method and a path with `*` (one segment) and `**` (any).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    method: Option<Method>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Exactly(String),
    /// `*`: one segment, not an empty one.
    One,
    /// `**`: any number of segments, none included.
    Any,
}

impl RouteRule {
    /// Reads `GET /a/*/b/**` or `/a`. The error is one sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (method, path) = match words[..] {
            [path] => (None, path),
            [method, path] => (Some(parse_method(method)?), path),
            _ => return Err("is not a rule; write METHOD /path or /path".into()),
        };
        Ok(Self { method, segments: parse_path(path)? })
    }

    /// Whether a request with this method and this decoded, normalised path falls under the rule.
    pub fn matches(&self, method: &Method, path: &str) -> bool {
        let Some(path) = path.strip_prefix('/').filter(|_| self.allows(method)) else {
            return false;
        };
        let segments: Vec<&str> = path.split('/').collect();
        path_matches(&self.segments, &segments)
    }

    /// No method is any; HEAD follows GET (RFC 9110 §9.3.2: the same but for the content).
    pub fn allows(&self, method: &Method) -> bool {
        match &self.method {
            None => true,
            Some(own) => own == method || (own == Method::GET && method == Method::HEAD),
        }
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    let known = METHODS.iter().find(|method| method.as_str() == text);
    known.cloned().ok_or_else(|| {
        let names: Vec<&str> = METHODS.iter().map(Method::as_str).collect();
        format!("does not begin with a method ({}) or a path", names.join(", "))
    })
}

fn parse_path(text: &str) -> Result<Vec<Segment>, String> {
    let path = text.strip_prefix('/').ok_or("has a path that does not begin with /")?;
    if let Some(bad) = path.chars().find(|c| "?#;%\\".contains(*c) || c.is_control()) {
        return Err(format!(
            "has {bad:?} in its path; rules see the decoded path, never the query"
        ));
    }
    let count = path.split('/').count();
    path.split('/').enumerate().map(|(at, text)| parse_segment(text, at + 1 == count)).collect()
}

fn parse_segment(text: &str, is_last: bool) -> Result<Segment, String> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Any),
        "" if !is_last => Err("has // in its path, which no normalised path has".into()),
        "." | ".." => Err("has . or .. in its path, which no normalised path has".into()),
        _ if text.contains('*') => {
            Err("has * within a segment; * and ** stand for whole segments".into())
        }
        _ => Ok(Segment::Exactly(text.to_owned())),
    }
}

/// Goes back to the latest `**` only: an earlier one can match nothing that it cannot, so the
/// time is bounded by the product of the lengths.
fn path_matches(rule: &[Segment], path: &[&str]) -> bool {
    let (mut at, mut here) = (0, 0);
    let mut latest_any = None;
    while here < path.len() {
        if rule.get(at) == Some(&Segment::Any) {
            latest_any = Some((at, here));
            at += 1;
        } else if rule.get(at).is_some_and(|segment| segment_matches(segment, path[here])) {
            at += 1;
            here += 1;
        } else if let Some((any, start)) = latest_any {
            latest_any = Some((any, start + 1));
            at = any + 1;
            here = start + 1;
        } else {
            return false;
        }
    }
    rule[at..].iter().all(|segment| *segment == Segment::Any)
}

fn segment_matches(segment: &Segment, text: &str) -> bool {
    match segment {
        Segment::Exactly(own) => own == text,
        Segment::One => !text.is_empty(),
        Segment::Any => true,
    }
}
