//! `session.store`: which store, where it is, and how to sign in to it.
//!
//! No message quotes what was written: it may hold a password.

use std::net::Ipv6Addr;

use percent_encoding::percent_decode_str;
use url::Host;

use super::settings::{RedisAddress, RedisCredentials, RedisKind, Store};
use crate::secret::Secret;

const FORMS: &str = "write memory, redis://host:6379, redis+cluster://host:6379,host:6379 or \
                     redis+sentinel://host:26379,host:26379/master; with TLS rediss instead of \
                     redis";
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The schemes, of which the word before `+` is `rediss` for TLS.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Single,
    Sentinel,
    Cluster,
}

/// `memory`, or the URL of a Redis or Valkey.
pub(super) fn store(text: &str) -> Result<Store, String> {
    if text == "memory" {
        return Ok(Store::Memory);
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("must not hold blanks, control characters or backslashes".into());
    }
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("is no store; {FORMS}"))?;
    let (scheme, tls) = read_scheme(scheme)?;
    redis(scheme, tls, rest).map(Store::Redis)
}

fn read_scheme(text: &str) -> Result<(Scheme, bool), String> {
    let text = text.to_ascii_lowercase();
    let (base, kind) = text.split_once('+').unwrap_or((&text, ""));
    let tls = match base {
        "redis" => false,
        "rediss" => true,
        _ => return Err(format!("has a scheme that is not known; {FORMS}")),
    };
    let scheme = match kind {
        "" if !text.ends_with('+') => Scheme::Single,
        "sentinel" => Scheme::Sentinel,
        "cluster" => Scheme::Cluster,
        _ => return Err(format!("has a scheme that is not known; {FORMS}")),
    };
    Ok((scheme, tls))
}

fn redis(scheme: Scheme, tls: bool, rest: &str) -> Result<RedisAddress, String> {
    if rest.contains('#') {
        return Err("must not hold a #; in a password write %23".into());
    }
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, it)| (rest, Some(it)));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('@') {
        return Err("holds a / before the @; in a password write %2F".into());
    }
    let (credentials, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (read_credentials(userinfo)?, hosts),
        None => (RedisCredentials::default(), authority),
    };
    let hosts = read_hosts(scheme, hosts)?;
    let (kind, database) = match scheme {
        Scheme::Single => (RedisKind::Single, database(path)?),
        Scheme::Cluster => (RedisKind::Cluster, no_database(path)?),
        Scheme::Sentinel => sentinel(path, query)?,
    };
    if scheme != Scheme::Sentinel && query.is_some() {
        return Err("must not hold a query (what follows a ?); in a password write %3F".into());
    }
    Ok(RedisAddress { kind, tls, hosts, credentials, database })
}

/// `user:password`, `:password`; a user alone signs in nowhere.
fn read_credentials(userinfo: &str) -> Result<RedisCredentials, String> {
    let (username, password) = userinfo
        .split_once(':')
        .ok_or("holds a user without a password; write user:password@ or :password@")?;
    Ok(RedisCredentials { username: decoded(username)?, password: decoded(password)? })
}

/// Percent-decoded; nothing where it is empty.
fn decoded(text: &str) -> Result<Option<Secret>, String> {
    let broken = "holds a percent sign that begins no escape, or bytes that are no UTF-8; in a \
                  password write %25 for a percent sign";
    if !escapes_are_whole(text) {
        return Err(broken.into());
    }
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| broken)?;
    Ok((!decoded.is_empty()).then(|| Secret::new(decoded)))
}

fn escapes_are_whole(text: &str) -> bool {
    let mut escapes = text.split('%').skip(1);
    escapes.all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn read_hosts(scheme: Scheme, text: &str) -> Result<Vec<(String, u16)>, String> {
    let default_port = if scheme == Scheme::Sentinel { SENTINEL_PORT } else { SERVER_PORT };
    let hosts: Vec<_> =
        text.split(',').map(|host| read_host(host, default_port)).collect::<Result<_, _>>()?;
    if scheme == Scheme::Single && hosts.len() > 1 {
        return Err("names several hosts, which redis:// cannot use; write redis+cluster:// or \
                    redis+sentinel://"
            .into());
    }
    Ok(hosts)
}

fn read_host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("has a [ without a ]")?;
        let address: Ipv6Addr = address.parse().map_err(|_| "has an IPv6 address that is none")?;
        (address.to_string(), port.strip_prefix(':'))
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(h, p)| (h, Some(p)));
        if host.is_empty() {
            return Err(format!("names no host; {FORMS}"));
        }
        let host = Host::parse(host).map_err(|_| "names a host that is none")?;
        (host.to_string(), port)
    };
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or("has a port that is not a number from 1 to 65535")?,
    };
    Ok((host, port))
}

fn database(path: &str) -> Result<u32, String> {
    match path {
        "" => Ok(0),
        number => number.parse().ok().filter(|number| *number < 1_000_000).ok_or_else(|| {
            "has a path that is not the number of a database, such as /0".to_owned()
        }),
    }
}

fn no_database(path: &str) -> Result<u32, String> {
    match path {
        "" | "0" => Ok(0),
        _ => Err("must not have a path: a cluster has one database only".into()),
    }
}

