//! A history as it is written: events by clients, in order; and the numbers that decide them.

use crate::generate::Random;
use crate::history::{Builder, Event, History, Kind};
use crate::value::{Arena, Value};

/// Writes events; a millisecond passes between two, and more where `clock_ms` is put forward.
#[derive(Debug, Default)]
pub struct Script {
    pub arena: Arena,
    pub clock_ms: u64,
    builder: Builder,
    events: u64,
}

impl Script {
    pub fn event(&mut self, kind: Kind, process: usize, f: &str, key: Value, value: Value) {
        let event = Event {
            kind,
            process: self.arena.int(process as i64),
            f: self.arena.intern(f),
            key,
            value,
            time: Some(self.clock_ms * 1_000_000),
            index: self.events,
            error: Value::NIL,
            line: u32::try_from(self.events + 1).unwrap_or(u32::MAX),
        };
        self.events += 1;
        self.clock_ms += 1;
        self.builder.add(&event, &self.arena).expect("a generator keeps the rules of a history");
    }
    pub fn invoke(&mut self, process: usize, f: &str, value: Value) {
        self.event(Kind::Invoke, process, f, Value::NIL, value);
    }
    pub fn ok(&mut self, process: usize, f: &str, value: Value) {
        self.event(Kind::Ok, process, f, Value::NIL, value);
    }
    /// An operation that nothing else happened during.
    pub fn at_once(&mut self, process: usize, f: &str, asked: Value, answered: Value) {
        self.invoke(process, f, asked);
        self.ok(process, f, answered);
    }
    pub fn int(&mut self, value: usize) -> Value {
        self.arena.int(value as i64)
    }
    pub fn list(&mut self, items: &[Value]) -> Value {
        self.arena.list(items).expect("a short list")
    }
    pub fn len(&self) -> u64 {
        self.events
    }
    pub const fn is_empty(&self) -> bool {
        self.events == 0
    }
    pub fn finish(self) -> History {
        self.builder.finish(self.arena)
    }
}

/// A service that clients call: what they ask next, and what it does.
pub trait Service {
    /// The operation's name, key and value.
    fn ask(
        &mut self,
        client: usize,
        random: &mut Random,
        script: &mut Script,
    ) -> (&'static str, Value, Value);
    /// It takes effect; the answer, or none if it is refused and did nothing.
    fn apply(
        &mut self,
        client: usize,
        asked: (&'static str, Value, Value),
        random: &mut Random,
        script: &mut Script,
    ) -> Option<Value>;
    /// The client was never answered, and goes on as another.
    fn lost(&mut self, _client: usize) {}
}

#[derive(Clone, Copy)]
enum Client {
    Idle,
    Asked(&'static str, Value, Value),
    Answered(&'static str, Value, Value, Option<Value>),
}

/// Lets clients call a service at the same time.
pub fn drive(
    service: &mut dyn Service,
    random: &mut Random,
    clients: usize,
    operations: usize,
    unknown_percent: u32,
) -> Script {
    let mut script = Script::default();
    let mut doing = vec![Client::Idle; clients];
    let mut names: Vec<usize> = (0..clients).collect();
    let mut begun = 0;
    loop {
        let idle = doing.iter().all(|client| matches!(client, Client::Idle));
        if begun == operations && idle {
            return script;
        }
        let at = random.place(clients);
        let lost = random.percent(unknown_percent / 2);
        doing[at] = match doing[at] {
            Client::Idle if begun == operations => Client::Idle,
            Client::Idle => {
                begun += 1;
                let (f, key, value) = service.ask(at, random, &mut script);
                script.event(Kind::Invoke, names[at], f, key, value);
                Client::Asked(f, key, value)
            }
            Client::Asked(f, key, value) | Client::Answered(f, key, value, Some(_)) if lost => {
                script.event(Kind::Info, names[at], f, key, value);
                service.lost(at);
                names[at] += clients;
                Client::Idle
            }
            Client::Asked(f, key, value) => {
                Client::Answered(f, key, value, service.apply(at, (f, key, value), random, &mut script))
            }
            Client::Answered(f, key, value, answer) => {
                let kind = if answer.is_some() { Kind::Ok } else { Kind::Fail };
                script.event(kind, names[at], f, key, answer.unwrap_or(value));
                Client::Idle
            }
        };
    }
}
