//! `fuzz list`: the catalogue, one line each.

use super::console::print;
use super::exit::Code;
use crate::catalogue::{ACTIONS, ActionInfo, ActionKind, CheckSpec, Class};
use crate::env::PROFILES;
use crate::target::TARGETS;
use crate::target::embedded::bugs::BUGS;

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// The systems under test
    Targets,
    /// What administrators do to a cluster
    Operations,
    /// What goes wrong; not what a scenario may do to prove that a check finds it (`sabotage` in dsl/README.md)
    Faults,
    /// What must hold, with the source of each claim
    Checks,
    /// The named bugs of the embedded target, each with the check that finds it
    Bugs,
    /// Where a target's nodes live
    Environments,
}

pub fn main(args: &Args) -> super::Done {
    let rows: Vec<(String, String)> = match args.what {
        What::Targets => targets(),
        What::Operations => actions(|info| info.kind == ActionKind::Operation),
        What::Faults => actions(|info| info.kind == ActionKind::Fault),
        What::Checks => checks(),
        What::Bugs => bugs(),
        What::Environments => {
            PROFILES.iter().map(|profile| (profile.name.to_string(), profile.summary.to_string())).collect()
        }
    };
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let text: String = rows.iter().map(|(name, summary)| format!("{name:<width$}  {summary}\n")).collect();
    print(&text);
    Ok(Code::Passed)
}

fn targets() -> Vec<(String, String)> {
    TARGETS.iter().map(|info| (info.name.to_string(), info.summary.to_string())).collect()
}

fn actions(wanted: impl Fn(&ActionInfo) -> bool) -> Vec<(String, String)> {
    ACTIONS
        .iter()
        .filter(|info| wanted(info))
        .map(|info| {
            let class = match info.class {
                Class::Safe => "safe".to_string(),
                Class::Disruptive => "disruptive".to_string(),
                Class::Voids(claims) => format!("voids {}", claims.join(", ")),
            };
            let drawn = if info.drawn { "" } else { ", never drawn" };
            let on = info.targets.join(", ");
            (info.name.to_string(), format!("{} [{on}; {class}{drawn}]", info.summary))
        })
        .collect()
}

fn checks() -> Vec<(String, String)> {
    CheckSpec::NAMES
        .iter()
        .map(|name| {
            let summary = super::job::claims(name)
                .map_or_else(String::new, |(claim, source)| format!("{claim} [{source}]"));
            ((*name).to_string(), summary)
        })
        .collect()
}

fn bugs() -> Vec<(String, String)> {
    BUGS.iter()
        .map(|bug| (bug.name.to_string(), format!("{} [found by {}]", bug.summary, bug.found_by)))
        .collect()
}
