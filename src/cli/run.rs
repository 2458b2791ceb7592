//! `fuzz run`: run a scenario file, every scenario of a folder, or standard input.

use super::choose;
use super::console::{Console, talk};
use super::exit::{Code, Failure};
use super::flags::{Output, Shape, Where, shell};
use super::input::{self, Source};
use super::job::{self, Done, Job, Save};
use super::serve::Serve;
use super::{seed, shrink, tags};
use crate::report::story::Story;
use crate::report::table::Row;
use crate::report::visible::on_one_line;
use crate::spec::Spec;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A scenario file, a folder of them, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    path: PathBuf,
    /// Overrides the scenario's own seed
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    tags: tags::Choice,
    /// Leave a failure as it is, instead of looking for the fewest events that still fail (as with `--format json`)
    #[arg(long)]
    no_shrink: bool,
    #[command(flatten)]
    output: Output,
}

pub fn main(args: &Args) -> super::Done {
    job::check_files(&args.output)?;
    if !args.path.is_dir() {
        let found = vec![scenario(&args.path, &args.shape)?];
        let Some((path, spec)) = tags::chosen(&args.tags, found, |(_, spec)| &spec.tags)?.pop() else {
            unreachable!("a choice that leaves nothing is a mistake");
        };
        let mut console = args.output.console();
        console.page = Serve::if_wanted(args.output.serve)?;
        let done = one(args, &path, spec, None, &mut console)?;
        job::files(&args.output, &[&done.story])?;
        return Ok(done.code());
    }
    folder(args)
}

/// Reads one scenario and applies the flags that pin its shape.
fn scenario(path: &Path, shape: &Shape) -> Result<(PathBuf, Spec), Failure> {
    let source: Source = input::read(path)?;
    let mut spec = input::scenario(&source, shape.allow_unknown_keys)?;
    choose::pin(&mut spec, shape)?;
    Ok((path.to_path_buf(), spec))
}

fn one(
    args: &Args,
    path: &Path,
    spec: Spec,
    out: Option<PathBuf>,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (seed, told) = seed::chosen(args.seed.as_deref(), &spec)?;
    let place = choose::place(&args.place, &spec)?;
    let timeline = seed::draw(&spec, seed, &place)?;
    let shown = path.display().to_string();
    console.say(&format!("{}: seed {seed}{told}, {}", on_one_line(&shown), place.told()));
    let reproduce = (path != Path::new("-")).then(|| {
        let file = shell(&path.to_string_lossy());
        format!("fuzz run {file} --seed {seed}{}{}", place.spelled(), args.shape.spelled())
    });
    let job = Job {
        timeline: timeline.clone(),
        place: &place,
        output: &args.output,
        out,
        reproduce,
        drawn: None,
        save: Save::AsCommand,
        trace: false,
        spread: false,
        stop_at_turn: None,
        page: true,
        replayed: None,
    };
    let done = job::run(job, console)?;
    job::tell(console, &done);
    if !args.no_shrink {
        shrink::after(&done, &timeline, &place, None, console);
    }
    Ok(done)
}

/// All scenarios of a folder, one after the other; nothing runs unless all are good.
fn folder(args: &Args) -> super::Done {
    let paths = input::scenarios_in(&args.path)?;
    let mut scenarios = Vec::new();
    let mut bad = 0;
    for path in &paths {
        match scenario(path, &args.shape) {
            Ok(scenario) => scenarios.push(scenario),
            Err(failure) => {
                talk(&failure.text());
                bad += 1;
            }
        }
    }
    if bad > 0 {
        let message = format!("{bad} of {} scenarios are bad, so none was run", paths.len());
        return Err(Failure::bad_input(message));
    }
    let count = scenarios.len();
    let scenarios = tags::chosen(&args.tags, scenarios, |(_, spec)| &spec.tags)?;
    let mut console = args.output.console();
    console.page = Serve::if_wanted(args.output.serve)?;
    if args.tags.given() {
        console.say(&format!("{} of {count} scenarios, by{}", scenarios.len(), args.tags.spelled()));
    }
    let planned: Vec<(PathBuf, Vec<String>)> =
        scenarios.iter().map(|(path, spec)| (path.clone(), spec.tags.clone())).collect();
    let (mut code, mut stories): (Code, Vec<(PathBuf, Code, Story)>) = (Code::Passed, Vec::new());
    let mut unable: Vec<(PathBuf, Failure)> = Vec::new();
    for (number, (path, spec)) in scenarios.into_iter().enumerate() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let out = args.output.out.as_ref().map(|out| out.join(format!("{:02}-{stem}", number + 1)));
        match one(args, &path, spec, out, &mut console) {
            Ok(done) => {
                code = code.heavier(done.code());
                stories.push((path, done.code(), done.story));
            }
            // One scenario that this machine cannot run does not keep it from the others.
            Err(failure) => {
                talk(&format!("{}: {}", path.display(), failure.text()));
                code = code.heavier(failure.code);
                unable.push((path, failure));
            }
        }
        if code == Code::Interrupted || console.broken {
            break;
        }
    }
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (path, tags) in &planned {
        let file = path.display().to_string();
        let ran = stories.iter().find(|(other, ..)| other == path);
        let failed = unable.iter().find(|(other, _)| other == path);
        rows.extend(ran.map(|(_, code, story)| Row {
            file: file.clone(),
            tags,
            exit_code: code.number(),
            story: Some(story),
            error: None,
        }));
        rows.extend(failed.map(|(_, failure)| Row {
            file,
            tags,
            exit_code: failure.code.number(),
            story: None,
            error: Some(failure.message.clone()),
        }));
    }
    console.rows(&rows);
    aggregate(&mut console, planned.len(), &stories);
    job::files_of(&args.output, &stories.iter().map(|(_, _, story)| story).collect::<Vec<_>>(), &rows)?;
    Ok(code)
}

/// What the newer tool prints of several runs.
fn aggregate(console: &mut Console, planned: usize, stories: &[(PathBuf, Code, Story)]) {
    let total = stories.len();
    let passed = stories.iter().filter(|(_, code, _)| *code == Code::Passed).count();
    let share = |count: usize| (count * 1000).checked_div(total).unwrap_or(0);
    let count = |count: usize| format!("{count} ({}.{}%)", share(count) / 10, share(count) % 10);
    let wall: u64 = stories
        .iter()
        .filter_map(|(_, _, story)| story.finished.as_ref().map(|finished| finished.wall_ms))
        .sum();
    let average = wall.checked_div(total as u64).unwrap_or(0);
    let mut lines = vec![
        String::new(),
        "=== Aggregate Results ===".to_string(),
        format!("Total Tests: {total}"),
        format!("Passed: {}", count(passed)),
        format!("Failed: {}", count(total - passed)),
        format!("Average Duration: {}s", crate::report::names::seconds(average, 2)),
    ];
    if planned > total {
        lines.push(format!("Not Run: {}", planned - total));
    }
    for (path, code, story) in stories.iter().filter(|(_, code, _)| *code != Code::Passed) {
        let word = crate::report::names::status(story.verdict());
        let command = story.finished.as_ref().map_or("", |finished| finished.reproduce.as_str());
        lines.push(format!("{word} (exit {}) {}: {command}", code.number(), path.display()));
    }
    lines.iter().for_each(|line| console.insist(line));
}
