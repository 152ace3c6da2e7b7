//! Idle connections are reduced to their sockets, and nobody notices.

use crate::harness::tls::Certificate;
use crate::harness::wire::get;
use crate::harness::{PATIENCE, Stage};

async fn open_to_all() -> Stage {
    Stage::with(|settings| {
        settings.set("access.public", "[\"/**\"]");
    })
    .await
}

/// Until so many connections were parked since the start.
async fn parked(stage: &Stage, times: u32) {
    let parked = async {
        while stage.metric("connections_parked_total").await < f64::from(times) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, parked).await.expect("it is parked");
}

#[tokio::test]
async fn a_parked_connection_serves_on() {
    let stage = open_to_all().await;
    let mut wire = stage.client().open().await;
    for times in 1..=3 {
        assert_eq!(wire.get("/bytes/5000", "").await.body.len(), 5000);
        parked(&stage, times).await;
    }
}

#[tokio::test]
async fn over_tls_too() {
    let certificate = Certificate::new();
    let stage = Stage::with(|settings| {
        certificate.in_settings(settings);
        settings.set("access.public", "[\"/**\"]");
    })
    .await;
    let client = stage.client().over_tls(&certificate.trusted());
    let mut wire = client.open().await;
    for times in 1..=3 {
        assert_eq!(wire.get("/bytes/5000", "").await.body.len(), 5000);
        parked(&stage, times).await;
    }
}

/// What hyper has read of a next head is all that it has of an idle connection.
#[tokio::test]
async fn a_head_that_has_begun_is_not_lost_at_any_byte() {
    let stage = open_to_all().await;
    let next = get("/bytes/7", "X-Long: 0123456789\r\n");
    let mut wires = Vec::new();
    for offset in 0..next.len() {
        let mut wire = stage.client().open().await;
        wire.send(format!("{}{}", get("/bytes/3", ""), &next[..offset])).await;
        assert_eq!(wire.answer().await.body.len(), 3);
        wires.push((offset, wire));
    }
    parked(&stage, u32::try_from(next.len()).expect("few")).await;
    for (offset, mut wire) in wires {
        wire.send(&next[offset..]).await;
        assert_eq!(wire.answer().await.body.len(), 7, "after {offset} bytes");
        assert_eq!(wire.get("/bytes/9", "").await.body.len(), 9);
    }
}
