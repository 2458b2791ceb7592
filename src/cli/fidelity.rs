//! `fuzz bench fidelity`: how often the same timeline ends the same way. One primary is killed and one of its two
//! replicas must take over; which one does is counted, in each environment.

use super::choose::{self, Place};
use super::console::print;
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::folder::record;
use super::job::{self, Job};
use super::seed;
use crate::entropy::Seed;
use crate::env::{EXACT, LIVE, NodeId, PROCESSES};
use crate::repro::wilson;
use crate::spec::Spec;
use crate::yaml::document::Problems;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many runs in each environment; half a minute each in real time
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    runs: u32,
    /// In these environments
    #[arg(long = "env", value_name = "E", value_delimiter = ',', default_values_t = [PROCESSES.name, LIVE.name, EXACT.name].map(String::from), value_parser = [PROCESSES.name, LIVE.name, EXACT.name])]
    environments: Vec<String>,
    /// The server; the first on PATH when absent
    #[arg(long, value_name = "PATH")]
    server_binary: Option<PathBuf>,
}

const SCENARIO: &str = "fuzz: 1
name: one primary is killed, and one of its two replicas takes over
seed: 1
cluster: {shards: 3, replicas: 2}
length: 12s
load: {clients: 4, rate: 200/s}
timeline:
  - {id: kill, at: 1s, for: 10s, do: {kill: {node: shard-1-primary}}}
";
/// A slot of the shard whose primary is killed.
const SLOT: u16 = 6000;

pub fn main(args: &Args) -> super::Done {
    let spec = crate::spec::parse::parse(SCENARIO.as_bytes(), &mut Problems::default())
        .ok_or_else(|| Failure::new(Code::Broken, "the built-in scenario is bad"))?;
    for (number, environment) in args.environments.iter().enumerate() {
        let at = Where {
            environment: Some(environment.clone()),
            server_binary: args.server_binary.clone(),
            target: None,
        };
        let place = choose::place(&at, &spec)?;
        if number == 0 {
            let version = place.server.as_ref().map_or("", |server| &server.version);
            print(&format!("{version}: the primary of three nodes is killed; which one follows it?\n"));
        }
        let followers =
            (0..args.runs).map(|_| follower(&spec, &place)).collect::<Result<Vec<_>, Failure>>()?;
        print(&told(environment, &followers));
    }
    Ok(Code::Passed)
}

/// The runs are taken two by two, so that the pairs do not depend on each other.
fn told(environment: &str, followers: &[Option<NodeId>]) -> String {
    let mut counts: BTreeMap<Option<NodeId>, u32> = BTreeMap::new();
    for follower in followers {
        *counts.entry(*follower).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .into_iter()
        .map(|(node, count)| format!("{} {count} times", node.map_or("none".into(), |node| node.to_string())))
        .collect();
    let pairs = followers.chunks_exact(2);
    let (tries, hits) = (pairs.len() as u32, pairs.filter(|pair| pair[0] == pair[1]).count() as u32);
    let (low, high) = wilson(hits, tries);
    format!(
        "environment {environment}, {} runs: {}; {hits} of {tries} pairs of runs agree: {:.2} (95 %: {:.2} to {:.2})\n",
        followers.len(),
        counts.join(", "),
        f64::from(hits) / f64::from(tries.max(1)),
        low / 100.0,
        high / 100.0,
    )
}

/// Who serves the slot at the end; `None` if nobody does.
fn follower(spec: &Spec, place: &Place) -> Result<Option<NodeId>, Failure> {
    let folder = std::env::temp_dir().join(format!("seedfault-bench-{}-fidelity", std::process::id()));
    let output = Output::quiet(folder.clone());
    let job = Job::plain(seed::draw(spec, Seed(1), place)?, place, &output);
    let done = job::silently(job);
    let record = record(&folder);
    // What cannot be removed is seen in the temporary folder.
    let _ = std::fs::remove_dir_all(folder);
    let done = done?;
    if let code @ (Code::Broken | Code::Environment | Code::Interrupted) = done.code() {
        return Err(Failure::new(code, done.finished.error.unwrap_or_else(|| "the run broke".into())));
    }
    let record = record.map_err(|failure| {
        Failure::new(Code::Broken, format!("the run left no record: {}", failure.message))
    })?;
    let slots = record.last.iter().flat_map(|last| &last.slots);
    Ok(slots.filter(|answer| (answer.first..=answer.last).contains(&SLOT)).find_map(|answer| answer.owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_agree_are_counted_with_an_interval() {
        let of = |nodes: &[u16]| nodes.iter().map(|node| Some(NodeId(*node))).collect::<Vec<_>>();
        assert_eq!(
            told("live", &of(&[4, 4, 4, 5, 5, 5])),
            "environment live, 6 runs: node-4 3 times, node-5 3 times; 2 of 3 pairs of runs agree: 0.67 (95 %: 0.21 to \
             0.94)\n"
        );
    }
}
