//! What the members say of their group, as a cluster of one shard: the leader is its primary and owns every slot, the
//! Raft term is the epoch, the applied index the offset.

use super::api::{self, ApiError, Members, Status, hex};
use super::http;
use super::session;
use crate::env::NodeId;
use crate::run::client::name;
use crate::run::probe::Look;
use crate::run::record::{KeyDump, SlotAnswer};
use crate::run::rest::untold;
use crate::run::task::{CallError, Conn, Io, LocalRef};
use crate::run::view::{ClusterView, Member, NodeReport, NodeView, Replication};
use crate::run::world::{Shared, World};
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The last slot there is.
const LAST_SLOT: u16 = 16383;
/// How long a member may take to answer what is asked of a group at rest.
const READ_TIMEOUT: Millis = Millis(5000);
/// The key that is written to see whether a group takes writes.
const PROBE_KEY: &str = "seedfault/probe";

/// Asks all members at once; keeps its connections.
#[derive(Debug)]
pub struct Prober {
    io: Io,
    world: Shared,
    connections: BTreeMap<NodeId, Conn>,
}

impl Look for Prober {
    fn look(&mut self, timeout: Millis) -> LocalRef<'_, ClusterView> {
        Box::pin(self.ask_all(timeout))
    }
}

impl Prober {
    pub fn new(io: Io, world: Shared) -> Self {
        Self { io, world, connections: BTreeMap::new() }
    }

    async fn ask_all(&mut self, timeout: Millis) -> ClusterView {
        let deadline = self.io.after(timeout);
        let nodes = self.world.borrow().members();
        for node in &nodes {
            if self.connections.get(node).is_none_or(Conn::is_closed) {
                self.connections.insert(*node, self.io.open_now(*node));
            }
            let mut questions = http::post(api::STATUS, "{}");
            questions.extend(http::post(api::MEMBERS, "{}"));
            self.connections[node].send_bytes(questions);
        }
        let mut views = Vec::with_capacity(nodes.len());
        for node in nodes {
            let report = self.read(node, deadline).await;
            if report.is_err() {
                self.connections.remove(&node);
            }
            views.push(NodeView { node, at: self.io.now(), report });
        }
        ClusterView { at: self.io.now(), nodes: views }
    }

    async fn read(&self, node: NodeId, deadline: Micros) -> Result<NodeReport, String> {
        let conn = &self.connections[&node];
        let said = |error: ApiError| match error {
            ApiError::Call(CallError::Timeout) => "no answer in time".to_string(),
            error => error.to_string(),
        };
        let status: Status = api::read(conn, deadline).await.map_err(said)?;
        let members: Members = api::read(conn, deadline).await.map_err(said)?;
        let mut world = self.world.borrow_mut();
        world.revisions.current = status.header.revision.max(world.revisions.current);
        Ok(report(&status, &members, &world))
    }
}

/// A member's two answers as one report.
fn report(status: &Status, members: &Members, world: &World) -> NodeReport {
    let me = status.header.member_id;
    let leader = (status.leader != 0).then_some(status.leader);
    let role = |id: u64| if leader == Some(id) { Role::Primary } else { Role::Replica };
    let mut list: Vec<Member> = members
        .members
        .iter()
        .map(|member| Member {
            id: hex(member.id),
            node: member.peer_urls.iter().find_map(|url| node_of_peer(url, world)),
            role: role(member.id),
            primary: leader.filter(|leader| *leader != member.id).map(hex),
            myself: member.id == me,
            fail: false,
            maybe_fail: false,
            handshake: member.name.is_empty(),
            noaddr: false,
            config_epoch: status.raft_term,
            link_up: true,
            slots: if leader == Some(member.id) { vec![(0, LAST_SLOT)] } else { Vec::new() },
            migrating: Vec::new(),
            importing: Vec::new(),
        })
        .collect();
    list.sort_by(|a, b| a.id.cmp(&b.id));
    NodeReport {
        id: hex(me),
        state: if leader.is_some() { "ok" } else { "fail" }.into(),
        current_epoch: status.raft_term,
        members: list,
        replication: Replication {
            role: role(me),
            link_up: leader.is_some(),
            sync_in_progress: false,
            offset: status.raft_applied_index,
            replication_id: hex(status.header.cluster_id),
            last_io_s: None,
            link_down_s: None,
        },
    }
}

