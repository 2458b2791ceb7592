//! `fuzz bisect`: of servers in the order in which they were built, the first on which a repro fails.

use super::choose::{self, Place};
use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::folder::Folder;
use super::job::{self, Job};
use super::{input, replay};
use crate::check::Verdict;
use crate::env::in_real_time;
use crate::repro::Repro;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The saved finding
    #[arg(value_name = "REPRO")]
    file: PathBuf,
    /// The servers, the oldest first, with commas between: paths or names on PATH
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    servers: Vec<PathBuf>,
    /// In real time: it fails on a server if it does in one of so many runs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: u32,
    /// The folder of the runs; `runs/<time>-<seed>` when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// What a server does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Pass,
    Fail,
}

struct Search<'a> {
    args: &'a Args,
    repro: &'a Repro,
    places: &'a [Place],
    folder: &'a Path,
    runs: u32,
}

pub fn main(args: &Args) -> super::Done {
    if args.servers.len() < 2 {
        return Err(Failure::bad_input("of one server there is no first").hint("--servers old,newer,newest"));
    }
    let repro = replay::parsed(&input::read(&args.file)?)?;
    if repro.facts.checks.is_empty() {
        return Err(Failure::bad_input("the repro names no check that failed").hint("`fuzz replay` runs it"));
    }
    let spec = replay::bare(&repro.timeline);
    let place = |server: &PathBuf| {
        choose::place(&Where { server_binary: Some(server.clone()), ..Where::default() }, &spec)
    };
    let places: Vec<Place> = args.servers.iter().map(place).collect::<Result<_, _>>()?;
    let folder = Folder::make(args.out.as_deref(), repro.timeline.seed)?;
    let mut search = Search { args, repro: &repro, places: &places, folder: &folder.path, runs: 0 };
    let last = places.len() - 1;
    if search.ask(last)? == Does::Pass {
        print(&format!(
            "it passes on the last one, {}: none is the first to fail\n",
            args.servers[last].display()
        ));
        return Ok(Code::Passed);
    }
    if search.ask(0)? == Does::Fail {
        print(&format!("it fails on the first one already: {}\n", args.servers[0].display()));
        return Ok(Code::Finding);
    }
    let (mut good, mut bad) = (0, last);
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        match search.ask(middle)? {
            Does::Pass => good = middle,
            Does::Fail => bad = middle,
        }
    }
    print(&format!(
        "the first that fails is {} ({}); {} passes\n",
        args.servers[bad].display(),
        places[bad].server.as_ref().map_or("", |server| &server.version),
        args.servers[good].display()
    ));
    Ok(Code::Finding)
}

impl Search<'_> {
    fn ask(&mut self, at: usize) -> Result<Does, Failure> {
        let times = if in_real_time(self.places[at].profile.name) { self.args.times } else { 1 };
        for _ in 0..times {
            let folder = self.folder.join(format!("{}-{}", self.runs, at));
            self.runs += 1;
            let output = Output::quiet(folder.clone());
            let job = Job::plain(self.repro.timeline.clone(), &self.places[at], &output);
            let done = job::silently(job)?;
            let failed = done.story.failed().any(|judged| self.repro.facts.checks.contains(&judged.check));
            let server = self.args.servers[at].display();
            if failed {
                talk(&format!("{server}: fails\n"));
                return Ok(Does::Fail);
            }
            let undecided = match (done.code(), done.finished.verdict) {
                (Code::Interrupted, _) => Some("it was interrupted".to_string()),
                (Code::Broken | Code::Environment, _) => Some(done.finished.error.unwrap_or_default()),
                (_, Verdict::Unknown) => Some("it could not be decided".into()),
                _ => None,
            };
            if let Some(why) = undecided {
                let failure = Failure::new(Code::Unknown, format!("{server}: {why}"));
                return Err(failure.hint(format!("`fuzz explain {}` tells the run", folder.display())));
            }
        }
        talk(&format!("{}: passes\n", self.args.servers[at].display()));
        Ok(Does::Pass)
    }
}
