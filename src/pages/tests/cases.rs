//! Every situation there is a constructor for, and what its page must say.

use std::time::Duration;

use http::StatusCode;

use crate::config::public_url::PublicUrl;
use crate::error::{BitbucketFault, Href, Problem};

const REDIRECT_URL: &str = "https://codescan.example.com/_codescan/oauth2/authorize";
const CLIENT_ID: &str = "4f1c0e7a9b2d4c5e8f60718293a4b5c6";

/// A situation, and what its page must say.
pub struct Case {
    pub name: &'static str,
    pub problem: Problem,
    pub code: &'static str,
    pub status: u16,
    pub says: &'static [&'static str],
}

fn case(
    name: &'static str,
    problem: Problem,
    code: &'static str,
    status: u16,
    says: &'static [&'static str],
) -> Case {
    Case { name, problem, code, status, says }
}

pub fn public_url() -> PublicUrl {
    PublicUrl::parse("https://codescan.example.com").unwrap()
}

pub fn sign_in() -> Href {
    Href::sign_in(&public_url(), "/projects?sort=name&asc=1")
}

pub fn every_case() -> Vec<Case> {
    let mut cases = login_cases();
    cases.extend(denied_cases("alice"));
    cases.extend(lost_login_cases());
    cases.extend(bitbucket_cases());
    cases.extend(request_cases());
    cases
}

fn login_cases() -> Vec<Case> {
    vec![
        case("login", Problem::login_required(sign_in()), "login_required", 401, &["sign in"]),
        case(
            "login-in-frame",
            Problem::login_required_in_frame(sign_in()),
            "login_required",
            401,
            &["frame", "target=\"_top\""],
        ),
        case(
            "login-for-form",
            Problem::login_required_for_form(sign_in()),
            "login_required",
            401,
            &["new tab", "target=\"_blank\" rel=\"noopener\"", "sent again", "Nothing of it was"],
        ),
        case(
            "login-for-foreign-form",
            Problem::login_required_for_foreign_form(&public_url()),
            "login_required",
            401,
            &["another site", "not passed on", "href=\"https://codescan.example.com/\""],
        ),
        case(
            "client-token",
            Problem::client_token_refused(),
            "client_token_refused",
            401,
            &["access.client_tokens", "<code>pass</code>"],
        ),
        case(
            "client-token-malformed",
            Problem::client_token_malformed(),
            "client_token_refused",
            401,
            &["access.client_tokens", "Bearer", "Basic"],
        ),
    ]
}

fn denied_cases(name: &str) -> Vec<Case> {
    let refused = |error| Problem::authorization_refused(error, &["ADMIN".into()], sign_in());
    let denied = |name, problem, says| case(name, problem, "access_denied", 403, says);
    vec![
        denied("denied", refused("access_denied"), &["You pressed Deny in Bitbucket"]),
        denied(
            "invalid-scope",
            refused("invalid_scope"),
            &["bitbucket.scopes", "<code>ADMIN</code>", "Repositories - Admin"],
        ),
        denied("server-error", refused("server_error"), &["<code>server_error</code>"]),
        denied("unauthorized-client", refused("unauthorized_client"), &["bitbucket.client_id"]),
        denied("invalid-authorization", refused("invalid_request"), &["bitbucket.redirect_url"]),
        denied("unknown-answer", refused("moon_phase"), &["<code>moon_phase</code>"]),
        denied("inactive", Problem::inactive_user(name, sign_in()), &["not active"]),
        denied("not-let-in", Problem::not_let_in(name, sign_in()), &["access.users", "alice"]),
        denied(
            "no-longer-let-in",
            Problem::no_longer_let_in(name, Href::sign_out(&public_url())),
            &["access.users", "/_codescan/oauth2/logout"],
        ),
        case(
            "cross-site",
            Problem::cross_site_request(&public_url()),
            "cross_site_request",
            403,
            &["server.public_url", "href=\"https://codescan.example.com/\"", "repeat it"],
        ),
    ]
}

fn lost_login_cases() -> Vec<Case> {
    vec![
        case(
            "login-expired",
            Problem::login_expired(sign_in()),
            "login_expired",
            400,
            &["ten minutes", "session.cookie_secret", SIGN_IN_LINK],
        ),
        case(
            "code-expired",
            Problem::code_expired(sign_in()),
            "login_expired",
            400,
            &["bitbucket.redirect_url", SIGN_IN_LINK],
        ),
        case(
            "login-cookie-lost",
            Problem::login_cookie_lost(&public_url(), sign_in()),
            "cookie_lost",
            400,
            &["server.public_url", "Allow cookies", "http in place of https", SIGN_IN_LINK],
        ),
        case(
            "session-cookie-lost",
            Problem::session_cookie_lost(&public_url(), sign_in()),
            "cookie_lost",
            400,
            &["server.public_url", "session.store", "replicas", SIGN_IN_LINK],
        ),
    ]
}

