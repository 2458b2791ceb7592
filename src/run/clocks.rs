//! A node's clock that is set: put in force, undone, and both told from the node.
//!
//! Where time is real, nobody's word is taken for it but the node's: it is asked for the time of day before and
//! after, and what it says must have moved as was asked for, no less and no more. A clock that does not agree breaks
//! the run, for what came of it would be put down to a fault that never was, or one that never ended.

use super::operation::{COMMAND_TIMEOUT, OpIo, Target};
use super::record::Status;
use super::resp::Reply;
use super::rhythm::rest;
use super::strike::{Ending, failed, up};
use crate::env::{NodeAction, NodeId, in_real_time};
use crate::fault::clock_skew::ClockSkew;
use crate::fault::clock_strobe::ClockStrobe;
use crate::time::Millis;

/// How far a clock may be from where it should be, in microseconds, beyond what the time of an answer leaves open: the
/// machine's own clock is set too, by small steps.
const SLACK_US: i64 = 2_000;
/// An answer that took longer tells too little.
const ANSWER_MAX_US: i64 = 100_000;
/// How long a node that runs may go without an answer that tells something.
const ANSWERS_WITHIN: Millis = Millis(15_000);
const AGAIN: Millis = Millis(50);
/// Over this time a clock is seen to run at its rate again: at the least change that can be asked for it would be off by
/// this much and more.
const RATE_SEEN: Millis = Millis(500);

/// Bounds in microseconds: a time or a difference that lies between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    low: i64,
    high: i64,
}

impl Span {
    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, high: self.high + other.high }
    }
    fn minus(self, other: Self) -> Self {
        Self { low: self.low - other.high, high: self.high - other.low }
    }
    /// What a clock of this rate gains in that time.
    fn leant(self, rate: u16) -> Self {
        let of = |micros: i64| micros.max(0) * (i64::from(rate) - 100) / 100;
        let (one, other) = (of(self.low), of(self.high));
        Self { low: one.min(other), high: one.max(other) }
    }
    fn meets(self, other: Self) -> bool {
        self.low <= other.high + SLACK_US && other.low <= self.high + SLACK_US
    }
}

/// How far a node's clock was from the run's at a moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Span,
    ahead: Span,
}

/// A node whose clock was set: what it said before, when it was set, and the number of the setting.
struct Struck {
    node: NodeId,
    before: Option<Reading>,
    set: Span,
    number: u64,
}

pub(super) async fn strike_clock(
    skew: &ClockSkew,
    op: &OpIo,
    ending: &Ending,
    target: &dyn Target,
) -> Result<(), Status> {
    let nodes = op.select(&skew.node).map_err(super::strike::skipped)?;
    let real = in_real_time(&op.world.borrow().timeline.environment);
    let question = target.asks_time().filter(|_| real);
    let jump = skew.ahead.micros().0 as i64 - skew.behind.micros().0 as i64;
    let action = NodeAction::Clock { ahead: skew.ahead, behind: skew.behind, rate: skew.rate };
    let mut struck = Vec::new();
    for node in nodes {
        op.resolved(node);
        let before = read(question, op, node).await?;
        let (set, number, said) = set(op, node, action.clone(), real).await?;
        let now = read(question, op, node).await?;
        if let (Some(before), Some(now), true) = (before, now, is_last(op, node, number)) {
            let gained = Span { low: jump, high: jump }.plus(now.at.minus(set).leant(skew.rate));
            agrees(op, node, now.ahead.minus(before.ahead), gained, "was set")?;
            op.step(format!("the clock of {node} is wrong: {said}, as it says itself"));
        } else {
            op.step(format!("the clock of {node} is wrong"));
        }
        struck.push(Struck { node, before, set, number });
    }
    ending.wait(op).await;
    for Struck { node, before, set: from, number } in struck {
        // It stays where it is, and runs at its rate again.
        let alone = is_last(op, node, number);
        let rate_again = NodeAction::Clock { ahead: Millis(0), behind: Millis(0), rate: 100 };
        let (healed, number, said) = set(op, node, rate_again, real).await?;
        let now = read(question, op, node).await?;
        let Some(now) = now else {
            op.step(format!("the clock of {node} runs at its rate again"));
            continue;
        };
        if let (Some(before), true) = (before, alone && is_last(op, node, number)) {
            let gained = Span { low: jump, high: jump }.plus(healed.minus(from).leant(skew.rate));
            agrees(op, node, now.ahead.minus(before.ahead), gained, "was set, to its heal,")?;
        }
        op.io.sleep(RATE_SEEN).await;
        if let (Some(later), true) = (read(question, op, node).await?, is_last(op, node, number)) {
            agrees(op, node, later.ahead.minus(now.ahead), Span { low: 0, high: 0 }, "was healed")?;
        }
        op.step(format!("the clock of {node} runs at its rate again: {said}, as it says itself"));
    }
    Ok(())
}

