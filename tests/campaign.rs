//! `fuzz campaign` as people start it, on the embedded target: what it finds is small, saved and counted once; killed at
//! any moment it goes on where it was; and its results can be asked.

mod command;
mod servers;

use command::{Place, Said};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A small cluster under a small load, with a bug that a cut brings out.
const SCENARIO: &str = "fuzz: 1
target: embedded
cluster: {shards: 3, replicas: 1}
load: {clients: 3, rate: 60/s, keys: 8}
bugs: [two_owners_after_slot_move]
draw: {events: 2..4, over: 3s..4s, from: [pause, slow, reshard]}
checks: default
";

fn place(name: &str) -> Place {
    let place = Place::new(name);
    place.write("bug.yaml", SCENARIO);
    place.write("well.yaml", &SCENARIO.replace("bugs: [two_owners_after_slot_move]\n", ""));
    place
}

/// What a question to the results answers: the cells of each line after the titles.
fn ask(place: &Place, question: &[&str]) -> Vec<Vec<String>> {
    let said = place.fuzz(&[&["results"], question].concat());
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let cells = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(String::from).collect()
    };
    said.out.lines().skip(1).filter(|line| *line != "nothing").map(cells).collect()
}

fn files(place: &Place, folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.path.join(folder)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[track_caller]
fn ends(said: &Said, code: i32, words: &[&str]) {
    let all = format!("{}{}", said.out, said.err);
    assert_eq!(said.code, code, "{all}");
    for word in words {
        assert!(all.contains(word), "no `{word}` in: {all}");
    }
}

#[test]
fn a_failure_is_found_shrunk_saved_and_told_once() {
    let place = place("campaign-finds");
    let said =
        place.fuzz(&["campaign", "--spec", "bug.yaml", "--runs", "12", "--seed", "3", "--corpus", "corpus"]);
    ends(
        &said,
        1,
        &["1 finding:", "slot_coverage: 1 event on", "(reshard), fails in each of 2 runs, exactly"],
    );
    let failures = ask(&place, &["failures"]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    let met: u64 = failures[0][3].parse().expect("a number");
    assert!(met > 1, "several runs met it: {failures:?}");
    let [repro] = &files(&place, "repro", ".yaml")[..] else { panic!("one repro") };
    let again = place.fuzz(&["replay", &repro.to_string_lossy(), "--expect", "fail"]);
    ends(&again, 0, &["slot_coverage"]);
    let page = fs::read_to_string(repro.with_extension("md")).expect("it has a page");
    for part in
        ["# slot_coverage: ", "It must hold that", "fuzz replay ", "## What happens", "reshard", "## The run"]
    {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    // It has a page beside its results, which can be had again.
    assert!(said.out.contains("the page of it: results-1.html"), "{}", said.out);
    let page = fs::read_to_string(place.path.join("results-1.html")).expect("it was written");
    for part in [
        "12 runs found one failure. It is new.",
        "fuzz campaign --spec bug.yaml",
        "href=\"repro/slot_coverage-embedded-",
    ] {
        assert!(page.contains(part), "no `{part}` in {page}");
    }
    let again = place.fuzz(&["results", "--html", "results-1.html", "--campaign", "1"]);
    ends(&again, 0, &["campaign 1: results-1.html"]);
    assert_eq!(fs::read_to_string(place.path.join("results-1.html")).expect("it is there"), page);
    assert_eq!(place.fuzz(&["results", "--html", "x.html", "--campaign", "9"]).code, 2);
    // What was kept is read again, and reaches what it reached.
    let kept = files(&place, "corpus", ".yaml");
    assert!(!kept.is_empty());
    let text = fs::read_to_string(&kept[0]).expect("it is there");
    assert!(text.starts_with("# Kept by a campaign, for it was the first to reach:\n#   "), "{text}");
    let said = place.fuzz(&["corpus", "minimize", "corpus", "--dry-run"]);
    ends(&said, 0, &["can go; the rest reaches the same"]);
    assert_eq!(files(&place, "corpus", ".yaml").len(), kept.len(), "nothing is gone");
    // A night later it is known.
    let said = place.fuzz(&["campaign", "--spec", "bug.yaml", "--runs", "6", "--seed", "50"]);
    ends(&said, 1, &["1 finding:"]);
    assert!(!said.err.contains("run 0: slot_coverage"), "it is not found anew: {}", said.err);
    let failures = ask(&place, &["failures"]);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(failures[0][3].parse::<u64>().expect("a number") > met, "{failures:?}");
    assert_eq!(ask(&place, &["campaigns"]).len(), 2);
}

#[test]
fn killed_at_any_moment_it_goes_on_and_counts_nothing_twice() {
    const RUNS: usize = 14;
    let place = place("campaign-killed");
    let runs = RUNS.to_string();
    let arguments = ["campaign", "--spec", "well.yaml", "--runs", &runs, "--seed", "1"];
    let mut killed = 0;
    loop {
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut patience = 12 + 8 * killed;
        let ended = loop {
            match child.try_wait().expect("it is ours") {
                Some(status) => break Some(status),
                None if patience == 0 => break None,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
            patience -= 1;
        };
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(0));
            break;
        }
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        killed += 1;
        assert!(killed < 60, "it never gets to its end");
    }
    assert!(killed > 1, "it was killed on the way");
    let campaigns = ask(&place, &["campaigns"]);
    assert_eq!(campaigns.len(), 1, "each part went on with the same: {campaigns:?}");
    assert_eq!(campaigns[0][5], runs, "{campaigns:?}");
    let numbers: BTreeSet<String> =
        ask(&place, &["slowest", "--lines", "1000"]).into_iter().map(|row| row[1].clone()).collect();
    assert_eq!(numbers, (0..RUNS).map(|number| number.to_string()).collect());
    // The same again is another campaign, since this one came to its end.
    ends(
        &place.fuzz(&["campaign", "--spec", "well.yaml", "--runs", "1", "--seed", "1"]),
        0,
        &["campaign 2: guided"],
    );
}

#[test]
fn parts_share_no_run_and_two_campaigns_are_compared() {
    let place = place("campaign-parts");
    let common = ["campaign", "--mode", "random", "--seed", "5", "--runs", "3", "--spec"];
    for shard in ["1/2", "2/2"] {
        ends(
            &place.fuzz(&[&common[..], &["well.yaml", "--shard", shard]].concat()),
            0,
            &["\n3     3       0          0      0 "],
        );
    }
    let runs = ask(&place, &["slowest", "--lines", "100"]);
    let numbers: BTreeSet<&String> = runs.iter().map(|row| &row[1]).collect();
    assert_eq!(numbers.len(), 6, "{runs:?}");
    let said = place.fuzz(&["results", "--compare", "1", "2"]);
    ends(&said, 4, &["0 runs of the same timelines", "mode `random`"]);
    ends(
        &place.fuzz(&[&common[..], &["well.yaml", "--shard", "1/2", "--fresh"]].concat()),
        0,
        &["campaign 3"],
    );
    let said = place.fuzz(&["results", "--compare", "1", "3"]);
    ends(&said, 0, &["3 runs of the same timelines, 3 with the same verdict", "mean latency, us"]);
    let said = place.fuzz(&["results", "--compare", "1", "3", "--html", "two.html"]);
    ends(&said, 0, &["the page of both: two.html"]);
    let page = fs::read_to_string(place.path.join("two.html")).expect("it was written");
    assert!(page.contains("Of 3 timelines that both ran, every one ended alike."), "{page}");
    for question in ["failures", "flakiest", "failover", "rare"] {
        ask(&place, &[question, "--since", "1d"]);
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let place = place("campaign-refused");
    ends(&place.fuzz(&["campaign", "--seed", "1"]), 2, &["--budget"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--shard", "3/2"]), 2, &["2/4"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--quota", "much"]), 2, &["500MB"]);
    ends(&place.fuzz(&["campaign", "--runs", "1", "--spec", "none.yaml"]), 2, &["none.yaml"]);
    ends(&place.fuzz(&["results"]), 2, &["there are no results", "fuzz campaign"]);
    place.write(
        "text.db",
        "this is no database, though it is long enough to look like something that was kept",
    );
    ends(&place.fuzz(&["results", "--results", "text.db"]), 3, &["text.db", "not a database"]);
    assert!(files(&place, "runs", "").is_empty(), "nothing ran");
}

#[test]
fn servers_are_compared_seed_by_seed_and_the_first_that_fails_is_found() {
    let servers = servers::installed();
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))) || servers.is_empty() {
        println!("skipped: no server runs in virtual time here");
        return;
    }
    let place = Place::new("campaign-servers");
    let name = |server: &PathBuf| server.to_string_lossy().into_owned();
    // The same one twice differs in nothing.
    let one = name(&servers[0]);
    let said = place.fuzz(&[
        "diff",
        "--server",
        &one,
        "--server",
        &one,
        "--seeds",
        "1",
        "--shards",
        "3",
        "--replicas",
        "1",
    ]);
    ends(&said, 0, &["0 of 1 seeds differ"]);
    ends(&place.fuzz(&["diff", "--server", &one]), 2, &["twice or more"]);
    let redis = servers.iter().find(|server| server.ends_with("redis-server")).map(name);
    let valkey = servers.iter().find(|server| server.ends_with("valkey-server")).map(name);
    let (Some(redis), Some(valkey)) = (redis, valkey) else { return };
    let repro = concat!(env!("CARGO_MANIFEST_DIR"), "/repro/slot_coverage-redis-7.0.15-import.yaml");
    let list = format!("{valkey},{valkey},{redis}");
    ends(
        &place.fuzz(&["bisect", repro, "--servers", &list]),
        1,
        &["the first that fails is", "redis-server", "passes"],
    );
    let list = format!("{redis},{valkey}");
    ends(&place.fuzz(&["bisect", repro, "--servers", &list]), 0, &["it passes on the last one"]);
}

