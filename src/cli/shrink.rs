//! `fuzz shrink`, and what follows a failure of its own accord: from a timeline that fails to the fewest events that do.

use super::choose::{self, Place};
use super::console::{Console, talk};
use super::exit::{Code, Failure};
use super::flags::{Format, Output, Shape, Where, shell};
use super::folder::{Folder, TIMELINE, write_whole};
use super::input::{self, plain};
use super::job::{self, Done, Job};
use super::oracle::{self, Runs};
use super::report;
use super::{replay, seed};
use crate::check::Verdict;
use crate::check::way::Way;
use crate::env::in_real_time;
use crate::report::names::counted;
use crate::repro::{Cut, Facts, Pins, Rate, Repro, often};
use crate::shrink::{KEYS, Token, minimize};
use crate::timeline::Timeline;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A repro file, a scenario file, or the folder of a run
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// The small repro; beside FILE when absent
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// End after so long, with the best so far: `90s`, `10m`, `8h`
    #[arg(long, value_name = "TIME", value_parser = super::flags::time)]
    budget: Option<Duration>,
    /// Runs side by side; the number of processors when absent, and one in real time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
    /// In real time: how many runs tell how often it fails, before and after
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    times: u32,
    /// The seed of a scenario that has none
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// The folder of what was tried, and of the small repro's run; `runs/<time>-<seed>` when absent
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the outcome alone
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    place: Where,
}

/// How long a failure is shrunk when nobody asked for it.
pub const OWN_BUDGET: Duration = Duration::from_secs(300);

pub fn main(args: &Args) -> super::Done {
    let found = load(args)?;
    let place = choose::place(&args.place, &found.spec)?;
    let timeline = match found.timeline {
        Some(timeline) => timeline,
        None => {
            let (seed, _) = seed::chosen(args.seed.as_deref(), &found.spec)?;
            seed::draw(&found.spec, seed, &place)?
        }
    };
    let mut console = Console::new(Format::Text, args.quiet, false);
    console.say(&format!("{}: seed {}, {}", args.path.display(), timeline.seed, place.told()));
    let folder = Folder::make(args.out.as_deref(), timeline.seed)?;
    let real_time = in_real_time(place.profile.name);
    // Where a run is a coin, the first may fall on the other side.
    let mut tries = 0;
    let done = loop {
        tries += 1;
        let first = folder.path.join("first");
        let _ = std::fs::remove_dir_all(&first);
        let done = job::silently(Job::plain(timeline.clone(), &place, &Output::quiet(first)))?;
        let again = done.code() == Code::Passed || done.code() == Code::Unknown;
        if !(real_time && again && tries < args.times) {
            break done;
        }
    };
    if let code @ (Code::Interrupted | Code::Broken | Code::Environment) = done.code() {
        let why = done.finished.error.unwrap_or_else(|| "the run broke".into());
        return Err(Failure::new(code, format!("the first run of it did not come to an end: {why}")));
    }
    let Some(way) = way(&done, &found.checks) else {
        let verdict = done.finished.verdict;
        let in_all = if tries > 1 { format!(" in {}", counted(tries.into(), "run")) } else { String::new() };
        let failure = Failure::new(
            Code::Unknown,
            format!("it does not fail here ({verdict}){in_all}: there is nothing to shrink"),
        );
        return Err(failure.hint(if real_time {
            "in real time a failure may be rare; `--times 100` tries as often to see it once"
        } else {
            "`fuzz replay` of a repro says what is not as it was recorded"
        }));
    };
    let to = args.to.clone().unwrap_or_else(|| smaller_name(&args.path, &timeline, &way));
    let wish = Wish {
        place: &place,
        way,
        folder: folder.path.clone(),
        jobs: args.jobs.map(usize::from),
        budget: args.budget,
        times: args.times,
        drawn: found.drawn,
        to,
        told: true,
    };
    shrink(&wish, &timeline, &mut console).map(|_| Code::Finding)
}

