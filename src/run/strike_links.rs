//! Faults of single connections and messages: resets, connections that one end has lost, refused connects, messages that
//! wait for others.

use super::links::{far_ends, hold_links};
use super::operation::OpIo;
use super::record::Status;
use super::strike::{Ending, failed, others, skipped};
use crate::catalogue::NodeSelector;
use crate::env::{LinkRule, LinkStrike, NodeId, STRUCK_NOTHING, connections};
use crate::fault::half_open::HalfOpen;
use crate::fault::hold::Hold;
use crate::fault::refuse::Refuse;
use crate::fault::reset::Reset;
use crate::fault::strike_link::StrikeLink;

pub(super) async fn strike_reset(reset: &Reset, op: &OpIo) -> Result<(), Status> {
    let nodes = op.select(&reset.node).map_err(skipped)?;
    let others = others(reset.from.as_ref(), op)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    let (none, mut nothing) = (connections(0), true);
    for node in &nodes {
        // A pair of which both stand on both sides is reset once.
        for other in others.iter().filter(|other| !nodes.contains(other)) {
            let evidence = op.io.reset(*node, Some(*other), reset.traffic).await.map_err(failed)?;
            nothing &= evidence == none;
            op.step(format!("{evidence} between {node} and {other} were reset"));
        }
        if reset.clients {
            let evidence = op.io.reset(*node, None, reset.traffic).await.map_err(failed)?;
            nothing &= evidence == none;
            op.step(format!("{evidence} of clients to {node} were reset"));
        }
    }
    if nothing {
        op.detail("struck nothing");
    }
    Ok(())
}

pub(super) async fn strike_half_open(fault: &HalfOpen, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = op.select(&fault.node).map_err(skipped)?;
    let others = far_ends(fault.from.as_ref(), fault.traffic, op)?;
    nodes.iter().for_each(|node| op.resolved(*node));
    let others = others.into_iter().filter(|other| !nodes.contains(other));
    let pairs: Vec<(NodeId, NodeId)> =
        others.flat_map(|other| nodes.iter().map(move |node| (*node, other))).collect();
    let (none, mut nothing) = (connections(0), true);
    for (node, other) in &pairs {
        let evidence = op.io.forget(*node, *other, fault.traffic, fault.silent).await.map_err(failed)?;
        nothing &= evidence == none;
        op.step(format!("{node} has lost {evidence} that {other} still has"));
    }
    if nothing {
        op.detail("struck nothing");
    }
    if fault.silent {
        ending.wait(op).await;
        for (node, other) in &pairs {
            op.io.recall(*node, *other).await.map_err(failed)?;
        }
        op.step("who still has a connection hears of it when it next sends");
    }
    Ok(())
}

pub(super) async fn strike_refuse(refuse: &Refuse, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = op.select(&refuse.node).map_err(skipped)?;
    let others = far_ends(refuse.from.as_ref(), refuse.traffic, op)?;
    let mut pairs = Vec::new();
    for node in &nodes {
        op.resolved(*node);
        pairs.extend(others.iter().filter(|other| !nodes.contains(other)).map(|other| (*other, *node)));
    }
    let rule = LinkRule { refuse: true, ..LinkRule::default() };
    hold_links(&pairs, refuse.traffic, rule, op, ending).await
}

pub(super) async fn strike_hold(hold: &Hold, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let held = links(&hold.from, &hold.to, op)?;
    let until = match &hold.until {
        Some(until) => Some((links(&until.from, &until.to, op)?, until.message)),
        None => None,
    };
    held.iter().for_each(|(from, _)| op.resolved(*from));
    let event = op.event.clone();
    let rule = crate::env::Hold { links: held, message: hold.message, until };
    let evidence = op.io.hold(event.clone(), Some(rule)).await.map_err(failed)?;
    op.step(evidence);
    ending.wait(op).await;
    let evidence = op.io.hold(event, None).await.map_err(failed)?;
    op.step(evidence);
    Ok(())
}

pub(super) async fn lie_in_wait(fault: &StrikeLink, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let links = links(&fault.from, &fault.to, op)?;
    links.iter().for_each(|(from, _)| op.resolved(*from));
    let StrikeLink { at, message, nth, how, delay, traffic, .. } = *fault;
    let strike = LinkStrike { links, at, message, nth, traffic, how, delay };
    let evidence = op.io.strike(op.event.clone(), Some(strike)).await.map_err(failed)?;
    op.step(evidence);
    ending.wait(op).await;
    let evidence = op.io.strike(op.event.clone(), None).await.map_err(failed)?;
    if evidence.starts_with(STRUCK_NOTHING) {
        op.detail(STRUCK_NOTHING);
    }
    op.step(evidence);
    Ok(())
}

/// Every link from one of the first to one of the second.
fn links(from: &NodeSelector, to: &NodeSelector, op: &OpIo) -> Result<Vec<(NodeId, NodeId)>, Status> {
    let (from, to) = (op.select(from).map_err(skipped)?, op.select(to).map_err(skipped)?);
    let links: Vec<(NodeId, NodeId)> = from
        .iter()
        .flat_map(|from| to.iter().map(|to| (*from, *to)))
        .filter(|(from, to)| from != to)
        .collect();
    if links.is_empty() { Err(skipped("there is no link to act on".into())) } else { Ok(links) }
}
