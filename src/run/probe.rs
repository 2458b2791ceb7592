//! Asking every node what it thinks of the cluster, again and again, and reading its answer.

use super::operation::Target;
use super::resp::{self, Reply};
use super::task::{CallError, Conn, Io, LocalRef};
use super::view::{ClusterView, Member, NodeReport, NodeView, Replication};
use super::world::{Shared, World};
use crate::env::NodeId;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// How long a node may take to answer a probe.
pub const PROBE_TIMEOUT: Millis = Millis(500);

/// What a node is asked at each look.
const QUESTIONS: &[&[&str]] = &[&["CLUSTER", "NODES"], &["CLUSTER", "INFO"], &["INFO", "replication"]];

/// How long after something has happened a cluster may still be expected to change by itself at any moment.
const STIRRED: Millis = Millis(1000);
/// How often a cluster is looked at in which nothing has happened for so long.
const CALM: Millis = Millis(500);
/// Views that say nothing new are kept so far apart.
const KEPT: Millis = Millis(900);

/// Looks every `period` for ever, less often where nothing happens; each view goes to the world. To answer is the
/// greater part of what the servers of a quiet cluster do.
pub async fn probe(io: Io, world: Shared, target: Rc<dyn Target>, period: Millis) {
    let mut prober = target.prober(io.clone(), world.clone());
    let mut happened = world.borrow().happened();
    let mut stirred_until = io.after(STIRRED);
    loop {
        let began = io.now();
        let view = prober.look(PROBE_TIMEOUT).await;
        let mut borrowed = world.borrow_mut();
        let changed = borrowed.views.last().is_none_or(|last| normal(last) != normal(&view));
        let stale = borrowed.views.last().is_none_or(|last| view.at.since(last.at) >= KEPT.micros());
        let happened_before = std::mem::replace(&mut happened, borrowed.happened());
        if changed || happened != happened_before {
            stirred_until = view.at.plus(STIRRED);
        }
        if changed || stale {
            borrowed.views.push(view.clone());
        }
        borrowed.learn(view);
        drop(borrowed);
        let calm = io.now() >= stirred_until;
        io.sleep_until(began.plus(if calm { period.max(CALM) } else { period })).await;
    }
}

/// Who asks all nodes what they think of the cluster, in the protocol of their target.
pub trait Look {
    fn look(&mut self, timeout: Millis) -> LocalRef<'_, ClusterView>;
}

/// Asks all nodes of a Redis Cluster at once; keeps its connections.
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
        // Everything is sent before anything is waited for, so that one silent node delays no other.
        let mut fresh: BTreeSet<NodeId> = BTreeSet::new();
        let password = self.world.borrow().password();
        for node in &nodes {
            if self.connections.get(node).is_none_or(Conn::is_closed) {
                let conn = self.io.open_now(*node);
                if let Some(password) = password {
                    conn.send(&["AUTH", password]);
                    fresh.insert(*node);
                }
                self.connections.insert(*node, conn);
            }
            // At once, so that the node has to be woken once.
            let mut questions = Vec::with_capacity(96);
            for question in QUESTIONS {
                resp::encode(question, &mut questions);
            }
            self.connections[node].send_bytes(questions);
        }
        let mut views = Vec::with_capacity(nodes.len());
        for node in nodes {
            let report = self.read(node, fresh.contains(&node), deadline).await;
            if report.is_err() {
                self.connections.remove(&node);
            }
            views.push(NodeView { node, at: self.io.now(), report });
        }
        ClusterView { at: self.io.now(), nodes: views }
    }

    async fn read(&self, node: NodeId, authenticates: bool, deadline: Micros) -> Result<NodeReport, String> {
        let conn = &self.connections[&node];
        let mut texts = Vec::with_capacity(4);
        for _ in 0..3 + usize::from(authenticates) {
            match conn.reply(deadline).await {
                Ok(Reply::Error(error)) => return Err(error),
                Ok(reply) => texts.push(reply.text().unwrap_or_default().to_string()),
                Err(CallError::Timeout) => return Err("no answer in time".into()),
                Err(error) => return Err(error.to_string()),
            }
        }
        let [nodes, info, replication] = &texts[usize::from(authenticates)..] else {
            unreachable!("three were read")
        };
        report(nodes, info, replication, &self.world.borrow())
    }
}