/// Reads on, so that whoever writes is not held up.
#[expect(clippy::disallowed_methods, reason = "it waits for another process")]
fn drained(lines: impl Iterator<Item = String> + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || lines.for_each(drop))
}

/// What is answered at this address: the status line and the text.
fn get(address: &str, question: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("somebody answers");
    write!(stream, "{question} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
    let mut all = String::new();
    stream.read_to_string(&mut all).expect("text");
    let (head, body) = all.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().unwrap_or_default().into(), body.into())
}

#[test]
fn prometheus_reads_what_a_campaign_did() {
    let place = place("campaign-metrics");
    let arguments = [
        "campaign",
        "--spec",
        "bug.yaml",
        "--budget",
        "10m",
        "--seed",
        "3",
        "--metrics-addr",
        "0",
        "--no-shrink",
    ];
    let mut child =
        place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let address = said
        .find_map(|line| Some(line.strip_prefix("metrics: http://")?.strip_suffix("/metrics")?.to_string()))
        .expect("it says where");
    // It goes on saying what it finds.
    let rest = drained(said);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert!(get(&address, "GET /").0.contains("404"));
    assert!(get(&address, "POST /metrics").0.contains("405"));
    let mut tries = 0;
    let (text, values) = loop {
        let (status, text) = get(&address, "GET /metrics");
        assert!(status.contains("200 OK"), "{status}");
        let values: BTreeMap<String, u64> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').expect("a name and a value"))
            .map(|(name, value)| (name.to_string(), value.parse::<f64>().expect("a number").ceil() as u64))
            .collect();
        let of = |name: &str| values.get(name).copied().unwrap_or(0);
        // The gauges follow twice a second.
        let seen = of("seedfault_runs_total{verdict=\"fail\"}") >= 2
            && of("seedfault_findings{check=\"slot_coverage\"}") >= 1;
        if seen || tries > 600 {
            break (text, values);
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(100));
    };
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    rest.join().expect("it reads");
    assert!(text.ends_with("# EOF\n"), "{text}");
    let of = |name: &str| *values.get(name).unwrap_or_else(|| panic!("no {name} in {text}"));
    assert!(of("seedfault_runs_total{verdict=\"fail\"}") >= 2, "{text}");
    assert!(of("seedfault_finding_runs_total{check=\"slot_coverage\"}") >= 2, "{text}");
    assert_eq!(of("seedfault_runs_total{verdict=\"broken\"}"), 0);
    let all: u64 = ["pass", "fail", "unknown", "broken"]
        .iter()
        .map(|verdict| of(&format!("seedfault_runs_total{{verdict=\"{verdict}\"}}")))
        .sum();
    assert_eq!(of("seedfault_run_duration_seconds_count"), all);
    assert_eq!(of("seedfault_run_duration_seconds_bucket{le=\"+Inf\"}"), all);
    for name in [
        "seedfault_features{family=\"client\"}",
        "seedfault_timelines_kept",
        "seedfault_runs_side_by_side",
        "seedfault_scenarios_per_hour",
        "seedfault_campaign_spent_seconds",
        "seedfault_campaign_left_seconds",
    ] {
        assert!(of(name) > 0, "{name} in {text}");
    }
    assert!(text.contains("# TYPE seedfault_runs counter\n"), "{text}");
    assert!(values.keys().any(|name| name.contains("target=\"embedded\"")), "{text}");
    // The judge of Prometheus's own, where it is installed.
    if let Ok(mut judge) = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn() {
        judge.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
        println!("promtool: {}", judge.wait().expect("it ends"));
    }
}

