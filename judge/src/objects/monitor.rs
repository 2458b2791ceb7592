//! Linearizability of queues, stacks and bags: gathers each object's items, and asks the algorithm that fits.

use super::collection::{self, Found, Gathered, Items, Step};
use super::names::{self, Collection, Names};
use super::report::Report;
use super::search::{self, Act, Call, Order};
use super::{fifo, ident::Idents, lifo};
use crate::budget::{Budget, Spent};
use crate::history::NEVER;
use crate::model::Unfit;
use crate::{History, Options, Value, Verdict};

/// The verdict on every object of a history.
pub fn judge(
    history: &History,
    options: &Options,
    budget: &Budget,
    order: Order,
    knows: &str,
) -> Result<Verdict, Unfit> {
    let names = Names::of(history, knows, names::collection)?;
    let initial = collection::initial(history, options.initial.as_ref())?;
    let algorithm = match order {
        Order::Fifo => {
            "queue: bad patterns of unique values (Bouajjani et al., ICALP 2015; Lee and Mathur, OOPSLA 2025)"
        }
        Order::Lifo => "stack: decrease and conquer over unique values (Lee and Mathur, OOPSLA 2025)",
        Order::Bag => {
            "bag: bad patterns of unique values (Bouajjani et al., ICALP 2015; Lee and Mathur, OOPSLA 2025)"
        }
    };
    let mut report = Report::new(history, algorithm);
    let (mut puts, mut takes) = (0, 0);
    let objects = history.by_key(|_| true);
    for (key, places) in &objects {
        match collection::gather(history, &names, places, &initial)? {
            Gathered::Found(found) => tell(&mut report, *key, found),
            Gathered::Repeated(value, by) => {
                let shown = history.arena.show(value);
                report.note(format!(
                    "{shown} is put in twice ({}; {}): decided by search (Wing and Gong; Lowe)",
                    history.tell(by[0]),
                    history.tell(by[1])
                ));
                let calls = calls(history, &names, places, &initial)?;
                repeated(&mut report, *key, (calls, order), budget);
            }
            Gathered::Items(items) => {
                (puts, takes) = (puts + items.puts, takes + items.takes);
                if items.drained {
                    report
                        .note("the values of a drain are taken for dequeues at the same time, in any order");
                }
                let found = match order {
                    Order::Fifo => fifo::check(history, &items, true, budget),
                    Order::Bag => fifo::check(history, &items, false, budget),
                    Order::Lifo => stack(history, &names, (places, &items), &initial, budget)?,
                };
                match found {
                    Ok(None) => {}
                    Ok(Some(found)) => tell(&mut report, *key, found),
                    Err(spent) => report.unknown(*key, spent.to_string()),
                }
            }
        }
    }
    let looked_at = format!("{puts} puts and {takes} takes of {} objects", objects.len());
    Ok(report.verdict(looked_at, "an order of all operations explains every answer"))
}

fn tell(report: &mut Report<'_>, key: Value, found: Found) {
    report.found(found.name, key, || (found.ops, found.story));
}

/// A stack: decided by its items where no take is of unknown outcome, or where those turn out not to matter, or
/// to be no help; else by search.
fn stack(
    history: &History,
    names: &Names<Collection>,
    (places, items): (&[u32], &Items),
    initial: &[Value],
    budget: &Budget,
) -> Result<Result<Option<Found>, Spent>, Unfit> {
    match lifo::check(history, items, budget) {
        Ok(lifo::Decided::Yes) => Ok(Ok(None)),
        Ok(lifo::Decided::No(found)) => Ok(Ok(Some(found))),
        Err(spent) => Ok(Err(spent)),
        Ok(lifo::Decided::Open(found)) => {
            let (_, calls) = calls(history, names, places, initial)?;
            Ok(search::possible(&calls, Order::Lifo, budget).map(|possible| (!possible).then_some(found)))
        }
    }
}

/// The operations as calls for the search, in the order of their calls, with the places of those that are no
/// initial values.
type Calls = (Vec<Option<usize>>, Vec<Call>);

