//! `fuzz diff`: the same timelines on several servers, and where their outcomes differ. A failure of one build alone is
//! seldom the timeline's doing.

use super::canary::side_by_side;
use super::choose::{self, Place};
use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Shape, Where, shell};
use super::folder::Folder;
use super::job::{self, Job};
use super::{oracle, seed};
use crate::check::Verdict;
use crate::entropy::Seed;
use crate::env::in_real_time;
use crate::report::names::thousands;
use crate::timeline::Timeline;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A server, a path or a name on PATH; given several times
    #[arg(long = "server", value_name = "PATH", required = true)]
    servers: Vec<PathBuf>,
    /// The first seed, a number or any other text, which is hashed to one
    #[arg(long, value_name = "N", default_value = "1", allow_hyphen_values = true)]
    seed: String,
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,
    /// The scenario to draw from; the built-in one when absent
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// Where the nodes live; the target's own when absent
    #[arg(long = "env", value_name = "E", value_parser = ["exact", "processes", "live"])]
    environment: Option<String>,
    #[command(flatten)]
    shape: Shape,
    /// Runs side by side; the number of processors when absent, and one in real time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// The folder of the runs that differ; `runs/<time>-<seed>` when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What a run came to, in a word or two: `pass`, `fail crash`.
type Outcome = String;

pub fn main(args: &Args) -> super::Done {
    if args.servers.len() < 2 {
        return Err(Failure::bad_input("one server differs from nothing").hint("give --server twice or more"));
    }
    let mut spec = seed::spec(args.spec.as_deref(), &args.shape)?;
    choose::pin(&mut spec, &args.shape)?;
    let places = args.servers.iter().map(|server| {
        let flags = Where {
            target: None,
            environment: args.environment.clone(),
            server_binary: Some(server.clone()),
        };
        choose::place(&flags, &spec)
    });
    let places: Vec<Place> = places.collect::<Result<_, _>>()?;
    let first = seed::chosen(Some(&args.seed), &spec)?.0;
    let folder = Folder::make(args.out.as_deref(), first)?;
    oracle::attend().map_err(|error| Failure::new(Code::Broken, error.to_string()))?;
    for (place, letter) in places.iter().zip('A'..) {
        talk(&format!("{letter}: {}\n", place.told()));
    }
    let real_time = in_real_time(places[0].profile.name);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = args.jobs.map_or(if real_time { 1 } else { processors }, usize::from);

    let work: Vec<(u64, usize)> =
        (0..args.seeds).flat_map(|seed| (0..places.len()).map(move |place| (seed, place))).collect();
    let failed = AtomicBool::new(false);
    let outcomes = side_by_side(work.len() as u64, jobs as u64, |turn| {
        if oracle::interrupted() || failed.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (number, at) = work[turn as usize];
        let seed = Seed(first.0.wrapping_add(number));
        let outcome = seed::draw(&spec, seed, &places[at])
            .and_then(|timeline| run(&timeline, &places[at], &kept(&folder.path, seed, at)));
        failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
        outcome.map(|outcome| Some(((number, at), outcome?)))
    });
    let outcomes = outcomes.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    tell(args, first, &places, &folder, &outcomes)
}

fn kept(folder: &Path, seed: Seed, server: usize) -> PathBuf {
    folder.join(format!("{seed}-{}", ('A'..).nth(server).unwrap_or('?')))
}

/// One run; `None` when it was interrupted.
fn run(timeline: &Timeline, place: &Place, folder: &Path) -> Result<Option<Outcome>, Failure> {
    let output = Output::quiet(folder.to_path_buf());
    let done = job::silently(Job::plain(timeline.clone(), place, &output))?;
    Ok(match (done.code(), done.finished.verdict) {
        (Code::Interrupted, _) => None,
        (_, Verdict::Fail) => {
            let checks: Vec<&str> = done.story.failed().map(|judged| judged.check.as_str()).collect();
            Some(format!("fail {}", checks.join(", ")))
        }
        (Code::Broken | Code::Environment, _) => Some("broke".into()),
        (_, Verdict::Unknown) => Some("unknown".into()),
        _ => Some("pass".into()),
    })
}

fn tell(
    args: &Args,
    first: Seed,
    places: &[Place],
    folder: &Folder,
    outcomes: &BTreeMap<(u64, usize), Outcome>,
) -> super::Done {
    let (mut compared, mut differ, mut undecided) = (0, 0, 0);
    let mut out = String::new();
    for number in 0..args.seeds {
        let row: Vec<&Outcome> = (0..places.len()).filter_map(|at| outcomes.get(&(number, at))).collect();
        let seed = Seed(first.0.wrapping_add(number));
        let forget = |all: bool| {
            for at in 0..places.len() {
                let path = kept(&folder.path, seed, at);
                let dull = outcomes.get(&(number, at)).is_none_or(|outcome| outcome == "pass");
                if all || dull {
                    // What stays is seen in the folder.
                    let _ = fs::remove_dir_all(path);
                }
            }
        };
        if row.len() < places.len() {
            forget(true);
            continue;
        }
        compared += 1;
        let unsure = |outcome: &&&Outcome| ["unknown", "broke"].contains(&outcome.as_str());
        if row.iter().filter(unsure).count() > 0 {
            undecided += 1;
        }
        if row.iter().all(|outcome| *outcome == row[0]) {
            forget(true);
            continue;
        }
        forget(false);
        differ += 1;
        let cells: Vec<String> =
            row.iter().zip('A'..).map(|(outcome, letter)| format!("{letter} {outcome}")).collect();
        out += &format!("seed {seed}: {}\n", cells.join("; "));
    }
    if differ == 0 {
        let _ = fs::remove_dir_all(&folder.path);
    }
    out += &format!(
        "{} of {} seeds differ; {} with an outcome that could not be decided\n",
        thousands(differ),
        thousands(compared),
        thousands(undecided)
    );
    if differ > 0 {
        out += &format!("their runs: {}; one again: fuzz --seed N{}", folder.name, args.shape.spelled());
        if let Some(spec) = &args.spec {
            out += &format!(" --spec {}", shell(&spec.to_string_lossy()));
        }
        out += &format!("{}\n", places[0].spelled());
    }
    print(&out);
    Ok(match (differ, oracle::interrupted()) {
        (1.., _) => Code::Finding,
        (_, true) => Code::Interrupted,
        _ if undecided == compared => Code::Unknown,
        _ => Code::Passed,
    })
}
