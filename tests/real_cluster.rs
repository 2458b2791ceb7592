//! The proof on real clusters: fifteen scenarios (`tests/real/`), each at a seed of its own, that between them hold
//! every fault in each of its forms, every operation, and an acknowledged write that is lost within its
//! documented window. What was carried out is read from the runs themselves, not from what was planned.
//!
//! They run on the first server that is installed, or on each with `SEEDFAULT_EVERY_SERVER=1`. Without any they
//! are skipped by name, and fail where `SEEDFAULT_REQUIRE_SERVERS=1` says that servers must be there.

mod servers;

use seedfault::catalogue::{self, ActionKind};
use seedfault::env::{self, LIVE, PROCESSES, live};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use seedfault::target::operation::{AdminCommand, FailoverMode, StopAfter};
use servers::{Ran, amiss, installed, run, side_by_side};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Most of a run is waiting. The longest come first.
const AT_ONCE: usize = 4;

/// The scenarios and their seeds. All of them pass.
const RUNS: [(&str, &str); 17] = [
    ("membership", "67890"),
    ("restarts", "3"),
    ("admin", "5"),
    ("upkeep", "2"),
    ("signals", "1"),
    ("scaling", "8"),
    ("loss", "1"),
    ("failovers", "4"),
    ("permanent", "6"),
    ("reshards", "9"),
    ("links", "7"),
    ("disks", "1"),
    ("packets", "1"),
    ("shortages", "1"),
    ("clocks", "1"),
    ("broken", "1"),
    ("foreign", "1"),
];

/// Whether there is virtual time here, where links and clocks can be struck too.
const EXACT: bool = cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"));

/// Whether nodes can have a network of their own here.
fn has_live() -> bool {
    live::probe::probe().is_ok()
}

fn runs() -> Vec<(&'static str, &'static str)> {
    let live = has_live();
    let here = |name: &str| match name {
        "links" | "disks" => EXACT,
        "packets" | "shortages" | "clocks" | "broken" => live,
        _ => true,
    };
    RUNS.into_iter().filter(|(name, _)| here(name)).collect()
}

/// What the runs must hold between them, by name: what only the catalogue and the forms of each action know.
fn wanted() -> BTreeSet<String> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    let live = has_live();
    for info in catalogue::ACTIONS {
        let here = info.targets.contains(&"valkey")
            && (PROCESSES.offers(info.needs)
                || (EXACT && env::EXACT.offers(info.needs))
                || (live && LIVE.offers(info.needs)))
            && matches!(info.kind, ActionKind::Operation | ActionKind::Fault);
        if here {
            wanted.insert(info.name.to_string());
        }
    }
    let mut forms = |action: &str, words: Vec<String>| {
        wanted.extend(words.into_iter().map(|word| format!("{action} {word}")));
    };
    forms("kill", Signal::ALL.iter().map(ToString::to_string).collect());
    forms("restart", RestartData::ALL.iter().map(ToString::to_string).collect());
    forms("failover", FailoverMode::ALL.iter().map(ToString::to_string).collect());
    forms("reshard", StopAfter::ALL.iter().map(ToString::to_string).collect());
    forms("admin", AdminCommand::ALL.iter().map(ToString::to_string).collect());
    forms("kill", vec!["for good".into()]);
    wanted.insert("several faults in one millisecond".into());
    wanted.insert("an acknowledged write lost within its window".into());
    wanted
}

/// The value of a field in a plan's `signal: TERM, spare_shard: false`.
fn field<'a>(fields: &'a str, name: &str) -> Option<&'a str> {
    fields
        .split(", ")
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix(": "))
        .map(|v| v.trim_matches('"'))
}

/// The field that tells the forms of an action apart, and its default where a plan may leave it out.
const FORMS: [(&str, &str, &str); 5] = [
    ("kill", "signal", "KILL"),
    ("restart", "data", "kept"),
    ("failover", "mode", "default"),
    ("reshard", "stop_after", "done"),
    ("admin", "command", ""),
];

