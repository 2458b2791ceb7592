//! A client of the load. One operation is open at a time; a read goes through the log, a counter, a list and a set are
//! changed by a transaction that compares the revision at which they were read.
//!
//! `fail` means that nothing was written: it was never sent, the server refused it, or the comparison did not hold. What
//! was sent and has no such answer is `unknown`, and its connection is closed.

use super::api::{self, ApiError, Deleted, Done, KeyValue, Range, Txn};
use crate::env::NodeId;
use crate::history::{KeyKind, OpKind, Outcome, Value};
use crate::run::client::name;
use crate::run::load::Session;
use crate::run::task::{Conn, Io, LocalRef};
use crate::run::workload::{Intent, Workload, pad, unpad};
use crate::run::world::Shared;
use crate::target::group::Rota;
use crate::time::Micros;
use serde_json::json;
use std::collections::BTreeMap;

/// How often a transaction is tried whose comparison does not hold.
const TRIES: u32 = 3;

#[derive(Debug)]
pub struct Client {
    io: Io,
    world: Shared,
    workload: Workload,
    connections: BTreeMap<NodeId, Conn>,
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
    pub fn new(io: Io, world: Shared, workload: Workload) -> Self {
        let rota = Rota::of(workload.client);
        Self { io, world, workload, connections: BTreeMap::new(), rota }
    }

    async fn one(&mut self, intent: Intent) {
        let deadline = self.io.after(self.workload.load.timeout);
        let node = self.rota.next(&self.world.borrow());
        let place = self.world.borrow_mut().begin(self.workload.client, &intent, node);
        let (outcome, connection) = match self.connection(node, deadline).await {
            Err(outcome) => (outcome, None),
            Ok(conn) => {
                let outcome = self.ask(&conn, &intent, deadline).await;
                let id = conn.id;
                if matches!(outcome, Outcome::Unknown(_)) {
                    self.leave(node);
                } else {
                    self.connections.insert(node, conn);
                }
                (outcome, Some(id))
            }
        };
        self.world.borrow_mut().close(place, |_, operation| {
            operation.outcome = outcome.clone();
            operation.connection = connection;
        });
    }

    fn leave(&mut self, node: NodeId) {
        self.connections.remove(&node);
        self.rota.avoid(node, self.io.now());
    }

    /// The connection at hand or a new one, taken out of those kept.
    async fn connection(&mut self, node: NodeId, deadline: Micros) -> Result<Conn, Outcome> {
        if let Some(conn) = self.connections.remove(&node).filter(|conn| !conn.is_closed()) {
            return Ok(conn);
        }
        self.io.open(node, deadline).await.map_err(|error| {
            self.leave(node);
            Outcome::Fail(error.to_string())
        })
    }

    async fn ask(&self, conn: &Conn, intent: &Intent, deadline: Micros) -> Outcome {
        let name = name(&intent.key, &self.workload.load);
        let argument = intent.argument.as_deref().unwrap_or_default();
        let bytes = self.workload.load.value_bytes;
        match intent.kind {
            OpKind::Get => match read(conn, &name, deadline).await {
                Ok(found) => match value(intent.key.kind, found.as_ref(), bytes) {
                    Ok(value) => Outcome::Ok(value),
                    Err(odd) => Outcome::Unknown(format!("a value that does not fit: {odd}")),
                },
                Err(error) => came_to(&error),
            },
            OpKind::Set => {
                let body = json!({"key": api::encoded(&name), "value": api::encoded(&pad(argument, bytes))});
                match api::call::<Done>(conn, api::PUT, &body, deadline).await {
                    Ok(_) => Outcome::Ok(Value::Text("OK".into())),
                    Err(error) => came_to(&error),
                }
            }
            OpKind::Delete => {
                let body = json!({"key": api::encoded(&name)});
                match api::call::<Deleted>(conn, api::DELETE, &body, deadline).await {
                    Ok(answer) => {
                        if answer.deleted > 0 {
                            let last = &mut self.world.borrow_mut().revisions.last_delete;
                            *last = answer.header.revision.max(*last);
                        }
                        Outcome::Ok(Value::Number(answer.deleted))
                    }
                    Err(error) => came_to(&error),
                }
            }
            OpKind::Incr | OpKind::Append | OpKind::Add => {
                change(conn, intent.kind, &name, argument, deadline).await
            }
        }
    }
}

async fn read(conn: &Conn, name: &str, deadline: Micros) -> Result<Option<KeyValue>, ApiError> {
    let range: Range = api::call(conn, api::RANGE, &api::range(name, false), deadline).await?;
    Ok(range.kvs.into_iter().next())
}

