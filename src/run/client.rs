//! A client in cluster mode: one operation open at a time, redirects followed and recorded, nothing retried.
//!
//! Every operation ends in the history with what is known of it. `fail` means refused before it was executed;
//! once a byte was sent and no answer came, it is `unknown`, and the connection is closed, so that it cannot
//! take effect later than the server has read it.

use super::load::Session;
use super::operation::connect;
use super::resp::{self, Reply};
use super::task::{CallError, Conn, Io, LocalRef};
use super::workload::{Intent, Workload, pad, unpad};
use super::world::Shared;
use crate::env::{ConnId, NodeId};
use crate::history::{Key, KeyKind, OpKind, Operation, Outcome, Redirect, RedirectKind, Stamp, Value};
use crate::time::{Micros, Millis};
use crate::timeline::Load;
use std::collections::BTreeMap;

/// Redirects that one operation follows.
const REDIRECTS_MAX: usize = 5;
/// How long a node that refused is not asked first.
const AVOID: Millis = Millis(500);
/// How long `WAIT` may block, so that a cut-off primary does not hold a client up.
const WAIT_MS: &str = "200";
/// A client of servers that speak RESP in cluster mode.
#[derive(Debug)]
pub struct Client {
    io: Io,
    world: Shared,
    workload: Workload,
    connections: BTreeMap<NodeId, Conn>,
    /// Owners learnt from `MOVED`; the first shape of the cluster stands for the rest.
    routes: BTreeMap<u16, NodeId>,
    avoid: BTreeMap<NodeId, Micros>,
    transactions: u64,
}

/// An operation on its way.
struct Pending {
    intent: Intent,
    invoke: Stamp,
    node: NodeId,
    connection: Option<ConnId>,
    redirects: Vec<Redirect>,
    asking: bool,
}

/// What one attempt came to.
enum Attempt {
    Done(Vec<Outcome>, Option<u32>),
    Elsewhere(RedirectKind, NodeId, String),
}

impl Session for Client {
    fn issue(&mut self, batch: Vec<Intent>) -> LocalRef<'_, ()> {
        Box::pin(self.batch(batch))
    }
}

impl Client {
    pub fn new(io: Io, world: Shared, workload: Workload) -> Self {
        Self {
            io,
            world,
            workload,
            connections: BTreeMap::new(),
            routes: BTreeMap::new(),
            avoid: BTreeMap::new(),
            transactions: 0,
        }
    }

    /// Issues a batch at once and sees each of it to its end.
    async fn batch(&mut self, batch: Vec<Intent>) {
        let deadline = self.io.after(self.workload.load.timeout);
        let mut sent: Vec<Pending> = Vec::with_capacity(batch.len());
        for intent in batch {
            let node = self.route(slot_of(&intent.key));
            let mut pending = Pending {
                invoke: self.invoke(),
                intent,
                node,
                connection: None,
                redirects: Vec::new(),
                asking: false,
            };
            let open = self.operations(&pending);
            self.world.borrow_mut().open.insert((self.workload.client, pending.intent.index), open);
            match self.connection(node, deadline).await {
                Ok(conn) => {
                    pending.connection = Some(conn);
                    self.send(&pending);
                    sent.push(pending);
                }
                Err(error) => self.refused(pending, &error),
            }
        }
        let mut again = Vec::new();
        for pending in sent {
            match self.answer(&pending, deadline).await {
                Attempt::Done(outcomes, waited) => self.finish(pending, outcomes, waited),
                Attempt::Elsewhere(kind, to, error) => again.push((pending, kind, to, error)),
            }
        }
        for (pending, kind, to, error) in again {
            self.follow(pending, kind, to, error, deadline).await;
        }
    }

    async fn follow(
        &mut self,
        mut pending: Pending,
        mut kind: RedirectKind,
        mut to: NodeId,
        mut error: String,
        deadline: Micros,
    ) {
        loop {
            pending.redirects.push(Redirect { kind, from: pending.node, to });
            if kind == RedirectKind::Moved {
                self.routes.insert(slot_of(&pending.intent.key), to);
            }
            if pending.redirects.len() > REDIRECTS_MAX {
                self.finish(
                    pending,
                    vec![Outcome::Fail(format!("more than {REDIRECTS_MAX} redirects, the last: {error}"))],
                    None,
                );
                return;
            }
            pending.node = to;
            pending.asking = kind == RedirectKind::Ask;
            match self.connection(to, deadline).await {
                Ok(conn) => pending.connection = Some(conn),
                Err(refusal) => {
                    self.refused(pending, &refusal);
                    return;
                }
            }
            self.send(&pending);
            match self.answer(&pending, deadline).await {
                Attempt::Done(outcomes, waited) => {
                    self.finish(pending, outcomes, waited);
                    return;
                }
                Attempt::Elsewhere(next_kind, next_to, next_error) => {
                    (kind, to, error) = (next_kind, next_to, next_error);
                }
            }
        }
    }

