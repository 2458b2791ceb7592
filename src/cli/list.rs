//! `fuzz list`: the catalogue, or the scenarios of a folder, one line each.

use super::console::print;
use super::exit::{Code, Failure};
use super::{input, tags};
use crate::catalogue::{ACTIONS, ActionInfo, ActionKind, CheckSpec, Class};
use crate::check::claim_of;
use crate::env::PROFILES;
use crate::report::visible::on_one_line;
use crate::spec::Spec;
use crate::target::embedded::bugs::BUGS;
use crate::target::{TARGETS, group};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
    /// The folder whose scenarios are listed
    #[arg(value_name = "DIR", required_if_eq("what", "scenarios"))]
    folder: Option<PathBuf>,
    #[command(flatten)]
    tags: tags::Choice,
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
    /// The scenarios of a folder, with name and tags; `--tag` and `--skip-tag` choose as in `fuzz run`
    Scenarios,
}

pub fn main(args: &Args) -> super::Done {
    if args.what != What::Scenarios && (args.folder.is_some() || args.tags.given()) {
        return Err(Failure::bad_input("a folder and tags go with `fuzz list scenarios` alone"));
    }
    let rows: Vec<(String, String)> = match args.what {
        What::Scenarios => scenarios(args)?,
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

fn scenarios(args: &Args) -> Result<Vec<(String, String)>, Failure> {
    let folder = args.folder.as_deref().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for path in input::scenarios_in(folder)? {
        found.push((input::scenario(&input::read(&path)?, false)?, path));
    }
    let found = tags::chosen(&args.tags, found, |(spec, _)| &spec.tags)?;
    let row = |(spec, path): &(Spec, PathBuf)| {
        let name = on_one_line(spec.name.as_deref().unwrap_or_default()).into_owned();
        let tags = if spec.tags.is_empty() { String::new() } else { format!(" [{}]", spec.tags.join(", ")) };
        (on_one_line(&path.display().to_string()).into_owned(), format!("{name}{tags}"))
    };
    Ok(found.iter().map(row).collect())
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
            let told = |target| {
                let (claim, source) = claim_of(name, target).expect("it is in the catalogue");
                format!("{claim} [{source}]")
            };
            let group = TARGETS.iter().find(|info| group(info.name)).map_or("", |info| info.name);
            let (general, group) = (told(""), told(group));
            let besides = if general == group { String::new() } else { format!("; of one group: {group}") };
            ((*name).to_string(), general + &besides)
        })
        .collect()
}

fn bugs() -> Vec<(String, String)> {
    BUGS.iter()
        .map(|bug| (bug.name.to_string(), format!("{} [found by {}]", bug.summary, bug.found_by)))
        .collect()
}
