//! Faults of a node's disk, power, memory and names: put in force, told of, undone.
//!
//! What a server does under them is its own: it may refuse writes, or end. One that has ended, by the fault's blow or
//! by itself, is started again when the fault is over, as an administrator would.

use super::operation::OpIo;
use super::record::Status;
use super::strike::{Ending, failed, removed, running, skipped, up};
use crate::catalogue::NodeSelector;
use crate::env::{NodeAction, NodeId, STRUCK_NOTHING};
use crate::fault::bit_flip::BitFlip;
use crate::fault::disk::DiskRule;
use crate::fault::kill::Signal;
use crate::fault::memory_limit::MemoryLimit;
use crate::fault::power_loss::PowerLoss;
use crate::fault::resolve_fails::{ResolveFails, ResolveRule};
use crate::fault::restart::RestartData;

/// Puts a rule on disks until the fault ends.
pub(super) async fn disk(
    selector: &NodeSelector,
    rule: &DiskRule,
    op: &OpIo,
    ending: &Ending,
) -> Result<(), Status> {
    let nodes = running(selector, op)?;
    for node in &nodes {
        change(op, *node, Some(rule.clone())).await?;
        op.step(format!("the disk of {node} is struck"));
    }
    ending.wait(op).await;
    tell(op, !matches!(rule, DiskRule::Slow { .. }));
    for node in nodes {
        let said = change(op, node, None).await?;
        op.step(format!("the disk of {node} is well: {said}"));
        bring_back(op, node).await?;
    }
    Ok(())
}

/// Puts the event's rule on a disk, or takes it off. What the run shows under a fault that is not in force, or after
/// one that is not undone, is not what it was to show: it is broken.
async fn change(op: &OpIo, node: NodeId, rule: Option<DiskRule>) -> Result<String, Status> {
    let changed = op.io.node(node, NodeAction::Disk(op.event.clone(), rule)).await;
    changed.map_err(|error| {
        op.breaks(&error);
        failed(error)
    })
}

pub(super) async fn power(fault: &PowerLoss, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = running(&fault.node, op)?;
    for node in &nodes {
        op.world.borrow_mut().announce(*node, &op.event, Signal::Kill);
        let lost = op.io.node(*node, NodeAction::PowerLoss(op.event.clone(), fault.flush_renamed)).await;
        lost.map_err(|error| {
            op.breaks(&error);
            failed(error)
        })?;
        op.step(format!("{node} has no power"));
    }
    ending.wait(op).await;
    tell(op, false);
    for node in nodes {
        bring_back(op, node).await?;
    }
    Ok(())
}

/// A bit that is another stays so.
pub(super) async fn flip(fault: &BitFlip, op: &OpIo) -> Result<(), Status> {
    let nodes = op.select(&fault.node).map_err(skipped)?;
    for node in nodes {
        op.resolved(node);
        let word = |purpose: &str| op.entropy.child("bit_flip").word(purpose, u64::from(node.0), 0);
        let flip = fault.flip([word("file"), word("offset"), word("bit")]);
        let said = op.io.node(node, NodeAction::Flip(flip)).await.map_err(|error| {
            op.breaks(&error);
            failed(error)
        })?;
        op.step(format!("{node}: {said}"));
    }
    Ok(())
}

pub(super) async fn memory(fault: &MemoryLimit, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = running(&fault.node, op)?;
    for node in &nodes {
        op.io.node(*node, NodeAction::Memory(Some(fault.room))).await.map_err(failed)?;
        op.step(format!("{node} gets {} MB more than it has", fault.room));
    }
    ending.wait(op).await;
    for node in nodes {
        if up(op, node) {
            op.io.node(node, NodeAction::Memory(None)).await.map_err(failed)?;
            op.step(format!("{node} may have all memory"));
        }
        bring_back(op, node).await?;
    }
    Ok(())
}

/// Lets a node's questions for names come to something else until the fault ends.
pub(super) async fn names(fault: &ResolveFails, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = running(&fault.node, op)?;
    for node in &nodes {
        change_names(op, *node, Some(fault.rule())).await?;
        op.step(format!("names do not resolve for {node}: {}", fault.how));
    }
    ending.wait(op).await;
    for node in nodes {
        let said = change_names(op, node, None).await?;
        if said.contains(STRUCK_NOTHING) {
            op.detail(STRUCK_NOTHING);
        }
        op.step(format!("names resolve again for {node}: {said}"));
        bring_back(op, node).await?;
    }
    Ok(())
}

async fn change_names(op: &OpIo, node: NodeId, rule: Option<ResolveRule>) -> Result<String, Status> {
    let changed = op.io.node(node, NodeAction::Names(op.event.clone(), rule)).await;
    changed.map_err(|error| {
        op.breaks(&error);
        failed(error)
    })
}

/// Writes down what became of the event's rule.
pub(super) fn tell(op: &OpIo, expected: bool) {
    let strikes = op.world.borrow_mut().strikes.remove(&op.event);
    if strikes.is_none() && expected {
        op.step("no call came that it was about");
    }
    for (at, what) in strikes.unwrap_or_default() {
        op.report.borrow_mut().steps.push((at, what));
    }
}

/// A node that the fault stopped goes on, one that ended under it is started. Whoever was ended by another event is
/// that event's to start.
pub(super) async fn bring_back(op: &OpIo, node: NodeId) -> Result<(), Status> {
    let goes_on = op.world.borrow_mut().release(node, &op.event);
    if goes_on && up(op, node) {
        op.io.node(node, NodeAction::Resume).await.map_err(failed)?;
        op.world.borrow_mut().resume(node);
        op.step(format!("{node} goes on"));
    }
    if up(op, node) || removed(op, node) {
        return Ok(());
    }
    let ours = {
        let world = op.world.borrow();
        let last = world.lives.iter().rev().find(|life| life.node == node);
        last.is_some_and(|life| life.signalled.iter().all(|(event, _)| *event == op.event))
    };
    if ours {
        op.start(node, RestartData::Kept).await.map_err(failed)?;
        op.step(format!("{node} started again with its data"));
    }
    Ok(())
}
