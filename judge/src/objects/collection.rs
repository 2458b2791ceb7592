//! The operations on one queue, stack or bag as items: each value with the time when it was put in and the time
//! when it was taken out.
//!
//! What the judges of these objects ([`super::fifo`], [`super::lifo`]) need to be fast is that each value is put
//! in at most once. What that decides by itself is decided here: a value that comes out without having been put
//! in, or comes out twice. Values that repeat leave the history to the [`super::search`].
//!
//! Unknown outcomes: a put whose value never comes out is left out, for an object without it can do all that the
//! object with it did. A take of unknown outcome may have taken any value that never came out, or none.

use crate::history::{History, NEVER, Outcome};
use crate::model::Unfit;
use crate::objects::ident::Idents;
use crate::objects::names::{Collection, Names};
use crate::value::Value;
use serde_json::Value as Json;

/// No operation: of a value that was there at the beginning, or never came out.
pub const NONE: u32 = u32::MAX;

/// A value and its life. Times are places of events; no two events share one, but the values of one drain share
/// the drain's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub value: Value,
    pub put: u32,
    /// [`NONE`]: nobody took it for sure.
    pub take: u32,
    pub put_call: u32,
    /// Not after `take_ret`: it was put in before it was taken out.
    pub put_ret: u32,
    /// Not before `put_call`; [`NEVER`] if nobody took it.
    pub take_call: u32,
    pub take_ret: u32,
}

impl Item {
    pub const fn is_taken(&self) -> bool {
        self.take != NONE
    }
}

/// A take that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Empty {
    pub op: u32,
    pub call: u32,
    pub ret: u32,
}

/// A take of unknown outcome; a drain of unknown outcome is as many as there are items that it may have taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    pub op: u32,
    pub call: u32,
}

/// One object's operations.
#[derive(Clone, Debug, Default)]
pub struct Items {
    /// Put for sure or taken for sure, in the order of the calls of their puts.
    pub items: Vec<Item>,
    pub empties: Vec<Empty>,
    /// In the order of their calls.
    pub opens: Vec<Open>,
    /// All places are below this.
    pub end: u32,
    pub puts: usize,
    pub takes: usize,
    pub drained: bool,
}

/// What was found while the items were gathered.
#[derive(Debug)]
pub enum Gathered {
    Items(Items),
    /// A value was put in more than once: by these operations.
    Repeated(Value, [usize; 2]),
    Found(Found),
}

/// A contradiction: its name, its operations, its last sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub name: &'static str,
    pub ops: Vec<usize>,
    pub story: String,
}

/// One operation, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Put(Value),
    /// What it gave; `None`: it found nothing.
    Take(Option<Value>),
    /// May have taken something.
    OpenTake,
    /// May have taken anything.
    OpenDrain,
    /// Did nothing, or nothing that can be said.
    Nothing,
}

/// What an operation did; a drain that was answered is given by its items instead.
pub fn step(history: &History, role: Collection, place: usize) -> Step {
    let op = &history.ops[place];
    let is = |value: Value, text: &str| {
        history.arena.str_of(value).is_some_and(|said| said.trim_start_matches(':') == text)
    };
    match (role, op.outcome) {
        // An offer that was turned down.
        (Collection::Put, Outcome::Ok) if op.output == Value::bool(false) && op.input != op.output => {
            Step::Nothing
        }
        (Collection::Put, Outcome::Ok | Outcome::Info) => Step::Put(op.input),
        (Collection::Take, Outcome::Ok) if op.output.is_nil() || is(op.output, "empty") => Step::Take(None),
        (Collection::Take, Outcome::Ok) => Step::Take(Some(op.output)),
        // A refusal tells that there was nothing only if it says so.
        (Collection::Take, Outcome::Fail) if is(op.error, "empty") => Step::Take(None),
        (Collection::Take, Outcome::Info) => Step::OpenTake,
        (Collection::Drain, Outcome::Info) => Step::OpenDrain,
        _ => Step::Nothing,
    }
}

