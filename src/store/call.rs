//! What the server is asked: mostly a script with its keys and arguments, so that what belongs
//! together happens at once and costs one round trip.

use std::sync::LazyLock;

use redis::cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr};
use redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, ToRedisArgs, Value};

use super::connection::Connection;

/// A script, and the name under which a server that has seen it knows it.
pub(super) struct Script {
    body: &'static str,
    hash: String,
}

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    CREATE = "create.lua",
    LOAD = "load.lua",
    REPLACE = "replace.lua",
    REMOVE = "remove.lua",
    NOTE_USE = "note_use.lua",
    NOTE_ATTEMPT = "note_attempt.lua",
    LOCK = "lock.lua",
    UNLOCK = "unlock.lua",
    JOIN_PERSON = "join_person.lua",
    NOTE_PERSON_USE = "note_person_use.lua",
    LEAVE_PERSON = "leave_person.lua",
}

impl Script {
    fn new(body: &'static str) -> Self {
        Self { body, hash: redis::Script::new(body).get_hash().to_owned() }
    }
}

/// What the server is asked. All of it may be asked twice.
pub(super) enum Question {
    Script(Call),
    Command(Cmd),
    /// In a cluster, of the same server each time.
    OfOneServer(Cmd),
}

impl From<Call> for Question {
    fn from(call: Call) -> Self {
        Self::Script(call)
    }
}

impl Question {
    pub(super) async fn ask(&self, connection: &mut Connection) -> RedisResult<Value> {
        match (self, connection) {
            (Self::Script(call), connection) => call.run(connection).await,
            (Self::OfOneServer(command), Connection::Cluster(cluster)) => {
                cluster.route_command(command.clone(), first_server()).await
            }
            (Self::Command(command) | Self::OfOneServer(command), connection) => {
                command.query_async(connection).await
            }
        }
    }
}

/// The one with the first slot.
fn first_server() -> RoutingInfo {
    let route = Route::new(0, SlotAddr::Master);
    RoutingInfo::SingleNode(SingleNodeRoutingInfo::SpecificNode(route))
}

/// A script with what it is to work on.
pub(super) struct Call {
    script: &'static Script,
    keys: Vec<String>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(super) fn new(script: &'static Script, keys: impl IntoIterator<Item = String>) -> Self {
        Self { script, keys: keys.into_iter().collect(), arguments: Vec::new() }
    }

    pub(super) fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        argument.write_redis_args(&mut self.arguments);
        self
    }

    /// By the script's name first; a server that does not know it is sent the whole.
    async fn run(&self, connection: &mut Connection) -> RedisResult<Value> {
        let by_name = self.command("EVALSHA", &self.script.hash);
        match by_name.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.body).query_async(connection).await
            }
            outcome => outcome,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len()).arg(&self.keys).arg(&self.arguments);
        command
    }
}
