//! A client of the load. It keeps one session, on one server at a time, and has one operation open. It goes on from server to
//! server while nothing forces it, as clients do behind a name of several addresses: so every server is asked, also one
//! that comes back, and what a session is promised wherever it goes is put to the test.
//!
//! A register, a counter and a list are the data of a node, which a counter and a list change by a `setData` that names
//! the version that was read; a set is a node's children. A read is a `sync` and the read behind it, on one connection.
//!
//! `fail` means that nothing was written: it was never sent, or the server refused it by a code that says so. What was sent
//! and has no such answer is `unknown`: its connection is closed, and the session goes on elsewhere.
//!
//! A `sync` is no quorum operation: a leader that has been replaced and has not noticed answers it
//! (`FollowerRequestProcessor`, `Leader.processSync` of ZooKeeper 3.8, and the guide's page on consistency). A read that shows an older
//! epoch than one that any client has heard of before it came back is therefore `unknown`.

use super::code::Code;
use super::session::Session as State;
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Acl, Answer, CreateMode, Request};
use super::words::epoch;
use super::worker::Epochs;
use crate::env::NodeId;
use crate::history::{Key, KeyKind, OpKind, Outcome, Value};
use crate::run::client::name;
use crate::run::load::Session;
use crate::run::task::{CallError, Io, LocalRef};
use crate::run::workload::{Intent, Workload, pad, unpad};
use crate::run::world::Shared;
use crate::target::group::Rota;
use crate::time::{Micros, Millis};
use crate::timeline::Load;

/// How often a change is tried whose version does not hold any more.
const TRIES: u32 = 4;
/// How long a client stays on a server that answers, and by how much each of eight clients more than the one before.
const STAYS: Millis = Millis(1500);
const STAYS_LONGER: u64 = 125;
/// A server that has seen less than a session hangs up on it; how often it is asked again, and how long after.
const WELCOMES: u32 = 4;
const WELCOME_AGAIN: Millis = Millis(30);
/// The timeout that a session wishes for, which is the longest that a server gives.
pub const SESSION_MS: i32 = 10_000;

#[derive(Debug)]
pub struct Client {
    io: Io,
    world: Shared,
    workload: Workload,
    epochs: Epochs,
    /// Where it is connected.
    talk: Option<Talk>,
    /// When it goes on to the next server.
    leaves: Micros,
    /// The session while it is not.
    state: State,
    rota: Rota,
}

impl Session for Client {
    fn issue(&mut self, batch: Vec<Intent>) -> LocalRef<'_, ()> {
        Box::pin(async move {
            for intent in batch {
                self.one(intent).await;
            }
        })
    }
}

impl Client {
    pub fn new(io: Io, world: Shared, workload: Workload, epochs: Epochs) -> Self {
        let rota = Rota::of(workload.client);
        Self {
            io,
            world,
            workload,
            epochs,
            talk: None,
            leaves: Micros(0),
            state: State::new(SESSION_MS),
            rota,
        }
    }

    async fn one(&mut self, intent: Intent) {
        let deadline = self.io.after(self.workload.load.timeout);
        if let Some(lost) = self.talk.take_if(|talk| talk.is_closed()) {
            self.part(lost);
        }
        if self.io.now() >= self.leaves
            && let Some(talk) = self.talk.take()
        {
            self.rota.go_on(&self.world.borrow());
            self.keep(talk.part());
        }
        let node = match &self.talk {
            Some(talk) => talk.node(),
            None => self.rota.next(&self.world.borrow()),
        };
        let place = self.world.borrow_mut().begin(self.workload.client, &intent, node);
        let (outcome, connection) = match self.connected(node, deadline).await {
            Err(lost) => (Outcome::Fail(format!("nothing was sent: {lost}")), None),
            Ok(mut talk) => {
                let connection = talk.connection();
                let came_to = self.ask(&mut talk, &intent, deadline).await;
                (self.settle(talk, came_to), Some(connection))
            }
        };
        self.world.borrow_mut().close(place, |_, operation| {
            operation.outcome = outcome.clone();
            operation.connection = connection;
        });
    }