/// A failure that was just seen, shrunk of its own accord. In real time it is said how to, and an event stream is that of
/// one run.
pub fn after(done: &Done, timeline: &Timeline, place: &Place, drawn: Option<Pins>, console: &mut Console) {
    let found = done.code() == Code::Finding && console.is_text();
    let Some(repro) = done.finished.repro.as_ref().filter(|_| found) else { return };
    if in_real_time(place.profile.name) {
        console.say(&format!("to shrink it: fuzz shrink {}{}", shell(repro), place.spelled()));
        return;
    }
    let Some(way) = way(done, &[]) else { return };
    let wish = Wish {
        place,
        way,
        folder: Path::new(&done.finished.run).join("shrink"),
        jobs: None,
        budget: Some(OWN_BUDGET),
        times: 0,
        drawn,
        to: Path::new(repro).with_extension("min.yaml"),
        told: true,
    };
    if let Err(failure) = shrink(&wish, timeline, console) {
        talk(&format!("warning: it could not be shrunk: {}", failure.text().trim_start_matches("error: ")));
    }
    // It names the smallest now.
    report::beside(Path::new(&done.finished.run));
}

/// What is to be shrunk, and how.
#[derive(Debug)]
pub struct Wish<'a> {
    pub place: &'a Place,
    pub way: Way,
    pub folder: PathBuf,
    pub jobs: Option<usize>,
    pub budget: Option<Duration>,
    pub times: u32,
    /// The flags that pinned a timeline of the built-in scenario.
    pub drawn: Option<Pins>,
    pub to: PathBuf,
    /// What came of it is printed.
    pub told: bool,
}

/// Looks for the smallest timeline, and saves it.
pub fn shrink(wish: &Wish<'_>, timeline: &Timeline, console: &mut Console) -> Result<Repro, Failure> {
    let broken = |why: String| Failure::new(Code::Broken, why);
    let folder = oracle::folder(&wish.folder)?;
    oracle::attend().map_err(|error| broken(format!("failed to wait for Ctrl-C: {}", plain(&error))))?;
    let real_time = in_real_time(wish.place.profile.name);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if real_time { 1 } else { wish.jobs.unwrap_or(processors) };
    let began = now();
    let deadline = wish.budget.map(|budget| began + budget);
    let mut runs = Runs::new(wish.place, wish.way.clone(), folder, jobs, deadline);
    console.say(&format!(
        "shrinking {}, which fails by {}: {} side by side{}",
        shape(timeline),
        wish.way.check,
        counted(jobs as u64, "run"),
        wish.budget.map_or_else(String::new, |budget| format!(", for at most {} s", budget.as_secs()))
    ));
    let mut before = None;
    if real_time {
        // As far as it gets: a wish to stop and a budget end it early.
        let (failed, tries) = runs.rate(timeline, wish.times);
        if failed == 0 {
            return Err(Failure::new(Code::Unknown, format!("it failed in none of {} runs", runs.count)));
        }
        console.say(&format!("  it fails in {}", often(failed, tries, false)));
        runs.compare_rates(failed, tries);
        // What is left is measured as often.
        runs.leave_time_for((began.elapsed() / tries) * (wish.times + 1));
        before = Some(Rate { failed, runs: tries });
    }
    let keys = if real_time { 1 } else { KEYS };
    // The best so far is there at any time.
    let (mut best, mut last) = (None, None);
    let shrunk = minimize(timeline, keys, &mut runs, &mut |step| {
        last = Token::of(timeline, step.timeline).or(last);
        let seconds = began.elapsed().as_secs();
        console.say(&format!("  {:>4} s  {}: {}", seconds, step.did, shape(step.timeline)));
        best = Some(write_whole(&wish.folder.join(TIMELINE), step.timeline.to_yaml().as_bytes()));
    });
    if let Some(Err(error)) = best {
        talk(&format!(
            "warning: failed to write {}: {}\n",
            wish.folder.join(TIMELINE).display(),
            plain(&error)
        ));
    }
    let token = token(wish, timeline, &shrunk.timeline, last, &mut runs);
    let cut = Cut {
        from: timeline.hash().to_hex().to_string(),
        events: timeline.events.len() as u64,
        nodes: timeline.cluster.nodes(),
        runs: 0,
        minimal: shrunk.minimal,
        before,
        again: None,
        token: token.as_ref().map(ToString::to_string),
    };
    let repro = confirmed(wish, timeline, &shrunk.timeline, cut, &mut runs)?;
    if wish.told {
        tell(wish, timeline, &repro, &runs, began.elapsed(), console);
    }
    Ok(repro)
}

