//! Many runs as one search: which timeline to run next, from what the runs before it reached.
//!
//! [`feature`] says what a run reached, in words, from its record alone. [`Guide`] counts them: a timeline that reached
//! something that no run before it did is kept, and what comes next is either a new seed or one of those kept,
//! changed a little ([`mutate`]), the rarer what it reached the sooner. Pure: it runs nothing, and the same
//! numbers and the same answers in the same order give the same timelines.

pub mod feature;
mod mutate;

use crate::catalogue::MessageType;
use crate::entropy::{Entropy, Rng, Seed};
use crate::env::Profile;
use crate::spec::Spec;
use crate::timeline::{GenerateError, Timeline, generate};
pub use feature::{Family, Feature};
pub use mutate::Change;
use std::collections::{BTreeMap, BTreeSet};

crate::word! {
    /// How a campaign comes to its timelines.
    pub enum Mode {
        /// By what the runs before reached.
        Guided = "guided",
        /// One seed after the other.
        Random = "random",
    }
}

/// Where a timeline comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The seed alone.
    Seed,
    /// The seed without its events: what this cluster does by itself.
    Quiet,
    /// An entry of the corpus, as it is.
    Corpus { entry: String },
    /// An entry of the corpus, changed in these ways.
    Changed { entry: String, changes: Vec<Change> },
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seed => f.write_str("seed"),
            Self::Quiet => f.write_str("quiet"),
            Self::Corpus { entry } => write!(f, "corpus {entry}"),
            Self::Changed { entry, changes } => {
                let changes: Vec<&str> = changes.iter().map(|change| change.as_str()).collect();
                write!(f, "{entry}: {}", changes.join(", "))
            }
        }
    }
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub timeline: Timeline,
    pub origin: Origin,
}

/// A timeline that reached something first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub timeline: Timeline,
    /// All that it reached, by the numbers of [`Known`].
    reached: Vec<usize>,
    /// How often it was changed and run.
    pub chosen: u64,
}

/// Features by number. There are thousands of entries with hundreds of features each, and all are weighed whenever one is
/// chosen: by number that is an addition each.
#[derive(Clone, Debug, Default)]
struct Known {
    numbers: BTreeMap<Feature, usize>,
    /// In how many runs each was reached.
    counts: Vec<u64>,
    /// How many different ones of each family were.
    families: BTreeMap<Family, u64>,
}

impl Known {
    fn number(&mut self, feature: &Feature) -> usize {
        if let Some(number) = self.numbers.get(feature) {
            return *number;
        }
        let number = self.counts.len();
        self.numbers.insert(feature.clone(), number);
        self.counts.push(0);
        number
    }

    /// Reached in so many runs more. Answers its number, and whether it is the first time.
    fn add(&mut self, feature: &Feature, runs: u64) -> (usize, bool) {
        let number = self.number(feature);
        let first = self.counts[number] == 0 && runs > 0;
        self.counts[number] += runs;
        if first {
            *self.families.entry(feature.family).or_default() += 1;
        }
        (number, first)
    }
}

/// The most changes at once.
const CHANGES_MAX: u64 = 6;
/// A campaign without a corpus begins with so many new seeds: of a few timelines there is little to make.
const WARM_UP: u64 = 32;
/// How often it is tried to change an entry in a way that gives a timeline.
const TRIES: u32 = 8;

/// What is known of the runs so far, and the choice of the next.
#[derive(Clone, Debug)]
pub struct Guide {
    spec: Spec,
    target: String,
    profile: &'static Profile,
    mode: Mode,
    seed: Seed,
    known: Known,
    entries: Vec<Entry>,
    /// Entries of the corpus that this campaign has not run yet.
    waiting: Vec<(String, Timeline)>,
    /// What an event can wait for: lines of logs, and kinds of messages.
    lines: BTreeSet<String>,
    sent: BTreeSet<MessageType>,
    was_quiet: bool,
    /// That were taken in.
    runs: u64,
    /// What new seeds led to lately, and what changes did.
    fresh: Yield,
    changed: Yield,
}

