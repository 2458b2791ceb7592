//! Faults in force: what a fault asks of the environment, how long it holds, and how it is undone.
//!
//! Every wait has a bound, every heal is verified by the environment's answer and recorded as a step.

use super::clocks::{strike_clock, strobe_clock};
use super::damage;
use super::links::{strike_cut, strike_links};
use super::operation::{OpIo, Target};
use super::record::Status;
use super::resolve;
use super::resources;
use super::rhythm;
use super::strike_links::{lie_in_wait, strike_half_open, strike_hold, strike_refuse, strike_reset};
use super::world::World;
use crate::catalogue::{Action, NodeSelector};
use crate::env::{LinkRule, NodeAction, NodeId};
use crate::fault::kill::{Kill, Signal};
use crate::fault::memory_limit::OutOfMemory;
use crate::fault::resource::ResourceRule;
use crate::fault::restart::{Restart, RestartData};
use crate::target::operation::Aim;
use crate::time::Millis;
use std::cell::Cell;
use std::rc::Rc;

/// How long a process may take to go after a signal that lets it save: Redis waits for replicas up to
/// `shutdown-timeout`, 10 s.
const GONE_WITHIN: Millis = Millis(15_000);

/// What ends a fault: its time, or the end of the safety phase.
#[derive(Clone, Debug)]
pub struct Ending {
    pub lasts: Option<Millis>,
    /// Set when the safety phase ends.
    pub heal: Rc<Cell<bool>>,
}

impl Ending {
    pub(super) async fn wait(&self, op: &OpIo) {
        match self.lasts {
            Some(lasts) => op.io.sleep(lasts).await,
            None => {
                let heal = self.heal.clone();
                op.io.wait_for(crate::time::Micros::MAX, Millis(50), move || heal.get()).await;
            }
        }
    }
}

/// Applies a fault and sees it to its end.
pub async fn strike(action: Action, op: OpIo, ending: Ending, target: Rc<dyn Target>) -> Status {
    let outcome = match &action {
        Action::Kill(kill) => strike_kill(kill, &op, &ending).await,
        Action::Aim(aim) => take_aim(aim, &op).map_err(skipped),
        Action::Pause(pause) => strike_pause(&pause.node, &op, &ending).await,
        Action::Restart(restart) => strike_restart(restart, &op, target).await,
        Action::Cut(cut) => strike_cut(cut, &op, &ending).await,
        Action::Lossy(lossy) => {
            let rule = LinkRule {
                lose: lossy.lose,
                duplicate: lossy.duplicate,
                reorder: lossy.reorder,
                burst: lossy.burst.unwrap_or(0),
                exact: lossy.exact,
                ..LinkRule::default()
            };
            strike_links(&lossy.node, lossy.traffic, rule, &op, &ending).await
        }
        Action::Slow(slow) => {
            let (delay, jitter, shape) = (slow.delay, slow.jitter, slow.distribution);
            let rule = LinkRule { delay, jitter, shape, ..LinkRule::default() };
            strike_links(&slow.node, slow.traffic, rule, &op, &ending).await
        }
        Action::Corrupt(fault) => {
            let rule = LinkRule { corrupt: fault.share, ..LinkRule::default() };
            strike_links(&fault.node, fault.traffic, rule, &op, &ending).await
        }
        Action::Garble(fault) => {
            let rule = LinkRule { garble: fault.share, ..LinkRule::default() };
            strike_links(&fault.node, fault.traffic, rule, &op, &ending).await
        }
        Action::SlowClose(fault) => {
            let rule = LinkRule { linger: fault.delay, ..LinkRule::default() };
            strike_links(&fault.node, fault.traffic, rule, &op, &ending).await
        }
        Action::Throttle(fault) => {
            let rule = LinkRule { rate: fault.rate, ..LinkRule::default() };
            strike_links(&fault.node, fault.traffic, rule, &op, &ending).await
        }
        Action::ClockStrobe(fault) => strobe_clock(fault, &op, &ending, &*target).await,
        Action::ClockSkew(skew) => strike_clock(skew, &op, &ending, &*target).await,
        Action::DiskError(fault) => damage::disk(&fault.node, &fault.rule(), &op, &ending).await,
        Action::FullDisk(fault) => damage::disk(&fault.node, &fault.rule(), &op, &ending).await,
        Action::SlowDisk(fault) => damage::disk(&fault.node, &fault.rule(), &op, &ending).await,
        Action::StrikeAt(fault) => damage::disk(&fault.node, &fault.rule(), &op, &ending).await,
        Action::PowerLoss(fault) => damage::power(fault, &op, &ending).await,
        Action::CpuLimit(fault) => resources::take(&fault.node, &fault.rule(), &op, &ending).await,
        Action::CpuHog(fault) => resources::take(&fault.node, &fault.rule(), &op, &ending).await,
        Action::FdLimit(fault) => resources::take(&fault.node, &fault.rule(), &op, &ending).await,
        Action::UseUpConnections(fault) => resources::take(&fault.node, &fault.rule(), &op, &ending).await,
        Action::MemoryLimit(fault) if fault.how == OutOfMemory::Kill => {
            let rule = ResourceRule::Kill { room: fault.room };
            resources::take(&fault.node, &rule, &op, &ending).await
        }
        Action::BitFlip(fault) => damage::flip(fault, &op).await,
        Action::ResolveFails(fault) => damage::names(fault, &op, &ending).await,
        Action::MemoryLimit(fault) => damage::memory(fault, &op, &ending).await,
        Action::Reset(reset) => strike_reset(reset, &op).await,
        Action::Refuse(refuse) => strike_refuse(refuse, &op, &ending).await,
        Action::Hold(hold) => strike_hold(hold, &op, &ending).await,
        Action::StrikeLink(fault) => lie_in_wait(fault, &op, &ending).await,
        Action::Flap(fault) => rhythm::flap(fault, &op, &ending).await,
        Action::HalfOpen(fault) => strike_half_open(fault, &op, &ending).await,
        Action::Stutter(fault) => rhythm::stutter(fault, &op, &ending).await,
        other => Err(Status::Failed(format!("`{}` is no fault", other.name()))),
    };
    outcome.err().unwrap_or(Status::Applied)
}

