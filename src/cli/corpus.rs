//! `fuzz corpus`: what can be done with a folder of timelines. What each reaches is seen by running it.

use super::choose;
use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::folder::record;
use super::input::{self, plain};
use super::job::{self, Job};
use crate::campaign::{Feature, feature, fewest};
use crate::report::names::counted;
use crate::timeline::Timeline;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Run every timeline of a folder and remove those without which the rest reaches the same
    Minimize(Minimize),
}

#[derive(Clone, Debug, clap::Args)]
struct Minimize {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Where,
}

pub fn main(args: &Args) -> super::Done {
    let Action::Minimize(args) = &args.action;
    let paths = input::scenarios_in(&args.folder)?;
    let mut entries: Vec<(PathBuf, BTreeSet<Feature>)> = Vec::new();
    for path in paths {
        let source = input::read(&path)?;
        let spec = input::scenario(&source, false)?;
        let place = choose::place(&args.place, &spec)?;
        let Some(timeline) = Timeline::from_yaml(&String::from_utf8_lossy(&source.bytes)) else {
            let message = format!("{}: no timeline that was written by a campaign", path.display());
            return Err(Failure::bad_input(message).hint("a corpus holds timelines alone"));
        };
        let folder = std::env::temp_dir().join(format!("seedfault-corpus-{}", std::process::id()));
        let output = Output::quiet(folder.clone());
        let done = job::silently(Job::plain(timeline, &place, &output))?;
        let features = record(&folder).map(|record| feature::features(&record)).unwrap_or_default();
        // What cannot be removed is in the way of the next run, which says so.
        let _ = fs::remove_dir_all(&folder);
        if done.code() == Code::Interrupted {
            return Ok(Code::Interrupted);
        }
        if features.is_empty() {
            let why = done.finished.error.unwrap_or_else(|| "it left no record".into());
            talk(&format!("warning: {}: it reaches nothing: {why}\n", path.display()));
        }
        entries.push((path, features));
    }
    let sets: Vec<BTreeSet<Feature>> = entries.iter().map(|(_, features)| features.clone()).collect();
    let kept: BTreeSet<usize> = fewest(&sets).into_iter().collect();
    let mut gone = 0;
    for (at, (path, _)) in entries.iter().enumerate() {
        if kept.contains(&at) {
            continue;
        }
        gone += 1;
        if args.dry_run {
            print(&format!("{}\n", path.display()));
        } else {
            fs::remove_file(path).map_err(|error| {
                let message = format!("failed to remove {}: {}", path.display(), plain(&error));
                Failure::new(Code::Environment, message)
            })?;
        }
    }
    let all: BTreeSet<&Feature> = sets.iter().flatten().collect();
    let word = if args.dry_run { "can go" } else { "removed" };
    print(&format!(
        "{} of {} {word}; the rest reaches the same {}\n",
        gone,
        counted(entries.len() as u64, "timeline"),
        counted(all.len() as u64, "feature")
    ));
    Ok(Code::Passed)
}
