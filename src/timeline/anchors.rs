//! What one event says of another, and what becomes of it when the other is left out.
//!
//! An event names another as an anchor (`with`, `after`) or as the node it means (`target-of-EVENT`). Of several
//! anchors the *last* one listed is the one whose place is inherited; the others only add to the wait. So that
//! leaving out events in any order ends in the same bytes, what an event becomes depends only on which events
//! are gone: it follows its chain of last anchors to the first that stays, or to the clock or the observation
//! at the chain's end, and adds up the delays on the way.

use super::{Event, Observation, Start, Timeline};
use crate::catalogue::{Action, NodeSelector};

impl Timeline {
    /// The timeline with one event left out.
    ///
    /// - What hung on it alone, or on it last, begins when it would have begun: it takes over its start and its
    ///   `within`, and the delays add up.
    /// - What waited for it among others waits for the others.
    /// - What meant its node (`target-of-EVENT`) means the node that it named itself.
    ///
    /// No other event changes. An unknown `id` changes nothing.
    #[must_use]
    pub fn without(&self, id: &str) -> Self {
        let mut shorter = self.clone();
        let Some(position) = shorter.events.iter().position(|event| event.id == id) else { return shorter };
        let gone = shorter.events.remove(position);
        let subject = subject(&gone.action);
        for event in &mut shorter.events {
            event.for_each_node(|node| {
                if matches!(node, NodeSelector::SameAs(other) if *other == gone.id) {
                    node.clone_from(&subject);
                }
            });
            let inherits = match &mut event.start {
                Start::With(anchor) => *anchor == gone.id,
                Start::After(anchors) => {
                    let last = anchors.last() == Some(&gone.id);
                    if !last {
                        anchors.retain(|anchor| *anchor != gone.id);
                    }
                    last
                }
                Start::At(_) | Start::Forming(_) | Start::When(_) => false,
            };
            if inherits {
                event.start.clone_from(&gone.start);
                event.within = gone.within;
                event.delay = event.delay.saturating_add(gone.delay);
            }
        }
        shorter
    }
}

impl Event {
    /// The events it names as anchors.
    pub fn anchors(&self) -> &[crate::catalogue::EventId] {
        match &self.start {
            Start::With(anchor) => std::slice::from_ref(anchor),
            Start::After(anchors) => anchors,
            Start::At(_) | Start::Forming(_) | Start::When(_) => &[],
        }
    }

