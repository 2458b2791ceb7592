//! What operations on a Redis Cluster do again and again: ask, read what is answered, wait for a role or a link.

use crate::env::NodeId;
use crate::fault::restart::RestartData;
use crate::run::operation::OpIo;
use crate::run::resp::Reply;
use crate::run::task::Conn;
pub use crate::target::hands::*;
use crate::time::{Micros, Millis};
use crate::timeline::Role;

/// How long a replica may take until its link is up.
pub const LINK_TIMEOUT: Millis = Millis(15_000);

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

/// Starts a node whose process is gone and waits until it answers.
pub async fn start(op: &OpIo, node: NodeId) -> Result<(), String> {
    if removed(op, node) {
        return Err(format!("{node} has left the cluster meanwhile"));
    }
    op.start(node, RestartData::Kept).await.map_err(|error| error.to_string())?;
    answers(op, node, START_TIMEOUT).await
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
