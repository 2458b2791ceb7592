//! The README's commands are tests: what needs no server is run as it stands there, and the main job on a real
//! server, where one is installed.

mod servers;

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The `fuzz` commands of the README's blocks of commands, comments taken off, with the number of their block.
fn commands() -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let (mut found, mut block, mut inside) = (Vec::new(), 0, false);
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = kind == "sh";
            block += usize::from(inside);
        } else if inside && line.starts_with("fuzz ") {
            let command =
                line.split("   #").next().unwrap_or(line).split("  # ").next().unwrap_or(line).trim();
            found.push((block, command.to_string()));
        }
    }
    found
}

/// Where a command may leave its runs: the repo's scenarios are at hand, and nothing of the repo is touched.
fn workplace(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).expect("a folder for the runs");
    for folder in ["dsl", "examples"] {
        std::os::unix::fs::symlink(root().join(folder), place.join(folder)).expect("a link to the scenarios");
    }
    place
}

#[test]
fn the_commands_that_need_no_server_work_as_they_stand() {
    let place = workplace("readme");
    let binary = Path::new(env!("CARGO_BIN_EXE_fuzz"));
    let path = format!(
        "{}:{}",
        binary.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let plain: Vec<String> =
        commands().into_iter().filter(|(block, _)| *block == 2).map(|(_, command)| command).collect();
    assert!(plain.len() >= 6, "{plain:?}");
    for command in plain {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(&place)
            .env("PATH", &path)
            .env("NO_COLOR", "1")
            .output()
            .expect("a shell");
        assert!(
            output.status.success(),
            "`{command}` ended with {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.stdout.is_empty(), "`{command}` printed nothing");
    }
}

/// The first thing that anybody types. On servers it is told apart by what it is: a verdict, and nothing left.
#[test]
fn the_main_job_passes_on_a_real_cluster_and_leaves_nothing_behind() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let line =
        readme.lines().find_map(|line| line.strip_prefix("cargo run --release -- ")).expect("its command");
    let words: Vec<&str> = line.split('#').next().unwrap_or(line).split_whitespace().collect();
    if servers::installed().is_empty() {
        println!("skipped: `fuzz {}`: none of {:?} is on PATH", words.join(" "), servers::SERVERS);
        return;
    }
    let place = workplace("readme-main");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fuzz"));
    let output = command.args(&words).current_dir(&place).env("NO_COLOR", "1").output().expect("the binary");
    let out = String::from_utf8_lossy(&output.stdout);
    let told = format!("{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(out.starts_with("seed 67890, target valkey ("), "{told}");
    assert!(out.contains("\nStatus: PASSED\n"), "{told}");
    assert_eq!(out.lines().last(), Some("fuzz --seed 67890 --target valkey --env exact"), "{told}");
    let runs: Vec<PathBuf> = std::fs::read_dir(place.join("runs"))
        .expect("the folder of runs")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    let verdict = std::fs::read_to_string(run.join("verdict.json")).expect("it is written last");
    assert!(verdict.contains("\"verdict\": \"pass\""), "{verdict}");
    assert_eq!(servers::left_over(&place), Vec::<String>::new(), "processes are left");
    // What a node leaves is what explains the run, not its data.
    for node in 0..6 {
        let folder = run.join(format!("nodes/node-{node}"));
        let mut left: Vec<String> = std::fs::read_dir(&folder)
            .expect("the node's folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(left, ["exit.txt", "nodes.conf", "server.conf", "server.log"], "{}", folder.display());
    }
    let beside: Vec<_> =
        std::fs::read_dir(&place).expect("the place").flatten().map(|e| e.file_name()).collect();
    assert_eq!(beside.len(), 3, "beside the scenarios and the runs: {beside:?}");
}

/// Those for real servers are at least commands that exist: their flags are read, their files named.
#[test]
fn the_commands_for_real_servers_are_understood() {
    for (_, command) in commands().into_iter().filter(|(block, _)| *block >= 3) {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        let output =
            Command::new(env!("CARGO_BIN_EXE_fuzz")).args(&words).arg("--help").output().expect("the binary");
        assert!(
            output.status.success(),
            "`{command}` is not understood:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_tool() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let help = Command::new(env!("CARGO_BIN_EXE_fuzz")).arg("--help").output().expect("the binary");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for code in ["0", "1", "2", "3", "4", "5", "130"] {
        assert!(readme.contains(&format!("| {code} | ")), "the README has no exit code {code}");
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))),
            "`fuzz --help` has no exit code {code}"
        );
    }
}
