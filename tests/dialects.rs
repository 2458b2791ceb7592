//! The two dialects of valkey-fuzzer: files that must run as they are, what is remarked on them, and what is
//! said of those that are wrong, to the character.
//!
//! The files beside this test are our own. Where a folder `shared/dialects` is at hand (beside the repository,
//! or named by `SEEDFAULT_SHARED`), its files and tables are held against the reader as well.

use proptest::prelude::*;
use seedfault::catalogue::{Action, NodeSelector};
use seedfault::entropy::Seed;
use seedfault::env::PROCESSES;
use seedfault::spec::Spec;
use seedfault::spec::parse::parse;
use seedfault::timeline::{Start, Timeline, generate};
use seedfault::yaml::document::{Problem, Problems, Severity};
use std::fs;
use std::path::{Path, PathBuf};

fn folders() -> Vec<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared =
        std::env::var_os("SEEDFAULT_SHARED").map_or_else(|| repository.join("../shared"), PathBuf::from);
    let mut folders = vec![repository.join("tests/dialects")];
    if shared.join("dialects").is_dir() {
        folders.push(shared.join("dialects"));
    }
    folders
}

fn scenarios(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "{} holds no scenario", folder.display());
    found
}

fn read(path: &Path) -> (Option<Spec>, Vec<Problem>) {
    let bytes = fs::read(path).expect("a file");
    let mut problems = Problems::default();
    let spec = parse(&bytes, &mut problems);
    (spec, problems.list)
}

fn own(name: &str) -> Spec {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects").join(name);
    let (spec, problems) = read(&path);
    spec.unwrap_or_else(|| panic!("{name}: {problems:#?}"))
}

fn timeline(spec: &Spec, seed: u64) -> Timeline {
    generate(spec, Seed(seed), "valkey", &PROCESSES).expect("valkey offers all of it")
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}

/// A row of a table: file, line, column, offending text, hint, severity.
struct Row {
    file: String,
    place: Option<(u32, u32)>,
    offending: String,
    hint: String,
    severity: Severity,
}

fn table(path: &Path, default: Severity) -> Vec<Row> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let row = |line: &str| {
        let mut cells = line.split('\t');
        let mut next = || cells.next().map(str::to_owned);
        let (file, line, column) = (next()?, next()?, next()?);
        Some(Row {
            file,
            place: line.parse().ok().zip(column.parse().ok()),
            offending: next()?,
            hint: next()?,
            severity: next().map_or(default, |word| match word.as_str() {
                "warning" => Severity::Warning,
                _ => Severity::Error,
            }),
        })
    };
    text.lines().skip(1).map(|line| row(line).unwrap_or_else(|| panic!("a row: {line}"))).collect()
}