    /// What an operation came to; keeps the connection if it can be gone on with.
    fn settle(&mut self, talk: Talk, came_to: Result<Outcome, Came>) -> Outcome {
        let lost = match came_to {
            Ok(outcome) => {
                self.talk = Some(talk);
                return outcome;
            }
            Err(came) => came,
        };
        let goes_on = match &lost.why {
            Lost::Refused(code) => {
                code.refused()
                    && !matches!(*code, Code::SESSION_EXPIRED | Code::SESSION_MOVED | Code::AUTH_FAILED)
            }
            _ => false,
        };
        if goes_on {
            self.talk = Some(talk);
        } else {
            self.part(talk);
        }
        if lost.wrote && !lost.why.is_refusal() {
            Outcome::Unknown(lost.why.to_string())
        } else if lost.wrote || lost.why.is_refusal() {
            Outcome::Fail(lost.why.to_string())
        } else {
            Outcome::Fail(format!("before anything was written: {}", lost.why))
        }
    }

    /// Leaves a server, and goes on with the session elsewhere if there still is one.
    fn part(&mut self, talk: Talk) {
        self.rota.avoid(talk.node(), self.io.now());
        self.keep(talk.part());
    }

    fn keep(&mut self, state: State) {
        let alive = state.stage == super::session::Stage::Apart;
        self.state = if alive { state } else { State::new(SESSION_MS) };
    }

    /// The connection at hand or a new one, taken out of where it is kept.
    async fn connected(&mut self, node: NodeId, deadline: Micros) -> Result<Talk, Lost> {
        if let Some(talk) = self.talk.take() {
            return Ok(talk);
        }
        let mut welcomes = 0;
        loop {
            let state = std::mem::replace(&mut self.state, State::new(SESSION_MS));
            welcomes += 1;
            match Talk::open(&self.io, node, state, deadline).await {
                Ok(talk) => {
                    let longer = u64::from(self.workload.client % 8) * STAYS_LONGER;
                    self.leaves = self.io.after(STAYS.saturating_add(Millis(longer)));
                    return Ok(talk);
                }
                // A new one is begun at once; it cannot have expired.
                Err((_, Lost::Expired)) => {}
                Err((state, Lost::Call(CallError::Closed(_)))) if welcomes < WELCOMES => {
                    self.keep(state);
                    self.io.sleep(WELCOME_AGAIN).await;
                }
                Err((state, lost)) => {
                    self.rota.avoid(node, self.io.now());
                    self.keep(state);
                    return Err(lost);
                }
            }
        }
    }

    async fn ask(&self, talk: &mut Talk, intent: &Intent, deadline: Micros) -> Result<Outcome, Came> {
        let path = path(&intent.key, &self.workload.load);
        let argument = intent.argument.as_deref().unwrap_or_default();
        match intent.kind {
            OpKind::Get => self.read(talk, intent.key.kind, path, deadline).await,
            OpKind::Set => {
                let data = pad(argument, self.workload.load.value_bytes).into_bytes();
                self.put(talk, &path, data, deadline).await
            }
            OpKind::Delete => {
                let delete = Request::Delete { path, version: ANY_VERSION };
                let deleted = match self.write(talk, delete, deadline).await {
                    Ok(_) => 1,
                    Err(Came { why: Lost::Refused(Code::NO_NODE), .. }) => 0,
                    Err(came) => return Err(came),
                };
                Ok(Outcome::Ok(Value::Number(deleted)))
            }
            OpKind::Add => self.add(talk, &path, argument, deadline).await,
            OpKind::Incr | OpKind::Append => self.change(talk, intent.kind, &path, argument, deadline).await,
        }
    }

    async fn write(&self, talk: &mut Talk, request: Request, deadline: Micros) -> Result<Answer, Came> {
        let (answer, zxid) = talk.ask(request, deadline).await.map_err(|why| Came { wrote: true, why })?;
        self.epochs.heard(zxid);
        Ok(answer)
    }

