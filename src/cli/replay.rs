//! `fuzz replay`: run a saved finding again and compare schedule and verdict.

use super::choose;
use super::console::{Console, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Shape, Where, shell};
use super::input::{self, Source};
use super::job::{self, Done, Job, Save};
use super::seed;
use super::serve::Serve;
use super::standing;
use crate::catalogue;
use crate::check::Verdict;
use crate::entropy::GENERATOR;
use crate::env::{
    EXACT, in_real_time,
    trace::{FILE as TRACE, divergence},
};
use crate::report::story::Story;
use crate::repro::{Agreement, Repro, compare, read, wilson};
use crate::shrink::{Token, TokenError};
use crate::spec::{Dialect, Spec};
use crate::timeline::Timeline;
use crate::yaml::document::Problems;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A repro file, as a failing run saves it, or the token of one: `67890:1f3a.2@7`
    #[arg(value_name = "FILE|TOKEN")]
    file: PathBuf,
    /// Switch a named bug on in the embedded target, for a token
    #[arg(long = "bug", value_name = "NAME")]
    bugs: Vec<String>,
    /// Run it this often and say how many reproduced
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    times: u32,
    /// Exit with 0 when it fails in the same way again, or when it passes
    #[arg(long, value_enum)]
    expect: Option<Expect>,
    /// Run it twice in an exact environment and name the first turn in which the two differ
    #[arg(long, conflicts_with_all = ["times", "expect"])]
    check_determinism: bool,
    /// Let an exact run stand still after so many turns, with all nodes there to be looked into
    #[arg(long, value_name = "N", conflicts_with_all = ["times", "expect", "check_determinism"])]
    stop_at_turn: Option<u64>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Expect {
    Fail,
    Pass,
}

pub fn main(args: &Args) -> super::Done {
    job::check_files(&args.output)?;
    let text = args.file.to_string_lossy();
    if Token::is_meant(&text) && !args.file.exists() {
        return token(args, &text);
    }
    if !args.bugs.is_empty() {
        return Err(Failure::bad_input("a repro file names its bugs itself: leave --bug out"));
    }
    let repro = load(&args.file)?;
    let spec = bare(&repro.timeline);
    let mut flags = args.place.clone();
    for (flag, given, is) in [
        ("--target", &flags.target, &repro.timeline.target),
        ("--env", &flags.environment, &repro.timeline.environment),
    ] {
        if let Some(given) = given.as_ref().filter(|given| *given != is) {
            return Err(Failure::bad_input(format!("the repro is for {is}, and {flag} says {given}")).hint(
                format!("leave {flag} out; `fuzz run {}` runs its timeline elsewhere", args.file.display()),
            ));
        }
    }
    flags.target = None;
    flags.environment = None;
    let place = choose::place(&flags, &spec)?;
    let mut console = args.output.console();
    console.page = Serve::if_wanted(args.output.serve)?;
    console.say(&format!("{}: seed {}, {}", args.file.display(), repro.timeline.seed, place.told()));
    remarks(&repro, &place).iter().for_each(|remark| console.say(&format!("note: {remark}")));

    if args.check_determinism {
        return check_determinism(args, &repro, &place, &mut console);
    }
    if args.stop_at_turn.is_some() && place.profile.name != EXACT.name {
        let message = format!("environment {} has no turns to stop at", place.profile.name);
        return Err(Failure::bad_input(message).hint("`--env exact` runs real servers turn by turn"));
    }
    let standing = args.stop_at_turn.map(|_| standing::folder(&args.output, repro.timeline.seed));
    if let Some(folder) = &standing {
        standing::attend(folder.clone());
    }
    let mut tries = Vec::new();
    for number in 1..=args.times {
        let out = args.output.out.as_ref().filter(|_| args.times > 1).map(|out| out.join(number.to_string()));
        let out = standing.clone().or(out);
        let job = Job {
            timeline: repro.timeline.clone(),
            place: &place,
            output: &args.output,
            out,
            reproduce: reproduce(args, &place),
            drawn: None,
            save: Save::No,
            trace: false,
            spread: false,
            stop_at_turn: args.stop_at_turn,
            page: true,
            replayed: Some(repro.to_yaml().into_bytes()),
        };
        // Of many runs, a line each is what can be read.
        let mut silent =
            Console::new(args.output.format, args.times > 1 || args.output.quiet, args.output.verbose);
        silent.page.clone_from(&console.page);
        let done = job::run(job, &mut silent)?;
        console.broken |= silent.broken;
        let agreement = agreement(&repro, &done);
        if args.times == 1 {
            words(&agreement, &repro).iter().for_each(|line| console.say(line));
            turns(&repro, &done).iter().for_each(|line| console.say(line));
            job::tell(&mut console, &done);
        } else {
            console.say(&format!(
                "{number} of {}: {}; {}",
                args.times,
                agreement.words,
                agreement.schedule.as_ref().err().map_or("same schedule", String::as_str)
            ));
        }
        let code = done.code();
        tries.push((agreement, done));
        if code == Code::Interrupted || console.broken {
            break;
        }
    }
    let code = conclude(args, &repro, &tries, &mut console);
    let stories: Vec<&Story> = tries.iter().map(|(_, done)| &done.story).collect();
    job::files(&args.output, &stories)?;
    Ok(code)
}

