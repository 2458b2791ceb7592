//! Linearizability of queues and bags whose values are unique, in the time that sorting takes.
//!
//! Four patterns are all that can go wrong with a queue (Henzinger, Sezgin and Vafeiadis, *Aspect-oriented
//! linearizability proofs*, CONCUR 2013; Bouajjani, Emmi, Enea and Hamza, *On reducing linearizability to state
//! reachability*, ICALP 2015): a value from nowhere, a value twice (both found while gathering the [`Items`]),
//! two values taken against the order in which they were put, and a take that found nothing while something was
//! in the queue all the time. Each is a property of one or two items and of an interval; Lee and Mathur,
//! *Efficient decrease-and-conquer linearizability monitoring*, OOPSLA 2025, and Abdulla et al., *Efficient
//! linearizability monitoring*, PLDI 2025, give log-linear algorithms for it.
//!
//! Takes of unknown outcome, which those leave out, are decided here too. An item that nobody took must have been
//! taken by one of them if a later item was taken (by the end of that take), or if a take found nothing (before
//! the moment when the queue was empty). The items due by a time are always those put in before some place, so
//! they can be served if at no time more are due than takes have begun. A take that found nothing can choose its
//! moment alone, as serving more items earlier never hurts another.

use super::collection::{Empty, Found, Item, Items, NONE};
use crate::budget::{Budget, Spent};
use crate::history::History;

/// Whether a queue (`ordered`) or a bag may have done this; the first contradiction found.
pub fn check(
    history: &History,
    items: &Items,
    ordered: bool,
    budget: &Budget,
) -> Result<Option<Found>, Spent> {
    let count = items.items.len() as u64;
    budget.spend(count + items.empties.len() as u64)?;
    budget.hold(count * 24 + if items.empties.is_empty() { 0 } else { u64::from(items.end) * 8 })?;
    // By the ends of their puts.
    let mut by_put_ret: Vec<u32> = (0..items.items.len() as u32).collect();
    by_put_ret.sort_unstable_by_key(|item| items.items[*item as usize].put_ret);
    if ordered {
        if let Some(found) = out_of_order(history, items, &by_put_ret) {
            return Ok(Some(found));
        }
        if let Some(found) = overtaken(history, items, &by_put_ret) {
            return Ok(Some(found));
        }
    }
    Ok(not_empty(history, items, &by_put_ret))
}

/// Two items of which the one was put in before the other and taken out after it.
fn out_of_order(history: &History, items: &Items, by_put_ret: &[u32]) -> Option<Found> {
    let mut earlier = by_put_ret.iter().map(|item| &items.items[*item as usize]).peekable();
    // Of those put in before, the one whose take began last.
    let mut latest: Option<&Item> = None;
    for item in items.items.iter().filter(|item| item.is_taken()) {
        while let Some(before) = earlier.next_if(|before| before.put_ret < item.put_call) {
            if before.is_taken() && latest.is_none_or(|latest| latest.take_call < before.take_call) {
                latest = Some(before);
            }
        }
        if let Some(first) = latest.filter(|first| first.take_call > item.take_ret) {
            let show = |item: &Item| history.arena.show(item.value);
            let (first_value, value) = (show(first), show(item));
            let story = format!(
                "{first_value} was in the queue before anybody began to put {value} in, \
                 and {value} was out before anybody began to take {first_value}"
            );
            return Some(Found { name: "reordered", ops: ops(&[first, item], &[]), story });
        }
    }
    None
}

/// An item that was taken while one put in before it never was, and takes of unknown outcome do not explain it.
fn overtaken(history: &History, items: &Items, by_put_ret: &[u32]) -> Option<Found> {
    let left: Vec<&Item> = left(items, by_put_ret);
    left.first()?;
    let mut taken: Vec<&Item> = items.items.iter().filter(|item| item.is_taken()).collect();
    taken.sort_unstable_by_key(|item| item.take_ret);
    let (mut due, mut begun) = (0, 0);
    for item in taken {
        while left.get(due).is_some_and(|left| left.put_ret < item.put_call) {
            due += 1;
        }
        while items.opens.get(begun).is_some_and(|open| open.call < item.take_ret) {
            begun += 1;
        }
        // `due` counts what some item taken by now makes due; this one is shown only if it does so itself.
        if due > begun {
            let before = left[..due].iter().take_while(|left| left.put_ret < item.put_call).take(begun + 1);
            let before: Vec<&Item> = before.copied().collect();
            let shown: Vec<String> = before.iter().map(|item| history.arena.show(item.value)).collect();
            let value = history.arena.show(item.value);
            let story = format!(
                "{} in the queue before anybody began to put {value} in; {value} was taken, and {} never{}",
                match &shown[..] {
                    [one] => format!("{one} was"),
                    many => format!("{} were", many.join(", ")),
                },
                if before.len() == 1 { "it" } else { "they" },
                unexplained(begun)
            );
            let mut shown = before;
            shown.push(item);
            let opens: Vec<usize> = items.opens[..begun].iter().map(|open| open.op as usize).collect();
            return Some(Found { name: "reordered", ops: ops(&shown, &opens), story });
        }
    }
    None
}

