//! Rules on links: which links a fault means, what several faults on one link come to, and how their end is told.
//!
//! A rule lies on a directed link, for all that crosses or for one class of it. What the nodes say, not the injector,
//! tells that a link is healed; what was counted on it tells whether the fault struck anything at all.

use super::operation::OpIo;
use super::record::{OnLink, Status};
use super::strike::{Ending, failed, others, skipped};
use crate::catalogue::NodeSelector;
use crate::env::{LIVE, LinkCount, LinkRule, LinkRules, NodeAction, NodeId, counted_in, leaked_in};
use crate::fault::cut::{Cut, Heal};
use crate::fault::slow::Distribution;
use crate::fault::traffic::Traffic;
use std::collections::BTreeSet;

/// A directed link.
type Link = (NodeId, NodeId);

pub(super) async fn strike_cut(cut: &Cut, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let pairs = between(&cut.node, cut.from.as_ref(), cut.one_way, cut.traffic, op)?;
    let rule = LinkRule { cut: true, natural: cut.heal == Heal::Natural, ..LinkRule::default() };
    hold_links(&pairs, cut.traffic, rule, op, ending).await
}

/// The links between two sets of nodes, both ways or those from the first alone.
pub(super) fn between(
    node: &NodeSelector,
    from: Option<&NodeSelector>,
    one_way: bool,
    traffic: Traffic,
    op: &OpIo,
) -> Result<Vec<Link>, Status> {
    let nodes = op.select(node).map_err(skipped)?;
    let others = far_ends(from, traffic, op)?;
    let mut pairs = Vec::new();
    for node in &nodes {
        op.resolved(*node);
        for other in others.iter().filter(|other| !nodes.contains(other)) {
            pairs.push((*node, *other));
            if !one_way {
                pairs.push((*other, *node));
            }
        }
    }
    Ok(pairs)
}

pub(super) async fn strike_links(
    selector: &NodeSelector,
    traffic: Traffic,
    rule: LinkRule,
    op: &OpIo,
    ending: &Ending,
) -> Result<(), Status> {
    let nodes = op.select(selector).map_err(skipped)?;
    let all = far_ends(None, traffic, op)?;
    let mut pairs = Vec::new();
    for node in &nodes {
        op.resolved(*node);
        for other in all.iter().filter(|other| *other != node) {
            pairs.push((*node, *other));
            pairs.push((*other, *node));
        }
    }
    hold_links(&pairs, traffic, rule, op, ending).await
}

/// The other ends of a node's links: those named, or all. The run's clients are among them where what is struck is
/// theirs; the tool's own questions never are.
pub(super) fn far_ends(
    named: Option<&NodeSelector>,
    traffic: Traffic,
    op: &OpIo,
) -> Result<Vec<NodeId>, Status> {
    let mut ends = others(named, op)?;
    if named.is_none() && traffic == Traffic::Clients {
        ends.push(NodeId::CLIENTS);
    }
    Ok(ends)
}

/// What was counted on links so far, in their order; nothing where segments are not counted.
pub(super) type Counted = Vec<LinkCount>;

/// Puts a rule on links until the fault ends. Faults that overlap on a link add up.
pub(super) async fn hold_links(
    pairs: &[Link],
    traffic: Traffic,
    rule: LinkRule,
    op: &OpIo,
    ending: &Ending,
) -> Result<(), Status> {
    if pairs.is_empty() {
        return Err(skipped("there is no link to act on".into()));
    }
    let before = put(pairs, traffic, rule, op).await?;
    op.step(format!("{} directed links under the rule", pairs.len()));
    ending.wait(op).await;
    let after = take_off(pairs, op).await?;
    came_to(pairs, &before, &after, op);
    let told = cross(pairs, traffic, op).await?;
    let how = match (rule.cut, rule.natural) {
        (true, true) => ", and nobody is woken up: TCP tries again by itself",
        _ => "",
    };
    op.step(format!("links healed{how}{}{told}", effect(&before, &after, op)));
    Ok(())
}

