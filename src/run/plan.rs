//! When each event begins: anchors, delays and the bounds on their wait. Pure bookkeeping for the executor.

use super::operation::OpReport;
use super::record::Status;
use super::resolve;
use super::view::NodeReport;
use super::world::World;
use crate::catalogue::{EventId, MessageType, NodeSelector};
use crate::entropy::Entropy;
use crate::env::{ActorId, NodeId};
use crate::time::{Micros, Millis};
use crate::timeline::{Event, Observation, Start, WITHIN_DEFAULT};
use std::cell::RefCell;
use std::rc::Rc;

/// One event of the timeline while the run lasts.
#[derive(Debug)]
pub struct Planned {
    pub event: Event,
    /// When what it waits for held.
    pub seen: Option<Micros>,
    /// Messages that it waits for, so far.
    pub messages: u64,
    pub started: Option<Micros>,
    /// Its place among those applied.
    pub place: Option<usize>,
    pub ended: Option<Micros>,
    pub skipped: bool,
    pub actor: Option<ActorId>,
    pub report: Rc<RefCell<OpReport>>,
    pub status: Rc<RefCell<Option<Status>>>,
}

/// What an event that has not begun is to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Wait,
    /// It is due then, now or later.
    Due(Micros),
    Skip(String),
}

impl Planned {
    pub fn new(event: &Event) -> Self {
        Self {
            event: event.clone(),
            seen: None,
            messages: 0,
            started: None,
            place: None,
            ended: None,
            skipped: false,
            actor: None,
            report: Rc::default(),
            status: Rc::default(),
        }
    }
    /// Whether what it waits for is still to be seen.
    pub fn waits(&self) -> bool {
        self.seen.is_none() && self.started.is_none() && !self.over()
    }
    pub fn over(&self) -> bool {
        self.ended.is_some()
    }
}

/// What the event at `place` is to do, given all others.
pub fn next(all: &[Planned], place: usize, healthy_at: Option<Micros>, now: Micros) -> Next {
    let planned = &all[place];
    let event = &planned.event;
    let find = |id: &EventId| all.iter().find(|other| other.event.id == *id);
    // What is waited for has not come; an observation may never come, an anchor ends in its own time.
    let wait = |bound: Option<Millis>, what: &dyn Fn() -> String| match (bound, healthy_at) {
        (Some(bound), Some(zero)) if now >= zero.plus(bound) => {
            Next::Skip(format!("{} within {bound}", what()))
        }
        _ => Next::Wait,
    };
    match &event.start {
        Start::Forming(at) => Next::Due(Micros(0).plus(*at).plus(event.delay)),
        Start::At(at) => healthy_at.map_or(Next::Wait, |zero| Next::Due(zero.plus(*at).plus(event.delay))),
        Start::With(id) => match find(id) {
            None => Next::Skip(format!("there is no event {id}")),
            Some(anchor) if anchor.skipped => Next::Skip(format!("{id} was skipped")),
            Some(anchor) => match anchor.started {
                None => wait(event.within, &|| format!("{id} did not begin")),
                Some(at) => Next::Due(at.plus(event.delay)),
            },
        },
        Start::After(ids) => {
            let mut latest = Micros(0);
            for id in ids {
                match find(id) {
                    None => return Next::Skip(format!("there is no event {id}")),
                    Some(anchor) => match anchor.ended {
                        None => return wait(event.within, &|| format!("{id} did not end")),
                        Some(at) => latest = latest.max(at),
                    },
                }
            }
            Next::Due(latest.plus(event.delay))
        }
        Start::When(_) => match planned.seen {
            Some(at) => Next::Due(at.plus(event.delay)),
            None => wait(event.within.or(Some(WITHIN_DEFAULT)), &|| "not seen".into()),
        },
    }
}

/// Whether a node is one that an observation speaks of. `any` means every node here: nothing is drawn.
fn speaks_of(selector: &NodeSelector, node: NodeId, world: &World, entropy: &Entropy) -> bool {
    match selector {
        NodeSelector::Any | NodeSelector::All => true,
        NodeSelector::AnyPrimary => resolve::is_primary(world, node),
        NodeSelector::AnyReplica => !resolve::is_primary(world, node),
        NodeSelector::AnyOf(numbers) => numbers.contains(&node.0),
        _ => resolve::select(selector, world, entropy).is_ok_and(|nodes| nodes.contains(&node)),
    }
}

/// A log line came.
pub fn log_matches(
    observation: &Observation,
    node: NodeId,
    line: &str,
    world: &World,
    entropy: &Entropy,
) -> bool {
    matches!(observation, Observation::Log { node: selector, has } if line.contains(&**has) && speaks_of(selector, node, world, entropy))
}

/// A process went.
pub fn exit_matches(observation: &Observation, node: NodeId, world: &World, entropy: &Entropy) -> bool {
    matches!(observation, Observation::Exit { node: selector } if speaks_of(selector, node, world, entropy))
}

/// A message of the cluster bus was sent.
pub fn message_matches(
    observation: &Observation,
    (sent, by, to_whom): (MessageType, NodeId, NodeId),
    world: &World,
    entropy: &Entropy,
) -> bool {
    matches!(observation, Observation::Message { kind, from, to, .. } if *kind == sent
        && speaks_of(from, by, world, entropy)
        && speaks_of(to, to_whom, world, entropy))
}

/// What can be read off the run's knowledge at any moment: roles, primaries, counts of operations.
pub fn state_matches(observation: &Observation, world: &World, entropy: &Entropy) -> bool {
    match observation {
        Observation::Role { node: selector, is } => world.latest.as_ref().is_some_and(|view| {
            view.answered().any(|(node, report): (NodeId, &NodeReport)| {
                report.replication.role == *is && speaks_of(selector, node, world, entropy)
            })
        }),
        Observation::NoPrimary { shard } => world.primary(*shard).is_some_and(|node| !world.is_live(node)),
        Observation::Operation { client, number } => {
            world.issued.get(&u32::from(*client)).is_some_and(|issued| issued >= number)
        }
        Observation::Log { .. } | Observation::Exit { .. } | Observation::Message { .. } => false,
    }
}
