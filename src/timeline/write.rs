//! A timeline as text: the native form that `spec::parse` reads back to the same bytes.
//!
//! One timeline has one text. Keys stand in a fixed order, fields at their default are left out, every event has
//! a line of its own, and the hash closes the text as a comment. The form for people is in `text`.

use super::{Event, Observation, Start, Timeline};
use crate::catalogue::{Action, CheckSpec};
use crate::spec::FORM;
use crate::spec::forms::MessageSeen;
use crate::yaml::fields::{Field, Record, mapping, quote};
use std::fmt::Write as _;

/// What the last line of a printed timeline begins with, before the hash.
pub const HASH_COMMENT: &str = "# timeline hash: ";

impl Timeline {
    /// The native form. Reading it back gives this timeline again, and printing that gives these bytes.
    pub fn to_yaml(&self) -> String {
        let mut lines = vec![format!("fuzz: {FORM}")];
        let mut line = |key: &str, text: String| lines.push(format!("{key}: {text}"));
        if let Some(name) = &self.name {
            line("name", quote(name));
        }
        line("seed", self.seed.to_string());
        line("generator", quote(&self.generator));
        line("catalogue", self.catalogue.to_string());
        line("profile", quote(&self.profile));
        line("target", quote(&self.target));
        line("environment", quote(&self.environment));
        line("cluster", mapping(self.cluster.write_fields()));
        line("load", mapping(self.load.write_fields()));
        line("length", self.length.write());
        if !self.bugs.is_empty() {
            line("bugs", self.bugs.write());
        }
        if !self.schedule.is_empty() {
            line("schedule", mapping(self.schedule.write_fields()));
        }
        line("checks", sequence(self.checks.iter().map(check)));
        if self.events.is_empty() {
            line("timeline", "[]".into());
        } else {
            lines.push("timeline:".into());
            lines.extend(self.events.iter().map(|event| format!("  - {}", event.to_flow())));
        }
        let mut text = lines.join("\n");
        writeln!(text, "\n{HASH_COMMENT}{}", self.hash().to_hex()).expect("a string takes all");
        text
    }
}

impl Event {
    /// The event as one flow mapping: `{id: e1, at: 2s, do: {kill: {node: shard-1-primary}}, for: 3s}`.
    pub fn to_flow(&self) -> String {
        let mut fields = vec![("id", quote(&self.id)), self.start.to_field()];
        if self.delay.0 > 0 {
            fields.push(("delay", self.delay.write()));
        }
        if let Some(within) = self.within {
            fields.push(("within", within.write()));
        }
        fields.push(("do", self.action.to_flow()));
        if let Some(lasts) = self.lasts {
            fields.push(("for", lasts.write()));
        }
        mapping(fields)
    }
}

impl Start {
    fn to_field(&self) -> (&'static str, String) {
        match self {
            Self::At(at) => ("at", at.write()),
            Self::Forming(at) => ("forming", at.write()),
            Self::After(anchors) if anchors.len() == 1 => ("after", quote(&anchors[0])),
            Self::After(anchors) => ("after", anchors.write()),
            Self::With(anchor) => ("with", quote(anchor)),
            Self::When(observation) => ("when", observation.to_flow()),
        }
    }
}