/// Notes what the rule came to on each link, as the difference of two counts.
fn came_to(pairs: &[Link], before: &Counted, after: &Counted, op: &OpIo) {
    let on_link = |((link, before), after): ((&Link, &LinkCount), &LinkCount)| OnLink {
        from: link.0,
        to: link.1,
        seen: after.seen - before.seen,
        struck: after.struck - before.struck,
        lost: after.lost - before.lost,
        ends: after.ends - before.ends,
        ends_after: after.ends_after.filter(|_| after.ends > before.ends),
    };
    op.report.borrow_mut().links.extend(pairs.iter().zip(before).zip(after).map(on_link));
}

/// Puts a rule on links in the event's name. Answers what was counted on them before.
pub(super) async fn put(
    pairs: &[Link],
    traffic: Traffic,
    rule: LinkRule,
    op: &OpIo,
) -> Result<Counted, Status> {
    for link in pairs {
        op.world.borrow_mut().links.entry(*link).or_default().insert(op.event.clone(), (traffic, rule));
    }
    let struck = submit(pairs, op).await?;
    if rule.cut {
        for (from, to) in tried(pairs, op) {
            op.io.node(from, NodeAction::Knock(to, traffic)).await.map_err(failed)?;
        }
    }
    Ok(struck)
}

/// Where packets are real, a cut is in force because nothing crosses it: each pair of nodes is tried from its own side for
/// as long as it holds. Any answer, and any packet that the switch has let pass, breaks the run.
fn tried(pairs: &[Link], op: &OpIo) -> BTreeSet<Link> {
    let live = op.world.borrow().timeline.environment == LIVE.name;
    let both = pairs.iter().map(|(from, to)| (*from.min(to), *from.max(to)));
    if live { both.collect() } else { BTreeSet::new() }
}

/// Takes the event's rule off. Answers what was counted on the links so far.
pub(super) async fn take_off(pairs: &[Link], op: &OpIo) -> Result<Counted, Status> {
    let own = pairs.first().and_then(|link| {
        let world = op.world.borrow();
        world.links.get(link)?.get(&op.event).copied()
    });
    let mut in_force = Ok(());
    if let Some((traffic, _)) = own.filter(|(_, rule)| rule.cut) {
        for (from, to) in tried(pairs, op) {
            let unheard = op.io.node(from, NodeAction::Unheard(to, traffic)).await;
            in_force = in_force.and(unheard.map(drop));
        }
    }
    for link in pairs {
        if let Some(rules) = op.world.borrow_mut().links.get_mut(link) {
            rules.remove(&op.event);
        }
    }
    // Whatever came of it, it is healed.
    let struck = submit(pairs, op).await?;
    if let Err(error) = in_force {
        op.breaks(&error);
        return Err(failed(error));
    }
    Ok(struck)
}

async fn submit(pairs: &[Link], op: &OpIo) -> Result<Counted, Status> {
    let mut counted = Vec::with_capacity(pairs.len());
    let mut leaked = 0;
    for (from, to) in pairs {
        let evidence = op.io.link(*from, *to, sum_of(op, *from, *to)).await.map_err(failed)?;
        counted.extend(counted_in(&evidence));
        leaked += leaked_in(&evidence).unwrap_or(0);
    }
    if leaked > 0 {
        let why = format!("{leaked} packets crossed links while they were cut");
        op.breaks(&why);
        return Err(failed(why));
    }
    Ok(counted)
}

