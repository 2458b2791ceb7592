//! The services behind the histories: each the real thing, in memory.

use super::script::{Script, Service, drive};
use crate::generate::Random;
use crate::history::{History, Kind};
use crate::value::Value;
use std::collections::VecDeque;

type Asked = (&'static str, Value, Value);

/// How large a history is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub clients: usize,
    pub operations: usize,
    pub unknown_percent: u32,
}

/// A set that is added to and read; at the end it is read once more.
pub fn set(seed: u64, size: Size) -> History {
    struct Set {
        next: usize,
        inside: Vec<Value>,
    }
    impl Service for Set {
        fn ask(&mut self, _: usize, random: &mut Random, script: &mut Script) -> Asked {
            if random.percent(70) {
                self.next += 1;
                return ("add", Value::NIL, script.int(self.next));
            }
            ("read", Value::NIL, Value::NIL)
        }
        fn apply(
            &mut self,
            _: usize,
            (f, _, value): Asked,
            _: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            if f == "add" {
                self.inside.push(value);
                return Some(value);
            }
            Some(script.list(&self.inside))
        }
    }
    let mut set = Set { next: 0, inside: Vec::new() };
    let mut script = run(&mut set, seed, size);
    let all = script.list(&set.inside);
    script.at_once(usize::MAX >> 8, "read", Value::NIL, all);
    script.finish()
}

fn run(service: &mut dyn Service, seed: u64, size: Size) -> Script {
    drive(service, &mut Random::new(seed), size.clients, size.operations, size.unknown_percent)
}

/// A counter that grows.
pub fn counter(seed: u64, size: Size) -> History {
    struct Counter(usize);
    impl Service for Counter {
        fn ask(&mut self, _: usize, random: &mut Random, script: &mut Script) -> Asked {
            if random.percent(50) {
                return ("add", Value::NIL, script.int(1 + random.place(5)));
            }
            ("read", Value::NIL, Value::NIL)
        }
        fn apply(
            &mut self,
            _: usize,
            (f, _, value): Asked,
            random: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            if f == "read" {
                return Some(script.int(self.0));
            }
            if random.percent(10) {
                return None;
            }
            self.0 += value.as_int().map_or(0, |amount| amount as usize);
            Some(value)
        }
    }
    run(&mut Counter(0), seed, size).finish()
}

/// A queue that is drained at the end; a dequeue that finds nothing is refused.
pub fn drained_queue(seed: u64, size: Size) -> History {
    struct Queue {
        next: usize,
        inside: VecDeque<Value>,
        /// Taken by somebody who was never told: gone for good, so only enqueues may be lost.
        taken: Vec<Option<Value>>,
    }
    impl Service for Queue {
        fn ask(&mut self, client: usize, random: &mut Random, script: &mut Script) -> Asked {
            self.taken[client] = None;
            if random.percent(60) {
                self.next += 1;
                return ("enqueue", Value::NIL, script.int(self.next));
            }
            ("dequeue", Value::NIL, Value::NIL)
        }
        fn apply(
            &mut self,
            client: usize,
            (f, _, value): Asked,
            _: &mut Random,
            _: &mut Script,
        ) -> Option<Value> {
            if f == "enqueue" {
                self.inside.push_back(value);
                return Some(value);
            }
            self.taken[client] = self.inside.pop_front();
            self.taken[client]
        }
        fn lost(&mut self, client: usize) {
            // A take that was not acknowledged is given back, as queues with acknowledgements do.
            self.inside.extend(self.taken[client].take());
        }
    }
    let mut queue = Queue { next: 0, inside: VecDeque::new(), taken: vec![None; size.clients] };
    let mut script = run(&mut queue, seed, size);
    let rest: Vec<Value> = queue.inside.into_iter().collect();
    let rest = script.list(&rest);
    script.at_once(usize::MAX >> 8, "drain", Value::NIL, rest);
    script.finish()
}

pub fn ids(seed: u64, size: Size) -> History {
    struct Ids(usize);
    impl Service for Ids {
        fn ask(&mut self, _: usize, _: &mut Random, _: &mut Script) -> Asked {
            ("generate", Value::NIL, Value::NIL)
        }
        fn apply(&mut self, _: usize, _: Asked, random: &mut Random, script: &mut Script) -> Option<Value> {
            self.0 += 1 + random.place(9);
            Some(script.int(self.0))
        }
    }
    run(&mut Ids(0), seed, size).finish()
}

