//! What a run reached, in words, without any help of the servers: the order of their log lines, the states that
//! nodes and cluster went through, what clients were told and how long they waited, what became of the events, and how
//! near a run came to its bounds. Nodes, keys, times and counts are left out, so that a feature is the same whichever
//! node it was.

use crate::catalogue::MessageType;
use crate::env::talk::THEN;
use crate::history::Outcome;
use crate::run::record::{Record, Status};
use crate::run::view::{ClusterView, NodeReport};
use crate::time::Micros;
use crate::timeline::Role;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

crate::word! {
    /// What a feature is about.
    pub enum Family {
        /// A log line, or two that follow one another on one node.
        Log = "log",
        /// A node that goes from one state to another, by its own word.
        Node = "node",
        /// A cluster that goes from one state to another, by the words of all.
        Cluster = "cluster",
        /// What a client was told after what.
        Client = "client",
        /// How long an operation took, in powers of two.
        Latency = "latency",
        /// What became of an event, and of two at once.
        Event = "event",
        /// How much of a bound was used.
        Bound = "bound",
        /// What a node said to others and heard of them, in ones, twos and threes.
        Talk = "talk",
    }
}

/// One thing that a run reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Feature {
    pub family: Family,
    pub what: String,
}

/// How much of a log line counts.
const LINE_MAX: usize = 80;

impl Feature {
    fn new(family: Family, what: impl Into<String>) -> Self {
        Self { family, what: what.into() }
    }

    /// A log line that an event can wait for.
    pub fn line(&self) -> Option<&str> {
        let line = (self.family == Family::Log && !self.what.contains(THEN)).then_some(self.what.as_str())?;
        (line.len() >= 12).then_some(line)
    }

    /// A kind of message that was sent.
    pub fn sent(&self) -> Option<MessageType> {
        let kind = self.what.strip_prefix("sends ").filter(|_| self.family == Family::Talk)?;
        MessageType::ALL.iter().find(|known| known.as_str() == kind).copied()
    }

    /// As it was written by `Display`.
    pub fn parse(text: &str) -> Option<Self> {
        let (family, what) = text.split_once(' ')?;
        let family = Family::ALL.iter().find(|known| known.as_str() == family)?;
        Some(Self::new(*family, what))
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.what)
    }
}

/// All that a run reached.
pub fn features(record: &Record) -> BTreeSet<Feature> {
    let mut out = BTreeSet::new();
    logs(record, &mut out);
    states(record, &mut out);
    clients(record, &mut out);
    events(record, &mut out);
    bounds(record, &mut out);
    // While the cluster forms all is said that belongs to that.
    let since = record.said.iter().filter(|said| said.last >= record.healthy_at);
    out.extend(since.map(|said| Feature::new(Family::Talk, said.what.clone())));
    out
}

type Out = BTreeSet<Feature>;

fn logs(record: &Record, out: &mut Out) {
    let mut last: BTreeMap<u16, String> = BTreeMap::new();
    for line in &record.log_lines {
        let template = template(&line.line);
        if template.is_empty() {
            continue;
        }
        out.insert(Feature::new(Family::Log, template.clone()));
        let before = last.insert(line.node.0, template.clone());
        if let Some(before) = before.filter(|before| *before != template) {
            out.insert(Feature::new(Family::Log, format!("{before}{THEN}{template}")));
        }
    }
}

/// The longest run of words of a log line that holds no particular, without the stamp before it.
pub fn template(line: &str) -> String {
    // `70001:M 01 Jan 2026 00:00:05.135 * Synchronization with replica 127.0.0.1:7007 succeeded`
    let text = line.split_once(" * ").or_else(|| line.split_once(" # ")).or_else(|| line.split_once(" - "));
    let text = text.map_or(line, |(_, text)| text);
    let mut best = "";
    let (mut from, mut to) = (0, 0);
    for word in text.split_inclusive(char::is_whitespace) {
        let plain = word.trim_end();
        let particular =
            plain.contains(|sign: char| sign.is_ascii_digit() || "'\"`".contains(sign)) || plain.len() > 30;
        if particular {
            from = to + word.len();
        } else if to + plain.len() - from > best.len() {
            best = &text[from..to + plain.len()];
        }
        to += word.len();
    }
    let mut end = best.len().min(LINE_MAX);
    while !best.is_char_boundary(end) {
        end -= 1;
    }
    best[..end].trim().to_string()
}

