//! A timeline for people: what `fuzz generate` prints by default. Nothing reads it back.

use super::{Event, Observation, Start, Timeline};
use crate::catalogue::{Action, CheckSpec, MessageType, NodeSelector};
use crate::time::Millis;
use crate::yaml::fields::{Field, Record};
use std::collections::BTreeMap;
use std::fmt::{Arguments, Write as _};

impl Timeline {
    /// Header, cluster, load, and one aligned line per event in the order of their start. The hash closes it.
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |key: &str, text: String| lines.push(format!("{key:<10} {text}"));
        if let Some(name) = &self.name {
            line("name", name.clone());
        }
        line("seed", format!("{} ({}, catalogue {})", self.seed, self.generator, self.catalogue));
        line("target", format!("{} in {} ({})", self.target, self.environment, self.profile));
        line("cluster", self.cluster_text());
        line("load", self.load_text());
        if !self.bugs.is_empty() {
            line("bugs", self.bugs.join(", "));
        }
        if !self.schedule.is_empty() {
            let pinned =
                self.schedule.write_fields().into_iter().map(|(name, value)| format!("{name} {value}"));
            line("schedule", pinned.collect::<Vec<_>>().join(", "));
        }
        let checks: Vec<&str> = self.checks.iter().map(CheckSpec::name).collect();
        line("checks", if checks.is_empty() { "none".into() } else { checks.join(", ") });
        line("safety", format!("{}, then everything heals and the cluster must settle", self.length));
        line("events", self.events.len().to_string());
        lines.extend(self.table());
        lines.push(format!("timeline hash {}", self.hash().to_hex()));
        lines.join("\n") + "\n"
    }

    fn cluster_text(&self) -> String {
        let cluster = &self.cluster;
        let mut text = format!(
            "{}, {} each: {}, formation {}",
            count(cluster.shards, "shard"),
            count(cluster.replicas, "replica"),
            count(cluster.nodes(), "node"),
            cluster.formation
        );
        for (word, on) in [("password", cluster.password), ("ACL user", cluster.acl_user)] {
            if on {
                put(&mut text, format_args!(", {word}"));
            }
        }
        if let Some(port) = cluster.base_port {
            put(&mut text, format_args!(", ports from {port}"));
        }
        for (name, value) in &cluster.settings.0 {
            put(&mut text, format_args!(", {name} {}", if value.is_empty() { "\"\"" } else { value }));
        }
        text
    }

    fn load_text(&self) -> String {
        let load = &self.load;
        if load.is_none() {
            return "none".into();
        }
        let mix = load.mix_in_force().write_fields();
        let mix: Vec<String> = mix.into_iter().map(|(name, weight)| format!("{name} {weight}")).collect();
        let head = format!(
            "{}, {}, {} keys of each kind, {}; {}",
            count(load.clients, "client"),
            load.rate.write(),
            load.keys,
            load.skew,
            mix.join(" ")
        );
        let shown = ["clients", "rate", "pattern", "mix", "keys", "skew"];
        let rest = load.write_fields().into_iter().filter(|(name, _)| !shown.contains(name));
        rest.fold(head, |text, (name, value)| text + "; " + name + " " + &value)
    }

    /// One line per event: start, id, action with its fields, duration.
    fn table(&self) -> Vec<String> {
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        let starts = Starts::of(&self.events);
        order.sort_by_key(|&position| (starts.of_event(&self.events[position]), position));
        let rows: Vec<[String; 4]> = order
            .into_iter()
            .map(|position| {
                let event = &self.events[position];
                [start_text(event), event.id.to_string(), action_text(&event.action), lasts_text(event)]
            })
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (start, id, action) = (width(0).min(72), width(1), width(2).min(64));
        rows.iter()
            .map(|[a, b, c, d]| format!("  {a:<start$}  {b:<id$}  {c:<action$}  {d}").trim_end().into())
            .collect()
    }
}

/// Where each event is expected to start, for the order of the lines alone: what hangs on an event follows it,
/// what waits for an observation comes last. A circle of anchors, which no valid timeline has, ends the search.
struct Starts<'a> {
    by_id: BTreeMap<&'a str, &'a Event>,
}

impl<'a> Starts<'a> {
    fn of(events: &'a [Event]) -> Self {
        Self { by_id: events.iter().map(|event| (&*event.id, event)).collect() }
    }
    /// (phase, time, links from the clock): forming, then by the clock, then by observation.
    fn of_event(&self, event: &Event) -> (u8, Millis, usize) {
        self.walk(event, self.by_id.len())
    }
    fn walk(&self, event: &Event, links_left: usize) -> (u8, Millis, usize) {
        let hang = |anchor: &str, ended: bool| {
            let found = self.by_id.get(anchor).filter(|_| links_left > 0);
            let (phase, at, links) = found.map_or((2, Millis(0), 0), |e| self.walk(e, links_left - 1));
            let lasts = found.and_then(|e| e.lasts).filter(|_| ended).unwrap_or_default();
            (phase, at.saturating_add(lasts), links + 1)
        };
        let (phase, at, links) = match &event.start {
            Start::Forming(at) => (0, *at, 0),
            Start::At(at) => (1, *at, 0),
            Start::With(anchor) => hang(anchor, false),
            Start::After(anchors) => {
                anchors.iter().map(|anchor| hang(anchor, true)).max().unwrap_or((1, Millis(0), 0))
            }
            Start::When(_) => (2, Millis(0), 0),
        };
        (phase, at.saturating_add(event.delay), links)
    }
}

