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

use super::connection::{Served, Watched, Wish};
use super::peer::Peer;
use super::raw_head::{Followed, Verdicts};
use super::stream::Rewound;
use super::worker::{Application, Registered};

/// Serves a connection to its end, or until it has become a tunnel.
pub(super) async fn serve<A: Application>(place: &Registered<A>, stream: Rewound, peer: Peer) {
    let (this, activity) = (&place.worker, &place.activity);
    let verdicts = Arc::new(Verdicts::default());
    let refused = RefCell::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        activity.serves(!request.body().is_end_stream());
        if let Some(upgrade) = request.extensions().get::<OnUpgrade>() {
            refused.replace(Some(upgrade.clone()));
        }
        if let Err(fault) = verdicts.take() {
            request.extensions_mut().insert(fault);
        }
        Serving { answer: this.application.answer(request, peer), place, verdicts: &verdicts }
    });
    let watched = Watched::new(stream, Arc::clone(activity));
    let io = TokioIo::new(Followed::new(watched, Arc::clone(&verdicts)));
    let connection = http1::Builder::new()
        // At most 100 fields, as is the parser's default: to allow more costs each request two
        // allocations of several KiB.
        .max_buf_size(this.application.head_buffer())
        // The tick sees to it.
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();
    tokio::pin!(connection);
    loop {
        tokio::select! {
            // What a client did wrong on the wire is no news.
            _ = connection.as_mut() => break,
            wish = activity.wished() => match wish {
                Wish::Finish => connection.as_mut().graceful_shutdown(),
                Wish::Close => return,
            },
        }
    }
    if let Some(upgrade) = refused.take().filter(|_| !verdicts.are_over()) {
        shut_down(upgrade).await;
    }
}

/// Once a request has asked to upgrade, and was not let, hyper gives the connection away at its
/// end instead of closing it as TLS and a client in the middle of an upload need it.
async fn shut_down(upgrade: OnUpgrade) {
    if let Ok(connection) = upgrade.await {
        // It may be gone already.
        let _ = TokioIo::new(connection).shutdown().await;
    }
}

pin_project! {
    /// A request that is being answered. Written out, as an `async` block would be twice as large
    /// as what it waits for, and hyper moves it about for each request.
    struct Serving<'a, A, F> {
        #[pin]
        answer: F,
        place: &'a Registered<A>,
        verdicts: &'a Verdicts,
    }
}

impl<A: Application, F: Future<Output = Response<A::Body>>> Future for Serving<'_, A, F> {
    type Output = Result<Response<Served<A::Body>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            this.verdicts.tunnels();
        } else {
            this.place.worker.say_farewell(&mut answer);
        }
        let activity = Arc::clone(&this.place.activity);
        Poll::Ready(Ok(answer.map(|body| Served::new(body, activity))))
    }
}
