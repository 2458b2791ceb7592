//! `operations:` in either dialect: what is failed over, when, and with which bound.

use super::section::{Given, Least, Section, integer, wrong_type};
use super::slot::{Operation, OperationTarget};
use super::{Room, both};
use crate::catalogue::NodeSelector;
use crate::time::Millis;
use crate::yaml::document::{Key, Node, Problems, Value, nearest};

/// The bound that both dialects put on a failover.
const TIMEOUT: Millis = Millis(30_000);

/// Operations that the older dialect names without ever having defined them.
const ANNOUNCED: &[&str] =
    &["add_replica", "remove_replica", "reshard", "scale_out", "scale_in", "configuration_change"];

/// The operations, and whether they run in waves (items of the newer dialect). `None` was reported.
pub fn read(top: &mut Section<'_>, room: Room, problems: &mut Problems) -> Option<(Vec<Operation>, bool)> {
    let given = top.required("operations", "a list of operations", problems)?;
    let items = given.items("a list of operations", problems)?;
    let Some((path, first)) = items.first() else {
        given.error(
            "expected at least one operation, got an empty list",
            "write what is failed over",
            problems,
        );
        return None;
    };
    if room.replicas == Some(0) {
        no_replica(top, path, problems);
    }
    let waves = !is_older(first);
    let mut operations = Vec::new();
    let mut mark: Option<(bool, &Key)> = None;
    for (path, item) in &items {
        let mut mixed = false;
        for (older, key) in marks(item) {
            match mark {
                Some((before, first)) if before != older => {
                    let name = |older| if older { "older" } else { "newer" };
                    both((name(before), first), (name(older), key), path, problems);
                    mixed = true;
                }
                _ => mark = Some((older, key)),
            }
        }
        let Some(mut section) = Section::open(item, path, item.span, problems) else { continue };
        if !kind(&mut section, problems) {
            continue;
        }
        let read = if is_older(item) || (!waves && marks(item).is_empty()) {
            older(&mut section, item, room, problems)
        } else {
            newer(&mut section, item, room, problems)
        };
        if !mixed {
            let known: &[&str] = if waves {
                &["type", "target_node", "parameters", "timing"]
            } else {
                &["type", "target", "shard", "timing", "delay"]
            };
            section.finish(known, problems);
        }
        operations.extend(read);
    }
    Some((operations, waves))
}

/// Keys by which an item shows its dialect: `true` for the older one.
fn marks(item: &Node) -> Vec<(bool, &Key)> {
    let Value::Map(pairs) = &item.value else { return Vec::new() };
    let known = [("target", true), ("shard", true), ("target_node", false), ("parameters", false)];
    let mark = |key: &Key| known.iter().find(|(name, _)| key.text == *name).map(|(_, older)| *older);
    pairs.iter().filter_map(|(key, _)| Some((mark(key)?, key))).collect()
}

fn is_older(item: &Node) -> bool {
    marks(item).first().is_some_and(|(older, _)| *older)
}

/// Every operation is a failover, which takes a replica.
fn no_replica(top: &mut Section<'_>, operation: &str, problems: &mut Problems) {
    let Some(given) = top.written("cluster") else { return };
    let mut quiet = Problems::default();
    let Some(mut cluster) = Section::open(given.node, "cluster", given.key.span, &mut quiet) else { return };
    let found = ["replicas", "replicas_per_shard"].into_iter().find_map(|name| cluster.given(name));
    if let Some(given) = found {
        let message = format!("0 replicas, but {operation} is a failover, which needs at least one");
        given.error(message, "give each shard a replica", problems);
    }
}

/// The type, which is reported when it is no failover; false when the other keys may then be anything.
fn kind(section: &mut Section<'_>, problems: &mut Problems) -> bool {
    let Some(given) = section.required("type", "`failover`", problems) else { return true };
    let Some(word) = given.word("`failover`", problems) else { return true };
    if word == "failover" {
        return true;
    }
    if ANNOUNCED.contains(&word) {
        given.error(
            format!("`{word}` was named by this dialect but never defined"),
            "the native form has operations of this kind: see `fuzz list operations`",
            problems,
        );
        return false;
    }
    let near = nearest(word, ["failover"]);
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "this dialect knows `failover`; for others write the scenario in the native form".into(),
    };
    given.error(format!("unknown operation `{word}`"), hint, problems);
    near.is_some()
}

/// `shards 0 to 2 (numbered from 0)`, when it is not one of them.
fn shard_exists(given: &Given<'_>, number: i128, room: Room, problems: &mut Problems) -> Option<u16> {
    let found = u16::try_from(number).ok();
    let Some(shards) = room.shards else { return found.map(|shard| shard.min(15)) };
    match found.filter(|shard| *shard < shards) {
        Some(shard) => Some(shard),
        None => {
            let message = format!(
                "there is no shard {number}; the cluster has shards 0 to {} (numbered from 0)",
                shards - 1
            );
            given.error(message, "shards count from 0", problems);
            None
        }
    }
}

/// A number of a shard under that name.
pub fn shard(section: &mut Section<'_>, room: Room, problems: &mut Problems) -> Option<u16> {
    let given = section.required("shard", "the number of a shard, from 0", problems)?;
    let number = match &given.node.value {
        Value::Scalar { text, quoted: false } => integer(text),
        _ => None,
    };
    let Some(number) = number else {
        wrong_type(given.node, &given.path, "the number of a shard, from 0", problems);
        return None;
    };
    shard_exists(&given, number, room, problems)
}

