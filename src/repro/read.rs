//! Reads a repro: strictly, within the limits of the YAML reader, all problems at once.

use super::{Cut, FORMAT, Facts, Pins, Rate, Repro};
use crate::catalogue::CheckSpec;
use crate::check::{HANG, Verdict};
use crate::env::Image;
use crate::env::PROFILES;
use crate::timeline::Timeline;
use crate::timeline::{GenerateError, generate};
use crate::yaml::document::{Node, Problems, Value};
use crate::yaml::fields::{Fields, read_at};

const KEYS: &[&str] = &[
    "format",
    "verdict",
    "checks",
    "findings",
    "timeline_hash",
    "schedule_hash",
    "history_hash",
    "trace_hash",
    "image",
    "tool",
    "server",
    "drawn",
    "shrunk",
    "schedule",
];

/// Why a text is no repro that can be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The text has mistakes, and the problems say which.
    #[error("the file is not a repro")]
    Problems,
    #[error("the timeline of this file cannot be had: {0}")]
    Generate(#[from] GenerateError),
    #[error(
        "the file says its timeline has the hash {written}; it has {found}: it was changed by hand, or by a \
             version that writes it differently. `fuzz run` runs it as it stands"
    )]
    Changed { written: String, found: String },
}

/// The repro that these bytes hold.
pub fn read(bytes: &[u8], problems: &mut Problems) -> Result<Repro, ReadError> {
    let tree = crate::yaml::parse(bytes, problems).ok_or(ReadError::Problems)?;
    let facts = facts(&tree, problems);
    let spec = crate::spec::parse::parse(bytes, problems);
    // The same mistake of the text itself is found by both readers.
    problems.sort();
    problems.list.dedup();
    let (Some(facts), Some(spec), false) = (facts, spec, problems.has_errors()) else {
        return Err(ReadError::Problems);
    };
    let mut refuse = |path: &str, text: &str, message: String| {
        problems.error(Some(tree.span), path, text, message);
    };
    if spec.draw.is_some() || !spec.backgrounds.is_empty() {
        refuse("draw", "draw", "a repro holds what was drawn, and draws nothing itself".into());
    }
    if spec.server_binary.is_some() {
        refuse("", "", "a repro names no file to execute; give it with --server-binary".into());
    }
    // Which settings no scenario may have at all was said by its reader.
    for (name, value) in spec.cluster.settings.0.iter().filter(|(_, v)| v.contains('/') || v.contains("..")) {
        let place = find(&tree, &["cluster", "settings", name]).unwrap_or(&tree);
        let message = format!("a repro may not set `{name}` to `{value}`: it names a path");
        problems
            .error(Some(place.span), "cluster.settings", &place.as_written(), message)
            .hint("`fuzz run` runs the file as it stands, if you trust it");
    }
    let mut refuse = |path: &str, text: &str, message: String| {
        problems.error(Some(tree.span), path, text, message);
    };
    let (Some(seed), Some(target), Some(environment)) = (spec.seed, &spec.target, &spec.environment) else {
        refuse("", "", "a repro names its `seed`, `target` and `environment`".into());
        return Err(ReadError::Problems);
    };
    let Some(profile) = PROFILES.iter().find(|profile| profile.name == environment) else {
        refuse("environment", environment, format!("there is no environment `{environment}`"));
        return Err(ReadError::Problems);
    };
    if problems.has_errors() {
        return Err(ReadError::Problems);
    }
    let timeline: Timeline = generate(&spec, seed, target, profile)?;
    let found = timeline.hash().to_hex().to_string();
    if found != facts.timeline_hash {
        return Err(ReadError::Changed { written: facts.timeline_hash, found });
    }
    Ok(Repro { timeline, facts })
}

/// The node at these keys, one below the other.
fn find<'a>(node: &'a Node, keys: &[&str]) -> Option<&'a Node> {
    let Some((first, rest)) = keys.split_first() else { return Some(node) };
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(key, _)| key.text == *first).and_then(|(_, below)| find(below, rest))
}

