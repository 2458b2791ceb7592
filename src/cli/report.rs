//! `fuzz report`: the page of a run, made from its folder and from nothing else. Every run's is made when it ends.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::folder::{self, TIMELINE, write_whole};
use super::input::plain;
use super::job;
use crate::check::claim_of;
use crate::env::PROFILES;
use crate::page::run::{self, Source};
use crate::report::story::Story;
use crate::repro::Repro;
use crate::timeline::{Timeline, generate};
use crate::yaml::document::Problems;
use std::fs;
use std::path::{Path, PathBuf};

/// The page in a run folder.
pub const PAGE: &str = "report.html";
/// The page of two runs, where nobody names another.
const COMPARED: &str = "compare.html";
/// What is known of the timeline of a run folder: the repro that was replayed, or that came of it.
pub const REPRO: &str = "repro.yaml";
/// The timeline before it was shrunk, beside the run of the smallest.
pub const FOUND: &str = "found.yaml";
/// The run of the smallest timeline, below the folder of the run that failed first.
pub const SMALLEST: &str = "shrink/smallest";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Run folders
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Print it as text for an issue tracker: the story, the events, the evidence, the command
    #[arg(long)]
    markdown: bool,
    /// Put two runs side by side on one page
    #[arg(long, conflicts_with = "markdown")]
    compare: bool,
    /// Write it to this file; `report.html` in the run folder when absent, `compare.html` for --compare
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// The exit code tells whether the run could be told, not what became of it.
pub fn main(args: &Args) -> super::Done {
    if args.compare {
        return compare(args);
    }
    if args.to.is_some() && args.runs.len() > 1 {
        return Err(Failure::bad_input("--to names one file, and there are several runs")
            .hint("leave --to out: each page is written into its run folder"));
    }
    for run in &args.runs {
        let made = if args.markdown { with(run, run::markdown)? } else { with(run, run::html)? };
        match (&args.to, args.markdown) {
            (Some(to), _) => write(to, &made)?,
            (None, true) => {
                print(&made);
            }
            (None, false) => {
                let to = run.join(PAGE);
                write(&to, &made)?;
                print(&format!("{}\n", to.display()));
            }
        }
    }
    Ok(Code::Passed)
}

/// Two runs on one page.
fn compare(args: &Args) -> super::Done {
    let [one, other] = args.runs.as_slice() else {
        return Err(Failure::bad_input(format!(
            "--compare takes two runs, and there are {}",
            args.runs.len()
        ))
        .hint("fuzz report --compare RUN RUN"));
    };
    let (one_name, other_name) = (one.display().to_string(), other.display().to_string());
    let made =
        with(one, |first| with(other, |second| run::beside([first, second], [&one_name, &other_name])))??;
    let to = args.to.clone().unwrap_or_else(|| PathBuf::from(COMPARED));
    write(&to, &made)?;
    print(&format!("{}\n", to.display()));
    Ok(Code::Passed)
}

fn write(to: &Path, text: &str) -> Result<(), Failure> {
    folder::write_where_told(to, text.as_bytes()).map_err(|error| {
        Failure::new(Code::Environment, format!("failed to write {}: {}", to.display(), plain(&error)))
    })
}

/// Writes the page of a run that has just ended, and answers whether it is there. A run is not worse for a page that could not be written.
pub fn beside(run: &Path) -> bool {
    let made = with(run, run::html).map_err(|failure| failure.text()).and_then(|page| {
        write_whole(&run.join(PAGE), page.as_bytes()).map_err(|error| format!("{}\n", plain(&error)))
    });
    if let Err(why) = made {
        talk(&format!("warning: the page of {} could not be made: {why}", run.display()));
        return false;
    }
    true
}

/// The story of a run that has ended, in numbered sentences.
pub fn sentences(story: &Story) -> Vec<String> {
    let folder = story.started.as_ref().map(|started| Path::new(&started.run));
    let record = folder.and_then(|folder| folder::record(folder).ok());
    run::sentences(story, record.as_ref())
}

/// Makes something of all that a run folder holds.
fn with<T>(run: &Path, make: impl Fn(&Source<'_>) -> T) -> Result<T, Failure> {
    let recording = folder::read(run)?;
    let mut story = Story::of(&recording.events);
    story.again = run.join(TIMELINE).is_file().then(|| job::run_again(run));
    // One that is there and cannot be read would make half a page.
    let record = run.join(folder::RECORD).is_file().then(|| folder::record(run)).transpose()?;
    let repro = repro(&run.join(REPRO));
    let original = timeline(&run.join(FOUND));
    let smallest = run.join(SMALLEST).join(folder::VERDICT).is_file();
    let files = files(run);
    let source = Source {
        story: &story,
        record: record.as_ref(),
        smallest: smallest.then_some(SMALLEST),
        original: original.as_ref(),
        repro: repro.as_ref().map(|repro| &repro.facts),
        claims: &claim_of,
        files: &files,
        remarks: &recording.remarks,
    };
    Ok(make(&source))
}

fn repro(path: &Path) -> Option<Repro> {
    crate::repro::read(&fs::read(path).ok()?, &mut Problems::default()).ok()
}

/// The timeline that a run folder holds: it draws nothing, so that no server need be there.
fn timeline(path: &Path) -> Option<Timeline> {
    let spec = crate::spec::parse::parse(&fs::read(path).ok()?, &mut Problems::default())?;
    let profile = PROFILES.iter().find(|profile| Some(profile.name) == spec.environment.as_deref())?;
    generate(&spec, spec.seed?, spec.target.as_deref()?, profile).ok()
}

/// The files of the folder that are told of, with their sizes.
fn files(run: &Path) -> Vec<(String, u64)> {
    let Ok(entries) = fs::read_dir(run) else { return Vec::new() };
    let mut files: Vec<(String, u64)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // Not whole yet.
            let is_part = Path::new(&name).extension().is_some_and(|end| end == "part");
            let size = entry.metadata().ok().filter(fs::Metadata::is_file)?.len();
            (name != PAGE && size > 0 && !is_part).then_some((name, size))
        })
        .collect();
    files.sort();
    files
}
