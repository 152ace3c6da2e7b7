//! How many records there are, roughly: by a sample of keys and the number of all.

use super::Store;
use super::call::Question;
use super::trouble::StoreError;

/// Keys to look at in one step, and how many steps.
const PAGE: u32 = 500;
const PAGES: u32 = 4;

const RECORD: &[u8] = b"cop:r:";

impl Store {
    /// Exact for up to 2000 keys on one server; of more, a sample is looked at. In a cluster that
    /// is one server's share. Up to five round trips; meant for once a minute.
    pub async fn count(&self) -> Result<u64, StoreError> {
        // Of a cluster the client crate adds up what all masters say.
        let all: u64 = self.link.run(Question::Command(redis::cmd("DBSIZE"))).await?;
        let (mut cursor, mut seen, mut records) = (0, 0, 0);
        for _ in 0..PAGES {
            let (next, keys) = self.scan(cursor).await?;
            seen += keys.len() as u64;
            records += keys.iter().filter(|key| key.starts_with(RECORD)).count() as u64;
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        Ok((all * records).checked_div(seen).unwrap_or(0))
    }

    /// A cursor is one server's, so it is the same server each time.
    async fn scan(&self, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(PAGE);
        self.link.run(Question::OfOneServer(scan)).await
    }
}
