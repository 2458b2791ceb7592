//! The page, and what is not as it says.

use super::program::Program;
use super::rows::{ROWS, Row};
use super::{Cells, Measured};
use seedfault::catalogue::info::ActionInfo;
use seedfault::catalogue::{ACTIONS, ActionKind};
use seedfault::env::{LIVE, PROFILES};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const HEAD: &str = include_str!("head.md");
const TAIL: &str = include_str!("tail.md");
/// What it has instead of what was measured where nothing was.
const NOTHING: &str = "not measured";

/// A fault by the names that other tools have for it; empty where it has none.
struct Elsewhere {
    fault: &'static str,
    toxiproxy: &'static str,
    jepsen: &'static str,
    chaos_mesh: &'static str,
    pumba: &'static str,
}

const fn elsewhere(
    fault: &'static str,
    [toxiproxy, jepsen, chaos_mesh, pumba]: [&'static str; 4],
) -> Elsewhere {
    Elsewhere { fault, toxiproxy, jepsen, chaos_mesh, pumba }
}

/// By the documentation that the end of the page names.
#[rustfmt::skip]
const ELSEWHERE: &[Elsewhere] = &[
    elsewhere("slow", ["`latency`", "`slow!`; `:delay` of the packet package", "NetworkChaos `delay`", "`netem delay`"]),
    elsewhere("lossy", ["", "`flaky!`; `:loss`, `:duplicate`, `:reorder` of the packet package", "NetworkChaos `loss`, `duplicate`, `reorder`", "`netem loss`, `loss-state`, `loss-gemodel`, `duplicate`; `iptables loss`"]),
    elsewhere("throttle", ["`bandwidth`", "`:rate` of the packet package", "NetworkChaos `bandwidth`", "`netem rate`"]),
    elsewhere("corrupt", ["", "`:corrupt` of the packet package", "NetworkChaos `corrupt`", "`netem corrupt`"]),
    elsewhere("garble", ["", "", "", ""]),
    elsewhere("cut", ["`timeout` with 0", "`partitioner`", "NetworkChaos `partition`", "`netem loss` of 100 %"]),
    elsewhere("flap", ["", "", "", ""]),
    elsewhere("reset", ["`reset_peer`", "", "", ""]),
    elsewhere("refuse", ["a disabled proxy, which ends older connections too", "", "", ""]),
    elsewhere("half_open", ["", "", "", ""]),
    elsewhere("pause", ["", "`hammer-time`, `:pause`", "", "`pause`"]),
    elsewhere("stutter", ["", "", "", ""]),
    elsewhere("clock_skew", ["", "`clock-scrambler`; `:bump` of the clock package, both of the whole machine; `jepsen.faketime`", "TimeChaos", ""]),
    elsewhere("slow_disk", ["", "", "IOChaos `latency`", ""]),
    elsewhere("disk_error", ["", "`jepsen.charybdefs`", "IOChaos `fault`", ""]),
    elsewhere("full_disk", ["", "", "IOChaos `fault` with ENOSPC; `disk-fill` of PhysicalMachineChaos", ""]),
    elsewhere("strike_at", ["", "", "", ""]),
    elsewhere("kill", ["", "`node-start-stopper`, `:kill`", "PodChaos `pod-kill`, `container-kill`", "`kill`, `stop`"]),
    elsewhere("restart", ["", "`:kill` with `db/start!`; data kept", "PodChaos `pod-failure`; data kept or not by its volume", "`restart`; data kept"]),
];

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md")
}

/// Faults of the catalogue, those of `live` first.
fn faults(offered: bool) -> impl Iterator<Item = &'static ActionInfo> {
    ACTIONS.iter().filter(move |one| one.kind == ActionKind::Fault && LIVE.offers(one.needs) == offered)
}

/// In the order of the rows.
fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for row in ROWS {
        if !names.contains(&row.fault) {
            names.push(row.fault);
        }
    }
    names
}

pub fn write(measured: &Measured, devices: &BTreeMap<bool, String>) -> Option<String> {
    let lacks = incomplete();
    if lacks.is_some() {
        return lacks;
    }
    fs::write(path(), page(measured, devices)).err().map(|error| format!("docs/faults.md: {error}"))
}