fn calls(
    history: &History,
    names: &Names<Collection>,
    places: &[u32],
    initial: &[Value],
) -> Result<Calls, Unfit> {
    let mut idents = Idents::default();
    let mut calls: Calls = Default::default();
    let mut add = |place: Option<usize>, act: Act, call: u32, ret: u32| {
        calls.0.push(place);
        calls.1.push(Call { act, call, ret });
    };
    let shift = 2 * initial.len() as u32;
    for (place, value) in initial.iter().enumerate() {
        let id = idents.of(&history.arena, *value);
        add(None, Act::Put(id), 2 * place as u32, 2 * place as u32 + 1);
    }
    // A drain of unknown outcome is as many takes as there are puts.
    let puts = places.iter().filter(|place| {
        let place = **place as usize;
        names.role(&history.ops[place]) == Some(Collection::Put)
            && matches!(collection::step(history, Collection::Put, place), Step::Put(_))
    });
    let puts = puts.count() + initial.len();
    for place in places.iter().map(|place| *place as usize) {
        let op = &history.ops[place];
        let Some(role) = names.role(op) else { continue };
        let ret = if op.ret == NEVER { NEVER } else { op.ret + shift };
        let (call, ret) = match ret {
            _ if !history.completions_only => (op.call + shift, ret),
            NEVER => (shift, NEVER),
            _ => (shift, NEVER - 1),
        };
        let mut one = |act: Act| add(Some(place), act, call, ret);
        match collection::step(history, role, place) {
            Step::Put(value) => one(Act::Put(idents.of(&history.arena, value))),
            Step::Take(Some(value)) => one(Act::Take(idents.of(&history.arena, value))),
            Step::Take(None) => one(Act::Empty),
            Step::OpenTake => one(Act::Any),
            Step::OpenDrain => (0..puts).for_each(|_| one(Act::Any)),
            Step::Nothing if role == Collection::Drain && op.is_ok() => {
                let items = history.arena.items_of(op.output);
                let items =
                    items.ok_or_else(|| Unfit(format!("a drain gives a list: {}", history.tell(place))))?;
                for item in items {
                    one(Act::Take(idents.of(&history.arena, *item)));
                }
            }
            Step::Nothing => {}
        }
    }
    Ok(calls)
}

/// Decides by search, and if it is bad, leaves out one value after the other (all its operations at once, for
/// then what was possible stays possible) while it stays bad.
fn repeated(report: &mut Report<'_>, key: Value, (calls, order): (Calls, Order), budget: &Budget) {
    /// How many values the core may begin with: each costs a search.
    const SHRUNK_MAX: usize = 200;
    let (mut places, mut calls) = calls;
    match search::possible(&calls, order, budget) {
        Err(spent) => return report.unknown(key, spent.to_string()),
        Ok(true) => return,
        Ok(false) => {}
    }
    // The core may cost as much as one search more.
    let begun = budget.steps_spent();
    let affordable = || budget.steps_spent() - begun < search::STEPS_MAX;
    let value_of = |act: Act| match act {
        Act::Put(value) | Act::Take(value) => Some(value),
        Act::Empty | Act::Any => None,
    };
    let mut values: Vec<u32> = calls.iter().filter_map(|call| value_of(call.act)).collect();
    values.sort_unstable();
    values.dedup();
    for value in values.into_iter().take(SHRUNK_MAX).take_while(|_| affordable()) {
        let kept = |call: &Call| value_of(call.act) != Some(value);
        let fewer: Vec<Call> = calls.iter().copied().filter(kept).collect();
        // A spent budget leaves the core as it is: large, and right.
        if let Ok(false) = search::possible(&fewer, order, budget) {
            places =
                places.iter().zip(&calls).filter(|(_, call)| kept(call)).map(|(place, _)| *place).collect();
            calls = fewer;
        }
    }
    let mut at = 0;
    while at < calls.len() && calls.len() <= SHRUNK_MAX && affordable() {
        let mut fewer = calls.clone();
        fewer.remove(at);
        if calls[at].act == Act::Empty && search::possible(&fewer, order, budget) == Ok(false) {
            places.remove(at);
            calls = fewer;
        } else {
            at += 1;
        }
    }
    report.found("nonlinearizable", key, || {
        let mut ops: Vec<usize> = places.into_iter().flatten().collect();
        ops.dedup();
        (ops, "no order of these operations explains every answer".into())
    });
}