    fn invoke(&self) -> Stamp {
        self.world.borrow_mut().issue(self.workload.client)
    }

    /// Which node to ask for a slot.
    fn route(&mut self, slot: u16) -> NodeId {
        let now = self.io.now();
        self.avoid.retain(|_, until| *until > now);
        let world = self.world.borrow();
        let cluster = &world.timeline.cluster;
        let known = self.routes.get(&slot).copied().unwrap_or_else(|| {
            let shard = (slot / (16384 / cluster.shards)).min(cluster.shards - 1);
            NodeId(cluster.node(shard, 0))
        });
        if !self.avoid.contains_key(&known) {
            return known;
        }
        // Ask someone else, who will say where it is; whom depends on the slot alone.
        let others: Vec<NodeId> = world
            .nodes
            .values()
            .filter(|n| !n.removed && !self.avoid.contains_key(&n.node))
            .map(|n| n.node)
            .collect();
        if others.is_empty() { known } else { others[usize::from(slot) % others.len()] }
    }

    /// A connection that is open, by number: the one at hand or a new one.
    async fn connection(&mut self, node: NodeId, deadline: Micros) -> Result<ConnId, CallError> {
        if let Some(conn) = self.connections.get(&node) {
            if !conn.is_closed() {
                return Ok(conn.id);
            }
            self.connections.remove(&node);
        }
        match connect(&self.io, &self.world, node, deadline, true).await {
            Ok(conn) => {
                let id = conn.id;
                self.connections.insert(node, conn);
                Ok(id)
            }
            Err(error) => {
                self.avoid.insert(node, self.io.after(AVOID));
                Err(error)
            }
        }
    }

    fn send(&self, pending: &Pending) {
        let Some(conn) = self.connections.get(&pending.node) else { return };
        let mut bytes = Vec::with_capacity(128);
        if pending.asking {
            resp::encode(&["ASKING"], &mut bytes);
        }
        let load = &self.workload.load;
        if pending.intent.transaction {
            resp::encode(&["MULTI"], &mut bytes);
            for (kind, key, argument) in self.transaction(&pending.intent) {
                command(kind, &key, argument.as_deref(), load, &mut bytes);
            }
            resp::encode(&["EXEC"], &mut bytes);
        } else {
            command(
                pending.intent.kind,
                &pending.intent.key,
                pending.intent.argument.as_deref(),
                load,
                &mut bytes,
            );
        }
        if self.waits(&pending.intent) {
            match load.waitaof {
                Some(replicas) => resp::encode(&["WAITAOF", "1", &replicas.to_string(), WAIT_MS], &mut bytes),
                None => resp::encode(&["WAIT", &load.wait.to_string(), WAIT_MS], &mut bytes),
            }
        }
        conn.send_bytes(bytes);
    }

    fn waits(&self, intent: &Intent) -> bool {
        (self.workload.load.wait > 0 || self.workload.load.waitaof.is_some())
            && (intent.transaction || intent.kind.writes())
    }

    /// The writes of a transaction: one of each kind, all in the slot of the intent's key.
    fn transaction(&self, intent: &Intent) -> Vec<(OpKind, Key, Option<String>)> {
        let key = |kind| Key { kind, number: intent.key.number };
        let argument = self.workload.argument(intent.index);
        vec![
            (OpKind::Set, key(KeyKind::Register), Some(argument.clone())),
            (OpKind::Incr, key(KeyKind::Counter), None),
            (OpKind::Append, key(KeyKind::List), Some(argument.clone())),
            (OpKind::Add, key(KeyKind::Set), Some(argument)),
        ]
    }

