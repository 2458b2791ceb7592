//! Faults of links between real servers, as a user has them: scenarios (`tests/live/*.yaml`) on every server that is
//! installed. What came of each is read from the run's own record: who served whom, who took over, what was counted.

use super::servers::{Ran, amiss, installed, run, side_by_side};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// Most of a run is waiting.
const AT_ONCE: usize = 4;

/// Redis 7.0 writes `nodes.conf` in place and does not always sync it, so that a loss of power may tear it, and the
/// server does not start again. It is written beside and renamed since 7.2 and in Valkey (redis/redis#10924). Of such a
/// run the scenarios tell nothing.
const TORN_CONFIG: &str = "Unrecoverable error: corrupted cluster config file";

/// A scenario, and what is wrong with its run.
type Scenario = (&'static str, fn(&Told) -> Vec<String>);

const SCENARIOS: &[Scenario] = &[
    ("bus", bus),
    ("clients", clients),
    ("rhythm", rhythm),
    ("weather", weather),
    ("half-open", half_open),
    ("messages", messages),
    ("order", order),
    ("resources", resources),
    ("power-always", power_always),
    ("power-everysec", power_everysec),
    ("bit-flip", bit_flip),
    ("gone", gone),
    ("foreign", foreign),
];

/// Runs those whose name holds the filter. Answers which failed.
pub fn all(filter: &str, power: bool) -> Vec<String> {
    let here = |name: &str| power || !name.starts_with("power");
    let named: Vec<&Scenario> = SCENARIOS
        .iter()
        .filter(|(name, _)| here(name) && format!("scenario_{name}").contains(filter))
        .collect();
    let servers = if named.is_empty() { Vec::new() } else { installed() };
    if servers.is_empty() && !named.is_empty() {
        println!("live: scenarios: skipped, no server is on PATH");
    }
    let jobs: Vec<(&Scenario, &PathBuf)> =
        named.iter().flat_map(|scenario| servers.iter().map(move |server| (*scenario, server))).collect();
    let attempt = |(name, judge): &Scenario, server: &PathBuf| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/live/{name}.yaml"));
        let ran = run(&format!("live-{name}"), &["run", &file.to_string_lossy(), "--seed", "1"], server);
        let mut amiss = amiss(&ran);
        let told = Told(ran);
        amiss.extend(judge(&told));
        (amiss, told)
    };
    let runs = side_by_side(&jobs, AT_ONCE, |(scenario, server)| attempt(scenario, server));
    let mut failed = Vec::new();
    for ((scenario, server), (mut amiss, mut told)) in jobs.iter().zip(runs) {
        let what = format!("scenario_{}, {}", scenario.0, server.display());
        // Several ran at once, in real time: a busy machine has a second attempt, alone.
        if !amiss.is_empty() {
            println!("live: {what}: run again, for it went so: {}", amiss.join("; "));
            (amiss, told) = attempt(scenario, server);
        }
        let known = !amiss.is_empty() && told.is_torn_config();
        let said = match (amiss.is_empty(), known) {
            (true, _) => "ok",
            (_, true) => "not decided: the server found its nodes.conf torn, redis/redis#10924",
            _ => "FAILED",
        };
        println!("live: {what}: {said}");
        if !amiss.is_empty() && !known {
            println!("  {}\n{}", amiss.join("\n  "), told.0.story());
            failed.push(format!("{what}: {}", amiss.join("; ")));
        }
    }
    failed
}

/// What a run tells of itself.
struct Told(Ran);

impl Told {
    /// Whether the one finding is that a server could not read its own `nodes.conf`.
    fn is_torn_config(&self) -> bool {
        let torn = self.0.judged("crash").is_some_and(|crash| {
            let evidence = crash["evidence"].as_array();
            evidence
                .into_iter()
                .flatten()
                .all(|line| line.as_str().is_some_and(|it| it.contains(TORN_CONFIG)))
        });
        torn && matches!(self.0.findings()[..], [one] if one.starts_with("crash: "))
    }

    /// When an event was in force, in microseconds.
    fn span(&self, event: &str) -> (u64, u64) {
        let applied = self.0.applied().find(|applied| applied["event"] == event);
        let at = |field: &str| applied.and_then(|applied| applied[field].as_u64()).unwrap_or(0);
        (at("started"), at("ended"))
    }

