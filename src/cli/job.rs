//! One timeline from request to verdict: folder, child, story, repro, `verdict.json`. What `seed`, `run` and
//! `replay` share.

use super::choose::{self, Place};
use super::console::{Console, talk};
use super::exit::{Code, Failure};
use super::flags::{Format, Output, shell};
use super::folder::{Folder, RUNS, TIMELINE, keep_room, write_verdict, write_where_told, write_whole};
use super::input::plain;
use super::report;
use super::supervise::{self, Ended, Heard};
use crate::check::{Verdict, claim_of};
use crate::env::{EXACT, LIVE};
use crate::report::story::Story;
use crate::report::table::Row;
use crate::repro::{Facts, Pins, Repro};
use crate::run::event::{Finished, RunEvent};
use crate::run::request::{BOOT_TIMEOUT, RUN_TIMEOUT, RunOptions, RunRequest};
use crate::timeline::Timeline;
use std::path::{Path, PathBuf};

/// Where saved findings go when nobody says where.
pub const REPROS: &str = "repro";

/// What is to be run.
#[derive(Debug)]
pub struct Job<'a> {
    pub timeline: Timeline,
    pub place: &'a Place,
    pub output: &'a Output,
    /// The folder of this run, where one invocation makes several.
    pub out: Option<PathBuf>,
    /// The command that does this again; `None` for what cannot be read a second time: then it is the timeline
    /// in the run folder.
    pub reproduce: Option<String>,
    /// The flags that pinned a timeline of the built-in scenario.
    pub drawn: Option<Pins>,
    /// A finding is saved, and the command that does it again names the file for what came from a file.
    pub save: Save,
    /// Keep the trace of an exact run, for a comparison turn by turn.
    pub trace: bool,
    /// Let an exact run use all processors.
    pub spread: bool,
    /// Let an exact run stand still after so many turns.
    pub stop_at_turn: Option<u64>,
    /// Make its page when it has ended. Of thousands that nobody looks at, none is.
    pub page: bool,
    /// The file that was replayed, for the run folder.
    pub replayed: Option<Vec<u8>>,
}

