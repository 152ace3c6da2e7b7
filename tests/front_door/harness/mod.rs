//! The stage of each test: a Bitbucket, a `CodeScan`, the proxy between them, and browsers.
//!
//! ```text
//! let stage = Stage::set().await;                          // all defaults
//! let mut browser = stage.browser();
//! browser.log_in("jcitizen").await;
//! let page = browser.get("/projects").await;
//! ```
//!
//! Everything that the proxy says (log lines, answers) is kept as evidence, together with every
//! secret that was about, so that `tests/leaks` can look for one in the other afterwards.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    reason = "what a test writes is short, and should be short to read"
)]

pub mod browser;
pub mod client;
pub mod command;
pub mod evidence;
pub mod frames;
pub mod http2;
pub mod proxy;
pub mod recorder;
#[path = "../../store/server.rs"]
pub mod redis;
pub mod shared_upstream;
pub mod tls;
pub mod upstream;
pub mod ways;
pub mod websocket;
pub mod wire;

use std::time::Duration;

use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions, Received};

pub use browser::Browser;
pub use client::{Answer, Client};
pub use proxy::{Proxy, Settings};

use evidence::Evidence;

/// Where logins begin and come back to, and where they end.
pub const AUTHORIZE: &str = "/_codescan/oauth2/authorize";
pub const LOGOUT: &str = "/_codescan/oauth2/logout";
pub const USERINFO: &str = "/_codescan/oauth2/userinfo";

/// How long a test waits for something that should happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A whole installation.
pub struct Stage {
    pub bitbucket: Bitbucket,
    pub codescan: Codescan,
    pub proxy: Proxy,
    pub evidence: Evidence,
}

impl Stage {
    /// With all defaults.
    pub async fn set() -> Self {
        Self::with(|_| {}).await
    }

    /// With some settings of the proxy changed.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::between(BitbucketOptions::default(), CodescanOptions::default(), change).await
    }

    /// With servers of a special kind.
    pub async fn between(
        bitbucket: BitbucketOptions,
        mut codescan: CodescanOptions,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let bitbucket = Bitbucket::start(bitbucket).await.expect("the Bitbucket simulator starts");
        codescan.bitbucket = Some(bitbucket.clone());
        let codescan = Codescan::start(codescan).await.expect("the upstream starts");
        Self::around(bitbucket, codescan, change).await
    }

    /// With servers that run, so that the settings can tell of them.
    pub async fn around(
        bitbucket: Bitbucket,
        codescan: Codescan,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let evidence = Evidence::new();
        let mut settings = Settings::between(&bitbucket, &codescan);
        change(&mut settings);
        let proxy = Proxy::start(settings, &evidence).await;
        bitbucket.register_redirect_url(&proxy.redirect_url());
        Self { bitbucket, codescan, proxy, evidence }
    }

    /// A browser that nobody has used.
    pub fn browser(&self) -> Browser {
        Browser::new(&self.proxy, self.bitbucket.clone(), self.evidence.clone())
    }

    /// A browser in which this person is logged in.
    pub async fn logged_in(&self, slug: &str) -> Browser {
        let mut browser = self.browser();
        browser.log_in(slug).await;
        browser
    }

    /// A machine that has the session cookie of this person.
    pub async fn session_of(&self, slug: &str) -> Client {
        self.client().with("cookie", &self.logged_in(slug).await.cookie_header())
    }

    /// A machine: no cookies, no `Sec-Fetch-*`.
    pub fn client(&self) -> Client {
        Client::new(&self.proxy.origin(), self.evidence.clone())
    }

    /// The last request that reached `CodeScan` under this path.
    pub fn received(&self, path: &str) -> Received {
        self.codescan.requests_to(path).pop().unwrap_or_else(|| panic!("nothing came to {path}"))
    }

    /// Starts the proxy again, at the same place and with some settings changed.
    pub async fn restart_proxy(&mut self, change: impl FnOnce(&mut Settings)) {
        self.proxy.restart(&self.evidence, change).await;
    }

    /// A metric, its name without `codescan_oauth_proxy_` and with its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        let prefix = format!("codescan_oauth_proxy_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_else(|| panic!("no metric {name}")).parse().expect("a number")
    }

    /// Asks the admin listener.
    pub async fn admin(&self, path: &str) -> Answer {
        Client::new(&self.proxy.admin_origin(), self.evidence.clone()).get(path).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for path in ["/metrics", "/readyz?verbose"] {
            self.evidence.ask(&self.proxy.admin_origin(), path);
        }
        let fields = self.evidence.settings(&self.proxy.settings_file(), self.proxy.pid());
        self.evidence.reached("codescan", &self.codescan.requests(), &fields);
        let fields = ["authorization".to_owned()];
        self.evidence.reached("bitbucket", &self.bitbucket.requests(), &fields);
        self.evidence.secrets(self.bitbucket.issued_secrets());
        self.evidence.secrets([self.bitbucket.client_secret().to_owned()]);
    }
}

/// Whether [`Settings::between`] makes sessions be kept in a shared store: what is told of those in
/// memory is then not so.
pub fn shares_sessions() -> bool {
    std::env::var_os(STORE_VARIABLE).is_some_and(|store| store == "redis")
}

/// With `redis` in it, all tests keep sessions in a store of their own, which is to make no
/// difference.
const STORE_VARIABLE: &str = "FRONT_DOOR_STORE";

/// SHA-256 in lower-case hex.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes in which no piece looks like another: byte `i` is `i % 251`, as `/bytes/{n}` sends them.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..251_u8).cycle().take(length).collect()
}

/// A file of its own in the folder that cargo keeps for tests; it lives as long as the proxy.
pub fn kept_file(name: &str, content: &str) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder").keep();
    let path = folder.join(name);
    std::fs::write(&path, content).expect("it is written");
    path.to_str().expect("a path of text").to_owned()
}

/// Waits for something, but not for ever.
pub async fn patiently<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    came.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Looks again and again until `ready` says so; fails the test after [`PATIENCE`].
pub async fn wait_until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looking).await;
    assert!(seen.is_ok(), "waited in vain: {what}");
}
