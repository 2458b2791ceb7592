//! What must be undone, written down before it can be needed: `heals.jsonl` in the run folder.
//!
//! A run that ends by itself kills its nodes and marks the file as complete. After a `kill -9` of the run,
//! [`sweep`] does it from the file: at the hand of the parent process, or of the next start over old folders
//! ([`sweep_all`]). Processes are named by pid, start time, PID namespace and boot, so that no later process
//! with the same pid is ever touched. Lines of others (a fault's own heal) are passed over.

use super::proc::{self, Identity, Stat};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

pub const FILE: &str = "heals.jsonl";
/// How long killed processes may take to go.
pub const GONE_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A line of the file that this environment wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heal", rename_all = "snake_case")]
pub enum Heal {
    /// The process that runs the run. While it lives, the folder is none of anybody else's business.
    Owner { process: Identity },
    /// It is process 1 of its own PID namespace: with it, all that is inside goes.
    Cage { process: Identity },
    /// A node is about to be started: processes marked with its folder belong to the run.
    Starting { node: String },
    /// The leader of a node's process group.
    KillGroup { node: String, process: Identity },
    /// All of the above is undone.
    Complete,
}

/// The file, open for appending.
#[derive(Debug)]
pub struct Heals {
    file: File,
}

impl Heals {
    pub fn open(run: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(run.join(FILE))?;
        let mut heals = Self { file };
        if let Some(process) = Identity::of(std::process::id() as i32) {
            if process.pid == 1 {
                heals.write(&Heal::Cage { process: process.clone() })?;
            }
            heals.write(&Heal::Owner { process })?;
        }
        Ok(heals)
    }

    /// One write per line: a line is there as a whole or not at all.
    pub fn write(&mut self, heal: &Heal) -> io::Result<()> {
        let mut line = serde_json::to_vec(heal)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swept {
    /// The run had cleaned up by itself, or there was never anything.
    Clean,
    /// It is still running.
    Alive,
    /// These processes were killed (pid and name), and are gone.
    Killed(Vec<String>),
    /// These could not be.
    Left(Vec<String>),
}

/// Undoes what a run left, from its folder. To be called when the run is known to be dead, or to find out.
pub fn sweep(run: &Path) -> io::Result<Swept> {
    let text = match fs::read_to_string(run.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::Clean),
        Err(error) => return Err(error),
    };
    let heals: Vec<Heal> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    // A folder may be used again: what counts is after the last mark.
    let open = heals.rsplit(|heal| *heal == Heal::Complete).next().unwrap_or(&[]);
    if open.is_empty() {
        return Ok(Swept::Clean);
    }
    let alive = |heal: &Heal| matches!(heal, Heal::Owner { process } if process.find().is_some());
    if open.iter().any(alive) {
        return Ok(Swept::Alive);
    }
    let nodes = std::path::absolute(run.join("nodes"))?;
    let mut killed = BTreeSet::new();
    let mut left = members(open, &nodes);
    let mut waited = Duration::ZERO;
    while !left.is_empty() && waited < GONE_MAX {
        for stat in &left {
            killed.insert(format!("{} ({})", stat.pid, name(stat.pid)));
            // Gone in between, or not ours to kill: the next look tells.
            let _ = kill(Pid::from_raw(stat.pid), Signal::SIGKILL);
        }
        std::thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
        left = members(open, &nodes);
    }
    if !left.is_empty() {
        return Ok(Swept::Left(
            left.iter().map(|stat| format!("{} ({})", stat.pid, name(stat.pid))).collect(),
        ));
    }
    let mut file = OpenOptions::new().append(true).open(run.join(FILE))?;
    let mut line = serde_json::to_vec(&Heal::Complete)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(if killed.is_empty() { Swept::Clean } else { Swept::Killed(killed.into_iter().collect()) })
}

/// Sweeps every run folder below `runs`. Answers what it had to do, by folder.
pub fn sweep_all(runs: &Path) -> Vec<(std::path::PathBuf, io::Result<Swept>)> {
    let Ok(entries) = fs::read_dir(runs) else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join(FILE).exists());
    folders.sort();
    let swept = folders.into_iter().map(|folder| {
        let result = sweep(&folder);
        (folder, result)
    });
    swept.filter(|(_, result)| !matches!(result, Ok(Swept::Clean | Swept::Alive))).collect()
}