/// What came of a rule: a cut across which nobody said anything was no cut, whoever asked for it.
pub(super) fn effect(before: &Counted, after: &Counted, op: &OpIo) -> String {
    let struck = |counted: &Counted| counted.iter().map(|count| count.struck).sum::<u64>();
    let lost = |counted: &Counted| counted.iter().map(|count| count.lost).sum::<u64>();
    let seen = |counted: &Counted| counted.iter().map(|count| count.seen).sum::<u64>();
    if before.is_empty() || after.is_empty() {
        return String::new();
    }
    match struck(after).saturating_sub(struck(before)) {
        0 => {
            op.detail("struck nothing");
            "; it struck nothing: no segment came by that it would have changed".into()
        }
        count => match lost(after) - lost(before) {
            0 => format!("; {count} segments were struck on them meanwhile"),
            lost => {
                let seen = seen(after) - seen(before);
                format!("; {count} segments were struck on them meanwhile, {lost} of {seen} lost")
            }
        },
    }
}

/// Where packets are real, that they cross again is told by the nodes: links that stay cut after a heal would put down
/// to the servers what is the run's own doing, so that it is broken. Pairs of which a link is under another rule are
/// left to that one's end.
pub(super) async fn cross(pairs: &[Link], traffic: Traffic, op: &OpIo) -> Result<String, Status> {
    if op.world.borrow().timeline.environment != LIVE.name {
        return Ok(String::new());
    }
    let is_clear =
        |from, to| [(from, to), (to, from)].iter().all(|link| sum_of(op, link.0, link.1).spares(traffic));
    let both: BTreeSet<Link> = pairs.iter().map(|(from, to)| (*from.min(to), *from.max(to))).collect();
    let mut count = 0;
    for (from, to) in both {
        // Another fault may come while it is tried.
        let mut tries = 0;
        while is_clear(from, to) {
            match op.io.node(from, NodeAction::Reach(to, traffic)).await {
                Ok(_) => {
                    count += 1;
                    break;
                }
                Err(error) if tries > 0 && is_clear(from, to) => {
                    op.breaks(&error);
                    return Err(failed(error));
                }
                Err(_) => tries += 1,
            }
        }
    }
    let what = match traffic {
        Traffic::All => "packets cross".to_string(),
        Traffic::Clients | Traffic::Bus => format!("packets of class `{traffic}` cross"),
    };
    Ok(format!("; {what} between {count} pairs of nodes, as these say"))
}

/// What lies on a link, for each class the sum of what faults ask for.
fn sum_of(op: &OpIo, from: NodeId, to: NodeId) -> LinkRules {
    let world = op.world.borrow();
    let Some(rules) = world.links.get(&(from, to)) else { return LinkRules::default() };
    let sum = |class: Traffic| {
        let meant = rules.values().filter(|(traffic, _)| *traffic == Traffic::All || *traffic == class);
        meant.fold(LinkRule::default(), |sum, (_, rule)| add(sum, *rule))
    };
    LinkRules { clients: sum(Traffic::Clients), bus: sum(Traffic::Bus), rest: sum(Traffic::All) }
}

fn add(sum: LinkRule, rule: LinkRule) -> LinkRule {
    LinkRule {
        cut: sum.cut || rule.cut,
        delay: sum.delay.saturating_add(rule.delay),
        jitter: sum.jitter.saturating_add(rule.jitter),
        lose: sum.lose.max(rule.lose),
        duplicate: sum.duplicate.max(rule.duplicate),
        reorder: sum.reorder.max(rule.reorder),
        refuse: sum.refuse || rule.refuse,
        corrupt: sum.corrupt.max(rule.corrupt),
        garble: sum.garble.max(rule.garble),
        rate: if sum.rate == 0 || rule.rate == 0 { sum.rate.max(rule.rate) } else { sum.rate.min(rule.rate) },
        burst: sum.burst.max(rule.burst),
        shape: if sum.shape == Distribution::Uniform { rule.shape } else { sum.shape },
        natural: sum.natural || rule.natural,
        linger: sum.linger.max(rule.linger),
        exact: sum.exact || rule.exact,
    }
}

#[cfg(test)]
#[path = "links_tests.rs"]
mod tests;
