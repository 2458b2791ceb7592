//! Whether a timeline fails in the same way, by running it: what `shrink` asks.
//!
//! Where execution is exact, one run answers for good: answers are kept by the timeline's hash and several candidates
//! run side by side. In real time a run is the throw of a coin, and a candidate is run until a sequential test has
//! decided ([`Coin`]).

use super::choose::Place;
use super::exit::{Code, Failure};
use super::flags::Output;
use super::job::{self, Done, Job};
use super::supervise::Stops;
use crate::catalogue::EventId;
use crate::check::way::Way;
use crate::run::record::Applied;
use crate::shrink::{Coin, Oracle, Said, Stopped};
use crate::time::Millis;
use crate::timeline::Timeline;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What the search asks of, and what it cost.
#[derive(Debug)]
pub struct Runs<'a> {
    place: &'a Place,
    way: Way,
    /// The journal, and a folder for each run while it lasts.
    folder: PathBuf,
    jobs: usize,
    deadline: Option<Instant>,
    /// In so many of so many runs the timeline failed at first, where a run is a coin.
    rate: Option<(u32, u32)>,
    answers: BTreeMap<[u8; 32], bool>,
    /// When the events of the last timeline that failed began.
    began: BTreeMap<[u8; 32], Vec<(String, Millis)>>,
    pub count: usize,
    /// Runs that broke, and why the first one did: they are no failures of the system.
    pub broken: usize,
    pub why_broken: Option<String>,
    pub stopped: Option<&'static str>,
}

