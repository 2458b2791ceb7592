//! `fuzz generate`: print the timeline that a seed means.

use super::choose;
use super::console::{print, talk};
use super::exit::Code;
use super::flags::{Shape, Where};
use super::seed;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A number from 0 to 18446744073709551615, or any other text, which is hashed to one; drawn when absent
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    seed: Option<String>,
    /// The scenario to draw from; the built-in one when absent
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    /// For people, or as a scenario that `fuzz run -` runs
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Yaml,
}

pub fn main(args: &Args) -> super::Done {
    let mut spec = seed::spec(args.spec.as_deref(), &args.shape)?;
    choose::pin(&mut spec, &args.shape)?;
    let (seed, told) = seed::chosen(args.seed.as_deref(), &spec)?;
    let place = choose::target(&args.place, &spec)?;
    let timeline = seed::draw(&spec, seed, &place)?;
    talk(&format!("seed {seed}{told}, {}\n", place.told()));
    let text = match args.format {
        Form::Text => timeline.to_text(),
        Form::Yaml => timeline.to_yaml(),
    };
    print(&text);
    Ok(Code::Passed)
}
