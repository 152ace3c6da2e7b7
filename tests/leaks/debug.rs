//! `Debug` shows no secret: it stands in many a log line and panic message to be written yet.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use codescan_oauth_proxy::bitbucket::{self, Cause, TokenError, TokenSet};
use codescan_oauth_proxy::commands::cli;
use codescan_oauth_proxy::config::{self, Loaded, Sources};
use codescan_oauth_proxy::login::attempt::{Returned, Started};
use codescan_oauth_proxy::login::callback::{self, Judged};
use codescan_oauth_proxy::login::exchange::{Failure, Order, Outcome};
use codescan_oauth_proxy::login::{Reply, Site};
use codescan_oauth_proxy::seal::Sealer;
use codescan_oauth_proxy::secret::Secret;
use codescan_oauth_proxy::session::id::SessionId;
use codescan_oauth_proxy::session::refresh::{Refresher, Renewal};
use codescan_oauth_proxy::session::tokens::Tokens;
use codescan_oauth_proxy::session::{Session, Sessions};

use super::assert_silent;

const SECRET: &str = "3f9c1e7ab2d84c5e8f60718293a4b5c6d7e8f901";
const OTHER: &str = "rT0-kM5vQ9yT_0aB7cD1eF5gH2iJ4kL6mN8oP0q";
const COOKIE_SECRET: &str = "q+7/ZJ1t8lqGv0P2m5Y6xw3eKbnRHcUo9iTAsDfgXhM=";

#[track_caller]
fn shows_nothing(value: &dyn Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!shown.is_empty());
        assert_silent(&shown, &[SECRET, OTHER, COOKIE_SECRET]);
    }
}

/// Fails to compile for a type that has `Debug`: two implementations would fit then.
macro_rules! have_no_debug {
    ($($type:ty),+ $(,)?) => {$(
        const _: fn() = || {
            trait Ambiguous<A> {
                fn here() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + Debug> Ambiguous<u8> for T {}
            let _ = <$type as Ambiguous<_>>::here;
        };
    )+};
}

// They hold tokens, codes, verifiers, keys or cookies. Whoever needs `Debug` for one of them
// writes it by hand, and a line below that shows what it says.
have_no_debug!(
    Session, Sessions, Refresher, Renewal, Tokens, SessionId, Sealer, Site, Reply, Started,
    Returned, Judged, Order, Outcome, Sources,
);

fn loaded() -> Loaded {
    let file = format!(
        r#"
        server.public_url = "https://codescan.example.com"
        bitbucket.url = "https://bitbucket.example.com"
        bitbucket.client_id = "codescan"
        bitbucket.client_secret = "{SECRET}"
        bitbucket.proxy_url = "http://proxy:{OTHER}@proxy.example.com:3128"
        codescan.url = "http://127.0.0.1:9000"
        session.cookie_secret = "{COOKIE_SECRET}"
        codescan.headers.Authorization = "Bearer {{access_token}}"
        codescan.headers.X-Key = "{OTHER}"
        "#
    );
    let files = BTreeMap::from([(PathBuf::from("settings.toml"), file.into_bytes())]);
    let read_file = move |path: &Path| -> io::Result<Vec<u8>> {
        files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let config = Some("settings.toml".into());
    let sources = Sources { config, read_file: Arc::new(read_file), ..Sources::empty() };
    config::load(&sources).unwrap_or_else(|faults| panic!("good settings:\n{faults}"))
}

#[test]
fn settings() {
    let loaded = loaded();
    shows_nothing(&loaded);
    shows_nothing(&loaded.settings);
    shows_nothing(&bitbucket::Client::new(&loaded.settings.bitbucket).expect("good settings"));
}

#[test]
fn a_command_line() {
    let set = format!("bitbucket.client_secret={SECRET}");
    shows_nothing(&cli::parse(["--set".into(), set.into()]).expect("a command line"));
    let slips = ["--bitbucket.client_secret=", "--", "-", ""];
    for slip in slips {
        let fault = cli::parse([format!("{slip}{SECRET}").into()]).expect_err("no command");
        shows_nothing(&fault);
        assert_silent(&fault.to_string(), &[SECRET]);
    }
}

#[test]
fn tokens_and_what_goes_wrong_with_them() {
    shows_nothing(&Secret::new(SECRET));
    shows_nothing(&TokenSet {
        access_token: Secret::new(SECRET),
        refresh_token: Some(Secret::new(OTHER)),
        expires_in: Duration::from_hours(1),
        scopes: vec!["REPO_ADMIN".to_owned()],
    });
    let timed_out = Cause::TimedOut { after: Duration::from_secs(15), sent: true };
    for error in [
        TokenError::WrongClient,
        TokenError::RedirectMismatch,
        TokenError::InvalidGrant,
        TokenError::Refused { error: "invalid_scope".to_owned() },
        TokenError::Unreachable { cause: timed_out, retry_after: None },
        TokenError::Nonsense("the access_token is empty"),
    ] {
        shows_nothing(&error);
        shows_nothing(&Failure::from(error));
    }
}

#[test]
fn an_authorization_response() {
    let query = format!("state=cop1.abc&code={SECRET}");
    shows_nothing(&callback::share(&query));
    shows_nothing(&callback::share(&format!("{query}&code={OTHER}")));
    shows_nothing(&callback::share(&format!("{query}&state=cop1.{OTHER}")));
}