/// Reads, and writes what follows from it if nobody wrote meanwhile.
async fn change(conn: &Conn, kind: OpKind, name: &str, argument: &str, deadline: Micros) -> Outcome {
    for _ in 0..TRIES {
        let found = match read(conn, name, deadline).await {
            Ok(found) => found,
            // Nothing was written, whatever became of the question; its answer may still come, so the connection is done.
            Err(error) if error.is_refusal() => return Outcome::Fail(error.to_string()),
            Err(error) => return Outcome::Unknown(format!("while it was read: {error}")),
        };
        let revision = found.as_ref().map_or(0, |found| found.mod_revision);
        let (text, answer) = match changed(kind, found.as_ref(), argument) {
            Ok(changed) => changed,
            Err(odd) => return Outcome::Unknown(format!("a value that does not fit: {odd}")),
        };
        match api::call::<Txn>(conn, api::TXN, &api::put_if_at(name, revision, &text), deadline).await {
            Ok(txn) if txn.succeeded => return Outcome::Ok(Value::Number(answer)),
            Ok(_) => {}
            Err(error) => return came_to(&error),
        }
    }
    Outcome::Fail(format!("{TRIES} times another client wrote first"))
}

/// What a key is to hold, and what its client is told.
fn changed(kind: OpKind, found: Option<&KeyValue>, argument: &str) -> Result<(String, i64), String> {
    let text = found.map(text).transpose()?;
    Ok(match (kind, text) {
        (OpKind::Incr, text) => {
            let number: i64 = match text {
                None => 0,
                Some(text) => text.parse().map_err(|_| format!("a counter of `{text}`"))?,
            };
            ((number + 1).to_string(), number + 1)
        }
        (OpKind::Add, Some(text)) if text.split('\n').any(|member| member == argument) => (text.into(), 0),
        (OpKind::Add, Some(text)) => (format!("{text}\n{argument}"), 1),
        (_, None) => (argument.into(), 1),
        (_, Some(text)) => {
            let length = text.split('\n').count() as i64 + 1;
            (format!("{text}\n{argument}"), length)
        }
    })
}

fn text(found: &KeyValue) -> Result<&str, String> {
    std::str::from_utf8(&found.value).map_err(|_| "bytes that are no text".into())
}

/// What a key holds, as the workload understands it.
pub fn value(kind: KeyKind, found: Option<&KeyValue>, value_bytes: u32) -> Result<Value, String> {
    let Some(found) = found else { return Ok(Value::Missing) };
    let text = text(found)?;
    let parts = || text.split('\n').map(Into::into).collect::<Vec<String>>();
    Ok(match kind {
        KeyKind::Register => Value::Text(unpad(text, value_bytes)),
        KeyKind::Counter => Value::Number(text.parse().map_err(|_| format!("a counter of `{text}`"))?),
        KeyKind::List => Value::List(parts()),
        KeyKind::Set => {
            let mut members = parts();
            members.sort();
            Value::Set(members)
        }
    })
}

fn came_to(error: &ApiError) -> Outcome {
    if error.is_refusal() { Outcome::Fail(error.to_string()) } else { Outcome::Unknown(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_what_their_kind_says() {
        let stored = |text: &str| KeyValue { value: text.as_bytes().to_vec(), ..KeyValue::default() };
        assert_eq!(changed(OpKind::Incr, None, ""), Ok(("1".into(), 1)));
        assert_eq!(changed(OpKind::Incr, Some(&stored("4")), ""), Ok(("5".into(), 5)));
        assert_eq!(changed(OpKind::Append, Some(&stored("a\nb")), "c"), Ok(("a\nb\nc".into(), 3)));
        assert_eq!(changed(OpKind::Add, Some(&stored("b")), "a"), Ok(("b\na".into(), 1)));
        assert_eq!(changed(OpKind::Add, Some(&stored("b\na")), "a"), Ok(("b\na".into(), 0)));
        assert!(changed(OpKind::Incr, Some(&stored("x")), "").is_err());
        let set = value(KeyKind::Set, Some(&stored("b\na")), 0);
        assert_eq!(set, Ok(Value::Set(vec!["a".into(), "b".into()])));
        assert_eq!(value(KeyKind::List, None, 0), Ok(Value::Missing));
        assert_eq!(value(KeyKind::Register, Some(&stored("a...")), 4), Ok(Value::Text("a".into())));
    }
}
