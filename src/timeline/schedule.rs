//! How the simulated world makes its choices: who goes next among the processes that can run, and the key behind
//! every delay, order and duration.
//!
//! Each choice is a keyed hash of a purpose, a place and a count, so that leaving an event out leaves the others
//! alone. The key comes from the seed unless a file holds another: with it a timeline meets other interleavings, while
//! its events and the clients' operations stay what they are.

use super::Timeline;
use crate::entropy::Entropy;

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use crate::env::EXACT;
    use crate::spec::{Dialect, Spec};
    use crate::timeline::generate;
    use std::collections::BTreeMap;

    fn timeline(seed: u64) -> Timeline {
        generate(&Spec::quiet(Dialect::Native), Seed(seed), "valkey", &EXACT).expect("nothing is drawn")
    }

    #[test]
    fn no_schedule_is_no_part_of_the_binary_form() {
        let plain = postcard::to_stdvec(&timeline(1)).expect("plain data");
        let pinned =
            Timeline { schedule: Schedule { policy: Some(Policy::Bursts), key: Some(5) }, ..timeline(1) };
        let pinned = postcard::to_stdvec(&pinned).expect("plain data");
        assert_eq!(pinned, [plain.as_slice(), &[1, 2, 1, 5]].concat());
    }

    #[test]
    fn seeds_draw_every_policy_and_a_pinned_one_holds() {
        let mut counts = BTreeMap::<Policy, u32>::new();
        for seed in 0..200 {
            *counts.entry(timeline(seed).policy()).or_default() += 1;
        }
        for policy in Policy::ALL {
            assert!(counts.get(policy).is_some_and(|count| *count >= 20), "{counts:?}");
            let pinned = Timeline { schedule: Schedule { policy: Some(*policy), key: None }, ..timeline(3) };
            assert_eq!(pinned.policy(), *policy);
        }
    }

    #[test]
    fn another_key_is_another_world_for_the_same_clients() {
        let plain = timeline(1);
        let redrawn = |key| Timeline { schedule: Schedule { policy: None, key: Some(key) }, ..timeline(1) };
        assert_eq!(plain.environment_key(), plain.key());
        assert_eq!(redrawn(1).key(), plain.key());
        assert_ne!(redrawn(1).environment_key(), plain.environment_key());
        assert_ne!(redrawn(1).environment_key(), redrawn(2).environment_key());
        assert_ne!(redrawn(1).hash(), plain.hash());
    }
}
