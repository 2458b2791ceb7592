//! `fuzz bench live`: how long real servers take to form a cluster in real time, on a network of their own, and how long
//! that takes without them.

use super::choose::{self, Place};
use super::console::print;
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::job::{self, Job};
use super::seed;
use super::set_up::{self, Ground};
use crate::entropy::Seed;
use crate::env::LIVE;
use crate::report::names::seconds;
use crate::spec::{Dialect, Spec, Spread};
use crate::time::Millis;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many clusters of each size
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// The server; the first on PATH when absent
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
    /// Stand this up, and say how long it took
    #[arg(long, hide = true, value_name = "GROUND")]
    ground: Option<Ground>,
}

/// A third of the servers' own default.
const NODE_TIMEOUT_MS: u32 = 5000;
/// Shards, and replicas of each.
const SIZES: [(u16, u16); 2] = [(3, 1), (16, 2)];

pub fn main(args: &Args) -> super::Done {
    if let Some(ground) = &args.ground {
        return set_up::stand_up(ground);
    }
    let at = Where {
        environment: Some(LIVE.name.into()),
        server_binary: args.server_binary.clone(),
        target: None,
    };
    let place = choose::place(&at, &spec(SIZES[0]))?;
    let version = place.server.as_ref().map_or("", |server| &server.version);
    print(&format!("{version} in environment live, cluster-node-timeout {NODE_TIMEOUT_MS}\n"));
    for size in SIZES {
        let mut times = (1..=args.rounds)
            .map(|seed| boot(Seed(seed), &spec(size), &place))
            .collect::<Result<Vec<u64>, _>>()?;
        times.sort_unstable();
        let (median, first, last) = (times[times.len() / 2], times[0], times[times.len() - 1]);
        print(&format!(
            "{} nodes from nothing, with their networks, until all of them serve all slots: {} s, the median of {} ({} to \
             {} s)\n",
            size.0 * (1 + size.1),
            seconds(median, 2),
            times.len(),
            seconds(first, 2),
            seconds(last, 2),
        ));
    }
    set_up::measure(args.rounds)?;
    Ok(Code::Passed)
}

/// A cluster to which nothing happens.
fn spec((shards, replicas): (u16, u16)) -> Spec {
    let mut spec = Spec::quiet(Dialect::Native);
    (spec.cluster.shards, spec.cluster.replicas) = (Spread::exactly(shards), Spread::exactly(replicas));
    // That of a run would find nodes failed before all are up where few processors start many of them.
    spec.cluster.settings.0.insert("cluster-node-timeout".into(), NODE_TIMEOUT_MS.to_string());
    spec.length = Some(Millis(100));
    spec
}

/// How long one took, in milliseconds. Its folder goes away with it.
fn boot(seed: Seed, spec: &Spec, place: &Place) -> Result<u64, Failure> {
    let folder = std::env::temp_dir().join(format!("seedfault-bench-{}-live", std::process::id()));
    let output = Output::quiet(folder.clone());
    let job = Job::plain(seed::draw(spec, seed, place)?, place, &output);
    let done = job::silently(job);
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    let done = done?;
    match done.code() {
        Code::Passed | Code::Unknown => Ok((done.story.boot_us.max(0) / 1000) as u64),
        code => Err(Failure::new(code, done.finished.error.unwrap_or_else(|| "the run did not pass".into()))),
    }
}
