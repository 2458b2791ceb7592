//! The native form: a mapping with `fuzz: 1` at its top, read into a [`Spec`].
//!
//! Every mistake is reported with its place before anything is given up: header by header here, events in
//! `events`, and at the end what each part means beside the others (`meaning`).

use super::events::{EVENTS_MAX, Events};
use super::forms::{ClusterForm, DrawForm, TOP, suggest, targets};
use super::parts::{get, named, only_known};
use super::{ClusterSpec, Dialect, Draw, FORM, Origin, Spec, Spread, background, meaning, tags};
use crate::catalogue::{ACTIONS, CheckSpec};
use crate::entropy::{Seed, SeedSource};
use crate::env::PROFILES;
use crate::time::Millis;
use crate::timeline::LENGTH_MAX;
use crate::yaml::document::{Node, Problems, Value};
use crate::yaml::fields::{Field, Record, read_at, read_record};

/// The most events that a seed may be asked to draw.
const DRAWN_MAX: u16 = 200;
/// The longest time over which a seed may spread them.
const OVER_MAX: Millis = Millis::secs(40 * 60);

/// Whether this is the native form: neither foreign dialect has the key.
pub fn is_native(node: &Node) -> bool {
    get(node, "fuzz").is_some()
}

/// Reads the native form. `None` when there is any error.
pub fn read(node: &Node, problems: &mut Problems) -> Option<Spec> {
    let known: Vec<&str> = TOP.iter().map(|key| key.name).collect();
    only_known(node, "", &known, problems)?;
    version(node, problems)?;
    let mut spec = Spec::quiet(Dialect::Native);
    spec.name = value(node, "name", problems);
    spec.tags = tags::read(node, problems);
    if let Some((seed, word)) = seed(node, problems) {
        (spec.seed, spec.seed_word) = (Some(seed), word);
    }
    spec.target = word(node, "target", "target", &targets(), problems);
    let environments: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    spec.environment = word(node, "environment", "environment", &environments, problems);
    spec.cluster = cluster(node, problems).unwrap_or_default();
    spec.load = record(node, "load", problems);
    spec.length = length(node, problems);
    spec.bugs = value(node, "bugs", problems).unwrap_or_default();
    spec.schedule = record(node, "schedule", problems).unwrap_or_default();
    spec.checks = checks(node, problems);
    spec.draw = draw(node, problems);
    spec.origin = origin(node, problems);
    if get(node, "timeline").is_none() && get(node, "draw").is_none() {
        problems
            .error(
                Some(node.span),
                "timeline",
                "",
                "nothing says what happens: `timeline` and `draw` are both missing",
            )
            .hint(
                "list events under `timeline:`, let the seed draw them by `draw:`, or write `timeline: []`",
            );
    }
    let events = Events::read(get(node, "timeline").map(|(_, list)| list), problems);
    let drawn = spec.draw.as_ref().map_or(0, |draw| usize::from(draw.events.high.min(DRAWN_MAX)));
    let most = events.events.len() + events.backgrounds.len() * background::EVENTS_MAX as usize + drawn;
    if most > EVENTS_MAX {
        let message = format!("timeline: this may come to {most} events, at most {EVENTS_MAX}");
        problems
            .error(Some(node.span), "timeline", "", message)
            .hint("each background may become 200 events");
    }
    meaning::check(&spec, node, &events, problems);
    spec.events = events.events;
    spec.backgrounds = events.backgrounds;
    if problems.has_errors() { None } else { Some(spec) }
}

/// The one version that is read. Another means other keys, so nothing else is looked at.
fn version(node: &Node, problems: &mut Problems) -> Option<()> {
    let (_, version) = get(node, "fuzz")?;
    if u32::read(version) == Ok(FORM) {
        return Some(());
    }
    let message = format!(
        "fuzz: expected {FORM}, the version of the form that this build reads, got {}",
        version.describe()
    );
    problems
        .error(Some(version.span), "fuzz", &version.as_written(), message)
        .hint(format!("write `fuzz: {FORM}`"));
    None
}

/// The value of a key at the top; `None` when it is absent, nothing, or was reported.
fn value<T: Field>(node: &Node, name: &str, problems: &mut Problems) -> Option<T> {
    let (_, value) = get(node, name)?;
    if value.value == Value::Null { None } else { read_at(value, name, problems) }
}

/// The record under a key at the top.
fn record<T: Record>(node: &Node, name: &str, problems: &mut Problems) -> Option<T> {
    get(node, name).and_then(|(_, value)| read_record(value, name, problems))
}

