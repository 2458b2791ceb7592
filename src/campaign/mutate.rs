//! A timeline changed a little. What is put in comes from other timelines: those of new seeds for a cluster of the same
//! shape, and those of the corpus. Whether the result is a timeline at all is for its reader to say
//! ([`Timeline::reread`](crate::timeline::Timeline::reread)).

use super::Entry;
use crate::catalogue::{Ability, EventId, MessageType, NodeSelector};
use crate::entropy::{Rng, Seed};
use crate::env::{EXACT, Profile, SIM};
use crate::spec::{Spec, Spread};
use crate::time::Millis;
use crate::timeline::{Event, Observation, Role, Start, Timeline, WITHIN_DEFAULT, generate};
use std::borrow::Cow;
use std::collections::BTreeSet;

crate::word! {
    /// A way to change a timeline.
    pub enum Change {
        /// An event more, of another timeline.
        Insert = "insert",
        /// An event happens once more, later.
        Repeat = "repeat",
        /// An event less.
        Delete = "delete",
        /// An event begins at another time.
        Shift = "shift",
        /// An event does the same with other parameters: on another node, by another amount.
        Retarget = "retarget",
        /// An event lasts longer or shorter.
        Lasts = "lasts",
        /// An event waits for something else.
        Anchor = "anchor",
        /// What comes late in another timeline of the same shape comes late here.
        Splice = "splice",
        /// The servers have the settings of another timeline.
        Settings = "settings",
        /// The clients load the cluster as in another timeline.
        Load = "load",
        /// The simulated world draws other interleavings.
        Interleaving = "interleaving",
    }
}

/// What changes are made of.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    pub spec: &'a Spec,
    pub profile: &'static Profile,
    pub entries: &'a [Entry],
    /// Lines of logs that were seen.
    pub lines: &'a BTreeSet<String>,
    /// Kinds of messages that were.
    pub sent: &'a BTreeSet<MessageType>,
}

/// Beyond this many events nothing is put in: a run should end.
const EVENTS_MAX: usize = 40;
/// How many new timelines are looked at for an event of the same name.
const DONORS: u32 = 6;
/// How often each way is taken, in the order of [`Change::ALL`].
const WEIGHTS: [u64; 11] = [10, 4, 2, 3, 4, 2, 4, 3, 2, 2, 3];

/// Changes a timeline in one way; `None` when that way leads nowhere here.
pub fn change(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<Change> {
    let way = Change::ALL[rng.weighted(&WEIGHTS)?];
    match way {
        Change::Insert => insert(timeline, pool, rng),
        Change::Repeat => repeat(timeline, rng),
        Change::Delete => delete(timeline, rng),
        Change::Shift => shift(timeline, rng),
        Change::Retarget => retarget(timeline, pool, rng),
        Change::Lasts => lasts(timeline, rng),
        Change::Anchor => anchor(timeline, pool, rng),
        Change::Splice => splice(timeline, pool, rng),
        Change::Settings => {
            let donor = donor(timeline, pool, rng)?;
            (timeline.cluster.settings != donor.cluster.settings)
                .then(|| timeline.cluster.settings = donor.cluster.settings)
        }
        Change::Load => {
            let donor = donor(timeline, pool, rng)?;
            (timeline.load != donor.load).then(|| timeline.load = donor.load)
        }
        Change::Interleaving => return interleave(timeline, pool, rng),
    }?;
    Some(way)
}

/// Lets the simulated world choose anew, where there is one.
pub fn interleave(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<Change> {
    let simulated = [EXACT.name, SIM.name].contains(&pool.profile.name);
    simulated.then(|| timeline.schedule.key = Some(rng.below(1 << 20)))?;
    Some(Change::Interleaving)
}

/// A timeline of a new seed for the same cluster.
fn donor(timeline: &Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<Timeline> {
    let mut spec = pool.spec.clone();
    spec.cluster.shards = Spread::exactly(timeline.cluster.shards);
    spec.cluster.replicas = Spread::exactly(timeline.cluster.replicas);
    generate(&spec, Seed(rng.next_u64()), &timeline.target, pool.profile).ok()
}

fn some<'a>(timeline: &'a Timeline, rng: &mut Rng) -> Option<&'a Event> {
    (!timeline.events.is_empty()).then(|| rng.pick(&timeline.events))
}

fn some_mut<'a>(timeline: &'a mut Timeline, rng: &mut Rng) -> Option<&'a mut Event> {
    let at = rng.below(timeline.events.len().max(1) as u64) as usize;
    timeline.events.get_mut(at)
}