    async fn read(
        &self,
        talk: &mut Talk,
        kind: KeyKind,
        path: String,
        deadline: Micros,
    ) -> Result<Outcome, Came> {
        let lost = |why| Came { wrote: true, why };
        let synced = talk.send(Request::Sync { path: path.clone() });
        let asked = talk.send(read_request(kind, path));
        // Both are waited for, whatever the first came to: the second has been sent.
        let sync = talk.answer(synced, deadline).await;
        if let Err(why @ (Lost::Call(_) | Lost::Odd(_) | Lost::Expired)) = sync {
            return Err(lost(why));
        }
        let answer = talk.answer(asked, deadline).await;
        sync.map_err(lost)?;
        let (found, zxid) = match answer {
            Ok((answer, zxid)) => (Some(answer), zxid),
            Err(Lost::Refused(Code::NO_NODE)) => (None, talk.session.seen_zxid),
            Err(why) => return Err(lost(why)),
        };
        if let Some(newest) = self.epochs.newer_than(zxid) {
            let at = epoch(zxid);
            return Ok(Outcome::Unknown(format!("it was read in epoch {at}, and {newest} has begun")));
        }
        self.epochs.heard(zxid);
        Ok(match value(kind, found.as_ref(), self.workload.load.value_bytes) {
            Ok(value) => Outcome::Ok(value),
            Err(odd) => Outcome::Unknown(format!("a value that does not fit: {odd}")),
        })
    }

    /// Sets a register, which is created where there is none.
    async fn put(
        &self,
        talk: &mut Talk,
        path: &str,
        data: Vec<u8>,
        deadline: Micros,
    ) -> Result<Outcome, Came> {
        let done = || Ok(Outcome::Ok(Value::Text("OK".into())));
        for _ in 0..TRIES {
            let set = Request::SetData { path: path.into(), data: data.clone(), version: ANY_VERSION };
            match self.write(talk, set, deadline).await {
                Ok(_) => return done(),
                Err(Came { why: Lost::Refused(Code::NO_NODE), .. }) => {}
                Err(came) => return Err(came),
            }
            match self.write(talk, create(path.into(), data.clone()), deadline).await {
                Ok(_) => return done(),
                Err(Came { why: Lost::Refused(Code::NODE_EXISTS), .. }) => {}
                Err(came) => return Err(came),
            }
        }
        Ok(beaten())
    }

    /// Adds a member to a set: a child to a node.
    async fn add(
        &self,
        talk: &mut Talk,
        path: &str,
        member: &str,
        deadline: Micros,
    ) -> Result<Outcome, Came> {
        for _ in 0..TRIES {
            match self.write(talk, create(format!("{path}/{member}"), Vec::new()), deadline).await {
                Ok(_) => return Ok(Outcome::Ok(Value::Number(1))),
                Err(Came { why: Lost::Refused(Code::NODE_EXISTS), .. }) => {
                    return Ok(Outcome::Ok(Value::Number(0)));
                }
                Err(Came { why: Lost::Refused(Code::NO_NODE), .. }) => {}
                Err(came) => return Err(came),
            }
            match self.write(talk, create(path.into(), Vec::new()), deadline).await {
                Ok(_) | Err(Came { why: Lost::Refused(Code::NODE_EXISTS), .. }) => {}
                // A set without members is as good as none.
                Err(came) => return Err(Came { wrote: false, ..came }),
            }
        }
        Ok(beaten())
    }

    /// Reads, and writes what follows from it if nobody wrote meanwhile. What is read may be old: then the version does
    /// not hold, and by the answer to that the server has caught up.
    async fn change(
        &self,
        talk: &mut Talk,
        kind: OpKind,
        path: &str,
        argument: &str,
        deadline: Micros,
    ) -> Result<Outcome, Came> {
        for _ in 0..TRIES {
            let get = Request::GetData { path: path.into(), watch: false };
            let found = match talk.ask(get, deadline).await {
                Ok((Answer::Data(data, stat), _)) => Some((data, stat.version)),
                Ok((other, _)) => return Err(Came { wrote: false, why: Lost::Odd(format!("{other:?}")) }),
                Err(Lost::Refused(Code::NO_NODE)) => None,
                Err(why) => return Err(Came { wrote: false, why }),
            };
            let odd = |odd| Came { wrote: false, why: Lost::Odd(odd) };
            let held = found.as_ref().map(|(data, _)| text(data)).transpose().map_err(odd)?;
            let (data, answer) = changed(kind, held, argument).map_err(odd)?;
            let request = match found {
                Some((_, version)) => {
                    Request::SetData { path: path.into(), data: data.into_bytes(), version }
                }
                None => create(path.into(), data.into_bytes()),
            };
            match self.write(talk, request, deadline).await {
                Ok(_) => return Ok(Outcome::Ok(Value::Number(answer))),
                Err(Came {
                    why: Lost::Refused(Code::BAD_VERSION | Code::NODE_EXISTS | Code::NO_NODE),
                    ..
                }) => {}
                Err(came) => return Err(came),
            }
        }
        Ok(beaten())
    }
}