/// The safety phase, within the bound that every run has.
fn length(node: &Node, problems: &mut Problems) -> Option<Millis> {
    let length = value(node, "length", problems)?;
    if length <= LENGTH_MAX {
        return Some(length);
    }
    let (_, written) = get(node, "length")?;
    let message = format!("length: expected at most {LENGTH_MAX}, got {}", written.text());
    problems
        .error(Some(written.span), "length", &written.as_written(), message)
        .hint("a run is over within the hour; run more seeds instead");
    None
}

/// The seed, and the word that it was hashed from; a number that is none of a seed's is refused, since it was hardly
/// meant as a word.
fn seed(node: &Node, problems: &mut Problems) -> Option<(Seed, Option<String>)> {
    let (_, value) = get(node, "seed")?;
    let mut refuse = |message: String, hint: &str| {
        problems.error(Some(value.span), "seed", &value.as_written(), format!("seed: {message}")).hint(hint);
    };
    let text = match &value.value {
        Value::Null => return None,
        Value::Scalar { text, quoted } if *quoted || !is_number(text) => text,
        Value::Scalar { text, .. } if text.bytes().all(|b| b.is_ascii_digit()) => text,
        _ => {
            let message = format!(
                "expected a whole number from 0 to {}, or a word, got {}",
                u64::MAX,
                value.describe()
            );
            refuse(message, "in quotes it is a word, which is hashed");
            return None;
        }
    };
    match Seed::parse(text) {
        Ok((seed, SeedSource::Number)) => Some((seed, None)),
        Ok((seed, SeedSource::Hashed(word))) => Some((seed, Some(word))),
        Err(error) => {
            refuse(error.to_string(), "`--seed` overrides it; without `seed` one is drawn at each run");
            None
        }
    }
}

/// Whether a reader of YAML takes a plain scalar for a number (YAML 1.2.2, 10.3.2).
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        unsigned.strip_prefix(prefix).is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|digit| digit == '_' || digit.is_digit(radix))
        })
    };
    let decimal = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    (decimal && unsigned.replace('_', "").parse::<f64>().is_ok()) || radix("0x", 16) || radix("0o", 8)
}

/// One of the words that the catalogue or the environments know.
fn word(node: &Node, name: &str, what: &str, known: &[&str], problems: &mut Problems) -> Option<String> {
    let text: String = value(node, name, problems)?;
    if known.contains(&text.as_str()) {
        return Some(text);
    }
    let (_, value) = get(node, name)?;
    problems
        .error(Some(value.span), name, &value.as_written(), format!("{name}: unknown {what} `{text}`"))
        .hint(suggest(&text, known));
    None
}

fn cluster(node: &Node, problems: &mut Problems) -> Option<ClusterSpec> {
    let form: ClusterForm = record(node, "cluster", problems)?;
    let (_, value) = get(node, "cluster")?;
    let mut within = |name: &str, spread: Spread<u16>, low: u16, high: u16, hint: &str| {
        let inside = spread.low >= low && spread.high <= high;
        if let Some((_, node)) = get(value, name).filter(|_| !inside) {
            let path = format!("cluster.{name}");
            let message = format!("{path}: expected {low} to {high}, got {}", node.text());
            problems.error(Some(node.span), &path, &node.as_written(), message).hint(hint);
        }
        inside
    };
    let shards =
        within("shards", form.shards, 1, 16, "three is the least that replaces a dead primary by itself");
    let replicas = within("replicas", form.replicas, 0, 5, "there are shards times (1 + replicas) nodes");
    if !(shards && replicas) {
        return None;
    }
    Some(ClusterSpec {
        shards: form.shards,
        replicas: form.replicas,
        formation: form.formation,
        settings: form.settings,
        password: form.password,
        acl_user: form.acl_user,
        base_port: form.base_port,
    })
}

