//! What an operation of many steps holds while it is under way, and what a target must offer.

use super::client::Client;
use super::load::Session;
use super::probe::{Look, Prober};
use super::record::{KeyDump, OnLink, SlotAnswer, Status};
use super::resp::Reply;
use super::task::{CallError, Conn, Io, Local};
use super::view::ClusterView;
use super::workload::Workload;
use super::world::{ACL_USER, PASSWORD, Shared, World};
use super::{resolve, rest};
use crate::catalogue::{Action, NodeSelector};
use crate::entropy::Entropy;
use crate::env::{EnvError, Evidence, NodeAction, NodeId, NodeSpec};
use crate::fault::kill::Signal;
use crate::fault::restart::RestartData;
use crate::time::{Micros, Millis};
use crate::timeline::Timeline;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A system under test. What is about the protocol has a default for servers that speak RESP and form a Redis Cluster.
pub trait Target {
    fn name(&self) -> &'static str;
    /// The nodes at the start, by number. Pure.
    fn provision(&self, timeline: &Timeline) -> Vec<NodeSpec>;
    /// A node that joins later. Pure.
    fn provision_new(&self, timeline: &Timeline, node: NodeId) -> NodeSpec;
    /// Where nodes are to be started one after the other at first: parts of a line by which one says that the next may be.
    /// Empty where all may start at once.
    fn starts_apart(&self) -> &'static [&'static str] {
        &[]
    }
    /// Forms the cluster once its nodes run; nothing to do where it starts formed.
    fn form(&self, op: OpIo) -> Local<Status>;
    /// Carries an operation out.
    fn operation(&self, action: &Action, op: OpIo) -> Local<Status>;
    /// Brings a node that lost its id back in: its ghost is forgotten, it is met and follows its shard's primary.
    fn rejoin(&self, op: OpIo, node: NodeId, old_id: Option<String>) -> Local<Status>;
    /// What an administrator puts right once all faults are over and the nodes that are needed run: what the
    /// timeline's own events left behind and the system never promised to mend by itself.
    fn mend(&self, _op: OpIo) -> Local<()> {
        Box::pin(async {})
    }
    /// A dead node without which the cluster cannot serve again, the most needed first. By default that of a
    /// cluster whose primaries elect: a shard without a live member, or a primary that no majority can replace.
    fn first_needed(&self, world: &World) -> Option<NodeId> {
        let shards: Vec<u16> = world.primaries.keys().copied().collect();
        // Who came back without its id is nobody that could take over.
        let lives = |node: &NodeId| {
            world.is_live(*node) && world.nodes.get(node).is_some_and(|state| !state.stranger)
        };
        let alive =
            shards.iter().filter(|shard| world.primary(**shard).is_some_and(|node| lives(&node))).count();
        // With fewer than three primaries a dead one is never replaced by itself.
        let can_elect = alive * 2 > shards.len() && shards.len() >= 3;
        shards.iter().find_map(|shard| {
            let primary = world.primary(*shard)?;
            let state = world.nodes.get(&primary)?;
            let follower = world.replicas(*shard).iter().any(lives);
            (!state.up && !state.removed && (!follower || !can_elect)).then_some(primary)
        })
    }
    /// The command by which a node tells the time of day, as seconds and microseconds; `None` where it has none.
    fn asks_time(&self) -> Option<&'static [&'static str]> {
        None
    }
    /// How long a node that was just started refuses its service by its wall clock, whatever its state.
    fn holds_back(&self) -> Millis {
        Millis(0)
    }
    /// Whether a line of a node's log is worth keeping in the record.
    fn log_matters(&self, line: &str) -> bool;
    /// One client of the load.
    fn session(&self, io: Io, world: Shared, workload: Workload) -> Box<dyn Session> {
        Box::new(Client::new(io, world, workload))
    }
    /// A client that watches, for as long as the run lasts; `None` where there is nothing to watch.
    fn watcher(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that holds what ends with it, for as long as there is load; `None` where nothing does.
    fn holder(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that moves money between accounts, for as long as there is load; `None` where that is not offered.
    fn teller(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that holds leases while there is load, and sees the last to its end; `None` where there are none.
    fn lessee(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that asks for what it may and may not do, for as long as there is load; `None` where nobody is told apart.
    fn guest(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that puts elements into a queue and takes them out, and sees to it that what is left is read in the end;
    /// `None` where that is not offered.
    fn queuer(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// A client that makes nodes which the system removes by itself, for as long as there is load; `None` where none are.
    fn packer(&self, _io: Io, _world: Shared, _number: u32) -> Option<Local<()>> {
        None
    }
    /// Who asks all nodes what they think of the cluster.
    fn prober(&self, io: Io, world: Shared) -> Box<dyn Look> {
        Box::new(Prober::new(io, world))
    }
    /// Whether a node answers at all, whatever it says.
    fn answers(&self, io: Io, node: NodeId, within: Millis) -> Local<bool> {
        Box::pin(async move { io.ask(node, &["PING"], within).await.is_ok() })
    }
    /// What keeps a cluster from being as it should be; empty when nothing does.
    fn amiss(&self, view: &ClusterView, world: &World) -> Vec<String> {
        rest::amiss(view, world)
    }
    /// For every slot of a cluster at rest, what a request through its owner answers.
    fn serves(&self, io: Io, world: Shared, view: ClusterView) -> Local<Vec<SlotAnswer>> {
        Box::pin(rest::slots(io, world, view))
    }
    /// What every node of a cluster at rest holds of every key that the clients touched.
    fn holds(&self, io: Io, world: Shared, view: ClusterView) -> Local<Vec<KeyDump>> {
        Box::pin(rest::dump(io, world, view))
    }
}

/// What the operation found out, for the record; written as it goes.
#[derive(Clone, Debug, Default)]
pub struct OpReport {
    pub resolved: Vec<NodeId>,
    pub detail: String,
    pub steps: Vec<(Micros, String)>,
    pub slots: Vec<u16>,
    pub slots_left_open: Vec<u16>,
    pub links: Vec<OnLink>,
}

/// An operation's hands: input and output, what the run knows, its own randomness, and its report.
#[derive(Clone, Debug)]
pub struct OpIo {
    pub io: Io,
    pub world: Shared,
    pub event: String,
    /// The sub-stream of this event: choices are keyed by the event, never by what came before.
    pub entropy: Entropy,
    pub report: Rc<RefCell<OpReport>>,
}

/// How long one command of an operation may take.
pub const COMMAND_TIMEOUT: Millis = Millis(2000);

impl OpIo {
    /// Records a step with its time.
    pub fn step(&self, text: impl Into<String>) {
        self.report.borrow_mut().steps.push((self.io.now(), text.into()));
    }
    /// Breaks the run: what the event was to do is not in force, or not over.
    pub fn breaks(&self, why: &dyn fmt::Display) {
        self.world.borrow_mut().broken = Some(format!("{}: {why}", self.event));
    }
    pub fn detail(&self, text: impl Into<String>) {
        self.report.borrow_mut().detail = text.into();
    }
    /// Notes what a selector meant; part of the schedule.
    pub fn resolved(&self, node: NodeId) {
        self.report.borrow_mut().resolved.push(node);
    }
    /// The nodes that a selector means now; an error completes "skipped: ...".
    pub fn select(&self, selector: &NodeSelector) -> Result<Vec<NodeId>, String> {
        resolve::select(selector, &self.world.borrow(), &self.entropy)
    }
    /// One node, or why not.
    pub fn select_one(&self, selector: &NodeSelector) -> Result<NodeId, String> {
        self.select(selector)?.first().copied().ok_or_else(|| format!("no node is {selector}"))
    }
    pub fn primary(&self, shard: u16) -> Result<NodeId, String> {
        self.select_one(&NodeSelector::Primary(shard))
    }
    /// The cluster node id of a node, as it last said.
    pub fn id(&self, node: NodeId) -> Result<String, String> {
        let world = self.world.borrow();
        world.nodes.get(&node).and_then(|n| n.id.clone()).ok_or_else(|| format!("{node} has not told its id"))
    }
    pub fn address(&self, node: NodeId) -> Result<(String, u16), String> {
        let world = self.world.borrow();
        world.nodes.get(&node).and_then(|n| n.address.clone()).ok_or_else(|| format!("{node} has no address"))
    }

    /// Sends a signal in the event's name, so that the exit that follows is not taken for a crash.
    pub async fn signal(&self, node: NodeId, signal: Signal) -> Result<Evidence, EnvError> {
        self.world.borrow_mut().announce(node, &self.event, signal);
        self.io.node(node, NodeAction::Signal(signal)).await
    }
    /// Waits until a process is gone.
    pub async fn gone(&self, node: NodeId, within: Millis) -> bool {
        let up = || !self.world.borrow().nodes.get(&node).is_some_and(|n| n.up);
        self.io.wait_for(self.io.after(within), Millis(10), up).await
    }
    /// Starts a process again, once the old one is gone.
    pub async fn start(&self, node: NodeId, data: RestartData) -> Result<Evidence, EnvError> {
        let evidence = self.io.node(node, NodeAction::Start(data)).await?;
        let mut world = self.world.borrow_mut();
        if let Some(state) = world.nodes.get_mut(&node) {
            state.left_dead = false;
            state.stranger |= data == RestartData::Wiped;
            if matches!(data, RestartData::Wiped | RestartData::Foreign) {
                state.former_ids.extend(state.id.clone());
            }
        }
        if data != RestartData::Kept
            && let Some(life) = world.lives.iter_mut().rev().find(|life| life.node == node)
        {
            life.stale = Some(data.to_string());
        }
        Ok(evidence)
    }

    /// An authenticated connection.
    pub async fn connect(&self, node: NodeId) -> Result<Conn, CallError> {
        connect(&self.io, &self.world, node, self.io.after(COMMAND_TIMEOUT), false).await
    }
    /// One command on a connection of its own; an error reply is an `Ok(Reply::Error)`.
    pub async fn ask<A: AsRef<[u8]>>(&self, node: NodeId, args: &[A]) -> Result<Reply, CallError> {
        let conn = self.connect(node).await?;
        conn.call(args, self.io.after(COMMAND_TIMEOUT)).await
    }
    /// As `ask`, and anything but a plain answer is an error in words.
    pub async fn tell<A: AsRef<[u8]>>(&self, node: NodeId, args: &[A]) -> Result<Reply, String> {
        match self.ask(node, args).await {
            Ok(Reply::Error(error)) => Err(format!("{node} answered: {error}")),
            Ok(reply) => Ok(reply),
            Err(error) => Err(format!("{node}: {error}")),
        }
    }
}

/// Opens a connection and authenticates as the timeline asks: as the ACL user for clients, else by the password.
pub async fn connect(
    io: &Io,
    world: &Shared,
    node: NodeId,
    deadline: Micros,
    as_client: bool,
) -> Result<Conn, CallError> {
    let conn = io.open(node, deadline).await?;
    let (password, acl) = {
        let world = world.borrow();
        (world.timeline.cluster.password, world.timeline.cluster.acl_user)
    };
    let reply = if as_client && acl {
        conn.call(&["AUTH", ACL_USER, PASSWORD], deadline).await?
    } else if password {
        conn.call(&["AUTH", PASSWORD], deadline).await?
    } else {
        return Ok(conn);
    };
    match reply {
        Reply::Error(error) => Err(CallError::Closed(format!("refused to authenticate: {error}"))),
        _ => Ok(conn),
    }
}