/// What the page does not say and should, or says and should not. Figures may be others.
pub fn is_amiss(measured: &Measured, devices: &BTreeMap<bool, String>) -> Option<String> {
    let lacks = incomplete();
    if lacks.is_some() {
        return lacks;
    }
    let is = fs::read_to_string(path()).unwrap_or_default();
    let should = page(measured, devices);
    let (is, should): (Vec<&str>, Vec<&str>) =
        (is.lines().map(bare).collect(), should.lines().map(bare).collect());
    let place = (0..is.len().max(should.len())).find(|place| is.get(*place) != should.get(*place))?;
    Some(format!(
        "FAILED: docs/faults.md, line {}, is {:?} and not {:?}: SEEDFAULT_UPDATE=1 cargo test --test live faults_",
        place + 1,
        is.get(place),
        should.get(place)
    ))
}

/// A line without its figures.
fn bare(line: &str) -> &str {
    if line.starts_with("Measured on ") {
        return "Measured on ";
    }
    let row = Program::ALL
        .iter()
        .map(|program| program.name())
        .find(|name| line.starts_with(&format!("| {name} |")));
    row.map_or(line, |name| &line[..name.len() + 3])
}

/// A fault of `live` that has no row, or of which nobody says who else has it.
fn incomplete() -> Option<String> {
    let named = |fault: &str| ELSEWHERE.iter().any(|one| one.fault == fault);
    let rowless = faults(true).find(|fault| ROWS.iter().all(|row| row.fault != fault.name));
    if let Some(fault) = rowless {
        return Some(format!("FAILED: `{}` has no line in tests/live/faults/rows.rs", fault.name));
    }
    let nameless = names().into_iter().find(|fault| !named(fault));
    nameless.map(|fault| format!("FAILED: `{fault}` has no line in ELSEWHERE of tests/live/faults/page.rs"))
}

fn page(measured: &Measured, devices: &BTreeMap<bool, String>) -> String {
    let mut page = HEAD.replace("{machine}", &machine(devices));
    for fault in names() {
        let info = ACTIONS.iter().find(|one| one.name == fault);
        let _ = write!(page, "\n## `{fault}`\n\n{}", info.map_or("", |info| info.summary));
        page += ".\n";
        for (place, row) in ROWS.iter().enumerate().filter(|(_, row)| row.fault == fault) {
            page += &table(place, row, measured);
        }
    }
    page += "\n## Faults that `live` does not offer\n\n| fault | what it is | needs | environments that offer it |\n|---|---|---|---|\n";
    for fault in faults(false) {
        let offer: Vec<&str> =
            PROFILES.iter().filter(|one| one.offers(fault.needs)).map(|one| one.name).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            fault.name,
            fault.summary,
            fault.needs.as_str(),
            offer.join(", ")
        );
    }
    page += "\n## The same by other names\n\n| fault | Toxiproxy | Jepsen | Chaos Mesh | Pumba |\n|---|---|---|---|---|\n";
    for one in ELSEWHERE {
        let cells = [one.toxiproxy, one.jepsen, one.chaos_mesh, one.pumba]
            .map(|cell| if cell.is_empty() { "–" } else { cell });
        let _ = writeln!(page, "| `{}` | {} |", one.fault, cells.join(" | "));
    }
    page + "\n" + TAIL
}

/// One row of the list: its own small table, a line for each program.
fn table(place: usize, row: &Row, measured: &Measured) -> String {
    let mut text = format!("\n`{}`: {}\n\n", row.fields, row.effect);
    text += "| program | as root | as an ordinary user | healed |\n|---|---|---|---|\n";
    for program in Program::ALL {
        let name = program.name();
        let cells = |ordinary: bool| measured.get(&(place, name, ordinary));
        let effect =
            |cells: Option<&Cells>| cells.map_or(NOTHING.into(), |cells| cells.effect.replace('|', "/"));
        let heal = cells(false).or(cells(true)).map_or(NOTHING.into(), |cells| cells.heal.replace('|', "/"));
        let _ = writeln!(text, "| {name} | {} | {} | {heal} |", effect(cells(false)), effect(cells(true)));
    }
    text
}

/// When, where and with what.
fn machine(devices: &BTreeMap<bool, String>) -> String {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok();
        output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let versions: Vec<String> = Program::ALL.iter().filter_map(|program| program.version()).collect();
    let device = |ordinary: bool| devices.get(&ordinary).map_or(NOTHING, String::as_str);
    format!(
        "{}, Linux {}, {count} processors (load average {load}), with {}. Nodes were connected by {} as root, by {} as an ordinary user.",
        said("date", "+%Y-%m-%d"),
        said("uname", "-r"),
        versions.join(", "),
        device(false),
        device(true),
    )
}
