//! What a selector means at the moment an event strikes. Pure: the run's knowledge in, nodes out.

use super::world::World;
use crate::catalogue::NodeSelector;
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::timeline::Role;

/// The nodes meant, lowest number first; an error completes "skipped: ...".
pub fn select(selector: &NodeSelector, world: &World, entropy: &Entropy) -> Result<Vec<NodeId>, String> {
    select_from(selector, world, entropy, |_| true)
}

/// As [`select`]; a draw leaves out the nodes that `fits` refuses.
pub fn select_from(
    selector: &NodeSelector,
    world: &World,
    entropy: &Entropy,
    fits: impl Fn(NodeId) -> bool,
) -> Result<Vec<NodeId>, String> {
    let known = |node: NodeId| match world.nodes.get(&node) {
        Some(state) if !state.removed => Ok(vec![node]),
        Some(_) => Err(format!("{node} has left the cluster")),
        None => Err(format!("there is no {node}")),
    };
    let draw = |candidates: Vec<NodeId>, what: &str| {
        let candidates: Vec<NodeId> = candidates.into_iter().filter(|node| fits(*node)).collect();
        if candidates.is_empty() {
            return Err(format!("no live {what} is left to draw from"));
        }
        let place = entropy.child("select").word("node", 0, 0) % candidates.len() as u64;
        Ok(vec![candidates[place as usize]])
    };
    let of_role = |role: Role| -> Vec<NodeId> {
        world.live().into_iter().filter(|node| is_primary(world, *node) == (role == Role::Primary)).collect()
    };
    match selector {
        NodeSelector::Node(number) => known(NodeId(*number)),
        NodeSelector::Primary(shard) => {
            world.primary(*shard).map(|node| vec![node]).ok_or_else(|| format!("shard {shard} is not there"))
        }
        NodeSelector::Replica(shard, index) => {
            let replicas = world.replicas(*shard);
            match replicas.get(usize::from(*index)) {
                Some(node) => Ok(vec![*node]),
                None => Err(format!("shard {shard} has {} replicas", replicas.len())),
            }
        }
        NodeSelector::Any => draw(world.live(), "node"),
        NodeSelector::AnyPrimary => draw(of_role(Role::Primary), "primary"),
        NodeSelector::AnyReplica => draw(of_role(Role::Replica), "replica"),
        NodeSelector::AnyReplicaOf(shard) => {
            let live = world.replicas(*shard).into_iter().filter(|node| world.is_live(*node)).collect();
            draw(live, &format!("replica of shard {shard}"))
        }
        NodeSelector::AnyOf(numbers) => {
            let mut named: Vec<NodeId> =
                numbers.iter().map(|n| NodeId(*n)).filter(|n| world.is_live(*n)).collect();
            named.sort();
            draw(named, "node of those named")
        }
        NodeSelector::SameAs(event) => {
            let applied = world.applied.iter().rev().find(|applied| applied.event == *event);
            match applied {
                Some(applied) if !applied.resolved.is_empty() => Ok(applied.resolved.clone()),
                _ => Err(format!("event {event} struck no node")),
            }
        }
        NodeSelector::All => Ok(world.live()),
        NodeSelector::Minority | NodeSelector::Majority => {
            let primaries = of_role(Role::Primary);
            let majority = primaries.len() / 2 + 1;
            let count = if *selector == NodeSelector::Majority {
                majority
            } else {
                primaries.len().saturating_sub(majority)
            };
            if count == 0 || primaries.is_empty() {
                return Err("too few live primaries for a minority".into());
            }
            Ok(primaries.into_iter().take(count).collect())
        }
        NodeSelector::Id(id) => {
            world.node_of_id(id).map(|node| vec![node]).ok_or_else(|| format!("no node has the id {id}"))
        }
        NodeSelector::Port(port) => {
            // The port that was asked for: the position counts, whatever port the environment gave.
            let base = world.timeline.cluster.base_port.unwrap_or(7000);
            match port.checked_sub(base) {
                Some(number) => known(NodeId(number)),
                None => Err(format!("no node was asked to listen on port {port}")),
            }
        }
    }
}

/// Whether a node is the primary of its shard by the latest views.
pub fn is_primary(world: &World, node: NodeId) -> bool {
    world.nodes.get(&node).is_some_and(|state| world.primary(state.shard) == Some(node))
}
