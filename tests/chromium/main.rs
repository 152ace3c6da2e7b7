//! A real Chromium walks through the real binary: what people meet, and what they see.
//!
//! `walk` sets the stage with a browser on it, `chromium` and `driver` are that browser, `look`
//! judges our pages and keeps pictures of them below `target/tmp/screenshots`; each other module
//! tells of one subject. Bitbucket is `localhost` and the proxy `127.0.0.1`: two sites.
//!
//! Without `chromium` and `chromedriver` each walk says so and is skipped; with
//! `CHROMIUM_REQUIRED=1` it fails.

#[path = "../front_door/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the harness is shared, and this is one of its users")]
mod harness;

mod chromium;
mod driver;
mod look;
mod walk;

mod cookies;
mod ended;
mod errors;
mod login;
mod logout;
mod plain;
mod redirects;
