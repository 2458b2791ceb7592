//! The runs of a campaign: several at once, each in a process of its own, and one after the other taken in.

use super::findings::{self, Met};
use super::pace::Pace;
use super::store::{Finding, RunRow, Store, Wish};
use super::watch::{FAILURES_MAX, Standing};
use super::{Setting, now};
use crate::campaign::{Feature, Guide, Origin, Proposal, feature};
use crate::check::Verdict;
use crate::cli::clock;
use crate::cli::console::{stand, stands, talk};
use crate::cli::exit::{Code, Failure};
use crate::cli::flags::Output;
use crate::cli::folder::record;
use crate::cli::job::{self, Done, Job};
use crate::cli::oracle;
use crate::env::in_real_time;
use crate::report::story::Story;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a log says how far it has come, and a terminal is drawn anew.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const DRAWN_EVERY: Duration = Duration::from_millis(500);
/// After so many runs of which every one broke there is no point in going on.
const BROKEN_MAX: u64 = 10;

/// What is known when all is over.
pub(super) struct Ended {
    pub standing: Standing,
    pub first_broken: Option<String>,
    pub interrupted: bool,
}

/// What the workers share.
struct Shared {
    guide: Guide,
    store: Store,
    done: BTreeSet<u64>,
    next: u64,
    pace: Pace,
    /// Runs that are under way, or whose findings are being shrunk.
    active: BTreeSet<u64>,
    /// What this part of the campaign did.
    runs: u64,
    verdicts: BTreeMap<String, u64>,
    first_broken: Option<String>,
    /// Findings on this system, of this campaign and those before it.
    findings: Vec<Finding>,
    /// Those that this campaign met.
    met: BTreeSet<i64>,
    stop: bool,
    failure: Option<Failure>,
    /// The last runs that failed, by number, and by which check.
    failures: VecDeque<(u64, String)>,
    /// Who is at work.
    working: usize,
}

struct Crew<'a> {
    setting: &'a Setting<'a>,
    shared: Mutex<Shared>,
    changed: Condvar,
}

