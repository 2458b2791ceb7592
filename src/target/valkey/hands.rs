//! What operations do again and again: ask, wait, draw a node, and end in a [`Status`].
//!
//! An operation is an `async fn` that answers [`Done`]; `?` on a plain text fails it, [`skip`] says that its own
//! guard said no. Nodes may die and connections break at any line: a retry is bounded, and a step is recorded.

use crate::catalogue::NodeSelector;
use crate::env::NodeId;
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::run::operation::OpIo;
use crate::run::record::Status;
use crate::run::resp::Reply;
use crate::run::task::Conn;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::future::Future;

/// How often a state that is waited for is looked at.
pub const LOOK: Millis = Millis(100);
/// How long a process may take to answer after it was started.
pub const START_TIMEOUT: Millis = Millis(10_000);
/// How long a process may take to end on SIGTERM: `shutdown-timeout` is 10 s at its default.
pub const TERM_TIMEOUT: Millis = Millis(12_000);
/// How long a process may take to be gone after SIGKILL.
pub const KILL_TIMEOUT: Millis = Millis(5_000);
/// How long a replica may take until its link is up.
pub const LINK_TIMEOUT: Millis = Millis(15_000);

/// Why an operation ended without being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its own guard said no: nothing was done.
    Skip(String),
    /// It was tried and did not come about.
    Fail(String),
}

pub type Done = Result<(), Stop>;

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Fail(why)
    }
}

pub async fn finish(work: impl Future<Output = Done>) -> Status {
    match work.await {
        Ok(()) => Status::Applied,
        Err(Stop::Skip(why)) => Status::Skipped(why),
        Err(Stop::Fail(why)) => Status::Failed(why),
    }
}

pub fn skip<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skip(why.into()))
}

pub fn fail<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fail(why.into()))
}

/// The node that a selector means; a skip if there is none, or it does not live.
pub fn live(op: &OpIo, selector: &NodeSelector) -> Result<NodeId, Stop> {
    let node = op.select_one(selector).map_err(Stop::Skip)?;
    if op.world.borrow().is_live(node) { Ok(node) } else { skip(format!("{node} ({selector}) is not up")) }
}

/// The live primary of a shard.
pub fn live_primary(op: &OpIo, shard: u16) -> Result<NodeId, Stop> {
    live(op, &NodeSelector::Primary(shard))
}

/// The live replicas of a shard, by number.
pub fn live_replicas(op: &OpIo, shard: u16) -> Vec<NodeId> {
    let world = op.world.borrow();
    world.replicas(shard).into_iter().filter(|node| world.is_live(*node)).collect()
}

/// One of these, by the event's own sub-stream.
pub fn draw(op: &OpIo, purpose: &str, nodes: &[NodeId]) -> Option<NodeId> {
    let count = u64::try_from(nodes.len()).ok().filter(|count| *count > 0)?;
    let place = op.entropy.child(purpose).word("node", 0, 0) % count;
    nodes.get(usize::try_from(place).ok()?).copied()
}

/// Tries until it succeeds or the deadline has come; then the last reason.
pub async fn retry<T>(
    op: &OpIo,
    deadline: Micros,
    period: Millis,
    mut attempt: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(why) if op.io.now() >= deadline => return Err(why),
            Err(_) => op.io.sleep_until(op.io.after(period).min(deadline)).await,
        }
    }
}

/// The text of an answer such as INFO's.
pub async fn text<A: AsRef<[u8]>>(op: &OpIo, node: NodeId, args: &[A]) -> Result<String, String> {
    let reply = op.tell(node, args).await?;
    reply.text().map(Into::into).ok_or_else(|| format!("{node} answered with something other than text"))
}

/// The value of a `name:value` line.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// The epoch of a primary, by its id, as far as a node has heard.
pub async fn epoch(op: &OpIo, teller: NodeId, id: &str) -> Result<Option<u64>, String> {
    Ok(epoch_of(&text(op, teller, &["CLUSTER", "NODES"]).await?, id))
}

/// The epoch that an answer to CLUSTER NODES gives a primary.
fn epoch_of(nodes: &str, id: &str) -> Option<u64> {
    let line = nodes.lines().find(|line| line.split_ascii_whitespace().next() == Some(id))?;
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let primary = words.get(2)?.split(',').any(|flag| flag == "master");
    words.get(6)?.parse().ok().filter(|_| primary)
}

/// What a node says of its replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    pub role: Role,
    /// A replica's link to its primary is up, and no full sync is under way.
    pub linked: bool,
    /// The port of the primary that a replica follows.
    pub primary_port: Option<u16>,
}

impl Replication {
    pub fn from_info(text: &str) -> Option<Self> {
        let role = match field(text, "role")? {
            "master" => Role::Primary,
            "slave" => Role::Replica,
            _ => return None,
        };
        let linked = field(text, "master_link_status") == Some("up")
            && field(text, "master_sync_in_progress") == Some("0");
        Some(Self {
            role,
            linked,
            primary_port: field(text, "master_port").and_then(|port| port.parse().ok()),
        })
    }
}

pub async fn replication(op: &OpIo, node: NodeId) -> Result<Replication, String> {
    let text = text(op, node, &["INFO", "replication"]).await?;
    Replication::from_info(&text).ok_or_else(|| format!("{node} does not say what it replicates"))
}

