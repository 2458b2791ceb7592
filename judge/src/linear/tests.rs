//! The deciders against each other and against every order, and histories known by heart.

use super::locks::{Lock, Rule};
use super::register::{Act, Register};
use super::sets::{Change, Count, Counter, Set};
use super::strings::Strings;
use super::transactions::{Micro, Registers};
use super::zones::{Clash, Zones};
use super::*;
use crate::Budget;
use crate::generate::{Random, linear as generate};

/// How many random histories each test takes; the nightly run sets a million.
fn histories() -> u64 {
    let asked = std::env::var("SEEDFAULT_RANDOM").ok();
    asked.map_or(30_000, |count| count.parse().expect("SEEDFAULT_RANDOM is a number"))
}

fn fine(found: Found) -> bool {
    match found {
        Found::Linearizable => true,
        Found::Broken(_) => false,
        Found::Unknown(gap) => panic!("a small history is decided: {gap}"),
    }
}

#[test]
fn the_search_of_registers_agrees_with_every_order() {
    let mut random = Random::new(1);
    let mut good = 0;
    for _ in 0..histories() {
        let ops = generate::small(&mut random, false);
        let every = every::linearizable(&mut Register::new(0, &ops), &ops);
        let found = register::by_search(0, &ops, &Budget::default());
        assert_eq!(fine(found), every, "{ops:?}");
        good += u64::from(every);
    }
    assert!(good > histories() / 8 && good < histories() / 8 * 7, "{good} are linearizable");
}

#[test]
fn the_zones_agree_with_the_search_and_with_every_order() {
    let mut random = Random::new(2);
    let (mut decided, mut good) = (0, 0);
    for _ in 0..histories() {
        let ops = generate::small(&mut random, true);
        let zones = match zones::decide(0, &ops) {
            Zones::NotUnique => continue,
            Zones::Linearizable => true,
            Zones::Broken(..) => false,
        };
        let every = every::linearizable(&mut Register::new(0, &ops), &ops);
        assert_eq!(zones, every, "{ops:?}");
        assert_eq!(fine(register::by_search(0, &ops, &Budget::default())), every, "{ops:?}");
        decided += 1;
        good += u64::from(every);
    }
    assert!(decided > histories() / 2, "{decided} are of unique values");
    assert!(good > decided / 8 && good < decided / 8 * 7, "{good} of {decided} are linearizable");
}

#[test]
fn strings_and_locks_agree_with_every_order() {
    let mut random = Random::new(3);
    let mut good = [0; 4];
    for _ in 0..histories() {
        let (ops, texts) = generate::small_strings(&mut random);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut strings = Strings::new("", &texts, &ops);
        let every = every::linearizable(&mut strings, &ops);
        assert_eq!(fine(search::decide(&mut strings, &ops, &Budget::default())), every, "{ops:?}");
        good[0] += u64::from(every);
        let ops = generate::small_lock(&mut random);
        for (rule, good) in
            [(false, 1, false), (true, 2, false), (true, 2, true)].into_iter().zip(&mut good[1..])
        {
            let rule = Rule { owned: rule.0, holds_max: rule.1, fenced: rule.2 };
            let mut lock = Lock::new(rule, None);
            let every = every::linearizable(&mut lock, &ops);
            assert_eq!(fine(search::decide(&mut lock, &ops, &Budget::default())), every, "{rule:?} {ops:?}");
            *good += u64::from(every);
        }
    }
    assert!(good.iter().all(|good| *good > histories() / 50), "{good:?}");
}