/// The repro of a timeline as it is, with how often it fails.
pub fn counted_only(wish: &Wish<'_>, timeline: &Timeline) -> Result<Repro, Failure> {
    let folder = oracle::folder(&wish.folder)?;
    let mut runs =
        Runs::new(wish.place, wish.way.clone(), folder, 1, wish.budget.map(|budget| now() + budget));
    let cut = Cut {
        from: timeline.hash().to_hex().to_string(),
        events: timeline.events.len() as u64,
        nodes: timeline.cluster.nodes(),
        runs: 0,
        minimal: false,
        before: None,
        again: None,
        token: None,
    };
    confirmed(wish, timeline, timeline, cut, &mut runs)
}

/// Counts how often it fails, runs it once more in a folder that stays, and saves it.
fn confirmed(
    wish: &Wish<'_>,
    found: &Timeline,
    timeline: &Timeline,
    mut cut: Cut,
    runs: &mut Runs<'_>,
) -> Result<Repro, Failure> {
    let real_time = in_real_time(wish.place.profile.name);
    let times = if real_time { wish.times } else { 2 };
    if real_time {
        // Without this number a repro of a coin says nothing; the time for it was left.
        runs.end_whenever();
    }
    cut.again = Some(runs.rate(timeline, times))
        .filter(|(_, runs)| *runs > 0 && (real_time || *runs == times))
        .map(|(failed, runs)| Rate { failed, runs });
    cut.runs = runs.count as u64;
    let output = Output::quiet(wish.folder.join("smallest"));
    let done = job::silently(Job::plain(timeline.clone(), wish.place, &output))?;
    let mut repro = job::repro(timeline, None, &done.story, &done.finished);
    if repro.facts.verdict != Verdict::Fail && !real_time {
        let message = "the smallest timeline failed and does not fail again, where execution is exact";
        return Err(Failure::new(Code::Broken, message).hint(format!(
            "{} holds it; `fuzz replay --check-determinism` of a repro says where two runs differ",
            wish.folder.display()
        )));
    }
    if repro.facts.verdict != Verdict::Fail {
        // A coin that fell on the other side: the facts are those of the failure that is known.
        repro.facts.verdict = Verdict::Fail;
        repro.facts.checks = vec![wish.way.check.clone()];
    }
    repro.facts.shrunk = Some(cut);
    write_whole(&wish.to, repro.to_yaml().as_bytes()).map_err(|error| {
        let message = format!("failed to write {}: {}", wish.to.display(), plain(&error));
        Failure::new(Code::Environment, message).hint("name another file by --to FILE")
    })?;
    let smallest = wish.folder.join("smallest");
    let beside = write_whole(&smallest.join(report::REPRO), repro.to_yaml().as_bytes())
        .and_then(|()| write_whole(&smallest.join(report::FOUND), found.to_yaml().as_bytes()));
    if let Err(error) = beside {
        talk(&format!("warning: failed to write into {}: {}\n", smallest.display(), plain(&error)));
    }
    report::beside(&smallest);
    Ok(repro)
}

/// The word for what deletions alone made of the seed: of all the events that are left, if they fail as they were
/// drawn, else of those that were left when it was last so.
fn token(
    wish: &Wish<'_>,
    timeline: &Timeline,
    smallest: &Timeline,
    last: Option<Token>,
    runs: &mut Runs<'_>,
) -> Option<Token> {
    use crate::shrink::Oracle as _;
    // Where flags pinned the shape, the seed alone does not bring it back.
    wish.drawn.as_ref().filter(|pins| **pins == Pins::default())?;
    let gone = timeline.events.iter().filter(|event| smallest.event(&event.id).is_none());
    let kept = gone.fold(timeline.clone(), |less, event| less.without(&event.id));
    let keyed = |key| {
        let mut keyed = kept.clone();
        keyed.schedule.key = key;
        keyed
    };
    let keys = [smallest.schedule.key, timeline.schedule.key].into_iter().chain((1..KEYS).map(Some));
    let candidates: Vec<Timeline> = keys.map(keyed).collect();
    match runs.first(&candidates) {
        Ok(Some(at)) => Token::of(timeline, &candidates[at]),
        _ => last,
    }
}

