//! The two scenario dialects of valkey-fuzzer, and the forms between them, read into a [`Spec`].
//!
//! A file is *older* or *newer* by its top level (`scenario` or `scenario_id`); each section is then read by its
//! own marks, so that files which mix the two run as well. Marks of both at one level are an error. What the
//! original tool ignores is a warning with its place, never a silent change of meaning. `docs/dialects.md` says
//! what maps to what.
//!
//! `section` reads mappings and words the messages; `operations`, `chaos`, `checks` and `workload` read the
//! sections; `slot` places operations and faults on the timeline.

mod chaos;
mod checks;
mod operations;
mod section;
mod slot;
mod workload;

use super::{ClusterSpec, Dialect, Spec, Spread};
use crate::entropy::Seed;
use crate::time::Millis;
use crate::timeline::{Load, Mix, Rate, Settings, Skew};
use crate::yaml::document::{Key, Node, Problems, Span, Value};
use crate::yaml::parse::WHAT_A_SCENARIO_NEEDS;
use section::{Section, wrong_type};
pub use slot::Dice;
use slot::{Faults, Order, Plan};

const START: Span = Span { line: 1, column: 1, length: 1 };

const TOP_NEWER: &[&str] =
    &["scenario_id", "seed", "cluster", "operations", "chaos", "state_validation", "validation", "workload"];
const TOP_OLDER: &[&str] =
    &["scenario", "cluster", "operations", "chaos", "workload", "validation", "state_validation"];
/// Keys that neither dialect has and only the native form does.
const NATIVE: &[&str] = &["timeline", "draw", "load", "checks", "target", "environment", "bugs", "schedule"];

/// Nodes listen here unless the file says otherwise.
const PORT_DEFAULT: u64 = 7000;

/// The shape of the cluster, as far as it could be read.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    shards: Option<u16>,
    replicas: Option<u16>,
    /// The port of the first node.
    port: u16,
}

impl Room {
    fn nodes(self) -> Option<u16> {
        Some(self.shards? * (1 + self.replicas?))
    }
}

/// Reads a file without the key `fuzz`. `None` when there is any error.
pub fn read(node: &Node, problems: &mut Problems) -> Option<Spec> {
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("expected a mapping, got {}", node.describe());
        problems.error(Some(START), "", &node.as_written(), message).hint(WHAT_A_SCENARIO_NEEDS);
        return None;
    }
    let mut top = Section::open(node, "", START, problems)?;
    let (older, newer) = (top.key("scenario"), top.key("scenario_id"));
    if older.is_none()
        && newer.is_none()
        && let Some(key) = NATIVE.iter().find_map(|name| top.key(name))
    {
        problems
            .error(Some(START), "", "", "the key `fuzz` is missing")
            .hint(format!("`{}` belongs to the native form, which begins with `fuzz: 1`", key.text));
        return None;
    }
    let known = |key: &Key| TOP_OLDER.iter().chain(TOP_NEWER).any(|name| *name == key.text);
    if !top.keys().any(known) {
        let message = "this is no scenario: no key at its top is one that a scenario has";
        problems.error(Some(START), "", "", message).hint(WHAT_A_SCENARIO_NEEDS);
        return None;
    }
    let dialect = match (older, newer) {
        (Some(one), Some(other)) => {
            both(("older", one), ("newer", other), "", problems);
            if one.span < other.span { Dialect::Older } else { Dialect::Newer }
        }
        (Some(_), None) => Dialect::Older,
        _ => Dialect::Newer,
    };
    let mut spec = Spec::quiet(dialect);
    head(&mut top, &mut spec, problems);
    let room = cluster(&mut top, &mut spec, problems);
    let operations = operations::read(&mut top, room, problems);
    let faults = chaos::read(&mut top, dialect, room, problems);
    // Beside items of the newer dialect the section is that of the tool's settings file, which it ignores.
    let waves = operations.as_ref().is_some_and(|(_, waves)| *waves);
    let load = if waves { None } else { workload::read(&mut top, problems) };
    let judged = checks::read(&mut top, dialect, room, problems);
    for name in ["workload", "execution", "description"] {
        if !top.was_read(name) {
            top.without_effect(name, "has no effect: neither dialect reads it here", problems);
        }
    }
    top.finish(if dialect == Dialect::Older { TOP_OLDER } else { TOP_NEWER }, problems);
    if problems.has_errors() {
        return None;
    }
    let faults = faults.unwrap_or_else(|| {
        if dialect == Dialect::Older { Faults::Listed(Vec::new()) } else { chaos::unsaid(problems) }
    });
    let (operations, waves) = operations?;
    let order = if waves { Order::Waves(judged.look) } else { Order::SideBySide };

    // Test keys are written before the first operation, as the newer tool does.
    let keys = judged.keys.filter(|_| dialect == Dialect::Newer && load.is_none());
    let (test_load, zero) = keys.map_or((Load::none(), Millis(0)), test_keys);
    let Plan { events, dice, length } = slot::plan(&operations, &faults, &order, zero);
    let load = Load { key_prefix: judged.prefix, ..load.unwrap_or(test_load) };
    spec.length = Some(length.saturating_add(TAIL).max(load.stop.unwrap_or_default()));
    spec.load = Some(load);
    spec.checks = Some(judged.checks);
    (spec.events, spec.dice) = (events, dice);
    Some(spec)
}