/// Five accounts of ten each.
pub fn bank(seed: u64, size: Size) -> History {
    struct Bank([usize; 5]);
    impl Service for Bank {
        fn ask(&mut self, _: usize, random: &mut Random, script: &mut Script) -> Asked {
            if random.percent(40) {
                return ("read", Value::NIL, Value::NIL);
            }
            let transfer =
                [random.place(5), random.place(5), 1 + random.place(5)].map(|number| script.int(number));
            ("transfer", Value::NIL, script.list(&transfer))
        }
        fn apply(
            &mut self,
            _: usize,
            (f, _, value): Asked,
            _: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            if f == "read" {
                let balances: Vec<Value> = (0..5)
                    .flat_map(|account| {
                        [script.arena.text(&account.to_string()), script.int(self.0[account])]
                    })
                    .collect();
                return Some(script.list(&balances));
            }
            let transfer: Vec<usize> = script
                .arena
                .items_of(value)?
                .iter()
                .filter_map(|item| item.as_int())
                .map(|item| item as usize)
                .collect();
            let [from, to, amount] = transfer[..] else { return None };
            self.0[from] = self.0[from].checked_sub(amount)?;
            self.0[to] += amount;
            Some(value)
        }
    }
    run(&mut Bank([10; 5]), seed, size).finish()
}

/// Keys in groups of two, each written once.
pub fn forks(seed: u64, size: Size) -> History {
    struct Keys(Vec<bool>);
    impl Service for Keys {
        fn ask(&mut self, _: usize, random: &mut Random, script: &mut Script) -> Asked {
            if self.0.is_empty() || random.percent(40) {
                self.0.push(false);
                let step = [script.arena.text("w"), script.int(self.0.len() - 1), script.int(1)];
                let step = script.list(&step);
                return ("txn", Value::NIL, script.list(&[step]));
            }
            let group = self.0.len().saturating_sub(1 + random.place(4)) / 2 * 2;
            let steps = [group, group + 1].map(|key| {
                let step = [script.arena.text("r"), script.int(key), Value::NIL];
                script.list(&step)
            });
            ("txn", Value::NIL, script.list(&steps))
        }
        fn apply(
            &mut self,
            _: usize,
            (_, _, txn): Asked,
            _: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            let steps: Vec<Value> = script.arena.items_of(txn)?.to_vec();
            let mut answer = Vec::new();
            for step in steps {
                let [f, key, _] = *script.arena.items_of(step)? else { return None };
                let at = key.as_int()? as usize;
                if script.arena.str_of(f) == Some("w") {
                    self.0[at] = true;
                }
                let value = if self.0.get(at).copied().unwrap_or(false) { script.int(1) } else { Value::NIL };
                answer.push(script.list(&[f, key, value]));
            }
            Some(script.list(&answer))
        }
    }
    run(&mut Keys(Vec::new()), seed, size).finish()
}

/// One register, all writes different; `versions`: answered with the version too.
pub fn register(seed: u64, size: Size, versions: bool) -> History {
    struct Register {
        next: usize,
        value: Value,
        version: usize,
        versions: bool,
    }
    impl Service for Register {
        fn ask(&mut self, _: usize, random: &mut Random, script: &mut Script) -> Asked {
            if random.percent(40) {
                self.next += 1;
                return ("write", Value::NIL, script.int(self.next));
            }
            ("read", Value::NIL, Value::NIL)
        }
        fn apply(
            &mut self,
            _: usize,
            (f, _, value): Asked,
            _: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            if f == "write" {
                self.value = value;
                self.version += 1;
            }
            if !self.versions {
                return Some(self.value);
            }
            let version = script.int(self.version);
            Some(script.list(&[self.value, version]))
        }
    }
    run(&mut Register { next: 0, value: Value::NIL, version: 0, versions }, seed, size).finish()
}

