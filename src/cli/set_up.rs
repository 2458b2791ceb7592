//! What the ground of a run in environment `live` takes: namespaces, devices and disks, without servers. A part of
//! `fuzz bench live`. Each time is of a process of its own, as namespaces cannot be left.

use super::console::print;
use super::exit::{Code, Failure};
use crate::entropy::{Entropy, Seed};
use crate::env::live::{self, Kind};
use crate::env::processes::cage::{self, Walls};
use crate::env::processes::{Options, ProcessesEnv};
use crate::env::{ActorId, Effect, Env, EnvError, Input, NodeAction, NodeId, NodeSpec};
use crate::fault::disk::Calls;
use crate::time::Millis;
use nix::unistd::geteuid;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

const SIZES: [u16; 2] = [6, 48];
const ME: ActorId = ActorId(1);
/// Nothing takes that long.
const PATIENCE: Millis = Millis(60_000);

/// What a process is to stand up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    kind: Kind,
    nodes: u16,
    /// Whether calls to disks are watched, and folders served.
    disks: bool,
    /// Where its folder is to be.
    folder: PathBuf,
}

impl FromStr for Ground {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let [kind, nodes, disks, folder] = text.splitn(4, ':').collect::<Vec<_>>()[..] else {
            return Err("expected a kind of devices, nodes, disks and a folder".into());
        };
        let number = |text: &str| text.parse().map_err(|_| format!("no number: {text}"));
        let kind = Kind::ALL.get(usize::from(number(kind)?)).ok_or("no such kind of devices")?;
        Ok(Self { kind: *kind, nodes: number(nodes)?, disks: disks == "disks", folder: folder.into() })
    }
}

/// In the parent: each ground so often.
pub fn measure(rounds: u64) -> Result<(), Failure> {
    let user = if geteuid().is_root() { "root" } else { "an ordinary user" };
    print(&format!(
        "the ground of a run, as {user}, ms: the median of {rounds}, the shortest and the longest\n"
    ));
    let folder = std::env::temp_dir().join(format!("seedfault-bench-{}-ground", std::process::id()));
    let mut entered = Vec::new();
    for (number, kind) in Kind::ALL.iter().enumerate() {
        for nodes in SIZES {
            for disks in ["", "disks"] {
                let ground = format!("{number}:{nodes}:{disks}:{}", folder.display());
                let with = if disks.is_empty() { "" } else { ", calls watched and folders served" };
                let what = format!("{nodes} nodes, {}{with}", kind.told());
                let times: Result<Vec<(u64, u64)>, String> =
                    (0..rounds).map(|_| once(&ground, &folder)).collect();
                match times {
                    Ok(times) => {
                        entered.extend(times.iter().map(|(enter, _)| *enter));
                        row(&what, times.into_iter().map(|(_, stand)| stand).collect());
                    }
                    Err(why) => drop(print(&format!("  {what}: not measured: {why}\n"))),
                }
            }
        }
    }
    row("entering namespaces", entered);
    Ok(())
}

fn row(what: &str, mut micros: Vec<u64>) {
    micros.sort_unstable();
    let (Some(first), Some(last)) = (micros.first(), micros.last()) else { return };
    let millis = |micros: u64| format!("{}.{}", micros / 1000, micros % 1000 / 100);
    let (median, first, last) = (millis(micros[micros.len() / 2]), millis(*first), millis(*last));
    print(&format!("  {what:<80} {median:>7} {first:>7} {last:>7}\n"));
}

/// Microseconds to enter namespaces, and from there until all stands.
fn once(ground: &str, folder: &Path) -> Result<(u64, u64), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).args(["bench", "live", "--ground", ground]).output();
    let output = output.map_err(|error| error.to_string())?;
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [enter, stand] => Ok((enter, stand)),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_string()),
    }
}

/// In the child, in which no thread exists yet.
pub fn stand_up(ground: &Ground) -> super::Done {
    #[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
    let began = Instant::now();
    let cage = cage::enter(Walls::Network);
    let entered = began.elapsed();
    let calls = if ground.disks { Calls { read: true, ..Calls::ALL } } else { Calls::default() };
    let options =
        Options { dir: ground.folder.join("nodes"), calls, power: ground.disks, ..Options::default() };
    let key = Entropy::root(Seed(1));
    let unable = |error: EnvError| Failure::new(Code::Environment, error.to_string());
    let mut env = live::with(Some(&cage), options, key, &[ground.kind]).map_err(unable)?;
    stand(&mut env, ground).map_err(unable)?;
    let micros = |time: Duration| time.as_micros();
    let stands = began.elapsed();
    env.close();
    print(&format!("{} {}\n", micros(entered), micros(stands.saturating_sub(entered))));
    Ok(Code::Passed)
}

fn stand(env: &mut ProcessesEnv, ground: &Ground) -> Result<(), EnvError> {
    let nodes = || (0..ground.nodes).map(NodeId);
    for node in nodes() {
        env.submit(ME, Effect::Node(node, NodeAction::Create(NodeSpec::default())));
    }
    let (limit, mut out, mut answers) = (env.now().plus(PATIENCE), Vec::new(), 0);
    while answers < ground.nodes && env.now() < limit {
        env.step(env.now().plus(Millis(1)), &mut out);
        for (_, _, input) in out.drain(..) {
            if let Input::Applied(result) = input {
                result?;
                answers += 1;
            }
        }
    }
    // As before its first start.
    for node in nodes().filter(|_| ground.disks) {
        env.beside(node, &mut Command::new("true")).map_err(|error| EnvError::Failed {
            what: format!("serving the folder of {node}"),
            why: error.to_string(),
        })?;
    }
    Ok(())
}
