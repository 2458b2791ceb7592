//! The deciders against each other, against every order, and on histories known by heart.

use super::{Act, Answer, Op, growing, register, search};
use proptest::prelude::*;

const BUDGET: u64 = 1_000_000;

fn op(call: u64, ret: u64, act: Act) -> Op {
    Op { call, ret: Some(ret), act }
}
fn open(call: u64, act: Act) -> Op {
    Op { call, ret: None, act }
}
fn write(value: u32) -> Act {
    Act::Write(Some(value))
}
fn read(value: u32) -> Act {
    Act::Read(Some(value))
}

/// Tries every order of every choice of unknown operations.
fn by_every_order(ops: &[Op]) -> bool {
    fn carry_on(ops: &[Op], state: Option<u32>, left: &[usize]) -> bool {
        if left.iter().all(|place| ops[*place].ret.is_none()) {
            return true;
        }
        left.iter().any(|&place| {
            // It may come next if nothing that is left returned before it was called.
            let first = left.iter().all(|&other| ops[other].ret.is_none_or(|ret| ret >= ops[place].call));
            let state = match (&ops[place].act, state) {
                (Act::Write(value), _) => Some(*value),
                (Act::Read(value), held) if *value == held => Some(held),
                _ => None,
            };
            let rest: Vec<usize> = left.iter().copied().filter(|other| *other != place).collect();
            first && state.is_some_and(|state| carry_on(ops, state, &rest))
        })
    }
    carry_on(ops, None, &(0..ops.len()).collect::<Vec<_>>())
}

fn history(deletes: bool) -> impl Strategy<Value = Vec<Op>> {
    // What it does: a write of its own value, a read of one of a few, a delete; where; how long; known or not.
    let one = (0u8..8, 0u32..4, 0u64..12, 0u64..6, 0u8..6);
    prop::collection::vec(one, 1..8).prop_map(move |drawn| {
        let place = |(number, (what, value, call, length, known)): (usize, (u8, u32, u64, u64, u8))| {
            let act = match what {
                0..=2 => Act::Write(Some(number as u32)),
                3 if deletes => Act::Write(None),
                3 | 4 => Act::Read(None),
                _ => Act::Read(Some(value)),
            };
            let reads = matches!(act, Act::Read(_));
            Op { call, ret: (reads || known > 0).then_some(call + length), act }
        };
        drawn.into_iter().enumerate().map(place).collect()
    })
}

/// Additions of one element each and reads of some of the elements, in some order where it is a list.
fn growth(list: bool) -> impl Strategy<Value = Vec<Op>> {
    let read = prop::sample::subsequence((0u32..5).collect::<Vec<_>>(), 0..=4);
    let one = (any::<bool>(), read.prop_shuffle(), 0u64..12, 0u64..6, 0u8..4);
    prop::collection::vec(one, 1..8).prop_map(move |drawn| {
        let place =
            |(number, (reads, mut items, call, length, known)): (usize, (bool, Vec<u32>, u64, u64, u8))| {
                let act = match (reads, list) {
                    (false, true) => Act::Append(number as u32),
                    (false, false) => Act::Add(number as u32),
                    (true, true) => {
                        // Mostly in the order of the numbers, or hardly any history would be good.
                        if known > 0 {
                            items.sort_unstable();
                        }
                        Act::ReadList(items)
                    }
                    (true, false) => {
                        items.sort_unstable();
                        Act::ReadSet(items)
                    }
                };
                Op { call, ret: (reads || known > 0).then_some(call + length), act }
            };
        drawn.into_iter().enumerate().map(place).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_zones_agree_with_every_order(ops in history(false)) {
        prop_assert_eq!(register::decide(&ops) == Answer::Linearizable, by_every_order(&ops));
    }

    #[test]
    fn the_search_agrees_with_every_order(ops in history(true)) {
        prop_assert_eq!(search::decide(&ops, BUDGET) == Answer::Linearizable, by_every_order(&ops));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8000))]

    #[test]
    fn growing_lists_agree_with_the_search(ops in growth(true)) {
        let good = search::decide(&ops, BUDGET) == Answer::Linearizable;
        prop_assert_eq!(growing::decide(&ops) == Answer::Linearizable, good);
    }

    #[test]
    fn growing_sets_agree_with_the_search(ops in growth(false)) {
        let good = search::decide(&ops, BUDGET) == Answer::Linearizable;
        prop_assert_eq!(growing::decide(&ops) == Answer::Linearizable, good);
    }
}