/// What the run lasts beyond the last thing that is known to happen in it.
const TAIL: Millis = Millis(2000);

/// Writes about as many registers as there are test keys, twice over, and then nothing: the load, and when the
/// first operation may begin.
fn test_keys(keys: u32) -> (Load, Millis) {
    const RATE: u32 = 1000;
    /// For the last write to reach the replicas.
    const QUIET: Millis = Millis(300);
    let writes = keys.saturating_mul(2);
    let seconds = writes.div_ceil(RATE).max(1);
    let stop = Millis::secs(u64::from(seconds));
    let load = Load {
        rate: Rate(writes.div_ceil(seconds)),
        mix: Some(Mix { get: 0, set: 1, incr: 0, append: 0, add: 0, delete: 0 }),
        keys,
        skew: Skew::Uniform,
        stop: Some(stop),
        ..Load::default()
    };
    (load, stop.saturating_add(QUIET))
}

/// Marks of both dialects at one level; reported at the second.
fn both(one: (&str, &Key), other: (&str, &Key), path: &str, problems: &mut Problems) {
    let ((first, before), (second, after)) =
        if one.1.span < other.1.span { (one, other) } else { (other, one) };
    let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
    problems
        .error(
            Some(after.span),
            path,
            &after.text,
            format!(
                "{place}`{}` (line {}) belongs to the {first} dialect, `{}` (line {}) to the {second} one",
                before.text, before.span.line, after.text, after.span.line
            ),
        )
        .hint("keep the keys of one of them");
}

/// Name and seed.
fn head(top: &mut Section<'_>, spec: &mut Spec, problems: &mut Problems) {
    const NAME: &str = "a name: text that is not empty, or a number";
    let name = |given: section::Given<'_>, problems: &mut Problems| {
        let text = match &given.node.value {
            Value::Scalar { text, quoted } if !text.trim().is_empty() => {
                (*quoted || !matches!(text.as_str(), "true" | "false")).then(|| text.clone())
            }
            _ => None,
        };
        if text.is_none() {
            wrong_type(given.node, &given.path, NAME, problems);
        }
        text
    };
    let seed = |given: section::Given<'_>, problems: &mut Problems| {
        let hint = |_| format!("a seed is an integer from 0 to {}", u64::MAX);
        given.integer((0, u64::MAX), problems, hint).map(Seed)
    };
    if top.key("scenario").is_some() {
        // An empty mapping still lacks its name.
        if let Some(given) = top.written("scenario")
            && let Some(mut scenario) = Section::open(given.node, "scenario", given.key.span, problems)
        {
            spec.name = scenario.required("name", NAME, problems).and_then(|given| name(given, problems));
            spec.seed = scenario.given("seed").and_then(|given| seed(given, problems));
            scenario.without_effect("description", "is not read", problems);
            scenario.finish(&["name", "seed"], problems);
        }
    }
    if top.key("scenario_id").is_some() || spec.dialect == Dialect::Newer {
        spec.name = top.required("scenario_id", NAME, problems).and_then(|given| name(given, problems));
        spec.seed = top.given("seed").and_then(|given| seed(given, problems));
    }
}