/// The seed of the built-in scenario with events left out. There is nothing to compare it with.
fn token(args: &Args, text: &str) -> super::Done {
    let token: Token = text.parse().map_err(|error: TokenError| Failure::bad_input(error.to_string()))?;
    if args.check_determinism || args.stop_at_turn.is_some() || args.times > 1 {
        let message =
            "a token is run once; --times, --check-determinism and --stop-at-turn take a repro file";
        return Err(Failure::bad_input(message).hint("`fuzz shrink` saves one beside the token"));
    }
    let mut spec = seed::built_in();
    let shape = Shape { bugs: args.bugs.clone(), ..Shape::default() };
    choose::pin(&mut spec, &shape)?;
    let place = choose::place(&args.place, &spec)?;
    let timeline = token
        .timeline(&seed::draw(&spec, token.seed, &place)?)
        .map_err(|error| Failure::bad_input(error.to_string()).hint(
            "a token means something to the version that made it, on the same target and environment; a repro file \
             means the same everywhere",
        ))?;
    let mut console = args.output.console();
    console.page = Serve::if_wanted(args.output.serve)?;
    console.say(&format!(
        "{token}: seed {} with {} events, {}",
        token.seed,
        timeline.events.len(),
        place.told()
    ));
    let job = Job {
        reproduce: Some(format!("fuzz replay {token}{}{}", place.spelled(), shape.spelled())),
        page: true,
        ..Job::plain(timeline, &place, &args.output)
    };
    let done = job::run(job, &mut console)?;
    job::tell(&mut console, &done);
    job::files(&args.output, &[&done.story])?;
    let code = done.code();
    Ok(match (args.expect, code) {
        (Some(Expect::Fail), Code::Finding) | (Some(Expect::Pass), Code::Passed) => Code::Passed,
        (Some(_), Code::Passed) | (Some(Expect::Pass), Code::Finding) => Code::Finding,
        (_, code) => code,
    })
}

/// The same replay once more; of standard input there is none.
fn reproduce(args: &Args, place: &choose::Place) -> Option<String> {
    let file = shell(&args.file.to_string_lossy());
    (args.file != Path::new("-")).then(|| format!("fuzz replay {file}{}", place.spelled()))
}

