//! Who goes next among the processes that can run, as the run's policy has it.
//!
//! A process draws its rank for its next turn when its last has ended: a keyed hash of (process, turn). A policy picks
//! by ranks, by places in a ring, or by who had the last turn; whatever else it draws is keyed in the same way.

use crate::entropy::Entropy;
use crate::timeline::Policy;

/// The longest burst, in turns. What a server has to do at once it does within a few.
const BURST_MAX: u64 = 32;
/// A starved node that could run is passed over so many times in a row; then it has one turn. At the mean length of a
/// turn that is 12 ms.
const STARVED_MAX: u32 = 500;

/// A process that can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub slot: usize,
    pub node: u16,
    /// The id that it believes to have.
    pub pid: i32,
    /// Turns that it has had.
    pub turns: u64,
    pub rank: u64,
}

#[derive(Debug)]
pub struct Picker {
    policy: Policy,
    key: Entropy,
    /// The process that has the turn, and for how many more it keeps it.
    burst: (i32, u64),
    /// Where in the ring the last turn was.
    place: (u64, i32),
    passed_over: u32,
}

impl Picker {
    pub fn new(policy: Policy, key: Entropy) -> Self {
        Self { policy, key, burst: (0, 0), place: (0, 0), passed_over: 0 }
    }

    /// The slot of the one that goes next. `nodes` are all that there are.
    pub fn pick(&mut self, runnable: &[Candidate], nodes: impl Iterator<Item = u16>) -> Option<usize> {
        let least = |among: &mut dyn Iterator<Item = &Candidate>| {
            among.min_by_key(|candidate| (candidate.rank, candidate.pid)).copied()
        };
        let next = match self.policy {
            Policy::Random => least(&mut runnable.iter())?,
            Policy::RoundRobin => {
                let place = |candidate: &Candidate| {
                    (self.key.word("ring", u64::from(candidate.node), 0), candidate.pid)
                };
                let after = runnable.iter().filter(|candidate| place(candidate) > self.place);
                let next = after.min_by_key(|candidate| place(candidate));
                let next = next.or_else(|| runnable.iter().min_by_key(|candidate| place(candidate)));
                let next = *next?;
                self.place = place(&next);
                next
            }
            Policy::Bursts => {
                let (holder, left) = self.burst;
                let held = runnable.iter().find(|candidate| candidate.pid == holder && left > 0);
                match held.copied() {
                    Some(next) => {
                        self.burst.1 -= 1;
                        next
                    }
                    None => {
                        let next = least(&mut runnable.iter())?;
                        let turns = self.key.word("burst", next.pid as u64, next.turns) % BURST_MAX;
                        self.burst = (next.pid, turns);
                        next
                    }
                }
            }
            Policy::Starve => {
                if let [alone] = runnable {
                    self.passed_over = 0;
                    return Some(alone.slot);
                }
                let starved = nodes.min_by_key(|node| self.key.word("starved", u64::from(*node), 0));
                let is_starved = |candidate: &&Candidate| Some(candidate.node) == starved;
                let its_own = least(&mut runnable.iter().filter(is_starved));
                let others = least(&mut runnable.iter().filter(|candidate| !is_starved(candidate)));
                match (others, its_own) {
                    (Some(other), None) => {
                        self.passed_over = 0;
                        other
                    }
                    (Some(other), Some(_)) if self.passed_over < STARVED_MAX => {
                        self.passed_over += 1;
                        other
                    }
                    (_, Some(its_own)) => {
                        self.passed_over = 0;
                        its_own
                    }
                    (None, None) => return None,
                }
            }
        };
        Some(next.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::Seed;
    use std::collections::BTreeMap;

    const NODES: u16 = 4;

    fn picker(policy: Policy) -> Picker {
        Picker::new(policy, Entropy::root(Seed(5)))
    }

    /// So many turns of one process per node, of which those of `idle` cannot run: who had them.
    fn turns(picker: &mut Picker, count: usize, idle: &[u16]) -> Vec<u16> {
        let mut had = BTreeMap::<u16, u64>::new();
        let next = |_| {
            let runnable: Vec<Candidate> = (0..NODES)
                .filter(|node| !idle.contains(node))
                .map(|node| {
                    let turns = had.get(&node).copied().unwrap_or(0);
                    let pid = i32::from(node) + 1;
                    // Ranks by which each goes as often as the others.
                    Candidate { slot: usize::from(node) + 1, node, pid, turns, rank: turns }
                })
                .collect();
            let node = picker.pick(&runnable, 0..NODES).expect("somebody can run") as u16 - 1;
            *had.entry(node).or_default() += 1;
            node
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn nobody_goes_where_nobody_can_run() {
        for policy in Policy::ALL {
            assert_eq!(picker(*policy).pick(&[], 0..NODES), None, "{policy}");
        }
    }

    #[test]
    fn a_round_robin_gives_each_its_turn_and_passes_over_who_cannot_run() {
        let mut picker = picker(Policy::RoundRobin);
        let had = turns(&mut picker, 8, &[]);
        let mut round = had[..4].to_vec();
        assert_eq!(had[..4], had[4..]);
        round.sort_unstable();
        assert_eq!(round, [0, 1, 2, 3]);
        let without = turns(&mut picker, 6, &[had[1]]);
        assert_eq!(without, [had[0], had[2], had[3], had[0], had[2], had[3]]);
    }

    #[test]
    fn a_burst_is_several_turns_of_one_and_ends() {
        let had = turns(&mut picker(Policy::Bursts), 1_000, &[]);
        let random = turns(&mut picker(Policy::Random), 1_000, &[]);
        let changes = |had: &[u16]| had.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes(&random), 999);
        assert!((30..300).contains(&changes(&had)), "{}", changes(&had));
        assert!((0..NODES).all(|node| had.contains(&node)));
    }

    #[test]
    fn a_starved_node_goes_last_and_within_the_bound() {
        let mut picker = picker(Policy::Starve);
        let had = turns(&mut picker, 3 * (STARVED_MAX as usize + 1), &[]);
        let counts: Vec<usize> =
            (0..NODES).map(|node| had.iter().filter(|other| **other == node).count()).collect();
        let starved = (0..NODES).find(|node| counts[usize::from(*node)] == 3);
        let starved = starved.unwrap_or_else(|| panic!("{counts:?}"));
        assert_eq!(had.iter().position(|node| *node == starved), Some(STARVED_MAX as usize));
        // Alone it goes at once.
        let others: Vec<u16> = (0..NODES).filter(|node| *node != starved).collect();
        assert_eq!(turns(&mut picker, 3, &others), [starved; 3]);
    }
}