impl Observation {
    /// The observation as one flow mapping: `{log: {node: any, has: "Failover election won"}}`.
    pub fn to_flow(&self) -> String {
        let (name, fields) = match self {
            Self::Log { node, has } => ("log", vec![("node", node.write()), ("has", has.write())]),
            Self::Role { node, is } => ("role", vec![("node", node.write()), ("is", is.write())]),
            Self::NoPrimary { shard } => ("no_primary", vec![("shard", shard.write())]),
            Self::Exit { node } => ("exit", vec![("node", node.write())]),
            Self::Operation { client, number } => {
                ("operation", vec![("client", client.write()), ("number", number.write())])
            }
            Self::Message { kind, from, to, nth } => {
                let seen = MessageSeen { r#type: *kind, from: from.clone(), to: to.clone(), nth: *nth };
                ("message", seen.write_fields())
            }
        };
        mapping(vec![(name, mapping(fields))])
    }
}

impl Action {
    /// The action as one flow mapping: `{kill: {node: shard-1-primary}}`.
    pub fn to_flow(&self) -> String {
        mapping(vec![(self.name(), mapping(self.write_fields()))])
    }
}

/// A check by its name alone, or with its bounds.
fn check(check: &CheckSpec) -> String {
    let fields = check.write_fields();
    if fields.is_empty() { check.name().into() } else { mapping(vec![(check.name(), mapping(fields))]) }
}

fn sequence(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use crate::catalogue::{Action, CheckSpec, NodeSelector};
    use crate::check::convergence_time::ConvergenceTime;
    use crate::check::crash::Crash;
    use crate::entropy::Seed;
    use crate::fault::kill::{Kill, Signal};
    use crate::fault::pause::Pause;
    use crate::time::Millis;
    use crate::timeline::{
        Cluster, Event, Formation, Load, Observation, Schedule, Settings, Start, Timeline,
    };

    fn example() -> Timeline {
        let kill = Kill {
            node: NodeSelector::Primary(1),
            signal: Signal::Term,
            spare_shard: false,
            spare_dead: false,
        };
        let seen = Observation::Log { node: NodeSelector::Any, has: "Failover election won: \"x\"".into() };
        let event = |id: &str, start, delay, action, lasts| Event {
            id: id.to_owned().into(),
            start,
            delay: Millis(delay),
            within: None,
            action,
            lasts,
        };
        Timeline {
            seed: Seed(67890),
            generator: "chacha8-blake3/1".into(),
            catalogue: 1,
            profile: "processes/1".into(),
            name: Some("a kill: and more".into()),
            target: "valkey".into(),
            environment: "processes".into(),
            cluster: Cluster {
                shards: 3,
                replicas: 1,
                formation: Formation::Written,
                settings: Settings([("cluster-node-timeout".into(), "2000".into())].into()),
                password: false,
                acl_user: false,
                base_port: None,
            },
            load: Load { clients: 4, ..Load::default() },
            length: Millis::secs(15),
            events: vec![
                event("e1", Start::At(Millis::secs(2)), 0, Action::Kill(kill), Some(Millis(3500))),
                event(
                    "e2",
                    Start::When(seen),
                    20,
                    Action::Pause(Pause { node: NodeSelector::Node(3) }),
                    Some(Millis(1500)),
                ),
                event(
                    "e3",
                    Start::After(vec!["e1".into(), "e2".into()]),
                    0,
                    Action::Pause(Pause { node: NodeSelector::SameAs("e1".into()) }),
                    None,
                ),
            ],
            checks: vec![
                CheckSpec::Crash(Crash {}),
                CheckSpec::ConvergenceTime(ConvergenceTime { within: Some(Millis::secs(20)) }),
            ],
            bugs: vec![],
            schedule: Schedule::default(),
        }
    }

    #[test]
    fn a_timeline_prints_one_event_per_line_and_its_hash_last() {
        let timeline = example();
        let expected = format!(
            r#"fuzz: 1
name: "a kill: and more"
seed: 67890
generator: chacha8-blake3/1
catalogue: 1
profile: processes/1
target: valkey
environment: processes
cluster: {{shards: 3, settings: {{cluster-node-timeout: 2000}}}}
load: {{clients: 4}}
length: 15s
checks: [crash, {{convergence_time: {{within: 20s}}}}]
timeline:
  - {{id: e1, at: 2s, do: {{kill: {{node: shard-1-primary, signal: TERM}}}}, for: 3s500ms}}
  - {{id: e2, when: {{log: {{node: any, has: "Failover election won: \"x\""}}}}, delay: 20ms, do: {{pause: {{node: node-3}}}}, for: 1s500ms}}
  - {{id: e3, after: [e1, e2], do: {{pause: {{node: target-of-e1}}}}}}
# timeline hash: {}
"#,
            timeline.hash().to_hex()
        );
        assert_eq!(timeline.to_yaml(), expected);
    }

    #[test]
    fn a_pinned_schedule_is_written() {
        let order = Some(crate::timeline::Windows(0));
        let schedule = Schedule { policy: Some(crate::timeline::Policy::RoundRobin), key: Some(9), order };
        let text = Timeline { schedule, ..example() }.to_yaml();
        assert!(
            text.contains("\nlength: 15s\nschedule: {policy: round_robin, key: 9, order: off}\nchecks: "),
            "{text}"
        );
    }

    #[test]
    fn a_timeline_without_events_prints_an_empty_list() {
        let quiet = Timeline { events: Vec::new(), checks: Vec::new(), ..example() };
        let text = quiet.to_yaml();
        assert!(text.contains("\nchecks: []\ntimeline: []\n# timeline hash: "), "{text}");
    }
}