/// Which node listens for its peers there: it does so next to its client port.
fn node_of_peer(url: &str, world: &World) -> Option<NodeId> {
    let (address, port) = url.strip_prefix("http://")?.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    world.node_with_bus(address, port)
}

/// What keeps a group from being as it should be; empty when nothing does.
pub fn amiss(view: &ClusterView, world: &World) -> Vec<String> {
    let live: BTreeSet<NodeId> = world.live().into_iter().collect();
    let mut amiss = Vec::new();
    let mut first: Option<(NodeId, &NodeReport)> = None;
    for node in view.nodes.iter().filter(|node| live.contains(&node.node)) {
        let report = match &node.report {
            Ok(report) => report,
            Err(why) => {
                amiss.push(format!("{} does not answer: {why}", node.node));
                continue;
            }
        };
        if report.state != "ok" {
            amiss.push(format!("{} knows no leader", node.node));
        }
        if report.myself().is_none() {
            amiss.push(format!("{} is no member by its own list", node.node));
        }
        let Some((other, before)) = first else {
            first = Some((node.node, report));
            continue;
        };
        let known = |report: &NodeReport| report.members.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
        if known(before) != known(report) {
            amiss.push(format!("{other} and {} know different members", node.node));
        }
        let led = |report: &NodeReport| {
            (
                report.current_epoch,
                report.members.iter().find(|m| m.role == Role::Primary).map(|m| m.id.clone()),
            )
        };
        if led(before) != led(report) {
            amiss.push(format!("{other} and {} know different leaders", node.node));
        }
    }
    if first.is_none() {
        amiss.push("no member answers".into());
    }
    amiss
}

/// The member that leads by its own word.
fn leader(view: &ClusterView) -> Option<NodeId> {
    view.answered().find(|(_, report)| report.replication.role == Role::Primary).map(|(node, _)| node)
}

/// Whether a write through the leader is acknowledged: it owns all there is.
pub async fn serves(io: Io, _world: Shared, view: ClusterView) -> Vec<SlotAnswer> {
    let owner = leader(&view);
    let answer = match owner {
        None => Err("no member says that it leads".into()),
        Some(node) => written(&io, node).await.map_err(|error| error.to_string()),
    };
    vec![SlotAnswer { first: 0, last: LAST_SLOT, owner, answer }]
}

async fn written(io: &Io, node: NodeId) -> Result<(), ApiError> {
    let deadline = io.after(READ_TIMEOUT);
    let conn = io.open(node, deadline).await?;
    let body = json!({"key": api::encoded(PROBE_KEY), "value": ""});
    api::call::<api::Done>(&conn, api::PUT, &body, deadline).await.map(drop)
}

/// What every member itself holds of every key that the clients touched.
pub async fn holds(io: Io, world: Shared, view: ClusterView) -> Vec<KeyDump> {
    let owner = leader(&view);
    let (mut dumps, load) =
        (untold(&world, "no member says that it leads"), world.borrow().timeline.load.clone());
    for (node, _) in view.answered() {
        let everything = everything(&io, node).await.map_err(|error| format!("{node}: {error}"));
        for dump in &mut dumps {
            let held = everything.as_ref().map_err(Clone::clone).and_then(|all| {
                session::value(dump.key.kind, all.get(name(&dump.key, &load).as_bytes()), load.value_bytes)
            });
            if owner == Some(node) {
                dump.value = held;
            } else {
                dump.replicas.push((node, held));
            }
        }
    }
    dumps
}

/// All keys as this member has them.
async fn everything(io: &Io, node: NodeId) -> Result<BTreeMap<Vec<u8>, api::KeyValue>, ApiError> {
    let deadline = io.after(READ_TIMEOUT);
    let conn = io.open(node, deadline).await?;
    let all = api::encoded("\0");
    let body = json!({"key": all, "range_end": all, "serializable": true});
    let range: api::Range = api::call(&conn, api::RANGE, &body, deadline).await?;
    Ok(range.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect())
}