pub(super) fn skipped(why: String) -> Status {
    Status::Skipped(why)
}

pub(super) fn failed(why: impl std::fmt::Display) -> Status {
    Status::Failed(why.to_string())
}

pub(super) fn up(op: &OpIo, node: NodeId) -> bool {
    op.world.borrow().nodes.get(&node).is_some_and(|state| state.up)
}

/// Those of the nodes meant that run: at least one.
pub(super) fn running(selector: &NodeSelector, op: &OpIo) -> Result<Vec<NodeId>, Status> {
    let nodes = op.select(selector).map_err(skipped)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    let alive: Vec<NodeId> = nodes.iter().copied().filter(|node| up(op, *node)).collect();
    if alive.is_empty() { Err(skipped(format!("{} is not running", names(&nodes)))) } else { Ok(alive) }
}

/// The nodes on the other side: those named, or all that belong to the cluster.
pub(super) fn others(named: Option<&NodeSelector>, op: &OpIo) -> Result<Vec<NodeId>, Status> {
    match named {
        Some(selector) => op.select(selector).map_err(skipped),
        None => Ok(op.world.borrow().members()),
    }
}

/// Another event took it out of the cluster: it would come back as a member that nobody expects.
pub(super) fn removed(op: &OpIo, node: NodeId) -> bool {
    op.world.borrow().nodes.get(&node).is_some_and(|state| state.removed)
}

fn incarnation(op: &OpIo, node: NodeId) -> u32 {
    op.world.borrow().nodes.get(&node).map_or(0, |state| state.incarnation)
}

/// Chooses a node, and lets others that mean it find it in the record.
fn take_aim(aim: &Aim, op: &OpIo) -> Result<(), String> {
    let nodes = chosen(&aim.node, aim.spare_shard, op)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    op.step(format!("{} is chosen", names(&nodes)));
    Ok(())
}

/// What a selector means; a draw leaves out the last live member of a shard where `spare_shard` says so. Dead
/// nodes are in no draw.
fn chosen(selector: &NodeSelector, spare_shard: bool, op: &OpIo) -> Result<Vec<NodeId>, String> {
    let world = op.world.borrow();
    let spares = |node: NodeId| {
        !spare_shard
            || world.shard_of(node).is_some_and(|shard| {
                world.live().into_iter().any(|other| other != node && world.shard_of(other) == Some(shard))
            })
    };
    resolve::select_from(selector, &world, &op.entropy, spares)
}

