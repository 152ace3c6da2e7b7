//! Connections that go on as another protocol after a 101 (RFC 9110 §7.8).

use std::future::Future;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional};

/// Carries bytes both ways until a side closes or `over` resolves; then both are closed.
///
/// Bytes that came with or before either head are in the upgraded streams already, so nothing is
/// read as HTTP that was meant for the tunnel, nor the other way round.
pub async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, over: impl Future<Output = ()>) {
    let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) else { return };
    let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut upstream) => {}
        () = over => {
            let _ = tokio::join!(client.shutdown(), upstream.shutdown());
        }
    }
}
