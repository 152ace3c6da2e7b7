//! Bitbucket is down for an hour, of the proxy's time, which passes faster than ours.
#![allow(clippy::print_stdout, reason = "the figures are for whoever asks for them")]

use std::path::Path;

use super::*;

/// Makes the clocks of a program go faster; from the package libfaketime.
const FASTER: &str = "faketime/libfaketimeMT.so.1";

/// How much faster.
const RATE: u64 = 240;

const PEOPLE: usize = 20;

/// Seconds of the proxy's time that a session has had.
async fn age(client: &Client) -> u64 {
    let info = client.get(USERINFO).await;
    assert_eq!(info.status, StatusCode::OK, "{}", info.text());
    7 * 24 * 3600 - info.json()["session_expires_in"].as_u64().expect("seconds")
}

fn library() -> Option<String> {
    let folder = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let file = Path::new(&folder).join(FASTER);
    if file.exists() {
        return Some(file.display().to_string());
    }
    println!("skipped: libfaketime is not installed");
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_without_bitbucket_logs_nobody_out() {
    let Some(library) = library() else { return };
    let stage = Stage::with(|settings| {
        settings.environment.push(("LD_PRELOAD".to_owned(), library));
        settings.environment.push(("FAKETIME".to_owned(), format!("+0 x{RATE}")));
        // A store beside it would be on another clock.
        settings.text("session.store", "memory");
        settings.text("session.idle_timeout", "7d");
        settings.text("server.idle_timeout", "24h");
        for key in ["bitbucket.timeout", "codescan.connect_timeout", "server.header_timeout"] {
            // Of a clock that runs as fast.
            settings.text(key, "20m");
        }
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..PEOPLE {
        clients.push(machine(&stage, &signed_in_for(&stage, "jcitizen", HOUR).await));
    }
    stage.bitbucket.stop().await.expect("it stops");
    let began = age(&clients[0]).await;
    let (mut served, mut waited) = (0, 0);
    let mut now = began;
    while now < began + 3600 {
        for client in &clients {
            let answer = client.get("/bytes/3").await;
            match answer.status {
                StatusCode::OK => served += 1,
                StatusCode::BAD_GATEWAY => {
                    assert_eq!(answer.error_code().as_deref(), Some("bitbucket_unreachable"));
                    let pause = answer.header("retry-after").and_then(|it| it.parse::<u64>().ok());
                    assert!(pause.is_some_and(|it| (1..=10).contains(&it)), "{pause:?}");
                    waited += 1;
                }
                status => panic!("{status}: {}", answer.text()),
            }
        }
        now = age(&clients[0]).await;
    }
    let tries = stage.metric("token_refreshes_total{result=\"bitbucket_unreachable\"}").await;
    stage.bitbucket.resume().await.expect("it is back");
    let back = age(&clients[0]).await;
    for client in &clients {
        wait_until("all is well", async || client.get("/bytes/3").await.status == StatusCode::OK)
            .await;
    }
    let well = age(&clients[0]).await - back;
    let refreshed = stage.bitbucket.count(Call::Refresh);
    println!(
        "an hour without Bitbucket, {PEOPLE} people: {served} requests served, {waited} told to \
         wait, {tries} tries; {well} s after it was back all were served, by {refreshed} refreshes"
    );
    assert!(waited > 0, "tokens expired meanwhile");
    assert_eq!(refreshed, PEOPLE, "each once");
}
