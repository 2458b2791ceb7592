//! `fuzz validate`: what is wrong with scenario files, all of it at once.

use super::console::{print, talk};
use super::exit::{Code, Failure};
use super::input;
use crate::catalogue::{Action, ActionKind};
use crate::report::visible::on_one_line;
use crate::repro;
use crate::spec::{Dialect, Spec, Spread};
use crate::yaml::document::Problems;
use std::collections::BTreeSet;
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
    if !spec.tags.is_empty() {
        line(format!("Tags: {}", spec.tags.join(", ")));
    }
    line(match (spec.seed, &spec.seed_word) {
        (Some(seed), Some(word)) => format!("Seed: {seed} (the text `{}`, hashed)", on_one_line(word)),
        (Some(seed), None) => format!("Seed: {seed}"),
        (None, _) => "Seed: drawn at each run".into(),
    });
    line(format!(
        "Cluster: {} shards, {} replicas per shard",
        spread(spec.cluster.shards),
        spread(spec.cluster.replicas)
    ));
    let of = |kind| spec.events.iter().filter(move |event| event.action.info().kind == kind);
    line(format!("Operations: {}", of(ActionKind::Operation).count() + spec.dice.len()));
    line(format!("Chaos Type: {}", chaos(spec)));
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

/// The faults that a file names, those that the seed draws, or that there are none.
fn chaos(spec: &Spec) -> String {
    let written = spec.events.iter().map(|event| &event.action);
    let again =
        spec.backgrounds.iter().flat_map(|background| &background.one_of).map(|choice| &choice.action);
    let names: BTreeSet<&str> = written
        .chain(again)
        .filter(|action| action.info().kind == ActionKind::Fault)
        .map(Action::name)
        .collect();
    let mut told: Vec<String> = names.into_iter().map(str::to_string).collect();
    if !spec.dice.is_empty() {
        told.push("kill, with signal, moment and node drawn by the seed at each operation".into());
    }
    if spec.draw.is_some() {
        told.push("what the seed draws".into());
    }
    if told.is_empty() { "none: no fault happens".into() } else { told.join(", ") }
}