    /// Reads what belongs to one operation off its connection.
    async fn answer(&mut self, pending: &Pending, deadline: Micros) -> Attempt {
        let replies = usize::from(pending.asking) + if pending.intent.transaction { 6 } else { 1 };
        let mut got = Vec::with_capacity(replies);
        for _ in 0..replies {
            match self.reply(pending, deadline).await {
                Ok(reply) => got.push(reply),
                Err(error) => {
                    self.connections.remove(&pending.node);
                    self.avoid.insert(pending.node, self.io.after(AVOID));
                    return Attempt::Done(vec![Outcome::Unknown(error.to_string())], None);
                }
            }
        }
        let waited = if self.waits(&pending.intent) {
            match self.reply(pending, deadline.plus(Millis(1000))).await {
                Ok(Reply::Integer(count)) => u32::try_from(count).ok(),
                Ok(Reply::Array(items)) => {
                    items.get(1).and_then(Reply::integer).and_then(|n| u32::try_from(n).ok())
                }
                Ok(_) => None,
                Err(_) => {
                    self.connections.remove(&pending.node);
                    None
                }
            }
        } else {
            None
        };
        let body = &got[usize::from(pending.asking)..];
        if let Some((kind, to)) = body.iter().find_map(|reply| self.elsewhere(reply)) {
            let error = body.iter().find_map(Reply::error).unwrap_or_default().to_string();
            return Attempt::Elsewhere(kind, to, error);
        }
        let load = &self.workload.load;
        if pending.intent.transaction {
            let outcomes = match body.last() {
                Some(Reply::Array(items)) => {
                    let kinds = self.transaction(&pending.intent);
                    kinds
                        .iter()
                        .zip(items)
                        .map(|((kind, key, _), reply)| outcome(*kind, *key, reply, load.value_bytes))
                        .collect()
                }
                Some(Reply::Error(error)) => vec![refusal(error)],
                Some(Reply::Nil) => vec![Outcome::Fail("EXEC answered nil".into())],
                other => vec![Outcome::Unknown(format!("EXEC answered {other:?}"))],
            };
            return Attempt::Done(outcomes, waited);
        }
        Attempt::Done(
            vec![outcome(pending.intent.kind, pending.intent.key, &body[0], load.value_bytes)],
            waited,
        )
    }

    async fn reply(&self, pending: &Pending, deadline: Micros) -> Result<Reply, CallError> {
        match self.connections.get(&pending.node) {
            Some(conn) if Some(conn.id) == pending.connection => conn.reply(deadline).await,
            // An earlier operation of the batch hung, and its connection was closed.
            _ => Err(CallError::Closed("an earlier operation on the connection had no answer".into())),
        }
    }

    /// Where a redirect points.
    fn elsewhere(&self, reply: &Reply) -> Option<(RedirectKind, NodeId)> {
        let mut words = reply.error()?.split_ascii_whitespace();
        let kind = match words.next()? {
            "MOVED" => RedirectKind::Moved,
            "ASK" => RedirectKind::Ask,
            _ => return None,
        };
        let (address, port) = words.nth(1)?.rsplit_once(':')?;
        let node = self.world.borrow().node_at(address, port.parse().ok()?)?;
        Some((kind, node))
    }

    fn refused(&mut self, pending: Pending, error: &CallError) {
        self.finish(pending, vec![Outcome::Fail(error.to_string())], None);
    }

    /// Writes an operation into the history, as it came back.
    fn finish(&mut self, pending: Pending, outcomes: Vec<Outcome>, waited: Option<u32>) {
        let place = (self.workload.client, pending.intent.index);
        self.world.borrow_mut().close(place, |part, operation| {
            if let Some(outcome) = outcomes.get(part).or(outcomes.last()) {
                operation.outcome = outcome.clone();
            }
            operation.node = Some(pending.node);
            operation.connection = pending.connection;
            operation.redirects.clone_from(&pending.redirects);
            operation.waited = waited;
        });
    }

    /// An operation as it stands in the history while nobody has answered; a transaction as its writes, which share a
    /// number.
    fn operations(&mut self, pending: &Pending) -> Vec<Operation> {
        let intent = &pending.intent;
        let (parts, transaction) = if intent.transaction {
            self.transactions += 1;
            let number = u64::from(self.workload.client) << 32 | self.transactions;
            (self.transaction(intent), Some(number))
        } else {
            (vec![(intent.kind, intent.key, intent.argument.clone())], None)
        };
        parts
            .into_iter()
            .map(|(kind, key, argument)| Operation {
                client: self.workload.client,
                index: intent.index,
                kind,
                key,
                argument,
                invoke: pending.invoke,
                complete: pending.invoke,
                outcome: Outcome::Unknown("no answer".into()),
                node: Some(pending.node),
                connection: None,
                redirects: Vec::new(),
                waited: None,
                transaction,
            })
            .collect()
    }
}

pub fn slot_of(key: &Key) -> u16 {
    resp::slot(key.to_string().as_bytes())
}

/// What the servers know a key by. The prefix has no braces: the slot is that of the key alone.
pub fn name(key: &Key, load: &Load) -> String {
    format!("{}{key}", load.key_prefix.0)
}

