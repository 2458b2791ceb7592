//! `fuzz bench determinism`: many seeds in virtual time, each several times over. All runs of a seed must give the
//! same history, schedule and trace.
//!
//! Each seed that is done is a line of the journal, so that a campaign can be spread over hours, killed, and gone
//! on with: what a journal holds of this build and these servers is not run again. Every other run of a seed may use
//! all processors, the rest keep to one, so that both ways of handing the turn over are compared.

use super::choose::{self, Place};
use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Where};
use super::job::{self, Job};
use super::seed;
use crate::check::Verdict;
use crate::entropy::Seed;
use crate::env::EXACT;
use crate::env::processes::doctor;
use crate::env::trace::{FILE as TRACE, divergence};
use crate::report::names::thousands;
use crate::spec::Spec;
use crate::yaml::document::Problems;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: u64,
    /// Runs of each seed, which are to be equal
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(2..=100))]
    replays: u16,
    /// A line for each seed that is done goes here; what it holds already is not run again
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The scenario to draw from; when absent, three shards with one replica each, everything kept on disk
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// A server to run, a path or a name on PATH; may be given several times; every one on PATH when absent
    #[arg(long = "server-binary", value_name = "PATH")]
    servers: Vec<PathBuf>,
    /// How many seeds run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Keep so many processors busy meanwhile
    #[arg(long, value_name = "N", default_value_t = 0)]
    stress: u16,
    /// Where run folders go while they are needed, and where those of seeds that are not equal stay
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Three shards with one replica each, all that a seed may draw, and everything kept on disk: snapshots that are
/// forked for, and a log that is rewritten when it has doubled.
pub const SCENARIO: &str = "fuzz: 1
name: determinism
target: valkey
cluster:
  shards: 3
  replicas: 1
  settings: {appendonly: \"yes\", appendfsync: always, save: 3 20, auto-aof-rewrite-min-size: 8kb}
load: {clients: 5, rate: 100/s, keys: 200}
draw: {events: 5..12, over: 12s..17s}
checks: default
";

/// What the runs of one seed on one server came to: a line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    /// Digests of the tool and of the server: runs of other builds are not compared.
    tool: String,
    server: String,
    version: String,
    seed: u64,
    runs: Vec<Ran>,
    equal: bool,
    /// Where the traces of two runs first differ.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    differs: Option<String>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ran {
    history: String,
    schedule: String,
    trace: String,
    verdict: Verdict,
    virtual_ms: u64,
    wall_ms: u64,
    /// Why it has no hashes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<String>,
}

impl Ran {
    fn hashes(&self) -> (&str, &str, &str) {
        (&self.history, &self.schedule, &self.trace)
    }
}

/// A server with the digest of its file.
struct Subject {
    place: Place,
    digest: String,
}

pub fn main(args: &Args) -> super::Done {
    let spec = match &args.spec {
        Some(file) => super::input::scenario(&super::input::read(file)?, false)?,
        None => crate::spec::parse::parse(SCENARIO.as_bytes(), &mut Problems::default())
            .ok_or_else(|| Failure::new(Code::Broken, "the built-in scenario is bad"))?,
    };
    let subjects = subjects(args, &spec)?;
    let tool = digest(Path::new("/proc/self/exe"))?;
    let known = match &args.journal {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    let done: BTreeSet<(&str, u64)> = known
        .iter()
        .filter(|line| line.tool == tool && line.runs.len() >= usize::from(args.replays))
        .map(|line| (line.server.as_str(), line.seed))
        .collect();
    let jobs: Vec<(&Subject, u64)> = (args.first..args.first.saturating_add(args.seeds))
        .flat_map(|seed| subjects.iter().map(move |subject| (subject, seed)))
        .filter(|(subject, seed)| !done.contains(&(subject.digest.as_str(), *seed)))
        .collect();
    let journal = match &args.journal {
        Some(path) => Some(Mutex::new(open(path).map_err(|error| unwritable(path, &error))?)),
        None => None,
    };
    let out = args.out.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("seedfault-determinism-{}", std::process::id()))
    });
    let campaign =
        Campaign { args, spec: &spec, out: &out, tool: &tool, journal, stop: AtomicBool::new(false) };
    let lines = campaign.run(&jobs)?;
    // It stays where something is in it.
    let _ = fs::remove_dir(&out);
    let wanted = |line: &&Line| {
        line.tool == tool
            && (args.first..args.first.saturating_add(args.seeds)).contains(&line.seed)
            && subjects.iter().any(|subject| subject.digest == line.server)
    };
    let all: Vec<&Line> = known.iter().filter(wanted).chain(&lines).collect();
    print(&summary(&all, known.len() - known.iter().filter(wanted).count()));
    Ok(if campaign.stop.load(Relaxed) {
        Code::Interrupted
    } else if all.iter().any(|line| !line.equal && line.runs.iter().all(|ran| ran.error.is_none())) {
        Code::Finding
    } else if all.iter().any(|line| !line.equal) {
        Code::Broken
    } else {
        Code::Passed
    })
}

