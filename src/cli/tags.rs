//! `--tag` and `--skip-tag`: which scenarios of a folder are meant, by the tags that the files give themselves.

use super::console::talk;
use super::exit::Failure;
use super::flags::shell;
use crate::spec::forms::suggest;
use crate::spec::tags::Wanted;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, Default, clap::Args)]
pub struct Choice {
    /// Only scenarios with this tag (`tags:` in the file); with several, those that have any of them: `membership,links`
    #[arg(long = "tag", value_name = "TAG", value_delimiter = ',')]
    tags: Vec<String>,
    /// No scenario with this tag, whatever `--tag` says; may be given several times too
    #[arg(long = "skip-tag", value_name = "TAG", value_delimiter = ',')]
    skipped: Vec<String>,
}

/// The scenarios that are meant, in the order given. A tag to choose by that no scenario has is a mistake, and so is a choice that
/// leaves nothing; one to skip is told and no more, for where nothing has it there is nothing to skip.
pub fn chosen<T>(args: &Choice, all: Vec<T>, tags: impl Fn(&T) -> &[String]) -> Result<Vec<T>, Failure> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for tag in all.iter().flat_map(&tags) {
        *counts.entry(tag.clone()).or_default() += 1;
    }
    let known: Vec<&str> = counts.keys().map(String::as_str).collect();
    let unknown = |names: &[String]| names.iter().find(|name| !counts.contains_key(*name)).cloned();
    if let Some(name) = unknown(&args.tags) {
        let none =
            if known.is_empty() { "no scenario here has any tag".into() } else { suggest(&name, &known) };
        return Err(
            Failure::bad_input(format!("no scenario has the tag `{name}`, which --tag asks for")).hint(none)
        );
    }
    if let Some(name) = unknown(&args.skipped) {
        let near = if known.is_empty() { String::new() } else { format!("; {}", suggest(&name, &known)) };
        talk(&format!("warning: no scenario has the tag `{name}`, which --skip-tag leaves out{near}\n"));
    }
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let wanted = Wanted { any_of: set(&args.tags), none_of: set(&args.skipped) };
    let count = all.len();
    let chosen: Vec<T> = all.into_iter().filter(|scenario| wanted.takes(tags(scenario))).collect();
    if !chosen.is_empty() {
        return Ok(chosen);
    }
    let told: Vec<String> = counts.iter().map(|(tag, count)| format!("{tag} ({count})")).collect();
    let message = format!("none of {count} scenarios is left by{}", args.spelled());
    Err(Failure::bad_input(message).hint(format!("their tags: {}", told.join(", "))))
}

impl Choice {
    pub const fn given(&self) -> bool {
        !self.tags.is_empty() || !self.skipped.is_empty()
    }
    /// As they are written on a command line.
    pub fn spelled(&self) -> String {
        [("--tag", &self.tags), ("--skip-tag", &self.skipped)]
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(flag, names)| format!(" {flag} {}", shell(&names.join(","))))
            .collect()
    }
}
