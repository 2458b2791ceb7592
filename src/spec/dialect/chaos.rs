//! `chaos:` in either dialect: a list of kills (older), or one mapping that holds for every operation (newer).

use super::operations::shard;
use super::section::{Given, Least, Section, wrong_type};
use super::slot::{Chaos, Faults, Moment, Strike};
use super::{Dialect, Room};
use crate::catalogue::NodeSelector;
use crate::fault::kill::Signal;
use crate::time::Millis;
use crate::yaml::document::{Problems, Value, nearest};

/// The faults of a file; `None` when it says nothing of them.
pub fn read(top: &mut Section<'_>, dialect: Dialect, room: Room, problems: &mut Problems) -> Option<Faults> {
    let given = top.given("chaos")?;
    match &given.node.value {
        Value::List(items) if items.is_empty() => Some(Faults::Listed(Vec::new())),
        Value::List(_) => {
            let items = given.items("a list of faults", problems)?;
            let mut strikes = Vec::new();
            for (path, item) in items {
                if let Some(mut section) = Section::open(item, &path, item.span, problems) {
                    strikes.extend(strike(&mut section, item.span.line, room, problems));
                }
            }
            Some(Faults::Listed(strikes))
        }
        // The newer tool takes an empty section for none at all, which there means a kill per operation.
        Value::Map(pairs) if pairs.is_empty() => None,
        Value::Map(_) => {
            let mut section = Section::open(given.node, "chaos", given.key.span, problems)?;
            Some(Faults::Each(each(&mut section, room, problems)))
        }
        _ => {
            let expected =
                if dialect == Dialect::Older { "a list of faults" } else { "a mapping, or a list of faults" };
            wrong_type(given.node, &given.path, expected, problems);
            None
        }
    }
}

/// What the newer dialect means by saying nothing.
pub fn unsaid(problems: &mut Problems) -> Faults {
    problems.warning(
        None,
        "chaos",
        "",
        "no `chaos` section: each operation comes with a SIGKILL of a random node; set the three coordination flags \
         to false to have none",
    );
    Faults::Each(Chaos {
        signal: Signal::Kill,
        victim: NodeSelector::Any,
        named: false,
        before: false,
        during: true,
        after: false,
        delay_before: Millis(0),
        delay_after: Millis(0),
        drawn: false,
    })
}

fn kind(given: &Given<'_>, problems: &mut Problems) {
    let Some(word) = given.word("`process_kill`", problems) else { return };
    if word != "process_kill" {
        let near = nearest(word, ["process_kill"]).map_or("", |_| "; did you mean `process_kill`?");
        let hint = format!(
            "this dialect knows `process_kill` (other faults: write the scenario in the native form){near}"
        );
        given.error(format!("unknown fault `{word}`"), hint, problems);
    }
}

/// One fault of the older dialect.
fn strike(section: &mut Section<'_>, line: u32, room: Room, problems: &mut Problems) -> Option<Strike> {
    if let Some(given) = section.required("type", "`process_kill`", problems) {
        kind(&given, problems);
    }
    let signal = section.given("signal").map_or(Some(Signal::Kill), |given| {
        let word = given.word("`SIGKILL` or `SIGTERM`", problems)?;
        match word.to_ascii_uppercase().as_str() {
            "SIGKILL" => Some(Signal::Kill),
            "SIGTERM" => Some(Signal::Term),
            upper => {
                let near = nearest(upper, ["SIGKILL", "SIGTERM"])
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                given.error(
                    format!("unknown signal `{word}`"),
                    format!("one of `SIGKILL`, `SIGTERM`{near}"),
                    problems,
                );
                None
            }
        }
    });
    let primary = section
        .required("target", "`primary` or `replica`", problems)
        .and_then(|given| given.one_of("target", &[("primary", true), ("replica", false)], problems));
    let shard = shard(section, room, problems);
    let moments = [
        ("before_failover", Moment::Before),
        ("during_operation", Moment::During),
        ("after_operation", Moment::After),
    ];
    let moment = section
        .given("coordination")
        .map_or(Some(Moment::During), |given| given.one_of("coordination", &moments, problems));
    let delay = section.seconds("delay", Millis(0), Least::Zero, problems);
    section.finish(&["type", "signal", "target", "shard", "coordination", "delay"], problems);
    if primary == Some(false) && room.replicas == Some(0) {
        return None;
    }
    let shard = shard?;
    Some(Strike {
        line,
        signal: signal?,
        shard,
        node: if primary? { NodeSelector::Primary(shard) } else { NodeSelector::AnyReplicaOf(shard) },
        moment: moment?,
        delay,
    })
}