async fn strike_kill(kill: &Kill, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = chosen(&kill.node, kill.spare_shard, op).map_err(skipped)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    let alive: Vec<(NodeId, u32)> =
        nodes.iter().filter(|node| up(op, **node)).map(|node| (*node, incarnation(op, *node))).collect();
    if alive.is_empty() {
        return Err(skipped(format!("{} is not running", names(&nodes))));
    }
    // The servers ignore a lost terminal (`setupSignalHandlers` in server.c).
    let ends = kill.signal != Signal::Hup;
    for (node, _) in &alive {
        op.signal(*node, kill.signal).await.map_err(failed)?;
        op.step(format!("SIG{} to {node}", kill.signal));
        if ending.lasts.is_none()
            && ends
            && let Some(state) = op.world.borrow_mut().nodes.get_mut(node)
        {
            state.left_dead = true;
        }
    }
    if ending.lasts.is_none() {
        return Ok(());
    }
    ending.wait(op).await;
    for (node, struck) in alive {
        if removed(op, node) {
            op.step(format!("{node} has left the cluster and stays down"));
        } else if up(op, node) && incarnation(op, node) != struck {
            op.step(format!("{node} was started by another event"));
        } else if up(op, node) && !ends {
            op.step(format!("{node} took no notice"));
        } else if !up(op, node) || end(op, node).await {
            op.start(node, RestartData::Kept).await.map_err(failed)?;
            op.step(format!("{node} started again with its data"));
        } else {
            return Err(failed(format!("{node} did not end")));
        }
    }
    Ok(())
}

/// Waits until a process that got a signal is gone; kills it past the bound. False if even that did not help.
async fn end(op: &OpIo, node: NodeId) -> bool {
    if op.gone(node, GONE_WITHIN).await {
        return true;
    }
    op.step(format!("{node} did not end within {GONE_WITHIN}: SIGKILL"));
    op.signal(node, Signal::Kill).await.is_ok() && op.gone(node, GONE_WITHIN).await
}

async fn strike_pause(selector: &NodeSelector, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let alive = running(selector, op)?;
    for node in &alive {
        op.io.node(*node, NodeAction::Pause).await.map_err(failed)?;
        op.world.borrow_mut().pause(*node, &op.event);
        op.step(format!("{node} stopped"));
    }
    ending.wait(op).await;
    for node in alive {
        let goes_on = op.world.borrow_mut().release(node, &op.event);
        if !goes_on || !up(op, node) {
            continue;
        }
        op.io.node(node, NodeAction::Resume).await.map_err(failed)?;
        op.world.borrow_mut().resume(node);
        op.step(format!("{node} goes on"));
    }
    Ok(())
}

async fn strike_restart(restart: &Restart, op: &OpIo, target: Rc<dyn Target>) -> Result<(), Status> {
    let nodes = op.select(&restart.node).map_err(skipped)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    if restart.data == RestartData::Older
        && let Some(why) = without_copy(&op.world.borrow(), &nodes)
    {
        return Err(skipped(why));
    }
    let owner = match &restart.from {
        Some(from) if restart.data == RestartData::Foreign => Some(op.select_one(from).map_err(skipped)?),
        _ => None,
    };
    owner.into_iter().for_each(|owner| op.resolved(owner));
    for node in nodes {
        if owner == Some(node) {
            return Err(skipped(format!("{node} has just these data itself")));
        }
        if up(op, node) && !restart.gone.is_zero() {
            let gone = op.io.node(node, NodeAction::Remove(restart.data)).await;
            op.step(gone.map_err(|error| {
                op.breaks(&error);
                failed(error)
            })?);
            op.io.sleep(restart.gone).await;
        }
        if up(op, node) {
            op.signal(node, restart.signal).await.map_err(failed)?;
            op.step(format!("SIG{} to {node}", restart.signal));
            if !end(op, node).await {
                return Err(failed(format!("{node} did not end")));
            }
        }
        op.io.sleep(restart.down).await;
        if up(op, node) {
            return Err(skipped(format!("another event started {node} meanwhile")));
        }
        if removed(op, node) {
            op.step(format!("{node} has left the cluster and stays down"));
            continue;
        }
        if let Some(owner) = owner {
            let copied = op.io.node(node, NodeAction::Adopt(owner)).await.map_err(|error| {
                op.breaks(&error);
                failed(error)
            })?;
            op.step(format!("{node} finds what {owner} had: {copied}"));
        }
        let old_id = op.id(node).ok();
        op.start(node, restart.data).await.map_err(failed)?;
        op.step(format!("{node} started again, data {}", restart.data));
        if restart.data == RestartData::Wiped {
            // It would bring an id back that the others are about to forget.
            op.world.borrow_mut().copied.remove(&node);
            match target.rejoin(op.clone(), node, old_id).await {
                Status::Applied => {}
                other => return Err(other),
            }
        }
    }
    Ok(())
}

/// Why these nodes cannot come back with older data: known before any of them is ended, because one that could
/// not be started again would stay dead. Copies are made once, early; a node that was added later has none, nor one
/// that was wiped since.
fn without_copy(world: &World, nodes: &[NodeId]) -> Option<String> {
    let without: Vec<NodeId> = nodes.iter().copied().filter(|node| !world.copied.contains(node)).collect();
    (!without.is_empty()).then(|| format!("no older copy of the folder was kept of {}", names(&without)))
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