/// Flips clocks ahead and back until the fault ends. The first flip, and where it all ends, are told by the nodes.
pub(super) async fn strobe_clock(
    fault: &ClockStrobe,
    op: &OpIo,
    ending: &Ending,
    target: &dyn Target,
) -> Result<(), Status> {
    let nodes = op.select(&fault.node).map_err(super::strike::skipped)?;
    let real = in_real_time(&op.world.borrow().timeline.environment);
    let question = target.asks_time().filter(|_| real);
    let none = Millis(0);
    let flip = |ahead, behind| NodeAction::Clock { ahead, behind, rate: 100 };
    let jump = fault.ahead.micros().0 as i64;
    let still = Span { low: 0, high: 0 };
    let mut struck = Vec::new();
    for node in nodes {
        op.resolved(node);
        let before = read(question, op, node).await?;
        let (set_at, number, _) = set(op, node, flip(fault.ahead, none), real).await?;
        let now = read(question, op, node).await?;
        if let (Some(before), Some(now), true) = (before, now, is_last(op, node, number)) {
            let gained = Span { low: jump, high: jump };
            agrees(op, node, now.ahead.minus(before.ahead), gained, "was set")?;
        }
        struck.push(Struck { node, before, set: set_at, number });
    }
    let until = ending.lasts.map(|lasts| op.io.after(lasts));
    let mut turns = 1u64;
    // Whether another event has set the clock meanwhile.
    let mut alone = true;
    loop {
        let over = rest(fault.every, until, ending, op).await;
        for one in &mut struck {
            alone &= is_last(op, one.node, one.number);
            one.number = set(op, one.node, flip(none, fault.ahead), real).await?.1;
        }
        if over || rest(fault.every, until, ending, op).await {
            break;
        }
        turns += 1;
        for one in &mut struck {
            alone &= is_last(op, one.node, one.number);
            one.number = set(op, one.node, flip(fault.ahead, none), real).await?.1;
        }
    }
    for Struck { node, before, number, .. } in struck {
        let now = read(question, op, node).await?;
        let told = match before.zip(now).filter(|_| alone && is_last(op, node, number)) {
            Some((before, now)) => {
                agrees(op, node, now.ahead.minus(before.ahead), still, "was set, to its heal,")?;
                ", as it says itself"
            }
            None => "",
        };
        let ahead = fault.ahead;
        op.step(format!("the clock of {node} went {ahead} ahead and back {turns} times, and is right{told}"));
    }
    Ok(())
}

/// Sets a clock. Answers when, the how-manieth time that was for this node, and what the environment said.
async fn set(op: &OpIo, node: NodeId, action: NodeAction, real: bool) -> Result<(Span, u64, String), Status> {
    let low = wall(op);
    let said = op.io.node(node, action).await.map_err(|error| {
        if real {
            op.breaks(&error);
        }
        failed(error)
    })?;
    let mut world = op.world.borrow_mut();
    let number = world.clocks_set.entry(node).or_default();
    *number += 1;
    let number = *number;
    drop(world);
    Ok((Span { low, high: wall(op) }, number, said))
}

/// Whether no other event has set the node's clock since.
fn is_last(op: &OpIo, node: NodeId, number: u64) -> bool {
    op.world.borrow().clocks_set.get(&node) == Some(&number)
}

fn wall(op: &OpIo) -> i64 {
    op.world.borrow().wall.0 as i64
}

/// Asks a node for the time of day until it answers soon. Nobody where there is no question, or the node is down.
async fn read(question: Option<&[&str]>, op: &OpIo, node: NodeId) -> Result<Option<Reading>, Status> {
    let Some(question) = question else { return Ok(None) };
    let mut patience = op.io.after(ANSWERS_WITHIN);
    let mut why = "none".to_string();
    while up(op, node) {
        if op.world.borrow().nodes.get(&node).is_some_and(|state| state.paused) {
            patience = op.io.after(ANSWERS_WITHIN);
        } else if let Ok(conn) = op.connect(node).await {
            let low = wall(op);
            let answer = conn.call(question, op.io.after(COMMAND_TIMEOUT)).await;
            let at = Span { low, high: wall(op) };
            match answer.as_ref().ok().and_then(micros) {
                Some(time) if at.high - at.low <= ANSWER_MAX_US => {
                    let ahead = Span { low: time, high: time }.minus(at);
                    return Ok(Some(Reading { at, ahead }));
                }
                _ => why = format!("{answer:?} after {} us", at.high - at.low),
            }
        }
        if op.io.now() >= patience {
            let why = format!("{node} does not tell the time of day: {why}");
            op.breaks(&why);
            return Err(failed(why));
        }
        op.io.sleep(AGAIN).await;
    }
    Ok(None)
}

/// The time of day as `TIME` tells it: seconds, and microseconds in the second.
fn micros(reply: &Reply) -> Option<i64> {
    let Reply::Array(items) = reply else { return None };
    let number = |place: usize| items.get(place)?.text()?.parse::<i64>().ok();
    Some(number(0)? * 1_000_000 + number(1)?)
}

fn agrees(op: &OpIo, node: NodeId, moved: Span, expected: Span, since: &str) -> Result<(), Status> {
    if moved.meets(expected) {
        return Ok(());
    }
    let why = format!(
        "the clock of {node} does not agree: since it {since} it has moved by {} to {} us, not by {} to {}",
        moved.low, moved.high, expected.low, expected.high
    );
    op.breaks(&why);
    Err(failed(why))
}

#[cfg(test)]
#[path = "clocks_tests.rs"]
pub mod tests;
