//! The command lines of valkey-fuzzer: whoever types one is told what to type here.

use super::exit::Failure;
use super::flags::shell;
use std::ffi::OsString;

/// Flags that only the other tool has.
const FOREIGN: &[&str] =
    &["--mode", "--validate-dsl", "--dsl", "--export-dsl", "--random", "--valkey-binary"];

/// The equivalent of a foreign command line, as the hint of an error; `None` for a command line of ours.
pub fn equivalent(arguments: &[OsString]) -> Option<Failure> {
    let words: Vec<String> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let first = words.first()?.as_str();
    let is = |word: &str, flag: &str| {
        word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let value = |flag: &str| -> Option<String> {
        let place = words.iter().position(|word| is(word, flag))?;
        let inline = words[place].split_once('=').map(|(_, value)| value.to_string());
        inline.or_else(|| words.get(place + 1).cloned())
    };
    if first == "cleanup-logs" {
        let failure = Failure::bad_input("`cleanup-logs` is a command of valkey-fuzzer");
        return Some(failure.hint("every run has a folder of its own under `runs/`; remove the folder"));
    }
    // A campaign has modes of its own.
    let theirs = |flag: &&&str| first != "campaign" || **flag != "--mode";
    let foreign = FOREIGN.iter().filter(theirs).copied().find(|flag| words.iter().any(|word| is(word, flag)));
    let what = if first == "cluster" { "cluster" } else { foreign? };
    let config = || (value("--mode").as_deref() == Some("dsl")).then(|| value("--config")).flatten();
    let mut command = if let Some(file) = value("--validate-dsl") {
        format!("fuzz validate {}", shell(&file))
    } else if let Some(file) = value("--dsl").or_else(config) {
        format!("fuzz run {}", shell(&file))
    } else if let Some(seed) = value("--seed") {
        format!("fuzz --seed {}", shell(&seed))
    } else {
        "fuzz".into()
    };
    for (theirs, ours) in [
        ("--valkey-binary", "--server-binary"),
        ("--output", "--output"),
        ("--shards", "--shards"),
        ("--replicas", "--replicas"),
    ] {
        if let Some(value) = value(theirs) {
            command += &format!(" {ours} {}", shell(&value));
        }
    }
    let mut hint = format!("here it is: {command}");
    if value("--export-dsl").is_some() {
        hint += " (and `fuzz generate --format yaml` writes the scenario)";
    }
    if value("--iterations").is_some() {
        hint += " (a run is one seed: repeat it in a shell loop, `for seed in 1 2 3`)";
    }
    Some(Failure::bad_input(format!("`{what}` belongs to the command line of valkey-fuzzer")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::equivalent;

    fn told(line: &str) -> Option<String> {
        let words: Vec<std::ffi::OsString> = line.split(' ').map(Into::into).collect();
        equivalent(&words)?.hint
    }

    #[test]
    fn foreign_command_lines_get_their_equivalent() {
        for (theirs, ours) in [
            ("cluster --seed 42", "here it is: fuzz --seed 42"),
            ("cluster --dsl a.yaml", "here it is: fuzz run a.yaml"),
            ("cluster --dsl=a.yaml --seed 3", "here it is: fuzz run a.yaml"),
            ("cluster --random", "here it is: fuzz"),
            ("cluster --seed 1 --valkey-binary /v/s", "here it is: fuzz --seed 1 --server-binary /v/s"),
            ("--mode random --seed 5 --shards 4", "here it is: fuzz --seed 5 --shards 4"),
            ("--mode dsl --config a.yaml", "here it is: fuzz run a.yaml"),
            ("--validate-dsl a.yaml", "here it is: fuzz validate a.yaml"),
        ] {
            assert_eq!(told(theirs).as_deref(), Some(ours), "{theirs}");
        }
    }

    #[test]
    fn ours_are_left_alone() {
        for ours in ["--seed 42", "run cluster", "validate a.yaml", "generate --seed 3 --format yaml", ""] {
            assert_eq!(told(ours), None, "{ours}");
        }
    }
}
