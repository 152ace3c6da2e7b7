//! A WebSocket that says back what it hears (RFC 6455), made by hand so that it owes nothing to
//! the library that tests use as a client.

use super::state::State;
use crate::answer::{self, Body};
use crate::listener::Connections;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A longer frame ends the connection.
const LARGEST: u64 = 16 * 1024 * 1024;

const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// One frame; fragments are not joined but echoed one by one.
struct Frame {
    last: bool,
    opcode: u8,
    payload: Vec<u8>,
}

/// Accepts the handshake; the echo runs until either side ends it.
pub(super) fn accept(state: &Arc<State>, mut request: Request<Incoming>) -> Response<Body> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
    let connections = request.extensions().get::<Connections>().cloned();
    let (Some(key), Some(connections)) = (key, connections) else {
        return answer::text(StatusCode::BAD_REQUEST, "This is no WebSocket handshake.\n");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let state = Arc::clone(state);
    connections.spawn(async move {
        let open = state.websockets.enter();
        if let Ok(stream) = upgraded.await {
            // How it ended shows on the other side.
            let _ = echo(TokioIo::new(stream)).await;
        }
        drop(open);
    });
    let mut response = answer::empty(StatusCode::SWITCHING_PROTOCOLS);
    answer::set(&mut response, CONNECTION, "Upgrade");
    answer::set(&mut response, UPGRADE, "websocket");
    let proof = Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize();
    answer::set(&mut response, SEC_WEBSOCKET_ACCEPT, &STANDARD.encode(proof));
    response
}

async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    loop {
        let mut frame = read(&mut stream).await?;
        match frame.opcode {
            PONG => continue,
            PING => frame.opcode = PONG,
            _ => {}
        }
        let closing = frame.opcode == CLOSE;
        write(&mut stream, &frame).await?;
        if closing {
            return stream.shutdown().await;
        }
    }
}

/// RFC 6455 §5.2; a client's frames must be masked.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let (first, second) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    let masked = second & 0x80 != 0;
    let size = usize::try_from(length).ok().filter(|_| masked && length <= LARGEST);
    let size = size.ok_or(io::ErrorKind::InvalidData)?;
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await?;
    let mut payload = vec![0; size];
    stream.read_exact(&mut payload).await?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok(Frame { last: first & 0x80 != 0, opcode: first & 0x0f, payload })
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let length = frame.payload.len();
    let mut bytes = vec![if frame.last { 0x80 | frame.opcode } else { frame.opcode }];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => bytes.push(short),
        (_, Ok(medium)) => {
            bytes.push(126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&frame.payload);
    stream.write_all(&bytes).await?;
    stream.flush().await
}