/// `default`, or a list of names, each alone or with its bounds.
fn checks(node: &Node, problems: &mut Problems) -> Option<Vec<CheckSpec>> {
    let (_, value) = get(node, "checks")?;
    let items = match &value.value {
        Value::Null => return None,
        Value::Scalar { text, quoted: false } if text == "default" => return None,
        Value::List(items) => {
            if items.is_empty() {
                problems
                    .warning(
                        Some(value.span),
                        "checks",
                        "[]",
                        "checks: the list is empty: nothing is judged, and the run ends as unknown",
                    )
                    .hint("leave `checks` out for the default checks");
            }
            items
        }
        _ => {
            let message = format!("checks: expected `default` or a list of checks, got {}", value.describe());
            problems.error(Some(value.span), "checks", &value.as_written(), message).hint(format!(
                "for instance `checks: [slot_coverage, crash]`; known: {}",
                CheckSpec::NAMES.join(", ")
            ));
            return None;
        }
    };
    let mut list: Vec<CheckSpec> = Vec::new();
    for (position, item) in items.iter().enumerate() {
        let path = format!("checks[{position}]");
        let Some((name, span, fields)) =
            named(item, &path, "the name of a check, alone or with its bounds", problems)
        else {
            continue;
        };
        if !CheckSpec::NAMES.contains(&name) {
            problems
                .error(Some(span), &path, name, format!("{path}: unknown check `{name}`"))
                .hint(suggest(name, CheckSpec::NAMES));
            continue;
        }
        if list.iter().any(|check| check.name() == name) {
            problems
                .error(Some(span), &path, name, format!("{path}: `{name}` stands twice"))
                .hint("name each check once");
            continue;
        }
        let nothing = Node { span, value: Value::Null };
        list.extend(CheckSpec::read(name, fields.unwrap_or(&nothing), &format!("{path}.{name}"), problems));
    }
    Some(list)
}

fn draw(node: &Node, problems: &mut Problems) -> Option<Draw> {
    let form: DrawForm = record(node, "draw", problems)?;
    let from = get(node, "draw").and_then(|(_, draw)| get(draw, "from")).map(|(_, from)| from);
    for (position, (name, _)) in form.from.0.iter().enumerate() {
        let Some(from) = from else { break };
        let span = match &from.value {
            Value::List(items) => items[position].span,
            Value::Map(pairs) => pairs[position].0.span,
            _ => from.span,
        };
        let known: Vec<&str> = super::forms::drawn_names().collect();
        if !known.contains(&name.as_str()) {
            let message = match ACTIONS.iter().find(|info| info.name == name) {
                Some(_) => format!("draw.from: no seed draws `{name}`; write it under `timeline:`"),
                None => format!("draw.from: unknown operation or fault `{name}`"),
            };
            problems.error(Some(span), "draw.from", name, message).hint(suggest(name, &known));
        }
    }
    if let Some(from) =
        from.filter(|_| !form.from.0.is_empty() && form.from.0.iter().all(|(_, weight)| *weight == 0))
    {
        problems
            .error(
                Some(from.span),
                "draw.from",
                from.text(),
                "draw.from: all weights are 0, so nothing could be drawn",
            )
            .hint("give at least one a weight; without `draw` nothing is drawn");
    }
    let draws = get(node, "draw").map(|(_, draw)| draw);
    if let Some((_, events)) =
        draws.and_then(|draw| get(draw, "events")).filter(|_| form.events.high > DRAWN_MAX)
    {
        let message = format!("draw.events: expected at most {DRAWN_MAX}, got {}", events.text());
        problems
            .error(Some(events.span), "draw.events", &events.as_written(), message)
            .hint("run more seeds instead");
    }
    if form.over.high > OVER_MAX {
        let over = draws.and_then(|draw| get(draw, "over")).map(|(_, over)| over);
        let text = over.map_or("", Node::text);
        let message = format!("draw.over: expected at most {OVER_MAX}, got {text}");
        problems.error(over.map(|over| over.span), "draw.over", text, message).hint("run more seeds instead");
    }
    Some(Draw {
        events: form.events,
        over: form.over,
        vocabulary: form.from.0,
        without: Vec::new(),
        keep_quorum: form.keep.quorum,
    })
}

/// The three keys that `fuzz generate` writes: all or none.
fn origin(node: &Node, problems: &mut Problems) -> Option<Origin> {
    const KEYS: [&str; 3] = ["generator", "catalogue", "profile"];
    let found: Vec<&str> = KEYS.into_iter().filter(|key| get(node, key).is_some()).collect();
    let (Some(first), true) = (found.first(), found.len() < KEYS.len()) else {
        return Some(Origin {
            generator: value(node, "generator", problems)?,
            catalogue: value(node, "catalogue", problems)?,
            profile: value(node, "profile", problems)?,
        });
    };
    let missing: Vec<&str> = KEYS.into_iter().filter(|key| !found.contains(key)).collect();
    let span = get(node, first).map(|(key, _)| key.span);
    let message = format!("{first}: written without {}", missing.join(" and "));
    problems
        .error(span, first, first, message)
        .hint("these three keys are written by `fuzz generate`; keep all of them, or none");
    None
}