/// Two runs, of which every turn is compared. A difference is a leak of the real world into the simulation.
fn check_determinism(
    args: &Args,
    repro: &Repro,
    place: &choose::Place,
    console: &mut Console,
) -> super::Done {
    if in_real_time(place.profile.name) {
        let environment = place.profile.name;
        let message = format!("in environment {environment} a run happens in real time: no two are the same");
        return Err(Failure::bad_input(message).hint("`--times N` says how often it reproduces"));
    }
    let mut runs = Vec::new();
    for number in 1..=2 {
        let job = Job {
            timeline: repro.timeline.clone(),
            place,
            output: &args.output,
            out: args.output.out.as_ref().map(|out| out.join(number.to_string())),
            reproduce: reproduce(args, place),
            drawn: None,
            save: Save::No,
            trace: true,
            spread: false,
            stop_at_turn: None,
            page: false,
            replayed: None,
        };
        let done = job::run(job, &mut Console::new(args.output.format, true, false))?;
        if done.code() == Code::Interrupted || done.code() == Code::Broken {
            return Ok(done.code());
        }
        let hash = done.finished.trace_hash.as_deref().unwrap_or("none");
        console.say(&format!("run {number}: history {}, trace {hash}", done.finished.history_hash));
        runs.push(done.finished);
    }
    let hashes = |n: usize| (&runs[n].history_hash, &runs[n].schedule_hash, &runs[n].trace_hash);
    if hashes(0) == hashes(1) {
        console.insist("the two runs are the same, bit for bit");
        return Ok(Code::Passed);
    }
    let texts = runs.iter().map(|run| std::fs::read_to_string(Path::new(&run.run).join(TRACE)));
    match texts.collect::<Result<Vec<_>, _>>() {
        Ok(texts) => match divergence(&texts[0], &texts[1]) {
            Some((turn, one, other)) => {
                // Lines of turns are those that say `turn`; the others are lines of logs and ends of processes.
                let before = texts[0].lines().take(turn - 1).filter(|line| line.contains(" turn ")).count();
                console.insist(&format!(
                    "the two runs differ first at line {turn} of their traces, in turn {}: --stop-at-turn {before} \
                     stands before it",
                    before + 1
                ));
                console.insist(&format!("  {}/{TRACE}: {one}", runs[0].run));
                console.insist(&format!("  {}/{TRACE}: {other}", runs[1].run));
            }
            None => console.insist("the two runs differ, and their traces do not say where"),
        },
        Err(error) => {
            console.insist(&format!(
                "the two runs differ; there is no trace to say where: {}",
                input::plain(&error)
            ));
        }
    }
    Ok(Code::Finding)
}

fn load(path: &Path) -> Result<Repro, Failure> {
    let text = path.to_string_lossy();
    if !path.exists() && text != "-" {
        // A seed, or a token of another tool's, is what people try first.
        let seedlike = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':');
        let failure = Failure::bad_input(format!("there is no repro file `{text}`"));
        return Err(if seedlike && text.bytes().any(|b| b.is_ascii_digit()) {
            let seed = text.split(':').next().unwrap_or(&text);
            failure.hint(format!("replay takes a file; `fuzz --seed {seed}` runs a seed"))
        } else {
            failure.hint("a failing run says where it saved its repro, below `repro/`")
        });
    }
    parsed(&input::read(path)?)
}

/// What says where a recorded timeline runs, and draws nothing.
pub fn bare(timeline: &Timeline) -> Spec {
    let mut spec = Spec::quiet(Dialect::Native);
    spec.target = Some(timeline.target.clone());
    spec.environment = Some(timeline.environment.clone());
    spec.bugs.clone_from(&timeline.bugs);
    spec
}

/// The repro that a text holds; what is wrong with it is said.
pub fn parsed(source: &Source) -> Result<Repro, Failure> {
    let mut problems = Problems::default();
    let repro = read(&source.bytes, &mut problems);
    talk(&input::render(source, &problems));
    repro.map_err(|error| Failure::bad_input(format!("{}: {error}", source.name)))
}

/// What differs between then and now before anything runs.
fn remarks(repro: &Repro, place: &choose::Place) -> Vec<String> {
    let (timeline, facts) = (&repro.timeline, &repro.facts);
    let mut remarks = Vec::new();
    if facts.tool != env!("CARGO_PKG_VERSION") {
        remarks.push(format!(
            "it was recorded by version {}, and this is {}",
            facts.tool,
            env!("CARGO_PKG_VERSION")
        ));
    }
    if timeline.generator != GENERATOR || timeline.catalogue != catalogue::VERSION {
        remarks.push(format!(
            "it was drawn by generator {} with catalogue {}; here they are {GENERATOR} and {}",
            timeline.generator,
            timeline.catalogue,
            catalogue::VERSION
        ));
    }
    if timeline.profile != place.profile.label() {
        remarks.push(format!("the profile was {}, and is {}", timeline.profile, place.profile.label()));
    }
    if let Some(server) = place.server.as_ref().filter(|server| server.version != facts.server) {
        remarks.push(format!("the server was {}, and is {}", facts.server, server.version));
    }
    if let Some(pins) = &facts.drawn {
        let mut spec = seed::built_in();
        let shape = Shape {
            shards: pins.shards,
            replicas: pins.replicas,
            bugs: timeline.bugs.clone(),
            ..Shape::default()
        };
        let now = choose::pin(&mut spec, &shape).and_then(|()| seed::draw(&spec, timeline.seed, place));
        match now {
            Ok(now) if now.hash() == timeline.hash() => {}
            _ => remarks.push(format!(
                "seed {} no longer generates this timeline; the recorded one is replayed",
                timeline.seed
            )),
        }
    }
    remarks
}

