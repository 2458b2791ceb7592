//! What faults of links, and those that come and go, need beside their fields' types: shares of a thousand, bursts that
//! can be had, rhythms that have a beat, distributions of something.

use super::events::{Act, Events};
use super::order::{is_one, span_of};
use super::parts::get;
use crate::catalogue::Action;
use crate::fault::slow::Slow;
use crate::fault::traffic::Traffic;
use crate::time::Millis;
use crate::yaml::document::Problems;

/// What is wrong in a field: its name, its value, why, and the way to mend it.
type Wrong = (&'static str, String, String, String);

/// The largest mean length of a burst, and the shortest half of a rhythm's turn.
const BURST_MAX: u16 = 1000;
const BEAT_MIN: Millis = Millis(10);

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
            let mut wrong: Vec<Wrong> =
                shares.into_iter().filter_map(|(name, value)| share(name, value)).collect();
            wrong.extend(lossy.burst.and_then(|burst| bursts(lossy.lose, burst)));
            wrong
        }
        Action::Corrupt(fault) => share("share", fault.share).into_iter().collect(),
        Action::Garble(fault) => share("share", fault.share).into_iter().collect(),
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
        Action::Flap(flap) => beats([("down", flap.down), ("up", flap.up)]),
        Action::Stutter(stutter) => beats([("stop", stutter.stop), ("run", stutter.run)]),
        _ => Vec::new(),
    }
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

fn beats(halves: [(&'static str, Millis); 2]) -> Vec<Wrong> {
    let short = halves.into_iter().filter(|(_, time)| *time < BEAT_MIN);
    let told = short.map(|(name, time)| {
        let message = format!("`{name}` is half of a rhythm: expected at least {BEAT_MIN}");
        (name, time.to_string(), message, "for one time only there are `pause` and `cut`".into())
    });
    told.collect()
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