    /// The last step of an event: its heal.
    fn healed(&self, event: &str) -> String {
        let applied = self.0.applied().find(|applied| applied["event"] == event);
        let steps = applied.and_then(|applied| applied["steps"].as_array()).and_then(|steps| steps.last());
        steps.and_then(|step| step[1].as_str()).unwrap_or_default().to_string()
    }

    /// Operations on a node that were issued in a span and acknowledged.
    fn acknowledged(&self, node: u64, (from, to): (u64, u64)) -> usize {
        let text = fs::read_to_string(self.0.out.join("history.jsonl")).unwrap_or_default();
        let operations = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let on = |operation: &Value| {
            let at = operation["invoke"]["logical"].as_u64().unwrap_or(0);
            operation["node"] == node && !operation["outcome"]["ok"].is_null() && (from..to).contains(&at)
        };
        operations.filter(on).count()
    }

    /// Whom a shard had as its primary after the start, in order.
    fn promoted(&self, shard: u64) -> Vec<u64> {
        let roles = self.0.events.iter().filter(|event| event["event"] == "role");
        let primaries = roles.filter(|role| role["shard"] == shard && role["role"] == "primary");
        primaries.filter_map(|role| role["node"].as_u64()).skip(1).collect()
    }

    /// Where in the stream of events a node's log first says this; how often it does.
    fn logged(&self, node: u64, text: &str) -> (Option<usize>, usize) {
        let says = |event: &Value| {
            let line = &event["line"];
            line["node"] == node && line["line"].as_str().is_some_and(|line| line.contains(text))
        };
        let all = self.0.events.iter();
        (all.clone().position(says), all.filter(|event| says(event)).count())
    }

    /// Where in the stream of events an event ends.
    fn ends(&self, event: &str) -> Option<usize> {
        self.0.events.iter().position(|told| told["event"] == "applied" && told["applied"]["event"] == event)
    }

    /// A column of a link in `links.tsv`.
    fn counted(&self, from: &str, to: &str, column: &str) -> u64 {
        let text = fs::read_to_string(self.0.out.join("links.tsv")).unwrap_or_default();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
        let at = rows.first().and_then(|titles| titles.iter().position(|title| *title == column));
        let row = rows.iter().find(|row| row.len() > 1 && row[0] == from && row[1] == to);
        at.zip(row).and_then(|(at, row)| row[at].parse().ok()).unwrap_or(0)
    }
}

/// What is not so.
fn unless(holds: bool, what: impl Into<String>) -> Option<String> {
    (!holds).then(|| what.into())
}

