//! The table of allowed edges between the stages: data flows one way, and a stage imports from its left.
//!
//! A module may name another only if the table says so. What is not in the table is the point of the test: `spec`
//! knows no run, `run` judges nothing by itself, `check` reads records and no environment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Module, what it may import, and why where it is not obvious.
const EDGES: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("entropy", &[]),
    ("yaml", &["time"]),
    // The vocabulary: parameters of faults, operations and checks; their other halves stand elsewhere.
    ("catalogue", &["time", "entropy", "yaml", "fault", "target", "check"]),
    ("fault", &["time", "yaml", "catalogue"]),
    ("timeline", &["time", "entropy", "yaml", "catalogue", "fault", "target", "check", "env", "spec"]),
    ("spec", &["time", "entropy", "yaml", "catalogue", "fault", "target", "check", "env", "timeline"]),
    ("env", &["time", "entropy", "yaml", "catalogue", "fault", "timeline", "target"]),
    ("history", &["time", "yaml", "env"]),
    // `run` names the checks' judgements in its events, and asks for verdicts through a trait alone.
    (
        "run",
        &["time", "entropy", "yaml", "catalogue", "fault", "target", "env", "history", "timeline", "check"],
    ),
    ("target", &["time", "entropy", "yaml", "catalogue", "fault", "env", "history", "timeline", "run"]),
    ("check", &["time", "yaml", "catalogue", "fault", "target", "env", "history", "timeline", "run"]),
    ("repro", &["time", "entropy", "yaml", "catalogue", "env", "spec", "timeline", "run", "check"]),
    // A search over an oracle: it runs nothing itself.
    ("shrink", &["time", "entropy", "yaml", "catalogue", "env", "spec", "timeline"]),
    // A search too, over what runs reached.
    ("campaign", &["time", "entropy", "yaml", "catalogue", "env", "history", "spec", "timeline", "run"]),
    // A whole line without input or output: seeds in, verdicts out.
    ("canary", &["time", "entropy", "yaml", "target", "env", "spec", "timeline", "run", "check", "shrink"]),
    ("report", &["time", "catalogue", "env", "run", "check"]),
    // Drawings and prose of what the report's story holds, and of what the record has beside it.
    (
        "page",
        &["time", "catalogue", "env", "history", "timeline", "run", "check", "repro", "report", "target"],
    ),
    (
        "cli",
        &[
            "time",
            "campaign",
            "canary",
            "entropy",
            "yaml",
            "catalogue",
            "fault",
            "target",
            "env",
            "history",
            "spec",
            "timeline",
            "run",
            "check",
            "repro",
            "report",
            "page",
            "shrink",
        ],
    ),
];

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder of sources").map(|e| e.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The files of modules that exist for tests alone: `#[cfg(test)]` stands over their `mod` line.
fn tests_only(sources: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(source).expect("a source");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for two in lines.windows(2).filter(|two| two[0] == "#[cfg(test)]") {
            let name = two[1].split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';'));
            if let Some(name) = name {
                let below = if source.ends_with("mod.rs") || source.ends_with("lib.rs") {
                    source.with_file_name("")
                } else {
                    source.with_extension("")
                };
                found.insert(below.join(format!("{name}.rs")));
            }
        }
    }
    found
}

/// Every `crate::module` named in a text, with its line; what stands below `#[cfg(test)]` is left out.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // `crate::record!` and `crate::word!` are macros of `yaml`.
            if !rest[name.len()..].starts_with('!') && !name.is_empty() {
                found.push((number + 1, name));
            }
        }
    }
    found
}

#[test]
fn a_stage_imports_from_its_left() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        EDGES.iter().map(|(name, to)| (*name, to.iter().copied().collect())).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    files(&root, &mut sources);
    let tests_only = tests_only(&sources);
    let mut wrong = Vec::new();
    for path in sources {
        if tests_only.contains(&path) {
            continue;
        }
        let relative = path.strip_prefix(&root).expect("below src");
        let first =
            relative.components().next().expect("a name").as_os_str().to_string_lossy().replace(".rs", "");
        if matches!(first.as_str(), "lib" | "main") {
            continue;
        }
        let Some(may) = allowed.get(first.as_str()) else {
            wrong.push(format!("{}: module `{first}` is not in the table", relative.display()));
            continue;
        };
        for (line, name) in imports(&fs::read_to_string(&path).expect("a source")) {
            if allowed.contains_key(name.as_str()) && name != first && !may.contains(name.as_str()) {
                wrong.push(format!("src/{}:{line}: `{first}` must not import `{name}`", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The core has no clock, thread, socket or file: the lints ban them, and this names the files that may.
#[test]
fn the_core_touches_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    files(&root, &mut sources);
    let tests_only = tests_only(&sources);
    let border = [
        "cli/",
        "main.rs",
        "env/exact/",
        // All of it but the switch and the rules of disks, which decide.
        "env/live/alarm.rs",
        "env/live/bridge.rs",
        "env/live/capture.rs",
        "env/live/device.rs",
        "env/live/disk/filter.rs",
        "env/live/disk/kernel.rs",
        "env/live/disk/mod.rs",
        "env/live/disk/power/",
        "env/live/disk/supervisor.rs",
        "env/live/disk/trial.rs",
        "env/live/driver.rs",
        "env/live/mod.rs",
        "env/live/names.rs",
        "env/live/namespace.rs",
        "env/live/netlink.rs",
        "env/live/probe.rs",
        "env/live/reach.rs",
        "env/processes/",
        // Which is written by `env/exact` and read by the command line.
        "env/trace.rs",
        // The process of a run, which owns its folder and its output.
        "run/child.rs",
        "yaml/file.rs",
        "yaml/mod.rs",
        "yaml/read.rs",
        "yaml/render.rs",
    ];
    // Traits alone, by which `h2` is handed the bytes of a run's connection; no runtime comes with them.
    let traits = ("target/etcd/grpc.rs", "use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};");
    let mut wrong = Vec::new();
    for path in sources {
        let relative = path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned();
        if border.iter().any(|b| relative.starts_with(b)) || tests_only.contains(&path) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        for (number, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break;
            }
            let plain = line.trim_start();
            if (relative.as_str(), plain) == traits {
                continue;
            }
            for banned in [
                "std::fs",
                "std::net",
                "std::thread",
                "std::env::",
                "SystemTime",
                "Instant::now",
                "std::process",
                "tokio",
            ] {
                if !plain.starts_with("//") && plain.contains(banned) {
                    wrong.push(format!("src/{relative}:{}: the core must not use `{banned}`", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