/// The one mapping of the newer dialect.
fn each(section: &mut Section<'_>, room: Room, problems: &mut Problems) -> Chaos {
    if let Some(given) = section.given("type") {
        kind(&given, problems);
    }
    let drawn = section.boolean("randomize_per_operation", false, problems);
    let signal = signal(section, drawn, problems);
    let mut chaos = Chaos {
        signal,
        victim: NodeSelector::Any,
        named: false,
        before: false,
        during: true,
        after: false,
        delay_before: Millis(0),
        delay_after: Millis(0),
        drawn,
    };
    coordination(section, &mut chaos, problems);
    let strikes = drawn || chaos.before || chaos.during || chaos.after;
    if let Some(mut selection) = section.section("target_selection", problems) {
        selection_of(&mut selection, &mut chaos, strikes, room, problems);
        selection.finish(&["strategy", "specific_nodes"], problems);
    }
    if let Some(mut timing) = section.section("timing", problems) {
        chaos.delay_before = timing.seconds("delay_before_operation", Millis(0), Least::Zero, problems);
        chaos.delay_after = timing.seconds("delay_after_operation", Millis(0), Least::Zero, problems);
        if let Some(given) = timing.given("chaos_duration")
            && given.number(problems)
        {
            given.warn(
                "chaos_duration has no effect: a killed node stays down to the end of the run",
                problems,
            );
        }
        timing.finish(&["delay_before_operation", "delay_after_operation", "chaos_duration"], problems);
    }
    section.finish(
        &[
            "type",
            "process_chaos_type",
            "randomize_per_operation",
            "target_selection",
            "timing",
            "coordination",
        ],
        problems,
    );
    chaos
}

fn signal(section: &mut Section<'_>, drawn: bool, problems: &mut Problems) -> Signal {
    let signals = [("sigkill", Signal::Kill), ("sigterm", Signal::Term)];
    let Some(given) = section.written("process_chaos_type") else { return Signal::Kill };
    if given.node.value == Value::Null {
        if !drawn {
            given.error(
                "null is allowed only with `randomize_per_operation: true`",
                "write `sigkill` or `sigterm`",
                problems,
            );
        }
        return Signal::Kill;
    }
    let signal = given.one_of("signal", &signals, problems);
    if drawn && signal.is_some() {
        given.warn("process_chaos_type is drawn anew for each operation (randomize_per_operation)", problems);
    }
    signal.unwrap_or(Signal::Kill)
}

/// The three moments.
fn coordination(section: &mut Section<'_>, chaos: &mut Chaos, problems: &mut Problems) {
    let Some(given) = section.given("coordination") else { return };
    let Some(mut flags) = Section::open(given.node, &given.path, given.key.span, problems) else { return };
    let said = flags.given("chaos_during_operation").is_some();
    chaos.before = flags.boolean("chaos_before_operation", false, problems);
    chaos.during = flags.boolean("chaos_during_operation", true, problems);
    chaos.after = flags.boolean("chaos_after_operation", false, problems);
    if chaos.drawn {
        if !flags.is_empty() {
            given.warn("the moment is drawn anew for each operation (randomize_per_operation)", problems);
        }
    } else {
        if !said && (chaos.before || chaos.after) {
            given.warn(
                "chaos_during_operation is on by default, so the target is hit twice; set it to false for one fault",
                problems,
            );
        }
        if chaos.before
            && chaos.after
            && let Some(after) = flags.given("chaos_after_operation")
        {
            after.warn("before and after share one target: the second kill finds no process", problems);
        }
    }
    flags.finish(&["chaos_before_operation", "chaos_during_operation", "chaos_after_operation"], problems);
}