fn bus(told: &Told) -> Vec<String> {
    let (from, to) = told.span("bus");
    // It counts its peers out after the node timeout of 1.5 s.
    let served = told.acknowledged(0, (from + 50_000, from + 1_000_000));
    let later = told.acknowledged(0, (to - 1_000_000, to));
    let healed = told.healed("bus");
    [
        unless(served > 10, format!("{served} operations served by the one that was cut off")),
        unless(later == 0, format!("{later} operations served though the majority is out of reach")),
        unless(told.promoted(0) == [1], format!("promoted: {:?}", told.promoted(0))),
        unless(told.counted("node-0", "node-1", "cut") > 0, "nothing was cut"),
        unless(told.counted("clients", "node-0", "cut") == 0, "clients were cut off"),
        unless(healed.contains("class `bus` cross between 5 pairs"), healed.clone()),
        unless(healed.contains("segments were struck"), healed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn clients(told: &Told) -> Vec<String> {
    let (from, to) = told.span("clients");
    let served = told.acknowledged(0, (from + 50_000, to - 50_000));
    let after = told.acknowledged(0, (to + 500_000, to + 3_000_000));
    let healed = told.healed("clients");
    [
        unless(served == 0, format!("{served} operations served though nothing reaches it")),
        unless(after > 10, format!("{after} operations served after the heal")),
        unless(told.promoted(0).is_empty(), format!("promoted: {:?}", told.promoted(0))),
        unless(told.counted("clients", "node-0", "cut") > 0, "nothing was cut"),
        unless(told.counted("tool", "node-0", "cut") == 0, "the tool was cut off"),
        unless(healed.contains("class `clients` cross between 6 pairs"), healed),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn rhythm(told: &Told) -> Vec<String> {
    let (from, to) = told.span("flap");
    let during = told.acknowledged(0, (from, to));
    let (stutters, runs) = told.span("stutter");
    let slowly = told.acknowledged(2, (stutters, runs));
    let after = told.acknowledged(2, (runs + 500_000, runs + 2_000_000));
    let turns = |event: &str, word: &str| {
        let said = told.healed(event);
        let number = said.split_once(word).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        (number.unwrap_or(0), said)
    };
    let ((flaps, flap), (stops, stop)) = (turns("flap", " down "), turns("stutter", " stopped "));
    [
        unless(during > 10, format!("{during} operations served by the one whose links flap")),
        unless(slowly > 10, format!("{slowly} operations served by the one that stutters")),
        unless(after > 10, format!("{after} operations served once it runs")),
        unless(told.promoted(0).is_empty(), format!("promoted: {:?}", told.promoted(0))),
        unless(told.promoted(1).is_empty(), format!("promoted: {:?}", told.promoted(1))),
        // A busy machine makes each turn longer.
        unless((2..=4).contains(&flaps) && flap.contains("packets cross between 5 pairs"), flap),
        unless((4..=10).contains(&stops), stop),
        unless(told.counted("node-0", "node-1", "cut") > 0, "nothing was cut"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn weather(told: &Told) -> Vec<String> {
    let total = |node: &str, column: &str| -> u64 {
        (0..6).map(|other| told.counted(node, &format!("node-{other}"), column)).sum()
    };
    let (natural, lossy) = (told.healed("natural"), told.healed("bursts"));
    [
        unless(total("node-0", "lost") > 0, "nothing was lost"),
        unless(total("node-2", "delayed") > 10, "next to nothing was delayed"),
        unless(total("node-4", "cut") > 0, "nothing was cut"),
        unless(total("node-4", "kicked") == 0, "a connection was woken up"),
        unless(natural.contains("TCP tries again by itself"), natural),
        unless(lossy.contains("segments were struck"), lossy),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn resources(told: &Told) -> Vec<String> {
    let (from, to) = told.span("slow");
    let slowly = told.acknowledged(0, (from, to));
    let (slow, late, files) = (told.healed("slow"), told.healed("late"), told.healed("files"));
    let (crowd, tight) = (told.healed("crowd"), told.healed("tight"));
    // Everybody else had been there before: the nodes, the tool, four clients.
    let held =
        crowd.split(" connections").next().and_then(|text| text.rsplit(' ').next()?.parse::<u64>().ok());
    let strobe = told.healed("strobe");
    let memory = told.0.applied().find(|applied| applied["event"] == "memory");
    let memory = memory.map(|applied| applied["steps"].to_string()).unwrap_or_default();
    [
        unless(slowly > 10, format!("{slowly} operations served by the one that is slow")),
        unless(told.promoted(0).is_empty(), format!("promoted: {:?}", told.promoted(0))),
        unless(slow.contains("of 1% asked for it had") && !slow.contains("stopped 0 times"), slow),
        unless(late.contains("the busy threads had"), late),
        unless(files.contains("files open at the end"), files),
        unless(held.is_some_and(|held| held > 30), crowd),
        unless(memory.contains("killed with") && memory.contains("started again with its data"), memory),
        unless(tight.contains("may have all memory"), tight),
        unless(strobe.contains("5s ahead and back") && strobe.contains("as it says itself"), strobe),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn half_open(told: &Told) -> Vec<String> {
    let (_, to) = told.span("silent");
    let after = told.acknowledged(0, (to + 500_000, to + 2_000_000));
    let steps = |event: &str| {
        let applied = told.0.applied().find(|applied| applied["event"] == event);
        applied.map(|applied| applied["steps"].to_string()).unwrap_or_default()
    };
    let (told_at_once, silent) = (steps("told"), steps("silent"));
    [
        unless(after > 10, format!("{after} operations served after it")),
        unless(told.promoted(0).is_empty(), format!("promoted: {:?}", told.promoted(0))),
        // A link of the bus each way.
        unless(told_at_once.contains("lost 2 connections that node-2 still has"), told_at_once),
        unless(silent.contains("connections that clients still has"), silent),
        unless(told.counted("clients", "node-0", "silenced") > 0, "no client was left in silence"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn messages(told: &Told) -> Vec<String> {
    let (_, elections) = told.logged(1, "Starting a failover election");
    let (lost, twice, connect) = (told.healed("lost"), told.healed("twice"), told.healed("connect"));
    let gone = told.healed("gone");
    [
        unless(lost.starts_with("struck FAILOVER_AUTH_REQUEST 1 from node-1 to node-2"), lost),
        unless(twice.starts_with("struck FAILOVER_AUTH_REQUEST 1 from node-1 to node-4"), twice),
        unless(connect.starts_with("struck connect 1 from node-3 to node-5"), connect),
        unless(told.counted("node-1", "node-2", "lost") == 1, "more than one message was lost"),
        unless(told.counted("node-1", "node-4", "duplicated") == 1, "not one message came twice"),
        unless(told.counted("node-3", "node-5", "lost") == 1, "not one connect was lost"),
        unless(told.promoted(0).first() == Some(&1), format!("promoted: {:?}", told.promoted(0))),
        // One vote of two is no majority of three.
        unless(elections >= 2, format!("{elections} elections")),
        unless(gone.contains("class `bus` cross"), gone),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn order(told: &Told) -> Vec<String> {
    let (order, vote) = (told.healed("order"), told.healed("vote"));
    let (won, _) = told.logged(1, "Failover election won");
    let cut: u64 = [2, 4].iter().map(|node| told.counted(&format!("node-{node}"), "node-1", "cut")).sum();
    [
        unless(order.starts_with("let go when PING from node-0 had reached node-2"), order),
        unless(told.counted("node-4", "node-2", "held") > 0, "nothing was held"),
        unless(vote.contains("segments were struck"), vote),
        unless(cut > 0, "no vote was on its way"),
        unless(told.promoted(0).first() == Some(&1), format!("promoted: {:?}", told.promoted(0))),
        unless(told.ends("vote").is_some() && told.ends("vote") < won, "the vote has arrived"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn steps(told: &Told, event: &str) -> String {
    let applied = told.0.applied().find(|applied| applied["event"] == event);
    applied.map(|applied| applied["steps"].to_string()).unwrap_or_default()
}

/// How many acknowledged writes are lost, by the reason for which they may be.
fn lost(told: &Told) -> Value {
    told.0.judged("acknowledged_loss").map(|judgement| judgement["classes"].clone()).unwrap_or_default()
}

fn power_always(told: &Told) -> Vec<String> {
    let (off, at_sync) = (steps(told, "off"), steps(told, "at-sync"));
    [
        unless(off.contains("of node-1 were not synced and are lost"), off),
        unless(at_sync.contains("node-1 lost its power before an fsync"), at_sync.clone()),
        unless(at_sync.contains("of node-1 were not synced and are lost"), at_sync),
        unless(lost(told) == serde_json::json!({}), format!("lost: {}", lost(told))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn power_everysec(told: &Told) -> Vec<String> {
    let classes = lost(told);
    let count = classes["appendfsync-everysec"].as_u64().unwrap_or(0);
    [
        unless(count > 0, format!("lost: {classes}")),
        unless(classes.as_object().is_some_and(|classes| classes.len() == 1), format!("lost: {classes}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bit_flip(told: &Told) -> Vec<String> {
    let (running, stopped) = (steps(told, "running"), steps(told, "stopped"));
    let last = stopped.contains("bit 5 of byte ") && stopped.contains(".incr.aof: 0x0a is 0x2a now");
    [
        unless(running.contains("node-3: bit ") && running.contains(".incr.aof: 0x"), running),
        unless(last, stopped),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn gone(told: &Told) -> Vec<String> {
    let (gone, reads) = (steps(told, "gone"), steps(told, "reads"));
    [
        unless(gone.contains("files of node-3 are gone"), gone.clone()),
        unless(gone.contains("node-3 started again, data wiped"), gone),
        unless(reads.contains("the disk of node-4 is well"), reads),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn foreign(told: &Told) -> Vec<String> {
    let (foreign, narrow) = (steps(told, "foreign"), steps(told, "narrow"));
    let mut notes = told.0.events.iter().filter(|event| event["event"] == "note");
    let wiped =
        notes.any(|note| note.to_string().contains("node-3, which came back as another node, was wiped"));
    let voided = told.0.judged("topology").is_some_and(|judgement| judgement["verdict"] == "voided");
    [
        unless(foreign.contains("node-3 finds what node-1 had"), foreign.clone()),
        unless(foreign.contains("node-3 started again, data foreign"), foreign),
        unless(narrow.contains("the disk of node-4 is well"), narrow),
        unless(voided, "what is claimed of the topology is not void"),
        unless(wiped, "it was not wiped"),
    ]
    .into_iter()
    .flatten()
    .collect()
}
