//! `cargo demo`: the main job to look at, with nothing installed and nothing to set.
//!
//! Joins the Bitbucket simulator, its `CodeScan` stand-in and the proxy in one process, on
//! loopback. Bitbucket is called `localhost` and the proxy `127.0.0.1`, so that to a browser they
//! are two sites, as they are in real life.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a person")]

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use codescan_oauth_proxy::commands::{healthcheck, serve};
use codescan_oauth_proxy::config::Sources;
use codescan_oauth_proxy::secret::Secret;
use simulator::{Bitbucket, BitbucketOptions, Codescan, CodescanOptions};
use tokio::runtime::Runtime;

/// Bitbucket's, `SonarQube`'s and our own default ports. Where one is taken, any other will do.
const BITBUCKET: u16 = 7990;
const CODESCAN: u16 = 9000;
const PROXY: u16 = 8080;
const ADMIN: u16 = 8081;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("The demo cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    // Held to the end: the doubles run on it. The proxy brings its own threads.
    let runtime = Runtime::new()?;
    let (bitbucket, codescan) = runtime.block_on(start_doubles())?;
    let proxy = Addresses { public: usual_or_free(PROXY)?, admin: usual_or_free(ADMIN)? };
    bitbucket.register_redirect_url(&format!("{}/_codescan/oauth2/authorize", proxy.public_url()));

    let sources = settings(&proxy, &bitbucket, &codescan);
    let welcome = welcome(&proxy, &bitbucket, &codescan);
    let asked = sources.clone();
    thread::spawn(move || {
        wait_until_ready(&asked);
        println!("{welcome}");
    });
    // Until Ctrl-C, which it waits for itself.
    let report = serve::run(&sources);
    eprint!("{}", report.stderr);
    if report.code == 0 {
        println!("\nThe demo has ended.");
    }
    Ok(ExitCode::from(report.code))
}

async fn start_doubles() -> io::Result<(Bitbucket, Codescan)> {
    let bitbucket = match start_bitbucket(BITBUCKET).await {
        Ok(bitbucket) => bitbucket,
        Err(_) => start_bitbucket(0).await?,
    };
    let codescan = match start_codescan(CODESCAN, &bitbucket).await {
        Ok(codescan) => codescan,
        Err(_) => start_codescan(0, &bitbucket).await?,
    };
    Ok((bitbucket, codescan))
}

async fn start_bitbucket(port: u16) -> io::Result<Bitbucket> {
    Bitbucket::start(BitbucketOptions { port, ..Default::default() }).await
}

async fn start_codescan(port: u16, bitbucket: &Bitbucket) -> io::Result<Codescan> {
    let bitbucket = Some(bitbucket.clone());
    Codescan::start(CodescanOptions { port, bitbucket, ..Default::default() }).await
}

/// Where the proxy is, on 127.0.0.1.
struct Addresses {
    public: u16,
    admin: u16,
}

impl Addresses {
    fn public_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.public)
    }
}

/// The five settings that are needed, and what keeps the terminal readable. This process's own
/// environment is left out, so that nothing in it can spoil the demo.
fn settings(proxy: &Addresses, bitbucket: &Bitbucket, codescan: &Codescan) -> Sources {
    let set = [
        format!("server.public_url={}", proxy.public_url()),
        format!("bitbucket.url={}", bitbucket.url()),
        format!("bitbucket.client_id={}", bitbucket.client_id()),
        format!("bitbucket.client_secret={}", bitbucket.client_secret()),
        format!("codescan.url={}", codescan.url()),
        format!("server.listen=127.0.0.1:{}", proxy.public),
        format!("admin.listen=127.0.0.1:{}", proxy.admin),
        "server.drain_delay=0s".to_owned(),
        "server.drain_timeout=1s".to_owned(),
        "log.format=text".to_owned(),
        // Without what it rightly says of plain http and secrets on a command line.
        "log.level=warn,codescan_oauth_proxy::commands::serve=error".to_owned(),
        "log.access=false".to_owned(),
    ];
    Sources { set: set.map(Secret::new).into(), ..Sources::empty() }
}

fn wait_until_ready(sources: &Sources) {
    while healthcheck::run(sources).code != 0 {
        thread::sleep(Duration::from_millis(50));
    }
}

fn welcome(proxy: &Addresses, bitbucket: &Bitbucket, codescan: &Codescan) -> String {
    format!(
        "\n\
         The demo is running. Open this in a browser:\n\
         \n    {public}/\n\
         \n\
         You are sent to a Bitbucket simulator. Log in there as jcitizen or asmith (there are\n\
         no passwords) and press Allow. Back here, a CodeScan stand-in shows who you are.\n\
         \n\
         \x20   Bitbucket simulator    {bitbucket}/\n\
         \x20   CodeScan stand-in      {codescan}/ (without the proxy: nobody is logged in)\n\
         \x20   health and metrics     http://127.0.0.1:{admin}/readyz?verbose, /metrics\n\
         \n\
         Ctrl-C ends it.",
        public = proxy.public_url(),
        bitbucket = bitbucket.url(),
        codescan = codescan.url(),
        admin = proxy.admin,
    )
}

/// This port of loopback, or where somebody has it, any other.
fn usual_or_free(usual: u16) -> io::Result<u16> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    bind(usual).or_else(|_| bind(0))?.local_addr().map(|address| address.port())
}