/// What this run carried out, by the names of [`wanted`].
fn held(ran: &Ran) -> BTreeSet<String> {
    let plan = ran.events.iter().find(|event| event["event"] == "plan");
    let planned = plan.and_then(|plan| plan["events"].as_array()).into_iter().flatten();
    let planned: BTreeMap<&str, _> =
        planned.filter_map(|event| Some((event["id"].as_str()?, event))).collect();
    let mut held = BTreeSet::new();
    let mut starts: BTreeMap<u64, usize> = BTreeMap::new();
    for applied in ran.applied().filter(|applied| applied["status"] == "applied") {
        let (Some(action), Some(plan)) =
            (applied["action"].as_str(), applied["event"].as_str().and_then(|id| planned.get(id)))
        else {
            continue;
        };
        held.insert(action.to_string());
        let fields = plan["fields"].as_str().unwrap_or_default();
        if let Some((_, name, default)) = FORMS.iter().find(|(of, _, _)| *of == action) {
            held.insert(format!("{action} {}", field(fields, name).unwrap_or(default)));
        }
        if action == "kill" && plan["lasts"].is_null() {
            held.insert("kill for good".into());
        }
        if plan["kind"] == "fault" {
            *starts.entry(applied["started"].as_u64().unwrap_or(0) / 1000).or_default() += 1;
        }
    }
    if starts.values().any(|together| *together > 1) {
        held.insert("several faults in one millisecond".into());
    }
    let loss = ran.judged("acknowledged_loss");
    let window = |class: &String| class.ends_with("-window");
    if loss.is_some_and(|loss| {
        loss["verdict"] == "pass" && loss["classes"].as_object().is_some_and(|all| all.keys().any(window))
    }) {
        held.insert("an acknowledged write lost within its window".into());
    }
    held
}

#[test]
fn the_runs_on_a_real_cluster_hold_every_fault_every_operation_and_a_documented_loss() {
    let mut servers = installed();
    if servers.is_empty() {
        for (name, seed) in runs() {
            println!("skipped: tests/real/{name}.yaml at seed {seed}: no server is on PATH");
        }
        println!("skipped: {} runs, because none of {:?} is on PATH", RUNS.len(), servers::SERVERS);
        return;
    }
    if std::env::var("SEEDFAULT_EVERY_SERVER").as_deref() != Ok("1") {
        servers.truncate(1);
    }
    for server in servers {
        prove(&server);
    }
}

fn prove(server: &Path) {
    let named = runs();
    let runs = side_by_side(&named, AT_ONCE, |(name, seed)| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/real/{name}.yaml"));
        run(&format!("real-{name}"), &["run", &file.to_string_lossy(), "--seed", seed], server)
    });
    let mut by: BTreeMap<String, Vec<&str>> = wanted().into_iter().map(|what| (what, Vec::new())).collect();
    let mut failed = Vec::new();
    for ((name, _), ran) in named.iter().zip(&runs) {
        for what in held(ran) {
            by.entry(what).or_default().push(name);
        }
        let amiss = amiss(ran);
        if !amiss.is_empty() {
            failed.push(format!("{name}: {}\n{}", amiss.join("\n  "), ran.story()));
        }
    }
    println!("carried out on {}:", server.display());
    for (what, names) in &by {
        println!("  {what:<45} {}", if names.is_empty() { "NOWHERE".into() } else { names.join(", ") });
    }
    let missing: Vec<&String> =
        by.iter().filter(|(_, names)| names.is_empty()).map(|(what, _)| what).collect();
    assert!(
        failed.is_empty(),
        "{} of {} runs on {}:\n{}",
        failed.len(),
        named.len(),
        server.display(),
        failed.join("\n")
    );
    assert!(missing.is_empty(), "no run on {} carried out {missing:?}", server.display());
}
