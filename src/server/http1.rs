//! A connection of HTTP/1.1 or HTTP/1.0 (RFC 9112).

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::io::AsyncWriteExt;

use super::connection::{Activity, Served, Watched, Wish};
use super::followed::Followed;
use super::peer::Peer;
use super::stream::Rewound;
use super::worker::{Application, Registered};

/// Bytes of an upload that are taken in at a time, once it turns out to be large, and of an answer
/// that may wait for a slow reader: half of it would take a fifth more CPU time for an upload.
const PIECE: usize = 256 * 1024;

/// Boxed, as it is handed to hyper and back.
type Stream = Box<Followed<Watched>>;

/// Serves a connection to its end, or until it has become a tunnel.
///
/// One that idles is parked: hyper's state and buffers take twenty times what a socket does. What
/// waits is then only this, and the rest is made anew when the next bytes come.
pub(super) async fn serve<A: Application>(place: &Registered<A>, stream: Rewound, peer: Peer) {
    let activity = &place.activity;
    let watched = Watched::new(stream, Arc::clone(activity));
    let mut stream = Box::new(Followed::new(watched, Arc::clone(activity)));
    loop {
        let left = Box::pin(converse(place, stream, peer)).await;
        let Some(idle) = left else { return };
        stream = idle;
        if stream.has_unread() {
            activity.reads_head();
            continue;
        }
        activity.parks(true);
        tokio::select! {
            biased;
            // An error, too, is found when it is read.
            _ = stream.get_ref().readable() => {}
            wish = activity.wished() => match wish {
                Wish::Park => {}
                Wish::Finish => {
                    let _ = stream.shutdown().await;
                    return;
                }
                Wish::Close => return,
            }
        }
        activity.parks(false);
    }
}

/// Serves requests until the connection ends, or shall be parked: then it is what is left.
async fn converse<A: Application>(
    place: &Registered<A>,
    stream: Stream,
    peer: Peer,
) -> Option<Stream> {
    let (this, activity) = (&place.worker, &place.activity);
    let refused = RefCell::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        activity.serves(!request.body().is_end_stream());
        if let Some(upgrade) = request.extensions().get::<OnUpgrade>() {
            refused.replace(Some(upgrade.clone()));
        }
        if let Err(fault) = activity.verdicts.take() {
            request.extensions_mut().insert(fault);
        }
        Serving { answer: this.application.answer(request, peer), place }
    });
    let mut connection = http1::Builder::new()
        // At most 100 fields, as is the parser's default: to allow more costs each request two
        // allocations of several KiB.
        .max_buf_size(this.application.head_buffer().max(PIECE))
        // The tick sees to it.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    loop {
        let wish = tokio::select! {
            // What a client did wrong on the wire is no news.
            _ = &mut connection => {
                let refused = refused.take().filter(|_| !activity.verdicts.are_over());
                if let Some(upgrade) = refused {
                    Box::pin(shut_down(upgrade, activity)).await;
                }
                return None;
            }
            wish = activity.wished() => wish,
        };
        match wish {
            Wish::Finish => Pin::new(&mut connection).graceful_shutdown(),
            Wish::Close => return None,
            Wish::Park => break,
        }
    }
    // Its answer is written and it reads a head: it has nothing but what it has read of that.
    let parts = connection.into_parts()?;
    let mut stream = parts.io.into_inner();
    stream.put_back(parts.read_buf);
    Some(stream)
}

/// Once a request has asked to upgrade, and was not let, hyper gives the connection away at its
/// end instead of closing it as TLS and a client in the middle of an upload need it.
async fn shut_down(upgrade: OnUpgrade, activity: &Activity) {
    let Ok(connection) = upgrade.await else { return };
    let mut connection = TokioIo::new(connection);
    let cut = async { while activity.wished().await != Wish::Close {} };
    tokio::select! {
        // It may be gone already.
        _ = connection.shutdown() => {}
        () = cut => {}
    }
}

pin_project! {
    /// A request that is being answered. Written out, as an `async` block would be twice as large
    /// as what it waits for, and hyper moves it about for each request.
    struct Serving<'a, A, F> {
        #[pin]
        answer: F,
        place: &'a Registered<A>,
    }
}

impl<A: Application, F: Future<Output = Response<A::Body>>> Future for Serving<'_, A, F> {
    type Output = Result<Response<Served<A::Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            this.place.activity.verdicts.tunnels();
        } else {
            this.place.worker.say_farewell(&mut answer);
        }
        let activity = Arc::clone(&this.place.activity);
        Poll::Ready(Ok(answer.map(|body| Served::new(body, activity))))
    }
}