/// The values that an object begins with.
pub fn initial(history: &History, initial: Option<&Json>) -> Result<Vec<Value>, Unfit> {
    let Some(Json::Array(values)) = initial else { return Ok(Vec::new()) };
    // Values of the history with the same text are the same; others nobody can take.
    let texts: Vec<String> = values.iter().map(Json::to_string).collect();
    let mut found = vec![None; values.len()];
    for op in &history.ops {
        for value in [op.input, op.output] {
            let shown = history.arena.show(value);
            for (at, text) in texts.iter().enumerate() {
                if found[at].is_none() && *text == shown {
                    found[at] = Some(value);
                }
            }
        }
    }
    found
        .into_iter()
        .zip(values)
        .map(|(value, json)| {
            let value = value.or_else(|| json.as_i64().and_then(Value::small));
            value.ok_or_else(|| Unfit(format!("the history never speaks of the initial value {json}")))
        })
        .collect()
}

/// The items of one object.
pub fn gather(
    history: &History,
    names: &Names<Collection>,
    places: &[u32],
    initial: &[Value],
) -> Result<Gathered, Unfit> {
    let arena = &history.arena;
    let mut idents = Idents::default();
    // By value: its item, or the refused put that asked for it.
    let mut of_value: Vec<Option<usize>> = Vec::new();
    let mut all: Vec<Item> = Vec::with_capacity(places.len() / 2 + initial.len());
    // Initial values are put in before all events, one after the other. An object with few of the events counts
    // only its own.
    let shift = 2 * initial.len() as u32;
    let own = Places::of(history, places);
    let last = own.end + shift + 1;
    let at = |place: u32| if place == NEVER { NEVER } else { own.at(place) + shift };
    // Completions alone have no order in time.
    let window = |place: usize| {
        let op = &history.ops[place];
        if history.completions_only {
            (shift, if op.ret == NEVER { NEVER } else { last - 1 })
        } else {
            (at(op.call), at(op.ret))
        }
    };
    let untaken = |value, put, call, ret| Item {
        value,
        put,
        take: NONE,
        put_call: call,
        put_ret: ret,
        take_call: NEVER,
        take_ret: NEVER,
    };
    for (place, value) in initial.iter().enumerate() {
        let id = idents.of(arena, *value) as usize;
        of_value.resize(idents.len(), None);
        if of_value[id].replace(all.len()).is_some() {
            return Err(Unfit(format!("the initial value {} is there twice", arena.show(*value))));
        }
        all.push(untaken(*value, NONE, 2 * place as u32, 2 * place as u32 + 1));
    }
    let mut gathered = Items { end: last, ..Items::default() };
    for place in places.iter().map(|place| *place as usize) {
        let Some(Collection::Put) = names.role(&history.ops[place]) else { continue };
        let Step::Put(value) = step(history, Collection::Put, place) else { continue };
        let id = idents.of(arena, value) as usize;
        of_value.resize(idents.len(), None);
        if let Some(first) = of_value[id].replace(all.len()) {
            let first = all[first].put;
            return Ok(Gathered::Repeated(
                value,
                [if first == NONE { place } else { first as usize }, place],
            ));
        }
        let (call, ret) = window(place);
        all.push(untaken(value, place as u32, call, ret));
        gathered.puts += 1;
    }
    let mut drains = 0;
    for place in places.iter().map(|place| *place as usize) {
        let op = &history.ops[place];
        let role = match names.role(op) {
            None | Some(Collection::Put) => continue,
            Some(role) => role,
        };
        let (call, ret) = window(place);
        let values = match step(history, role, place) {
            Step::Take(Some(value)) => &[value][..],
            Step::Take(None) => {
                // A refusal returns where it ended.
                gathered.empties.push(Empty { op: place as u32, call, ret });
                gathered.takes += 1;
                continue;
            }
            Step::OpenTake => {
                gathered.opens.push(Open { op: place as u32, call });
                continue;
            }
            Step::OpenDrain => {
                gathered.opens.push(Open { op: place as u32, call });
                drains += 1;
                continue;
            }
            Step::Nothing if role == Collection::Drain && op.is_ok() => {
                gathered.drained = true;
                let items = arena.items_of(op.output);
                items.ok_or_else(|| Unfit(format!("a drain gives a list: {}", history.tell(place))))?
            }
            Step::Nothing | Step::Put(_) => continue,
        };
        for value in values {
            gathered.takes += 1;
            let id = idents.of(arena, *value) as usize;
            of_value.resize(idents.len().max(of_value.len()), None);
            let Some(item) = of_value[id].map(|item| &mut all[item]) else {
                return Ok(Gathered::Found(unexpected(history, names, places, place, *value)));
            };
            if item.is_taken() {
                let ops = [item.put, item.take, place as u32].into_iter().filter(|op| *op != NONE);
                let story = format!("{} was put in once and came out twice", arena.show(*value));
                let ops = ops.map(|op| op as usize).collect();
                return Ok(Gathered::Found(Found { name: "duplicated", ops, story }));
            }
            if ret < item.put_call {
                let (value, ops) = (arena.show(*value), vec![place, item.put as usize]);
                let story = format!("{value} came out before anybody began to put it in");
                return Ok(Gathered::Found(Found { name: "unexpected", ops, story }));
            }
            item.take = place as u32;
            item.take_call = call.max(item.put_call);
            item.take_ret = ret;
            item.put_ret = item.put_ret.min(ret);
        }
    }
    all.retain(|item| item.is_taken() || item.put_ret != NEVER);
    if drains > 0 {
        let untaken = all.iter().filter(|item| !item.is_taken()).count();
        let drain = |open: &Open| names.role(&history.ops[open.op as usize]) == Some(Collection::Drain);
        let opens = std::mem::take(&mut gathered.opens).into_iter();
        gathered.opens = opens
            .flat_map(|open| std::iter::repeat_n(open, if drain(&open) { untaken } else { 1 }))
            .collect();
    }
    gathered.items = all;
    Ok(Gathered::Items(gathered))
}

