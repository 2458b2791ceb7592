//! Scenario files from disk or standard input, and what is said of their mistakes.

use super::console::talk;
use super::exit::Failure;
use super::flags::shell;
use super::folder::EVENTS;
use crate::report::visible::{acts, on_one_line};
use crate::spec::{Dialect, Spec};
use crate::yaml::document::{Problem, Problems, Severity};
use crate::yaml::parse::SIZE_MAX;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A text with the name that messages give it.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Reads a file, or standard input for `-`. Nothing but regular files and standard input is read, and no more
/// of them than the YAML reader would take.
pub fn read(path: &Path) -> Result<Source, Failure> {
    let name = on_one_line(&path.display().to_string()).into_owned();
    let fail = |why: String| Failure::bad_input(format!("{name}: {why}"));
    let mut bytes = Vec::new();
    let limit = SIZE_MAX as u64 + 1;
    let read = if name == "-" {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        let kind = std::fs::metadata(path).map_err(|error| fail(plain(&error)))?;
        if kind.is_dir() {
            let hint = if path.join(EVENTS).is_file() {
                let run = shell(&name);
                format!("it is a run folder: `fuzz explain {run}` retells it")
            } else {
                "name one file; `fuzz run DIR` runs every scenario of a folder".into()
            };
            return Err(fail("is a folder, not a file".into()).hint(hint));
        }
        if !kind.is_file() {
            return Err(fail("is not a regular file".into()).hint("use `-` to read standard input"));
        }
        if kind.len() > SIZE_MAX as u64 {
            let message = format!("the file has {} bytes; at most {SIZE_MAX} (1 MiB) are read", kind.len());
            return Err(fail(message).hint("keep a scenario small; take out what is not needed"));
        }
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| fail(plain(&error)))?;
    let name = if name == "-" { "<stdin>".into() } else { name };
    Ok(Source { name, bytes })
}

/// The system's words for what went wrong, without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    text.chars()
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(text.chars().skip(1)).collect())
}

/// The scenario that a text holds; its problems, warnings too, are said on standard error.
pub fn scenario(source: &Source, unknown_keys_allowed: bool) -> Result<Spec, Failure> {
    let mut problems = Problems { unknown_keys_allowed, ..Problems::default() };
    let spec = crate::spec::parse::parse(&source.bytes, &mut problems);
    talk(&render(source, &problems));
    spec.ok_or_else(|| refused(source, &problems))
}

/// The failure for a text whose problems were said.
pub fn refused(source: &Source, problems: &Problems) -> Failure {
    let errors = problems.list.iter().filter(|problem| problem.severity == Severity::Error).count();
    let noun = if errors == 1 { "problem" } else { "problems" };
    let unknown = |problem: &&Problem| problem.message.starts_with("unknown key");
    let failure = Failure::bad_input(format!("{} has {errors} {noun}", source.name));
    // The native form is our own: what it does not know is a mistake for certain.
    let native = String::from_utf8_lossy(&source.bytes).lines().any(|line| line.starts_with("fuzz:"));
    if !native && !problems.unknown_keys_allowed && problems.list.iter().any(|problem| unknown(&problem)) {
        return failure
            .hint("--allow-unknown-keys takes keys of valkey-fuzzer that are not known here for remarks");
    }
    failure
}

/// Every problem with its place, the text with a caret, and the hint.
pub fn render(source: &Source, problems: &Problems) -> String {
    let text = String::from_utf8_lossy(&source.bytes);
    let lines: Vec<&str> = crate::yaml::parse::lines(&text).collect();
    problems.list.iter().map(|problem| one(&source.name, &lines, problem)).collect()
}

fn one(name: &str, lines: &[&str], problem: &Problem) -> String {
    let word = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = problem.span.map_or_else(|| name.to_string(), |span| format!("{name}:{span}"));
    let mut out = format!("{place}: {word}: {}\n", problem.message);
    if let Some(span) = problem.span
        && let Some(line) = lines.get(span.line.saturating_sub(1) as usize)
    {
        // A window around the column keeps a line of a megabyte out of the terminal.
        let column = span.column.saturating_sub(1) as usize;
        let first = column.saturating_sub(60);
        let shown: String =
            // Escapes would move what stands above the caret.
            line.chars().skip(first).take(120).map(|c| if acts(c) { ' ' } else { c }).collect();
        let caret = "^".repeat((span.length.max(1) as usize).min(60));
        let number = span.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(out, "{margin} |\n{number} | {shown}\n{margin} | {}{caret}", " ".repeat(column - first))
            .expect("a string takes all");
    }
    if let Some(hint) = &problem.hint {
        writeln!(out, "  hint: {hint}").expect("a string takes all");
    }
    out
}

/// The scenarios of a folder, by name; folders within it are looked into.
pub fn scenarios_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        let fail =
            |error: &std::io::Error| Failure::bad_input(format!("{}: {}", folder.display(), plain(error)));
        for entry in std::fs::read_dir(&folder).map_err(|error| fail(&error))? {
            let entry = entry.map_err(|error| fail(&error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| fail(&error))?;
            if kind.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure::bad_input(format!("{}: no scenario (*.yaml) in this folder", folder.display())));
    }
    Ok(found)
}

/// What a dialect is called.
pub const fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Native => "native form",
        Dialect::Older => "valkey-fuzzer's older dialect",
        Dialect::Newer => "valkey-fuzzer's newer dialect",
    }
}