fn states(record: &Record, out: &mut Out) {
    let (mut nodes, mut cluster): (BTreeMap<u16, String>, Option<String>) = (BTreeMap::new(), None);
    for view in &record.views {
        for node in &view.nodes {
            let state = node.report.as_ref().map_or_else(|_| "silent".into(), own_state);
            let before = nodes.insert(node.node.0, state.clone());
            if let Some(before) = before.filter(|before| *before != state) {
                out.insert(Feature::new(Family::Node, format!("{before}{THEN}{state}")));
            }
        }
        let state = state(view, record.timeline.cluster.shards);
        let before = cluster.replace(state.clone());
        if let Some(before) = before.filter(|before| *before != state) {
            out.insert(Feature::new(Family::Cluster, format!("{before}{THEN}{state}")));
        }
    }
}

/// The cluster at the end of a run, in words without particulars.
pub fn end_state(record: &Record) -> String {
    let Some(last) = &record.last else { return "never looked at".into() };
    let settled = if last.settled_at.is_some() { "" } else { ", not settled" };
    format!("{}{settled}", state(&last.view, record.timeline.cluster.shards))
}

fn few(count: usize) -> &'static str {
    match count {
        0 => "no",
        1 => "one",
        _ => "several",
    }
}

/// A node by its own word.
fn own_state(report: &NodeReport) -> String {
    let others = || report.members.iter().filter(|member| !member.myself);
    let mut words = vec![report.replication.role.to_string(), report.state.clone()];
    if report.replication.role == Role::Replica {
        let link = match (report.replication.link_up, report.replication.sync_in_progress) {
            (true, _) => "linked",
            (_, true) => "syncing",
            _ => "unlinked",
        };
        words.push(link.into());
    } else if report.own_slots().is_empty() {
        words.push("without slots".into());
    }
    if let Some(me) = report.myself() {
        for (open, word) in [(&me.migrating, "migrating"), (&me.importing, "importing")] {
            if !open.is_empty() {
                words.push(word.into());
            }
        }
        if others().any(|other| other.role == Role::Primary && other.config_epoch == me.config_epoch) {
            words.push("epoch shared".into());
        }
        if others().any(|other| other.config_epoch > report.current_epoch) {
            words.push("epoch behind".into());
        }
    }
    for (count, word) in [
        (others().filter(|other| other.fail).count(), "failed"),
        (others().filter(|other| other.maybe_fail).count(), "suspected"),
        (others().filter(|other| other.handshake).count(), "in handshake"),
        (others().filter(|other| other.noaddr).count(), "without address"),
    ] {
        if count > 0 {
            words.push(format!("{} {word}", few(count)));
        }
    }
    words.join(", ")
}

/// The cluster by the words of all.
fn state(view: &ClusterView, shards: u16) -> String {
    let reports: Vec<&NodeReport> = view.answered().map(|(_, report)| report).collect();
    let mut words = Vec::new();
    let primaries = reports.iter().filter(|report| !report.own_slots().is_empty()).count();
    words.push(match primaries.cmp(&usize::from(shards)) {
        std::cmp::Ordering::Less => "primaries missing",
        std::cmp::Ordering::Equal => "all primaries",
        std::cmp::Ordering::Greater => "more primaries",
    });
    let silent = view.nodes.len() - reports.len();
    if silent > 0 {
        words.push(if silent == 1 { "one silent" } else { "several silent" });
    }
    let mut owned: Vec<(u16, u16)> = reports.iter().flat_map(|report| report.own_slots()).copied().collect();
    owned.sort_unstable();
    if owned.windows(2).any(|two| two[1].0 <= two[0].1) {
        words.push("slots owned twice");
    }
    let count: u32 = owned.iter().map(|(first, last)| u32::from(*last) - u32::from(*first) + 1).sum();
    if count < 16384 {
        words.push("slots without owner");
    }
    let differ = |of: &dyn Fn(&NodeReport) -> u64| {
        let mut all = reports.iter().map(|report| of(report));
        all.next().is_some_and(|first| all.any(|other| other != first))
    };
    if differ(&|report| report.current_epoch) {
        words.push("epochs differ");
    }
    if differ(&|report| report.members.len() as u64) {
        words.push("members differ");
    }
    if differ(&|report| u64::from(report.state == "ok")) {
        words.push("health differs");
    }
    let mine = reports.iter().filter_map(|report| report.myself());
    let mut epochs: Vec<u64> = mine
        .filter(|me| me.role == Role::Primary && !me.slots.is_empty())
        .map(|me| me.config_epoch)
        .collect();
    epochs.sort_unstable();
    if epochs.windows(2).any(|two| two[0] == two[1]) {
        words.push("epochs collide");
    }
    words.join(", ")
}

