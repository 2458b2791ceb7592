//! No subcommand: draw a timeline from a seed and run it.

use super::choose;
use super::exit::{Code, Failure};
use super::flags::{Output, Shape, Where, shell};
use super::input;
use super::job::{self, Job, Save};
use super::serve::Serve;
use super::shrink;
use crate::entropy::{Seed, SeedSource};
use crate::env::{PROFILES, Profile};
use crate::repro::Pins;
use crate::spec::Spec;
use crate::timeline::{GenerateError, Timeline, generate};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A number from 0 to 18446744073709551615, or any other text, which is hashed to one; drawn when absent
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seed: Option<String>,
    /// The scenario to draw from; the built-in one when absent
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    #[command(flatten)]
    pub place: Where,
    #[command(flatten)]
    pub shape: Shape,
    /// Leave a failure as it is, instead of looking for the fewest events that still fail (as with `--format json`)
    #[arg(long)]
    pub no_shrink: bool,
    #[command(flatten)]
    pub output: Output,
}

pub fn main(args: &Args) -> super::Done {
    job::check_files(&args.output)?;
    let mut spec = spec(args.spec.as_deref(), &args.shape)?;
    choose::pin(&mut spec, &args.shape)?;
    let (seed, told) = chosen(args.seed.as_deref(), &spec)?;
    let place = choose::place(&args.place, &spec)?;
    let timeline = draw(&spec, seed, &place)?;
    let mut console = args.output.console();
    console.page = Serve::if_wanted(args.output.serve)?;
    console.say(&format!("seed {seed}{told}, {}", place.told()));
    let from = args
        .spec
        .as_ref()
        .map_or_else(String::new, |file| format!(" --spec {}", shell(&file.to_string_lossy())));
    let job = Job {
        reproduce: (args.spec.as_deref() != Some(Path::new("-")))
            .then(|| format!("fuzz --seed {seed}{from}{}{}", place.spelled(), args.shape.spelled())),
        drawn: args.spec.is_none().then(|| pins(&args.shape)).flatten(),
        save: if args.spec.is_none() { Save::BesideSeed } else { Save::AsCommand },
        trace: false,
        spread: false,
        stop_at_turn: None,
        page: true,
        replayed: None,
        out: None,
        output: &args.output,
        place: &place,
        timeline: timeline.clone(),
    };
    let done = job::run(job, &mut console)?;
    job::tell(&mut console, &done);
    if !args.no_shrink {
        let drawn = args.spec.is_none().then(|| pins(&args.shape)).flatten();
        shrink::after(&done, &timeline, &place, drawn, &mut console);
    }
    job::files(&args.output, &[&done.story])?;
    Ok(done.code())
}

/// The built-in scenario, or that of a file.
pub fn spec(file: Option<&Path>, shape: &Shape) -> Result<Spec, Failure> {
    match file {
        Some(file) => input::scenario(&input::read(file)?, shape.allow_unknown_keys),
        None => Ok(built_in()),
    }
}

/// `dsl/default.yaml`, which `fuzz --seed` draws from.
pub fn built_in() -> Spec {
    let mut problems = crate::yaml::document::Problems::default();
    crate::spec::parse::parse(crate::spec::DEFAULT.as_bytes(), &mut problems)
        .unwrap_or_else(|| panic!("the built-in scenario is good: {problems:?}"))
}

/// The seed of the flag, else that of the scenario, else one that is drawn; and what is to be said of it.
pub fn chosen(flag: Option<&str>, spec: &Spec) -> Result<(Seed, String), Failure> {
    if let Some(text) = flag {
        let (seed, source) =
            Seed::parse(text).map_err(|error| Failure::bad_input(format!("--seed: {error}")))?;
        let told = match source {
            SeedSource::Number => String::new(),
            SeedSource::Hashed(text) => format!(" (the text `{text}`, hashed)"),
        };
        return Ok((seed, told));
    }
    if let Some(seed) = spec.seed {
        let told = match &spec.seed_word {
            Some(word) => format!(" (the text `{word}` in the scenario, hashed)"),
            None => " (as the scenario says)".into(),
        };
        return Ok((seed, told));
    }
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(|error| {
        Failure::new(
            Code::Environment,
            format!("failed to draw a seed from /dev/urandom: {}", input::plain(&error)),
        )
        .hint("give one by --seed N")
    })?;
    Ok((Seed(u64::from_le_bytes(bytes)), " (drawn)".into()))
}

/// The timeline, or why there is none.
pub fn draw(spec: &Spec, seed: Seed, place: &choose::Place) -> Result<Timeline, Failure> {
    generate(spec, seed, &place.target, place.profile).map_err(|error| {
        let code = match error {
            GenerateError::Unable { .. } => Code::Environment,
            _ => Code::BadInput,
        };
        let failure = Failure::new(code, error.to_string());
        match error {
            GenerateError::Unable { needs, .. } => {
                let can = |profile: &&&Profile| {
                    profile.lacks(&place.target).is_none()
                        && profile.abilities.iter().any(|ability| ability.as_str() == needs)
                };
                failure.hint(match PROFILES.iter().find(can) {
                    Some(profile) => format!("--env {} can", profile.name),
                    None => "no environment of this target can yet; choose another by --target".into(),
                })
            }
            _ => failure,
        }
    })
}

/// The flags that pin what a seed of the built-in scenario draws; `None` where others than these decide it too.
pub fn pins(shape: &Shape) -> Option<Pins> {
    let plain = shape.include.is_empty() && shape.exclude.is_empty();
    plain.then_some(Pins { shards: shape.shards, replicas: shape.replicas })
}