/// Two writers, and watchers of all keys.
pub fn watch(seed: u64, size: Size) -> History {
    struct Store {
        next: usize,
        /// Revision, key, value.
        events: Vec<(usize, Value, Value)>,
        revision: usize,
        /// Of each watcher: the revision it needs next as far as it knows, and after what was sent to it.
        seen: Vec<(usize, usize)>,
        open: Vec<bool>,
    }
    impl Store {
        fn write(&mut self, key: Value, value: Value) {
            self.events.push((self.revision, key, value));
        }
    }
    impl Service for Store {
        fn ask(&mut self, client: usize, random: &mut Random, script: &mut Script) -> Asked {
            if client < 2 {
                self.next += 2;
                let key = script.arena.text(["x", "y", "z"][random.place(3)]);
                return match random.place(10) {
                    0 => ("delete", key, Value::NIL),
                    1 | 2 => {
                        let steps = [("x", self.next), ("y", self.next + 1)].map(|(key, value)| {
                            let step = [script.arena.text("w"), script.arena.text(key), script.int(value)];
                            script.list(&step)
                        });
                        ("txn", Value::NIL, script.list(&steps))
                    }
                    _ => ("put", key, script.int(self.next)),
                };
            }
            self.seen[client].0 = self.seen[client].1;
            if !std::mem::replace(&mut self.open[client], true) {
                return ("watch", Value::NIL, script.int(self.seen[client].0));
            }
            (if random.percent(20) { "progress" } else { "watch" }, Value::NIL, Value::NIL)
        }
        fn apply(
            &mut self,
            client: usize,
            (f, key, value): Asked,
            random: &mut Random,
            script: &mut Script,
        ) -> Option<Value> {
            if client >= 2 {
                let from = self.seen[client].0;
                if f == "progress" {
                    return Some(script.int(from - 1));
                }
                let to = if random.percent(50) {
                    self.revision
                } else {
                    self.revision.min(from + random.place(3))
                };
                self.seen[client].1 = from.max(to + 1);
                let sent: Vec<Value> = self
                    .events
                    .iter()
                    .filter(|(revision, _, _)| (from..=to).contains(revision))
                    .map(|(revision, key, value)| {
                        let revision = script.int(*revision);
                        script.list(&[revision, *key, *value])
                    })
                    .collect();
                return Some(script.list(&sent));
            }
            self.revision += 1;
            if f == "txn" {
                for step in script.arena.items_of(value)?.to_vec() {
                    let [_, key, value] = *script.arena.items_of(step)? else { return None };
                    self.write(key, value);
                }
            } else {
                self.write(key, value);
            }
            let revision = script.int(self.revision);
            Some(script.list(&[value, revision]))
        }
        fn lost(&mut self, client: usize) {
            self.seen[client].1 = self.seen[client].0;
            self.open[client] = false;
        }
    }
    let clients = size.clients.max(4);
    let (seen, open) = (vec![(2, 2); clients], vec![false; clients]);
    let mut store = Store { next: 0, events: Vec::new(), revision: 1, seen, open };
    run(&mut store, seed, Size { clients, ..size }).finish()
}

/// Leases one after the other, each kept alive for a while and then abandoned or revoked; and a lock with tokens.
pub fn leases(seed: u64, size: Size) -> History {
    let mut random = Random::new(seed);
    let mut script = Script::default();
    let mut lease = 0;
    while script.len() < 2 * size.operations as u64 {
        lease += 1;
        let ttl = 2 + random.place(8);
        let (id, value) = (script.int(lease), script.int(ttl));
        let granted = script.list(&[id, value]);
        script.at_once(0, "grant", value, granted);
        let key = script.arena.text(&format!("k{lease}"));
        let at_key = |script: &mut Script, f: &str, asked: Value, answered: Value| {
            script.event(Kind::Invoke, 1, f, key, asked);
            script.event(Kind::Ok, 1, f, key, answered);
        };
        let put = script.list(&[value, id]);
        at_key(&mut script, "put", put, put);
        let mut refreshed = script.clock_ms - 4;
        for _ in 0..random.place(4) {
            script.clock_ms += 100 * random.place(9 * ttl) as u64;
            at_key(&mut script, "read", Value::NIL, value);
            refreshed = script.clock_ms;
            script.at_once(0, "keep-alive", id, value);
        }
        script.clock_ms = script.clock_ms.max(refreshed + 500 * ttl as u64);
        at_key(&mut script, "read", Value::NIL, value);
        if random.percent(30) {
            script.at_once(0, "revoke", id, Value::NIL);
        } else {
            script.clock_ms = refreshed + 1_000 * ttl as u64 + 2_500;
        }
        at_key(&mut script, "read", Value::NIL, Value::NIL);
        let (lock, store) = (script.arena.text("lock"), script.arena.text("store"));
        script.event(Kind::Invoke, 2, "acquire", lock, Value::NIL);
        script.event(Kind::Ok, 2, "acquire", lock, id);
        script.event(Kind::Invoke, 2, "fenced-write", store, put);
        script.event(Kind::Ok, 2, "fenced-write", store, put);
    }
    script.finish()
}
