//! From a spec and a seed to a timeline: the one place where a seed decides anything.
//!
//! [`generate`] is pure. Each purpose has its sub-stream by name (`cluster`, `load`, `events`, ...), so
//! that drawing more for one purpose leaves the others as they were. What a seed leaves out and the events that it
//! draws are one purpose: a sub-stream for each event cost a fifth of the time, and promised nothing, since every
//! event leans on those before it. A spec without `draw`
//! passes through: only its spreads are drawn. With `draw`, `swarm` decides what this seed leaves out, `shape`
//! the cluster and the load, `events` what happens, and `harm` keeps the quorum where the spec asks for it.
//! Only the declared profile of the environment is looked at, never the machine, so that the same words give
//! the same bytes anywhere.

mod events;
mod harm;
mod moments;
mod shape;
mod swarm;

pub use moments::{Cause, MOMENTS, Moment, Speaker};

use super::{Cluster, Event, Start, Timeline, checks_of};
use crate::catalogue::{ACTIONS, Action, ActionInfo, VERSION};
use crate::entropy::{Entropy, GENERATOR, Seed};
use crate::env::Profile;
use crate::spec::{Background, EventSpec, Spec, Spread, StartSpec};
use crate::time::Millis;

/// What the safety phase lasts beyond the last thing that is known to happen in it.
const TAIL: Millis = Millis(3000);
/// The shortest safety phase that nobody wrote down, without its tail.
const LENGTH_MIN: Millis = Millis(5000);
/// The longest safety phase. A whole run may take an hour (`run::request::RUN_TIMEOUT`), and the cluster's start and
/// its settling need some of it.
pub const LENGTH_MAX: Millis = Millis::secs(45 * 60);
/// How long a background goes on where neither it nor the run has a length.
const BACKGROUND: Millis = Millis(20_000);

/// Why a spec gives no timeline.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    #[error("event `{event}`: target `{target}` does not offer `{action}`; it offers {offered}")]
    NotOffered { event: String, action: &'static str, target: String, offered: String },
    #[error(
        "event `{event}`: environment `{profile}` cannot do `{action}`, which needs the ability `{needs}`"
    )]
    Unable { event: String, action: &'static str, needs: &'static str, profile: &'static str },
    #[error(
        "event `{event}`: environment `{profile}` sees no messages, for which it waits; that needs the ability `{needs}`"
    )]
    Blind { event: String, needs: &'static str, profile: &'static str },
    #[error("target `{target}` in environment `{profile}` offers nothing of what is to be drawn")]
    NothingToDraw { target: String, profile: &'static str },
    #[error(
        "the vocabulary names `{0}`, which no seed draws; `fuzz list operations` and `fuzz list faults` say what there is"
    )]
    NotDrawn(String),
    #[error("{0} shards: a cluster has at least one")]
    NoShards(u16),
    #[error(
        "the safety phase would last {0}, and {LENGTH_MAX} is the most, so that a run is over within the hour; let events \
         start earlier or last shorter"
    )]
    TooLong(Millis),
}

