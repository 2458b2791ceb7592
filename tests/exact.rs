//! Virtual time from outside: the same seed gives the same history, the same schedule and the same trace, on real
//! servers, through a kill and the failover that follows, while the machine is kept busy.
//!
//! A server that is not installed is skipped by name; none at all is a failure where `SEEDFAULT_REQUIRE_SERVERS=1`
//! wants one. A run that cannot be had for another reason, a right that is missing for instance, has no last word
//! with hashes and fails.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
#![expect(clippy::disallowed_methods, reason = "a test of a process that stands still waits by the clock")]

mod servers;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seedfault::check::Verdict;
use seedfault::entropy::Seed;
use seedfault::env::EXACT;
use seedfault::repro::{Facts, Repro};
use seedfault::spec::parse::parse;
use seedfault::spec::{Dialect, Spec};
use seedfault::time::Millis;
use seedfault::timeline::generate;
use seedfault::yaml::document::Problems;
use servers::{installed, left_over};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const ROUNDS: usize = 2;

fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("seedfault-exact-test-{name}-{}", std::process::id()))
}

/// Runs the scenario and gives its last word.
fn run(server: &Path, out: &Path) -> serde_json::Value {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("dsl/kill-primary.yaml");
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("run")
        .arg(scenario)
        .args(["--seed", "1", "--env", "exact", "--format", "json", "--server-binary"])
        .arg(server)
        .arg("--out")
        .arg(out)
        .output()
        .expect("the tool starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("Failover election won"), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let last = text.lines().last().expect("a last word");
    serde_json::from_str(last).expect("JSON")
}

#[test]
fn a_seed_gives_the_same_run_each_time_on_a_busy_machine() {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut work = 1u64;
                while !over.load(Relaxed) {
                    work = std::hint::black_box(work.wrapping_mul(6_364_136_223_846_793_005));
                }
            });
        }
        let compared = std::panic::catch_unwind(|| {
            for server in &installed() {
                let name = server.file_name().expect("a name").to_string_lossy();
                let mut runs = Vec::new();
                for round in 0..ROUNDS {
                    let out = folder(&format!("{name}-{round}"));
                    let last = run(server, &out);
                    let hash = |field: &str| last[field].as_str().expect("a hash").to_string();
                    let hashes = ["history_hash", "schedule_hash", "trace_hash"].map(hash);
                    eprintln!("{name}: {} ms of virtual time in {} ms", last["virtual_ms"], last["wall_ms"]);
                    runs.push(hashes);
                    std::fs::remove_dir_all(out).expect("it is ours");
                }
                assert!(runs.iter().all(|hashes| *hashes == runs[0]), "{name}: {runs:#?}");
            }
        });
        over.store(true, Relaxed);
        if let Err(failure) = compared {
            std::panic::resume_unwind(failure);
        }
    });
}