fn unexplained(begun: usize) -> String {
    match begun {
        0 => String::new(),
        1 => "; one take of unknown outcome does not explain it".into(),
        many => format!("; {many} takes of unknown outcome do not explain it"),
    }
}

/// The items that nobody took for sure, by the ends of their puts.
fn left<'a>(items: &'a Items, by_put_ret: &[u32]) -> Vec<&'a Item> {
    by_put_ret.iter().map(|item| &items.items[*item as usize]).filter(|item| !item.is_taken()).collect()
}

/// A take that found nothing although something was in at every moment of it.
fn not_empty(history: &History, items: &Items, by_put_ret: &[u32]) -> Option<Found> {
    if items.empties.is_empty() {
        return None;
    }
    let left = left(items, by_put_ret);
    // Between the event at a place and the next one: how many taken items are in for sure.
    let mut change = vec![0i32; items.end as usize + 1];
    for item in items.items.iter().filter(|item| item.is_taken() && item.put_ret < item.take_call) {
        change[item.put_ret as usize] += 1;
        change[item.take_call as usize] -= 1;
    }
    // How many places below have a moment after them at which all may be out.
    let mut free = Vec::with_capacity(change.len() + 1);
    free.push(0u32);
    let (mut inside, mut due, mut begun) = (0, 0, 0);
    for (place, change) in change.iter().enumerate() {
        inside += change;
        while left.get(due).is_some_and(|left| left.put_ret as usize <= place) {
            due += 1;
        }
        while items.opens.get(begun).is_some_and(|open| open.call as usize <= place) {
            begun += 1;
        }
        free.push(free[place] + u32::from(inside == 0 && due <= begun));
    }
    let none = |empty: &&Empty| free[empty.call as usize] == free[empty.ret as usize];
    let empty = items.empties.iter().find(none)?;
    Some(cover(history, items, *empty))
}

/// As few items as keep it non-empty from the call to the return.
pub fn cover(history: &History, items: &Items, empty: Empty) -> Found {
    let mut by_put_ret: Vec<u32> = (0..items.items.len() as u32).collect();
    by_put_ret.sort_unstable_by_key(|item| items.items[*item as usize].put_ret);
    let left = left(items, &by_put_ret);
    let mut core: Vec<&Item> = Vec::new();
    let mut at = empty.call;
    while at < empty.ret {
        let inside =
            items.items.iter().filter(|item| item.put_ret <= at && at < item.take_call && item.is_taken());
        if let Some(longest) = inside.max_by_key(|item| (item.take_call, item.put_call)) {
            core.push(longest);
            at = longest.take_call;
            continue;
        }
        let begun = items.opens.partition_point(|open| open.call <= at);
        let due: Vec<&Item> = left[..=begun].to_vec();
        core.retain(|item| item.is_taken());
        core.extend(due);
        at = items.opens.get(begun).map_or(empty.ret, |open| open.call);
    }
    core.sort_by_key(|item| item.put_call);
    let mut item = 0;
    while item < core.len() && core.len() <= SHRUNK_MAX {
        let removed = core.remove(item);
        if never_empty(&core, items, empty) {
            item = 0;
        } else {
            core.insert(item, removed);
            item += 1;
        }
    }
    // What nobody took could be gone by any take of unknown outcome that began before the end.
    let begun = if core.iter().all(|item| item.is_taken()) { 0 } else { items.opens.len() };
    let begun = items.opens[..begun].iter().filter(|open| open.call < empty.ret);
    let opens: Vec<usize> = begun.map(|open| open.op as usize).collect();
    let shown: Vec<String> = core.iter().map(|item| history.arena.show(item.value)).collect();
    let story = format!(
        "it found nothing, and at every moment of it something was in: {}{}",
        shown.join(", then "),
        unexplained(opens.len())
    );
    let mut ops = ops(&core, &opens);
    ops.push(empty.op as usize);
    ops.sort_unstable();
    ops.dedup();
    Found { name: "false-empty", ops, story }
}

/// A core with more items than this is left as it is: right, and perhaps not the smallest.
const SHRUNK_MAX: usize = 64;

/// Whether these items alone keep it non-empty from the call to the return: it is looked at after the call, and
/// after every place where something may have left.
fn never_empty(core: &[&Item], items: &Items, empty: Empty) -> bool {
    let begun = items.opens[..items.opens.partition_point(|open| open.call < empty.ret)].iter();
    let moments = core.iter().map(|item| item.take_call).chain(begun.map(|open| open.call));
    let mut moments = moments.filter(|place| (empty.call..empty.ret).contains(place)).chain([empty.call]);
    moments.all(|at| {
        let begun = items.opens.partition_point(|open| open.call <= at);
        let due = core.iter().filter(|item| !item.is_taken() && item.put_ret <= at).count();
        due > begun || core.iter().any(|item| item.is_taken() && item.put_ret <= at && at < item.take_call)
    })
}

/// The operations of items, and others, in the order of their calls.
pub fn ops(items: &[&Item], others: &[usize]) -> Vec<usize> {
    let of =
        items.iter().flat_map(|item| [item.put, item.take]).filter(|op| *op != NONE).map(|op| op as usize);
    let mut ops: Vec<usize> = of.chain(others.iter().copied()).collect();
    ops.sort_unstable();
    ops.dedup();
    ops
}