fn older(section: &mut Section<'_>, item: &Node, room: Room, problems: &mut Problems) -> Option<Operation> {
    if let Some(given) = section.given("target")
        && let Some(word) = given.word("`primary`", problems)
        && word != "primary"
    {
        let (message, hint) = if word == "replica" {
            (
                "a replica cannot be failed over: it is the primary that is replaced".into(),
                "write `primary`".into(),
            )
        } else {
            let near =
                nearest(word, ["primary"]).map_or(String::new(), |_| "; did you mean `primary`?".into());
            (format!("unknown target `{word}`"), format!("a failover names the `primary`{near}"))
        };
        given.error(message, hint, problems);
    }
    let shard = shard(section, room, problems);
    let timing = section.given("timing");
    let delayed = timing
        .as_ref()
        .and_then(|given| given.one_of("timing", &[("immediate", false), ("delayed", true)], problems));
    let given = section.given("delay");
    let due = given.as_ref().and_then(|given| given.seconds(Least::Zero, problems));
    match (delayed, &given, &timing) {
        (Some(true), None, Some(timing)) => {
            timing.error("`delayed` without a `delay`", "add `delay:` with the seconds to wait", problems);
        }
        (Some(false), Some(given), _) if due.is_some_and(|due| due.0 > 0) => {
            given.error("a delay, but the timing is `immediate`", "write `timing: delayed`", problems);
        }
        (None, Some(given), None) if due.is_some_and(|due| due.0 > 0) => {
            given.error(
                "a delay, but no timing, and `immediate` is the default",
                "write `timing: delayed`",
                problems,
            );
        }
        _ => {}
    }
    let shard = shard?;
    Some(Operation {
        line: item.span.line,
        target: OperationTarget::Shard(shard),
        group: format!("shard-{shard}"),
        force: false,
        timeout: TIMEOUT,
        due: due.unwrap_or_default(),
        delay_before: Millis(0),
        delay_after: Millis(0),
    })
}

fn newer(section: &mut Section<'_>, item: &Node, room: Room, problems: &mut Problems) -> Option<Operation> {
    let target =
        section.required("target_node", TARGET, problems).and_then(|given| target(&given, room, problems));
    let mut force = false;
    if let Some(mut parameters) = section.section("parameters", problems) {
        force = parameters.boolean("force", false, problems);
        parameters.ignore_rest(
            &["force"],
            "has no effect: `force` is the only parameter that is read",
            problems,
        );
    }
    let (mut before, mut timeout, mut after) = (Millis(0), TIMEOUT, Millis(0));
    if let Some(mut timing) = section.section("timing", problems) {
        before = timing.seconds("delay_before", before, Least::Zero, problems);
        timeout = timing.seconds("timeout", timeout, Least::Some, problems);
        after = timing.seconds("delay_after", after, Least::Zero, problems);
        timing.finish(&["delay_before", "timeout", "delay_after"], problems);
    }
    let (target, group) = target?;
    Some(Operation {
        line: item.span.line,
        target,
        group,
        force,
        timeout,
        due: Millis(0),
        delay_before: before,
        delay_after: after,
    })
}

const TARGET: &str = "a primary: `shard-1-primary`, a port such as \"7003\", or a node id of 40 digits";

/// What `target_node` names, and the group that runs in order.
fn target(given: &Given<'_>, room: Room, problems: &mut Problems) -> Option<(OperationTarget, String)> {
    let text = given.word(TARGET, problems)?;
    if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        let node = NodeSelector::Id(text.to_ascii_lowercase());
        return Some((OperationTarget::Node(node), text.to_owned()));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return port(given, text, room, problems);
    }
    let parts = text.strip_prefix("shard-").and_then(|rest| rest.split_once('-'));
    let digits = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    match parts {
        Some((number, role)) if digits(number) => {
            let shard = shard_exists(given, number.parse().unwrap_or(i128::MAX), room, problems);
            match role {
                "primary" | "master" => {
                    let shard = shard?;
                    Some((OperationTarget::Shard(shard), format!("shard-{shard}")))
                }
                "replica" | "slave" => {
                    given.error(
                        format!("`{text}` is a replica, and a failover names a primary"),
                        format!("write `shard-{number}-primary`"),
                        problems,
                    );
                    None
                }
                _ => {
                    let near = nearest(role, ["primary", "master"]).unwrap_or("primary");
                    given.error(
                        format!("unknown role `{role}` in `{text}`"),
                        format!("did you mean `shard-{number}-{near}`?"),
                        problems,
                    );
                    None
                }
            }
        }
        _ => {
            given.error(format!("`{text}` names no node"), format!("expected {TARGET}"), problems);
            None
        }
    }
}

fn port(
    given: &Given<'_>,
    text: &str,
    room: Room,
    problems: &mut Problems,
) -> Option<(OperationTarget, String)> {
    let port = text.parse::<u16>().ok();
    let nodes = room.nodes()?;
    let inside = |port: &u16| port.checked_sub(room.port).is_some_and(|number| number < nodes);
    match port.filter(inside) {
        Some(port) => Some((OperationTarget::Node(NodeSelector::Port(port)), format!("port-{port}"))),
        None => {
            let last = u32::from(room.port) + u32::from(nodes) - 1;
            given.error(
                format!("no node listens on port {text}; the nodes have ports {} to {last}", room.port),
                "ports begin at cluster.base_port, one for each node",
                problems,
            );
            None
        }
    }
}