impl<'a> Job<'a> {
    /// A timeline and nothing more: neither saved nor traced.
    pub fn plain(timeline: Timeline, place: &'a Place, output: &'a Output) -> Self {
        Self {
            timeline,
            place,
            output,
            out: None,
            reproduce: None,
            drawn: None,
            save: Save::No,
            trace: false,
            spread: false,
            stop_at_turn: None,
            page: false,
            replayed: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Save {
    /// Seed and flags bring the timeline back; the saved file is for safety.
    BesideSeed,
    /// Only the saved file brings it back for certain.
    AsCommand,
    /// It is a saved finding already.
    No,
}

/// A run that is over.
#[derive(Debug)]
pub struct Done {
    pub story: Story,
    pub finished: Finished,
}

impl Done {
    pub fn code(&self) -> Code {
        Code::of(self.finished.exit_code)
    }
}

/// Runs it and tells nothing.
pub fn silently(job: Job<'_>) -> Result<Done, Failure> {
    run(job, &mut Console::new(Format::Text, true, false))
}

/// Runs it. An `Err` is a run that never began.
pub fn run(job: Job<'_>, console: &mut Console) -> Result<Done, Failure> {
    if job.place.server.is_some() {
        choose::fits(&job.timeline, job.save == Save::No)?;
    }
    choose::sets_clocks(&job.timeline, job.place.profile)?;
    choose::takes_resources(&job.timeline)?;
    if job.output.pcap && ![EXACT.name, LIVE.name].contains(&job.place.profile.name) {
        let message =
            format!("environment {} sees no packets: --pcap has no meaning there", job.place.profile.name);
        return Err(Failure::bad_input(message).hint("use --env exact or --env live, or leave --pcap out"));
    }
    let folder = Folder::make(job.out.as_deref().or(job.output.out.as_deref()), job.timeline.seed)?;
    // It is here before the child, so that one that dies at once leaves a folder that can be run.
    let begin = write_whole(&folder.path.join(TIMELINE), job.timeline.to_yaml().as_bytes());
    begin.and_then(|()| keep_room(&folder.path)).map_err(|error| {
        let message = format!("failed to write into the run folder {}: {}", folder.name, plain(&error));
        Failure::new(Code::Environment, message).hint("make room, or name another folder by --out DIR")
    })?;
    let reproduce = job
        .reproduce
        .clone()
        .unwrap_or_else(|| format!("{}{}", run_again(Path::new(&folder.name)), job.place.spelled()));
    let server = job.place.server.as_ref();
    let request = RunRequest {
        options: RunOptions {
            run: folder.name.clone(),
            folder: folder.path.clone(),
            started_at: folder.started_at.clone(),
            server_binary: server.map(|server| server.path.clone()),
            server_version: server.map_or_else(String::new, |server| server.version.clone()),
            keep_data: job.output.keep_data,
            trace: job.trace,
            pcap: job.output.pcap,
            spread: job.spread,
            stop_at_turn: job.stop_at_turn,
            reproduce: reproduce.clone(),
            boot_timeout: BOOT_TIMEOUT,
            run_timeout: RUN_TIMEOUT,
            parent: std::process::id(),
        },
        timeline: job.timeline.clone(),
    };
    let mut story = Story::default();
    let ended = supervise::run(&request, &mut |event| {
        story.hear(event);
        console.event(event, &story);
        if console.broken { Heard::Gone } else { Heard::Fine }
    })
    .map_err(|error| {
        Failure::new(Code::Broken, format!("failed to start the run's process: {}", plain(&error)))
    })?;

    let mut finished = last_word(&job, &folder, reproduce, &story, ended);
    if finished.verdict == Verdict::Fail && job.save != Save::No {
        save(&job, &story, &mut finished);
    }
    if let Err(error) = write_verdict(&folder.path, &finished) {
        let why = format!("failed to write {}/verdict.json: {}", folder.name, plain(&error));
        talk(&format!("warning: {why}\n"));
        // A run folder without it is one of a run that was killed: nothing that rests on it has passed.
        if finished.verdict != Verdict::Fail {
            finished.verdict = Verdict::Unknown;
            finished.exit_code = i32::from(Code::Environment.number());
            finished.error.get_or_insert(why);
        }
    }
    if let Some(bytes) = &job.replayed
        && let Err(error) = write_whole(&folder.path.join(report::REPRO), bytes)
    {
        talk(&format!("warning: failed to write {}/{}: {}\n", folder.name, report::REPRO, plain(&error)));
    }
    let has_page = job.page && report::beside(&folder.path);
    let event = RunEvent::Finished(Box::new(finished.clone()));
    story.hear(&event);
    console.event(&event, &story);
    if has_page {
        console.say(&format!("page: {}", Path::new(&folder.name).join(report::PAGE).display()));
    }
    Ok(Done { story, finished })
}

/// The command that runs the timeline in a run folder.
pub fn run_again(folder: &Path) -> String {
    format!("fuzz run {}", shell(&folder.join(TIMELINE).to_string_lossy()))
}

/// The child's last word with what only the parent knows, or the parent's own when the child had none.
fn last_word(job: &Job<'_>, folder: &Folder, reproduce: String, story: &Story, ended: Ended) -> Finished {
    for trouble in &ended.trouble {
        talk(&format!("warning: {trouble}\n"));
    }
    let mut finished = ended.finished.unwrap_or_else(|| Finished {
        verdict: if story.failed().next().is_some() { Verdict::Fail } else { Verdict::Unknown },
        seed: job.timeline.seed.0,
        timeline_hash: job.timeline.hash().to_hex().to_string(),
        schedule_hash: String::new(),
        history_hash: String::new(),
        trace_hash: None,
        image: None,
        network: None,
        virtual_ms: (story.last_at_us.max(0) / 1000) as u64,
        wall_ms: ended.wall.as_millis() as u64,
        run: folder.name.clone(),
        findings: story.failed().map(|judged| format!("{}: {}", judged.check, judged.reason)).collect(),
        exit_code: 5,
        reproduce,
        repro: None,
        error: Some(died(story, &ended.trouble)),
    });
    if ended.interrupted && finished.verdict != Verdict::Fail {
        finished.exit_code = i32::from(Code::Interrupted.number());
        finished.error.get_or_insert_with(|| "interrupted".into());
    }
    if finished.verdict == Verdict::Fail {
        finished.exit_code = i32::from(Code::Finding.number());
    }
    finished
}

/// Why a run has no last word, and how far it was.
fn died(story: &Story, trouble: &[String]) -> String {
    let seen = match (story.phase, story.started.is_some()) {
        (Some(phase), _) => format!(
            "it was in phase {phase} at {}, with {} of {} events told",
            crate::report::names::logical(story.last_at_us),
            story.applied.len(),
            story.plan.as_ref().map_or(0, |plan| plan.events.len())
        ),
        (None, true) => "it had started and no phase was told".into(),
        (None, false) => "nothing was heard of it".into(),
    };
    format!(
        "{}; {seen}",
        trouble.first().map_or("the run's process ended without a last word", String::as_str)
    )
}

/// A finding with what brings it back.
pub fn repro(timeline: &Timeline, drawn: Option<Pins>, story: &Story, finished: &Finished) -> Repro {
    Repro {
        timeline: timeline.clone(),
        facts: Facts {
            verdict: finished.verdict,
            checks: story.failed().map(|judged| judged.check.clone()).collect(),
            findings: story.failed().map(|judged| format!("{}: {}", judged.check, judged.reason)).collect(),
            timeline_hash: timeline.hash().to_hex().to_string(),
            schedule_hash: finished.schedule_hash.clone(),
            history_hash: finished.history_hash.clone(),
            trace_hash: finished.trace_hash.clone(),
            image: finished.image.clone(),
            schedule: story.schedule(),
            tool: env!("CARGO_PKG_VERSION").into(),
            server: story.started.as_ref().map_or_else(String::new, |started| started.server.clone()),
            drawn,
            shrunk: None,
        },
    }
}

/// Saves a finding so that it can be replayed, and says so.
fn save(job: &Job<'_>, story: &Story, finished: &mut Finished) {
    let repro = repro(&job.timeline, job.drawn.clone(), story, finished);
    let folder = job.out.as_deref().or(job.output.out.as_deref()).unwrap_or(Path::new(REPROS));
    let path = folder.join(repro.file_name());
    let written =
        std::fs::create_dir_all(folder).and_then(|()| write_whole(&path, repro.to_yaml().as_bytes()));
    match written {
        Ok(()) => {
            let shown = path.display().to_string();
            if job.save == Save::AsCommand {
                finished.reproduce = format!("fuzz replay {}{}", shell(&shown), job.place.spelled());
            }
            finished.repro = Some(shown);
        }
        Err(error) => {
            talk(&format!("warning: failed to save the finding as {}: {}\n", path.display(), plain(&error)));
        }
    }
}

/// Prints what is to be read of a finished run.
pub fn tell(console: &mut Console, done: &Done) {
    if !console.is_text() {
        return;
    }
    if console.is_quiet() {
        let finished = &done.finished;
        let undecided = done.story.judgements.iter().find(|judged| judged.verdict == Verdict::Unknown);
        let undecided = undecided.map(|judged| format!("{}: {}", judged.check, judged.reason));
        let what = finished.findings.first().or(finished.error.as_ref()).or(undecided.as_ref());
        let what = what.map_or_else(String::new, |what| format!(": {what}"));
        console.insist(&format!(
            "{} seed {}{what}",
            crate::report::names::status(finished.verdict),
            finished.seed
        ));
        if done.code() != Code::Passed {
            console.insist(&finished.reproduce);
        }
        return;
    }
    let text = crate::report::text::report(&done.story, &claim_of, console.detail());
    console.insist(text.trim_end_matches('\n'));
}

/// Refuses files that could not be written, before a run is made in vain.
pub fn check_files(output: &Output) -> Result<(), Failure> {
    let flags = [("--junit", &output.junit), ("--output", &output.output)];
    for (flag, path) in flags.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?))) {
        let shown = path.display();
        if path.is_dir() {
            return Err(Failure::new(Code::Environment, format!("{flag} {shown}: that is a folder"))
                .hint("name a file in it"));
        }
        // What the run makes is not there yet.
        let made = output.out.as_deref().into_iter().chain([Path::new(RUNS), Path::new(REPROS)]);
        let parent = path.parent().filter(|parent| *parent != Path::new("") && !parent.is_dir());
        if let Some(parent) = parent
            && !made.into_iter().any(|made| parent.starts_with(made))
        {
            let message = format!("{flag} {shown}: there is no folder {}", parent.display());
            return Err(Failure::new(Code::Environment, message).hint("make it first, or name another file"));
        }
    }
    Ok(())
}

/// The files that other tools read.
pub fn files(output: &Output, stories: &[&Story]) -> Result<(), Failure> {
    files_of(output, stories, &[])
}

/// The same for the scenarios of a folder, each of which is a case of its own too.
pub fn files_of(output: &Output, stories: &[&Story], rows: &[Row<'_>]) -> Result<(), Failure> {
    let write = |path: &Path, text: &str| {
        write_where_told(path, text.as_bytes()).map_err(|error| {
            Failure::new(Code::Environment, format!("failed to write {}: {}", path.display(), plain(&error)))
        })
    };
    if let Some(path) = &output.junit {
        write(path, &crate::report::junit::xml(stories, rows, &report::sentences))?;
    }
    if let Some(path) = &output.output {
        let results = crate::report::result::results(stories);
        let yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        let text = if yaml {
            serde_yaml::to_string(&results).map_err(|error| Failure::new(Code::Broken, error.to_string()))?
        } else {
            format!("{results:#}\n")
        };
        write(path, &text)?;
    }
    Ok(())
}