/// How much new a way to come to timelines reached lately: the more, the more often it is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Yield {
    /// Thousandths of runs, and of features that were new, of which older ones count less and less.
    runs: u64,
    new: u64,
}

impl Yield {
    /// As much as sixteen runs are remembered.
    const MEMORY: u64 = 16;

    fn hear(&mut self, new: usize) {
        self.runs = self.runs - self.runs / Self::MEMORY + 1_000;
        self.new = self.new - self.new / Self::MEMORY + 1_000 * new as u64;
    }

    /// New features in a thousand runs; one that was hardly tried is thought to be good.
    fn rate(self) -> u64 {
        if self.runs < 4_000 { u64::from(u32::MAX) } else { self.new * 1_000 / self.runs }
    }
}

impl Guide {
    pub fn new(spec: Spec, target: &str, profile: &'static Profile, mode: Mode, seed: Seed) -> Self {
        Self {
            spec,
            target: target.into(),
            profile,
            mode,
            seed,
            known: Known::default(),
            entries: Vec::new(),
            waiting: Vec::new(),
            lines: BTreeSet::new(),
            // The gossip is there always.
            sent: [MessageType::Ping, MessageType::Pong].into(),
            was_quiet: false,
            runs: 0,
            fresh: Yield::default(),
            changed: Yield::default(),
        }
    }

    /// Goes on from what a campaign knew before: how many runs it had, and in how many of them each was reached.
    pub fn restore(&mut self, runs: u64, counts: &[(Feature, u64)]) {
        self.runs = runs;
        for (feature, count) in counts {
            self.known.add(feature, *count);
            self.see(feature);
        }
    }

    /// What was reached is what events can wait for.
    fn see(&mut self, feature: &Feature) {
        self.lines.extend(feature.line().map(String::from));
        self.sent.extend(feature.sent());
    }

    /// And from what it kept, in the order in which it was kept.
    pub fn restore_entry(&mut self, name: String, timeline: Timeline, features: &[Feature], chosen: u64) {
        let reached = features.iter().map(|feature| self.known.number(feature)).collect();
        self.entries.push(Entry { name, timeline, reached, chosen });
    }

    /// Lets these be run first, as they are.
    pub fn begin_with(&mut self, mut entries: Vec<(String, Timeline)>) {
        if !entries.is_empty() {
            self.runs = self.runs.max(WARM_UP);
        }
        entries.reverse();
        self.waiting = entries;
    }

    /// The timeline of run number `number`.
    pub fn propose(&mut self, number: u64) -> Result<Proposal, GenerateError> {
        if let Some((entry, timeline)) = self.waiting.pop() {
            return Ok(Proposal { timeline, origin: Origin::Corpus { entry } });
        }
        let mut rng = Entropy::root(self.seed).child("campaign").nth(number).rng();
        // Each way has a tenth of the runs, and the rest goes by what they reached.
        let (fresh, changed) = (self.fresh.rate(), self.changed.rate());
        let tenth = (fresh + changed) / 8 + 1;
        let fresh = rng.ratio(fresh + tenth, fresh + changed + 2 * tenth);
        let warm = self.runs >= WARM_UP;
        if self.mode == Mode::Guided
            && warm
            && !fresh
            && let Some(proposal) = self.change(&mut rng)
        {
            return Ok(proposal);
        }
        let seed = Seed(self.seed.0.wrapping_add(number));
        let mut timeline = generate(&self.spec, seed, &self.target, self.profile)?;
        // First what there is to wait for: the lines that the servers log when nothing is done to them.
        if self.mode == Mode::Guided && self.known.families.is_empty() && !self.was_quiet {
            self.was_quiet = true;
            timeline.events.clear();
            return Ok(Proposal { timeline, origin: Origin::Quiet });
        }
        Ok(Proposal { timeline, origin: Origin::Seed })
    }

