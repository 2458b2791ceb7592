//! Time and memory of the judges of transactions, on histories from a seed.
//!
//! `cargo bench -p seedfault-judge --bench txn [CASE]`. Each case is written to a file by one process and read and
//! judged by another, so that its peak memory is that of `fuzz check`: the program calls itself. Times are of the
//! processor, the best of three, of the judge and of the reading of the text; beside them stands what is asked.

mod measure;

use judge::generate::Random;
use judge::generate::txn::{Draft, Shape, Workload, draft, needle, stale_end};
use judge::read::{self, Shaping};
use judge::{Budget, Options, model};
use measure::{cpu_seconds, peak_mb, write_lines};
use std::io::Write as _;
use std::path::{Path, PathBuf};

struct Case {
    name: &'static str,
    model: &'static str,
    claim: &'static str,
    asked: &'static str,
    draft: fn() -> Draft,
}

fn shape(txns: u32) -> Shape {
    Shape { txns, clients: 10, keys: 10, mops: 4, fails: 2, infos: 1, ..Shape::default() }
}

const CASES: &[Case] = &[
    Case {
        name: "list-append, 100,000",
        model: "list-append",
        claim: "strict-serializable",
        asked: "0.5 s with reading",
        draft: || draft(1, &shape(100_000), false),
    },
    Case {
        name: "list-append, 1,000,000",
        model: "list-append",
        claim: "strict-serializable",
        asked: "5 s with reading",
        draft: || draft(2, &shape(1_000_000), false),
    },
    Case {
        name: "list-append, 100,000 under SI",
        model: "list-append",
        claim: "strict-serializable",
        asked: "0.5 s with reading",
        draft: || draft(3, &Shape { infos: 0, ..shape(100_000) }, true),
    },
    Case {
        name: "one component of 60,000 events",
        model: "list-append",
        claim: "strict-serializable",
        asked: "1 s with reading",
        draft: || stale_end(4, &shape(30_000)),
    },
    Case {
        name: "spoiled reads in 60,000 events",
        model: "list-append",
        claim: "strict-serializable",
        asked: "1 s with reading",
        draft: || {
            let mut draft = draft(7, &shape(30_000), false);
            draft.spoil(&mut Random::new(7), 3_000);
            draft
        },
    },
    Case {
        name: "a needle in 60,000 events",
        model: "list-append",
        claim: "snapshot-isolation",
        asked: "1 s with reading",
        draft: || needle(1_000, 30),
    },
    Case {
        name: "rw-register, 100,000",
        model: "rw-register",
        claim: "strict-serializable",
        asked: "0.5 s with reading",
        draft: || draft(5, &Shape { workload: Workload::Register, ..shape(100_000) }, false),
    },
    Case {
        name: "rw-register, linearizable keys, 100,000",
        model: "rw-register",
        claim: "linearizable-keys",
        asked: "0.5 s with reading",
        draft: || draft(6, &Shape { workload: Workload::Register, ..shape(100_000) }, false),
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let of = |name: &str| CASES.iter().find(|case| case.name == name).expect("a case of the list");
    match &arguments[..] {
        [flag, name, file] if flag == "--write" => return write(of(name), Path::new(file)),
        [flag, name, file] if flag == "--judge" => return judge(of(name), Path::new(file)),
        _ => {}
    }
    let myself = std::env::current_exe().expect("the path of this program");
    println!("{:<42} {:>9} {:>9} {:>8}  {:<20} verdict", "case", "judge", "reading", "peak MB", "asked");
    for case in CASES {
        if arguments.first().is_some_and(|wanted| !case.name.contains(wanted.as_str())) {
            continue;
        }
        let file: PathBuf = std::env::temp_dir().join(format!("judge-txn-{}.jsonl", std::process::id()));
        for step in ["--write", "--judge"] {
            let status = std::process::Command::new(&myself).args([step, case.name]).arg(&file).status();
            assert!(status.expect("it runs").success(), "{} failed", case.name);
        }
        drop(std::fs::remove_file(&file));
    }
}

/// As JSON lines.
fn write(case: &Case, file: &Path) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).expect("a file"));
    write_lines(&(case.draft)().history(), &mut out);
    out.flush().expect("it is written");
}

fn judge(case: &Case, file: &Path) {
    let linearizable_keys = case.claim == "linearizable-keys";
    let claim = if linearizable_keys { "strict-serializable" } else { case.claim };
    let options =
        Options { consistency_models: Some(vec![claim.into()]), linearizable_keys, ..Options::default() };
    let judge = model::named(case.model).expect("a model of the list").judge;
    let (mut reading, mut judging) = (f64::MAX, f64::MAX);
    let mut said = String::new();
    for _ in 0..3 {
        let begin = cpu_seconds();
        let text = std::fs::read(file).expect("the file");
        let (history, _) = read::history(&text, Shaping::default()).expect("a history");
        drop(text);
        let read = cpu_seconds();
        let verdict = judge(&history, &options, &Budget::default()).expect("it fits the model");
        reading = reading.min(read - begin);
        judging = judging.min(cpu_seconds() - read);
        let names: Vec<&str> = verdict.names().into_iter().collect();
        said = format!("{} {}", verdict.answer.word(), names.join(", "));
        if verdict.answer == judge::Answer::Unknown {
            said = verdict.reason;
        }
    }
    let peak = peak_mb();
    println!("{:<42} {judging:>7.3} s {reading:>7.3} s {peak:>8}  {:<20} {said}", case.name, case.asked);
}
