//! Resources that a node is short of: taken away, and given back. What it came to is measured by the environment, in the
//! kernel's own numbers; a fault that was not in force, or is not over, breaks the run.

use super::damage::{bring_back, tell};
use super::operation::OpIo;
use super::record::Status;
use super::strike::{Ending, failed, running, up};
use crate::catalogue::NodeSelector;
use crate::env::{NodeAction, NodeId, STRUCK_NOTHING};
use crate::fault::resource::ResourceRule;
use crate::time::Millis;

/// How long a killed process may take to be gone.
const KILLED_WITHIN: Millis = Millis(2_000);

pub(super) async fn take(
    selector: &NodeSelector,
    rule: &ResourceRule,
    op: &OpIo,
    ending: &Ending,
) -> Result<(), Status> {
    let nodes = running(selector, op)?;
    for node in &nodes {
        let said = change(op, *node, Some(rule.clone())).await?;
        op.step(format!("{node}: {said}"));
    }
    ending.wait(op).await;
    let mut struck = false;
    if matches!(rule, ResourceRule::Kill { .. }) {
        struck = op.world.borrow().strikes.contains_key(&op.event);
        if !struck {
            op.detail(STRUCK_NOTHING);
        }
        tell(op, false);
    }
    for node in nodes {
        let said = change(op, node, None).await?;
        if said.contains(STRUCK_NOTHING) {
            op.detail(STRUCK_NOTHING);
        }
        op.step(format!("{node} has all again: {said}"));
        // On a busy machine one that was killed may still be about to end.
        if struck && up(op, node) {
            op.gone(node, KILLED_WITHIN).await;
        }
        bring_back(op, node).await?;
    }
    Ok(())
}

async fn change(op: &OpIo, node: NodeId, rule: Option<ResourceRule>) -> Result<String, Status> {
    let (put, was_up) = (rule.is_some(), up(op, node));
    op.io.node(node, NodeAction::Resource(op.event.clone(), rule)).await.map_err(|error| {
        // One that ended at that very moment is short of nothing.
        if !put || up(op, node) == was_up {
            op.breaks(&error);
        }
        failed(error)
    })
}
