//! Time and memory of the judges of linearizable objects, on histories from a seed.
//!
//! `cargo bench -p seedfault-judge --bench linear [CASE]`. Each case runs in a process of its own, so that its
//! peak memory is its own: the program calls itself with the case's name. Times are of the processor, the best
//! of five runs of the judge and of the reading of the text; beside them stands what is asked for.

mod measure;

use judge::generate::linear::{self as generate, Registers};
use judge::linear::strings;
use judge::options::FailedCas;
use judge::read::{self, Shaping};
use judge::{Answer, Budget, Options, model};
use measure::{cpu_seconds, peak_mb, reset_peak};

struct Case {
    name: &'static str,
    model: &'static str,
    asked: &'static str,
    /// The texts, and how many of them are wrong.
    texts: fn() -> (Vec<String>, usize),
}

const SHORT: Registers =
    Registers { clients: 5, ops: 85, values: Some(5), reads: 35, swaps: 35, unknown: 14, differs: true };
const LONG: Registers =
    Registers { clients: 10, ops: 10_000, values: Some(5), reads: 50, swaps: 0, unknown: 0, differs: false };
const MILLION: Registers =
    Registers { clients: 30, ops: 1_000_000, values: None, reads: 50, swaps: 0, unknown: 5, differs: false };

fn one(seed: u64, what: Registers, wrong: bool) -> (Vec<String>, usize) {
    let mut ops = generate::register(seed, what);
    if wrong {
        // Late, so that all before has to be searched.
        let from = ops.len() / 10 * 9;
        let mut tail = ops.split_off(from);
        let at = ops.iter().map(|op| op.call).max().unwrap_or(0);
        assert!(tail.iter().all(|op| op.call > at));
        generate::plant(seed, &mut tail).expect("a read to make stale");
        ops.append(&mut tail);
    }
    (vec![generate::lines(&[ops], generate::register_line)], usize::from(wrong))
}

fn short() -> (Vec<String>, usize) {
    let mut wrong = 0;
    let text = |seed| {
        let mut ops = generate::register(seed, SHORT);
        wrong += usize::from(seed % 2 == 0 && generate::plant(seed, &mut ops).is_some());
        generate::lines(&[ops], generate::register_line)
    };
    (((0..102).map(text)).collect(), wrong)
}

fn strings() -> (Vec<String>, usize) {
    let (histories, texts) = generate::strings(1, 50, 10, 10_000);
    let json = |text: u32| format!("{:?}", texts[text as usize]);
    let line = |act| match act {
        strings::Act::Get(text) => ("get", "null".into(), json(text), false),
        strings::Act::Put(text) => ("put", json(text), json(text), false),
        strings::Act::Append(text) => ("append", json(text), json(text), false),
    };
    (vec![generate::lines(&histories, line)], 0)
}

const CASES: &[Case] = &[
    Case {
        name: "102 short histories of a cas-register",
        model: "cas-register",
        asked: "0.25 s",
        texts: short,
    },
    Case { name: "50 clients, strings, 10 keys", model: "kv-append", asked: "50 ms", texts: strings },
    Case {
        name: "10 clients, 5 values, right",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(1, LONG, false),
    },
    Case {
        name: "10 clients, 5 values, wrong late",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(1, LONG, true),
    },
    Case {
        name: "10 clients, 2 values, few reads, right",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(1, Registers { values: Some(2), reads: 20, ..LONG }, false),
    },
    Case {
        name: "10 clients, 5 values, swaps, right",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(1, Registers { swaps: 25, differs: true, ..LONG }, false),
    },
    Case {
        name: "10 clients, 5 values, swaps, wrong late",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(2, Registers { swaps: 25, differs: true, ..LONG }, true),
    },
    Case {
        name: "10 clients, 20 values, 2 % unknown, right",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(1, Registers { values: Some(20), unknown: 2, ..LONG }, false),
    },
    Case {
        // A stale read planted here would prove nothing: some write of unknown outcome explains it.
        name: "10 clients, 20 values, 2 % unknown, right, another",
        model: "cas-register",
        asked: "0.5 s, 200 MB",
        texts: || one(3, Registers { values: Some(20), unknown: 2, ..LONG }, false),
    },
    Case {
        name: "a million operations, unique values",
        model: "register",
        asked: "1 s, 1 GB",
        texts: || one(1, MILLION, false),
    },
    Case {
        name: "a million operations, unique values, swaps",
        model: "cas-register",
        asked: "1 s, 1 GB",
        texts: || one(1, Registers { swaps: 20, ..MILLION }, false),
    },
    Case {
        name: "a million operations, unique values, wrong late",
        model: "register",
        asked: "1 s, 1 GB",
        texts: || one(1, MILLION, true),
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, name] = &arguments[..]
        && flag == "--case"
    {
        return run(CASES.iter().find(|case| case.name == name).expect("a case of the list"));
    }
    let myself = std::env::current_exe().expect("the path of this program");
    println!("{:<48} {:>9} {:>9} {:>8}  {:<14} verdict", "case", "judge s", "reading s", "peak MB", "asked");
    for case in CASES {
        if arguments.first().is_none_or(|wanted| case.name.contains(wanted.as_str())) {
            let status = std::process::Command::new(&myself).args(["--case", case.name]).status();
            assert!(status.expect("it runs").success(), "{} failed", case.name);
        }
    }
}

fn run(case: &Case) {
    let (texts, wrong) = (case.texts)();
    // From here on the peak is the judge's and that of the texts.
    reset_peak();
    let judge = model::named(case.model).expect("a model of the list").judge;
    let options = Options {
        initial: Some(if case.model == "kv-append" { "".into() } else { 0.into() }),
        failed_cas: FailedCas::AssertsMismatch,
        ..Options::default()
    };
    let (mut reading, mut judging) = (f64::MAX, f64::MAX);
    let mut told = String::new();
    for _ in 0..5 {
        let (mut read_once, mut judged_once) = (0.0, 0.0);
        let mut found = 0;
        for text in &texts {
            let start = cpu_seconds();
            let history = read::json::lines(text.as_bytes(), Shaping::default()).expect("a history");
            let read = cpu_seconds();
            let verdict = judge(&history, &options, &Budget::default()).expect("it fits");
            judged_once += cpu_seconds() - read;
            read_once += read - start;
            assert_ne!(verdict.answer, Answer::Unknown, "{}", verdict.reason);
            found += usize::from(verdict.answer == Answer::Bad);
            let core = verdict.anomalies.first().map_or(0, |anomaly| anomaly.ops.len());
            told = format!("{} of {} wrong; {}; core {core}", found, texts.len(), verdict.algorithm);
        }
        assert_eq!(found, wrong, "what was planted is found, and nothing else");
        (reading, judging) = (reading.min(read_once), judging.min(judged_once));
    }
    println!("{:<48} {judging:>9.3} {reading:>9.3} {:>8}  {:<14} {told}", case.name, peak_mb(), case.asked);
}