fn facts(tree: &Node, problems: &mut Problems) -> Option<Facts> {
    let Value::Map(pairs) = &tree.value else {
        problems.error(Some(tree.span), "", &tree.as_written(), "a repro is a mapping");
        return None;
    };
    let Some((_, node)) = pairs.iter().find(|(key, _)| key.text == "repro") else {
        problems
            .error(Some(tree.span), "", "", "the key `repro` is missing: this is no repro file")
            .hint("`fuzz run` runs a scenario; a failing run saves a repro");
        return None;
    };
    let mut fields = Fields::open(node, "repro", problems)?;
    let format = fields.required::<u64>("format");
    let verdict = fields.required::<Verdict>("verdict");
    let checks = fields.required::<Vec<String>>("checks");
    let findings = fields.optional::<Vec<String>>("findings").unwrap_or_default();
    let timeline_hash = fields.required::<String>("timeline_hash");
    let schedule_hash = fields.optional::<String>("schedule_hash").unwrap_or_default();
    let history_hash = fields.optional::<String>("history_hash").unwrap_or_default();
    let trace_hash = fields.optional::<String>("trace_hash");
    let image = fields.take("image").and_then(|node| image(node, fields.problems));
    let tool = fields.required::<String>("tool");
    let server = fields.optional::<String>("server").unwrap_or_default();
    let drawn = fields.take("drawn").and_then(|node| pins(node, fields.problems));
    let shrunk = fields.take("shrunk").and_then(|node| cut(node, fields.problems));
    let schedule = fields.optional::<Vec<String>>("schedule").unwrap_or_default();
    if format.is_some_and(|format| format != FORMAT) {
        let found = format.unwrap_or_default();
        fields
            .problems
            .error(
                Some(node.span),
                "repro.format",
                &found.to_string(),
                format!("this build reads repros of format {FORMAT}, not {found}"),
            )
            .hint("use the version of the tool that wrote it; the comment at the top names it");
    }
    for name in
        checks.iter().flatten().filter(|name| *name != HANG && !CheckSpec::NAMES.contains(&name.as_str()))
    {
        fields.problems.error(Some(node.span), "repro.checks", name, format!("there is no check `{name}`"));
    }
    fields.finish(KEYS);
    format?;
    Some(Facts {
        verdict: verdict?,
        checks: checks?,
        findings,
        timeline_hash: timeline_hash?,
        schedule_hash,
        history_hash,
        trace_hash,
        image,
        schedule,
        tool: tool?,
        server,
        drawn,
        shrunk,
    })
}

fn image(node: &Node, problems: &mut Problems) -> Option<Image> {
    let mut fields = Fields::open(node, "repro.image", problems)?;
    let mut text = |name: &str| fields.optional::<String>(name).unwrap_or_default();
    let image = Image { server: text("server"), libc: text("libc"), kernel: text("kernel") };
    fields.finish(&["server", "libc", "kernel"]);
    Some(image)
}

fn pins(node: &Node, problems: &mut Problems) -> Option<Pins> {
    let mut fields = Fields::open(node, "repro.drawn", problems)?;
    let mut number = |name: &str| {
        let node = fields.take(name)?;
        read_at::<u16>(node, &format!("repro.drawn.{name}"), fields.problems)
    };
    let pins = Pins { shards: number("shards"), replicas: number("replicas") };
    fields.finish(&["shards", "replicas"]);
    Some(pins)
}

fn cut(node: &Node, problems: &mut Problems) -> Option<Cut> {
    let mut fields = Fields::open(node, "repro.shrunk", problems)?;
    let from = fields.required::<String>("from");
    let events = fields.required::<u64>("events");
    let nodes = fields.required::<u16>("nodes");
    let runs = fields.required::<u64>("runs");
    let minimal = fields.required::<bool>("minimal");
    let before = fields.take("before").and_then(|node| rate(node, "repro.shrunk.before", fields.problems));
    let again = fields.take("again").and_then(|node| rate(node, "repro.shrunk.again", fields.problems));
    let token = fields.optional::<String>("token");
    fields.finish(&["from", "events", "nodes", "runs", "minimal", "before", "again", "token"]);
    let (from, events, nodes, runs, minimal) = (from?, events?, nodes?, runs?, minimal?);
    Some(Cut { from, events, nodes, runs, minimal, before, again, token })
}

fn rate(node: &Node, path: &str, problems: &mut Problems) -> Option<Rate> {
    let mut fields = Fields::open(node, path, problems)?;
    let (failed, runs) = (fields.required::<u32>("failed"), fields.required::<u32>("runs"));
    fields.finish(&["failed", "runs"]);
    Some(Rate { failed: failed?, runs: runs? })
}
