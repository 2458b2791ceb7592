//! The events of a drawn timeline. They come one after the other from one sub-stream, and each looks back at the
//! events before it alone.
//!
//! The shapes are those in which clustered systems break, whatever the bug: most events fall on one or two shards,
//! half hang on another event or on something seen rather than on the clock, some come within a second or in the
//! same millisecond, an operation is followed by a fault in its middle, an administrative command by a restart
//! with stale state.

use super::Profile;
use super::harm::{Ledger, MAY_HARM};
use super::moments::{Cause, MOMENTS, Speaker};
use super::shape::first_node;
use super::shard_of;
use super::swarm::Swarm;
use crate::catalogue::{ACTIONS, Ability, Action, ActionKind, DrawContext, EventId, NodeSelector};
use crate::entropy::{Rng, Weights};
use crate::fault::kill::Kill;
use crate::fault::pause::Pause;
use crate::fault::restart::{Restart, RestartData};
use crate::spec::Draw;
use crate::target;
use crate::time::Millis;
use crate::timeline::{Cluster, Event, Formation, Load, Observation, Role, Start};

/// How an event is tried: as it comes; behind the last harm, where it would take too many down at once; and
/// as something that takes nobody down. If none fits, the timeline has an event less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    AsItComes,
    BehindTheLast,
    Harmless,
}
const TRIES: [Try; 3] = [Try::AsItComes, Try::BehindTheLast, Try::Harmless];

/// The cluster is left alone for this long after it became healthy, so that there is data to lose.
const QUIET_MS: u64 = 300;

/// All that the drawing of events looks at.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub cluster: &'a Cluster,
    pub swarm: &'a Swarm,
    /// The time over which the events are spread, and the whole of the safety phase.
    pub over: Millis,
    pub length: Millis,
    pub target: &'a str,
    /// Whether a node can lose its power here.
    power: bool,
    /// The weights of this seed, of its faults alone, and of what takes nobody down.
    weights: Weights<{ ACTIONS.len() }>,
    faults: Weights<{ ACTIONS.len() }>,
    harmless: Weights<{ ACTIONS.len() }>,
    /// Which of those by which a cluster can be struck while it forms are on: kill, pause, restart.
    forming: [bool; 3],
    node_timeout: u64,
    keep_quorum: bool,
    /// Operations that one client issues in the time over which the events are spread.
    operations: u64,
}

impl<'a> Plan<'a> {
    pub fn new(
        cluster: &'a Cluster,
        load: &Load,
        draw: &'a Draw,
        swarm: &'a Swarm,
        (over, length): (Millis, Millis),
        target: &'a str,
        profile: &Profile,
    ) -> Self {
        let mut harmless = swarm.weights;
        for (weight, harms) in harmless.iter_mut().zip(*MAY_HARM) {
            *weight *= u64::from(!harms);
        }
        // Without replicas every node is the last of its shard.
        let keep_quorum = draw.keep_quorum || (swarm.keep_quorum && cluster.replicas > 0);
        let nobody = keep_quorum && cluster.replicas == 0;
        let weights = if nobody { harmless } else { swarm.weights };
        let mut faults = weights;
        for (weight, info) in faults.iter_mut().zip(ACTIONS) {
            if info.kind != ActionKind::Fault {
                *weight = 0;
            }
        }
        if faults.iter().all(|weight| *weight == 0) {
            faults = weights;
        }
        let on = |name: &str| ACTIONS.iter().zip(weights).any(|(info, w)| info.name == name && w > 0);
        let forming = if cluster.formation == Formation::Meet {
            [Kill::NAME, Pause::NAME, Restart::NAME].map(on)
        } else {
            [false; 3]
        };
        let node_timeout = cluster.node_timeout().0.max(1);
        let operations = u64::from(load.rate.0) * over.0 / 1000 / u64::from(load.clients.max(1));
        Self {
            cluster,
            swarm,
            over,
            length,
            target,
            power: profile.offers(Ability::Power),
            weights: Weights::new(&weights),
            faults: Weights::new(&faults),
            harmless: Weights::new(&harmless),
            forming,
            node_timeout,
            keep_quorum,
            operations,
        }
    }
}

/// The position of the event that a drawn one hangs on, if it hangs on an event.
struct Anchor(Option<usize>);