/// What became of an operation without an outcome of its own, and whether a write of it had been sent.
struct Came {
    wrote: bool,
    why: Lost,
}

fn beaten() -> Outcome {
    Outcome::Fail(format!("{TRIES} times another client wrote first"))
}

/// Where a key lies in the tree.
pub fn path(key: &Key, load: &Load) -> String {
    format!("/{}", name(key, load).replace('/', "|"))
}

pub fn create(path: String, data: Vec<u8>) -> Request {
    Request::Create { path, data, acl: vec![Acl::everybody(Acl::ALL)], mode: CreateMode::Persistent }
}

/// The request that reads a key of the workload.
pub fn read_request(kind: KeyKind, path: String) -> Request {
    if kind == KeyKind::Set {
        Request::GetChildren { path, watch: false }
    } else {
        Request::GetData { path, watch: false }
    }
}

/// What a node is to hold, and what its client is told.
fn changed(kind: OpKind, held: Option<&str>, argument: &str) -> Result<(String, i64), String> {
    Ok(match (kind, held) {
        (OpKind::Incr, held) => {
            let number: i64 = match held {
                None => 0,
                Some(text) => text.parse().map_err(|_| format!("a counter of `{text}`"))?,
            };
            ((number + 1).to_string(), number + 1)
        }
        (_, None) => (argument.into(), 1),
        (_, Some(text)) => {
            let length = text.split('\n').count() as i64 + 1;
            (format!("{text}\n{argument}"), length)
        }
    })
}

fn text(data: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(data).map_err(|_| "bytes that are no text".into())
}

/// What a key holds, as the workload understands it; nothing where there is no node.
pub fn value(kind: KeyKind, found: Option<&Answer>, value_bytes: u32) -> Result<Value, String> {
    let data = match found {
        None => return Ok(Value::Missing),
        Some(Answer::Children(names, _)) if kind == KeyKind::Set => {
            let mut members = names.clone();
            members.sort();
            return Ok(if members.is_empty() { Value::Missing } else { Value::Set(members) });
        }
        Some(Answer::Data(data, _)) if kind != KeyKind::Set => text(data)?,
        Some(other) => return Err(format!("{other:?}")),
    };
    Ok(match kind {
        KeyKind::Counter => Value::Number(data.parse().map_err(|_| format!("a counter of `{data}`"))?),
        KeyKind::List => Value::List(data.split('\n').map(Into::into).collect()),
        _ => Value::Text(unpad(data, value_bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::wire::Stat;
    use super::*;
    use crate::timeline::KeyPrefix;

    #[test]
    fn keys_hold_what_their_kind_says() {
        assert_eq!(changed(OpKind::Incr, None, ""), Ok(("1".into(), 1)));
        assert_eq!(changed(OpKind::Incr, Some("4"), ""), Ok(("5".into(), 5)));
        assert_eq!(changed(OpKind::Append, Some("a\nb"), "c"), Ok(("a\nb\nc".into(), 3)));
        assert!(changed(OpKind::Incr, Some("x"), "").is_err());
        let data = |text: &str| Answer::Data(text.as_bytes().to_vec(), Stat::default());
        assert_eq!(value(KeyKind::Register, Some(&data("a...")), 4), Ok(Value::Text("a".into())));
        assert_eq!(value(KeyKind::Counter, Some(&data("7")), 4), Ok(Value::Number(7)));
        assert_eq!(value(KeyKind::List, None, 0), Ok(Value::Missing));
        let children = |names: &[&str]| Answer::Children(names.iter().map(|n| (*n).into()).collect(), None);
        let set = value(KeyKind::Set, Some(&children(&["b", "a"])), 0);
        assert_eq!(set, Ok(Value::Set(vec!["a".into(), "b".into()])));
        assert_eq!(value(KeyKind::Set, Some(&children(&[])), 0), Ok(Value::Missing));
        assert!(value(KeyKind::Set, Some(&data("a")), 0).is_err());
    }

    #[test]
    fn a_key_is_one_node_below_the_root_whatever_its_prefix() {
        let load = Load { key_prefix: KeyPrefix("a/b:".into()), ..Load::default() };
        let key = Key { kind: KeyKind::Register, number: 17 };
        assert_eq!(path(&key, &load), "/a|b:r:{17}");
        assert_eq!(path(&key, &Load::default()), "/r:{17}");
    }
}
