//! Connections that go on as another protocol after a 101 (RFC 9110 §7.8).

use std::future::Future;
use std::io;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};

use super::pool::Lease;

/// Carries bytes both ways until a side closes or `over` resolves; then both are closed.
///
/// Bytes that came with or before either head belong to the tunnel, so nothing is read as HTTP
/// that was meant for it, nor the other way round.
pub async fn tunnel(client: OnUpgrade, upstream: Lease, over: impl Future<Output = ()>) {
    let Ok(client) = client.await else { return };
    let mut client = TokioIo::new(client);
    // The place is held to the end: the connection counts as long.
    let Lease { connection, place: _place } = upstream;
    let (mut upstream, early) = connection.into_parts();
    tokio::select! {
        _ = carry(&mut client, &mut upstream, &early) => {}
        () = over => {
            let _ = tokio::join!(client.shutdown(), upstream.shutdown());
        }
    }
}

async fn carry(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    upstream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    early: &[u8],
) -> io::Result<()> {
    client.write_all(early).await?;
    copy_bidirectional(client, upstream).await?;
    Ok(())
}