/// Lower case, without backticks and without what stands in parentheses at the end of a table's hint.
fn bare(text: &str) -> String {
    let text = text.to_lowercase().replace(['`', ';', ',', '(', ')'], " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn fits(row: &Row, problem: &Problem) -> bool {
    let said = bare(&format!("{} {}", problem.message, problem.hint.clone().unwrap_or_default()));
    let place = problem.span.map(|span| (span.line, span.column));
    let hint = row.hint.split(" (position free").next().unwrap_or_default();
    let free = row.place.is_none();
    (free || place == row.place)
        && (row.offending == "-" || problem.offending.replace('"', "") == row.offending.replace('"', ""))
        && problem.severity == row.severity
        && bare(hint).split(' ').all(|word| said.contains(word))
}

/// Every row has its problem and every problem of that severity its row.
fn holds(file: &str, rows: &[&Row], problems: &[Problem], severity: Severity) {
    let found: Vec<&Problem> = problems.iter().filter(|problem| problem.severity == severity).collect();
    for row in rows {
        assert!(
            found.iter().any(|problem| fits(row, problem)),
            "{file}: nothing says `{}`: {problems:#?}",
            row.hint
        );
    }
    assert_eq!(found.len(), rows.len(), "{file}: {problems:#?}");
}

#[test]
fn valid_files_run_with_exactly_the_remarks_that_are_listed() {
    for folder in folders() {
        for part in ["older", "newer", "hybrid"] {
            let listed = folder.join(part).join("warnings.tsv");
            let rows = if listed.is_file() { table(&listed, Severity::Warning) } else { Vec::new() };
            for path in scenarios(&folder.join(part)) {
                let (spec, problems) = read(&path);
                let file = name(&path);
                let spec = spec.unwrap_or_else(|| panic!("{}: {problems:#?}", path.display()));
                let mine: Vec<&Row> = rows.iter().filter(|row| row.file == file).collect();
                holds(&file, &mine, &problems, Severity::Warning);
                let timeline = timeline(&spec, spec.seed.map_or(7, |seed| seed.0));
                assert!(!timeline.events.is_empty(), "{file}");
                // What is printed is the timeline: it reads back to the same value.
                let text = timeline.to_yaml();
                let mut again = Problems::default();
                let back = parse(text.as_bytes(), &mut again)
                    .unwrap_or_else(|| panic!("{file}: {again:#?}\n{text}"));
                let back = generate(&back, timeline.seed, "valkey", &PROCESSES).expect("nothing is drawn");
                assert_eq!(back, timeline, "{file}");
            }
        }
    }
}

#[test]
fn invalid_files_are_told_all_their_mistakes_at_their_places() {
    for folder in folders() {
        let rows = table(&folder.join("invalid/expected.tsv"), Severity::Error);
        for path in scenarios(&folder.join("invalid")) {
            let file = name(&path);
            let (spec, problems) = read(&path);
            assert_eq!(spec, None, "{file}");
            let mine: Vec<&Row> = rows.iter().filter(|row| row.file == file).collect();
            assert!(!mine.is_empty(), "{file} is not in the table");
            holds(&file, &mine, &problems, Severity::Error);
        }
    }
}

fn told(timeline: &Timeline) -> Vec<String> {
    timeline
        .events
        .iter()
        .map(|event| {
            let start = match &event.start {
                Start::At(at) => format!("at {at}"),
                Start::After(ids) => format!("after {}", ids.join(" ")),
                Start::With(id) => format!("with {id}"),
                other => format!("{other:?}"),
            };
            let delay = if event.delay.0 == 0 { String::new() } else { format!(" + {}", event.delay) };
            format!("{}: {start}{delay}: {}", event.id, event.action.to_flow())
        })
        .collect()
}

#[test]
fn waves_start_together_with_a_look_in_between() {
    let timeline = timeline(&own("newer/02-two-waves.yaml"), 77);
    let told = told(&timeline);
    assert_eq!(
        told.iter().map(|line| line.split(": {").next().unwrap_or_default()).collect::<Vec<_>>(),
        [
            "failover-1: at 1s300ms + 250ms",
            "failover-2: at 1s300ms",
            "failover-3: at 1s300ms",
            "check-1: after failover-1 failover-2 failover-3 + 1s500ms",
            "failover-4: after check-1",
            "check-2: after failover-4",
        ],
        "{told:#?}"
    );
    assert!(told[1].contains("port-23103") && told[1].contains("force"), "{told:#?}");
    assert!(matches!(&timeline.events[3].action, Action::Check(look) if look.blocking
        && (look.stabilize.0, look.within.0) == (1500, 19_000)
        && look.checks == ["slot_coverage", "quorum", "view_agreement"]
        && look.critical == ["slot_coverage", "quorum"]));
    assert_eq!(timeline.cluster.node_timeout().0, 1000);
    assert_eq!(timeline.cluster.base_port, Some(23_100));
}

#[test]
fn all_moments_of_an_operation_share_its_target() {
    let timeline = timeline(&own("newer/03-three-moments.yaml"), 78);
    let kills: Vec<NodeSelector> = timeline
        .events
        .iter()
        .filter_map(|event| match &event.action {
            Action::Kill(kill) => Some(kill.node.clone()),
            _ => None,
        })
        .collect();
    let same = NodeSelector::SameAs("aim-1".into());
    assert_eq!(kills, [same.clone(), same.clone(), same]);
    assert!(
        matches!(&timeline.events[0].action, Action::Aim(aim) if aim.spare_shard && aim.node == NodeSelector::AnyReplica)
    );
    let told = told(&timeline);
    assert!(told.iter().any(|line| line.starts_with("kill-1-after: after failover-1 + 2s")), "{told:#?}");
}

#[test]
fn dice_fall_by_the_seed_and_the_number_of_the_operation() {
    let spec = own("newer/04-dice.yaml");
    assert_eq!(timeline(&spec, 1), timeline(&spec, 1));
    let kills =
        |seed| told(&timeline(&spec, seed)).into_iter().filter(|line| line.starts_with("kill")).collect();
    let drawn: Vec<Vec<String>> = (0..20).map(kills).collect();
    assert!(drawn.iter().all(|kills| kills.len() == 3), "{drawn:#?}");
    assert!(drawn.iter().any(|kills| *kills != drawn[0]), "{drawn:#?}");
    assert!(drawn.iter().flatten().any(|kill| kill.contains("any-of-node-2-node-5")), "{drawn:#?}");
}

#[test]
fn the_older_dialect_strikes_once_where_it_says() {
    let timeline = timeline(&own("older/01-plain.yaml"), 5);
    let told = told(&timeline);
    let begins = |start: &str| told.iter().any(|line| line.starts_with(start));
    assert!(begins("kill-1: at 1s500ms + 500ms: {kill: {node: shard-0-primary, signal: TERM"), "{told:#?}");
    assert!(begins("failover-1: at 1s500ms + 500ms"), "{told:#?}");
    assert!(begins("kill-2: after failover-1 + 1s: {kill: {node: shard-2-any-replica"), "{told:#?}");
    assert_eq!((timeline.load.rate.0, timeline.load.stop.map(|stop| stop.0)), (50, Some(12_000)));
    let names: Vec<&str> = timeline.checks.iter().map(seedfault::catalogue::CheckSpec::name).collect();
    assert_eq!(names, ["slot_coverage", "replication_lag", "convergence_time", "crash"]);
}

#[test]
fn operations_on_one_shard_run_in_order_and_no_earlier_than_said() {
    let timeline = timeline(&own("older/02-in-order.yaml"), 5);
    let told = told(&timeline);
    assert!(told.iter().any(|line| line.starts_with("failover-2: after failover-1 due-2:")), "{told:#?}");
    assert!(told.iter().any(|line| line.starts_with("failover-3: at 6s:")), "{told:#?}");
    assert!(timeline.load.is_none());
}

fn all_files() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialects");
    let parts = ["older", "newer", "hybrid", "invalid"];
    let paths = parts.iter().flat_map(|part| scenarios(&root.join(part)));
    paths.map(|path| fs::read(path).expect("a file")).collect()
}