/// A name that no event has.
fn free(timeline: &Timeline) -> EventId {
    let name = |number: usize| Cow::Owned(format!("m{number:02}"));
    let mut names = (1..=timeline.events.len() + 1).map(name);
    names.find(|name: &EventId| timeline.event(name).is_none()).expect("there are more names than events")
}

/// Puts an event in: what it would hang on is not here, so that it begins at a time of its own then.
fn add(timeline: &mut Timeline, mut event: Event, rng: &mut Rng) -> Option<()> {
    if timeline.events.len() >= EVENTS_MAX {
        return None;
    }
    let here = |id: &EventId| timeline.event(id).is_some();
    if !event.anchors().iter().all(here) {
        event.start = Start::At(Millis(rng.below(timeline.length.0.max(1))));
        event.within = None;
    }
    let mut lost = false;
    event.for_each_node(|node| lost |= matches!(node, NodeSelector::SameAs(id) if !here(id)));
    if lost {
        return None;
    }
    event.id = free(timeline);
    timeline.events.push(event);
    Some(())
}

fn insert(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<()> {
    let donor = donor(timeline, pool, rng)?;
    let event = some(&donor, rng)?.clone();
    add(timeline, event, rng)
}

fn repeat(timeline: &mut Timeline, rng: &mut Rng) -> Option<()> {
    let mut again = some(timeline, rng)?.clone();
    again.start = Start::After(vec![again.id.clone()]);
    again.within = None;
    again.delay = Millis(rng.below(timeline.length.0 / 2 + 1));
    // What never ends has nothing after it.
    if again.action.info().lasting && again.lasts.is_none() {
        return None;
    }
    add(timeline, again, rng)
}

fn delete(timeline: &mut Timeline, rng: &mut Rng) -> Option<()> {
    let id = some(timeline, rng)?.id.clone();
    *timeline = timeline.without(&id);
    Some(())
}

fn shift(timeline: &mut Timeline, rng: &mut Rng) -> Option<()> {
    let length = timeline.length.0.max(4);
    let event = some_mut(timeline, rng)?;
    if let Start::At(at) | Start::Forming(at) = &mut event.start {
        let by = rng.below(length / 2);
        *at = Millis((at.0 + by).saturating_sub(length / 4).min(length - 1));
    } else {
        let by = [0, 5, 50, 500, 5_000][rng.below(5) as usize];
        event.delay = Millis(rng.below(by + 1));
    }
    Some(())
}

fn retarget(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<()> {
    let (id, name) = some(timeline, rng).map(|event| (event.id.clone(), event.action.name()))?;
    for _ in 0..DONORS {
        let donor = donor(timeline, pool, rng)?;
        let Some(mut same) = donor.events.into_iter().find(|event| event.action.name() == name) else {
            continue;
        };
        let mut lost = false;
        same.for_each_node(|node| {
            lost |= matches!(node, NodeSelector::SameAs(id) if timeline.event(id).is_none());
        });
        if lost {
            continue;
        }
        let event = timeline.events.iter_mut().find(|event| event.id == id)?;
        event.action = same.action;
        return Some(());
    }
    None
}

fn lasts(timeline: &mut Timeline, rng: &mut Rng) -> Option<()> {
    let node_timeout = timeline.cluster.node_timeout().0;
    let event = some_mut(timeline, rng)?;
    let lasts = event.lasts.as_mut()?;
    *lasts = Millis(match rng.below(4) {
        0 => lasts.0 / 2,
        1 => lasts.0 * 2,
        // Around the time after which a node is taken for failed.
        _ => rng.range(node_timeout / 2, node_timeout * 3),
    })
    .min(Millis::secs(60));
    Some(())
}

fn anchor(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<()> {
    let lines: Vec<&String> = pool.lines.iter().collect();
    let ids: Vec<EventId> = timeline.events.iter().map(|event| event.id.clone()).collect();
    let sees_messages = pool.profile.offers(Ability::Message);
    let at = rng.below(timeline.events.len().max(1) as u64) as usize;
    let id = timeline.events.get(at)?.id.clone();
    let nodes = u64::from(timeline.cluster.nodes());
    let start = match rng.below(6) {
        0 if ids.len() > 1 => {
            let other = rng.pick(&ids).clone();
            if other == id || hangs_on(timeline, &other, &id) {
                return None;
            }
            if rng.ratio(1, 2) { Start::With(other) } else { Start::After(vec![other]) }
        }
        1 if sees_messages => {
            let sent: Vec<MessageType> = pool.sent.iter().copied().collect();
            let (kind, nth) = (*rng.pick(&sent), rng.range(1, 4));
            let (from, to) = (rng.below(nodes) as u16, rng.below(nodes) as u16);
            if from == to {
                return None;
            }
            let (from, to) = (NodeSelector::Node(from), NodeSelector::Node(to));
            Start::When(Observation::Message { kind, from, to, nth })
        }
        2 => Start::When(match rng.below(3) {
            0 => {
                let node = NodeSelector::Node(rng.below(nodes) as u16);
                let is = if rng.ratio(1, 2) { Role::Primary } else { Role::Replica };
                Observation::Role { node, is }
            }
            1 => Observation::NoPrimary { shard: rng.below(u64::from(timeline.cluster.shards)) as u16 },
            _ => Observation::Exit { node: NodeSelector::Node(rng.below(nodes) as u16) },
        }),
        3 => {
            let clients = u64::from(timeline.load.clients.max(1));
            // As many as a client has in some seconds.
            let number = rng.range(1, 1 + u64::from(timeline.load.rate.0) * 4 / clients);
            Start::When(Observation::Operation { client: rng.below(clients) as u16, number })
        }
        _ if !lines.is_empty() => {
            let has = Cow::Owned((*rng.pick(&lines)).clone());
            let node =
                if rng.ratio(1, 2) { NodeSelector::Any } else { NodeSelector::Node(rng.below(nodes) as u16) };
            Start::When(Observation::Log { node, has })
        }
        _ => return None,
    };
    let length = timeline.length;
    let event = &mut timeline.events[at];
    event.within = matches!(start, Start::When(_)).then_some(length.min(WITHIN_DEFAULT));
    event.start = start;
    event.delay = Millis([0, 0, 10, 100, 1_000][rng.below(5) as usize]);
    Some(())
}

/// Whether an event waits, directly or not, for another.
fn hangs_on(timeline: &Timeline, event: &EventId, other: &EventId) -> bool {
    let mut open = vec![event.clone()];
    let mut seen = BTreeSet::new();
    while let Some(next) = open.pop() {
        if next == *other {
            return true;
        }
        if seen.insert(next.clone())
            && let Some(event) = timeline.event(&next)
        {
            open.extend(event.anchors().iter().cloned());
        }
    }
    false
}

fn splice(timeline: &mut Timeline, pool: &Pool<'_>, rng: &mut Rng) -> Option<()> {
    let shape = |one: &Timeline| (one.cluster.shards, one.cluster.replicas);
    let same: Vec<&Timeline> = pool.entries.iter().map(|entry| &entry.timeline).collect();
    let same: Vec<&Timeline> = same.into_iter().filter(|one| shape(one) == shape(timeline)).collect();
    let other = if same.is_empty() { donor(timeline, pool, rng)? } else { (*rng.pick(&same)).clone() };
    let from = Millis(rng.below(timeline.length.0.max(1)));
    let is_late = |event: &&Event| matches!(event.start, Start::At(at) if at >= from);
    let late: Vec<Event> = other.events.iter().filter(is_late).cloned().collect();
    let gone: Vec<EventId> = timeline.events.iter().filter(is_late).map(|event| event.id.clone()).collect();
    if late.is_empty() {
        return None;
    }
    *timeline = gone.iter().fold(timeline.clone(), |less, id| less.without(id));
    for event in late {
        add(timeline, event, rng);
    }
    Some(())
}