/// What the next event may lean on.
struct Past<'a> {
    ledger: Ledger<'a>,
    focus: [u16; 2],
    last_shard: Option<u16>,
    /// The clock time of the last event that had one.
    last_at: u64,
    /// Shards in which something was drawn that makes a kind of log line likely, the latest last.
    causes: Vec<(Cause, u16)>,
    /// The last event asks for a fault that follows it.
    follow: bool,
}

/// Appends up to `count` events to those that were written.
pub(super) fn draw(plan: &Plan<'_>, rng: &mut Rng, count: usize, events: &mut Vec<Event>) {
    let shards = u64::from(plan.cluster.shards);
    let mut past = Past {
        ledger: Ledger::new(plan.cluster, plan.keep_quorum, events.len() + count),
        focus: [rng.below(shards) as u16, rng.below(shards) as u16],
        last_shard: None,
        last_at: QUIET_MS,
        causes: Vec::with_capacity(16),
        follow: false,
    };
    let forming = plan.cluster.formation == Formation::Meet && rng.ratio(1, 2);
    let written = events.len();
    for index in 0..written {
        past.ledger.enter(&events[index], &events[..index]);
    }
    let mut number = 0;
    for index in 0..count {
        for tried in TRIES {
            let drawn = if forming && index < 2 {
                strike_formation(plan, &past, rng).map(|event| {
                    events.push(event);
                    Anchor(None)
                })
            } else {
                one(plan, &past, rng, (index, count), tried, events)
            };
            let (Some(Anchor(anchor)), Some((event, earlier))) = (drawn, events.split_last_mut()) else {
                continue;
            };
            if past.ledger.admit(event, anchor, earlier) {
                event.id = free_id(&mut number, &earlier[..written]);
                past.remember(plan, event, rng);
                break;
            }
            events.pop();
        }
    }
}

/// The next of `e01`, `e02`, ... that no written event has.
fn free_id(number: &mut usize, written: &[Event]) -> EventId {
    loop {
        *number += 1;
        let id = drawn_id(*number);
        if written.iter().all(|event| event.id != id) {
            return id;
        }
    }
}

/// Without allocating for the first hundred, so that a drawn timeline holds hardly a heap string.
fn drawn_id(number: usize) -> EventId {
    const DIGITS: [u8; 300] = {
        let mut text = [b'e'; 300];
        let mut number = 0;
        while number < 100 {
            text[3 * number + 1] = b'0' + (number / 10) as u8;
            text[3 * number + 2] = b'0' + (number % 10) as u8;
            number += 1;
        }
        text
    };
    const IDS: &str = match str::from_utf8(&DIGITS) {
        Ok(text) => text,
        Err(_) => panic!("letters and digits"),
    };
    match IDS.get(3 * number..3 * number + 3) {
        Some(id) => id.into(),
        None => format!("e{number}").into(),
    }
}

