//! The one table of settings. Reading, environment names, `check`, "did you mean" and the
//! reference page all come from it; a new setting is an entry here and a line in
//! [`super::typed`], where it gets its type.

use super::key::{Fallback, Key, Kind, key, variable};

use Fallback::{List, Map, Required, Text, Words};

/// Every setting, in the order of the reference page.
#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    key("server.listen", Kind::Address, Text("0.0.0.0:8080"),
        "Address of the public listener, or `unix:/path`.").fixed(),
    key("server.public_url", Kind::Url, Required,
        "Origin (and optional path prefix) that browsers use, such as `https://codescan.example.com`."),
    key("server.tls_certificate_file", Kind::Path, Words("none"),
        "PEM certificate chain of the public listener; needs `tls_key_file`. Re-read on change."),
    key("server.tls_key_file", Kind::Path, Words("none"),
        "PEM key of `tls_certificate_file`. Re-read on change."),
    key("server.trusted_proxies", Kind::List("networks"), List(&[]),
        "Networks (CIDR) whose peers may extend `X-Forwarded-For` and `Forwarded`'s `for=` and set `X-Request-Id` and `traceparent`; `unix` stands for peers on a unix socket."),
    key("server.proxy_protocol", Kind::Switch, Text("false"),
        "Connections begin with a PROXY protocol header (v1 or v2), which only `trusted_proxies` may send; without one they are closed."),
    key("server.socket_mode", Kind::Mode, Text("0660"),
        "Permission bits of a unix listener's socket file.").fixed(),
    key("server.workers", Kind::Count, Words("number of cores allowed"),
        "Threads that serve connections; the default heeds a container's CPU limit (cgroup) and CPU affinity.").fixed(),
    key("server.max_connections", Kind::Count, Text("10000"),
        "Connections at a time; at the limit the longest-idle one is closed, and with none idle new ones wait. The limit of open files is raised at start as far as allowed."),
    key("server.header_timeout", Kind::Duration, Text("10s"),
        "Time to receive a request head."),
    key("server.idle_timeout", Kind::Duration, Text("75s"),
        "How long an idle keep-alive connection stays open."),
    key("server.max_header_size", Kind::Size, Text("32KiB"),
        "Largest request head, `4KiB` to `1MiB`; 431 beyond it."),
    key("server.max_body_size", Kind::Size, Text("0"),
        "Largest request body; 413 beyond it. `0` is no limit."),
    key("server.drain_delay", Kind::Duration, Text("5s"),
        "After SIGTERM: how long the program is unready but still serves."),
    key("server.drain_timeout", Kind::Duration, Text("25s"),
        "From SIGTERM to exit, `drain_delay` included; Kubernetes kills at 30 s."),

    key("admin.listen", Kind::Address, Text("0.0.0.0:8081"),
        "Address for health and metrics; it never serves the application.").fixed(),
    key("admin.ready_needs", Kind::List("`codescan`, `store`"), List(&["codescan"]),
        "What must answer for `/readyz` to be 200."),

    key("bitbucket.url", Kind::Url, Required,
        "Base URL of Bitbucket Data Center, context path included."),
    key("bitbucket.client_id", Kind::Text, Required,
        "Client ID that Bitbucket shows for the application link."),
    key("bitbucket.client_secret", Kind::Text, Required,
        "Client secret that Bitbucket shows for the application link.").secret(),
    key("bitbucket.redirect_url", Kind::Url, Words("`server.public_url` + `/_codescan/oauth2/authorize`"),
        "Must equal the Redirect URL of the application link, character for character."),
    key("bitbucket.scopes", Kind::List("scopes"), List(&["REPO_ADMIN"]),
        "Scopes to ask for; the application link must permit them."),
    key("bitbucket.authorize_url", Kind::Url, Words("`bitbucket.url` + `/rest/oauth2/latest/authorize`"),
        "Authorization endpoint, as browsers reach it."),
    key("bitbucket.token_url", Kind::Url, Words("`bitbucket.url` + `/rest/oauth2/latest/token`"),
        "Token endpoint, as the proxy reaches it."),
    key("bitbucket.whoami_url", Kind::Url, Words("`bitbucket.url` + `/rest/api/latest/application-properties`"),
        "Address whose `X-AUSERNAME` response header says whose token it is; empty: identity is not asked for."),
    key("bitbucket.revoke_url", Kind::Url, Words("none"),
        "RFC 7009 revocation endpoint, where an installation has one."),
    key("bitbucket.ca_file", Kind::Path, Words("none"),
        "PEM bundle to trust for Bitbucket in addition to the system's roots."),
    key("bitbucket.timeout", Kind::Duration, Text("15s"),
        "Time for one call to Bitbucket, which itself may wait 10 s for a lock."),
    key("bitbucket.proxy_url", Kind::Url, Words("`HTTPS_PROXY` and `NO_PROXY` of the environment"),
        "Outbound proxy towards Bitbucket; may hold a user name and password.").secret(),

    key("codescan.url", Kind::Url, Required,
        "CodeScan itself: `http://…`, `https://…`, or `unix:/path`."),
    key("codescan.ca_file", Kind::Path, Words("none"),
        "PEM bundle to trust for CodeScan in addition to the system's roots."),
    key("codescan.client_certificate_file", Kind::Path, Words("none"),
        "PEM certificate shown to CodeScan (mutual TLS); needs `client_key_file`."),
    key("codescan.client_key_file", Kind::Path, Words("none"),
        "PEM key of `client_certificate_file`."),
    key("codescan.connect_timeout", Kind::Duration, Text("5s"),
        "Time to connect to CodeScan; 502 beyond it."),
    key("codescan.response_timeout", Kind::Duration, Text("300s"),
        "From the last byte of the request to the response head; 504 beyond it. Never cuts a stream."),
    key("codescan.max_connections", Kind::Count, Text("1000"),
        "Connections to CodeScan of the whole program; when all are busy a request waits for `connect_timeout`, then gets `overloaded`."),
    key("codescan.session_cookies", Kind::List("cookie names"), List(&["JWT-SESSION", "XSRF-TOKEN"]),
        "CodeScan's own login cookies: each login and logout expires them in the browser."),
    key("codescan.preserve_host", Kind::Switch, Text("true"),
        "Send the client's `Host` to CodeScan."),
    key("codescan.http2", Kind::Switch, Text("false"),
        "HTTP/2 to CodeScan: by ALPN over TLS, by prior knowledge (h2c) without. WebSockets stay with HTTP/1.1 at the same address."),
    key("codescan.retry_on_401", Kind::Switch, Text("false"),
        "For a CodeScan that checks the token with Bitbucket: send a GET or HEAD without a body that got 401 once more, with a new token."),
    key("codescan.headers", Kind::Map, Map(&[("Authorization", "Bearer {access_token}")]),
        "Headers sent with every authenticated request, and removed from what clients send; in the settings file only, as `[codescan.headers]`."),

    key("session.store", Kind::Text, Text("memory"),
        "Where sessions are kept: `memory`, or a Redis or Valkey that replicas share: `redis://[user:password@]host[:port][/database]`, `redis+cluster://host,host…`, `redis+sentinel://host,host…/master`; with `rediss` for `redis`, over TLS.").secret().fixed(),
    key("session.ca_file", Kind::Path, Words("none"),
        "PEM bundle to trust for the store in addition to the system's roots; read again at each connect.").fixed(),
    key("session.capacity", Kind::Count, Text("100000"),
        "Sessions held in memory; beyond it the longest unused goes.").fixed(),
    key("session.idle_timeout", Kind::Duration, Text("24h"),
        "A session unused for this long ends."),
    key("session.max_lifetime", Kind::Duration, Text("7d"),
        "A session ends after this long in any case; also the cookie's Max-Age."),
    key("session.per_person", Kind::Count, Text("50"),
        "Live sessions of one person; beyond it the longest unused ends."),
    key("session.cookie_name", Kind::Text, Words("`__Host-codescan_session` over https, else `codescan_session`"),
        "Name of the session cookie; two installations on one host need two names."),
    key("session.cookie_secret", Kind::TextOrList, Words("random at start"),
        "32 bytes in base64 (`openssl rand -base64 32`), or a list of them: the first seals, all open; replicas share it.").secret(),
    key("session.refresh_before", Kind::Duration, Text("5m"),
        "From then on before its access token expires, at most a quarter of the token's life, a session in use is refreshed in the background."),
    key("session.logout_routes", Kind::List("rules"), List(&["POST /api/authentication/logout"]),
        "CodeScan's own logout: a 2xx answer to it ends the proxy's session too."),

    key("access.public", Kind::List("rules"),
        List(&["GET /_codescan/actuator/health", "GET /api/system/status", "GET /api/server/version"]),
        "Rules `METHOD /path` or `/path`, with `*` (one segment) and `**` (any), of what needs no login."),
    key("access.client_tokens", Kind::OneOf(&["deny", "pass"]), Text("deny"),
        "Requests that bring their own `Authorization` and have no session: refuse them, or let CodeScan decide."),

    key("log.format", Kind::OneOf(&["json", "text"]), Words("`json`, on a terminal `text`"),
        "How log lines are written.").fixed(),
    key("log.level", Kind::Text, Text("info"),
        "Level, or a `tracing` filter such as `info,hyper=debug`."),
    key("log.access", Kind::Switch, Text("true"),
        "Write one line for each request."),
];

