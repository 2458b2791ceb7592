//! Time and memory of the judges of collections, sets, sessions and watches, on histories from a seed.
//!
//! `cargo bench -p seedfault-judge --bench objects [CASE]`. Each case runs in a process of its own, so that its peak
//! memory is its own: the program calls itself with the case's name. Times are of the processor, the best of
//! three, of the judge and of the reading of the text; beside them stands what is asked for.

mod measure;

use judge::generate::objects::collections::{self, Load};
use judge::generate::objects::services::{self, Size};
use judge::objects::search::Order;
use judge::read::{self, Shaping};
use judge::{Answer, Budget, History, Options, model};
use measure::{cpu_seconds, peak_mb, reset_peak, write_lines};

struct Case {
    name: &'static str,
    model: &'static str,
    asked: &'static str,
    history: fn() -> History,
}

fn load(order: Order, unknown_percent: u32) -> Load {
    Load { unknown_percent, ..Load::new(order, 30, 1_000_000) }
}

const MILLION: Size = Size { clients: 30, operations: 1_000_000, unknown_percent: 5 };

const CASES: &[Case] = &[
    Case {
        name: "queue, a million operations",
        model: "queue",
        asked: "about 1 s with reading",
        history: || collections::history(1, &load(Order::Fifo, 0)),
    },
    Case {
        name: "queue, a million operations, 5 % unknown",
        model: "queue",
        asked: "about 1 s with reading",
        history: || collections::history(2, &load(Order::Fifo, 5)),
    },
    Case {
        name: "stack, a million operations",
        model: "stack",
        asked: "about 1 s with reading",
        history: || collections::history(3, &load(Order::Lifo, 0)),
    },
    Case {
        name: "bag, a million operations, 5 % unknown",
        model: "bag",
        asked: "about 1 s with reading",
        history: || collections::history(4, &load(Order::Bag, 5)),
    },
    Case {
        name: "unordered-queue, a million operations",
        model: "unordered-queue",
        asked: "about 1 s with reading",
        history: || collections::history(5, &Load { empty_fails: true, ..load(Order::Fifo, 0) }),
    },
    Case {
        name: "stack, a million operations, two thirds pushes",
        model: "stack",
        asked: "about 1 s with reading",
        history: || collections::history(6, &Load { put_percent: 67, ..load(Order::Lifo, 0) }),
    },
    Case {
        name: "queue, 10,000 operations, repeated values",
        model: "queue",
        asked: "",
        history: || {
            let repeated = Load { repeated_percent: 50, ..Load::new(Order::Fifo, 10, 10_000) };
            collections::history(7, &repeated)
        },
    },
    Case {
        name: "stack, 10,000 operations, 5 % unknown",
        model: "stack",
        asked: "",
        history: || {
            collections::history(8, &Load { unknown_percent: 5, ..Load::new(Order::Lifo, 10, 10_000) })
        },
    },
    Case {
        name: "set-full, 5,000 operations (3 million elements read)",
        model: "set-full",
        asked: "",
        history: || services::set(9, Size { clients: 10, operations: 5_000, unknown_percent: 5 }),
    },
    Case {
        name: "total-queue, a million operations",
        model: "total-queue",
        asked: "",
        history: || services::drained_queue(10, MILLION),
    },
    Case {
        name: "counter, a million operations",
        model: "counter",
        asked: "",
        history: || services::counter(11, MILLION),
    },
    Case {
        name: "sessions, a million operations",
        model: "sessions",
        asked: "",
        history: || services::register(12, MILLION, false),
    },
    Case {
        name: "watch, 100,000 operations of 30 clients",
        model: "watch",
        asked: "",
        history: || services::watch(13, Size { operations: 100_000, ..MILLION }),
    },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, name] = &arguments[..]
        && flag == "--case"
    {
        let case = CASES.iter().find(|case| case.name == name).expect("a case of the list");
        return run(case);
    }
    let myself = std::env::current_exe().expect("the path of this program");
    println!("{:<52} {:>9} {:>9} {:>8}  {:<24} verdict", "case", "judge", "reading", "peak MB", "asked");
    for case in CASES {
        if arguments.first().is_none_or(|wanted| case.name.contains(wanted.as_str())) {
            let status = std::process::Command::new(&myself).args(["--case", case.name]).status();
            assert!(status.expect("it runs").success(), "{} failed", case.name);
        }
    }
}

fn run(case: &Case) {
    let mut text = Vec::new();
    write_lines(&(case.history)(), &mut text);
    let judge = model::named(case.model).expect("a model of the list").judge;
    let (mut reading, mut judging) = (f64::MAX, f64::MAX);
    let mut said = "";
    reset_peak();
    for _ in 0..3 {
        let begin = cpu_seconds();
        let (history, _) = read::history(&text, Shaping::default()).expect("a history");
        let read = cpu_seconds();
        let verdict = judge(&history, &Options::default(), &Budget::default()).expect("it fits the model");
        reading = reading.min(read - begin);
        judging = judging.min(cpu_seconds() - read);
        assert_ne!(verdict.answer, Answer::Bad, "a correct history: {verdict:?}");
        said = verdict.answer.word();
    }
    let peak = peak_mb();
    println!("{:<52} {judging:>7.3} s {reading:>7.3} s {peak:>8}  {:<24} {said}", case.name, case.asked);
}