/// What is struck.
fn selection_of(
    selection: &mut Section<'_>,
    chaos: &mut Chaos,
    strikes: bool,
    room: Room,
    problems: &mut Problems,
) {
    let strategies = [
        ("random", Some(NodeSelector::Any)),
        ("primary_only", Some(NodeSelector::AnyPrimary)),
        ("replica_only", Some(NodeSelector::AnyReplica)),
        ("specific", None),
    ];
    let numbers: Vec<(&str, usize)> =
        strategies.iter().enumerate().map(|(place, (word, _))| (*word, place)).collect();
    let strategy = selection.given("strategy");
    // A strategy that was misspelt was reported; nothing more is said of it.
    let chosen = match &strategy {
        Some(given) => match given.one_of("strategy", &numbers, problems) {
            Some(place) => &strategies[place],
            None => {
                selection.given("specific_nodes");
                return;
            }
        },
        None => &strategies[0],
    };
    let named = selection.given("specific_nodes");
    let listed = named.as_ref().and_then(|given| nodes(given, room, problems));
    chaos.named = chosen.1.is_none();
    match (&chosen.1, &named) {
        (Some(victim), _) => chaos.victim = victim.clone(),
        (None, None) => {
            if let Some(given) = &strategy {
                given.error(
                    "`specific` without `specific_nodes`",
                    "list the nodes of which one is struck: `specific_nodes: [node-4]`",
                    problems,
                );
            }
        }
        (None, Some(_)) => chaos.victim = NodeSelector::AnyOf(listed.unwrap_or_default()),
    }
    if let Some(given) = &named {
        if !strikes {
            given.warn("specific_nodes has no effect: no moment is switched on", problems);
        } else if !chaos.named {
            given.warn(format!("specific_nodes has no effect: the strategy is `{}`", chosen.0), problems);
        }
    }
    if let Some(given) = strategy.filter(|_| chaos.drawn && !chaos.named) {
        given.warn("strategy is drawn anew for each operation (randomize_per_operation)", problems);
    }
}

/// Logical names, `node-N`. Those that do not exist are skipped, as the original tool does, with a remark; a
/// list of which none is left is an error.
fn nodes(given: &Given<'_>, room: Room, problems: &mut Problems) -> Option<Vec<u16>> {
    let items = given.items("a list of nodes such as `node-4`", problems)?;
    let mut found = Vec::new();
    let before = problems.list.len();
    for (path, item) in items {
        let number = match &item.value {
            Value::Scalar { text, .. } => text.strip_prefix("node-").and_then(|number| {
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| number.parse::<u16>().unwrap_or(u16::MAX))
            }),
            _ => None,
        };
        match (number, room.nodes()) {
            (None, _) => wrong_type(item, &path, "a node such as `node-4`", problems),
            (Some(number), Some(nodes)) if number >= nodes => {
                let message = format!(
                    "{path}: there is no {}, so it is left out; the nodes are node-0 to node-{}",
                    item.text(),
                    nodes - 1
                );
                problems.warning(Some(item.span), &path, &item.as_written(), message);
            }
            (Some(number), _) => found.push(number),
        }
    }
    if found.is_empty()
        && !problems.list[before..].iter().any(|p| p.severity == crate::yaml::document::Severity::Error)
    {
        given.error("names no node of the cluster", "nodes are called node-0, node-1, ...", problems);
    }
    Some(found)
}