/// Runs until the time or the number of runs is over, or somebody wants it to end.
pub(super) fn work(
    setting: &Setting<'_>,
    guide: Guide,
    store: Store,
    done: BTreeSet<u64>,
    wish: &Wish,
) -> Result<Ended, Failure> {
    let real_time = in_real_time(setting.place.profile.name);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pace = Pace::new(setting.args.jobs.map(usize::from), processors, real_time);
    let findings = store.findings(&wish.target, &wish.build)?;
    let verdicts = store.verdicts(setting.campaign.id)?;
    let met = store.met_by(setting.campaign.id)?;
    let crew = Crew {
        setting,
        shared: Mutex::new(Shared {
            guide,
            store,
            done,
            next: 0,
            pace,
            active: BTreeSet::new(),
            runs: 0,
            verdicts,
            first_broken: None,
            findings,
            met,
            stop: false,
            failure: None,
            failures: VecDeque::new(),
            working: 0,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let at_work = Working::begin(&crew);
        scope.spawn(|| crew.watch());
        // What was found and not yet shrunk when it was killed.
        crew.go_on_shrinking();
        for _ in 0..pace.most() {
            let at_work = Working::begin(&crew);
            scope.spawn(|| {
                crew.worker();
                drop(at_work);
            });
        }
        drop(at_work);
    });
    stand("");
    let mut shared = crew.shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    let interrupted = oracle::interrupted();
    if let Some(failure) = shared.failure.take() {
        return Err(failure);
    }
    if !interrupted {
        shared.store.end(setting.campaign.id, setting.spent())?;
    }
    Ok(Ended { standing: shared.standing(setting), first_broken: shared.first_broken, interrupted })
}

impl Shared {
    fn standing(&self, setting: &Setting<'_>) -> Standing {
        let met = |finding: &&Finding| self.met.contains(&finding.id);
        Standing {
            runs: self.runs,
            verdicts: self.verdicts.clone(),
            findings: self.findings.iter().filter(met).cloned().collect(),
            reached: self.guide.reached().clone(),
            kept: self.guide.entries().len() as u64,
            active: self.active.len(),
            side_by_side: self.pace.allowed,
            failures: self.failures.clone(),
            elapsed: setting.began.elapsed(),
            spent: setting.spent(),
            left: setting.left(),
        }
    }
}

/// Somebody is at work; who watches ends with the last of them, also with one that panics.
struct Working<'a>(&'a Crew<'a>);

impl<'a> Working<'a> {
    fn begin(crew: &'a Crew<'a>) -> Self {
        crew.lock().working += 1;
        Self(crew)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.lock().working -= 1;
        self.0.changed.notify_all();
    }
}

impl Crew<'_> {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) {
        while let Some((number, proposal)) = self.next() {
            if let Err(failure) = self.one(number, &proposal) {
                let mut shared = self.lock();
                shared.stop = true;
                shared.failure.get_or_insert(failure);
            }
            let mut shared = self.lock();
            shared.active.remove(&number);
            // Held, so that none is begun whose folder is taken for an old one.
            findings::keep_room(&self.setting.folder, self.setting.args.quota, &shared.active);
            drop(shared);
            self.changed.notify_all();
        }
        // Who waits for its turn hears that it is over.
        self.changed.notify_all();
    }

    /// The next run, once there is room for it; `None` when there is to be none.
    fn next(&self) -> Option<(u64, Proposal)> {
        let mut shared = self.lock();
        loop {
            if shared.stop || oracle::interrupted() || self.is_over(&shared) {
                return None;
            }
            if shared.active.len() < shared.pace.allowed {
                break;
            }
            let wait = self.changed.wait_timeout(shared, Duration::from_millis(500));
            shared = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (first, step) = self.setting.args.shard.map_or((0, 1), |(k, n)| (k - 1, n));
        let number = loop {
            let number = first + shared.next * step;
            shared.next += 1;
            if !shared.done.contains(&number) {
                break number;
            }
        };
        match shared.guide.propose(number) {
            Ok(proposal) => {
                shared.active.insert(number);
                Some((number, proposal))
            }
            Err(error) => {
                shared.stop = true;
                shared.failure = Some(Failure::bad_input(error.to_string()));
                None
            }
        }
    }

    fn is_over(&self, shared: &Shared) -> bool {
        let late = self.setting.deadline.is_some_and(|deadline| now() >= deadline);
        let begun = shared.done.union(&shared.active).count() as u64;
        late || self.setting.args.runs.is_some_and(|runs| begun >= runs)
    }

    /// One run, from its process to its row.
    fn one(&self, number: u64, proposal: &Proposal) -> Result<(), Failure> {
        let folder = self.setting.folder.join(format!("run-{number}"));
        // One that was killed in the middle of it.
        let _ = fs::remove_dir_all(&folder);
        let started = clock::now();
        let done = run(self.setting, proposal, &folder);
        if done.as_ref().is_ok_and(|done| done.code() == Code::Interrupted) {
            let _ = fs::remove_dir_all(&folder);
            return Ok(());
        }
        let record = record(&folder).ok();
        let features = record.as_ref().map(feature::features).unwrap_or_default();
        let mut row = row(number, started, proposal, &done);
        let failed = done.as_ref().ok().filter(|done| done.finished.verdict == Verdict::Fail);
        let met = failed.and_then(|done| Met::of(done, record.as_ref()));

        let mut shared = self.lock();
        let fresh = match &met {
            Some(met) => {
                let (id, fresh) = self.name(&mut shared, met, number, proposal, failed)?;
                row.finding = Some(id);
                fresh.then_some(id)
            }
            None => None,
        };
        let first = shared.guide.learn(proposal, &features);
        self.keep(&mut shared, &row, proposal, &features, &first)?;
        drop(shared);
        self.changed.notify_all();
        if let Some(finding) = fresh {
            self.small(finding, proposal, &folder)?;
        } else if row.verdict != "broken" {
            // What passed is in the results; a broken run's folder tells why it broke.
            let _ = fs::remove_dir_all(&folder);
        }
        Ok(())
    }

    /// Which finding it is, and whether nobody met it before.
    fn name(
        &self,
        shared: &mut Shared,
        met: &Met,
        number: u64,
        proposal: &Proposal,
        done: Option<&Done>,
    ) -> Result<(i64, bool), Failure> {
        if let Some(known) = shared.findings.iter().find(|finding| met.is(finding)) {
            let id = known.id;
            shared.met.insert(id);
            return Ok((id, false));
        }
        let repro = findings::save_as_it_is(self.setting, met, proposal, done)?;
        let mut finding = Finding {
            id: 0,
            check: met.way.check.clone(),
            kinds: met.way.kinds.clone(),
            state: met.state.clone(),
            reason: met.reason.clone(),
            number,
            runs: 0,
            repro: repro.display().to_string(),
            small: None,
        };
        finding.id = shared.store.found(self.setting.campaign.id, &finding)?;
        talk(&format!("run {number}: {}: {}\n", finding.check, finding.reason));
        let id = finding.id;
        shared.met.insert(id);
        shared.findings.push(finding);
        Ok((id, true))
    }

    fn keep(
        &self,
        shared: &mut Shared,
        row: &RunRow,
        proposal: &Proposal,
        features: &BTreeSet<Feature>,
        first: &[Feature],
    ) -> Result<(), Failure> {
        let entry = shared.guide.kept(&proposal.timeline).filter(|_| !first.is_empty()).cloned();
        let spent = self.setting.spent();
        shared.store.keep(self.setting.campaign.id, row, features, first, entry.as_ref(), spent)?;
        if let (Some(folder), Some(entry)) = (&self.setting.args.corpus, &entry) {
            findings::add_to_corpus(folder, entry, first)?;
        }
        shared.done.insert(row.number);
        shared.runs += 1;
        *shared.verdicts.entry(row.verdict.clone()).or_default() += 1;
        if let Some(finding) = row.finding {
            if let Some(known) = shared.findings.iter_mut().find(|known| known.id == finding) {
                known.runs += 1;
                // What a run says of it begins with the check.
                let by = row.why.clone().unwrap_or_else(|| format!("{}: {}", known.check, known.reason));
                shared.failures.push_front((row.number, by));
                shared.failures.truncate(FAILURES_MAX);
            }
            shared.stop |= self.setting.args.stop_at_first;
        }
        if row.verdict == "broken" {
            shared.first_broken = shared.first_broken.take().or(row.why.clone());
            let all: u64 = shared.verdicts.values().sum();
            if all >= BROKEN_MAX && shared.verdicts["broken"] == all {
                shared.stop = true;
            }
        }
        if shared.pace.hear(row.virtual_ms, row.stretched_ms) {
            talk(&format!("{} side by side from now on\n", shared.pace.allowed));
        }
        if let Some(metrics) = &self.setting.metrics {
            let check = shared.findings.iter().find(|known| Some(known.id) == row.finding);
            metrics.ran(&row.verdict, check.map(|known| known.check.as_str()), row.wall_ms);
        }
        Ok(())
    }

    /// Shows how it stands for as long as somebody is at work.
    fn watch(&self) {
        let (mut told, on_terminal) = (now(), stands());
        let mut shared = self.lock();
        while shared.working > 0 {
            let standing = shared.standing(self.setting);
            drop(shared);
            if let Some(metrics) = &self.setting.metrics {
                metrics.set(&standing);
            }
            if let Some(serve) = &self.setting.serve {
                serve.campaign(standing.night(self.setting));
            }
            if on_terminal {
                stand(&standing.lines(self.setting));
            } else if told.elapsed() >= TOLD_EVERY {
                told = now();
                talk(&standing.line());
            }
            let at_work = |shared: &mut Shared| shared.working > 0;
            let wait = self.changed.wait_timeout_while(self.lock(), DRAWN_EVERY, at_work);
            shared = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Shrinks and replays a finding, and says what came of it.
    fn small(&self, finding: i64, proposal: &Proposal, folder: &Path) -> Result<(), Failure> {
        let known = self.lock().findings.iter().find(|known| known.id == finding).cloned();
        let Some(known) = known else { return Ok(()) };
        let small = findings::shrink(self.setting, &known, proposal, folder);
        let mut shared = self.lock();
        let (small, repro) = match small {
            Ok(small) => small,
            Err(failure) => {
                talk(&format!("run {}: it stays as it is: {}\n", known.number, failure.message));
                return Ok(());
            }
        };
        let same = |other: &&Finding| {
            let shape = other.small.as_ref().map(|small| &small.shape);
            let related = other.check == known.check && !other.kinds.is_disjoint(&known.kinds);
            other.id != finding && related && shape == Some(&small.shape)
        };
        if let Some(other) = shared.findings.iter().find(same).map(|other| other.id) {
            talk(&format!("run {}: shrunk, it is finding {other}\n", known.number));
            shared.store.merge(finding, other)?;
            shared.findings.retain(|known| known.id != finding);
            shared.met.remove(&finding);
            shared.met.insert(other);
            if let Some(other) = shared.findings.iter_mut().find(|known| known.id == other) {
                other.runs += known.runs.max(1);
            }
            return Ok(());
        }
        let repro = findings::publish(self.setting, &known, &small, &repro, folder)?;
        shared.store.shrunk(finding, &repro.display().to_string(), &small)?;
        if let Some(known) = shared.findings.iter_mut().find(|known| known.id == finding) {
            known.small = Some(small);
            known.repro = repro.display().to_string();
            talk(&format!("run {}: {}", known.number, findings::line(known)));
        }
        Ok(())
    }

    /// Findings of this campaign that a kill left as they were.
    fn go_on_shrinking(&self) {
        let open: Vec<Finding> = {
            let shared = self.lock();
            let open = |finding: &&Finding| finding.small.is_none() && shared.met.contains(&finding.id);
            shared.findings.iter().filter(open).cloned().collect()
        };
        for finding in open {
            let Some(timeline) = findings::timeline(Path::new(&finding.repro)) else { continue };
            // Only what a seed drew has a word for what is left of it.
            let origin = match self.lock().store.origin(finding.id) {
                Ok(Some(origin)) if origin == Origin::Seed.to_string() => Origin::Seed,
                _ => Origin::Corpus { entry: finding.repro.clone() },
            };
            let proposal = Proposal { timeline, origin };
            let folder = self.setting.folder.join(format!("run-{}", finding.number));
            // What it was at when it was killed.
            let _ = fs::remove_dir_all(folder.join("shrink"));
            if let Err(failure) = self.small(finding.id, &proposal, &folder) {
                talk(&format!("warning: {}\n", failure.message));
            }
        }
    }
}

fn run(setting: &Setting<'_>, proposal: &Proposal, folder: &Path) -> Result<Done, Failure> {
    let output = Output::quiet(PathBuf::from(folder));
    job::silently(Job::plain(proposal.timeline.clone(), setting.place, &output))
}

fn row(number: u64, started: String, proposal: &Proposal, done: &Result<Done, Failure>) -> RunRow {
    let timeline = &proposal.timeline;
    let mut row = RunRow {
        number,
        started,
        origin: proposal.origin.to_string(),
        seed: timeline.seed.0,
        timeline: timeline.hash().to_hex().to_string(),
        shards: timeline.cluster.shards,
        replicas: timeline.cluster.replicas,
        events: timeline.events.len() as u64,
        verdict: "broken".into(),
        ..RunRow::default()
    };
    let done = match done {
        Ok(done) => done,
        Err(failure) => {
            row.why = Some(failure.message.clone());
            return row;
        }
    };
    let (finished, story) = (&done.finished, &done.story);
    let broke = matches!(done.code(), Code::Broken | Code::Environment | Code::BadInput);
    row.verdict = match finished.verdict {
        Verdict::Fail => "fail",
        _ if broke => "broken",
        Verdict::Unknown => "unknown",
        _ => "pass",
    }
    .into();
    let undecided = || {
        let unknown = story.judgements.iter().filter(|judged| judged.verdict == Verdict::Unknown);
        unknown.map(|judged| format!("{}: {}", judged.check, judged.reason)).next()
    };
    row.why = finished.error.clone().or_else(|| finished.findings.first().cloned()).or_else(undecided);
    row.virtual_ms = finished.virtual_ms;
    row.wall_ms = finished.wall_ms;
    row.stretched_ms = story.stretches.iter().map(|(_, by, _)| by.0).sum();
    if let Some(load) = &story.workload {
        (row.operations, row.ok) = (load.operations, load.ok);
        row.latency_mean_us = load.latency_mean_us;
        row.latency_p99_us = load.latency_p99_us;
        row.latency_max_us = load.latency_max_us;
    }
    (row.failovers, row.failover_ms) = failovers(story);
    row.marks = (row.verdict != "broken").then(|| story.marks.keys().cloned().collect());
    row
}

/// How often a shard got another primary after its process had ended or stood still, and the longest that it took.
fn failovers(story: &Story) -> (u64, Option<u64>) {
    let mut primary: BTreeMap<u16, u16> = BTreeMap::new();
    let mut times = Vec::new();
    for (at, node, role, shard) in &story.roles {
        let Some(shard) = shard.filter(|_| role == "primary") else { continue };
        let Some(before) = primary.insert(shard, node.0).filter(|before| *before != node.0) else { continue };
        let lives = || story.lives.iter().map(|(_, life)| life).filter(|life| life.node.0 == before);
        let healthy = story.boot_us;
        let ends = lives().filter_map(|life| life.ended.as_ref().map(|(end, _)| end.0 as i64 - healthy));
        let stops = lives().flat_map(|life| life.paused.iter().map(|(from, _)| from.0 as i64 - healthy));
        if let Some(lost) = ends.chain(stops).filter(|lost| lost <= at).max() {
            times.push((at - lost) as u64 / 1000);
        }
    }
    (times.len() as u64, times.into_iter().max())
}