/// The places of one object's events among all events.
struct Places {
    /// Empty: all are counted.
    sorted: Vec<u32>,
    end: u32,
}

impl Places {
    fn of(history: &History, places: &[u32]) -> Self {
        let events = places.iter().flat_map(|place| {
            let op = &history.ops[*place as usize];
            [op.call, op.end]
        });
        let events = events.filter(|place| *place != NEVER);
        if places.len() * 4 > history.ops.len() {
            return Self { sorted: Vec::new(), end: events.max().map_or(0, |last| last + 1) };
        }
        let mut sorted: Vec<u32> = events.collect();
        sorted.sort_unstable();
        sorted.dedup();
        let end = sorted.len() as u32;
        Self { sorted, end }
    }
    fn at(&self, place: u32) -> u32 {
        if self.sorted.is_empty() {
            place
        } else {
            self.sorted.partition_point(|event| *event < place) as u32
        }
    }
}

/// A value that came out and that nobody put in, or whose put was refused.
fn unexpected(
    history: &History,
    names: &Names<Collection>,
    places: &[u32],
    take: usize,
    value: Value,
) -> Found {
    let put = places.iter().map(|place| *place as usize).find(|place| {
        let op = &history.ops[*place];
        names.role(op) == Some(Collection::Put) && history.arena.equal(op.input, value)
    });
    let shown = history.arena.show(value);
    let story = match put {
        Some(_) => format!("{shown} came out, and the only attempts to put it in were refused"),
        None => format!("{shown} came out, and nobody put it in"),
    };
    Found { name: "unexpected", ops: put.into_iter().chain([take]).collect(), story }
}
