//! `docs/faults.md`: what each fault of `live` does to programs that nobody wrote for it, measured by their own clients'
//! traffic. Each fault is carried out as a scenario's is; a measurement that is far from what was asked for fails.
//!
//! `SEEDFAULT_UPDATE=1 cargo test --test live faults_` measures as root and writes the page; with the name of a fault,
//! `faults_cut`, that fault's lines alone. Without it the same is
//! measured, several programs side by side, and the page must tell of the same faults. A new fault gets a line in
//! [`rows::ROWS`] and one in [`page::ELSEWHERE`].

mod lab;
mod links;
mod machine;
mod names;
mod packets;
mod page;
mod power;
mod process;
mod program;
mod rows;
mod shortage;

use super::servers::side_by_side;
use super::{Bench, again};
use lab::Lab;
use program::Program;
use rows::ROWS;
use seedfault::env::Env as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

/// Most of a measurement is waiting; of what is written down, one at a time.
const AT_ONCE: usize = 4;
/// Where a child tells what the nodes' devices are.
const DEVICES: &str = "devices";

/// What was measured: by row, program, and whether as an ordinary user.
pub type Measured = BTreeMap<(usize, &'static str, bool), Cells>;

pub struct Cells {
    pub effect: String,
    pub heal: String,
}

/// Whether a child that measures these rows serves the node's folder.
pub fn is_served(rows: &[&str]) -> bool {
    rows.iter().filter_map(|row| row.parse::<usize>().ok()).all(|row| ROWS[row].is_served())
}

/// The child: measures these rows on one program, a line of JSON each.
pub fn measure(bench: &mut Bench, program: &str, rows: &[&str]) {
    let program = Program::of(program).expect("named by the parent");
    let mut lab = Lab::new(bench, program);
    for row in rows.iter().filter_map(|row| row.parse::<usize>().ok()) {
        let mut said = match (ROWS[row].measure)(&mut lab, &ROWS[row]) {
            Ok(seen) => json!({"effect": seen.effect, "heal": seen.heal}),
            Err(wrong) => json!({"wrong": wrong}),
        };
        lab.over();
        said["row"] = row.into();
        println!("{said}");
    }
    lab.bench.env.close();
    let notes = lab.bench.env.notes().iter();
    let devices = notes.filter_map(|note| note.strip_prefix("nodes had a network of their own, with "));
    println!("{}", json!({DEVICES: devices.collect::<String>()}));
}

/// The parent. Answers what failed.
pub fn all(filter: &str, tool: &Path, place: &Path, users: &[Option<u32>]) -> Vec<String> {
    let is_named = |fault: &str| format!("faults_{fault}").contains(filter);
    let rows: Vec<usize> = (0..ROWS.len()).filter(|row| is_named(ROWS[*row].fault)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let update = std::env::var_os("SEEDFAULT_UPDATE").is_some();
    let installed: Vec<Program> = Program::ALL.into_iter().filter(|one| one.binary().is_some()).collect();
    let missing: Vec<&str> =
        Program::ALL.iter().filter(|one| !installed.contains(one)).map(|one| one.name()).collect();
    if !missing.is_empty() {
        println!("live: faults: not measured on {}, which is not on PATH", missing.join(", "));
    }
    // Of a folder that is served nothing else is measured.
    let (served, plain): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| ROWS[**row].is_served());
    let jobs: Vec<(Program, Option<u32>)> =
        users.iter().flat_map(|user| installed.iter().map(move |program| (*program, *user))).collect();
    let mut runs = side_by_side(&jobs, if update { 1 } else { AT_ONCE }, |(program, user)| {
        let some = [&plain, &served].into_iter().filter(|rows| !rows.is_empty());
        some.map(|rows| one(*program, *user, rows, tool, place)).fold(Said::default(), Said::and)
    });
    let (mut measured, mut devices, mut failed) = (Measured::new(), BTreeMap::new(), Vec::new());
    for ((program, user), said) in jobs.iter().zip(&mut runs) {
        let (name, ordinary) = (program.name(), user.is_some());
        let who = if ordinary { "as an ordinary user" } else { "as who started it" };
        devices.extend(said.devices.take().map(|device| (ordinary, device)));
        for row in &rows {
            let what = format!("faults_{} {}, {name}, {who}", ROWS[*row].fault, ROWS[*row].fields);
            let told = said.rows.remove(row).unwrap_or_else(|| Err("it did not get there".into()));
            // These are wall times, of several programs at once: what is far off is measured again, alone.
            let told = told.or_else(|first| {
                println!("live: {what}: measured again, for the first time {first}");
                let second = one(*program, *user, &[*row], tool, place).rows.remove(row);
                second.unwrap_or_else(|| Err("it did not get there".into()))
            });
            match told {
                Ok(cells) => {
                    if update || !filter.is_empty() {
                        println!("live: {what}: {}; healed: {}", cells.effect, cells.heal);
                    }
                    measured.insert((*row, name, ordinary), cells);
                }
                Err(wrong) => {
                    println!("live: {what}: FAILED: {wrong}");
                    failed.push(format!("{what}: {wrong}"));
                }
            }
        }
    }
    println!("live: faults: {} measured, {} failed", measured.len(), failed.len());
    let all = missing.is_empty() && users.len() == 2 && failed.is_empty();
    let amiss = match update {
        true if all => page::write(&measured, &devices, rows.len() == ROWS.len()),
        true => {
            Some("FAILED: the page is written as root, where all programs are, when all is as asked".into())
        }
        false => page::is_amiss(),
    };
    println!("live: faults_page: {}", amiss.as_deref().unwrap_or("ok"));
    failed.extend(amiss.map(|amiss| format!("faults_page: {amiss}")));
    failed
}

/// What one child says: of each row that it got to what was measured, or what is wrong.
#[derive(Default)]
struct Said {
    rows: BTreeMap<usize, Result<Cells, String>>,
    devices: Option<String>,
}

impl Said {
    fn and(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        Self { rows: self.rows, devices: self.devices.or(other.devices) }
    }

    fn hear(&mut self, line: &Value) {
        let text = |key: &str| line[key].as_str().map(String::from);
        if let Some(row) = line["row"].as_u64() {
            let cells =
                Cells { effect: text("effect").unwrap_or_default(), heal: text("heal").unwrap_or_default() };
            self.rows.insert(row as usize, text("wrong").map_or(Ok(cells), Err));
        }
        self.devices = text(DEVICES).or(self.devices.take());
    }
}

/// Has a child measure these.
fn one(program: Program, user: Option<u32>, rows: &[usize], tool: &Path, place: &Path) -> Said {
    let served = if rows.iter().all(|row| ROWS[*row].is_served()) { "served-" } else { "" };
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    let arguments: Vec<&str> =
        ["faults", program.name()].into_iter().chain(rows.iter().map(String::as_str)).collect();
    let run = place.join(format!("faults-{served}{}-{user:?}", program.name()));
    let mut command = again(tool, &arguments, &run, user);
    let output = command.stderr(Stdio::inherit()).output().expect("it starts");
    let mut said = Said::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Ok(line) = serde_json::from_str(line) {
            said.hear(&line);
        }
    }
    said
}