const WORDS: &[&str] = &[
    "null",
    "-1",
    "1e308",
    "\"\"",
    "[]",
    "{}",
    "shard-99999999999-primary",
    "0x10",
    "*a",
    "true",
    ".inf",
    "\t",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines are dropped, doubled and moved, values replaced: a spec or a reason comes out, never a panic.
    #[test]
    fn any_mutation_of_a_file_is_read_or_refused(
        file in 0..15usize,
        changes in proptest::collection::vec((0..4u8, any::<proptest::sample::Index>(), 0..WORDS.len()), 1..6),
    ) {
        let files = all_files();
        let text = String::from_utf8_lossy(&files[file % files.len()]).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (kind, place, word) in changes {
            if lines.is_empty() {
                break;
            }
            let at = place.index(lines.len());
            match kind {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => {
                    let key = lines[at].split(':').next().unwrap_or_default().to_owned();
                    lines[at] = format!("{key}: {}", WORDS[word]);
                }
                _ => lines[at] = lines[at].replacen(|c: char| c.is_ascii_digit(), WORDS[word], 1),
            }
        }
        let text = lines.join("\n");
        let mut problems = Problems::default();
        match parse(text.as_bytes(), &mut problems) {
            Some(spec) => drop(generate(&spec, Seed(1), "valkey", &PROCESSES)),
            None => prop_assert!(problems.list.iter().any(|p| p.severity == Severity::Error), "{text}"),
        }
    }
}
