//! From a timeline that fails to the smallest that still fails in the same way.
//!
//! The search is pure: whether a candidate fails is asked of an [`Oracle`]. The order of attack:
//!
//! 1. **The cluster** (`topology`): fewer shards, first with one schedule key, since a run of the whole timeline is long;
//!    and once the events are few, fewer shards and replicas. What named a node that is gone names one that stays.
//!    (Replicas before events would let an operation that adds one take their place.)
//! 2. **Whole events** (`events`): first everything after a moment, then groups by counter-based delta debugging
//!    (M. Zhang et al., "Deep Dive into Probabilistic Delta Debugging", 2024: `ProbDD`'s group sizes are a fixed sequence,
//!    each about 0.632 of the one before), then one by one until none can be left out. What hung on an event that
//!    is gone takes its anchor over ([`Timeline::without`]).
//! 3. **Numbers and the rest** (`simpler`): the load, settings, the length, then each event's times and parameters,
//!    each towards nothing, then towards fewer digits.
//!
//! And from the start again until a whole round changes nothing, so that in the end each event was left out once
//! from exactly this timeline and it passed: the result is 1-minimal.
//!
//! A timeline may fail under one interleaving and pass under another, so a candidate is rejected only after several
//! schedule keys were tried on it; the key under which it failed is part of the result.

mod events;
mod sequential;
mod simpler;
mod token;
mod topology;

pub use sequential::{Coin, Said};
pub use token::{Token, TokenError};

use crate::catalogue::EventId;
use crate::time::Millis;
use crate::timeline::Timeline;

/// Schedule keys that are tried on a timeline with events or nodes left out before it is rejected.
pub const KEYS: u64 = 8;
/// As [`KEYS`], of a timeline with one parameter changed: there are many, and none makes the timeline shorter.
const KEYS_OF_PARAMETERS: u64 = 2;

/// What knows whether a timeline fails in the same way.
pub trait Oracle {
    /// The place of the first of these that does, or `None`. Which is first must not depend on which was faster.
    fn first(&mut self, candidates: &[Timeline]) -> Result<Option<usize>, Stopped>;
    /// When this event of a timeline that failed began, where that is known.
    fn began(&self, _timeline: &Timeline, _event: &EventId) -> Option<Millis> {
        None
    }
}

/// The search is to end now, with the best that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// A smaller timeline that fails.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub timeline: &'a Timeline,
    /// What was done to it: `6 of 14 events left out`.
    pub did: &'a str,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    pub timeline: Timeline,
    /// No event can be left out, under any of the keys. False when the search was stopped before it knew.
    pub minimal: bool,
}

/// The smallest timeline that fails in the same way as this one, which does.
///
/// `keys` is how many schedule keys there are to try: [`KEYS`] where they decide, one where they mean nothing.
pub fn minimize(
    timeline: &Timeline,
    keys: u64,
    oracle: &mut dyn Oracle,
    hear: &mut dyn FnMut(&Step<'_>),
) -> Shrunk {
    let mut search = Search { best: timeline.clone(), keys: keys.max(1), oracle, hear };
    let minimal = search.run().is_ok();
    Shrunk { timeline: search.best, minimal }
}

struct Search<'a> {
    best: Timeline,
    keys: u64,
    oracle: &'a mut dyn Oracle,
    hear: &'a mut dyn FnMut(&Step<'_>),
}

impl Search<'_> {
    fn run(&mut self) -> Result<(), Stopped> {
        let mut first = true;
        loop {
            topology::fewer_shards(self, if first { 1 } else { KEYS })?;
            events::fewer(self)?;
            topology::fewer_shards(self, KEYS)?;
            topology::fewer_replicas(self)?;
            events::fewer(self)?;
            first = false;
            let before = self.best.clone();
            simpler::simpler(self)?;
            if self.best == before {
                return Ok(());
            }
        }
    }

    /// Goes on with the first of these candidates that fails; the answer is its place.
    fn take(
        &mut self,
        candidates: &[Timeline],
        keys: u64,
        did: impl Fn(&Timeline, &Timeline) -> String,
    ) -> Result<Option<usize>, Stopped> {
        let (mut asked, mut places) = (Vec::new(), Vec::new());
        for (place, candidate) in candidates.iter().enumerate() {
            // What no file could say is no timeline.
            let Some(valid) = candidate.reread().filter(|valid| *valid != self.best) else { continue };
            let own = valid.schedule.key;
            let others = (1..).map(Some).filter(|key| *key != own).take(keys.min(self.keys) as usize - 1);
            for key in std::iter::once(own).chain(others) {
                let mut keyed = valid.clone();
                keyed.schedule.key = key;
                asked.push(keyed);
                places.push(place);
            }
        }
        let Some(at) = self.oracle.first(&asked)? else { return Ok(None) };
        let next = asked.swap_remove(at);
        let did = did(&self.best, &next);
        self.best = next;
        (self.hear)(&Step { timeline: &self.best, did: &did });
        Ok(Some(places[at]))
    }
}

#[cfg(test)]
mod tests;
