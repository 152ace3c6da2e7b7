//! What each setting alone cannot tell: combinations that cannot work, files that cannot be
//! read, and what works but is hardly meant.

use std::net::SocketAddr;

use super::addresses::{listen_address, tcp_address};
use super::faults::Place;
use super::key::Kind;
use super::keys::KEYS;
use super::public_url::PublicUrl;
use super::reader::Reader;
use super::settings::{ListenAddress, Settings, Store};
use super::sources::{Sources, read_bytes};
use super::store_address::store;
use super::typed::REDIRECT_PATH;
use super::values::{pause, switch};
use super::{headers, key};

/// Every combination that cannot work. In a file that could be read in part only, half of a
/// combination may be missing, so nothing is said of any.
pub(super) fn combinations(read: &mut Reader) {
    if read.is_incomplete {
        return;
    }
    drain_ends_after_its_delay(read);
    scopes_are_asked_for(read);
    listeners_differ(read);
    credentials_differ(read);
    certificate_has_its_key(read, "server.tls_certificate_file", "server.tls_key_file");
    certificate_has_its_key(read, "codescan.client_certificate_file", "codescan.client_key_file");
    proxy_protocol_has_its_proxies(read);
    cookie_prefix_fits(read);
    shared_store_has_a_shared_secret(read);
    cookie_is_not_one_of_codescan(read);
    headers::check_identity(read);
}

fn drain_ends_after_its_delay(read: &mut Reader) {
    let delay = read.peek("server.drain_delay", pause);
    let whole = read.peek("server.drain_timeout", pause);
    if delay.zip(whole).is_some_and(|(delay, whole)| delay >= whole) {
        let message = "must be shorter than server.drain_timeout, which includes it";
        blame(read, "server.drain_delay", "server.drain_timeout", message);
    }
}

/// RFC 6749 §3.3 lets `scope` be left out; what Bitbucket then grants is nowhere documented.
fn scopes_are_asked_for(read: &mut Reader) {
    const SCOPES: &str = "bitbucket.scopes";
    if read.is_empty_list(SCOPES) {
        blame(read, SCOPES, SCOPES, "must name at least one scope, such as REPO_ADMIN");
    }
}

fn listeners_differ(read: &mut Reader) {
    let public = read.peek("server.listen", listen_address);
    let admin = read.peek("admin.listen", tcp_address);
    if let (Some(ListenAddress::Tcp(public)), Some(admin)) = (public, admin)
        && collide(public, admin)
    {
        let message = "is the same as server.listen; health and metrics need a port of their own";
        blame(read, "admin.listen", "server.listen", message);
    }
}

/// Port 0 is a free one, each time another.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_port = one.port() != 0 && one.port() == other.port();
    let (one, other) = (one.ip(), other.ip());
    same_port && (one == other || one.is_unspecified() || other.is_unspecified())
}

