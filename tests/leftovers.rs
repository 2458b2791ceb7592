//! Nothing is left behind when the tool is killed at any moment.
//!
//! Each trial starts the tool's processes as they are in a real run (a parent, and the run as its child), with
//! nodes behind wrapper scripts that do not `exec`, one of which hides its child in a session of its own. Then
//! `kill -9` strikes one or all of them, at a moment that differs from trial to trial: before the nodes start,
//! while they start, while one is down or stopped, when all run. Afterwards no process that carries the
//! trial's mark may live. This file has its own `main`: the run enters a PID namespace, for which it must not
//! have threads, and test harnesses have some.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seedfault::env::processes::cage::{self, Cage, Walls};
use seedfault::env::processes::{Options, ProcessesEnv, heals, proc};
use seedfault::env::{ActorId, Effect, Env, NodeAction, NodeId, NodeSpec};
use seedfault::fault::kill::Signal as Fatal;
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How long killed processes may take to go. The kernel does it at once; a busy machine is given time.
const GONE_MAX: Duration = Duration::from_secs(5);
/// `SEEDFAULT_TRIALS` sets another number.
fn count() -> u64 {
    std::env::var("SEEDFAULT_TRIALS").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}
/// Where the tool's children get to know the run folder and how they shall be held.
const RUN: &str = "SEEDFAULT_LEFTOVERS_RUN";
const FREE: &str = "SEEDFAULT_LEFTOVERS_FREE";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("parent") => parent(),
        Some("run") => run(),
        // Options of the usual harness, which `cargo test` passes on, mean nothing here, but a filter does.
        Some(filter) if !filter.starts_with('-') && !"leftovers".contains(filter) => ExitCode::SUCCESS,
        _ => trials(),
    }
}

/// The tool as the user starts it: starts the run and waits for it.
fn parent() -> ExitCode {
    let mut command = again("run");
    cage::die_with_us(&mut command);
    let mut child = command.spawn().expect("we can start ourselves");
    child.wait().expect("our child");
    ExitCode::SUCCESS
}

/// The run: nodes that live, die and stop until somebody ends it.
fn run() -> ExitCode {
    if std::env::var_os(FREE).is_none() {
        let cage = cage::enter(Walls::Processes);
        if let Cage::Subreaper(why) = &cage {
            eprintln!("no namespace: {why}");
        }
    }
    let run = PathBuf::from(std::env::var_os(RUN).expect("given by the trial"));
    let options = Options { dir: run.join("nodes"), ..Options::default() };
    let mut env = ProcessesEnv::new(options).expect("loopback is there");
    let me = ActorId(1);
    let act = |env: &mut ProcessesEnv, node, action| env.submit(me, Effect::Node(NodeId(node), action));
    for node in 0..4 {
        let script = if node == 0 { "setsid sleep 600 & sleep 600; exit 0" } else { "sleep 600; exit 0" };
        let argv = ["sh", "-c", script].map(String::from).to_vec();
        act(&mut env, node, NodeAction::Create(NodeSpec { argv, ..NodeSpec::default() }));
        act(&mut env, node, NodeAction::Start(RestartData::Kept));
    }
    let mut out = Vec::new();
    loop {
        act(&mut env, 1, NodeAction::Signal(Fatal::Kill));
        act(&mut env, 1, NodeAction::Start(RestartData::Kept));
        act(&mut env, 2, NodeAction::Pause);
        env.step(env.now().plus(Millis(20)), &mut out);
        act(&mut env, 2, NodeAction::Resume);
        env.step(env.now().plus(Millis(5)), &mut out);
        out.clear();
    }
}

fn again(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command.arg(part);
    command
}