#[test]
fn transactions_counters_and_sets_agree_with_every_order() {
    let mut random = Random::new(6);
    let mut good = [0; 3];
    for _ in 0..histories() / 2 {
        let mut places = || {
            let call = random.below(12);
            (call, if random.below(6) == 0 { NEVER } else { call + random.below(7) })
        };
        let places: Vec<(u32, u32)> = (0..6).map(|_| places()).collect();
        let mut registers = Registers::new(vec![0, 0]);
        let mut txn = || {
            let micro = |random: &mut Random| Micro {
                writes: random.below(2) == 0,
                key: random.below(2),
                value: random.below(2),
            };
            let txn = (0..=random.below(2)).map(|_| micro(&mut random)).collect();
            registers.act(txn)
        };
        let ops: Vec<Op<u32>> =
            places.iter().map(|(call, ret)| Op { call: *call, ret: *ret, act: txn() }).collect();
        good[0] += u64::from(agrees(&mut registers, &ops));
        let mut count = || match random.below(4) {
            0 => Count::Add(1, None),
            1 => Count::Add(1 + i64::from(random.below(2)), Some(i64::from(random.below(4)))),
            _ => Count::Read(i64::from(random.below(3))),
        };
        let ops: Vec<Op<Count>> =
            places.iter().map(|(call, ret)| Op { call: *call, ret: *ret, act: count() }).collect();
        good[1] += u64::from(agrees(&mut Counter(0), &ops));
        let mut set = Set::default();
        let mut change = || match random.below(5) {
            0 | 1 => Change::Add(random.below(2)),
            2 => Change::Remove(random.below(2)),
            3 => Change::Contains(random.below(2), random.below(2) == 0),
            _ => Change::Read(set.number((0..2).filter(|_| random.below(2) == 0).collect())),
        };
        let ops: Vec<Op<Change>> =
            places.iter().map(|(call, ret)| Op { call: *call, ret: *ret, act: change() }).collect();
        good[2] += u64::from(agrees(&mut set, &ops));
    }
    assert!(good.iter().all(|good| *good > histories() / 100), "{good:?}");
}

/// Whether it is linearizable, by both.
fn agrees<S: Spec>(spec: &mut S, ops: &[Op<S::Act>]) -> bool {
    let every = every::linearizable(spec, ops);
    assert_eq!(fine(search::decide(spec, ops, &Budget::default())), every, "{ops:?}");
    every
}

/// What a core claims: that it is contradictory by itself, and that no smaller one is.
fn is_core(ops: &[Op<Act>], core: &smallest::Core<u32>) {
    let part: Vec<Op<Act>> = core
        .places
        .iter()
        .zip(&core.open)
        .map(|(place, open)| Op { ret: if *open { NEVER } else { ops[*place].ret }, ..ops[*place] })
        .collect();
    let good = |ops: &[Op<Act>]| every::linearizable(&mut Register::new(0, ops), ops);
    assert!(!good(&part), "{part:?} of {ops:?}");
    for at in 0..part.len() {
        let mut less = part.clone();
        let gone = less.remove(at);
        let others: Vec<Act> = less.iter().map(|op| op.act).collect();
        if Register::new(0, ops).droppable(gone.act, &others) {
            assert!(good(&less), "{part:?} still is without {at}");
        }
        let mut less = part.clone();
        less[at].ret = NEVER;
        if part[at].ret != NEVER {
            assert!(good(&less), "{part:?} still is with {at} open");
        }
    }
}

#[test]
fn a_core_is_contradictory_and_smallest() {
    let mut random = Random::new(4);
    let mut cores = 0;
    for _ in 0..histories() / 20 {
        let ops = generate::small(&mut random, false);
        let mut spec = Register::new(0, &ops);
        if let Ok(Some(stuck)) = search::explain(&mut spec, 0, &ops, &Budget::default()) {
            let core = smallest::core(&mut spec, &ops, &stuck);
            assert!(core.smallest && core.from.is_none(), "{core:?}");
            is_core(&ops, &core);
            cores += 1;
        }
    }
    assert!(cores > histories() / 100, "{cores}");
}

#[test]
fn the_operations_of_a_clash_contradict_each_other() {
    let mut random = Random::new(5);
    for _ in 0..histories() {
        let ops = generate::small(&mut random, true);
        if let Zones::Broken(clash, _) = zones::decide(0, &ops) {
            let Found::Broken(core) = register::decide(0, &ops, &Budget::default()) else { unreachable!() };
            let part: Vec<Op<Act>> = core.iter().map(|place| ops[*place]).collect();
            // What the first of a chain found may have been written by one that the core leaves out.
            let part: Vec<Op<Act>> = part
                .iter()
                .map(|op| match op.act {
                    Act::Swap(from, to)
                        if from != 0
                            && !matches!(clash, Clash::NeverWritten { .. })
                            && !part.iter().any(|other| other.act.leaves() == Some(from)) =>
                    {
                        Op { act: Act::Write(to), ..*op }
                    }
                    _ => *op,
                })
                .collect();
            assert!(!every::linearizable(&mut Register::new(0, &part), &part), "{clash:?} of {ops:?}");
        }
    }
}