/// The refusal of a server: the exit code is 3, and what is said names the cause and another way.
fn refused(server: &Path, scenario: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("run")
        .arg(scenario)
        .args(["--env", "exact", "--target", "valkey", "--server-binary"])
        .arg(server)
        .output()
        .expect("the tool starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("--env processes"), "{said}");
    said
}

#[test]
fn what_cannot_run_in_virtual_time_is_refused_with_what_to_do() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("dsl/kill-primary.yaml");
    let folder = folder("refused");
    std::fs::create_dir_all(&folder).expect("writable");
    let script = folder.join("server");
    std::fs::write(&script, "#!/bin/sh\necho 'Redis server v=7.0.15'\n").expect("writable");
    Command::new("chmod").arg("+x").arg(&script).status().expect("there is chmod");
    let said = refused(&script, &scenario);
    assert!(said.contains("it is no program but a script"), "{said}");

    let (source, program) = (folder.join("static.rs"), folder.join("static"));
    std::fs::write(&source, "fn main() { println!(\"Redis server v=7.0.15\"); }").expect("writable");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let built = Command::new(rustc)
        .args(["--edition", "2021", "-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(&source)
        .output()
        .expect("the compiler that built this test is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let said = refused(&program, &scenario);
    assert!(said.contains("it is statically linked"), "{said}");

    if let Some(server) = installed().first() {
        // What marks a Go program: its table of functions. That it does not run shows here, before it is tried.
        let go = folder.join("go");
        let mut bytes = std::fs::read(server).expect("it is installed");
        bytes.extend_from_slice(b"\0.gopclntab\0");
        std::fs::write(&go, bytes).expect("writable");
        Command::new("chmod").arg("+x").arg(&go).status().expect("there is chmod");
        let said = refused(&go, &scenario);
        assert!(said.contains("it is written in Go"), "{said}");

        let few = Command::new("sh")
            .args(["-c", "ulimit -n 200 && exec \"$0\" run \"$1\" --env exact --server-binary \"$2\""])
            .arg(env!("CARGO_BIN_EXE_fuzz"))
            .arg(&scenario)
            .arg(server)
            .output()
            .expect("there is a shell");
        let said = String::from_utf8_lossy(&few.stderr);
        assert_eq!(few.status.code(), Some(3), "{said}");
        assert!(said.contains("too few files may be open (200), and 1024 are needed"), "{said}");
        assert!(said.contains("hint: ulimit -n 4096; or use --env processes"), "{said}");

        let threads = folder.join("threads.yaml");
        let text = "fuzz: 1\ntarget: valkey\ncluster: {shards: 3, replicas: 1, settings: {io-threads: 4}}\ntimeline: []\n";
        std::fs::write(&threads, text).expect("writable");
        let said = refused(server, &threads);
        assert!(said.contains("io-threads 4"), "{said}");
    }
    std::fs::remove_dir_all(folder).expect("it is ours");
}

#[test]
fn a_campaign_that_was_cut_short_goes_on_where_its_journal_ends() {
    let Some(server) = installed().into_iter().next() else { return };
    let folder = folder("journal");
    std::fs::create_dir_all(&folder).expect("writable");
    let journal = folder.join("journal.jsonl");
    let campaign = |seeds: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
            .args(["bench", "determinism", "--replays", "2", "--seeds", seeds, "--journal"])
            .arg(&journal)
            .arg("--server-binary")
            .arg(&server)
            .arg("--out")
            .arg(folder.join("runs"))
            .output()
            .expect("the tool starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
        (said, std::fs::read_to_string(&journal).expect("it was written"))
    };
    let (said, first) = campaign("1");
    assert!(said.contains("1 seeds, 2 runs, 0 seeds with unequal runs"), "{said}");
    // Killed in the middle of the second line.
    std::fs::write(&journal, format!("{first}{}", &first[..first.len() / 2])).expect("writable");
    let (said, second) = campaign("2");
    assert!(said.contains("2 seeds, 4 runs, 0 seeds with unequal runs"), "{said}");
    assert!(second.starts_with(&first), "what was done is not done again");
    let (_, third) = campaign("2");
    assert_eq!(second, third, "nothing was left to do");
    std::fs::remove_dir_all(folder).expect("it is ours");
}

/// A repro of what a seed makes of a scenario, as a file of the folder.
fn repro(folder: &Path, name: &str, spec: &Spec, seed: u64) -> PathBuf {
    let timeline = generate(spec, Seed(seed), "valkey", &EXACT).expect("it fits the environment");
    let facts = Facts {
        verdict: Verdict::Pass,
        checks: Vec::new(),
        findings: Vec::new(),
        timeline_hash: timeline.hash().to_hex().to_string(),
        schedule_hash: String::new(),
        history_hash: String::new(),
        trace_hash: None,
        image: None,
        schedule: Vec::new(),
        tool: String::new(),
        server: String::new(),
        drawn: None,
        shrunk: None,
    };
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, Repro { timeline, facts }.to_yaml()).expect("writable");
    file
}

#[test]
fn a_replay_stands_at_a_turn_answers_and_goes_on() {
    let Some(server) = installed().into_iter().next() else { return };
    let folder = folder("standing");
    std::fs::create_dir_all(&folder).expect("writable");
    let spec = Spec { length: Some(Millis(500)), ..Spec::quiet(Dialect::Native) };
    let file = repro(&folder, "repro", &spec, 4);
    let mut replay = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("replay")
        .arg(&file)
        .args(["--stop-at-turn", "700", "--server-binary"])
        .arg(&server)
        .arg("--out")
        .arg(folder.join("run"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    replay
        .stdin
        .take()
        .expect("it is a pipe")
        .write_all(b"node-0 PING\nnode-99 PING\nnode-1 CLUSTER INFO\n\n")
        .expect("it reads");
    let output = replay.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("the run stands at turn 700, at ") && said.contains("the server: gdb -p "),
        "{said}"
    );
    assert!(said.contains("+PONG") && said.contains("there is no node-99"), "{said}");
    assert!(said.contains("cluster_known_nodes:6"), "{said}");
    std::fs::remove_dir_all(folder).expect("it is ours");
}

/// What a process of a node did in one of its turns, without the times.
type Done = (String, u64);

/// A turn as the trace tells it: when it began, which it is, what was drawn for it, and what was done.
fn turns(trace: &str) -> Vec<(u64, Done, [String; 2], String)> {
    let turn = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let after = |name: &str| {
            let place = words.iter().position(|word| *word == name)?;
            words.get(place + 1).map(ToString::to_string)
        };
        let which = (after("pid")?, after("turn")?.parse().ok()?);
        let did = ["cause", "on", "reads", "carried"].map(|name| after(name).unwrap_or_default());
        Some((words[0].parse().ok()?, which, [after("cost")?, after("rank")?], did.join(" ")))
    };
    trace.lines().filter_map(turn).collect()
}

/// The trace of a scenario, which two runs agree on, and when its event of this name began.
fn traced(folder: &Path, server: &Path, name: &str, text: &str, event: &str) -> (String, Option<u64>) {
    let spec = parse(text.as_bytes(), &mut Problems::default()).expect("it reads");
    let file = repro(folder, name, &spec, 11);
    let out = folder.join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("replay")
        .arg(&file)
        .args(["--check-determinism", "--server-binary"])
        .arg(server)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the tool starts");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |file: &str| std::fs::read_to_string(out.join("1").join(file)).expect("it was kept");
    let record: serde_json::Value = serde_json::from_str(&read("record.json")).expect("JSON");
    let applied = record["applied"].as_array().expect("a list");
    let began = applied.iter().find(|applied| applied["event"] == event);
    (read("trace.txt"), began.map(|applied| applied["started"].as_u64().expect("a time")))
}

/// An event that is left out takes nothing along but what follows from it: everything before it is the same byte for
/// byte, and every choice afterwards that has the same key, which is a process and the number of its turn.
#[test]
fn choices_survive_the_deletion_of_an_event() {
    const SCENARIO: &str = "fuzz: 1
target: valkey
environment: exact
cluster: {shards: 3, replicas: 1}
load: {clients: 4, rate: 100/s, keys: 100}
length: 7s
timeline:
  - {at: 1s, id: alone, do: {cut: {node: node-5}}, for: 5s}
";
    const EVENTS: [&str; 2] = [
        // Of a node that is cut off from all others.
        "  - {at: 3s, id: gone, do: {pause: {node: node-5}}, for: 1s}\n",
        // Purely local.
        "  - {at: 4s, id: gone, do: {pause: {node: node-3}}, for: 300ms}\n",
    ];
    let folder = folder("choices");
    std::fs::create_dir_all(&folder).expect("writable");
    for server in &installed() {
        let binary = server.file_name().expect("a name").to_string_lossy().into_owned();
        let (without, _) = traced(&folder, server, &format!("{binary}-without"), SCENARIO, "gone");
        for (number, event) in EVENTS.iter().enumerate() {
            let text = format!("{SCENARIO}{event}");
            let (with, began) = traced(&folder, server, &format!("{binary}-with-{number}"), &text, "gone");
            let began = began.expect("it was applied");
            let same = with.lines().zip(without.lines()).take_while(|(one, other)| one == other).count();
            let time = |line: &str| line.split(' ').next().and_then(|word| word.parse::<u64>().ok());
            for trace in [&with, &without] {
                let next = trace.lines().nth(same).and_then(time).expect("the event changes something");
                assert!(next >= began, "{binary}: differs at {next}, before the event at {began}");
            }
            let (with, without) = (turns(&with), turns(&without));
            let known: BTreeMap<&Done, (&[String; 2], &String)> =
                without.iter().map(|(_, which, drawn, did)| (which, (drawn, did))).collect();
            let (mut compared, mut done_alike) = (0u64, BTreeMap::<&str, (u64, u64)>::new());
            for (at, which, drawn, did) in &with {
                let Some((other, did_other)) = known.get(which) else { continue };
                assert_eq!(drawn, *other, "{binary}: turn {} of process {}", which.1, which.0);
                if *at >= began {
                    compared += 1;
                    let node = done_alike.entry(&which.0).or_default();
                    node.0 += u64::from(did == *did_other);
                    node.1 += 1;
                }
            }
            assert!(compared > 1_000, "{binary}: {compared} turns after the event");
            eprintln!(
                "{binary}, event {number}: {compared} turns after it; alike by process: {done_alike:?}"
            );
        }
    }
    std::fs::remove_dir_all(folder).expect("it is ours");
}

#[test]
fn a_turn_that_does_not_end_is_a_finding_with_the_stack_and_a_repro() {
    const SCENARIO: &str = "fuzz: 1
target: valkey
environment: exact
cluster: {shards: 3, replicas: 1}
load: {clients: 2, rate: 20/s}
length: 2s
timeline:
  - {at: 500ms, id: harm, do: {sabotage: {harm: hang, node: node-2}}}
";
    let folder = folder("hang");
    std::fs::create_dir_all(&folder).expect("writable");
    let scenario = folder.join("hang.yaml");
    std::fs::write(&scenario, SCENARIO).expect("writable");
    let servers = installed();
    std::thread::scope(|scope| {
        for server in &servers {
            let (folder, scenario) = (&folder, &scenario);
            scope.spawn(move || {
                let place = folder.join(server.file_name().expect("a name"));
                std::fs::create_dir_all(&place).expect("writable");
                let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
                    .arg("run")
                    .arg(scenario)
                    .args(["--seed", "1", "--format", "json", "--out", "run", "--server-binary"])
                    .arg(server)
                    .current_dir(&place)
                    .output()
                    .expect("the tool starts");
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert_eq!(output.status.code(), Some(1), "{said}");
                let events: Vec<serde_json::Value> =
                    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
                let last = events.last().expect("a last word");
                assert_eq!(last["verdict"], "fail", "{last}");
                let finding = last["findings"][0].as_str().expect("a finding");
                assert!(
                    finding.starts_with("hang: node-2 ") && finding.contains("works and does not come back"),
                    "{finding}"
                );
                let hang = events.iter().find(|event| event["judgement"]["check"] == "hang");
                let evidence = &hang.expect("it was judged")["judgement"]["evidence"];
                assert!(evidence.as_array().is_some_and(|lines| !lines.is_empty()), "{evidence}");
                if Command::new("gdb").arg("--version").output().is_ok_and(|gdb| gdb.status.success()) {
                    assert!(evidence.to_string().contains("lua_pcall"), "{evidence}");
                }
                let repro = place.join(last["repro"].as_str().expect("a repro was saved"));
                let repro = std::fs::read_to_string(repro).expect("it is there");
                assert!(repro.contains("#   hang: node-2 "), "{repro}");
                assert!(left_over(&place.join("run")).is_empty(), "nothing is left behind");
            });
        }
    });
    std::fs::remove_dir_all(folder).expect("it is ours");
}

#[test]
fn a_standing_run_that_is_interrupted_leaves_at_once_and_nothing_behind() {
    const AT_MOST: Duration = Duration::from_secs(2);
    let Some(server) = installed().into_iter().next() else { return };
    let folder = folder("interrupted");
    std::fs::create_dir_all(&folder).expect("writable");
    let file = repro(&folder, "repro", &Spec::quiet(Dialect::Native), 4);
    let run = folder.join("run");
    let replay = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("replay")
        .arg(&file)
        .args(["--stop-at-turn", "700", "--server-binary"])
        .arg(&server)
        .arg("--out")
        .arg(&run)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let limit = Instant::now() + Duration::from_secs(60);
    while !run.join("standing.txt").exists() {
        assert!(Instant::now() < limit, "it does not come to stand");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!left_over(&run).is_empty(), "servers stand");
    let asked = Instant::now();
    kill(Pid::from_raw(replay.id() as i32), Signal::SIGINT).expect("it is there");
    let output = replay.wait_with_output().expect("it ends");
    let took = asked.elapsed();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(took < AT_MOST, "it took {took:?}: {said}");
    assert!(left_over(&run).is_empty(), "nothing is left behind");
    std::fs::remove_dir_all(folder).expect("it is ours");
}

const REDIS: &[&str] = &["Redis server v=7.0."];
const VALKEY: &[&str] = &["Valkey server v=8.0.1"];
const BOTH: &[&str] = &[REDIS[0], VALKEY[0]];

/// A finding in `repro/`, the servers that have it, and how its telling begins there. On the others it passes.
const FINDINGS: &[(&str, &[&str], &str)] = &[
    ("slot_coverage-redis-7.0.15-import", REDIS, "FAILED seed 1: slot_coverage: slots 0-5460"),
    ("slot_coverage-redis-7.0.15-owner-bit", REDIS, "FAILED seed 1: slot_coverage: slots 1 have no owner"),
    ("crash-redis-7.0.15-nodes-conf", REDIS, "FAILED seed 1: crash: 1 process(es) ended by themselves"),
    ("crash-valkey-8.0.1-shard-id", VALKEY, "FAILED seed 1: crash: 1 process(es) ended by themselves"),
    ("view_agreement-valkey-8.0.1-epoch", VALKEY, "FAILED seed 305: view_agreement: 1 "),
    ("slot_coverage-redis-7.0.15-half-moved", REDIS, "FAILED seed 63: slot_coverage: slots 0-5460"),
    ("data_consistency-redis-7.0.15-dirty-slots", REDIS, "FAILED seed 95: data_consistency: "),
    ("data_consistency-redis-7.0.15-stale-offset", REDIS, "FAILED seed 125: data_consistency: "),
    ("topology-redis-7.0.15-sub-replica", REDIS, "FAILED seed 281: topology: 13 thing(s) out of place"),
    (
        "slot_coverage-redis-7.0.15-valkey-8.0.1-old-epoch",
        BOTH,
        "FAILED seed 2: slot_coverage: slots 0-5460 of node-0, away",
    ),
    ("topology-valkey-8.0.1-two-roles", VALKEY, "FAILED seed 581: view_agreement: 1 "),
    ("view_agreement-valkey-8.0.1-two-primaries", VALKEY, "FAILED seed 1: view_agreement: 1 "),
];

#[test]
fn a_saved_finding_comes_back_on_the_server_that_has_it_and_not_on_the_other() {
    for server in installed() {
        let asked = Command::new(&server).arg("--version").output().expect("it is installed");
        let version = String::from_utf8_lossy(&asked.stdout).into_owned();
        let has = |servers: &[&str]| servers.iter().any(|server| version.starts_with(server));
        if !has(BOTH) {
            println!("skipped: nobody knows of these findings in {version}");
            continue;
        }
        for (name, has_it, told) in FINDINGS {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("repro/{name}.yaml"));
            let folder = folder(name);
            let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
                .arg("replay")
                .arg(&file)
                .args(["--quiet", "--server-binary"])
                .arg(&server)
                .arg("--out")
                .arg(&folder)
                .output()
                .expect("the tool starts");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let expected = if has(has_it) { told } else { "PASSED" };
            assert!(
                said.contains(expected),
                "{name} on {version}: {said}{}",
                String::from_utf8_lossy(&output.stderr)
            );
            std::fs::remove_dir_all(folder).expect("it is ours");
        }
    }
}

/// Of `examples/what-is-lost`: the acknowledged writes that were lost, and those of them that `WAIT` had confirmed.
fn lost(server: &Path, name: &str) -> (u64, Option<u64>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/what-is-lost/{name}.yaml"));
    let out = folder(name);
    let output = Command::new(env!("CARGO_BIN_EXE_fuzz"))
        .arg("run")
        .arg(file)
        .args(["--seed", "1", "--env", "exact", "--server-binary"])
        .arg(server)
        .arg("--out")
        .arg(&out)
        .output()
        .expect("the tool starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(out).expect("it is ours");
    let line = said.lines().find(|line| line.contains("Acknowledged Loss")).expect("judged");
    let mut counts = line.split("; ").filter_map(|part| {
        let count = part.strip_suffix(" lost")?.rsplit(' ').next()?;
        count.parse::<u64>().ok()
    });
    (counts.next().unwrap_or_else(|| panic!("{line}")), counts.next())
}

#[test]
fn a_cut_off_primary_loses_what_it_acknowledged_and_wait_confirms_none_of_that() {
    for server in installed() {
        let (cut, confirmed) = lost(&server, "cut");
        assert!(cut > 0 && confirmed.is_none(), "{} lost {cut}", server.display());
        for name in ["cut-wait", "killed-wait", "paused-wait"] {
            assert_eq!(lost(&server, name).1, Some(0), "{name} on {}", server.display());
        }
        for name in ["killed", "paused"] {
            let (few, _) = lost(&server, name);
            assert!(few < cut, "{name} on {}: {few}, cut off {cut}", server.display());
        }
    }
}
