//! How the simulated world makes its choices: who goes next among the processes that can run, and the key behind
//! every delay, order and duration.
//!
//! Each choice is a keyed hash of a purpose, a place and a count, so that leaving an event out leaves the others
//! alone. The key comes from the seed unless a file holds another: with it a timeline meets other interleavings, while
//! its events and the clients' operations stay what they are.

use super::Timeline;
use crate::entropy::Entropy;
use crate::yaml::document::Node;
use crate::yaml::fields::{Field, scalar};
use serde::{Deserialize, Serialize};

crate::word! {
    /// Who goes next among the processes that can run.
    pub enum Policy {
        /// Whoever drew the least for its next turn.
        Random = "random",
        /// One after the other, in an order drawn once.
        RoundRobin = "round_robin",
        /// As `random`, but who has the turn keeps it for a drawn number of turns while it can run.
        Bursts = "bursts",
        /// As `random`, but one node, drawn once, goes after all others.
        Starve = "starve",
    }
}

crate::record! {
    /// `schedule:` as written. Empty by default, and then no part of a timeline's binary form.
    #[derive(Default)]
    pub struct Schedule {
        /// who goes next among the processes that can run, in environment `exact`; drawn by the key when absent
        pub policy: Option<Policy> = None,
        /// what the simulated world draws delays, durations and orders from; the seed when absent
        pub key: Option<u64> = None,
        /// windows in which messages of the cluster bus overtake one another, in environment `exact`; drawn by the key when absent
        pub order: Option<Windows> = None,
    }
}

/// How many windows there are: `off`, or 1 to 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Windows(pub u8);

impl Windows {
    pub const MAX: u8 = 3;
}

impl Field for Windows {
    fn expected() -> String {
        format!("`off`, or a number of windows up to {}", Self::MAX)
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"anyOf": [{"const": "off"}, {"type": "integer", "minimum": 0, "maximum": Self::MAX}]})
    }
    fn read(node: &Node) -> Result<Self, String> {
        if scalar(node, Self::expected)? == "off" {
            return Ok(Self(0));
        }
        u8::read(node).ok().filter(|windows| *windows <= Self::MAX).map(Self).ok_or_else(Self::expected)
    }
    fn write(&self) -> String {
        if self.0 == 0 { "off".into() } else { self.0.to_string() }
    }
}

impl Schedule {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Timeline {
    /// The root of all choices of a simulated environment. What the clients do hangs on [`Timeline::key`].
    pub fn environment_key(&self) -> Entropy {
        match self.schedule.key {
            None => self.key(),
            Some(key) => self.key().child("schedule").nth(key),
        }
    }

    /// The policy in force where turns are given: the one that was written, or else the key's own. Every second key
    /// draws `random`, which alone favours nobody.
    pub fn policy(&self) -> Policy {
        let drawn = || match self.environment_key().word("policy", 0, 0) % 6 {
            0 => Policy::RoundRobin,
            1 => Policy::Bursts,
            2 => Policy::Starve,
            _ => Policy::Random,
        };
        self.schedule.policy.unwrap_or_else(drawn)
    }

    /// How many windows there are in which messages overtake one another: as written, or else the key's own number.
    pub fn order(&self) -> u8 {
        let drawn = || (self.environment_key().word("order", 0, 0) % (u64::from(Windows::MAX) + 1)) as u8;
        self.schedule.order.map_or_else(drawn, |windows| windows.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::env::EXACT;
    use crate::spec::{Dialect, Spec};
    use crate::timeline::generate;
    use std::collections::{BTreeMap, BTreeSet};

    fn timeline(seed: u64) -> Timeline {
        generate(&Spec::quiet(Dialect::Native), Seed(seed), "valkey", &EXACT).expect("nothing is drawn")
    }

    #[test]
    fn no_schedule_is_no_part_of_the_binary_form() {
        let plain = postcard::to_stdvec(&timeline(1)).expect("plain data");
        let pinned = Timeline {
            schedule: Schedule { policy: Some(Policy::Bursts), key: Some(5), order: Some(Windows(2)) },
            ..timeline(1)
        };
        let pinned = postcard::to_stdvec(&pinned).expect("plain data");
        assert_eq!(pinned, [plain.as_slice(), &[1, 2, 1, 5, 1, 2]].concat());
    }

    #[test]
    fn seeds_draw_every_policy_and_a_pinned_one_holds() {
        let mut counts = BTreeMap::<Policy, u32>::new();
        for seed in 0..200 {
            *counts.entry(timeline(seed).policy()).or_default() += 1;
        }
        for policy in Policy::ALL {
            assert!(counts.get(policy).is_some_and(|count| *count >= 20), "{counts:?}");
            let pinned = Timeline {
                schedule: Schedule { policy: Some(*policy), ..Schedule::default() },
                ..timeline(3)
            };
            assert_eq!(pinned.policy(), *policy);
        }
    }

    #[test]
    fn seeds_draw_every_number_of_windows_and_a_pinned_one_holds() {
        let drawn: BTreeSet<u8> = (0..50).map(|seed| timeline(seed).order()).collect();
        assert_eq!(drawn, (0..=Windows::MAX).collect());
        for windows in 0..=Windows::MAX {
            let order = Some(Windows(windows));
            let pinned = Timeline { schedule: Schedule { order, ..Schedule::default() }, ..timeline(3) };
            assert_eq!(pinned.order(), windows);
        }
    }

    #[test]
    fn another_key_is_another_world_for_the_same_clients() {
        let plain = timeline(1);
        let redrawn =
            |key| Timeline { schedule: Schedule { key: Some(key), ..Schedule::default() }, ..timeline(1) };
        assert_eq!(plain.environment_key(), plain.key());
        assert_eq!(redrawn(1).key(), plain.key());
        assert_ne!(redrawn(1).environment_key(), plain.environment_key());
        assert_ne!(redrawn(1).environment_key(), redrawn(2).environment_key());
        assert_ne!(redrawn(1).hash(), plain.hash());
    }
}