/// One operation as a command.
fn command(kind: OpKind, key: &Key, argument: Option<&str>, load: &Load, out: &mut Vec<u8>) {
    let name = name(key, load);
    let argument = argument.unwrap_or_default();
    match (kind, key.kind) {
        (OpKind::Get, _) => read_command(key, load, out),
        (OpKind::Set, _) => resp::encode(&["SET", &name, &pad(argument, load.value_bytes)], out),
        (OpKind::Incr, _) => resp::encode(&["INCR", &name], out),
        (OpKind::Append, _) => resp::encode(&["RPUSH", &name, argument], out),
        (OpKind::Add, _) => resp::encode(&["SADD", &name, argument], out),
        (OpKind::Delete, _) => resp::encode(&["DEL", &name], out),
    }
}

/// The command that reads a key of the workload.
pub fn read_command(key: &Key, load: &Load, out: &mut Vec<u8>) {
    let name = name(key, load);
    match key.kind {
        KeyKind::Register | KeyKind::Counter => resp::encode(&["GET", &name], out),
        KeyKind::List => resp::encode(&["LRANGE", &name, "0", "-1"], out),
        KeyKind::Set => resp::encode(&["SMEMBERS", &name], out),
    }
}

/// What a reply means; the error as sent when it is one.
fn outcome(kind: OpKind, key: Key, reply: &Reply, value_bytes: u32) -> Outcome {
    if let Reply::Error(error) = reply {
        return refusal(error);
    }
    let value = match kind {
        OpKind::Get => read_value(&key, reply, value_bytes),
        OpKind::Set => match reply {
            Reply::Simple(_) => Ok(Value::Text("OK".into())),
            other => Err(format!("{other:?}")),
        },
        OpKind::Incr | OpKind::Append | OpKind::Add | OpKind::Delete => {
            reply.integer().map(Value::Number).ok_or_else(|| format!("{reply:?}"))
        }
    };
    match value {
        Ok(value) => Outcome::Ok(value),
        Err(odd) => Outcome::Unknown(format!("an answer that does not fit: {odd}")),
    }
}

/// An error reply: the command was not executed, unless the server itself says that it cannot tell.
fn refusal(error: &str) -> Outcome {
    if error.starts_with("UNKNOWN ") { Outcome::Unknown(error.into()) } else { Outcome::Fail(error.into()) }
}

/// A key's value as read by [`read_command`].
pub fn read_value(key: &Key, reply: &Reply, value_bytes: u32) -> Result<Value, String> {
    let texts = |items: &[Reply]| -> Result<Vec<String>, String> {
        items.iter().map(|item| item.text().map(Into::into).ok_or_else(|| format!("{item:?}"))).collect()
    };
    match (key.kind, reply) {
        (_, Reply::Error(error)) => Err(error.clone()),
        (KeyKind::Register | KeyKind::Counter, Reply::Nil) => Ok(Value::Missing),
        (KeyKind::Register, Reply::Bulk(_) | Reply::Simple(_)) => reply
            .text()
            .map(|text| Value::Text(unpad(text, value_bytes)))
            .ok_or_else(|| "bytes that are no text".into()),
        (KeyKind::Counter, Reply::Bulk(_) | Reply::Simple(_)) => match reply.text().map(str::parse) {
            Some(Ok(number)) => Ok(Value::Number(number)),
            _ => Err("a counter that is no number".into()),
        },
        (KeyKind::List | KeyKind::Set, Reply::Array(items)) if items.is_empty() => Ok(Value::Missing),
        (KeyKind::List, Reply::Array(items)) => texts(items).map(Value::List),
        (KeyKind::Set, Reply::Array(items)) => texts(items).map(|mut members| {
            members.sort();
            Value::Set(members)
        }),
        (_, other) => Err(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::KeyPrefix;

    #[test]
    fn a_prefix_begins_every_name_and_moves_no_key() {
        let load = Load { key_prefix: KeyPrefix("ledger:".into()), value_bytes: 0, ..Load::default() };
        let key = Key { kind: KeyKind::Register, number: 17 };
        let mut sent = Vec::new();
        command(OpKind::Set, &key, Some("a"), &load, &mut sent);
        read_command(&key, &load, &mut sent);
        let mut wanted = Vec::new();
        resp::encode(&["SET", "ledger:r:{17}", "a"], &mut wanted);
        resp::encode(&["GET", "ledger:r:{17}"], &mut wanted);
        assert_eq!(sent, wanted);
        assert_eq!(resp::slot(name(&key, &load).as_bytes()), slot_of(&key));
    }
}