#[test]
fn a_list_of_many_appends_at_once_is_decided_by_what_was_read() {
    let mut ops: Vec<Op> = (0..200).map(|value| open(0, Act::Append(value))).collect();
    ops.push(op(10, 12, Act::ReadList((0..100).rev().collect())));
    ops.push(op(11, 13, Act::ReadList((0..100).rev().chain(100..150).collect())));
    assert_eq!(growing::decide(&ops), Answer::Linearizable);
    ops.push(op(14, 15, Act::ReadList((0..100).rev().chain(100..149).collect())));
    assert!(matches!(growing::decide(&ops), Answer::Broken(_)), "it forgot the last");
    ops.pop();
    ops.push(op(14, 15, Act::ReadList((0..100).rev().chain(100..150).chain([99]).collect())));
    assert!(matches!(growing::decide(&ops), Answer::Broken(_)), "it holds one twice");
}

#[test]
fn a_stale_read_is_found_by_both() {
    let ops = [op(0, 1, write(1)), op(2, 3, write(2)), op(4, 5, read(1))];
    assert!(matches!(register::decide(&ops), Answer::Broken(_)));
    assert_eq!(search::decide(&ops, BUDGET), Answer::Broken(vec![2]));
}

#[test]
fn equal_order_is_concurrent() {
    let ops = [op(0, 4, write(1)), op(4, 5, Act::Read(None))];
    assert_eq!(register::decide(&ops), Answer::Linearizable);
    assert_eq!(search::decide(&ops, BUDGET), Answer::Linearizable);
    let ops = [op(0, 4, write(1)), op(5, 6, Act::Read(None))];
    assert!(matches!(register::decide(&ops), Answer::Broken(_)));
    assert!(matches!(search::decide(&ops, BUDGET), Answer::Broken(_)));
}

#[test]
fn an_unknown_write_may_come_late_and_stays() {
    let late = [open(0, write(1)), op(1, 2, Act::Read(None)), op(3, 4, read(1))];
    assert_eq!(register::decide(&late), Answer::Linearizable);
    let gone = [open(0, write(1)), op(1, 2, read(1)), op(3, 4, Act::Read(None))];
    assert!(matches!(register::decide(&gone), Answer::Broken(_)));
    assert!(matches!(search::decide(&gone, BUDGET), Answer::Broken(_)));
}

#[test]
fn counters_lists_and_sets_are_decided() {
    let number = |answer| Act::Increment(Some(answer));
    for (ops, good) in [
        (vec![op(0, 1, number(1)), op(2, 3, number(2)), op(4, 5, Act::ReadNumber(2))], true),
        (vec![op(0, 1, number(1)), op(2, 3, number(1))], false),
        (vec![op(0, 1, number(2)), op(2, 3, number(1))], false),
        (vec![op(0, 1, number(1)), open(2, Act::Increment(None)), op(4, 5, number(3))], true),
        (vec![op(0, 1, number(1)), op(4, 5, number(3))], false),
        (
            vec![op(0, 9, Act::Append(1)), op(0, 9, Act::Append(2)), op(10, 11, Act::ReadList(vec![2, 1]))],
            true,
        ),
        (
            vec![op(0, 1, Act::Append(1)), op(2, 3, Act::Append(2)), op(4, 5, Act::ReadList(vec![2, 1]))],
            false,
        ),
        (vec![op(0, 1, Act::Append(1)), op(4, 5, Act::ReadList(vec![]))], false),
        (vec![op(0, 1, Act::Add(1)), open(0, Act::Add(2)), op(4, 5, Act::ReadSet(vec![1, 2]))], true),
        (vec![op(0, 1, Act::Add(1)), op(4, 5, Act::ReadSet(vec![2]))], false),
    ] {
        assert_eq!(search::decide(&ops, BUDGET) == Answer::Linearizable, good, "{ops:?}");
    }
}

#[test]
fn a_spent_budget_is_no_verdict() {
    let ops: Vec<Op> = (0..10).map(|value| op(0, 100, Act::Append(value))).collect();
    let mut ops = ops;
    ops.push(op(101, 102, Act::ReadList((0..10).rev().collect())));
    assert_eq!(search::decide(&ops, 50), Answer::Exceeded);
}

#[test]
fn many_unknown_operations_of_a_kind_stay_cheap() {
    let mut ops: Vec<Op> = (0..60).map(|call| open(call, Act::Increment(None))).collect();
    ops.push(op(100, 101, Act::ReadNumber(60)));
    ops.push(op(102, 103, Act::ReadNumber(61)));
    assert!(matches!(search::decide(&ops, BUDGET), Answer::Broken(_)));
}
