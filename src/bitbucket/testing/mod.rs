//! What the tests of this room share, and those of the room that uses it.

mod server;

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;

use super::Client;
use super::transport::Answer;
use crate::config::settings::Bitbucket;
use crate::secret::Secret;

pub use server::{Authority, Proxy, Reply, Server, json};

/// An application link's worth of settings for a Bitbucket at `base`.
pub fn settings(base: &str) -> Bitbucket {
    let at = |path: &str| format!("{base}{path}").parse().expect("a URL");
    Bitbucket {
        url: at(""),
        client_id: "4f1c0e7a9b2d4c5e8f60718293a4b5c6".into(),
        client_secret: Secret::new("the+client&secret"),
        redirect_url: "https://codescan.example.com/_codescan/oauth2/authorize".into(),
        scopes: vec!["REPO_ADMIN".into()],
        authorize_url: at("/rest/oauth2/latest/authorize"),
        token_url: at("/rest/oauth2/latest/token"),
        whoami_url: Some(at("/rest/api/latest/application-properties")),
        revoke_url: None,
        ca_file: None,
        timeout: Duration::from_secs(15),
        proxy_url: None,
    }
}

/// Straight to Bitbucket, whatever proxy the environment of the tests names.
pub fn client(settings: &Bitbucket) -> Client {
    Client::behind(Matcher::builder().build(), settings).expect("usable settings")
}

pub(in crate::bitbucket) fn answer(status: u16, content_type: &str, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().expect("a field value"));
    Answer {
        status: StatusCode::from_u16(status).expect("a status"),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}
