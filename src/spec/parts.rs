//! The parts of an event that stand by themselves: its start, what it waits to see, its one action.

use super::StartSpec;
use super::events::{DEPTH_MAX, ZERO};
use super::forms::{
    ExitSeen, GROUPS, LogSeen, MessageSeen, NoPrimarySeen, OBSERVATIONS, OperationSeen, RoleSeen, STARTS,
    suggest,
};
use crate::catalogue::{Action, EventId};
use crate::timeline::Observation;
use crate::yaml::document::{Key, Node, Problems, Span, Value};
use crate::yaml::fields::{Fields, Record, read_at};

/// Exactly one of the ways to start. What does not read counts as a start at zero, so that the rest is read.
pub(super) fn start<'a>(
    node: &'a Node,
    path: &str,
    problems: &mut Problems,
) -> (StartSpec, Option<(&'a Key, &'a Node)>) {
    let mut found: Vec<(&'a Key, &'a Node)> = STARTS.iter().filter_map(|name| get(node, name)).collect();
    found.sort_by_key(|(key, _)| key.span);
    let Some(&(key, value)) = found.first() else {
        problems
            .error(Some(node.span), path, "", format!("{path}: nothing says when it starts"))
            .hint("give one of `at: 2s`, `forming: 500ms`, `after: ID`, `with: ID`, `when: {...}`");
        return (StartSpec::At(ZERO), None);
    };
    for (other, _) in &found[1..] {
        let message = format!(
            "{path}: two ways to start, `{}` (line {}) and `{}`",
            key.text, key.span.line, other.text
        );
        problems
            .error(Some(other.span), path, &other.text, message)
            .hint("keep one of them; `delay` adds to it");
    }
    let place = format!("{path}.{}", key.text);
    let start = match key.text.as_str() {
        "at" => read_at(value, &place, problems).map(StartSpec::At),
        "forming" => read_at(value, &place, problems).map(StartSpec::Forming),
        "with" => read_at(value, &place, problems).map(StartSpec::With),
        "after" => read_at::<Vec<EventId>>(value, &place, problems).and_then(|anchors| {
            if anchors.is_empty() {
                problems.error(
                    Some(value.span),
                    &place,
                    "[]",
                    format!("{place}: expected at least one event"),
                );
                return None;
            }
            Some(StartSpec::After(anchors))
        }),
        _ => observation(value, &place, problems).map(StartSpec::When),
    };
    (start.unwrap_or(StartSpec::At(ZERO)), Some((key, value)))
}

/// The mapping that `when:` holds.
fn observation(node: &Node, path: &str, problems: &mut Problems) -> Option<Observation> {
    let (name, span, value) = named(node, path, "one observation", problems)?;
    let known: Vec<&str> = OBSERVATIONS.iter().map(|(name, _, _)| *name).collect();
    let Some((_, _, fields)) = OBSERVATIONS.iter().find(|(known, _, _)| *known == name) else {
        let message = format!("{path}: unknown observation `{name}`");
        problems.error(Some(span), path, name, message).hint(suggest(name, &known));
        return None;
    };
    let nothing = Node { span, value: Value::Null };
    let path = format!("{path}.{name}");
    let mut reader = Fields::open(value.unwrap_or(&nothing), &path, problems)?;
    let seen =
        match name {
            "log" => LogSeen::read_fields(&mut reader)
                .map(|seen| Observation::Log { node: seen.node, has: seen.has.into() }),
            "role" => RoleSeen::read_fields(&mut reader)
                .map(|seen| Observation::Role { node: seen.node, is: seen.is }),
            "no_primary" => NoPrimarySeen::read_fields(&mut reader)
                .map(|seen| Observation::NoPrimary { shard: seen.shard }),
            "exit" => ExitSeen::read_fields(&mut reader).map(|seen| Observation::Exit { node: seen.node }),
            "message" => MessageSeen::read_fields(&mut reader).map(|seen| Observation::Message {
                kind: seen.r#type,
                from: seen.from,
                to: seen.to,
                nth: seen.nth,
            }),
            _ => OperationSeen::read_fields(&mut reader)
                .map(|seen| Observation::Operation { client: seen.client, number: seen.number }),
        };
    reader.finish(&fields.iter().map(|field| field.name).collect::<Vec<_>>());
    seen
}

