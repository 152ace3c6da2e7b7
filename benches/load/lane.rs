//! Requests one after the other; a load is many lanes beside each other.

use std::sync::Arc;

use crate::Result;
use crate::dial::Dialer;
use crate::http1::Connection;
use crate::http2::Sender;
use crate::plan::Plan;

pub enum Lane {
    Kept(Connection),
    EachNew(Dialer),
    Stream(Sender),
}

impl Lane {
    /// All lanes of the plan, their connections open.
    pub async fn open_all(plan: &Arc<Plan>) -> Result<Vec<Self>> {
        let dialer = Dialer::new(plan)?;
        let mut lanes = Vec::new();
        for _ in 0..plan.connections {
            if plan.each_new {
                lanes.push(Self::EachNew(dialer.clone()));
            } else if plan.streams > 0 {
                let sender = Sender::open(dialer.dial().await?).await?;
                lanes.extend((0..plan.streams).map(|_| Self::Stream(sender.clone())));
            } else {
                lanes.push(Self::Kept(Connection::new(dialer.dial().await?)));
            }
        }
        Ok(lanes)
    }

    /// One request and its answer; the bytes of the answer's body.
    pub async fn exchange(&mut self, plan: &Plan) -> Result<u64> {
        match self {
            Self::Kept(connection) => connection.exchange(plan).await,
            Self::EachNew(dialer) => Connection::new(dialer.dial().await?).exchange(plan).await,
            Self::Stream(sender) => sender.exchange(plan).await,
        }
    }
}