/// Bitbucket's ids have 32 hexadecimal digits and its secrets 64.
fn credentials_differ(read: &mut Reader) {
    let text = |path| read.peek(path, |text| Ok(text.to_owned()));
    let (Some(id), Some(secret)) = (text("bitbucket.client_id"), text("bitbucket.client_secret"))
    else {
        return;
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !id.is_empty() && id == secret {
        let message =
            "is the same as bitbucket.client_secret; Bitbucket shows two different values";
        blame(read, "bitbucket.client_id", "bitbucket.client_secret", message);
    } else if digits(&id, 64) && digits(&secret, 32) {
        let message = "has the length of a secret and bitbucket.client_secret that of an id; \
                       exchange them";
        blame(read, "bitbucket.client_id", "bitbucket.client_secret", message);
    }
}

fn certificate_has_its_key(read: &mut Reader, certificate: &str, key: &str) {
    for (set, other) in [(certificate, key), (key, certificate)] {
        if read.is_set(set) && !read.is_set(other) {
            blame(read, set, set, &format!("is of no use without {other}; set both or neither"));
        }
    }
}

/// Every connection would be closed.
fn proxy_protocol_has_its_proxies(read: &mut Reader) {
    const PROXIES: &str = "server.trusted_proxies";
    let is_on = read.peek("server.proxy_protocol", switch) == Some(true);
    if is_on && read.is_empty_list(PROXIES) {
        let message = "must name the proxies that send the header of server.proxy_protocol";
        blame(read, PROXIES, "server.proxy_protocol", message);
    }
}

/// RFC 6265bis §4.1.3: browsers refuse such a cookie without `Secure`, and it has that over
/// https only. They compare the prefix without case.
fn cookie_prefix_fits(read: &mut Reader) {
    let https = read.peek("server.public_url", PublicUrl::parse).map(|url| url.is_https());
    let name = read.peek("session.cookie_name", |text| Ok(text.to_ascii_lowercase()));
    let (Some(false), Some(name)) = (https, name) else { return };
    if name.starts_with("__host-") || name.starts_with("__secure-") {
        let message = "has a prefix that browsers take over https only, but server.public_url is \
                       http; change one of them";
        blame(read, "session.cookie_name", "server.public_url", message);
    }
}

/// With a secret made at random by each of them, replicas could not finish each other's logins.
fn shared_store_has_a_shared_secret(read: &mut Reader) {
    const SECRET: &str = "session.cookie_secret";
    let is_shared = matches!(read.peek("session.store", store), Some(Store::Redis(_)));
    if is_shared && !read.is_set(SECRET) {
        let message = "must be set where session.store is not memory, the same for all replicas \
                       (openssl rand -base64 32)";
        blame(read, SECRET, "session.store", message);
    }
}

fn cookie_is_not_one_of_codescan(read: &mut Reader) {
    let Some(name) = read.peek("session.cookie_name", |text| Ok(text.to_owned())) else { return };
    if read.texts("codescan.session_cookies").contains(&name.as_str()) {
        let message = "is also in codescan.session_cookies, which each login expires; choose \
                       another name";
        blame(read, "session.cookie_name", "codescan.session_cookies", message);
    }
}

/// A fault of `path`, placed where it was set, or else where `other` was.
fn blame(read: &mut Reader, path: &str, other: &str, message: &str) {
    let place = match read.place(path) {
        Place::Default => read.place(other),
        place => place,
    };
    read.faults.add(place, path, message);
}

/// Files that a setting names and others open.
pub(super) fn files(read: &mut Reader, sources: &Sources) {
    for path in KEYS.iter().filter(|key| key.kind == Kind::Path).map(|key| key.path) {
        let named = read.peek(path, super::values::path).filter(|_| read.is_set(path));
        if let Some(file) = named
            && let Err(problem) = read_bytes(sources, &file)
        {
            let message = format!("names a file that {problem} ({})", file.display());
            blame(read, path, path, &message);
        }
    }
}

/// What works, but is hardly meant.
pub(super) fn warnings(settings: &Settings, read: &Reader) -> Vec<String> {
    let public_url = &settings.server.public_url;
    let expected = public_url.at(REDIRECT_PATH);
    let mut warnings = Vec::new();
    if !public_url.is_https() && !public_url.is_loopback() {
        warnings.push(
            "server.public_url is http: cookies and pages can be read on the way; use https".into(),
        );
    }
    if settings.bitbucket.url.scheme() == "http" {
        warnings.push(
            "bitbucket.url is http: the client secret and tokens can be read on the way; use https"
                .into(),
        );
    }
    if settings.bitbucket.redirect_url != expected {
        warnings.push(format!(
            "bitbucket.redirect_url is not {expected}: logins come back only if something in \
             front of the proxy leads them there"
        ));
    }
    warnings.extend(secrets_on_the_command_line(read));
    warnings
}

fn secrets_on_the_command_line(read: &Reader) -> impl Iterator<Item = String> {
    let secrets = KEYS.iter().filter(|key| key.secret);
    let shown = secrets.filter(|key| read.is_value_from_flag(key.path));
    shown.map(|key| {
        format!(
            "{} is on the command line, where every user of this machine can read it; use {} or \
             {}_file",
            key.path,
            key::variable(key.path),
            key.path
        )
    })
}
