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
/// How the line begins that tells when and where.
const MEASURED: &str = "Measured on ";

/// Faults that take the nodes of a cluster and its own traffic, and where that is measured.
const AMONG_NODES: &[(&str, &str)] = &[
    (
        "hold",
        "`tests/live/order.yaml`: a PONG waits for a PING, as the nodes of a cluster of Valkey or Redis have it",
    ),
    (
        "strike_link",
        "`tests/live/messages.yaml`: a request for a vote is lost, another comes twice, a connect is lost",
    ),
];

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
    elsewhere("resolve_fails", ["", "", "DNSChaos `error`, `random`", ""]),
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
    elsewhere("clock_strobe", ["", "`:strobe` of the clock package, of the whole machine", "", ""]),
    elsewhere("cpu_limit", ["", "", "", ""]),
    elsewhere("cpu_hog", ["", "", "StressChaos `cpu`", "`stress`"]),
    elsewhere("fd_limit", ["", "", "", ""]),
    elsewhere("use_up_connections", ["", "", "", ""]),
    elsewhere("memory_limit", ["", "", "StressChaos `memory`, KernelChaos, allocations in the kernel", "`stress`"]),
    elsewhere("slow_close", ["`slow_close`", "", "", ""]),
    elsewhere("hold", ["", "", "", ""]),
    elsewhere("strike_link", ["", "", "", "`iptables loss --mode nth`, packets alone"]),
    elsewhere("restart", ["", "`:kill` with `db/start!`; data kept", "PodChaos `pod-failure`; data kept or not by its volume", "`restart`; data kept"]),
    elsewhere("power_loss", ["", "`jepsen.lazyfs`", "", ""]),
    elsewhere("bit_flip", ["", "`bitflip`", "IOChaos `mistake`, in what is read and written", ""]),
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

/// Writes the page; what was not measured now keeps the figures that it has there.
pub fn write(measured: &Measured, devices: &BTreeMap<bool, String>, whole: bool) -> Option<String> {
    let lacks = incomplete();
    if lacks.is_some() {
        return lacks;
    }
    let old = fs::read_to_string(path()).unwrap_or_default();
    let head = if whole { None } else { old.lines().find_map(|line| line.strip_prefix(MEASURED)) };
    let head = head.map_or_else(|| machine(devices), String::from);
    let page = page(measured, &figures(&old), &head);
    fs::write(path(), page).err().map(|error| format!("FAILED: docs/faults.md: {error}"))
}

/// What stands in the page behind each program's name, by fault, fields and program.
fn figures(page: &str) -> BTreeMap<(String, String, &'static str), String> {
    let (mut fault, mut fields, mut found) = (String::new(), String::new(), BTreeMap::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## `").and_then(|rest| rest.strip_suffix('`')) {
            fault = name.into();
        } else if let Some((text, _)) = line.strip_prefix('`').and_then(|rest| rest.split_once("`: ")) {
            fields = text.into();
        } else if let Some((name, rest)) = of_program(line) {
            found.insert((fault.clone(), fields.clone(), name), rest.to_string());
        }
    }
    found
}

/// A line of a program in a table: its name, and what stands behind that.
fn of_program(line: &str) -> Option<(&'static str, &str)> {
    let named = |program: &Program| {
        let rest = line.strip_prefix(&format!("| {} | ", program.name()))?;
        Some((program.name(), rest))
    };
    Program::ALL.iter().find_map(named)
}

/// What the page does not say and should, or says and should not. Figures may be others.
pub fn is_amiss() -> Option<String> {
    let lacks = incomplete();
    if lacks.is_some() {
        return lacks;
    }
    let is = fs::read_to_string(path()).unwrap_or_default();
    let should = page(&Measured::new(), &BTreeMap::new(), "");
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
    match of_program(line) {
        _ if line.starts_with(MEASURED) => MEASURED,
        Some((_, figures)) => &line[..line.len() - figures.len()],
        None => line,
    }
}

/// A fault of `live` that has no row, or of which nobody says who else has it.
fn incomplete() -> Option<String> {
    let named = |fault: &str| ELSEWHERE.iter().any(|one| one.fault == fault);
    let among = |fault: &str| AMONG_NODES.iter().any(|(name, _)| *name == fault);
    let rowless =
        faults(true).find(|fault| ROWS.iter().all(|row| row.fault != fault.name) && !among(fault.name));
    if let Some(fault) = rowless {
        return Some(format!("FAILED: `{}` has no line in tests/live/faults/rows.rs", fault.name));
    }
    let nameless =
        names().into_iter().chain(AMONG_NODES.iter().map(|(name, _)| *name)).find(|fault| !named(fault));
    nameless.map(|fault| format!("FAILED: `{fault}` has no line in ELSEWHERE of tests/live/faults/page.rs"))
}

fn page(
    measured: &Measured,
    old: &BTreeMap<(String, String, &'static str), String>,
    machine: &str,
) -> String {
    let mut page = HEAD.replace("{machine}", machine);
    for fault in names() {
        let info = ACTIONS.iter().find(|one| one.name == fault);
        let _ = write!(page, "\n## `{fault}`\n\n{}", info.map_or("", |info| info.summary));
        page += ".\n";
        for (place, row) in ROWS.iter().enumerate().filter(|(_, row)| row.fault == fault) {
            page += &table(place, row, measured, old);
        }
    }
    page += "\n## Faults among nodes\n\nThese take the nodes of a cluster and what they send one another.\n\n| fault | what it is | measured by |\n|---|---|---|\n";
    for (fault, by) in AMONG_NODES {
        let info = ACTIONS.iter().find(|one| one.name == *fault);
        let _ = writeln!(page, "| `{fault}` | {} | {by} |", info.map_or("", |info| info.summary));
    }
    if faults(false).next().is_some() {
        page += "\n## Faults that `live` does not offer\n\n| fault | what it is | needs | environments that offer it |\n|---|---|---|---|\n";
    }
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
fn table(
    place: usize,
    row: &Row,
    measured: &Measured,
    old: &BTreeMap<(String, String, &'static str), String>,
) -> String {
    let mut text = format!("\n`{}`: {}\n\n", row.fields, row.effect);
    text += "| program | as root | as an ordinary user | healed |\n|---|---|---|---|\n";
    for program in Program::ALL {
        let name = program.name();
        let cells = |ordinary: bool| measured.get(&(place, name, ordinary));
        let effect =
            |cells: Option<&Cells>| cells.map_or(NOTHING.into(), |cells| cells.effect.replace('|', "/"));
        let figures =
            match (cells(false).or(cells(true)), old.get(&(row.fault.into(), row.fields.into(), name))) {
                (None, Some(old)) => old.clone(),
                (healed, _) => {
                    let heal = healed.map_or(NOTHING.into(), |cells| cells.heal.replace('|', "/"));
                    format!("{} | {} | {heal} |", effect(cells(false)), effect(cells(true)))
                }
            };
        let _ = writeln!(text, "| {name} | {figures}");
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
