//! Linearizability of stacks whose values are unique, in log-linear time.
//!
//! A value is in the stack from its push to its pop. A history is one of a stack if moments can be chosen so that
//! of any two such lives one holds the other or they do not meet. What a value cannot avoid is its *core*: from
//! the return of its push to the call of its pop; a value without one is popped as it is pushed and disturbs
//! nobody. Where no core is, the history can be cut in two; within a stretch that cores cover without a break,
//! one value must lie below all others, so its push begins before the first core and its pop ends after the last.
//! Any value for which that is true will do: if the rest is possible without it, it is possible above it, with
//! every moment moved into the stretch. So such values are taken away (decrease and conquer: Lee and Mathur,
//! *Efficient decrease-and-conquer linearizability monitoring*, OOPSLA 2025) until nothing is left, or a stretch
//! is left that nothing can lie under. Each value waits in a tree for its push, then in one for its pop, and
//! leaves each once; a third tree counts the cores over every moment and finds the breaks.
//!
//! A pop of unknown outcome may have taken any value that nobody popped. Which one is a choice; a few are tried,
//! and if none is right and even a stack that forgets those values at will is possible, a search has to decide.

use super::collection::{Empty, Found, Item, Items};
use super::fifo;
use super::trees::{Cover, Waiting};
use crate::budget::{Budget, Spent};
use crate::history::{History, NEVER};

/// What is known of a stack's history.
#[derive(Debug)]
pub enum Decided {
    Yes,
    No(Found),
    /// Bad if no take of unknown outcome took anything; else not known.
    Open(Found),
}

/// The windows of a value's push and pop.
#[derive(Clone, Copy, Debug)]
struct Life {
    item: u32,
    push_call: u32,
    push_ret: u32,
    pop_call: u32,
    /// After [`NEVER`] for a value that stays, at it for one that goes at an unknown time.
    pop_ret: u64,
}

const STAYS: u64 = NEVER as u64 + 1;

impl Life {
    fn of(place: usize, item: &Item) -> Self {
        let pop_ret = if item.is_taken() { u64::from(item.take_ret) } else { STAYS };
        Self {
            item: place as u32,
            push_call: item.put_call,
            push_ret: item.put_ret,
            pop_call: item.take_call,
            pop_ret,
        }
    }
    const fn has_core(&self) -> bool {
        self.push_ret < self.pop_call
    }
}

/// Whether a stack may have done this.
pub fn check(history: &History, items: &Items, budget: &Budget) -> Result<Decided, Spent> {
    let lives: Vec<Life> = items.items.iter().enumerate().map(|(at, item)| Life::of(at, item)).collect();
    let Some(found) = contradiction(history, items, &lives, budget)? else { return Ok(Decided::Yes) };
    if items.opens.is_empty() {
        return Ok(Decided::No(found));
    }
    // As if what nobody popped were forgotten at will.
    let popped: Vec<Life> = lives.iter().copied().filter(|life| life.pop_ret != STAYS).collect();
    if let Some(found) = contradiction(history, items, &popped, budget)? {
        return Ok(Decided::No(found));
    }
    for guess in guesses(items, &lives, budget)? {
        if possible(&guess, &items.empties, budget)? {
            return Ok(Decided::Yes);
        }
    }
    Ok(Decided::Open(found))
}

/// The first contradiction among these lives, as small as it gets.
fn contradiction(
    history: &History,
    items: &Items,
    lives: &[Life],
    budget: &Budget,
) -> Result<Option<Found>, Spent> {
    let cored: Vec<Life> = lives.iter().copied().filter(Life::has_core).collect();
    if let Some(empty) = not_empty(&cored, &items.empties) {
        let kept = lives.iter().map(|life| items.items[life.item as usize]).collect();
        let alone = Items { items: kept, end: items.end, ..Items::default() };
        return Ok(Some(fifo::cover(history, &alone, empty)));
    }
    let Some(stuck) = stuck(cored, budget)? else { return Ok(None) };
    let core = shrunk(stuck, budget)?;
    let mut core: Vec<&Item> = core.iter().map(|life| &items.items[life.item as usize]).collect();
    core.sort_by_key(|item| item.put_call);
    let shown: Vec<String> = core.iter().map(|item| history.arena.show(item.value)).collect();
    let stays: Vec<String> =
        core.iter().filter(|item| !item.is_taken()).map(|item| history.arena.show(item.value)).collect();
    let mut story = format!(
        "from the first return of a push to the last call of a pop, one of {} was in the stack at every moment; \
         none of them can lie under all others",
        shown.join(", ")
    );
    if !stays.is_empty() {
        story += &format!(" ({} never came out)", stays.join(", "));
    }
    Ok(Some(Found { name: "reordered", ops: fifo::ops(&core, &[]), story }))
}

fn possible(lives: &[Life], empties: &[Empty], budget: &Budget) -> Result<bool, Spent> {
    let cored: Vec<Life> = lives.iter().copied().filter(Life::has_core).collect();
    Ok(not_empty(&cored, empties).is_none() && stuck(cored, budget)?.is_none())
}