fn trials() -> ExitCode {
    let held = cage::holds(Walls::Processes);
    match &held {
        Ok(()) => println!("leftovers: runs are process 1 of their own PID namespace"),
        Err(why) => println!("leftovers: no PID namespace here ({why}); what is left is swept"),
    }
    let mut failures = 0;
    // The trials prove nothing if the strikes come before anything runs, or if nothing would be left anyway.
    let (mut seen_max, mut swept) = (0, 0);
    for trial in 0..count() {
        for caged in [true, false] {
            let caged = caged && held.is_ok();
            // Moments from 0 to 300 ms, without an order.
            let moment = Duration::from_millis(trial * 131 % 300);
            let strike = trial % 3;
            match one(trial, caged, moment, strike) {
                Ok((seen, killed)) => (seen_max, swept) = (seen_max.max(seen), swept + killed),
                Err(why) => {
                    failures += 1;
                    println!("leftovers: trial {trial} (caged {caged}, after {moment:?}): {why}");
                }
            }
        }
    }
    println!(
        "leftovers: {} trials, {failures} failed; up to {seen_max} processes struck, {swept} swept afterwards",
        count() * 2
    );
    if failures == 0 && seen_max >= 10 && swept > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts the tool, kills it, looks. Answers how many processes there were, and how many needed a sweep.
fn one(trial: u64, caged: bool, moment: Duration, strike: u64) -> Result<(usize, usize), String> {
    let run = std::env::temp_dir().join(format!("seedfault-leftovers-{}-{trial}", std::process::id()));
    fs::create_dir_all(&run).map_err(|error| error.to_string())?;
    let mut command = again("parent");
    command.env(RUN, &run).env(proc::MARK, &run).stdin(Stdio::null());
    if !caged {
        command.env(FREE, "1");
    }
    let mut tool = command.spawn().map_err(|error| error.to_string())?;
    std::thread::sleep(moment);
    let seen = marked(&run).len();
    strike_at(&mut tool, &run, strike);
    tool.wait().map_err(|error| error.to_string())?;
    // Without a namespace nothing holds what the wrappers had started; the next start finds it in the folder.
    let killed = if caged { 0 } else { swept(&run)? };
    let began = now();
    let mut left = marked(&run);
    while !left.is_empty() && began.elapsed() < GONE_MAX {
        std::thread::sleep(Duration::from_millis(5));
        left = marked(&run);
    }
    for pid in &left {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    if !left.is_empty() {
        return Err(format!("{} of {seen} processes live on after {GONE_MAX:?}", left.len()));
    }
    // A second look finds nothing to do, and says so.
    if swept(&run)? != 0 {
        return Err("a second sweep found something".into());
    }
    fs::remove_dir_all(&run).map_err(|error| error.to_string())?;
    Ok((seen, killed))
}

/// 0: the parent alone. 1: the run alone (all of its processes but the parent). 2: all at once.
fn strike_at(tool: &mut Child, run: &Path, strike: u64) {
    let parent = tool.id() as i32;
    for pid in marked(run) {
        let aimed = match strike {
            0 => pid == parent,
            1 => pid != parent && is_tool(pid),
            _ => is_tool(pid),
        };
        if aimed {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    if strike != 1 {
        // It may not have carried its mark yet.
        let _ = tool.kill();
    }
}

/// Processes of the trial. Only the tool's own, which stand in for `fuzz`, and what they started.
fn marked(run: &Path) -> Vec<i32> {
    let all = proc::all().into_iter();
    all.filter(|stat| !stat.is_dead() && proc::is_marked(stat.pid, run)).map(|stat| stat.pid).collect()
}

fn is_tool(pid: i32) -> bool {
    let us = std::env::current_exe().ok();
    fs::read_link(format!("/proc/{pid}/exe")).ok() == us && us.is_some()
}

/// What was killed a moment ago may still count as alive.
fn swept(run: &Path) -> Result<usize, String> {
    let began = now();
    loop {
        match heals::sweep(run) {
            Ok(heals::Swept::Clean) => return Ok(0),
            Ok(heals::Swept::Killed(killed)) => return Ok(killed.len()),
            Ok(heals::Swept::Alive) if began.elapsed() < GONE_MAX => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return Err(format!("the sweep says {other:?}")),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test of real processes waits in real time")]
fn now() -> Instant {
    Instant::now()
}
