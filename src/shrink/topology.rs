//! The cluster.

use super::{KEYS, Search, Stopped};
use crate::catalogue::{Action, NodeSelector};
use crate::timeline::{Event, Observation, Start, Timeline};

/// Takes the fewest shards that fail.
pub(super) fn fewer_shards(search: &mut Search<'_>, keys: u64) -> Result<(), Stopped> {
    let (shards, replicas) = (search.best.cluster.shards, search.best.cluster.replicas);
    let smaller: Vec<Timeline> = (1..shards).map(|fewer| with(&search.best, fewer, replicas)).collect();
    let told = |before: &Timeline, after: &Timeline| {
        format!("{} instead of {} shards", after.cluster.shards, before.cluster.shards)
    };
    search.take(&smaller, keys, told).map(drop)
}

/// Takes the fewest replicas that fail.
pub(super) fn fewer_replicas(search: &mut Search<'_>) -> Result<(), Stopped> {
    let (shards, replicas) = (search.best.cluster.shards, search.best.cluster.replicas);
    let smaller: Vec<Timeline> = (0..replicas).map(|fewer| with(&search.best, shards, fewer)).collect();
    let told = |before: &Timeline, after: &Timeline| {
        format!("{} instead of {} replicas of each shard", after.cluster.replicas, before.cluster.replicas)
    };
    search.take(&smaller, KEYS, told).map(drop)
}

/// The timeline on so many shards with so many replicas. What named a shard or a replica beyond them names one of
/// those that are left, and an event that would then move slots from a shard to itself is left out.
fn with(timeline: &Timeline, shards: u16, replicas: u16) -> Timeline {
    let mut smaller = timeline.clone();
    let per_shard = 1 + timeline.cluster.replicas;
    (smaller.cluster.shards, smaller.cluster.replicas) = (shards, replicas);
    let nodes = smaller.cluster.nodes();
    let node = |n: &mut u16| {
        // Nodes that operations add come after those of the start.
        *n = match n.checked_sub(timeline.cluster.nodes()) {
            Some(added) => nodes + added,
            None => (*n / per_shard % shards) * (1 + replicas) + (*n % per_shard).min(replicas),
        };
    };
    let shard = |n: &mut u16| {
        *n = n.checked_sub(timeline.cluster.shards).map_or(*n % shards, |added| shards + added);
    };
    for event in &mut smaller.events {
        event.for_each_node(|selector| match selector {
            NodeSelector::Node(n) => node(n),
            NodeSelector::AnyOf(several) => {
                several.iter_mut().for_each(node);
                several.sort_unstable();
                several.dedup();
            }
            NodeSelector::Primary(n) | NodeSelector::AnyReplicaOf(n) => shard(n),
            NodeSelector::Replica(n, nth) => {
                shard(n);
                *nth = (*nth).min(replicas);
            }
            _ => {}
        });
        for_each_shard(event, shard);
    }
    let idle = |event: &Event| match &event.action {
        Action::Reshard(a) => a.from == a.to,
        Action::Drain(a) => a.shard == a.to,
        Action::MoveReplica(a) => a.shard == a.to,
        _ => false,
    };
    let idle: Vec<_> =
        smaller.events.iter().filter(|event| idle(event)).map(|event| event.id.clone()).collect();
    idle.iter().fold(smaller, |less, id| less.without(id))
}

/// Every shard that an event names by number, beside those of its selectors.
fn for_each_shard(event: &mut Event, mut visit: impl FnMut(&mut u16)) {
    if let Start::When(Observation::NoPrimary { shard }) = &mut event.start {
        visit(shard);
    }
    match &mut event.action {
        Action::Failover(a) => a.shard.iter_mut().for_each(visit),
        Action::AddReplica(a) => visit(&mut a.shard),
        Action::RemoveReplica(a) => visit(&mut a.shard),
        Action::Drain(a) => {
            visit(&mut a.shard);
            visit(&mut a.to);
        }
        Action::ScaleIn(a) => visit(&mut a.shard),
        Action::Burst(a) => visit(&mut a.shard),
        Action::BumpEpoch(a) => visit(&mut a.shard),
        Action::MoveReplica(a) => {
            visit(&mut a.shard);
            visit(&mut a.to);
        }
        Action::Reshard(a) => {
            visit(&mut a.from);
            visit(&mut a.to);
        }
        _ => {}
    }
}