const SHAPES: [generate::Registers; 4] = [
    generate::Registers {
        clients: 5,
        ops: 60,
        values: None,
        reads: 50,
        swaps: 0,
        unknown: 5,
        differs: false,
    },
    generate::Registers {
        clients: 5,
        ops: 60,
        values: None,
        reads: 40,
        swaps: 30,
        unknown: 10,
        differs: true,
    },
    generate::Registers {
        clients: 5,
        ops: 60,
        values: Some(4),
        reads: 40,
        swaps: 20,
        unknown: 10,
        differs: true,
    },
    generate::Registers {
        clients: 10,
        ops: 80,
        values: Some(3),
        reads: 30,
        swaps: 0,
        unknown: 20,
        differs: false,
    },
];

#[test]
fn nothing_is_found_in_what_is_right_and_every_planted_stale_read_is() {
    let mut planted = 0;
    for seed in 0..10_000 {
        let mut ops = generate::register(seed, SHAPES[(seed % 4) as usize]);
        let found = register::decide(0, &ops, &Budget::default());
        assert_eq!(found, Found::Linearizable, "seed {seed}");
        if seed % 4 == seed / 4 % 4 && generate::plant(seed, &mut ops).is_some() {
            assert!(!fine(register::decide(0, &ops, &Budget::default())), "seed {seed}");
            planted += 1;
        }
    }
    assert!(planted > 1_000, "{planted}");
}

fn op(call: u32, ret: u32, act: Act) -> Op<Act> {
    Op { call, ret, act }
}

#[test]
fn equal_places_are_concurrent() {
    for (call, good) in [(4, true), (5, false)] {
        let ops = [op(0, 4, Act::Write(1)), op(call, 6, Act::Read(0))];
        assert_eq!(zones::decide(0, &ops) == Zones::Linearizable, good);
        assert_eq!(fine(register::by_search(0, &ops, &Budget::default())), good);
    }
}

#[test]
fn an_unknown_swap_that_was_seen_puts_its_value_before_it() {
    let swapped = [op(0, 1, Act::Write(1)), op(2, NEVER, Act::Swap(1, 2)), op(3, 4, Act::Read(2))];
    assert_eq!(zones::decide(0, &swapped), Zones::Linearizable);
    let mut stale = swapped.to_vec();
    stale.push(op(5, 6, Act::Read(1)));
    assert_eq!(
        zones::decide(0, &stale),
        Zones::Broken(Clash::Backwards { earlier: 3, later: 2, path: vec![0, 1] }, vec![])
    );
}

#[test]
fn a_spent_budget_is_no_verdict_and_says_so() {
    let ops: Vec<Op<Act>> = (0..12).map(|at| op(at, 100 + at, Act::Swap(at % 3, (at + 1) % 3))).collect();
    let found = register::by_search(0, &ops, &Budget::new(50, 1 << 30));
    let Found::Unknown(gap) = found else { panic!("{found:?}") };
    assert_eq!(gap.to_string(), "its 50 steps are spent");
}

#[test]
fn hundreds_of_clients_are_searched_and_thousands_refused() {
    for (clients, good) in [(200, true), (1000, true), (5000, false)] {
        let mut ops: Vec<Op<Act>> = (0..clients).map(|at| op(at, 10_000 + at, Act::Write(at % 2))).collect();
        ops.push(op(6000, 6001, Act::Read(1)));
        let found = register::by_search(0, &ops, &Budget::default());
        if good {
            assert_eq!(found, Found::Linearizable);
        } else {
            assert!(matches!(found, Found::Unknown(Gap::TooManyOpen(5001))), "{found:?}");
        }
    }
}
