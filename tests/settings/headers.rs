//! `[codescan.headers]`.

use codescan_oauth_proxy::config::settings::HeaderTemplate;
use codescan_oauth_proxy::config::template::{Part, Placeholder, Template};

use crate::support::{NEEDED, Setup, assert_contains, file, needed};

fn headers(lines: &str) -> Setup {
    file(&format!("{NEEDED}[codescan.headers]\n{lines}\n"))
}

fn names(headers: &[HeaderTemplate]) -> Vec<&str> {
    headers.iter().map(|header| header.name.as_str()).collect()
}

#[test]
fn the_default_sends_the_token() {
    let sent = needed().settings().codescan.headers;
    assert_eq!(names(&sent), ["authorization"]);
    let parts = [Part::Literal("Bearer ".into()), Part::Placeholder(Placeholder::AccessToken)];
    assert!(sent[0].value.parts == parts);
}

#[test]
fn a_table_replaces_the_default_and_keeps_its_order() {
    let sent =
        headers("X-User = \"{user}\"\nAuthorization = \"x\"\nA = \"\"").settings().codescan.headers;
    assert_eq!(names(&sent), ["x-user", "authorization", "a"]);
    assert!(headers("").settings().codescan.headers.is_empty());
}

#[test]
fn headers_of_connection_and_framing_are_refused() {
    for name in [
        "Host",
        "Content-Length",
        "Cookie",
        "Transfer-Encoding",
        "transfer_encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Keep-Alive",
        "Proxy-Connection",
        "X-Forwarded-Proto",
        "Forwarded",
    ] {
        let fault = headers(&format!("{name} = \"x\"")).fault();
        assert_contains(
            &fault,
            &format!(
                "settings.toml:8: codescan.headers.{name} is a header that cannot be set here"
            ),
        );
    }
    headers("X-Forwarded-Login = \"{user}\"").loaded();
}

#[test]
fn names_must_be_names_and_different() {
    assert_contains(&headers("\"X User\" = \"x\"").fault(), "is not the name of a header");
    let fault = headers("X-User = \"a\"\nx_user = \"b\"").fault();
    assert_contains(
        &fault,
        "settings.toml:9: codescan.headers.x_user is the same header as X-User",
    );
}

#[test]
fn a_person_is_needed_where_a_header_names_one() {
    let faults =
        headers("X-User = \"{user}\"\nX-Mail = \"{email}\"\nX-Hash = \"{session_id_hash}\"")
            .set("bitbucket.whoami_url=")
            .faults();
    assert_eq!(faults.lines().count(), 2, "{faults}");
    assert_contains(&faults, "settings.toml:8: codescan.headers.X-User needs to know the person");
    needed().set("bitbucket.whoami_url=").loaded();
}

#[test]
fn templates() {
    use Placeholder::{AccessToken, DisplayName, Email, SessionIdHash, User, UserId};
    let text = |text: &str| Part::Literal(text.into());
    for (template, parts) in [
        ("", vec![]),
        ("plain", vec![text("plain")]),
        ("{user}", vec![Part::Placeholder(User)]),
        ("a{user_id}b", vec![text("a"), Part::Placeholder(UserId), text("b")]),
        ("{{{email}}}", vec![text("{"), Part::Placeholder(Email), text("}")]),
        ("{{user}}", vec![text("{user}")]),
        (
            "{access_token}{display_name}{session_id_hash}",
            [AccessToken, DisplayName, SessionIdHash].map(Part::Placeholder).to_vec(),
        ),
        ("é", vec![text("é")]),
    ] {
        assert_eq!(Template::parse(template), Ok(Template { parts }), "{template}");
    }
}

#[test]
fn templates_that_cannot_be() {
    for (template, message) in [
        ("{", "has a { without a }"),
        ("{user", "has a { without a }"),
        ("{us{er}", "has a { without a }"),
        ("}", "has a } without a {"),
        ("{user}}", "has a } without a {"),
        ("{acess_token}", "did you mean {access_token}?"),
        ("{User}", "did you mean {user}?"),
        ("{}", "has an unknown placeholder"),
        ("{something_else}", "known are {access_token}, {user}, {user_id}"),
        ("a\nb", "control character"),
    ] {
        let problem = Template::parse(template).expect_err(template);
        assert_contains(&problem, message);
    }
}