#[test]
fn continuous_integration_is_told_in_its_own_words() {
    let place = place("campaign-ci");
    let summary = place.path.join("summary.md");
    fs::write(&summary, "what stood there\n").expect("the folder can be written");
    let run = |spec: &str| {
        let mut command = place.command(&["campaign", "--spec", spec, "--runs", "4", "--seed", "3"]);
        command
            .args(["--junit", "junit.xml"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", &summary);
        command::said(command.output().expect("it starts"))
    };
    let said = run("bug.yaml");
    ends(
        &said,
        1,
        &["runs  passed  undecided", "\n::error file=repro/slot_coverage-embedded-", "title=slot_coverage::"],
    );
    let text = fs::read_to_string(&summary).expect("it is there");
    for part in [
        "what stood there\n### campaign 1: 4 runs in ",
        "| slot\\_coverage |",
        "`fuzz replay repro/",
        "each of 2",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let table: Vec<usize> = text.lines().filter(|line| line.starts_with('|')).map(columns).collect();
    assert_eq!(table, [8, 8, 8, 7, 7, 7], "{text}");
    let xml = fs::read_to_string(place.path.join("junit.xml")).expect("it is there");
    for part in [
        "<testsuite name=\"campaign 1\" tests=\"2\" failures=\"1\" errors=\"0\"",
        "<testcase classname=\"seedfault.embedded\" name=\"slot_coverage (slot_coverage-embedded-",
        "fuzz replay repro/",
    ] {
        assert!(xml.contains(part), "no {part:?} in {xml}");
    }
    let said = run("well.yaml");
    ends(&said, 0, &["no findings"]);
    assert!(!said.out.contains("::error"), "{}", said.out);
    assert!(fs::read_to_string(&summary).expect("it is there").ends_with("No findings.\n\n"));
    let xml = fs::read_to_string(place.path.join("junit.xml")).expect("it is there");
    assert!(xml.contains("tests=\"1\" failures=\"0\" errors=\"0\""), "{xml}");
    let said = place.fuzz(&["campaign", "--runs", "1", "--target", "embedded", "--junit", "none/junit.xml"]);
    ends(&said, 3, &["there is no folder none"]);
}

#[test]
fn what_is_left_out_is_not_drawn_and_does_not_come_back_by_changes() {
    let place = place("campaign-without");
    let common = ["campaign", "--spec", "bug.yaml", "--seed", "3", "--corpus", "corpus", "--runs"];
    // The bug needs what is left out.
    let said = place.fuzz(&[&common[..], &["44", "--exclude", "reshard"]].concat());
    ends(&said, 0, &["no findings"]);
    let kept = files(&place, "corpus", ".yaml");
    let texts: Vec<String> = kept.iter().map(|path| fs::read_to_string(path).expect("it is there")).collect();
    assert!(texts.iter().all(|text| !text.contains("do: {reshard")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("do: {pause")), "{texts:?}");
    let origins = ask(&place, &["slowest", "--lines", "100"]);
    assert_eq!(origins.len(), 44, "{origins:?}");
    // It is another campaign than without the flag, and what is left in can be said as well.
    let said =
        place.fuzz(&["campaign", "--spec", "bug.yaml", "--seed", "3", "--runs", "6", "--include", "reshard"]);
    ends(&said, 1, &["campaign 2", "1 finding:"]);
    let said = place.fuzz(&[
        "generate",
        "--spec",
        "bug.yaml",
        "--seed",
        "4",
        "--include",
        "slow,pause",
        "--exclude",
        "pause",
    ]);
    ends(&said, 0, &["  slow "]);
    assert!(!said.out.contains("  pause ") && !said.out.contains("  reshard "), "{}", said.out);
    // A command that brings a run back says it too.
    let said =
        place.fuzz(&["--spec", "well.yaml", "--seed", "4", "--exclude", "reshard,slow", "-q", "--no-shrink"]);
    ends(&said, 0, &["PASSED"]);
    let verdict = files(&place, "runs", "-4").pop().expect("its folder").join("verdict.json");
    let text = fs::read_to_string(verdict).expect("it is there");
    assert!(text.contains("--exclude reshard,slow"), "{text}");
    for (flags, words) in [
        (["--exclude", "reshad"], "did you mean `reshard`?"),
        (["--include", "kill"], "leave nothing that the scenario draws"),
    ] {
        ends(
            &place.fuzz(&[&["campaign", "--spec", "bug.yaml", "--runs", "1"], &flags[..]].concat()),
            2,
            &[words],
        );
    }
}

#[test]
fn on_a_terminal_a_few_lines_stand_below_what_is_said() {
    let place = place("campaign-terminal");
    let tool = env!("CARGO_BIN_EXE_fuzz");
    let line = format!("{tool} campaign --spec bug.yaml --runs 12 --seed 3 --no-shrink");
    // A terminal of its own, by util-linux.
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .current_dir(&place.path)
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    let Ok(output) = script.output() else {
        println!("skipped: no `script` here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("\u{1b}[?7lcampaign 1 on embedded in sim: "), "{text}");
    for part in ["\nruns      ", "\nfeatures  ", "\nfindings  1\n", "\nfailed    run ", "A\r\u{1b}[J"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    // What stood is gone at the end, and the summary stays.
    let (before, last) = text.rsplit_once("\u{1b}[J").expect("it was taken away");
    assert!(before.contains("failed    run"), "{text}");
    assert!(!last.contains('\u{1b}') && last.contains("1 finding:"), "{last}");
    // Elsewhere nothing is drawn.
    let said = place.fuzz(&["campaign", "--spec", "well.yaml", "--runs", "2", "--seed", "3"]);
    ends(&said, 0, &["no findings"]);
    assert!(!format!("{}{}", said.out, said.err).contains('\u{1b}'));
}