fn tell(
    wish: &Wish<'_>,
    timeline: &Timeline,
    repro: &Repro,
    runs: &Runs<'_>,
    took: Duration,
    console: &mut Console,
) {
    let cut = repro.facts.shrunk.as_ref().expect("it was just set");
    console.say("");
    console.say(&format!(
        "{} -> {} in {} runs, {} s{}",
        shape(timeline),
        shape(&repro.timeline),
        runs.count,
        took.as_secs(),
        match (runs.stopped, cut.minimal) {
            (Some(why), _) => format!("; {why}: it may not be the smallest"),
            (None, true) => "; without any of these events it passes".into(),
            (None, false) => String::new(),
        }
    ));
    if runs.broken > 0 {
        let why = runs.why_broken.as_deref().unwrap_or_default();
        console.say(&format!("{} of these runs broke and count as passed, the first: {why}", runs.broken));
    }
    for event in &repro.timeline.events {
        console.say(&format!("  {}", event.to_flow()));
    }
    for (when, known) in [("before", &cut.before), ("now", &cut.again)] {
        if let Some(Rate { failed, runs }) = *known {
            // Where execution is exact an interval says nothing.
            let exact = !in_real_time(wish.place.profile.name);
            console.say(&format!("{when}: fails in {}", often(failed, runs, exact)));
        }
    }
    if let Some(token) = &cut.token {
        let bugs = Shape { bugs: repro.timeline.bugs.clone(), ..Shape::default() }.spelled();
        console
            .say(&format!("the same events of the seed: fuzz replay {token}{}{bugs}", wish.place.spelled()));
    }
    console.insist(&format!("fuzz replay {}{}", shell(&wish.to.to_string_lossy()), wish.place.spelled()));
}

fn shape(timeline: &Timeline) -> String {
    format!(
        "{} on {}",
        counted(timeline.events.len() as u64, "event"),
        counted(timeline.cluster.nodes().into(), "node")
    )
}

/// The way in which a run failed: that of the first of these checks, else of the first that failed.
fn way(done: &Done, checks: &[String]) -> Option<Way> {
    let ways: Vec<Way> = done.story.failed().filter_map(Way::of).collect();
    let named = checks.iter().find_map(|check| ways.iter().find(|way| way.check == *check));
    named.or(ways.first()).cloned()
}

/// What there is to shrink.
struct Found {
    spec: crate::spec::Spec,
    /// Of a repro; a scenario's is drawn once the place is known.
    timeline: Option<Timeline>,
    checks: Vec<String>,
    drawn: Option<Pins>,
}

fn load(args: &Args) -> Result<Found, Failure> {
    let path = if args.path.is_dir() { args.path.join(TIMELINE) } else { args.path.clone() };
    let source = input::read(&path)?;
    let is_repro = source.bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"repro:"));
    if !is_repro {
        let spec = input::scenario(&source, false)?;
        return Ok(Found { spec, timeline: None, checks: Vec::new(), drawn: None });
    }
    let repro = replay::parsed(&source)?;
    let spec = replay::bare(&repro.timeline);
    let Facts { checks, drawn, .. } = repro.facts;
    Ok(Found { spec, timeline: Some(repro.timeline), checks, drawn })
}

/// `repro/x.min.yaml` for `repro/x.yaml`; of what has no name of its own, one like that of a saved finding.
fn smaller_name(path: &Path, timeline: &Timeline, way: &Way) -> PathBuf {
    if path.is_file() {
        return path.with_extension("min.yaml");
    }
    PathBuf::from(format!("{}-{}-{}.min.yaml", way.check, timeline.target, timeline.seed))
}

/// Where nothing is told.
pub fn silent() -> Console {
    Console::new(Format::Text, true, false)
}

#[expect(clippy::disallowed_methods, reason = "the command line is the border")]
fn now() -> Instant {
    Instant::now()
}
