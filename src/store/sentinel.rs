//! Which server is the master, by word of a Sentinel.

use redis::aio::MultiplexedConnection;

use super::dial::Host;
use super::trouble::Trouble;

/// Where the master of this name is. May be dropped half-way.
pub(super) async fn master(
    sentinel: &mut MultiplexedConnection,
    name: &str,
) -> Result<Host, Trouble> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer: redis::RedisResult<Option<Host>> = question.query_async(sentinel).await;
    match answer {
        Ok(host) => host.ok_or(Trouble::NoMaster),
        Err(error) => Err(Trouble::of(&error)),
    }
}