/// Whether `node` is a replica of `primary` with its link up; else why not.
pub async fn follows(op: &OpIo, node: NodeId, primary: NodeId) -> Result<(), String> {
    let (_, port) = op.address(primary)?;
    let says = replication(op, node).await?;
    if says.role == Role::Primary {
        return Err(format!("{node} is a primary, no replica of {primary}"));
    }
    if says.primary_port != Some(port) {
        return Err(format!("{node} does not follow {primary}"));
    }
    if says.linked { Ok(()) } else { Err(format!("the link of {node} to {primary} is down")) }
}

/// The ids that a node knows beside handshakes, with the flags of each.
pub async fn known(op: &OpIo, node: NodeId) -> Result<Vec<(String, String)>, String> {
    let text = text(op, node, &["CLUSTER", "NODES"]).await?;
    let pairs = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (id, _place, flags) = (words.next()?, words.next()?, words.next()?);
        (!flags.contains("handshake")).then(|| (id.to_string(), flags.to_string()))
    });
    Ok(pairs.collect())
}

/// Asks a node for its id and keeps it.
pub async fn learn_id(op: &OpIo, node: NodeId) -> Result<String, String> {
    let id = text(op, node, &["CLUSTER", "MYID"]).await?;
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&node) {
        state.id = Some(id.clone());
    }
    Ok(id)
}

/// Waits until a node answers PING.
pub async fn answers(op: &OpIo, node: NodeId, timeout: Millis) -> Result<(), String> {
    retry(op, op.io.after(timeout), LOOK, async || op.tell(node, &["PING"]).await.map(drop)).await
}

/// Lets one node begin a handshake with another.
pub async fn meet(op: &OpIo, node: NodeId, other: NodeId) -> Result<(), String> {
    let (ip, port) = op.address(other)?;
    op.tell(node, &["CLUSTER", "MEET", &ip, &port.to_string()]).await.map(drop)
}

/// An operation took it out of the cluster.
pub fn removed(op: &OpIo, node: NodeId) -> bool {
    op.world.borrow().nodes.get(&node).is_some_and(|state| state.removed)
}

/// Starts a node whose process is gone and waits until it answers.
pub async fn start(op: &OpIo, node: NodeId) -> Result<(), String> {
    if removed(op, node) {
        return Err(format!("{node} has left the cluster meanwhile"));
    }
    op.start(node, RestartData::Kept).await.map_err(|error| error.to_string())?;
    answers(op, node, START_TIMEOUT).await
}

/// Ends a process, by SIGKILL where SIGTERM does not do, and waits until it is gone. The end is announced.
pub async fn end(op: &OpIo, node: NodeId) -> Result<(), String> {
    for (signal, timeout) in [(Signal::Term, TERM_TIMEOUT), (Signal::Kill, KILL_TIMEOUT)] {
        if !is_up(op, node) {
            return Ok(());
        }
        match op.signal(node, signal).await {
            Err(error) if is_up(op, node) => return Err(error.to_string()),
            _ => {}
        }
        if op.gone(node, timeout).await {
            return Ok(());
        }
        op.step(format!("{node} is still there {timeout} after SIG{signal}"));
    }
    Err(format!("{node} would not end"))
}

pub fn is_up(op: &OpIo, node: NodeId) -> bool {
    op.world.borrow().nodes.get(&node).is_some_and(|state| state.up)
}

/// Sends commands over several connections to one node in turn, without waiting, and collects the answers in the
/// order of the commands: an `Err` is an error reply.
pub async fn pipeline(
    lanes: &[&Conn],
    commands: &[Vec<String>],
    deadline: Micros,
) -> Result<Vec<Result<Reply, String>>, String> {
    for (command, lane) in commands.iter().zip(lanes.iter().cycle()) {
        lane.send(command);
    }
    let mut replies = Vec::with_capacity(commands.len());
    for (_, lane) in commands.iter().zip(lanes.iter().cycle()) {
        match lane.reply(deadline).await {
            Ok(Reply::Error(error)) => replies.push(Err(error)),
            Ok(reply) => replies.push(Ok(reply)),
            Err(error) => return Err(format!("{}: {error}", lane.node)),
        }
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_of_a_primary_is_read_and_no_replicas() {
        let nodes = "aa 127.0.0.1:7000@17000 myself,master - 0 0 5 connected 0-5460\n\
                     bb 127.0.0.1:7001@17001 slave aa 0 17 5 connected\n";
        assert_eq!(["aa", "bb", "cc"].map(|id| epoch_of(nodes, id)), [Some(5), None, None]);
    }

    #[test]
    fn replication_reads_from_info() {
        let replica = "# Replication\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:7000\r\n\
                       master_link_status:up\r\nmaster_sync_in_progress:0\r\n";
        let says = Replication { role: Role::Replica, linked: true, primary_port: Some(7000) };
        assert_eq!(Replication::from_info(replica), Some(says));
        let syncing = replica.replace("sync_in_progress:0", "sync_in_progress:1");
        assert!(!Replication::from_info(&syncing).expect("it reads").linked);
        let primary = Replication::from_info("role:master\r\nconnected_slaves:0\r\n").expect("it reads");
        assert_eq!(primary, Replication { role: Role::Primary, linked: false, primary_port: None });
        assert_eq!(Replication::from_info(""), None);
    }
}