fn start_text(event: &Event) -> String {
    let mut text = match &event.start {
        Start::At(at) => at.to_string(),
        Start::Forming(at) => format!("forming {at}"),
        Start::After(anchors) => format!("after {}", anchors.join(" and ")),
        Start::With(anchor) => format!("with {anchor}"),
        Start::When(observation) => format!("when {}", observation_text(observation)),
    };
    if event.delay.0 > 0 {
        put(&mut text, format_args!(" +{}", event.delay));
    }
    if let Some(within) = event.within {
        put(&mut text, format_args!(" within {within}"));
    }
    text
}

fn observation_text(observation: &Observation) -> String {
    match observation {
        Observation::Log { node, has } => format!("{node} logs \"{has}\""),
        Observation::Role { node, is } => format!("{node} is a {is}"),
        Observation::NoPrimary { shard } => format!("shard {shard} has no primary"),
        Observation::Exit { node } => format!("{node} exits"),
        Observation::Operation { client, number } => format!("client {client} issues operation {number}"),
        Observation::Message { kind, from, to, nth } => sent_text(*kind, from, to, *nth),
    }
}

/// `node-3 sends node-1 a PONG`, with which of them it is from the second on.
pub fn sent_text(kind: MessageType, from: &NodeSelector, to: &NodeSelector, nth: u64) -> String {
    match nth {
        1 => format!("{from} sends {to} a {kind}"),
        _ => format!("{from} sends {to} a {kind}, number {nth}"),
    }
}

/// The name, the node or the harm first and bare, then every other field by its name.
fn action_text(action: &Action) -> String {
    let mut text = action.name().to_string();
    for (name, value) in action.write_fields() {
        match name {
            "node" | "harm" | "command" => put(&mut text, format_args!(" {value}")),
            _ => put(&mut text, format_args!(" {name} {value}")),
        }
    }
    text
}

fn lasts_text(event: &Event) -> String {
    match event.lasts {
        Some(lasts) => format!("for {lasts}"),
        None if event.action.info().lasting => "to the end".into(),
        None => String::new(),
    }
}

/// Appends, without a string in between.
fn put(text: &mut String, more: Arguments<'_>) {
    text.write_fmt(more).expect("a string takes all");
}

fn count(number: u16, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use crate::catalogue::{Action, NodeSelector};
    use crate::entropy::Seed;
    use crate::fault::kill::{Kill, Signal};
    use crate::fault::pause::Pause;
    use crate::target::operation::{Failover, FailoverMode};
    use crate::time::Millis;
    use crate::timeline::{
        Cluster, Event, Formation, Load, Observation, Schedule, Settings, Start, Timeline,
    };

    fn event(id: &str, start: Start, delay: u64, action: Action, lasts: Option<u64>) -> Event {
        Event {
            id: id.to_owned().into(),
            start,
            delay: Millis(delay),
            within: None,
            action,
            lasts: lasts.map(Millis),
        }
    }

    #[test]
    fn events_are_told_in_the_order_of_their_start() {
        let pause = |node| Action::Pause(Pause { node });
        let failover = Failover {
            shard: Some(1),
            of: None,
            mode: FailoverMode::Force,
            to: None,
            timeout: Millis(10_000),
        };
        let kill = Kill {
            node: NodeSelector::Primary(1),
            signal: Signal::Kill,
            spare_shard: false,
            spare_dead: false,
        };
        let exit = Observation::Exit { node: NodeSelector::Node(3) };
        let timeline = Timeline {
            seed: Seed(67890),
            generator: "chacha8-blake3/1".into(),
            catalogue: 1,
            profile: "processes/1".into(),
            name: None,
            target: "valkey".into(),
            environment: "processes".into(),
            cluster: Cluster {
                shards: 3,
                replicas: 1,
                formation: Formation::Meet,
                settings: Settings::default(),
                password: false,
                acl_user: false,
                base_port: None,
            },
            load: Load { wait: 1, ..Load::default() },
            length: Millis::secs(15),
            events: vec![
                event("last", Start::When(exit), 300, pause(NodeSelector::All), None),
                event("third", Start::After(vec!["first".into()]), 0, Action::Failover(failover), None),
                event("second", Start::With("first".into()), 50, pause(NodeSelector::Any), Some(400)),
                event("first", Start::At(Millis::secs(2)), 0, Action::Kill(kill), Some(3500)),
            ],
            checks: Vec::new(),
            bugs: Vec::new(),
            schedule: Schedule::default(),
        };
        let expected = format!(
            "\
seed       67890 (chacha8-blake3/1, catalogue 1)
target     valkey in processes (processes/1)
cluster    3 shards, 1 replica each: 6 nodes, formation meet
load       6 clients, 300/s, 500 keys of each kind, zipf; get 4 set 4 incr 1 append 1 add 1 delete 1; wait 1
checks     none
safety     15s, then everything heals and the cluster must settle
events     4
  2s                        first   kill shard-1-primary         for 3s500ms
  with first +50ms          second  pause any                    for 400ms
  after first               third   failover shard 1 mode force
  when node-3 exits +300ms  last    pause all                    to the end
timeline hash {}
",
            timeline.hash().to_hex()
        );
        assert_eq!(timeline.to_text(), expected);
    }
}