/// Appends an event by the clock, by another event, or by an observation; its name is given later.
fn one(
    plan: &Plan<'_>,
    past: &Past<'_>,
    rng: &mut Rng,
    (index, count): (usize, usize),
    tried: Try,
    events: &mut Vec<Event>,
) -> Option<Anchor> {
    let earlier = events.as_slice();
    let follow = past.follow && !earlier.is_empty() && tried == Try::AsItComes;
    let mut position = None;
    let (start, delay, shard) = if tried == Try::BehindTheLast {
        // One whose harm clears only after the run would never be followed.
        let (last, clear) = past.ledger.last_harm().filter(|(_, clear)| *clear < plan.over)?;
        position = Some(last);
        let start = Start::After(vec![earlier[last].id.clone()]);
        (start, clear.saturating_add(short(rng)), past.last_shard)
    } else if follow {
        position = Some(earlier.len() - 1);
        (Start::With(earlier.last()?.id.clone()), short(rng), past.last_shard)
    } else if !earlier.is_empty() && rng.ratio(plan.swarm.anchored, 10) {
        if rng.ratio(plan.swarm.observing, 10) {
            let (seen, shard) = observation(plan, past, rng)?;
            (Start::When(seen), if rng.ratio(1, 2) { Millis(0) } else { short(rng) }, shard)
        } else {
            // Mostly the last event, sometimes any of those before.
            let number = earlier.len();
            let chosen = if rng.ratio(2, 3) { number - 1 } else { rng.below(number as u64) as usize };
            position = Some(chosen);
            let anchor = &earlier[chosen];
            let shard = shard_of(&anchor.action, plan.cluster);
            // What holds to the end has no end to wait for.
            let endless = anchor.action.info().lasting && anchor.lasts.is_none();
            if endless || rng.ratio(1, 2) {
                (Start::With(anchor.id.clone()), short(rng), shard)
            } else {
                (Start::After(vec![anchor.id.clone()]), short(rng), shard)
            }
        }
    } else {
        (Start::At(clock(plan, past, rng, index, count)), Millis(0), past.last_shard)
    };

    let anchor = match &start {
        Start::With(anchor) => Some(anchor),
        Start::After(anchors) => anchors.last(),
        _ => None,
    };
    let stale = follow && earlier.last().is_some_and(|last| last.action.info().kind == ActionKind::Operation);
    // What follows an operation strikes where that happens.
    let there = shard.filter(|_| follow && !target::consensus(plan.target)).map(|shard| [shard]);
    let mut context = DrawContext {
        rng,
        shards: plan.cluster.shards,
        replicas: plan.cluster.replicas,
        focus: there.as_ref().map_or(past.focus.as_slice(), <[u16; 1]>::as_slice),
        last_shard: shard,
        duration: plan.over,
        anchor,
        consensus: target::consensus(plan.target),
        power: plan.power,
    };
    let weights = match tried {
        Try::Harmless => &plan.harmless,
        _ if follow => &plan.faults,
        _ => &plan.weights,
    };
    let mut action = Action::draw_at(context.rng.weighed(weights)?, &mut context)?;
    if stale
        && !context.consensus
        && let Action::Restart(restart) = &mut action
        && context.rng.ratio(1, 2)
    {
        // What was changed a moment ago is missing from the copy.
        restart.data = RestartData::Older;
    }
    let lasts = lasts(plan, &action, rng);
    let within = matches!(start, Start::When(_)).then_some(plan.length);
    events.push(Event { id: EventId::default(), start, delay, within, action, lasts });
    Some(Anchor(position))
}

/// Over the whole time in order, so that a timeline reads from top to bottom, or in a burst with the last.
fn clock(plan: &Plan<'_>, past: &Past<'_>, rng: &mut Rng, index: usize, count: usize) -> Millis {
    let over = plan.over.0.max(QUIET_MS + 1);
    if index > 0 && rng.ratio(plan.swarm.bursts, 10) {
        let gap = if rng.ratio(1, 3) { 0 } else { rng.below(1000) };
        return Millis((past.last_at + gap).min(over));
    }
    let slice = (over - QUIET_MS) / count as u64 + 1;
    let from = QUIET_MS + (over - QUIET_MS) * index as u64 / count as u64;
    Millis((from + rng.below(2 * slice)).min(over))
}

/// At once, within an instant, or within the time that an election or a step of a migration takes.
fn short(rng: &mut Rng) -> Millis {
    Millis(match rng.below(4) {
        0 => 0,
        1 => rng.below(50),
        2 => rng.below(500),
        _ => rng.below(2500),
    })
}

/// How long a fault holds: an instant, about as long as the node timeout, long, or on real servers so long that its
/// shard can lose the successor as well before it is over. Without an end only where the seed lets nodes die.
fn lasts(plan: &Plan<'_>, action: &Action, rng: &mut Rng) -> Option<Millis> {
    if !action.info().lasting {
        return None;
    }
    let consensus = target::consensus(plan.target);
    if plan.swarm.deaths && matches!(action, Action::Kill(_)) && rng.ratio(1, if consensus { 4 } else { 2 }) {
        return None;
    }
    let timeout = plan.node_timeout;
    if !consensus && rng.ratio(1, 8) {
        return Some(Millis(rng.range(timeout * 5, timeout * 15)));
    }
    Some(Millis(match rng.below(4) {
        0 => rng.range(20, 500),
        1 | 2 => rng.range(timeout / 2 + 1, timeout * 3),
        _ => rng.range(timeout * 2, timeout * 6),
    }))
}