/// A take that found nothing, all within one stretch of cores.
fn not_empty(cored: &[Life], empties: &[Empty]) -> Option<Empty> {
    if empties.is_empty() {
        return None;
    }
    let mut cores: Vec<(u32, u32)> = cored.iter().map(|life| (life.push_ret, life.pop_call)).collect();
    cores.sort_unstable();
    let mut stretches: Vec<(u32, u32)> = Vec::new();
    for (from, to) in cores {
        match stretches.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => stretches.push((from, to)),
        }
    }
    let within = |empty: &&Empty| {
        let before = stretches.partition_point(|(from, _)| *from <= empty.call);
        before > 0 && stretches[before - 1].1 >= empty.ret
    };
    empties.iter().find(within).copied()
}

/// The lives of a stretch that none of them can lie under; `None`: there is none, all is possible.
fn stuck(mut lives: Vec<Life>, budget: &Budget) -> Result<Option<Vec<Life>>, Spent> {
    let count = lives.len() as u64;
    budget.spend(1 + count * 8)?;
    budget.hold(count * 120)?;
    lives.sort_unstable_by_key(|life| life.push_ret);
    // The moments at which cores begin or end, and the stretches between them, by number.
    let mut moments: Vec<u32> = lives.iter().flat_map(|life| [life.push_ret, life.pop_call]).collect();
    moments.sort_unstable();
    moments.dedup();
    let at = |place: u32| moments.partition_point(|moment| *moment < place) as u32;
    let cores: Vec<(u32, u32)> = lives.iter().map(|life| (at(life.push_ret), at(life.pop_call))).collect();
    let mut cover = Cover::new(moments.len(), &cores);
    // Waiting until the stretch begins after the call of the push; then until it ends before the return of the pop.
    let mut pushes = Waiting::new(lives.iter().map(|life| u64::from(life.push_call)).collect());
    let mut pops = Waiting::empty(lives.len());
    let mut stretches = Vec::new();
    cover.stretches(0, moments.len() as u32, &mut stretches);
    while let Some((from, to)) = stretches.pop() {
        let (begins, ends) = (u64::from(moments[from as usize]), u64::from(moments[to as usize]));
        let low = cores.partition_point(|core| core.0 < from);
        let high = cores.partition_point(|core| core.0 < to);
        while let Some(life) = pushes.take_below(low, high, begins) {
            // The tree gives what is below; a pop must end above.
            pops.wait(life, STAYS - lives[life].pop_ret);
        }
        let mut under = 0;
        while let Some(life) = pops.take_below(low, high, STAYS - ends) {
            cover.remove(cores[life]);
            under += 1;
        }
        if under == 0 {
            let left = (low..high).filter(|life| pushes.waits(*life) || pops.waits(*life));
            return Ok(Some(left.map(|life| lives[life]).collect()));
        }
        cover.stretches(from, to, &mut stretches);
    }
    Ok(None)
}

/// The same contradiction with fewer values: halves, quarters, and so on are left out while it stays one.
fn shrunk(mut lives: Vec<Life>, budget: &Budget) -> Result<Vec<Life>, Spent> {
    let mut size = lives.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < lives.len() {
            let mut fewer = lives.clone();
            fewer.drain(from..(from + size).min(lives.len()));
            match stuck(fewer, budget) {
                Ok(Some(stuck)) => {
                    lives = stuck;
                    from = 0;
                    size = size.min(lives.len() / 2).max(1);
                }
                Ok(None) => from += size,
                // A spent budget leaves the core as it is: large, and right.
                Err(_) => return Ok(lives),
            }
        }
        size /= 2;
    }
    Ok(lives)
}

/// Which values the takes of unknown outcome may have taken: those that had to go, the soonest first; all, the
/// latest first; all, the earliest first.
fn guesses(items: &Items, lives: &[Life], budget: &Budget) -> Result<Vec<Vec<Life>>, Spent> {
    let mut left: Vec<usize> = (0..lives.len()).filter(|life| lives[*life].pop_ret == STAYS).collect();
    let popped: Vec<&Life> = lives.iter().filter(|life| life.pop_ret != STAYS && life.has_core()).collect();
    let mut due: Vec<(u64, usize)> = Vec::new();
    for stays in &left {
        let life = &lives[*stays];
        budget.spend(1 + popped.len() as u64 / 8)?;
        // Under it for sure, and popped after it was pushed.
        let under =
            popped.iter().filter(|under| under.push_ret < life.push_call && life.push_ret < under.pop_call);
        let empties = items.empties.iter().filter(|empty| life.push_ret < empty.call);
        let times = under.map(|under| under.pop_ret).chain(empties.map(|empty| u64::from(empty.ret)));
        if let Some(time) = times.min() {
            due.push((time, *stays));
        }
    }
    due.sort_unstable();
    let mut orders = vec![due.into_iter().map(|(_, life)| life).collect::<Vec<usize>>()];
    left.sort_unstable_by_key(|life| lives[*life].push_ret);
    orders.push(left.iter().rev().copied().collect());
    orders.push(left);
    let go = |order: &Vec<usize>| {
        let mut lives = lives.to_vec();
        for (life, open) in order.iter().zip(&items.opens) {
            lives[*life].pop_call = open.call.max(lives[*life].push_call);
            lives[*life].pop_ret = u64::from(NEVER);
        }
        lives
    };
    Ok(orders.iter().map(go).collect())
}
