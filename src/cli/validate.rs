//! `fuzz validate`: what is wrong with scenario files, all of it at once.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::input;
use crate::report::visible::on_one_line;
use crate::repro;
use crate::spec::{Dialect, Spec, Spread};
use crate::yaml::document::Problems;
use std::path::PathBuf;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Scenario files, folders of them, or `-` for standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Also list the events
    #[arg(long, short)]
    verbose: bool,
    /// Warn of keys that are not known in a file of valkey-fuzzer's, instead of refusing it
    #[arg(long)]
    allow_unknown_keys: bool,
}

pub fn main(args: &Args) -> super::Done {
    let mut paths = Vec::new();
    let mut bad = 0usize;
    for file in &args.files {
        if file.is_dir() {
            match input::scenarios_in(file) {
                Ok(found) => paths.extend(found),
                Err(failure) => {
                    talk(&failure.text());
                    bad += 1;
                }
            }
        } else {
            paths.push(file.clone());
        }
    }
    for path in &paths {
        let summary = input::read(path).and_then(|source| {
            let mut problems =
                Problems { unknown_keys_allowed: args.allow_unknown_keys, ..Problems::default() };
            let spec = crate::spec::parse::parse(&source.bytes, &mut problems);
            // A repro is a scenario and more: the more is looked at too.
            if spec.is_some() && String::from_utf8_lossy(&source.bytes).lines().any(|line| line == "repro:") {
                let mut again = Problems::default();
                if let Err(error) = repro::read(&source.bytes, &mut again) {
                    talk(&input::render(&source, &again));
                    return Err(Failure::bad_input(format!("{}: {error}", source.name)));
                }
            }
            talk(&input::render(&source, &problems));
            spec.map(|spec| summary(&source.name, &spec, args.verbose))
                .ok_or_else(|| input::refused(&source, &problems))
        });
        match summary {
            Ok(text) => {
                print(&text);
            }
            Err(failure) => {
                talk(&failure.text());
                bad += 1;
            }
        }
    }
    if bad == 0 {
        return Ok(Code::Passed);
    }
    if args.files.len() == 1 && paths.len() <= 1 {
        return Err(Failure::bad_input(""));
    }
    Err(Failure::bad_input(format!("{bad} of {} files are bad", paths.len())))
}

/// What the newer tool prints of a good file.
fn summary(name: &str, spec: &Spec, verbose: bool) -> String {
    let spread = |spread: Spread<u16>| {
        if spread.low == spread.high {
            spread.low.to_string()
        } else {
            format!("{} to {}", spread.low, spread.high)
        }
    };
    let mut out = format!("{name}: Scenario Summary ({})\n", input::dialect(spec.dialect));
    let mut line = |text: String| {
        out += "  ";
        out += &text;
        out.push('\n');
    };
    line(format!("ID: {}", on_one_line(spec.name.as_deref().unwrap_or("(none)"))));
    line(format!("Seed: {}", spec.seed.map_or_else(|| "drawn at each run".into(), |seed| seed.to_string())));
    line(format!(
        "Cluster: {} shards, {} replicas per shard",
        spread(spec.cluster.shards),
        spread(spec.cluster.replicas)
    ));
    let of = |kind| spec.events.iter().filter(move |event| event.action.info().kind == kind);
    line(format!("Operations: {}", of(crate::catalogue::ActionKind::Operation).count() + spec.dice.len()));
    let faults: std::collections::BTreeSet<&str> =
        of(crate::catalogue::ActionKind::Fault).map(|event| event.action.name()).collect();
    let faults: Vec<&str> = faults.into_iter().collect();
    line(format!(
        "Chaos Type: {}",
        if faults.is_empty() { "none written".into() } else { faults.join(", ") }
    ));
    if let Some(draw) = &spec.draw {
        line(format!("Drawn: {} events", spread(draw.events)));
    }
    if verbose {
        for (number, event) in spec.events.iter().enumerate() {
            line(format!("{}. {} {} (line {})", number + 1, event.id, event.action.to_flow(), event.line));
        }
    }
    if spec.dialect != Dialect::Native {
        line("`fuzz generate --spec FILE` prints the timeline it means".into());
    }
    format!("{out}{name}: valid\n")
}