fn cluster(top: &mut Section<'_>, spec: &mut Spec, problems: &mut Problems) -> Room {
    const NOTHING: Room = Room { shards: None, replicas: None, port: PORT_DEFAULT as u16 };
    let Some(given) = top.required("cluster", "a mapping with the numbers of shards and replicas", problems)
    else {
        return NOTHING;
    };
    let Some(mut cluster) = Section::open(given.node, &given.path, given.key.span, problems) else {
        return NOTHING;
    };
    let find = |names: [&str; 2]| names.iter().filter_map(|name| cluster.key(name)).min_by_key(|k| k.span);
    let older = match (find(["shards", "replicas"]), find(["num_shards", "replicas_per_shard"])) {
        (Some(one), Some(other)) => {
            both(("older", one), ("newer", other), "cluster", problems);
            let first = one.span < other.span;
            // Said once: none of them is an unknown key as well.
            for name in ["shards", "replicas", "num_shards", "replicas_per_shard"] {
                cluster.written(name);
            }
            first
        }
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => spec.dialect == Dialect::Older,
    };
    let (shards, replicas, most) =
        if older { ("shards", "replicas", 2) } else { ("num_shards", "replicas_per_shard", 5) };
    let room_of_shards = |value: i128| match value {
        ..3 => "a cluster needs 3 to 16 shards (fewer than 3 primaries cannot elect)".into(),
        _ => "3 to 16 are allowed".into(),
    };
    let room_of_replicas = |_| {
        if older {
            "this dialect allows 0 to 2 (the newer one, with num_shards and replicas_per_shard, allows 0 to 5)"
                .into()
        } else {
            "0 to 5 are allowed".into()
        }
    };
    let shards = cluster
        .required(shards, "an integer from 3 to 16", problems)
        .and_then(|given| given.integer((3, 16), problems, room_of_shards));
    let replicas = cluster
        .required(replicas, &format!("an integer from 0 to {most}"), problems)
        .and_then(|given| given.integer((0, most), problems, room_of_replicas));
    let mut room = Room {
        shards: shards.map(|number| number as u16),
        replicas: replicas.map(|number| number as u16),
        ..NOTHING
    };
    if older {
        cluster.finish(&["shards", "replicas"], problems);
    } else {
        newer_cluster(cluster, &mut room, spec, problems);
    }
    let settings =
        [("appendonly", "yes"), ("cluster-node-timeout", "1000"), ("cluster-require-full-coverage", "no")];
    spec.cluster = ClusterSpec {
        shards: Spread::exactly(room.shards.unwrap_or(3)),
        replicas: Spread::exactly(room.replicas.unwrap_or(1)),
        settings: Settings(settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        base_port: spec.cluster.base_port,
        ..ClusterSpec::default()
    };
    room
}

/// What only the newer dialect says of the cluster.
fn newer_cluster(mut cluster: Section<'_>, room: &mut Room, spec: &mut Spec, problems: &mut Problems) {
    // Each node's bus listens 10000 above its port.
    let most = 55_535 - u64::from(room.nodes().unwrap_or(0));
    if let Some(port) = cluster.integer("base_port", (1, most), problems) {
        room.port = port as u16;
        spec.cluster.base_port = Some(room.port);
    }
    if let Some(given) = cluster.given("valkey_binary") {
        spec.server_binary = given.word("the path or name of a server", problems).map(str::to_owned);
    }
    // Every run has a folder of its own, which `--out` places and which a failed run keeps.
    if let Some(given) = cluster.given("base_data_dir") {
        given.word("the path of a folder", problems);
    }
    cluster.boolean("enable_cleanup", true, problems);
    let known =
        ["num_shards", "replicas_per_shard", "base_port", "base_data_dir", "valkey_binary", "enable_cleanup"];
    cluster.finish(&known, problems);
}
