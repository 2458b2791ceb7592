//! `fuzz explain`: retell a run from its folder by feeding the recorded events to the same reporters.

use super::console::{Console, print, talk};
use super::exit::Code;
use super::flags::Format;
use super::folder::{self, TIMELINE};
use super::job;
use crate::check::claim_of;
use crate::report::story::Story;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A run folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Print a report, or the recorded event stream
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The report alone, without the log before it
    #[arg(long, short)]
    quiet: bool,
    /// Tell every step of the timeline and every check's claim, source and evidence
    #[arg(long, short)]
    verbose: bool,
}

/// The exit code tells whether the run could be told, not what became of it.
pub fn main(args: &Args) -> super::Done {
    let recording = folder::read(&args.run)?;
    let mut console = Console::new(args.format, args.quiet, args.verbose);
    let mut story = Story::default();
    for event in &recording.events {
        story.hear(event);
        console.event(event, &story);
        if console.broken {
            return Ok(Code::Passed);
        }
    }
    story.again = args.run.join(TIMELINE).is_file().then(|| job::run_again(&args.run));
    for remark in &recording.remarks {
        talk(&format!("note: {remark}\n"));
    }
    if args.format == Format::Text {
        console.finish();
        print(&crate::report::text::report(&story, &claim_of, console.detail()));
    }
    Ok(Code::Passed)
}