    fn change(&mut self, rng: &mut Rng) -> Option<Proposal> {
        let weights: Vec<u64> = self.entries.iter().map(|entry| self.energy(entry)).collect();
        let at = rng.weighted(&weights)?;
        for _ in 0..TRIES {
            let mut timeline = self.entries[at].timeline.clone();
            let mut changes = Vec::new();
            let wanted = rng.range(1, CHANGES_MAX);
            let pool = mutate::Pool {
                spec: &self.spec,
                profile: self.profile,
                entries: &self.entries,
                lines: &self.lines,
                sent: &self.sent,
            };
            for _ in 0..wanted {
                changes.extend(mutate::change(&mut timeline, &pool, rng));
            }
            // The world would make the choices again that did the old timeline no harm.
            if rng.ratio(3, 4) {
                changes.extend(mutate::interleave(&mut timeline, &pool, rng));
            }
            // What no file could say is no timeline.
            let Some(valid) = timeline.reread().filter(|valid| *valid != self.entries[at].timeline) else {
                continue;
            };
            let entry = &mut self.entries[at];
            entry.chosen += 1;
            return Some(Proposal {
                timeline: valid,
                origin: Origin::Changed { entry: entry.name.clone(), changes },
            });
        }
        None
    }

    /// The rarer what an entry reached, and the less often it was chosen, the more: a share for each feature that only a
    /// few runs reached.
    fn energy(&self, entry: &Entry) -> u64 {
        let rare: u64 = entry.reached.iter().map(|number| 1_000 / self.known.counts[*number].max(1)).sum();
        1 + rare * 100 / (10 + entry.chosen)
    }

    /// Takes in what a run reached. Answers what was reached for the first time; a guided campaign keeps such a
    /// timeline, under the name of its hash.
    pub fn learn(&mut self, proposal: &Proposal, features: &BTreeSet<Feature>) -> Vec<Feature> {
        let timeline = &proposal.timeline;
        self.runs += 1;
        let (mut reached, mut first) = (Vec::with_capacity(features.len()), Vec::new());
        for feature in features {
            let (number, is_first) = self.known.add(feature, 1);
            reached.push(number);
            if is_first {
                self.see(feature);
                first.push(feature.clone());
            }
        }
        match proposal.origin {
            Origin::Seed => self.fresh.hear(first.len()),
            Origin::Changed { .. } => self.changed.hear(first.len()),
            Origin::Corpus { .. } | Origin::Quiet => {}
        }
        if self.mode == Mode::Guided && !first.is_empty() {
            let entry = Entry { name: name(timeline), timeline: timeline.clone(), reached, chosen: 0 };
            self.entries.push(entry);
        }
        first
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was kept last, if it is this timeline.
    pub fn kept(&self, timeline: &Timeline) -> Option<&Entry> {
        self.entries.last().filter(|entry| entry.timeline == *timeline)
    }

    /// How many different features were reached, of each family.
    pub fn reached(&self) -> &BTreeMap<Family, u64> {
        &self.known.families
    }

    /// In how many runs each was reached.
    pub fn counts(&self) -> BTreeMap<&Feature, u64> {
        self.known.numbers.iter().map(|(feature, number)| (feature, self.known.counts[*number])).collect()
    }
}

/// By which an entry of the corpus is known: the beginning of its timeline's hash.
pub fn name(timeline: &Timeline) -> String {
    timeline.hash().to_hex()[..12].to_string()
}

/// The fewest of these, chosen greedily, that together reach all that they reach: their places.
pub fn fewest(entries: &[BTreeSet<Feature>]) -> Vec<usize> {
    let mut missing: BTreeSet<&Feature> = entries.iter().flatten().collect();
    let mut kept = Vec::new();
    while !missing.is_empty() {
        let gain = |at: &usize| entries[*at].iter().filter(|feature| missing.contains(feature)).count();
        // Of equal ones the first.
        let best = (0..entries.len()).rev().max_by_key(gain).expect("something is missing of them");
        entries[best].iter().for_each(|feature| {
            missing.remove(feature);
        });
        kept.push(best);
    }
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests;
