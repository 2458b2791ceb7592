//! What operations of every target do again and again: choose, wait, end a process, and end in a [`Status`].
//!
//! An operation is an `async fn` that answers [`Done`]; `?` on a plain text fails it, [`skip`] says that its own
//! guard said no. Nodes may die and connections break at any line: a retry is bounded, and a step is recorded.

use super::operation::Burst;
use crate::catalogue::NodeSelector;
use crate::env::{NodeAction, NodeId, NodeSpec};
use crate::fault::kill::Signal;
use crate::run::operation::OpIo;
use crate::run::record::Status;
use crate::run::world::World;
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

/// Takes a node out of what the run counts as the cluster.
pub fn mark_removed(op: &OpIo, node: NodeId) {
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&node) {
        state.removed = true;
    }
}

/// A new node, created and not yet started, unless the run has so many already.
pub async fn create(
    op: &OpIo,
    most: usize,
    (shard, role): (u16, Role),
    spec: impl FnOnce(&World, NodeId) -> NodeSpec,
) -> Result<NodeId, Stop> {
    let (node, spec) = {
        let mut world = op.world.borrow_mut();
        if world.nodes.len() >= most {
            return skip(format!("the run has {most} nodes already"));
        }
        let spec = spec(&world, world.next_node());
        (world.add_node(spec.clone(), shard, role), spec)
    };
    op.resolved(node);
    if let Err(error) = op.io.node(node, NodeAction::Create(spec)).await {
        mark_removed(op, node);
        return fail(error.to_string());
    }
    Ok(node)
}

/// An operation took it out of the cluster.
pub fn removed(op: &OpIo, node: NodeId) -> bool {
    op.world.borrow().nodes.get(&node).is_some_and(|state| state.removed)
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

/// The executor starts the clients; the operation lasts as long as they do.
pub async fn burst(op: OpIo, fields: Burst) -> Done {
    if op.world.borrow().primary(fields.shard).is_none() {
        return skip(format!("shard {} is not there", fields.shard));
    }
    let length = fields.length;
    op.detail(format!("{}/s on shard {} for {length}", fields.rate, fields.shard));
    let event = op.event.clone();
    op.world.borrow_mut().bursts.push((fields, event));
    op.io.sleep(length).await;
    Ok(())
}