/// A setting as it was spelled: itself, or its `_file` variant.
#[derive(Debug, Clone, Copy)]
pub struct Spelled {
    pub key: &'static Key,
    pub is_file: bool,
}

impl Spelled {
    /// `bitbucket.client_secret_file`
    pub fn path(self) -> String {
        format!("{}{}", self.key.path, if self.is_file { "_file" } else { "" })
    }

    /// How its value is written: the `_file` variant is always a path.
    pub fn kind(self) -> Kind {
        if self.is_file { Kind::Path } else { self.key.kind }
    }

    /// A table has no form that a variable or a flag could hold.
    pub fn is_settable_by_variable(self) -> bool {
        self.kind() != Kind::Map
    }
}

/// Every spelling there is.
pub fn spellings() -> impl Iterator<Item = Spelled> {
    KEYS.iter().flat_map(|key| {
        let variant = key.has_file.then_some(Spelled { key, is_file: true });
        std::iter::once(Spelled { key, is_file: false }).chain(variant)
    })
}

/// The setting that `path` spells.
pub fn by_path(path: &str) -> Option<Spelled> {
    spellings().find(|spelled| spelled.path() == path)
}

/// The setting that the environment variable `name` spells.
pub fn by_variable(name: &str) -> Option<Spelled> {
    spellings().find(|spelled| variable(&spelled.path()) == name)
}

/// The sections, in the order of the table.
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<_> = KEYS.iter().map(Key::section).collect();
    sections.dedup();
    sections
}