/// Something that the events so far make likely to be seen, with the shard it is seen in.
fn observation(plan: &Plan<'_>, past: &Past<'_>, rng: &mut Rng) -> Option<(Observation, Option<u16>)> {
    if !past.causes.is_empty() && rng.ratio(3, 4) {
        // The latest cause twice as often as any other.
        let (cause, shard) = if rng.ratio(1, 2) { *past.causes.last()? } else { *rng.pick(&past.causes) };
        let seen = match cause {
            Cause::Death if rng.ratio(1, 2) => Some(Observation::NoPrimary { shard }),
            Cause::Death => Some(Observation::Exit { node: NodeSelector::Primary(shard) }),
            Cause::Election if rng.ratio(1, 3) => {
                Some(Observation::Role { node: first_node(plan.cluster, shard, 1), is: Role::Primary })
            }
            _ => None,
        };
        if let Some(seen) = seen {
            return Some((seen, Some(shard)));
        }
        let fits = |moment: &&super::Moment| moment.cause == cause && moment.targets.contains(&plan.target);
        let count = MOMENTS.iter().filter(fits).count();
        let moment = MOMENTS.iter().filter(fits).nth(rng.below(count as u64) as usize)?;
        // The nodes that began as the shard's: who of them is primary by then is not known, and need not be.
        let node = match moment.speaker {
            Speaker::Replica | Speaker::Primary if rng.ratio(1, 2) => {
                let member = u16::from(moment.speaker == Speaker::Replica);
                first_node(plan.cluster, shard, member.min(plan.cluster.replicas))
            }
            _ => NodeSelector::Any,
        };
        return Some((Observation::Log { node, has: moment.has.into() }, Some(shard)));
    }
    // The load never rests, so a client comes to its n-th operation, unless the cluster keeps it waiting.
    let number = rng.range(1, (plan.operations * 3 / 4).max(1));
    Some((Observation::Operation { client: 0, number }, None))
}

/// A fault while the cluster forms: there are no roles yet, so nodes are named by number, and all of them come
/// back, or the cluster would never be healthy.
fn strike_formation(plan: &Plan<'_>, past: &Past<'_>, rng: &mut Rng) -> Option<Event> {
    let node = first_node(
        plan.cluster,
        *rng.pick(&past.focus),
        rng.below(1 + u64::from(plan.cluster.replicas)) as u16,
    );
    let lasts = Millis(rng.range(50, 1500));
    let at = Millis(rng.below(2000));
    let kill = crate::fault::kill::Signal::Kill;
    let (action, lasts) = match rng.weighted(&plan.forming.map(u64::from))? {
        0 => (Action::Kill(Kill { node, signal: kill, spare_shard: false, spare_dead: false }), Some(lasts)),
        1 => (Action::Pause(Pause { node }), Some(lasts)),
        _ => (
            Action::Restart(Restart {
                node,
                data: RestartData::Kept,
                signal: kill,
                down: Millis(lasts.0 / 4),
                gone: Millis(0),
                from: None,
            }),
            None,
        ),
    };
    Some(Event {
        id: EventId::default(),
        start: Start::Forming(at),
        delay: Millis(0),
        within: None,
        action,
        lasts,
    })
}

impl Past<'_> {
    fn remember(&mut self, plan: &Plan<'_>, event: &Event, rng: &mut Rng) {
        if let Start::At(at) = event.start {
            self.last_at = at.0;
        }
        let shard = shard_of(&event.action, plan.cluster);
        self.last_shard = shard.or(self.last_shard);
        let operation = event.action.info().kind == ActionKind::Operation;
        self.follow = operation && rng.ratio(plan.swarm.followed, 10);
        let Some(shard) = shard.filter(|_| plan.cluster.replicas > 0) else { return };
        let primary = |node: &NodeSelector| !matches!(node, NodeSelector::Replica(..));
        match &event.action {
            Action::Kill(Kill { node, .. }) | Action::Pause(Pause { node }) if primary(node) => {
                self.causes.push((Cause::Election, shard));
            }
            Action::Cut(cut) if primary(&cut.node) => self.causes.push((Cause::Election, shard)),
            Action::Failover(_) => self.causes.push((Cause::Manual, shard)),
            _ => {}
        }
        if matches!(
            event.action,
            Action::Kill(_) | Action::Restart(_) | Action::AddReplica(_) | Action::MoveReplica(_)
        ) {
            self.causes.push((Cause::Resync, shard));
        }
        if let Action::Kill(Kill { node, .. }) | Action::Restart(Restart { node, .. }) = &event.action
            && primary(node)
        {
            self.causes.push((Cause::Death, shard));
        }
    }
}