fn agreement(repro: &Repro, done: &Done) -> Agreement {
    let failed: Vec<String> = done.story.failed().map(|judged| judged.check.clone()).collect();
    let finished = &done.finished;
    compare(
        &repro.facts,
        &finished.schedule_hash,
        &finished.history_hash,
        &done.story.schedule(),
        finished.verdict,
        &failed,
    )
}

fn words(agreement: &Agreement, repro: &Repro) -> Vec<String> {
    let schedule = match &agreement.schedule {
        Ok(()) => "Replay: the schedule is the same".into(),
        Err(divergence) => format!("Replay: the schedule differs first at {divergence}"),
    };
    let mut lines = vec![schedule];
    if !in_real_time(&repro.timeline.environment) {
        let word = if agreement.history { "the same, bit for bit" } else { "not the same" };
        lines.push(format!("Replay: the history is {word}"));
    }
    lines.push(format!("Replay: {}", agreement.words));
    lines
}

/// Of an exact run, whether every turn was the same, and if not, what else is not.
fn turns(repro: &Repro, done: &Done) -> Option<String> {
    let (was, is) = (repro.facts.trace_hash.as_ref()?, done.finished.trace_hash.as_ref()?);
    if was == is {
        return Some("Replay: every turn is the same".into());
    }
    let mut others = Vec::new();
    if let (Some(was), Some(is)) = (&repro.facts.image, &done.finished.image) {
        for (what, was, is) in [
            ("server", &was.server, &is.server),
            ("C library", &was.libc, &is.libc),
            ("kernel", &was.kernel, &is.kernel),
        ] {
            if was != is {
                others.push(format!("the {what} was {was} and is {is}"));
            }
        }
    }
    Some(if others.is_empty() {
        "Replay: the turns are not the same, on the same server, C library and kernel; --check-determinism says \
         whether two runs of this build are"
            .into()
    } else {
        format!("Replay: the turns are not the same; {}", others.join(", "))
    })
}

/// How many reproduced, and the exit code.
fn conclude(args: &Args, repro: &Repro, tries: &[(Agreement, Done)], console: &mut Console) -> Code {
    let heaviest = tries.iter().fold(Code::Passed, |code, (_, done)| code.heavier(done.code()));
    let same = tries.iter().filter(|(agreement, _)| agreement.verdict).count() as u32;
    let schedules = tries.iter().filter(|(agreement, _)| agreement.schedule.is_ok()).count();
    if args.times > 1 {
        let (low, high) = wilson(same, tries.len() as u32);
        console.insist(&format!(
            "reproduced {same} of {} (95% confidence: {low:.0}% to {high:.0}%), {schedules} with the same schedule",
            tries.len()
        ));
        if let Some((_, done)) = tries.iter().find(|(_, done)| done.code() != Code::Passed) {
            console.insist(&done.finished.reproduce);
        }
    }
    if heaviest == Code::Interrupted {
        return heaviest;
    }
    match args.expect {
        None => heaviest,
        // A recording without a failing check is met by any failure.
        Some(Expect::Fail) => {
            let met = |(agreement, done): &(Agreement, Done)| {
                if repro.facts.checks.is_empty() {
                    done.finished.verdict == Verdict::Fail
                } else {
                    agreement.verdict
                }
            };
            let code = if tries.iter().any(met) {
                Code::Passed
            } else if tries.iter().all(|(_, done)| matches!(done.code(), Code::Passed | Code::Finding)) {
                Code::Finding
            } else {
                // It did not come to a verdict: that is neither.
                tries
                    .iter()
                    .map(|(_, done)| done.code())
                    .find(|code| *code != Code::Passed)
                    .unwrap_or(heaviest)
            };
            console.say(if code == Code::Passed {
                "as expected: it fails"
            } else {
                "expected it to fail in the same way"
            });
            code
        }
        Some(Expect::Pass) => {
            console.say(if heaviest == Code::Passed {
                "as expected: it passes"
            } else {
                "expected it to pass"
            });
            heaviest
        }
    }
}