    /// Every node selector in it, those of its observation first.
    pub fn for_each_node(&mut self, mut visit: impl FnMut(&mut NodeSelector)) {
        if let Start::When(seen) = &mut self.start {
            match seen {
                Observation::Log { node, .. }
                | Observation::Role { node, .. }
                | Observation::Exit { node } => {
                    visit(node);
                }
                Observation::Message { from, to, .. } => {
                    visit(from);
                    visit(to);
                }
                Observation::NoPrimary { .. } | Observation::Operation { .. } => {}
            }
        }
        match &mut self.action {
            Action::Failover(a) => a.of.iter_mut().chain(&mut a.to).for_each(visit),
            Action::ForgetAndMeet(a) => visit(&mut a.node),
            Action::ConfigChange(a) => visit(&mut a.node),
            Action::Admin(a) => std::iter::once(&mut a.node).chain(&mut a.about).for_each(visit),
            Action::Kill(a) => visit(&mut a.node),
            Action::Pause(a) => visit(&mut a.node),
            Action::Restart(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::Cut(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::Lossy(a) => visit(&mut a.node),
            Action::Slow(a) => visit(&mut a.node),
            Action::Corrupt(a) => visit(&mut a.node),
            Action::Garble(a) => visit(&mut a.node),
            Action::SlowClose(a) => visit(&mut a.node),
            Action::Throttle(a) => visit(&mut a.node),
            Action::Flap(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::Stutter(a) => visit(&mut a.node),
            Action::HalfOpen(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::ClockSkew(a) => visit(&mut a.node),
            Action::DiskError(a) => visit(&mut a.node),
            Action::FullDisk(a) => visit(&mut a.node),
            Action::SlowDisk(a) => visit(&mut a.node),
            Action::StrikeAt(a) => visit(&mut a.node),
            Action::PowerLoss(a) => visit(&mut a.node),
            Action::MemoryLimit(a) => visit(&mut a.node),
            Action::CpuLimit(a) => visit(&mut a.node),
            Action::CpuHog(a) => visit(&mut a.node),
            Action::FdLimit(a) => visit(&mut a.node),
            Action::UseUpConnections(a) => visit(&mut a.node),
            Action::ClockStrobe(a) => visit(&mut a.node),
            Action::BitFlip(a) => visit(&mut a.node),
            Action::ResolveFails(a) => visit(&mut a.node),
            Action::Defragment(a) => visit(&mut a.node),
            Action::ReplaceMember(a) => visit(&mut a.node),
            Action::Snapshot(a) => visit(&mut a.node),
            Action::Reset(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::Refuse(a) => std::iter::once(&mut a.node).chain(&mut a.from).for_each(visit),
            Action::StrikeLink(a) => [&mut a.from, &mut a.to].into_iter().for_each(visit),
            Action::Hold(a) => {
                visit(&mut a.from);
                visit(&mut a.to);
                if let Some(until) = &mut a.until {
                    visit(&mut until.from);
                    visit(&mut until.to);
                }
            }
            Action::Sabotage(a) => visit(&mut a.node),
            Action::Aim(a) => visit(&mut a.node),
            Action::AddReplica(_)
            | Action::RemoveReplica(_)
            | Action::Reshard(_)
            | Action::Drain(_)
            | Action::ScaleOut(_)
            | Action::ScaleIn(_)
            | Action::RollingRestart(_)
            | Action::Burst(_)
            | Action::MoveReplica(_)
            | Action::BumpEpoch(_)
            | Action::Compact(_)
            | Action::AddLearner(_)
            | Action::Promote(_)
            | Action::ExceedQuota(_)
            | Action::RefusedReconfig(_)
            | Action::Check(_) => {}
        }
    }
}

/// The node that an action strikes, where it names one.
pub(super) fn node_of(action: &Action) -> Option<&NodeSelector> {
    match action {
        Action::Failover(a) => a.of.as_ref(),
        Action::ForgetAndMeet(a) => Some(&a.node),
        Action::ConfigChange(a) => Some(&a.node),
        Action::Admin(a) => Some(&a.node),
        Action::Kill(a) => Some(&a.node),
        Action::Pause(a) => Some(&a.node),
        Action::Restart(a) => Some(&a.node),
        Action::Cut(a) => Some(&a.node),
        Action::Lossy(a) => Some(&a.node),
        Action::Slow(a) => Some(&a.node),
        Action::Corrupt(a) => Some(&a.node),
        Action::Garble(a) => Some(&a.node),
        Action::SlowClose(a) => Some(&a.node),
        Action::Throttle(a) => Some(&a.node),
        Action::Flap(a) => Some(&a.node),
        Action::Stutter(a) => Some(&a.node),
        Action::HalfOpen(a) => Some(&a.node),
        Action::ClockSkew(a) => Some(&a.node),
        Action::DiskError(a) => Some(&a.node),
        Action::FullDisk(a) => Some(&a.node),
        Action::SlowDisk(a) => Some(&a.node),
        Action::StrikeAt(a) => Some(&a.node),
        Action::PowerLoss(a) => Some(&a.node),
        Action::MemoryLimit(a) => Some(&a.node),
        Action::CpuLimit(a) => Some(&a.node),
        Action::CpuHog(a) => Some(&a.node),
        Action::FdLimit(a) => Some(&a.node),
        Action::UseUpConnections(a) => Some(&a.node),
        Action::ClockStrobe(a) => Some(&a.node),
        Action::BitFlip(a) => Some(&a.node),
        Action::ResolveFails(a) => Some(&a.node),
        Action::Defragment(a) => Some(&a.node),
        Action::ReplaceMember(a) => Some(&a.node),
        Action::Snapshot(a) => Some(&a.node),
        Action::Reset(a) => Some(&a.node),
        Action::Refuse(a) => Some(&a.node),
        Action::Hold(a) => Some(&a.from),
        Action::StrikeLink(a) => Some(&a.from),
        Action::Sabotage(a) => Some(&a.node),
        Action::Aim(a) => Some(&a.node),
        _ => None,
    }
}

/// What stands for the target of an event that is gone: the node it names, else the primary of the shard it
/// names, else any node.
fn subject(action: &Action) -> NodeSelector {
    match action {
        Action::Failover(a) if a.of.is_none() => a.shard.map_or(NodeSelector::Any, NodeSelector::Primary),
        Action::AddReplica(a) => NodeSelector::Replica(a.shard, 0),
        Action::RemoveReplica(a) => NodeSelector::Replica(a.shard, 0),
        Action::Reshard(a) => NodeSelector::Primary(a.from),
        Action::Drain(a) => NodeSelector::Primary(a.shard),
        Action::ScaleIn(a) => NodeSelector::Primary(a.shard),
        Action::Burst(a) => NodeSelector::Primary(a.shard),
        Action::MoveReplica(a) => NodeSelector::Primary(a.to),
        Action::BumpEpoch(a) => NodeSelector::Primary(a.shard),
        other => node_of(other).cloned().unwrap_or(NodeSelector::Any),
    }
}