pub(super) fn read_action(
    name: &str,
    span: Span,
    value: Option<&Node>,
    path: &str,
    problems: &mut Problems,
) -> Option<Action> {
    if !Action::NAMES.contains(&name) {
        let known: Vec<&str> =
            Action::NAMES.iter().copied().chain(GROUPS.iter().map(|group| group.name)).collect();
        let message = format!("{path}: unknown operation or fault `{name}`");
        problems.error(Some(span), path, name, message).hint(suggest(name, &known));
        return None;
    }
    let nothing = Node { span, value: Value::Null };
    Action::read(name, value.unwrap_or(&nothing), &format!("{path}.{name}"), problems)
}

/// A mapping of one key, or that key alone: `{kill: {...}}`, `rolling_restart`.
pub(super) fn named<'a>(
    node: &'a Node,
    path: &str,
    expected: &str,
    problems: &mut Problems,
) -> Option<(&'a str, Span, Option<&'a Node>)> {
    match &node.value {
        Value::Scalar { text, .. } => Some((text, node.span, None)),
        Value::Map(pairs) => match &pairs[..] {
            [(key, value)] => Some((&key.text, key.span, Some(value))),
            [] => {
                problems.error(
                    Some(node.span),
                    path,
                    "{}",
                    format!("{path}: expected {expected}, got nothing"),
                );
                None
            }
            [_, (second, _), ..] => {
                let names: Vec<&str> = pairs.iter().map(|(key, _)| key.text.as_str()).collect();
                let message = format!("{path}: expected {expected}, got {}", names.join(" and "));
                problems
                    .error(Some(second.span), path, &second.text, message)
                    .hint("write one entry for each; several events at once are `do: {together: [...]}`");
                None
            }
        },
        _ => {
            let found = node.describe();
            let message = format!("{path}: expected {expected}, got {found}");
            problems.error(Some(node.span), path, &node.as_written(), message);
            None
        }
    }
}

pub(super) fn group_items<'a>(
    node: &'a Node,
    path: &str,
    depth: usize,
    problems: &mut Problems,
) -> Option<&'a [Node]> {
    let message = match &node.value {
        _ if depth >= DEPTH_MAX => format!("{path}: groups in groups, more than {DEPTH_MAX} deep"),
        Value::List(items) if !items.is_empty() => return Some(items),
        Value::List(_) => format!("{path}: expected at least one member"),
        _ => format!("{path}: expected a list, got {}", node.describe()),
    };
    problems.error(Some(node.span), path, &node.as_written(), message);
    None
}

/// Reports the keys of a mapping that are none of these; `None` when it is no mapping, which is reported too.
pub(super) fn only_known(node: &Node, path: &str, known: &[&str], problems: &mut Problems) -> Option<()> {
    let mut fields = Fields::open(node, path, problems)?;
    for name in known {
        fields.take(name);
    }
    fields.finish(known);
    Some(())
}

/// The entry of a mapping; `None` as well when the node is none.
pub(super) fn get<'a>(node: &'a Node, name: &str) -> Option<(&'a Key, &'a Node)> {
    let Value::Map(pairs) = &node.value else { return None };
    pairs.iter().find(|(key, _)| key.text == name).map(|(key, value)| (key, value))
}

/// All ids that a file gives, so that none is given a second time to an event without one.
pub(super) fn collect_ids<'a>(node: &'a Node, depth: usize, out: &mut Vec<&'a str>) {
    if depth > 4 * DEPTH_MAX {
        return;
    }
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| collect_ids(item, depth + 1, out)),
        Value::Map(pairs) => {
            for (key, value) in pairs {
                if key.text == "id" {
                    out.push(value.text());
                }
                collect_ids(value, depth + 1, out);
            }
        }
        _ => {}
    }
}

/// The path of what holds the last key.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}
