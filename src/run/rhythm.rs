//! Faults that come and go in a rhythm until they end: processes that stutter, links that flap. Each turn is applied and
//! undone as the fault that it repeats; at the end nothing is left in force, whichever half it fell into.

use super::links::{between, cross, effect, put, take_off};
use super::operation::OpIo;
use super::record::Status;
use super::strike::{Ending, failed, running, skipped, up};
use crate::env::{LinkRule, NodeAction, NodeId};
use crate::fault::flap::Flap;
use crate::fault::stutter::Stutter;
use crate::time::{Micros, Millis};

/// How often the end of the safety phase is looked for.
const LOOK_EVERY: Millis = Millis(50);

/// Waits for one half of a turn. Whether the fault has ended by then.
pub(super) async fn rest(time: Millis, until: Option<Micros>, ending: &Ending, op: &OpIo) -> bool {
    let next = op.io.after(time);
    let Some(until) = until else {
        let heal = ending.heal.clone();
        return op.io.wait_for(next, LOOK_EVERY, move || heal.get()).await;
    };
    op.io.sleep_until(next.min(until)).await;
    op.io.now() >= until
}

pub(super) async fn stutter(fault: &Stutter, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let nodes = running(&fault.node, op)?;
    let until = ending.lasts.map(|lasts| op.io.after(lasts));
    let (mut turns, mut wrong) = (0u64, None);
    loop {
        // One that has ended meanwhile has nothing to stop; one that was started again has.
        let alive: Vec<NodeId> = nodes.iter().copied().filter(|node| up(op, *node)).collect();
        for node in &alive {
            match op.io.node(*node, NodeAction::Pause).await {
                Ok(_) => op.world.borrow_mut().pause(*node, &op.event),
                // It may end at any moment.
                Err(_) if !up(op, *node) => {}
                Err(error) => wrong = Some(failed(error)),
            }
        }
        turns += 1;
        let over = wrong.is_some() || rest(fault.stop, until, ending, op).await;
        for node in alive {
            let goes_on = op.world.borrow_mut().release(node, &op.event);
            if goes_on && up(op, node) {
                match op.io.node(node, NodeAction::Resume).await {
                    Err(error) if up(op, node) => wrong = Some(failed(error)),
                    _ => op.world.borrow_mut().resume(node),
                }
            }
        }
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        if over || rest(fault.run, until, ending, op).await {
            break;
        }
    }
    let who: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    op.step(format!("{} stopped {turns} times, and runs", who.join(", ")));
    Ok(())
}

pub(super) async fn flap(fault: &Flap, op: &OpIo, ending: &Ending) -> Result<(), Status> {
    let pairs = between(&fault.node, fault.from.as_ref(), false, fault.traffic, op)?;
    if pairs.is_empty() {
        return Err(skipped("there is no link to act on".into()));
    }
    let until = ending.lasts.map(|lasts| op.io.after(lasts));
    let cut = LinkRule { cut: true, ..LinkRule::default() };
    let (mut before, mut turns) = (Vec::new(), 0u64);
    let after = loop {
        let counted = put(&pairs, fault.traffic, cut, op).await?;
        if turns == 0 {
            before = counted;
        }
        turns += 1;
        let over = rest(fault.down, until, ending, op).await;
        let counted = take_off(&pairs, op).await?;
        if over || rest(fault.up, until, ending, op).await {
            break counted;
        }
    };
    let told = cross(&pairs, fault.traffic, op).await?;
    op.step(format!(
        "{} directed links went down {turns} times, and are up{}{told}",
        pairs.len(),
        effect(&before, &after, op)
    ));
    Ok(())
}