struct Campaign<'a> {
    args: &'a Args,
    spec: &'a Spec,
    out: &'a Path,
    tool: &'a str,
    journal: Option<Mutex<File>>,
    stop: AtomicBool,
}

impl Campaign<'_> {
    fn run(&self, jobs: &[(&Subject, u64)]) -> Result<Vec<Line>, Failure> {
        let next = AtomicUsize::new(0);
        let over = AtomicBool::new(false);
        let lines = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.args.stress {
                scope.spawn(|| {
                    let mut work = 1u64;
                    while !over.load(Relaxed) {
                        work = std::hint::black_box(work.wrapping_mul(6_364_136_223_846_793_005));
                    }
                });
            }
            let workers: Vec<_> = (0..usize::from(self.args.threads))
                .map(|number| {
                    let (next, lines) = (&next, &lines);
                    scope.spawn(move || -> Result<(), Failure> {
                        while let Some((subject, seed)) = jobs.get(next.fetch_add(1, Relaxed)) {
                            let Some(line) = self.seed(subject, *seed, number)? else { break };
                            self.keep(&line)?;
                            let mut lines = lines.lock().expect("no worker panics here");
                            lines.push(line);
                            if lines.len().is_multiple_of(10) {
                                talk(&format!("{} of {}\n", lines.len(), jobs.len()));
                            }
                        }
                        Ok(())
                    })
                })
                .collect();
            let ended: Vec<_> =
                workers.into_iter().map(|worker| worker.join().expect("no worker panics")).collect();
            over.store(true, Relaxed);
            ended.into_iter().collect::<Result<(), Failure>>()
        })?;
        Ok(lines.into_inner().expect("no worker panics here"))
    }

    /// All runs of one seed; `None` if the user asked to stop.
    fn seed(&self, subject: &Subject, seed: u64, worker: usize) -> Result<Option<Line>, Failure> {
        let timeline = seed::draw(self.spec, Seed(seed), &subject.place)?;
        let name = subject.place.server.as_ref().and_then(|server| server.path.file_name());
        let folder = self.out.join(format!("{}-{seed}", name.unwrap_or_default().to_string_lossy()));
        // What a campaign that was killed has left there.
        let _ = fs::remove_dir_all(&folder);
        let mut runs: Vec<Ran> = Vec::new();
        for number in 0..self.args.replays {
            let spread = number % 2 == 1;
            processor((!spread).then_some(worker + usize::from(number / 2)));
            let out = folder.join(number.to_string());
            let output = Output::quiet(out);
            let plain = Job::plain(timeline.clone(), &subject.place, &output);
            let job = Job { trace: true, spread, ..plain };
            let done = job::silently(job)?;
            if self.stop.load(Relaxed) || done.code() == Code::Interrupted {
                self.stop.store(true, Relaxed);
                let _ = fs::remove_dir_all(&folder);
                return Ok(None);
            }
            let finished = done.finished;
            runs.push(Ran {
                history: finished.history_hash,
                schedule: finished.schedule_hash,
                trace: finished.trace_hash.unwrap_or_default(),
                verdict: finished.verdict,
                virtual_ms: finished.virtual_ms,
                wall_ms: finished.wall_ms,
                error: finished.error,
            });
        }
        let broken = runs.iter().any(|ran| ran.trace.is_empty() || ran.history.is_empty());
        let other = runs.iter().position(|ran| ran.hashes() != runs[0].hashes());
        let equal = other.is_none() && !broken;
        let differs = other.map(|other| differs(&folder.join("0"), &folder.join(other.to_string())));
        let version = subject.place.server.as_ref().map_or("", |server| &server.version);
        if equal {
            // What cannot be removed is seen in the temporary folder.
            let _ = fs::remove_dir_all(&folder);
        } else {
            let why = differs.as_deref().or(runs.iter().find_map(|ran| ran.error.as_deref()));
            print(&format!(
                "✗ {version}, seed {seed}: {}\n  see {}\n",
                why.unwrap_or("a run has no hashes"),
                folder.display()
            ));
        }
        Ok(Some(Line {
            tool: self.tool.into(),
            server: subject.digest.clone(),
            version: version.into(),
            seed,
            runs,
            equal,
            differs,
        }))
    }

    fn keep(&self, line: &Line) -> Result<(), Failure> {
        let (Some(journal), Some(path)) = (&self.journal, &self.args.journal) else { return Ok(()) };
        let text = serde_json::to_string(line).expect("plain data");
        let mut journal = journal.lock().expect("no worker panics here");
        journal.write_all(format!("{text}\n").as_bytes()).map_err(|error| unwritable(path, &error))
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let why = super::input::plain(error);
    Failure::new(Code::Environment, format!("failed to write the journal {}: {why}", path.display()))
}

