//! One request at a time on one of the streams of an HTTP/2 connection.

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{HeaderValue, Request, header};

use crate::Result;
use crate::dial::Stream;
use crate::plan::Plan;

/// Receive windows: larger than what is under way, so that they never hold an answer back.
const WINDOW: u32 = 16 << 20;

#[derive(Clone)]
pub struct Sender(SendRequest<Bytes>);

impl Sender {
    pub async fn open(stream: Stream) -> Result<Self> {
        let mut builder = Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Sends a request with a cookie of the plan; the bytes of the answer's body.
    pub async fn exchange(&mut self, plan: &Plan) -> Result<u64> {
        let mut cookie = HeaderValue::try_from(format!("theirs=1; {}", plan.cookie()))?;
        // Ever another one, so it is of no use in the table of fields.
        cookie.set_sensitive(true);
        let uri = format!("https://{}{}", plan.authority(), plan.path);
        let request = Request::get(uri).header(header::COOKIE, cookie).body(())?;
        let mut ready = self.0.clone().ready().await?;
        let (answer, _) = ready.send_request(request, true)?;
        let (head, mut body) = answer.await?.into_parts();
        if !head.status.is_success() {
            return Err(format!("answered {} {:?}", head.status, head.headers).into());
        }
        let mut bytes = 0;
        while let Some(data) = body.data().await {
            let length = data?.len();
            body.flow_control().release_capacity(length)?;
            bytes += length as u64;
        }
        Ok(bytes)
    }
}
