//! What the targets have in common that are one consensus group.

use super::hands::{self, Done, skip};
use super::operation::{AddLearner, AddReplica, Promote, RemoveReplica, ReplaceMember};
use crate::env::NodeId;
use crate::run::operation::OpIo;
use crate::run::world::World;
use crate::time::{Micros, Millis};
use std::collections::BTreeMap;

/// More nodes than this are not started in a run.
pub const NODES_MAX: usize = 12;
/// A group is not made smaller than three: two members bear no loss at all.
pub const MEMBERS_MIN: usize = 4;
/// How long a member may take to join, and a change of the members to be taken.
pub const JOIN_TIMEOUT: Millis = Millis(20_000);
/// What changes who belongs to the group.
const CHANGES: &[&str] =
    &[AddReplica::NAME, RemoveReplica::NAME, AddLearner::NAME, Promote::NAME, ReplaceMember::NAME];
/// How long a member that refused is not asked first.
const AVOID: Millis = Millis(500);

/// The first dead member while there is no majority of live ones.
pub fn first_needed(world: &World) -> Option<NodeId> {
    let members = world.members();
    let live = members.iter().filter(|node| world.is_live(**node)).count();
    if live * 2 > members.len() {
        return None;
    }
    members.into_iter().find(|node| world.nodes.get(node).is_some_and(|state| !state.up))
}

/// Waits until no other event changes who belongs to the group.
pub async fn alone(op: &OpIo) -> Done {
    let changing = || {
        let world = op.world.borrow();
        let mut before = world.applied.iter().take_while(|applied| applied.event != op.event);
        before.any(|applied| applied.ended.is_none() && CHANGES.contains(&applied.action.as_str()))
    };
    if op.io.wait_for(op.io.after(JOIN_TIMEOUT), hands::LOOK, || !changing()).await {
        Ok(())
    } else {
        skip("another change of the members is under way")
    }
}

/// Which member a client turns to: the same as before, or the next one that did not refuse a moment ago.
#[derive(Debug)]
pub struct Rota {
    at: usize,
    avoid: BTreeMap<NodeId, Micros>,
}

impl Rota {
    /// Clients begin at one member after the other.
    pub fn of(client: u32) -> Self {
        Self { at: client as usize, avoid: BTreeMap::new() }
    }

    pub fn next(&mut self, world: &World) -> NodeId {
        self.avoid.retain(|_, until| *until > world.now);
        let members = world.members();
        let from = |step: usize| members.get((self.at + step) % members.len().max(1)).copied();
        let free = (0..members.len()).find(|step| from(*step).is_some_and(|n| !self.avoid.contains_key(&n)));
        let step = free.unwrap_or(0);
        let chosen = from(step).unwrap_or(NodeId(0));
        self.at += step;
        chosen
    }

    /// The next one is due, though nothing is wrong with this one.
    pub fn go_on(&mut self, world: &World) {
        self.at = (self.at + 1) % world.members().len().max(1);
    }

    /// It refused, or did not answer.
    pub fn avoid(&mut self, node: NodeId, now: Micros) {
        self.avoid.insert(node, now.plus(AVOID));
    }
}
