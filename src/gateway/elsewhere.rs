//! A request whose session this process does not hold: the shared store may know it.

use std::time::Instant;

use super::Exchange;
use crate::error::Problem;
use crate::login::renewal::store_unavailable;
use crate::session::Lifetimes;
use crate::session::id::SessionId;
use crate::telemetry::worker_metrics::Route;

impl Exchange<'_> {
    /// Looks for the session with this id. Afterwards it is there, or there is none, or the request
    /// may pass without. The problem is for all others: it is not known whether there is one.
    pub(super) async fn fetch_session(&mut self, id: SessionId) -> Result<(), Box<Problem>> {
        let lifetimes = Lifetimes::new(&self.snapshot.settings().session);
        let began = Instant::now();
        let fetched = self.gateway.app.sessions.fetch(id, lifetimes).await;
        self.record.waited += began.elapsed();
        match fetched {
            Ok(session) => self.record.session = session,
            Err(_) if self.record.route == Route::App && self.is_public() => {}
            Err(error) => {
                let request_id = self.record.request_id();
                tracing::warn!(request_id, "a session could not be looked up: {error}");
                return Err(store_unavailable().into());
            }
        }
        Ok(())
    }
}