/// What a run said.
enum Told {
    Fails(Vec<(String, Millis)>),
    Passes,
    Broke(String),
    Interrupted,
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether somebody wants it to end.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Lets a wish to stop end the search, also between two runs. The thread ends with the process; one is enough.
#[expect(clippy::disallowed_methods, reason = "it waits for a signal; the runs are other processes")]
pub fn attend() -> std::io::Result<()> {
    static ATTENDED: AtomicBool = AtomicBool::new(false);
    if ATTENDED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let Ok(mut stops) = Stops::listen() {
                stops.next().await;
                INTERRUPTED.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(())
}

impl<'a> Runs<'a> {
    pub fn new(place: &'a Place, way: Way, folder: PathBuf, jobs: usize, deadline: Option<Instant>) -> Self {
        Self {
            place,
            way,
            folder,
            jobs: jobs.max(1),
            deadline,
            rate: None,
            answers: BTreeMap::new(),
            began: BTreeMap::new(),
            count: 0,
            broken: 0,
            why_broken: None,
            stopped: None,
        }
    }

    /// From now on candidates are judged by how often they fail, compared with this.
    pub fn compare_rates(&mut self, failed: u32, runs: u32) {
        self.rate = Some((failed, runs));
    }

    /// In how many of so many runs it fails in the same way, and how many there were: fewer where it was stopped.
    pub fn rate(&mut self, timeline: &Timeline, runs: u32) -> (u32, u32) {
        let mut failed = 0;
        for run in 0..runs {
            match self.once(timeline) {
                Ok(fails) => failed += u32::from(fails),
                Err(Stopped) => return (failed, run),
            }
        }
        (failed, runs)
    }

    /// Ends the search so much earlier.
    pub fn leave_time_for(&mut self, time: Duration) {
        self.deadline = self.deadline.map(|deadline| deadline.checked_sub(time).unwrap_or(deadline));
    }

    /// From now on only a wish to stop ends it.
    pub fn end_whenever(&mut self) {
        self.deadline = None;
    }

    fn once(&mut self, timeline: &Timeline) -> Result<bool, Stopped> {
        self.go_on()?;
        let told = self.run(timeline, self.count);
        self.hear(timeline, told)
    }

    fn go_on(&mut self) -> Result<(), Stopped> {
        self.stopped = Some(if interrupted() {
            "interrupted"
        } else if self.late() {
            "the time given to it is over"
        } else {
            return Ok(());
        });
        Err(Stopped)
    }

    #[expect(clippy::disallowed_methods, reason = "the command line is the border")]
    fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Takes in what a run said.
    fn hear(&mut self, timeline: &Timeline, told: Told) -> Result<bool, Stopped> {
        let hash = *timeline.hash().as_bytes();
        self.count += 1;
        let fails = matches!(told, Told::Fails(_));
        match told {
            Told::Fails(began) => {
                self.began.insert(hash, began);
            }
            Told::Passes => {}
            Told::Broke(why) => {
                self.broken += 1;
                self.why_broken.get_or_insert(why);
            }
            Told::Interrupted => {
                self.stopped = Some("interrupted");
                return Err(Stopped);
            }
        }
        self.answers.insert(hash, fails);
        self.note(timeline, fails);
        Ok(fails)
    }

    /// One run in a folder that goes away with it.
    fn run(&self, timeline: &Timeline, number: usize) -> Told {
        let folder = self.folder.join(format!("run-{number}"));
        let output = Output::quiet(folder.clone());
        let job = Job::plain(timeline.clone(), self.place, &output);
        let done = job::silently(job);
        // What cannot be removed is seen in the folder.
        let _ = fs::remove_dir_all(&folder);
        match done {
            Err(failure) => Told::Broke(failure.message),
            Ok(done) if done.code() == Code::Interrupted => Told::Interrupted,
            Ok(done) if self.way.is_in(&done.story.judgements) => Told::Fails(began(&done)),
            Ok(done) if done.code() == Code::Broken => {
                Told::Broke(done.finished.error.unwrap_or_else(|| "the run broke".into()))
            }
            Ok(_) => Told::Passes,
        }
    }

    /// A line of the journal: what was tried, and whether it fails.
    fn note(&self, timeline: &Timeline, fails: bool) {
        let ids: Vec<&EventId> = timeline.events.iter().map(|event| &event.id).collect();
        let line = serde_json::json!({
            "timeline": timeline.hash().to_hex().as_str(),
            "shards": timeline.cluster.shards,
            "replicas": timeline.cluster.replicas,
            "events": ids,
            "key": timeline.schedule.key,
            "fails": fails,
        });
        let path = self.folder.join(JOURNAL);
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        // It is for people: a full disk ends no search.
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }

    /// Several at a time. Of those that fail the first in order is taken, so that the answer is the same however many
    /// run side by side; what comes after it is not begun any more.
    fn side_by_side(&mut self, candidates: &[Timeline]) -> Result<Option<usize>, Stopped> {
        let known: Vec<Option<bool>> = candidates
            .iter()
            .map(|candidate| self.answers.get(candidate.hash().as_bytes()).copied())
            .collect();
        let end = known.iter().position(|answer| *answer == Some(true)).unwrap_or(candidates.len());
        let open: Vec<usize> = (0..end).filter(|place| known[*place].is_none()).collect();
        let (next, first) = (AtomicUsize::new(0), AtomicUsize::new(end));
        let told = Mutex::new(Vec::new());
        let begun = self.count;
        let worker = || loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(place) = open.get(turn).copied().filter(|place| *place < first.load(Ordering::Relaxed))
            else {
                return;
            };
            if interrupted() || self.late() {
                return;
            }
            let answer = self.run(&candidates[place], begun + turn);
            if matches!(answer, Told::Fails(_)) {
                first.fetch_min(place, Ordering::Relaxed);
            }
            told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((place, answer));
        };
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.min(open.len()) {
                scope.spawn(worker);
            }
        });
        let told = told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let asked: Vec<usize> = told.iter().map(|(place, _)| *place).collect();
        for (place, answer) in told {
            self.hear(&candidates[place], answer)?;
        }
        let first = first.into_inner();
        // A search that ran out of time does not know about those before it.
        if open.iter().any(|place| *place < first && !asked.contains(place)) {
            self.go_on()?;
        }
        Ok((first < candidates.len()).then_some(first))
    }

    fn by_rate(&mut self, candidate: &Timeline, rate: (u32, u32)) -> Result<bool, Stopped> {
        let mut coin = Coin::new(rate.0, rate.1);
        loop {
            let failed = self.once(candidate)?;
            match coin.add(failed) {
                Said::Keeps => return Ok(true),
                Said::Rarer => return Ok(false),
                Said::More => {}
            }
        }
    }
}

impl Oracle for Runs<'_> {
    fn first(&mut self, candidates: &[Timeline]) -> Result<Option<usize>, Stopped> {
        self.go_on()?;
        let Some(rate) = self.rate else { return self.side_by_side(candidates) };
        for (place, candidate) in candidates.iter().enumerate() {
            if self.by_rate(candidate, rate)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn began(&self, timeline: &Timeline, event: &EventId) -> Option<Millis> {
        let began = self.began.get(timeline.hash().as_bytes())?;
        began.iter().find(|(id, _)| id == event).map(|(_, at)| *at)
    }
}

/// What was tried, a line each.
pub const JOURNAL: &str = "shrink.jsonl";

/// When each event of a run began, of those that did after the cluster was healthy.
fn began(done: &Done) -> Vec<(String, Millis)> {
    let begun = |(at_us, applied): &(i64, Applied)| {
        let at = u64::try_from(*at_us).ok()?;
        Some((applied.event.clone(), Millis(at / 1000)))
    };
    done.story.applied.iter().filter_map(begun).collect()
}

/// Makes the folder for journal and runs.
pub fn folder(path: &Path) -> Result<PathBuf, Failure> {
    fs::create_dir_all(path).map_err(|error| {
        let message =
            format!("failed to make the folder {}: {}", path.display(), super::input::plain(&error));
        Failure::new(Code::Environment, message).hint("name another by --out DIR")
    })?;
    Ok(path.to_path_buf())
}
