//! `fuzz doctor`: what this machine can do, what is missing, and the command that mends it.

use super::console::print;
use super::exit::Code;
use super::folder::RUNS;
use crate::env::processes::doctor::{Standing, examine};
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The folder of run folders, where killed runs may have left something
    #[arg(long, value_name = "DIR", default_value = RUNS)]
    runs: PathBuf,
}

/// Exits with 3 when something is missing without which some runs cannot be done.
pub fn main(args: &Args) -> super::Done {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut text = String::from("✓ embedded: the target `embedded` in environment `sim` needs nothing\n");
    let mut missing = false;
    for finding in examine(&path, &args.runs) {
        let sign = match finding.standing {
            Standing::Good => "✓",
            Standing::Limited => "!",
            Standing::Missing => "✗",
        };
        missing |= finding.standing == Standing::Missing;
        text += &format!("{sign} {}: {}\n", finding.what, finding.found);
        if let Some(means) = finding.means {
            text += &format!("    {means}\n");
        }
        if let Some(mend) = finding.mend {
            text += &format!("    mend it: {mend}\n");
        }
    }
    print(&text);
    Ok(if missing { Code::Environment } else { Code::Passed })
}
