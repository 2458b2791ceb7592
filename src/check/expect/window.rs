//! When and of whom: what the events that an expectation names make of the run's time and of its nodes.

use crate::env::NodeId;
use crate::run::record::{Applied, Record, Status};
use crate::time::Micros;
use crate::yaml::document::Node;
use crate::yaml::fields::{Field, quote, scalar};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The nodes that an expectation speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// All together.
    #[default]
    All,
    /// Each by itself.
    Each,
    /// Those that the events struck.
    Struck,
    /// Those that they did not.
    Others,
    Node(u16),
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Each => f.write_str("each"),
            Self::Struck => f.write_str("struck"),
            Self::Others => f.write_str("others"),
            Self::Node(number) => write!(f, "node-{number}"),
        }
    }
}

impl Field for Of {
    fn expected() -> String {
        "one of `all`, `each`, `struck`, `others`, or a node such as `node-2`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^(all|each|struck|others|node-[0-9]+)$"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        match scalar(node, Self::expected)? {
            "all" => Ok(Self::All),
            "each" => Ok(Self::Each),
            "struck" => Ok(Self::Struck),
            "others" => Ok(Self::Others),
            text => {
                let number = text.strip_prefix("node-").and_then(|number| number.parse().ok());
                number.map(Self::Node).ok_or_else(Self::expected)
            }
        }
    }
    fn write(&self) -> String {
        quote(&self.to_string())
    }
}

/// The words that name a time, as an expectation has them.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub before: &'a [String],
    pub during: &'a [String],
    pub after: &'a [String],
    pub from: &'a [String],
    pub until: &'a [String],
}

/// A time of the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Micros,
    pub to: Micros,
    /// What the events that begin it struck, in the order of node numbers.
    pub struck: BTreeSet<NodeId>,
    /// When the first of them was there: what came before is what it is compared with.
    pub began: Micros,
    /// In words: `during cut`.
    pub told: String,
}

/// When an event was in force: since its first step, which is told once the environment has answered, up to when it
/// began to be undone. What lies between a beginning and an answer is in doubt and in no window.
pub fn in_force(record: &Record, name: &str) -> Result<(Micros, Micros, Micros, Vec<NodeId>), String> {
    let applied = applied(record, name)?;
    let first = applied.steps.first().map_or(applied.started, |(at, _)| *at);
    let event = record.timeline.event(name);
    let over = event.and_then(|event| event.lasts).map(|lasts| first.plus(lasts));
    let ended = applied.ended.unwrap_or(record.load_stopped_at);
    let end = over.map_or(ended, |over| over.min(ended)).min(record.load_stopped_at);
    Ok((first, end.max(first), applied.ended.unwrap_or(Micros::MAX), applied.resolved.clone()))
}

/// What became of an event that did come about.
pub fn applied<'a>(record: &'a Record, name: &str) -> Result<&'a Applied, String> {
    let Some(applied) = record.applied.iter().find(|applied| applied.event == name) else {
        return Err(match record.timeline.event(name) {
            Some(_) => format!("{name} never began"),
            None => format!("there is no event `{name}`"),
        });
    };
    match &applied.status {
        Status::Applied => Ok(applied),
        Status::Skipped(why) => Err(format!("{name} was skipped: {why}")),
        Status::Failed(why) => Err(format!("{name} did not come about: {why}")),
    }
}

impl Window {
    /// The time that is named, or why there was none.
    pub fn of(record: &Record, named: &Named<'_>) -> Result<Self, String> {
        let (mut from, mut to) = (record.healthy_at, record.load_stopped_at);
        let mut began = Micros::MAX;
        let mut struck = BTreeSet::new();
        let mut told = Vec::new();
        for (word, names) in [
            ("before", named.before),
            ("during", named.during),
            ("after", named.after),
            ("from", named.from),
            ("until", named.until),
        ] {
            for name in names {
                let (first, end, ended, nodes) = in_force(record, name)?;
                let started = applied(record, name)?.started;
                match word {
                    "before" | "until" => to = to.min(started),
                    "during" => (from, to) = (from.max(first), to.min(end)),
                    "after" => from = from.max(ended),
                    _ => from = from.max(first),
                }
                if word != "until" {
                    struck.extend(nodes);
                    began = began.min(started);
                }
            }
            if !names.is_empty() {
                told.push(format!("{word} {}", names.join(" and ")));
            }
        }
        let told = if told.is_empty() { "in the whole run".into() } else { told.join(", ") };
        if from >= to {
            return Err(format!("{told} is no time of this run"));
        }
        Ok(Self { from, to, struck, began: began.min(to), told })
    }

