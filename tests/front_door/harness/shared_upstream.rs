//! An upstream of HTTP/2 of which a test writes every frame.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};

use super::frames::{END_HEADERS, END_STREAM, Frames, HEADERS, OK};
use super::patiently;
use super::wire::Wire;

/// Takes connections; what the proxy asks for its readiness is answered at once.
#[derive(Clone)]
pub struct SharedUpstream {
    url: String,
    connections: Arc<Mutex<mpsc::UnboundedReceiver<Frames>>>,
}

impl SharedUpstream {
    /// Greets with these settings.
    pub async fn start(settings: &'static [(u16, u32)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, connections) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, settings, sender.clone()));
            }
        });
        Self { url, connections: Arc::new(Mutex::new(connections)) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next connection.
    pub async fn connection(&self) -> Frames {
        let mut connections = self.connections.lock().await;
        patiently("a connection", connections.recv()).await.expect("the listener lives")
    }

    /// Whether there was no further connection.
    pub async fn is_left_alone(&self) -> bool {
        self.connections.lock().await.try_recv().is_err()
    }
}

async fn take(
    stream: TcpStream,
    settings: &'static [(u16, u32)],
    sender: mpsc::UnboundedSender<Frames>,
) {
    let wire = Wire::new(Box::new(stream), None);
    let Some((mut frames, theirs)) = Frames::accept(wire, settings).await else { return };
    // The probe, which asks one question and goes, has no wishes.
    if theirs.is_empty() {
        if let Some(asked) = frames.next_of(&[HEADERS]).await {
            frames.send(HEADERS, END_HEADERS | END_STREAM, asked.stream, &[OK]).await;
        }
        return;
    }
    // The test may be over.
    let _ = sender.send(frames);
}
