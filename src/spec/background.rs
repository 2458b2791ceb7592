//! Events that come again and again while something else happens: `do: {background: {every: 2s..6s, one_of: [...]}}`.
//!
//! How many there are and when they come is drawn, so a background stays a description until the seed is known.
//! `timeline::generate` calls [`Background::expand`] for each and treats what comes back like written events.

use super::{EventSpec, Spread, StartSpec};
use crate::catalogue::{Action, EventId};
use crate::entropy::Entropy;
use crate::time::Millis;

/// The most events that one background may become; reaching it ends the background early.
pub const EVENTS_MAX: u64 = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Background {
    /// Its events are called `<id>-1`, `<id>-2`, ...
    pub id: EventId,
    pub start: StartSpec,
    pub delay: Spread<Millis>,
    pub within: Option<Millis>,
    /// The time from one event to the next; the first comes one such time after the start.
    pub every: Spread<Millis>,
    pub one_of: Vec<Choice>,
    /// How long it goes on; to the end of the safety phase without.
    pub lasts: Option<Spread<Millis>>,
    /// The line of the file it came from.
    pub line: u32,
}

/// One of the things that a background may do each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub action: Action,
    pub lasts: Option<Spread<Millis>>,
}

impl Background {
    /// The plain events that it becomes under `entropy` in a safety phase of `length`. Nothing in them is left
    /// to draw, and the stream depends on the background's own id, so that others do not disturb it.
    pub fn expand(&self, entropy: &Entropy, length: Millis) -> Vec<EventSpec> {
        let mut rng = entropy.child("background").child(&self.id).rng();
        let start = match &self.start {
            StartSpec::At(at) => StartSpec::At(Spread::exactly(at.draw(&mut rng))),
            StartSpec::Forming(at) => StartSpec::Forming(Spread::exactly(at.draw(&mut rng))),
            anchored => anchored.clone(),
        };
        let delay = self.delay.draw(&mut rng);
        let begins = match &start {
            StartSpec::At(at) => at.low.saturating_add(delay),
            _ => delay,
        };
        let room = Millis(length.0.saturating_sub(begins.0));
        let lasts = self.lasts.map_or(room, |lasts| lasts.draw(&mut rng));
        let mut events = Vec::new();
        let mut elapsed = self.every.draw(&mut rng);
        while elapsed < lasts && (events.len() as u64) < EVENTS_MAX && !self.one_of.is_empty() {
            let choice = rng.pick(&self.one_of);
            let lasts = choice.lasts.map(|lasts| Spread::exactly(lasts.draw(&mut rng)));
            events.push(EventSpec {
                id: format!("{}-{}", self.id, events.len() + 1).into(),
                start: start.clone(),
                delay: Spread::exactly(delay.saturating_add(elapsed)),
                within: self.within,
                action: choice.action.clone(),
                lasts,
                line: self.line,
            });
            elapsed = elapsed.saturating_add(self.every.draw(&mut rng)).max(Millis(elapsed.0 + 1));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::NodeSelector;
    use crate::entropy::Seed;
    use crate::fault::pause::Pause;

    fn pauses() -> Background {
        let action = Action::Pause(Pause { node: NodeSelector::Any });
        Background {
            id: "hum".into(),
            start: StartSpec::At(Spread { low: Millis(1000), high: Millis(2000) }),
            delay: Spread::exactly(Millis(0)),
            within: None,
            every: Spread { low: Millis(500), high: Millis(1500) },
            one_of: vec![Choice { action, lasts: Some(Spread { low: Millis(10), high: Millis(20) }) }],
            lasts: None,
            line: 1,
        }
    }

    #[test]
    fn a_background_fills_the_time_it_has_and_leaves_nothing_to_draw() {
        let events = pauses().expand(&Entropy::root(Seed(7)), Millis::secs(10));
        assert!((5..=18).contains(&events.len()), "{}", events.len());
        for (position, event) in events.iter().enumerate() {
            assert_eq!(event.id, format!("hum-{}", position + 1));
            let StartSpec::At(at) = event.start else { panic!("starts by the clock") };
            assert_eq!(at.low, at.high);
            assert_eq!(event.delay.low, event.delay.high);
            assert!(at.low.saturating_add(event.delay.low) < Millis::secs(10));
        }
        assert_eq!(events, pauses().expand(&Entropy::root(Seed(7)), Millis::secs(10)));
    }

    #[test]
    fn a_background_ends_with_its_own_time() {
        let short = Background { lasts: Some(Spread::exactly(Millis(1600))), ..pauses() };
        let events = short.expand(&Entropy::root(Seed(7)), Millis::secs(60));
        assert!((1..=3).contains(&events.len()), "{}", events.len());
        let endless = Background { every: Spread::exactly(Millis(0)), ..pauses() };
        assert_eq!(endless.expand(&Entropy::root(Seed(7)), Millis::secs(60)).len() as u64, EVENTS_MAX);
    }
}