    /// The nodes meant, in groups that are judged by themselves, each with its name.
    pub fn groups(&self, record: &Record, of: Of) -> Vec<(String, BTreeSet<NodeId>)> {
        let all: BTreeSet<NodeId> = record.lives.iter().map(|life| life.node).collect();
        let named =
            |nodes: &BTreeSet<NodeId>| super::super::facts::names(&nodes.iter().copied().collect::<Vec<_>>());
        match of {
            Of::All => vec![("the cluster".into(), all)],
            Of::Each => all.into_iter().map(|node| (node.to_string(), BTreeSet::from([node]))).collect(),
            Of::Struck => vec![(named(&self.struck), self.struck.clone())],
            Of::Others => {
                let others: BTreeSet<NodeId> = all.difference(&self.struck).copied().collect();
                vec![(named(&others), others)]
            }
            Of::Node(number) => vec![(NodeId(number).to_string(), BTreeSet::from([NodeId(number)]))],
        }
    }

    pub fn holds(&self, at: Micros) -> bool {
        self.from <= at && at <= self.to
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Scene, ms};
    use super::*;

    fn named<'a>(word: &str, names: &'a [String]) -> Named<'a> {
        let one = |other: &str| if word == other { names } else { &[] };
        Named {
            before: one("before"),
            during: one("during"),
            after: one("after"),
            from: one("from"),
            until: one("until"),
        }
    }

    #[test]
    fn a_time_begins_when_its_event_is_in_force_and_ends_before_it_is_undone() {
        let mut scene = Scene::new(1, 2).healthy();
        scene.apply("cut", "cut: {node: node-0}", 6000, Some(9400), &[0]);
        scene.record.applied[0].steps = vec![(ms(6010), "4 links".into()), (ms(9300), "healed".into())];
        scene.record.timeline.events[0].lasts = Some(crate::time::Millis(3000));
        let names = ["cut".to_string()];
        for (word, from, to) in [
            ("before", 5000, 6000),
            ("during", 6010, 9010),
            ("after", 9400, 10_000),
            ("from", 6010, 10_000),
            ("until", 5000, 6000),
        ] {
            let window = Window::of(&scene.record, &named(word, &names)).expect(word);
            assert_eq!((window.from, window.to), (ms(from), ms(to)), "{word}");
        }
        let window = Window::of(&scene.record, &named("during", &names)).expect("a time");
        let groups = |of| window.groups(&scene.record, of);
        assert_eq!(groups(Of::Struck)[0].1, BTreeSet::from([NodeId(0)]));
        assert_eq!(groups(Of::Others)[0].1, BTreeSet::from([NodeId(1), NodeId(2)]));
        assert_eq!(groups(Of::Each).len(), 3);
        assert_eq!(groups(Of::Node(2))[0].0, "node-2");
    }

    #[test]
    fn what_did_not_happen_has_no_time() {
        let mut scene = Scene::new(1, 2).healthy();
        scene.apply("cut", "cut: {node: node-0}", 6000, Some(9000), &[0]);
        let names = ["other".to_string()];
        let why = Window::of(&scene.record, &named("during", &names)).unwrap_err();
        assert!(why.contains("no event `other`"), "{why}");
        scene.record.applied[0].status = Status::Skipped("nobody is there".into());
        let names = ["cut".to_string()];
        let why = Window::of(&scene.record, &named("during", &names)).unwrap_err();
        assert!(why.contains("was skipped"), "{why}");
    }
}
