//! What faults of links, those that come and go, flipped bits and lost files need beside their fields' types: shares of a thousand,
//! bursts that can be had, rhythms that have a beat, distributions of something, bits that a byte has.

use super::events::{Act, Events};
use super::order::{is_one, span_of};
use super::parts::get;
use crate::catalogue::{Action, NodeSelector};
use crate::fault::bit_flip::BitFlip;
use crate::fault::cut::Cut;
use crate::fault::resolve_fails::ResolveBlow;
use crate::fault::restart::{Restart, RestartData};
use crate::fault::slow::Slow;
use crate::fault::slow_disk::RATE_MAX;
use crate::fault::strike_link::{LinkBlow, LinkPoint, StrikeLink};
use crate::fault::traffic::Traffic;
use crate::time::Millis;
use crate::yaml::document::Problems;

/// What is wrong in a field: its name, its value, why, and the way to mend it.
type Wrong = (&'static str, String, String, String);

/// The largest mean length of a burst, and the shortest half of a rhythm's turn.
const BURST_MAX: u16 = 1000;
const BEAT_MIN: Millis = Millis(10);
/// The longest that a packet may be on its way: beyond it every server's timers have long given up.
const DELAY_MAX: Millis = Millis(60_000);
/// Busy threads on one core.
const HOGS_MAX: u16 = 64;

pub(super) fn parameters(act: &Act<'_>, problems: &mut Problems) {
    if let Action::HalfOpen(fault) = &act.action
        && let Some(span) = act.lasts.filter(|_| !fault.silent)
    {
        let message = format!("{}: connections are lost at once, so `for` has no meaning", act.path);
        problems
            .error(Some(span), &act.path, "for", message)
            .hint("leave it out, or write `silent: true`: then the other ends hear nothing for so long");
    }
    for (field, value, message, hint) in wrong(&act.action) {
        let place = act.fields.and_then(|fields| get(fields, field));
        let span = place.map_or(act.span, |(_, node)| node.span);
        problems.error(Some(span), &act.path, &value, format!("{}: {message}", act.path)).hint(hint);
    }
}

fn wrong(action: &Action) -> Vec<Wrong> {
    match action {
        Action::Lossy(lossy) => {
            let shares = [("lose", lossy.lose), ("duplicate", lossy.duplicate), ("reorder", lossy.reorder)];
            let nothing = shares.iter().all(|(_, value)| *value == 0);
            let mut wrong: Vec<Wrong> =
                shares.into_iter().filter_map(|(name, value)| share(name, value)).collect();
            let hint = "leave `lose` out for 100 of a thousand";
            let idle =
                ("lose", "0".into(), "nothing would be lost, duplicated or overtaken".into(), hint.into());
            wrong.extend(nothing.then_some(idle));
            wrong.extend(lossy.burst.and_then(|burst| bursts(lossy.lose, burst)));
            wrong
        }
        Action::Corrupt(fault) => some("share", fault.share).into_iter().collect(),
        Action::Garble(fault) => some("share", fault.share).into_iter().collect(),
        Action::Cut(Cut { node, from, .. }) => itself("from", node, from.as_ref()),
        Action::Flap(flap) if flap.from.as_ref() == Some(&flap.node) => {
            itself("from", &flap.node, flap.from.as_ref())
        }
        Action::Slow(slow) if slow.delay.is_zero() && slow.jitter.is_zero() => {
            let hint = "leave `delay` out for 100ms, or give a `jitter`";
            vec![("delay", slow.delay.to_string(), "nothing would be slow".into(), hint.into())]
        }
        Action::Slow(slow) if slow.delay > DELAY_MAX || slow.jitter > DELAY_MAX => {
            [("delay", slow.delay), ("jitter", slow.jitter)].into_iter().filter_map(too_long).collect()
        }
        Action::Throttle(fault) if fault.rate == 0 => vec![(
            "rate",
            "0".into(),
            "nothing at all would pass".into(),
            "write `cut` for that, or a rate of at least 1, in thousand bytes a second".into(),
        )],
        Action::Slow(slow) if !slow.distribution.is_uniform() && slow.jitter.is_zero() => vec![(
            "distribution",
            slow.distribution.to_string(),
            "without `jitter` there is nothing that could be spread".into(),
            "say how far, for instance `jitter: 20ms`".into(),
        )],
        Action::Reset(reset) if reset.clients && reset.traffic == Traffic::Bus => vec![(
            "clients",
            "true".into(),
            "clients have no connection of class `bus`".into(),
            "leave `clients` out, or write `traffic: all`".into(),
        )],
        Action::StrikeLink(fault) => strikes(fault),
        Action::SlowClose(fault) if fault.delay.is_zero() => {
            let hint = "leave it out for 2s";
            vec![("delay", fault.delay.to_string(), "nothing would be slow".into(), hint.into())]
        }
        Action::SlowClose(fault) => too_long(("delay", fault.delay)).into_iter().collect(),
        Action::CpuLimit(fault) if fault.share.0 == 0 => vec![(
            "share",
            fault.share.to_string(),
            "it would have no time at all".into(),
            "write `pause` for that, or a share of at least 1%".into(),
        )],
        Action::CpuHog(fault) if !(1..=HOGS_MAX).contains(&fault.threads) => vec![(
            "threads",
            fault.threads.to_string(),
            format!("expected 1 to {HOGS_MAX} busy threads"),
            "a node with one busy thread has a quarter of its core beside `threads: 3`".into(),
        )],
        Action::ClockStrobe(fault) => beats([("every", fault.every)]),
        Action::BitFlip(flip) => flipped(flip),
        Action::Restart(restart)
            if !restart.gone.is_zero()
                && !matches!(restart.data, RestartData::Empty | RestartData::Wiped) =>
        {
            vec![(
                "gone",
                restart.gone.to_string(),
                format!("no file is gone where it comes back with its data {}", restart.data),
                "write `data: wiped`, or `data: empty` to leave it its `nodes.conf`".into(),
            )]
        }
        Action::ResolveFails(fault) if fault.how == ResolveBlow::Late && fault.delay.is_zero() => vec![(
            "delay",
            fault.delay.to_string(),
            "nothing would be late".into(),
            "leave it out for 2s".into(),
        )],
        Action::ResolveFails(fault) => too_long(("delay", fault.delay)).into_iter().collect(),
        Action::Restart(restart) => foreign(restart),
        Action::SlowDisk(slow) if slow.rate > RATE_MAX => vec![(
            "rate",
            slow.rate.to_string(),
            "a disk so wide could not be told from one without a limit".into(),
            format!("at most {RATE_MAX}, in thousand bytes a second"),
        )],
        Action::SlowDisk(slow) if slow.delay.is_zero() && slow.read.is_zero() && slow.rate == 0 => vec![(
            "delay",
            slow.delay.to_string(),
            "nothing would be slow".into(),
            "leave `delay` out for 20ms, or give a `read` or a `rate`".into(),
        )],
        Action::Flap(flap) => beats([("down", flap.down), ("up", flap.up)]),
        Action::Stutter(stutter) => beats([("stop", stutter.stop), ("run", stutter.run)]),
        _ => Vec::new(),
    }
}

/// Whose data a node finds.
fn foreign(restart: &Restart) -> Vec<Wrong> {
    let Restart { node, data, from, .. } = restart;
    match (data, from) {
        (RestartData::Foreign, None) => {
            vec![("data", data.to_string(), "whose data?".into(), "add for instance `from: node-1`".into())]
        }
        (RestartData::Foreign, Some(from)) if from == node && is_one(node) && *node != NodeSelector::All => {
            vec![(
                "from",
                from.to_string(),
                "these data are its own".into(),
                "name another node, or write `data: kept`".into(),
            )]
        }
        (RestartData::Foreign, Some(_)) => Vec::new(),
        (_, Some(from)) => vec![(
            "from",
            from.to_string(),
            format!("it comes back with its own data {data}"),
            "leave it out, or write `data: foreign`".into(),
        )],
        _ => Vec::new(),
    }
}

/// The n-th of what, and what can be done to it.
fn strikes(fault: &StrikeLink) -> Vec<Wrong> {
    let StrikeLink { at, message, nth, how, delay, traffic, .. } = fault;
    let is_message = *at == LinkPoint::Message;
    let mut wrong: Vec<Wrong> = Vec::new();
    let mut say = |field, value: String, message: &str, hint: &str| {
        wrong.push((field, value, message.into(), hint.into()));
    };
    if *nth == 0 {
        say("nth", "0".into(), "they are counted from 1", "the first is 1");
    }
    match message {
        None if is_message => {
            say("at", at.to_string(), "messages of which type?", "add for instance `message: FAIL`");
        }
        Some(kind) if !is_message => {
            let hint = "write `at: message`, or leave `message` out";
            say("message", kind.to_string(), "only `at: message` counts messages", hint);
        }
        _ => {}
    }
    if is_message && *traffic == Traffic::Clients {
        say("traffic", traffic.to_string(), "messages are of the cluster bus", "leave `traffic` out");
    }
    if is_message && matches!(how, LinkBlow::Corrupt | LinkBlow::Garble) {
        let hint = "write `lose`, `delay`, `duplicate` or `reset`, or count packets: `at: packet`";
        say("how", how.to_string(), "bits are flipped in packets, not in messages", hint);
    }
    if *how == LinkBlow::Delay && delay.is_zero() {
        say("delay", delay.to_string(), "that is no delay", "say how long, for instance `delay: 200ms`");
    }
    wrong.extend(too_long(("delay", *delay)));
    wrong
}

/// A link has two ends.
fn itself(name: &'static str, node: &NodeSelector, from: Option<&NodeSelector>) -> Vec<Wrong> {
    let same = from.filter(|from| *from == node && is_one(node) && *node != NodeSelector::All);
    same.map(|from| {
        let hint = "name another node, or leave it out for all others";
        (name, from.to_string(), "a node has no link to itself".into(), hint.into())
    })
    .into_iter()
    .collect()
}

fn too_long((name, time): (&'static str, Millis)) -> Option<Wrong> {
    (time > DELAY_MAX).then(|| {
        let message = format!("`{name}` of a packet is at most {DELAY_MAX}");
        (name, time.to_string(), message, "where nothing arrives any more, write `cut`".into())
    })
}

/// A share of which there is some.
fn some(name: &'static str, value: u16) -> Option<Wrong> {
    let hint = "leave it out for 10 of a thousand";
    let none = (name, "0".to_string(), "nothing would be struck".to_string(), hint.to_string());
    if value == 0 { Some(none) } else { share(name, value) }
}

fn flipped(flip: &BitFlip) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if let Some(bit) = flip.bit.filter(|bit| *bit > 7) {
        let message = "a byte has the bits 0 to 7".into();
        wrong.push(("bit", bit.to_string(), message, "leave it out, and the seed chooses one".into()));
    }
    if flip.from_end && flip.offset.is_none() {
        let message = "there is no `offset` that could count from the end".into();
        wrong.push(("from_end", "true".into(), message, "write `offset: 0` for the last byte".into()));
    }
    wrong
}

fn share(name: &'static str, share: u16) -> Option<Wrong> {
    (share > 1000).then(|| {
        let message = format!("`{name}` is in a thousand: expected 0 to 1000");
        (name, share.to_string(), message, "1000 is every message".into())
    })
}

fn bursts(lose: u16, burst: u16) -> Option<Wrong> {
    if !(1..=BURST_MAX).contains(&burst) {
        let message = format!("a burst has 1 to {BURST_MAX} messages on average");
        return Some(("burst", burst.to_string(), message, "leave it out for losses one by one".into()));
    }
    // Two bursts with one good message between them are the most that there can be.
    let most = 1000 * u32::from(burst) / (u32::from(burst) + 1);
    (lose != 1000 && u32::from(lose) > most).then(|| {
        let message = format!("bursts of {burst} on average lose at most {most} of a thousand");
        ("lose", lose.to_string(), message, "make `burst` longer, or `lose` smaller".into())
    })
}

fn beats<const N: usize>(halves: [(&'static str, Millis); N]) -> Vec<Wrong> {
    let short = halves.into_iter().filter(|(_, time)| *time < BEAT_MIN);
    let told = short.map(|(name, time)| {
        let message = format!("`{name}` is half of a rhythm: expected at least {BEAT_MIN}");
        (name, time.to_string(), message, "for one time only there are `pause` and `cut`".into())
    });
    told.collect()
}

/// Two cuts of the same links heal in one way, or the later heal undoes what the other left to nature.
pub(super) fn heals(events: &Events<'_>, problems: &mut Problems) {
    let cut = |action: &Action| if let Action::Cut(cut) = action { Some(cut.clone()) } else { None };
    for (later, place) in events.events.iter().zip(&events.places) {
        let (Some((begins, _)), Some(this)) = (span_of(later), cut(&later.action)) else { continue };
        let other = events.events.iter().filter(|earlier| earlier.id != later.id).find(|earlier| {
            let Some(((began, ends), that)) = span_of(earlier).zip(cut(&earlier.action)) else {
                return false;
            };
            let first = (began, &earlier.id) < (begins, &later.id);
            let meets = that.traffic == this.traffic || [that.traffic, this.traffic].contains(&Traffic::All);
            let same = that.node == this.node && that.from == this.from && is_one(&this.node);
            first && same && meets && that.heal != this.heal && ends.is_none_or(|ends| begins < ends)
        });
        if let Some(other) = other {
            let message = format!(
                "{}: the same links are cut meanwhile, and the `cut` of `{}` (line {}) heals otherwise",
                place.path, other.id, other.line
            );
            problems
                .error(Some(place.span), &place.path, "cut", message)
                .hint("let one end before the other begins, or give both the same `heal`");
        }
    }
}

/// Two delays on the same links add up, and two ways to spread them do not.
pub(super) fn contradictions(events: &Events<'_>, problems: &mut Problems) {
    let slow = |action: &Action| -> Option<Slow> {
        if let Action::Slow(slow) = action { Some(slow.clone()) } else { None }
    };
    for (later, place) in events.events.iter().zip(&events.places) {
        let (Some((begins, _)), Some(this)) = (span_of(later), slow(&later.action)) else { continue };
        if this.distribution.is_uniform() || !is_one(&this.node) {
            continue;
        }
        let other = events.events.iter().find(|earlier| {
            let Some(((began, ends), that)) = span_of(earlier).zip(slow(&earlier.action)) else {
                return false;
            };
            let meets = that.traffic == this.traffic || [that.traffic, this.traffic].contains(&Traffic::All);
            let differs = that.distribution != this.distribution && !that.jitter.is_zero();
            let over = span_of(later).and_then(|(_, over)| over);
            let together = ends.is_none_or(|ends| begins < ends) && over.is_none_or(|over| began < over);
            that.node == this.node && meets && differs && together
        });
        if let Some(other) = other {
            let message = format!(
                "{}: the same links cannot be spread by `{}` while `{}` (line {}) spreads them otherwise",
                place.path, this.distribution, other.id, other.line
            );
            problems
                .error(Some(place.span), &place.path, "slow", message)
                .hint("let one end before the other begins, or give both the same `distribution`");
        }
    }
}