/// An outcome without its particulars: the first word of an error.
fn told(outcome: &Outcome) -> String {
    let first = |text: &str| -> String {
        let word = text.split([' ', ':']).next().unwrap_or_default();
        word.chars().filter(|sign| !sign.is_ascii_digit()).take(24).collect()
    };
    match outcome {
        Outcome::Ok(_) => "ok".into(),
        Outcome::Fail(error) => format!("refused {}", first(error)),
        Outcome::Unknown(error) => format!("unknown {}", first(error)),
    }
}

fn clients(record: &Record, out: &mut Out) {
    let mut last: BTreeMap<u32, String> = BTreeMap::new();
    for operation in &record.history {
        let mut now = told(&operation.outcome);
        for redirect in operation.redirects.iter().take(2) {
            now = format!("{} {now}", redirect.kind);
        }
        let what = format!("{} {now}", operation.kind);
        if operation.ok() {
            let took = operation.complete.logical.since(operation.invoke.logical);
            out.insert(Feature::new(
                Family::Latency,
                format!("{} up to {} ms", operation.kind, ceiling(took.millis().0)),
            ));
        }
        out.insert(Feature::new(Family::Client, what));
        let before = last.insert(operation.client, now.clone());
        if let Some(before) = before.filter(|before| *before != now) {
            out.insert(Feature::new(Family::Client, format!("{before}{THEN}{now}")));
        }
    }
}

/// The next power of two.
fn ceiling(number: u64) -> u64 {
    number.max(1).next_power_of_two()
}

fn events(record: &Record, out: &mut Out) {
    let mut open: Vec<(&str, Micros)> = Vec::new();
    for applied in &record.applied {
        let (word, why) = match &applied.status {
            Status::Applied => ("applied", ""),
            Status::Skipped(why) => ("skipped", why.as_str()),
            Status::Failed(why) => ("failed", why.as_str()),
        };
        let why = template(why);
        let why = if why.is_empty() { why } else { format!(": {why}") };
        out.insert(Feature::new(Family::Event, format!("{} {word}{why}", applied.action)));
        if applied.status == Status::Applied {
            open.retain(|(_, end)| *end > applied.started);
            for (other, _) in &open {
                out.insert(Feature::new(Family::Event, format!("{} during {other}", applied.action)));
            }
            open.push((applied.action.as_str(), applied.ended.unwrap_or(record.healed_at)));
        }
    }
    for life in &record.lives {
        if let Some((_, exit)) = &life.ended
            && life.signalled.is_empty()
        {
            out.insert(Feature::new(Family::Event, format!("a process ends by itself: {exit:?}")));
        }
    }
}

fn bounds(record: &Record, out: &mut Out) {
    let Some(last) = &record.last else { return };
    let what = match last.settled_at {
        Some(at) => {
            let tenths = at.since(record.healed_at).millis().0 * 10 / last.bound.0.max(1);
            format!("settled within {} tenths", tenths + 1)
        }
        None => "not settled".into(),
    };
    out.insert(Feature::new(Family::Bound, what));
    for catch_up in &last.catch_up {
        let what = catch_up.after.map_or("a replica never catches up".into(), |after| {
            format!("a replica catches up within {} ms", ceiling(after.0))
        });
        out.insert(Feature::new(Family::Bound, what));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_known_by_its_longest_plain_part() {
        let line = "70001:M 01 Jan 2026 00:00:05.135 * Synchronization with replica 127.0.0.1:7007 succeeded";
        assert_eq!(template(line), "Synchronization with replica");
        assert_eq!(template("Failover election won: I'm the new primary."), "Failover election won:");
        assert_eq!(template(""), "");
        assert_eq!(template("1 2 3"), "");
        assert!(line.contains(&template(line)), "an event can wait for it");
        assert!(template(&"word ".repeat(100)).len() <= LINE_MAX);
    }

    #[test]
    fn a_feature_reads_back() {
        let one = Feature::new(Family::Log, "Failover auth granted -> Clear FAIL state");
        assert_eq!(Feature::parse(&one.to_string()), Some(one.clone()));
        assert_eq!(one.line(), None, "two lines are no line");
        assert_eq!(Feature::new(Family::Log, "Failover auth granted").line(), Some("Failover auth granted"));
        assert_eq!(Feature::parse("nothing of it"), None);
    }
}