fn subjects(args: &Args, spec: &Spec) -> Result<Vec<Subject>, Failure> {
    let mut named: Vec<PathBuf> = args.servers.clone();
    if named.is_empty() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        named = doctor::servers_on(&path).into_iter().map(|server| server.path).collect();
    }
    if named.is_empty() {
        let flags = Where { environment: Some(EXACT.name.into()), ..Where::default() };
        // Says what is missing and how to get it.
        choose::place(&flags, spec)?;
    }
    named
        .into_iter()
        .map(|server| {
            let environment = Some(EXACT.name.into());
            let flags = Where { environment, server_binary: Some(server), ..Where::default() };
            let place = choose::place(&flags, spec)?;
            let path = place.server.as_ref().map_or_else(PathBuf::new, |server| server.path.clone());
            Ok(Subject { digest: digest(&path)?, place })
        })
        .collect()
}

/// The beginning of the digest of a file.
pub fn digest(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| {
        let why = super::input::plain(&error);
        Failure::new(Code::Environment, format!("failed to read {}: {why}", path.display()))
    })?;
    Ok(blake3::hash(&bytes).to_hex()[..16].to_string())
}

/// The lines of a journal. The last may be half of one, where a campaign was killed.
fn read(path: &Path) -> Result<Vec<Line>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let why = super::input::plain(&error);
            return Err(Failure::bad_input(format!("failed to read the journal {}: {why}", path.display())));
        }
    };
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
}

/// A journal to be gone on with. Half a line at its end is closed, so that the next begins one of its own.
fn open(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut last = [0];
    if file.seek(SeekFrom::End(-1)).is_ok() && file.read_exact(&mut last).is_ok() && last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// This thread, and what it starts, keeps to one of the processors, or to none.
pub fn processor(number: Option<usize>) {
    // As process 0 of the affinity calls, a thread names itself; what we began with is what the main thread has.
    let Ok(all) = sched_getaffinity(Pid::this()) else { return };
    let usable: Vec<usize> = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false)).collect();
    let mut chosen = CpuSet::new();
    match number {
        Some(number) if !usable.is_empty() => {
            if chosen.set(usable[number % usable.len()]).is_err() {
                return;
            }
        }
        _ => chosen = all,
    }
    // Where it is refused, the run is as good on any processor.
    let _ = sched_setaffinity(Pid::from_raw(0), &chosen);
}

/// The first turn in which two runs differ, and what each says there.
fn differs(one: &Path, other: &Path) -> String {
    let texts = [one, other].map(|folder| fs::read(folder.join(TRACE)));
    match texts.map(|text| text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())) {
        [Ok(one), Ok(other)] => match divergence(&one, &other) {
            Some((line, one, other)) => format!("line {line} of the trace: `{one}` and `{other}`"),
            None => "the traces are equal, the histories or schedules are not".into(),
        },
        _ => "there are no traces to compare".into(),
    }
}

fn summary(lines: &[&Line], others: usize) -> String {
    let mut servers: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in lines {
        servers.entry(&line.version).or_default().push(line);
    }
    let mut text = String::new();
    for (server, lines) in servers {
        let runs = || lines.iter().flat_map(|line| &line.runs);
        let count = runs().count() as u64;
        let unequal = lines.iter().filter(|line| !line.equal).count() as u64;
        let (virtual_ms, wall_ms) =
            runs().fold((0, 0), |sum, ran| (sum.0 + ran.virtual_ms, sum.1 + ran.wall_ms));
        let ratio = (virtual_ms * 10).checked_div(wall_ms).unwrap_or(0);
        let verdicts = |verdict| lines.iter().filter(|line| line.runs[0].verdict == verdict).count();
        writeln!(
            text,
            "{} {server}: {} seeds, {} runs, {} seeds with unequal runs; {} s of virtual time, {}.{} times real time; \
             {} passed, {} failed, {} undecided",
            if unequal == 0 { "✓" } else { "✗" },
            thousands(lines.len() as u64),
            thousands(count),
            thousands(unequal),
            thousands(virtual_ms / 1000),
            ratio / 10,
            ratio % 10,
            verdicts(Verdict::Pass),
            verdicts(Verdict::Fail),
            verdicts(Verdict::Unknown),
        )
        .expect("a string takes all");
    }
    if others > 0 {
        writeln!(text, "  the journal also has {others} lines of other builds, servers or seeds")
            .expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_was_cut_short_is_read_up_to_there() {
        let path = std::env::temp_dir().join(format!("seedfault-journal-{}.jsonl", std::process::id()));
        let ran = Ran {
            history: "h".into(),
            schedule: "s".into(),
            trace: "t".into(),
            verdict: Verdict::Pass,
            virtual_ms: 1,
            wall_ms: 1,
            error: None,
        };
        let line = Line {
            tool: "a".into(),
            server: "b".into(),
            version: "c".into(),
            seed: 1,
            runs: vec![ran],
            equal: true,
            differs: None,
        };
        let whole = serde_json::to_string(&line).expect("plain data");
        fs::write(&path, format!("{whole}\n{whole}\n{}", &whole[..20])).expect("writable");
        let lines = read(&path).unwrap_or_default();
        fs::remove_file(&path).expect("it is ours");
        assert_eq!(lines, [line.clone(), line]);
        assert!(read(&path).is_ok_and(|lines| lines.is_empty()), "a journal that is not there is empty");
    }
}
