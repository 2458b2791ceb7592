//! What the tests on real servers share: which servers there are, the tool as a script uses it, and several runs
//! side by side. Each run is a cluster of its own on ports of its own, and mostly waits, so that more of them
//! than cores may run at once.

#![allow(dead_code, reason = "each test binary uses its part")]

use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

pub const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

/// The servers on `PATH`. None at all is a failure where `SEEDFAULT_REQUIRE_SERVERS=1` wants one.
pub fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find =
        |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    let servers: Vec<PathBuf> = SERVERS.iter().filter_map(|name| find(name)).collect();
    assert!(
        !servers.is_empty() || std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() != Ok("1"),
        "none of {SERVERS:?} is installed, and SEEDFAULT_REQUIRE_SERVERS=1 wants one"
    );
    servers
}

/// Every installed server in every environment that real servers live in.
pub fn places() -> Vec<(PathBuf, &'static str)> {
    let exact = cfg!(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"));
    let environments = if exact { &["processes", "exact"][..] } else { &["processes"] };
    let servers = installed();
    environments.iter().flat_map(|name| servers.iter().map(|server| (server.clone(), *name))).collect()
}

/// What a run of the tool came to.
pub struct Ran {
    pub code: i32,
    /// Every line that `--format json` printed.
    pub events: Vec<Value>,
    pub talk: String,
    pub out: PathBuf,
}

impl Ran {
    /// The last word.
    pub fn finished(&self) -> Option<&Value> {
        self.events.last().filter(|event| event["event"] == "finished")
    }
    pub fn verdict(&self) -> &str {
        self.finished().and_then(|last| last["verdict"].as_str()).unwrap_or("no last word")
    }
    pub fn findings(&self) -> Vec<&str> {
        let findings = self.finished().and_then(|last| last["findings"].as_array());
        findings.into_iter().flatten().filter_map(Value::as_str).collect()
    }
    /// What every event came to: the record of each `applied`.
    pub fn applied(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(|event| event["event"] == "applied").map(|event| &event["applied"])
    }
    pub fn judged(&self, check: &str) -> Option<&Value> {
        let judged = self.events.iter().filter(|event| event["event"] == "judged");
        judged.map(|event| &event["judgement"]).find(|judgement| judgement["check"] == check)
    }
    /// All that helps to see why: what was applied, what was judged, what was said.
    pub fn story(&self) -> String {
        let mut story = String::new();
        for event in &self.events {
            let kind = event["event"].as_str().unwrap_or_default();
            let good = kind == "judged" && event["judgement"]["verdict"] == "pass";
            if ["applied", "judged", "note", "finished"].contains(&kind) && !good {
                let _ = writeln!(story, "  {event}");
            }
        }
        format!("exit code {}\n{story}{}", self.code, self.talk)
    }
}

/// Runs the tool with these arguments on a server; the run's folder is named by `name` and the server.
pub fn run(name: &str, arguments: &[&str], server: &Path) -> Ran {
    let binary = server.file_name().expect("a binary has a name").to_string_lossy().into_owned();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{binary}"));
    // What an earlier run of this test left there; the first time there is nothing.
    let _ = std::fs::remove_dir_all(&out);
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .args(arguments)
        .args(["--format", "json", "--server-binary"])
        .arg(server)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    Ran {
        code: output.status.code().unwrap_or(-1),
        events: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
        talk: String::from_utf8_lossy(&output.stderr).into_owned(),
        out,
    }
}

/// Does every job, at most so many at once, and gives the results in the order of the jobs.
pub fn side_by_side<J: Sync, R: Send>(jobs: &[J], at_once: usize, work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0..jobs.len());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(place) = next.lock().expect("no worker panics here").next() else { return };
                    let result = work(&jobs[place]);
                    done.lock().expect("no worker panics here").push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no worker panics here");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// The processes that work in a folder of this run, or whose environment names one: a server that writes its
/// title over its environment still works in its node's folder.
pub fn left_over(run: &Path) -> Vec<String> {
    let mark = run.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = processes.filter(|process| {
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let named =
            environment.split(|byte| *byte == 0).any(|one| String::from_utf8_lossy(one).contains(&mark));
        named || std::fs::read_link(process.path().join("cwd")).is_ok_and(|folder| folder.starts_with(run))
    });
    ours.map(|process| process.file_name().to_string_lossy().into_owned()).collect()
}

/// What is wrong with a run by itself.
pub fn amiss(ran: &Ran) -> Vec<String> {
    let mut amiss = Vec::new();
    if ran.code != 0 || ran.verdict() != "pass" {
        amiss.push(format!("exit code {}, verdict {}: {:?}", ran.code, ran.verdict(), ran.findings()));
    }
    for applied in ran.applied().filter(|applied| applied["status"] != "applied") {
        amiss.push(format!("{} was not carried out: {}", applied["event"], applied["status"]));
    }
    let left = left_over(&ran.out);
    if !left.is_empty() {
        amiss.push(format!("left behind: {left:?}"));
    }
    amiss
}
