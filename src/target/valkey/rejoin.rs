//! A node that came back under a new id: a stranger at the address of a member.
//!
//! What was its own belongs to its ghost, the old id, which every node lists as failed. An administrator lets all
//! forget the ghost and meets the node. Where the ghost was a primary, one of its replicas has to take over
//! first; where there is none that could, nobody has the data any more, and the node itself gets the slots.

use super::forget::{forget, keep_forgotten};
use super::form::{join, replicate};
use super::hands::{self, Done, Stop};
use super::mend;
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::time::{Micros, Millis};
use std::collections::BTreeSet;

/// How long a shard may take to elect a primary, and a node then to be a member again.
const REJOIN_TIMEOUT: Millis = Millis(30_000);

/// Brings a node that lost its id back: its ghost is forgotten, it is met, and it follows its shard's primary,
/// or is that itself where there is no other.
pub async fn rejoin(op: OpIo, node: NodeId, old_id: Option<String>) -> Done {
    hands::answers(&op, node, hands::START_TIMEOUT).await?;
    let new_id = hands::learn_id(&op, node).await?;
    let shard = op.world.borrow().shard_of(node).ok_or_else(|| format!("{node} is in no shard"))?;
    let successor = successor(&op, node, shard).await?;
    let deadline = op.io.after(REJOIN_TIMEOUT);
    let mut ghosts = listed_at(&op, node).await;
    ghosts.extend(old_id);
    // A node that was answered by another id at a ghost's address has forgotten the address, and keeps the ghost.
    ghosts
        .extend(op.world.borrow().nodes.get(&node).map(|state| state.former_ids.clone()).unwrap_or_default());
    ghosts.remove(&new_id);
    // It may have come back as another node before: that one lives, and keeps its id.
    let others: BTreeSet<String> = {
        let world = op.world.borrow();
        world.nodes.values().filter(|other| other.node != node).filter_map(|other| other.id.clone()).collect()
    };
    ghosts.retain(|ghost| !others.contains(ghost));
    for ghost in ghosts {
        let told = forget(&op, &ghost, node, deadline).await;
        // Who is down now, or refuses, has it in `nodes.conf` still.
        keep_forgotten(&op, ghost.clone());
        told?;
        op.step(format!("the live nodes have forgotten {ghost}"));
    }
    if let Some(primary) = successor {
        join(&op, node, primary, deadline).await?;
        replicate(&op, node, primary, deadline).await?;
    } else {
        alone(&op, node, deadline).await?;
    }
    if let Some(state) = op.world.borrow_mut().nodes.get_mut(&node) {
        state.stranger = false;
    }
    Ok(())
}

/// The primary that the node is to follow; `None` where nobody but the node itself can be it.
async fn successor(op: &OpIo, node: NodeId, shard: u16) -> Result<Option<NodeId>, Stop> {
    let other_primary = || {
        let primary = op.primary(shard)?;
        if primary == node || !op.world.borrow().is_live(primary) {
            return Err(format!("shard {shard} has no live primary that {node} could follow"));
        }
        Ok(primary)
    };
    let others: Vec<NodeId> = {
        let world = op.world.borrow();
        let member = |n: &NodeId| world.nodes.get(n).is_some_and(|n| !n.left_dead && !n.stranger);
        let members = world.replicas(shard).into_iter().chain(world.primary(shard));
        members.filter(|other| *other != node && member(other)).collect()
    };
    if others.is_empty() {
        return Ok(other_primary().ok());
    }
    let waited = hands::retry(op, op.io.after(REJOIN_TIMEOUT), hands::LOOK, async || other_primary()).await;
    let why = match waited {
        Ok(primary) => return Ok(Some(primary)),
        Err(why) => why,
    };
    let (was_primary, follower) = {
        let world = op.world.borrow();
        (world.primary(shard) == Some(node), others.into_iter().find(|other| world.is_live(*other)))
    };
    match follower {
        // It was started again while its primary was away, say, and may not stand for election.
        Some(follower) => {
            mend::take_over(op, shard, follower).await?;
            Ok(Some(follower))
        }
        None if was_primary => Ok(None),
        // The primary is down, and comes back with its data.
        None => Err(Stop::Fail(why)),
    }
}

/// The ids that live nodes list at the address of this one.
async fn listed_at(op: &OpIo, node: NodeId) -> BTreeSet<String> {
    let Ok((ip, port)) = op.address(node) else { return BTreeSet::new() };
    let place = format!("{ip}:{port}@");
    let mut ids = BTreeSet::new();
    let live = op.world.borrow().live();
    for other in live.into_iter().filter(|other| *other != node) {
        // Who does not answer now is looked at for as long as the run lasts, by the ids that the others list.
        let Ok(text) = hands::text(op, other, &["CLUSTER", "NODES"]).await else { continue };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some(id), Some(at), Some(flags)) = (words.next(), words.next(), words.next())
                && at.starts_with(&place)
                && !flags.contains("handshake")
            {
                ids.insert(id.to_string());
            }
        }
    }
    ids
}

/// The node is met and gets the slots that nobody has: those of its ghost.
async fn alone(op: &OpIo, node: NodeId, deadline: Micros) -> Done {
    let member = {
        let world = op.world.borrow();
        let members = world.nodes.values().filter(|n| n.node != node && !n.stranger);
        members.map(|n| n.node).find(|other| world.is_live(*other))
    };
    let member = member.ok_or_else(|| format!("no member is up that could meet {node}"))?;
    join(op, node, member, deadline).await?;
    mend::give_slots(op).await?;
    Ok(())
}