/// What a target and an environment offer of the catalogue to a seed that may draw it, in the catalogue's order.
fn offered<'a>(
    target: &'a str,
    profile: &'a Profile,
) -> impl Iterator<Item = (usize, &'static ActionInfo)> + 'a {
    ACTIONS.iter().enumerate().filter(move |(_, info)| {
        info.may_be_drawn() && info.targets.contains(&target) && profile.offers(info.needs)
    })
}

/// The timeline that this seed means.
pub fn generate(spec: &Spec, seed: Seed, target: &str, profile: &Profile) -> Result<Timeline, GenerateError> {
    if spec.cluster.shards.low == 0 {
        return Err(GenerateError::NoShards(spec.cluster.shards.low));
    }
    let root = Entropy::root(seed);
    let mut events = Vec::with_capacity(
        spec.events.len() + spec.draw.as_ref().map_or(0, |draw| usize::from(draw.events.high)),
    );
    for (index, written) in spec.events.iter().enumerate() {
        offers(written, target, profile)?;
        events.push(settle(written, &root, index as u64));
    }
    let cluster = shape::cluster(spec, profile, target, &mut root.child("cluster").rng());
    let load = match &spec.load {
        Some(load) => load.clone(),
        None if spec.draw.is_some() => shape::load(&cluster, target, &mut root.child("load").rng()),
        None => super::Load::default(),
    };

    let mut events_rng = root.child("acts").rng();
    let over = spec.draw.as_ref().map(|draw| draw.over.draw(&mut events_rng));
    let length = spec.length.unwrap_or_else(|| {
        over.unwrap_or_default().saturating_add(TAIL).max(known_length(&events, &spec.backgrounds))
    });
    if length > LENGTH_MAX {
        return Err(GenerateError::TooLong(length));
    }
    for background in &spec.backgrounds {
        for written in background.expand(&root, length) {
            offers(&written, target, profile)?;
            events.push(settle(&written, &root, events.len() as u64));
        }
    }
    for dice in &spec.dice {
        for written in dice.expand(&root) {
            offers(&written, target, profile)?;
            events.push(settle(&written, &root, events.len() as u64));
        }
    }
    if let (Some(draw), Some(over)) = (&spec.draw, over) {
        let swarm = swarm::Swarm::draw(draw, target, profile, &mut events_rng)?;
        let count = events_rng.range(u64::from(draw.events.low), u64::from(draw.events.high)) as usize;
        let plan = events::Plan::new(&cluster, &load, draw, &swarm, (over, length), target, profile);
        events::draw(&plan, &mut events_rng, count, &mut events);
    }

    let (generator, catalogue, profile_label) = match &spec.origin {
        Some(origin) => (origin.generator.clone(), origin.catalogue, origin.profile.clone()),
        None => (GENERATOR.to_owned(), VERSION, profile.label()),
    };
    let checks = spec.checks.clone().unwrap_or_else(|| checks_of(target, &load, &events));
    Ok(Timeline {
        seed,
        generator,
        catalogue,
        profile: profile_label,
        name: spec.name.clone(),
        target: target.to_owned(),
        environment: profile.name.to_owned(),
        cluster,
        load,
        length,
        events,
        checks,
        bugs: spec.bugs.clone(),
        schedule: spec.schedule.clone(),
    })
}

fn offers(written: &EventSpec, target: &str, profile: &Profile) -> Result<(), GenerateError> {
    let info = written.action.info();
    if !info.targets.contains(&target) {
        let offered: Vec<&str> =
            ACTIONS.iter().filter(|info| info.targets.contains(&target)).map(|info| info.name).collect();
        return Err(GenerateError::NotOffered {
            event: written.id.to_string(),
            action: info.name,
            target: target.to_owned(),
            offered: offered.join(", "),
        });
    }
    if let StartSpec::When(seen) = &written.start
        && !profile.offers(seen.needs())
    {
        return Err(GenerateError::Blind {
            event: written.id.to_string(),
            needs: seen.needs().as_str(),
            profile: profile.name,
        });
    }
    let needs = written.action.needs();
    if !profile.offers(needs) {
        return Err(GenerateError::Unable {
            event: written.id.to_string(),
            action: info.name,
            needs: needs.as_str(),
            profile: profile.name,
        });
    }
    Ok(())
}

/// A written event with its spreads drawn, from a sub-stream of its own so that no other event moves it.
fn settle(written: &EventSpec, root: &Entropy, index: u64) -> Event {
    let spreads = [
        match &written.start {
            StartSpec::At(spread) | StartSpec::Forming(spread) => Some(*spread),
            _ => None,
        },
        Some(written.delay),
        written.lasts,
    ];
    let exact = spreads.iter().flatten().all(|spread: &Spread<Millis>| spread.low == spread.high);
    let mut rng = (!exact).then(|| root.child("written").nth(index).rng());
    let mut value = |spread: Spread<Millis>| match &mut rng {
        Some(rng) => spread.draw(rng),
        None => spread.low,
    };
    Event {
        id: written.id.clone(),
        start: match &written.start {
            StartSpec::At(at) => Start::At(value(*at)),
            StartSpec::Forming(at) => Start::Forming(value(*at)),
            StartSpec::After(anchors) => Start::After(anchors.clone()),
            StartSpec::With(anchor) => Start::With(anchor.clone()),
            StartSpec::When(seen) => Start::When(seen.clone()),
        },
        delay: value(written.delay),
        within: written.within,
        action: written.action.clone(),
        lasts: written.lasts.map(value),
    }
}

/// The length of a safety phase that nobody wrote down: until all that has a time has happened, and a tail.
/// What hangs on another event or on an observation is taken to come one after the other, behind the rest.
fn known_length(events: &[Event], backgrounds: &[Background]) -> Millis {
    let (mut timed, mut hanging) = (LENGTH_MIN, Millis(0));
    for event in events {
        let span = event.delay.saturating_add(event.lasts.unwrap_or_default());
        match event.start {
            Start::At(at) | Start::Forming(at) => timed = timed.max(at.saturating_add(span)),
            Start::With(_) | Start::After(_) | Start::When(_) => hanging = hanging.saturating_add(span),
        }
    }
    for background in backgrounds {
        let span =
            background.lasts.map_or(BACKGROUND, |lasts| lasts.high).saturating_add(background.delay.high);
        match background.start {
            StartSpec::At(at) | StartSpec::Forming(at) => timed = timed.max(at.high.saturating_add(span)),
            StartSpec::With(_) | StartSpec::After(_) | StartSpec::When(_) => {
                hanging = hanging.saturating_add(span);
            }
        }
    }
    timed.saturating_add(hanging).saturating_add(TAIL)
}

/// The shard that an action names.
fn shard_of(action: &Action, cluster: &Cluster) -> Option<u16> {
    use crate::catalogue::NodeSelector;
    let selector = |node: &NodeSelector| match node {
        NodeSelector::Node(number) => Some(number / (1 + cluster.replicas)),
        other => other.shard(),
    };
    match action {
        Action::Failover(a) => a.shard.or_else(|| a.of.as_ref().and_then(selector)),
        Action::AddReplica(a) => Some(a.shard),
        Action::RemoveReplica(a) => Some(a.shard),
        Action::Reshard(a) => Some(a.from),
        Action::Drain(a) => Some(a.shard),
        Action::ScaleIn(a) => Some(a.shard),
        Action::Burst(a) => Some(a.shard),
        // What follows strikes where the newcomer is.
        Action::MoveReplica(a) => Some(a.to),
        Action::BumpEpoch(a) => Some(a.shard),
        _ => super::anchors::node_of(action).and_then(selector),
    }
}
