//! A client's stream of HTTP/1.x, whose bytes [`super::raw_head`] looks at before hyper does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Activity;
use super::raw_head::Follower;
use super::stream::write_through;

/// A stream whose requests are followed while they are read.
pub struct Followed<S> {
    /// Was followed already, and is read once more.
    unread: Bytes,
    stream: S,
    follower: Follower,
    activity: Arc<Activity>,
}

impl<S> Followed<S> {
    /// Of a connection that speaks HTTP/1.x, from its first byte.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { unread: Bytes::new(), stream, follower: Follower::default(), activity }
    }

    /// Puts back what the parser has read and not used.
    pub fn put_back(&mut self, unread: Bytes) {
        // No bytes may still hold the memory that they would have been in.
        self.unread = if unread.is_empty() { Bytes::new() } else { unread };
    }

    pub fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    pub fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.follower.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if this.has_unread() {
            let length = this.unread.len().min(buffer.remaining());
            buffer.put_slice(&this.unread.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let came = &buffer.filled()[before..];
        if this.activity.verdicts.are_of_a_tunnel() || came.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match this.follower.follow(came, &this.activity.verdicts) {
            0 => {
                buffer.set_filled(before);
                Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
            }
            good => {
                buffer.set_filled(before + good);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    write_through!();
}