/// `/master`, `/master/database`, and how to sign in to the Sentinels themselves.
fn sentinel(path: &str, query: Option<&str>) -> Result<(RedisKind, u32), String> {
    let (master, number) = path.split_once('/').unwrap_or((path, ""));
    let master = decoded(master)?.ok_or(
        "must name the master that the Sentinels watch, such as \
         redis+sentinel://host:26379/mymaster",
    )?;
    let credentials = sentinel_credentials(query.unwrap_or(""))?;
    Ok((RedisKind::Sentinel { master: master.expose().to_owned(), credentials }, database(number)?))
}

fn sentinel_credentials(query: &str) -> Result<RedisCredentials, String> {
    let mut credentials = RedisCredentials::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sentinel_username", name)) => credentials.username = decoded(name)?,
            Some(("sentinel_password", word)) => credentials.password = decoded(word)?,
            _ => {
                return Err("has a query with something else than sentinel_username and \
                            sentinel_password"
                    .into());
            }
        }
    }
    Ok(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str) -> RedisAddress {
        match store(text) {
            Ok(Store::Redis(address)) => address,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn shown(credentials: &RedisCredentials) -> (Option<&str>, Option<&str>) {
        let show = |it: &'_ Option<Secret>| it.as_ref().map(|it| it.expose().to_owned());
        let leak = |it: Option<String>| it.map(|it| &*it.leak());
        (leak(show(&credentials.username)), leak(show(&credentials.password)))
    }

    #[test]
    fn every_form_is_read() {
        assert!(matches!(store("memory"), Ok(Store::Memory)));
        let plain = good("redis://cache");
        assert_eq!(
            (plain.hosts, plain.database, plain.tls),
            (vec![("cache".into(), 6379)], 0, false)
        );
        let whole = good("rediss://me:p%40ss@cache.example.com:7000/3");
        assert!(whole.tls && matches!(whole.kind, RedisKind::Single));
        assert_eq!(whole.hosts, [("cache.example.com".into(), 7000)]);
        assert_eq!((whole.database, shown(&whole.credentials)), (3, (Some("me"), Some("p@ss"))));
        let password = good("redis://:p:a@s@[::1]:1");
        assert_eq!(password.hosts, [("::1".into(), 1)]);
        assert_eq!(shown(&password.credentials), (None, Some("p:a@s")));
    }

    #[test]
    fn clusters_and_sentinels_have_several_hosts() {
        let cluster = good("rediss+cluster://:x@a:1,b,[::2]");
        assert!(matches!(cluster.kind, RedisKind::Cluster) && cluster.tls);
        assert_eq!(cluster.hosts, [("a".into(), 1), ("b".into(), 6379), ("::2".into(), 6379)]);
        let watched = good("redis+sentinel://u:p@a,b:1/main/2?sentinel_password=q%26");
        assert_eq!(watched.hosts, [("a".into(), 26379), ("b".into(), 1)]);
        assert_eq!(watched.database, 2);
        let RedisKind::Sentinel { master, credentials } = &watched.kind else { panic!() };
        assert_eq!((master.as_str(), shown(credentials)), ("main", (None, Some("q&"))));
    }

    #[test]
    fn what_is_wrong_is_said_without_what_was_written() {
        for (text, said) in [
            ("", "is no store"),
            ("hunter2", "is no store"),
            ("memory ", "blanks"),
            ("http://:hunter2@h", "scheme that is not known"),
            ("redis+://:hunter2@h", "scheme that is not known"),
            ("redis+pool://:hunter2@h", "scheme that is not known"),
            ("redis://", "names no host"),
            ("redis://:hunter2@", "names no host"),
            ("redis://hunter2@h", "user without a password"),
            ("redis://:hunter2%@h", "begins no escape"),
            ("redis://:hunter2%zz@h", "begins no escape"),
            ("redis://:hunter2%ff@h", "no UTF-8"),
            ("redis://:hunter2#@h", "%23"),
            ("redis://:hunter2?x@h", "names no host"),
            ("redis://:hunter2/@h", "%2F"),
            ("redis://h?x=hunter2", "%3F"),
            ("redis://:hunter2@h:0", "port"),
            ("redis://:hunter2@h:99999", "port"),
            ("redis://:hunter2@h:x", "port"),
            ("redis://:hunter2@h/x", "number of a database"),
            ("redis://:hunter2@h/-1", "number of a database"),
            ("redis://:hunter2@h,i", "several hosts"),
            ("redis://:hunter2@[::1", "without a ]"),
            ("redis://:hunter2@[x]", "IPv6"),
            ("redis+cluster://:hunter2@h,,i", "names no host"),
            ("redis+cluster://:hunter2@h/1", "one database"),
            ("redis+sentinel://:hunter2@h", "must name the master"),
            ("redis+sentinel://:hunter2@h/m/x", "number of a database"),
            ("redis+sentinel://:hunter2@h/m?password=hunter2", "sentinel_password"),
        ] {
            let fault = store(text).expect_err(text);
            assert!(fault.contains(said), "{text}: {fault}");
            assert!(!fault.contains("hunter2"), "{text}: {fault}");
        }
    }
}