/// A node's three answers as one report.
pub fn report(nodes: &str, info: &str, replication: &str, world: &World) -> Result<NodeReport, String> {
    let mut members = nodes
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| member(line, world))
        .collect::<Result<Vec<_>, _>>()?;
    members.sort_by(|a, b| a.id.cmp(&b.id));
    let field = |text: &str, name: &str| -> Option<String> {
        text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(Into::into))
    };
    let number = |name: &str| field(replication, name).and_then(|text| text.parse::<i64>().ok());
    let role = match field(replication, "role").as_deref() {
        Some("master") => Role::Primary,
        Some("slave") => Role::Replica,
        other => return Err(format!("INFO replication names the role {other:?}")),
    };
    let offset = match role {
        Role::Primary => number("master_repl_offset"),
        Role::Replica => number("slave_repl_offset").or(number("master_repl_offset")),
    };
    Ok(NodeReport {
        id: members
            .iter()
            .find(|m| m.myself)
            .map(|m| m.id.clone())
            .ok_or("CLUSTER NODES has no line for the node itself")?,
        state: field(info, "cluster_state").unwrap_or_default(),
        current_epoch: field(info, "cluster_current_epoch")
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        replication: Replication {
            role,
            link_up: role == Role::Primary
                || field(replication, "master_link_status").as_deref() == Some("up"),
            sync_in_progress: number("master_sync_in_progress") == Some(1),
            offset: offset.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            replication_id: field(replication, "master_replid").unwrap_or_default(),
            last_io_s: number("master_last_io_seconds_ago").and_then(|n| u64::try_from(n).ok()),
            link_down_s: number("master_link_down_since_seconds").and_then(|n| u64::try_from(n).ok()),
        },
        members,
    })
}

/// One line of CLUSTER NODES (<https://valkey.io/commands/cluster-nodes/>).
fn member(line: &str, world: &World) -> Result<Member, String> {
    let odd = || format!("a line of CLUSTER NODES that does not read: {line}");
    let mut words = line.split_ascii_whitespace();
    let id = words.next().ok_or_else(odd)?.to_string();
    let place = words.next().ok_or_else(odd)?;
    let flags: Vec<&str> = words.next().ok_or_else(odd)?.split(',').collect();
    let primary = words.next().ok_or_else(odd)?;
    let config_epoch = words.nth(2).ok_or_else(odd)?.parse().map_err(|_| odd())?;
    let link_up = words.next().ok_or_else(odd)? == "connected";
    // `ip:port@bus,hostname,...`
    let node = place.split(['@', ',']).next().and_then(|address| {
        let (ip, port) = address.rsplit_once(':')?;
        world.node_at(ip, port.parse().ok()?)
    });
    let (mut slots, mut migrating, mut importing) = (Vec::new(), Vec::new(), Vec::new());
    for word in words {
        if let Some(open) = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
            if let Some((slot, to)) = open.split_once("->-") {
                migrating.push((slot.parse().map_err(|_| odd())?, to.to_string()));
            } else if let Some((slot, from)) = open.split_once("-<-") {
                importing.push((slot.parse().map_err(|_| odd())?, from.to_string()));
            }
        } else if let Some((first, last)) = word.split_once('-') {
            slots.push((first.parse().map_err(|_| odd())?, last.parse().map_err(|_| odd())?));
        } else {
            let slot = word.parse().map_err(|_| odd())?;
            slots.push((slot, slot));
        }
    }
    slots.sort_unstable();
    let has = |flag: &str| flags.contains(&flag);
    Ok(Member {
        id,
        node,
        role: if has("slave") { Role::Replica } else { Role::Primary },
        primary: (primary != "-").then(|| primary.to_string()),
        myself: has("myself"),
        fail: has("fail"),
        maybe_fail: has("fail?"),
        handshake: has("handshake"),
        noaddr: has("noaddr"),
        config_epoch,
        link_up,
        slots,
        migrating,
        importing,
    })
}

/// A member as all nodes should agree on it: id, role, primary, slots, FAIL and configEpoch.
type NormalMember = (String, Role, Option<String>, Vec<(u16, u16)>, bool, u64);
/// A view without what may differ between two looks at a cluster at rest: what each node says, or that it is silent.
pub type Normal = Vec<(NodeId, Option<(String, Vec<NormalMember>, bool, bool)>)>;

pub fn normal(view: &ClusterView) -> Normal {
    let members = |report: &NodeReport| {
        let known = report.members.iter().filter(|m| !m.handshake);
        known
            .map(|m| (m.id.clone(), m.role, m.primary.clone(), m.slots.clone(), m.fail, m.config_epoch))
            .collect()
    };
    let words = |view: &NodeView| {
        let report = view.report.as_ref().ok()?;
        Some((
            report.state.clone(),
            members(report),
            report.replication.link_up,
            report.members.iter().any(|m| m.handshake),
        ))
    };
    view.nodes.iter().map(|view| (view.node, words(view))).collect()
}