const SIGN_IN_LINK: &str = "href=\"https://codescan.example.com/_codescan/oauth2/authorize\
                            ?rd=/projects%3Fsort%3Dname%26asc%3D1\"";

fn bitbucket_cases() -> Vec<Case> {
    let soon = Some(Duration::from_secs(10));
    let unreachable = |name, fault, says| {
        let problem = Problem::bitbucket_unreachable(fault, soon, Some(sign_in()));
        case(name, problem, "bitbucket_unreachable", 502, says)
    };
    vec![
        unreachable(
            "bitbucket-no-connection",
            BitbucketFault::NoConnection,
            &["bitbucket.url", "bitbucket.token_url", "bitbucket.proxy_url"],
        ),
        unreachable("bitbucket-tls", BitbucketFault::Tls, &["bitbucket.ca_file"]),
        unreachable("bitbucket-proxy", BitbucketFault::OutboundProxy, &["bitbucket.proxy_url"]),
        unreachable("bitbucket-timeout", BitbucketFault::Timeout, &["bitbucket.timeout"]),
        unreachable("bitbucket-busy", BitbucketFault::RateLimited, &["429"]),
        unreachable(
            "bitbucket-error",
            BitbucketFault::ServerError(StatusCode::SERVICE_UNAVAILABLE),
            &["503", "bitbucket.url"],
        ),
        unreachable(
            "bitbucket-odd-answer",
            BitbucketFault::UnexpectedAnswer(None),
            &["bitbucket.token_url", "7.20"],
        ),
        unreachable(
            "bitbucket-odd-status",
            BitbucketFault::UnexpectedAnswer(Some(StatusCode::NOT_FOUND)),
            &["404", "bitbucket.token_url", "7.20"],
        ),
        case(
            "bitbucket-in-session",
            Problem::bitbucket_unreachable(BitbucketFault::Timeout, soon, None),
            "bitbucket_unreachable",
            502,
            &["Your session is kept"],
        ),
        case(
            "bitbucket-rejected",
            Problem::bitbucket_rejected_client(CLIENT_ID, Some(sign_in())),
            "bitbucket_rejected_client",
            502,
            &["bitbucket.client_id", "bitbucket.client_secret", "Application links", CLIENT_ID],
        ),
        case(
            "redirect-url",
            Problem::redirect_url_mismatch(REDIRECT_URL, sign_in()),
            "redirect_url_mismatch",
            502,
            &["bitbucket.redirect_url", REDIRECT_URL, "character for character"],
        ),
    ]
}

fn request_cases() -> Vec<Case> {
    let soon = Duration::from_secs(5);
    vec![
        case(
            "upstream-unreachable",
            Problem::upstream_unreachable(),
            "upstream_unreachable",
            502,
            &["codescan.url", "codescan.connect_timeout"],
        ),
        case(
            "upstream-timeout",
            Problem::upstream_timeout(),
            "upstream_timeout",
            504,
            &["codescan.response_timeout"],
        ),
        case(
            "overloaded",
            Problem::overloaded(soon),
            "overloaded",
            503,
            &["codescan.max_connections"],
        ),
        case(
            "too-many-logins",
            Problem::too_many_logins(soon),
            "overloaded",
            503,
            &["bitbucket.timeout"],
        ),
        case(
            "store",
            Problem::session_store_unavailable(soon),
            "session_store_unavailable",
            503,
            &["session.store", "not been signed out"],
        ),
        case(
            "header-too-large",
            Problem::header_too_large(32 * 1024),
            "header_too_large",
            431,
            &["server.max_header_size", "32 KiB", "cookies"],
        ),
        case(
            "body-too-large",
            Problem::body_too_large(10 * 1024 * 1024),
            "body_too_large",
            413,
            &["server.max_body_size", "10 MiB"],
        ),
        case(
            "method",
            Problem::method_not_allowed("GET, HEAD, POST"),
            "method_not_allowed",
            405,
            &["GET, HEAD, POST"],
        ),
        case("not-found", Problem::not_found(), "not_found", 404, &["server.auth_listen"]),
        case(
            "invalid-request",
            Problem::invalid_request("The answer of Bitbucket holds neither a code nor an error."),
            "invalid_request",
            400,
            &["neither a code nor an error"],
        ),
    ]
}
