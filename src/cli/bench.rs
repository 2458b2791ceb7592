//! `fuzz bench`: what this machine does in a second, and how long one fixed run takes it.

use super::canary;
use super::choose::{self, Place};
use super::console::print;
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::job::{self, Job};
use super::seed;
use super::{determinism, fidelity, real_time, virtual_time};
use crate::entropy::Seed;
use crate::env::{PROCESSES, Profile, SIM};
use crate::report::names::{seconds, thousands};
use crate::spec::Spec;
use crate::yaml::document::Problems;
use std::time::{Duration, Instant};

#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Seconds to measure for, per figure
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The server of the fixed run; the first on PATH when absent
    #[arg(long, value_name = "PATH")]
    server_binary: Option<std::path::PathBuf>,
    #[command(subcommand)]
    campaign: Option<Campaign>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Campaign {
    /// Run many seeds on the embedded target: none may fail without a bug, and each named bug must be found
    Canary(canary::Args),
    /// Run many seeds several times over in virtual time: all runs of a seed must be equal, bit for bit
    Determinism(determinism::Args),
    /// Measure virtual time: how long real servers take to form a cluster, how fast whole runs are, how many fit
    /// into a minute
    Exact(virtual_time::Args),
    /// Measure real time: how long real servers take to form a cluster on a network of their own
    Live(real_time::Args),
    /// Count how often the same timeline ends the same way, in each environment
    Fidelity(fidelity::Args),
}

/// Three shards with one replica each, one kill, one failover.
const FIXED: &str = "fuzz: 1
name: the fixed run of the benchmark
seed: 1
cluster: {shards: 3, replicas: 1}
length: 12s
load: {clients: 4, rate: 200/s}
timeline:
  - {id: kill, at: 1s, for: 8s, do: {kill: {node: shard-0-primary}}}
";

pub fn main(args: &Args) -> super::Done {
    match &args.campaign {
        Some(Campaign::Canary(args)) => return canary::main(args),
        Some(Campaign::Determinism(args)) => return determinism::main(args),
        Some(Campaign::Exact(args)) => return virtual_time::main(args),
        Some(Campaign::Live(args)) => return real_time::main(args),
        Some(Campaign::Fidelity(args)) => return fidelity::main(args),
        None => {}
    }
    let span = Duration::from_secs(args.seconds);
    for (target, profile) in [("embedded", &SIM), ("valkey", &PROCESSES)] {
        let rate = timelines(target, profile, span)?;
        print(&format!("timelines for {target}: {} generated and hashed per second\n", thousands(rate)));
    }
    print(&embedded(span)?);
    let server = args.server_binary.is_some() || choose::found().is_some();
    let mut code = Code::Passed;
    for target in ["embedded", "valkey"] {
        if target == "valkey" && !server {
            print("fixed run on valkey: skipped, no server binary was found on PATH\n");
            continue;
        }
        code = code.heavier(fixed(target, args)?);
    }
    Ok(code)
}

#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn timelines(target: &str, profile: &'static Profile, span: Duration) -> Result<u64, Failure> {
    let spec = seed::built_in();
    let place = Place { target: target.into(), profile, server: None, why: String::new() };
    let (began, mut count, mut buffer) = (Instant::now(), 0u64, Vec::new());
    loop {
        for _ in 0..1000 {
            let timeline = seed::draw(&spec, Seed(count), &place)?;
            std::hint::black_box(timeline.hash_with(&mut buffer));
            count += 1;
        }
        let taken = began.elapsed();
        if taken >= span {
            return Ok(count * 1_000_000 / (taken.as_micros() as u64).max(1));
        }
    }
}

/// Whole runs in this process, from seed to verdict, one after the other.
#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn embedded(span: Duration) -> Result<String, Failure> {
    let spec = crate::canary::spec();
    let (began, mut runs, mut virtual_ms, mut operations) = (Instant::now(), 0u64, 0u64, 0u64);
    loop {
        let outcome = crate::canary::timeline(runs, &spec, &[])
            .and_then(|timeline| crate::canary::run(&timeline))
            .map_err(|why| Failure::new(Code::Broken, why))?;
        runs += 1;
        virtual_ms += outcome.record.last.as_ref().map_or(0, |last| last.view.at.millis().0);
        operations += outcome.record.history.len() as u64;
        let taken = began.elapsed();
        if taken >= span {
            let per_second = |count: u64| count * 1000 / (taken.as_millis() as u64).max(1);
            return Ok(format!(
                "embedded runs: {} per minute, judged; {} s of virtual time and {} operations per second\n",
                thousands(per_second(runs * 60)),
                thousands(per_second(virtual_ms) / 1000),
                thousands(per_second(operations)),
            ));
        }
    }
}

/// The fixed run, in a folder that goes away with it.
fn fixed(target: &str, args: &Args) -> Result<Code, Failure> {
    let mut spec: Spec = crate::spec::parse::parse(FIXED.as_bytes(), &mut Problems::default())
        .ok_or_else(|| Failure::new(Code::Broken, "the fixed scenario is bad"))?;
    spec.target = Some(target.into());
    let flags = Where {
        server_binary: args.server_binary.clone().filter(|_| target == "valkey"),
        ..Where::default()
    };
    let place = choose::place(&flags, &spec)?;
    let folder = std::env::temp_dir().join(format!("seedfault-bench-{}-{target}", std::process::id()));
    let output = Output::quiet(folder.clone());
    let timeline = seed::draw(&spec, Seed(1), &place)?;
    let job = Job { reproduce: Some(String::new()), ..Job::plain(timeline, &place, &output) };
    let done = job::silently(job);
    let code = done.as_ref().map_or(Code::Passed, job::Done::code);
    // Of a run that did not pass, the folder is what there is to look at.
    if code == Code::Passed {
        let _ = std::fs::remove_dir_all(&folder);
    }
    let done = done?;
    let server = place.server.as_ref().map_or_else(String::new, |server| format!(" ({})", server.version));
    let left = if code == Code::Passed { String::new() } else { format!(", see {}", folder.display()) };
    print(&format!(
        "fixed run on {target}{server}, 3 shards with 1 replica, one kill and failover: {} s of wall time, {} s until \
         the cluster served, {} s of logical time, {}{left}\n",
        seconds(done.finished.wall_ms, 1),
        seconds((done.story.boot_us.max(0) / 1000) as u64, 2),
        seconds(done.finished.virtual_ms, 1),
        done.finished.verdict,
    ));
    Ok(code)
}