/// Living processes that the open heals name.
fn members(heals: &[Heal], nodes: &Path) -> Vec<Stat> {
    let mut found: Vec<Stat> = Vec::new();
    for heal in heals {
        match heal {
            Heal::Cage { process } => found.extend(process.find()),
            Heal::KillGroup { process, .. } => {
                if let Some(leader) = process.find() {
                    found.extend(proc::family(leader.pid, nodes));
                }
            }
            Heal::Owner { .. } | Heal::Starting { .. } | Heal::Complete => {}
        }
    }
    // Where the leader is gone, its group number may be a stranger's: only the mark tells whose its members are.
    found.extend(proc::all().into_iter().filter(|stat| !stat.is_dead() && proc::is_marked(stat.pid, nodes)));
    found.sort_by_key(|stat| stat.pid);
    found.dedup();
    let me = std::process::id() as i32;
    found.retain(|stat| stat.pid != me);
    found
}

fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).map(|text| text.trim().to_string()).unwrap_or_default()
}

/// Kills a whole group, then those of the family who left it.
pub fn kill_family(leader: i32, members: &[Stat], signal: Signal) {
    // A group that is gone meanwhile is what we want.
    let _ = killpg(Pid::from_raw(leader), signal);
    for member in members.iter().filter(|member| member.group != leader) {
        let _ = kill(Pid::from_raw(member.pid), signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    fn run_folder(name: &str) -> std::path::PathBuf {
        let run = std::env::temp_dir().join(format!("seedfault-heals-{name}-{}", std::process::id()));
        fs::create_dir_all(run.join("nodes/node-0")).expect("writable");
        run
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").process_group(0).spawn().expect("there is sleep")
    }

    fn write(run: &Path, heals: &[Heal]) {
        let lines: Vec<String> =
            heals.iter().map(|heal| serde_json::to_string(heal).expect("plain") + "\n").collect();
        fs::write(run.join(FILE), lines.concat() + "{\"heal\":\"of_a_later_version\"}\n").expect("writable");
    }

    #[test]
    fn what_a_dead_run_left_is_killed_once() {
        let run = run_folder("dead");
        let mut child = sleeper();
        let process = Identity::of(child.id() as i32).expect("it lives");
        let owner = Identity { start: 1, ..process.clone() };
        write(&run, &[Heal::Owner { process: owner }, Heal::KillGroup { node: "node-0".into(), process }]);
        assert!(matches!(sweep(&run).expect("readable"), Swept::Killed(pids) if pids.len() == 1));
        assert_eq!(child.wait().expect("reaped").code(), None, "it died by a signal");
        assert_eq!(sweep(&run).expect("readable"), Swept::Clean);
        fs::remove_dir_all(run).expect("writable");
    }

    #[test]
    fn a_living_run_and_a_reused_pid_are_left_alone() {
        let run = run_folder("alive");
        let mut child = sleeper();
        let process = Identity::of(child.id() as i32).expect("it lives");
        let node = |process| Heal::KillGroup { node: "node-0".into(), process };
        let me = Identity::of(std::process::id() as i32).expect("we live");
        write(&run, &[Heal::Owner { process: me.clone() }, node(process.clone())]);
        assert_eq!(sweep(&run).expect("readable"), Swept::Alive);
        let stranger = Identity { start: process.start - 1, ..process };
        write(&run, &[Heal::Owner { process: Identity { start: 1, ..me } }, node(stranger)]);
        assert_eq!(sweep(&run).expect("readable"), Swept::Clean);
        assert!(child.try_wait().expect("ours").is_none(), "the stranger lives");
        child.kill().expect("ours");
        child.wait().expect("ours");
        fs::remove_dir_all(run).expect("writable");
    }

    #[test]
    fn marked_processes_go_even_if_no_pid_was_written() {
        let runs = run_folder("runs");
        let run = runs.join("one");
        let folder = run.join("nodes/node-0");
        fs::create_dir_all(&folder).expect("writable");
        let mut child =
            Command::new("sleep").arg("60").env(proc::MARK, &folder).spawn().expect("there is sleep");
        write(&run, &[Heal::Starting { node: "node-0".into() }]);
        let swept = sweep_all(&runs);
        assert!(matches!(swept.as_slice(), [(_, Ok(Swept::Killed(_)))]), "{swept:?}");
        assert_eq!(child.wait().expect("ours").code(), None);
        assert!(sweep_all(&runs).is_empty());
        fs::remove_dir_all(runs).expect("writable");
    }
}
