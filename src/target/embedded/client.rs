//! Clients' connections: commands in, answers out, in order.
//!
//! What concerns keys goes through the shard's log, reads too, and is answered when this node has applied it.
//! A connection has one entry of the log under way at a time; what was pipelined behind it goes into the next
//! entry together. An entry that is late is proposed again under the same (connection, number), which the state
//! machine takes once. What a node may not answer it refuses before anything is proposed, in the words of Redis
//! Cluster: `MOVED`, `ASK`, `TRYAGAIN`, `CROSSSLOT`, `CLUSTERDOWN`.

use super::command::{Bytes, Command, Op};
use super::machine::{Applied, slot_of};
use super::node::{Node, Out};
use super::placement::ADDRESS;
use super::resp::{self, Decoded};
use std::collections::VecDeque;
use std::sync::Arc;

/// The most commands in one entry of the log.
const BATCH_MAX: usize = 1024;

/// One connection.
#[derive(Debug, Default)]
pub struct Client {
    input: Vec<u8>,
    requests: VecDeque<Request>,
    pub(super) flight: Option<Flight>,
    number: u64,
    /// Commands since `MULTI`, and whether one of them was refused.
    transaction: Option<(Vec<(u16, Op)>, bool)>,
    asking: bool,
    readonly: bool,
    authenticated: bool,
    wait: Option<Wait>,
    /// How long the log was when the connection's last write was applied.
    written: usize,
    output: Vec<u8>,
}

/// An entry that is not decided yet.
#[derive(Debug)]
pub struct Flight {
    pub(super) command: Arc<Command>,
    pub(super) proposed_at: u64,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    replicas: usize,
    until: u64,
    /// `WAITAOF` answers with two numbers.
    disk: bool,
}

#[derive(Debug)]
enum Request {
    Data(u16, Op),
    /// Refused as it was read.
    Refuse(String),
    Other(Vec<Vec<u8>>),
}

/// What a command on keys gets.
enum Route {
    Log,
    /// From memory, on a connection that asked for it by `READONLY`.
    Memory,
    Refuse(String),
}

impl Node {
    pub fn client_opened(&mut self, connection: u64) {
        self.clients.insert(connection, Client::default());
    }

    pub fn client_closed(&mut self, connection: u64) {
        self.clients.remove(&connection);
    }

    pub fn client_bytes(&mut self, now: u64, connection: u64, bytes: &[u8]) {
        self.now = now;
        let Some(client) = self.clients.get_mut(&connection) else { return };
        if let Err(why) = client.read(bytes) {
            let mut out = Vec::new();
            resp::error(&mut out, &format!("ERR Protocol error: {why}"));
            self.clients.remove(&connection);
            self.out.push(Out::Reply(connection, out));
            self.out.push(Out::Close(connection, "protocol error".into()));
            return;
        }
        self.drive(connection);
        self.pump();
    }

    /// Answers what can be answered and proposes what must be decided, until something has to be waited for.
    fn drive(&mut self, connection: u64) {
        let Some(mut client) = self.clients.remove(&connection) else { return };
        while client.flight.is_none() && client.wait.is_none() {
            let Some(request) = client.requests.pop_front() else { break };
            match request {
                Request::Refuse(why) => {
                    if let Some((_, refused)) = &mut client.transaction {
                        *refused = true;
                    }
                    resp::error(&mut client.output, &why);
                }
                Request::Data(..) if self.shape.password.is_some() && !client.authenticated => {
                    resp::error(&mut client.output, "NOAUTH Authentication required.");
                }
                Request::Data(slot, op) => self.data_command(connection, &mut client, slot, op),
                Request::Other(arguments) => self.other_command(connection, &mut client, &arguments),
            }
        }
        if !client.output.is_empty() {
            self.out.push(Out::Reply(connection, std::mem::take(&mut client.output)));
        }
        self.clients.insert(connection, client);
    }

    fn data_command(&mut self, connection: u64, client: &mut Client, slot: u16, op: Op) {
        let asking = std::mem::take(&mut client.asking);
        let route = self.route(slot, &op, asking, client.readonly);
        if let Some((queued, refused)) = &mut client.transaction {
            match route {
                Route::Refuse(why) => {
                    *refused = true;
                    resp::error(&mut client.output, &why);
                }
                _ => {
                    queued.push((slot, op));
                    resp::simple(&mut client.output, "QUEUED");
                }
            }
            return;
        }
        match route {
            Route::Refuse(why) => return resp::error(&mut client.output, &why),
            Route::Memory => return self.data_state().read(&op, &mut client.output),
            Route::Log => {}
        }
        let mut ops = vec![(slot, op)];
        while ops.len() < BATCH_MAX
            && let Some(Request::Data(slot, op)) = client.requests.front()
            && matches!(self.route(*slot, op, false, client.readonly), Route::Log)
        {
            let Some(Request::Data(slot, op)) = client.requests.pop_front() else { break };
            ops.push((slot, op));
        }
        self.propose(connection, client, ops, false);
    }

    fn propose(&mut self, connection: u64, client: &mut Client, ops: Vec<(u16, Op)>, transaction: bool) {
        let bugs = self.shape.bugs;
        if bugs.read_without_quorum && !transaction && ops.iter().all(|(_, op)| !op.writes()) {
            ops.iter().for_each(|(_, op)| self.data_state().read(op, &mut client.output));
            return;
        }
        if bugs.minority_keeps_writing && !self.hears_majority() {
            // Alone and sure of itself: it decides, and nobody else will ever know.
            if let super::machine::Machine::Shard(state) = Arc::make_mut(&mut self.groups[0].1.machine) {
                ops.iter().for_each(|(_, op)| state.execute(op, &mut client.output));
            }
            return;
        }
        client.number += 1;
        let early =
            bugs.ack_before_decided && !transaction && ops.iter().all(|(_, op)| matches!(op, Op::Set(..)));
        if early {
            ops.iter().for_each(|_| resp::simple(&mut client.output, "OK"));
        }
        let command = Arc::new(Command::Ops { connection, number: client.number, ops, transaction });
        self.groups[0].1.propose(command.clone());
        if !early {
            client.flight = Some(Flight { command, proposed_at: self.now });
        }
    }

    /// The answer to a connection's entry of the log.
    pub(super) fn answered(&mut self, connection: u64, number: u64, applied: Applied, answer: &[u8]) {
        let decided = self.data().applied;
        let Some(client) = self.clients.get_mut(&connection) else { return };
        if client.number != number || client.flight.is_none() {
            return;
        }
        client.flight = None;
        if applied == Applied::Twice {
            // It was applied before a snapshot replaced the state, and the answer went with it.
            self.clients.remove(&connection);
            self.out.push(Out::Close(connection, "the answer was lost".into()));
            return;
        }
        client.written = decided;
        client.output.extend_from_slice(answer);
        self.drive(connection);
    }

    /// Where a command on this slot goes.
    fn route(&self, slot: u16, op: &Op, asking: bool, readonly: bool) -> Route {
        let bugs = self.shape.bugs;
        let shard = self.map.owner_of(slot);
        let primary = self.map.shards[usize::from(shard)].primary;
        let redirect = |word: &str, node: u16| {
            Route::Refuse(format!("{word} {slot} {ADDRESS}:{}", self.shape.ports[usize::from(node)]))
        };
        if shard != self.shard {
            let taken = asking && self.data_state().owned.contains(slot) && self.is_primary();
            if !taken {
                return redirect("MOVED", primary);
            }
        } else if primary != self.id {
            return if readonly && !op.writes() { Route::Memory } else { redirect("MOVED", primary) };
        }
        let stale_read = bugs.read_without_quorum && !op.writes();
        let alone = bugs.minority_keeps_writing;
        if !(stale_read || alone || self.cluster_ok && self.data().leads() && self.hears_majority()) {
            return Route::Refuse("CLUSTERDOWN The cluster is down".into());
        }
        if self.data_state().frozen.contains_key(&slot) {
            return match self.taker_of(slot) {
                Some(node) => redirect("ASK", node),
                None => Route::Refuse("TRYAGAIN the slot is on its way to another shard".into()),
            };
        }
        Route::Log
    }

    fn other_command(&mut self, connection: u64, client: &mut Client, arguments: &[Vec<u8>]) {
        let name = text(&arguments[0]).to_ascii_uppercase();
        let first = arguments.get(1).map(|argument| text(argument).to_ascii_uppercase()).unwrap_or_default();
        if name == "AUTH" {
            return self.authenticate(client, arguments);
        }
        if self.shape.password.is_some() && !client.authenticated {
            return resp::error(&mut client.output, "NOAUTH Authentication required.");
        }
        match name.as_str() {
            "PING" => resp::simple(&mut client.output, "PONG"),
            "ASKING" => {
                client.asking = true;
                resp::simple(&mut client.output, "OK");
            }
            "READONLY" | "READWRITE" => {
                client.readonly = name == "READONLY";
                resp::simple(&mut client.output, "OK");
            }
            "CLIENT" | "SELECT" => resp::simple(&mut client.output, "OK"),
            "MULTI" if client.transaction.is_none() => {
                client.transaction = Some((Vec::new(), false));
                resp::simple(&mut client.output, "OK");
            }
            "MULTI" => resp::error(&mut client.output, "ERR MULTI calls can not be nested"),
            "DISCARD" if client.transaction.take().is_some() => resp::simple(&mut client.output, "OK"),
            "EXEC" => match client.transaction.take() {
                None => resp::error(&mut client.output, "ERR EXEC without MULTI"),
                Some((_, true)) => {
                    resp::error(
                        &mut client.output,
                        "EXECABORT Transaction discarded because of previous errors.",
                    );
                }
                Some((ops, false)) if ops.is_empty() => resp::array(&mut client.output, 0),
                Some((ops, false)) if ops.iter().any(|(slot, _)| *slot != ops[0].0) => {
                    resp::error(&mut client.output, "CROSSSLOT Keys in request don't hash to the same slot");
                }
                Some((ops, false)) => match self.route(ops[0].0, &ops[0].1, false, false) {
                    Route::Refuse(why) => resp::error(&mut client.output, &why),
                    Route::Log | Route::Memory => self.propose(connection, client, ops, true),
                },
            },
            "WAIT" | "WAITAOF" => self.wait_command(client, &name, arguments),
            "KEYS" => {
                let keys: Vec<&Bytes> = self.data_state().keys.keys().collect();
                resp::array(&mut client.output, keys.len());
                keys.iter().for_each(|key| resp::bulk(&mut client.output, key));
            }
            "DBSIZE" => resp::integer(&mut client.output, self.data_state().keys.len() as i64),
            "INFO" => {
                let text = self.info();
                resp::bulk(&mut client.output, text.as_bytes());
            }
            "CLUSTER" => self.cluster_command(&mut client.output, &first, arguments),
            _ => resp::error(&mut client.output, &format!("ERR unknown command '{}'", text(&arguments[0]))),
        }
    }

    fn authenticate(&self, client: &mut Client, arguments: &[Vec<u8>]) {
        let Some(password) = &self.shape.password else {
            return resp::error(&mut client.output, "ERR AUTH called without any password configured");
        };
        client.authenticated = arguments.last().is_some_and(|given| given == password.as_bytes());
        if client.authenticated {
            resp::simple(&mut client.output, "OK");
        } else {
            resp::error(&mut client.output, "WRONGPASS invalid username-password pair or user is disabled.");
        }
    }

    fn wait_command(&mut self, client: &mut Client, name: &str, arguments: &[Vec<u8>]) {
        let disk = name == "WAITAOF";
        let numbers: Option<Vec<u64>> =
            arguments[1..].iter().map(|argument| text(argument).parse().ok()).collect();
        let (replicas, timeout) = match numbers.as_deref() {
            Some([replicas, timeout]) if !disk => (*replicas, *timeout),
            Some([_, replicas, timeout]) if disk => (*replicas, *timeout),
            _ => return resp::error(&mut client.output, "ERR value is not an integer or out of range"),
        };
        let until = if timeout == 0 { u64::MAX } else { self.now + timeout * 1000 };
        client.wait = Some(Wait { replicas: replicas as usize, until, disk });
        self.check_wait(client);
    }

    fn check_wait(&self, client: &mut Client) {
        let Some(wait) = client.wait else { return };
        let nodes: Vec<u16> = self.shape.nodes_of(self.shard).collect();
        let have = self.data().accepted_by(&nodes, client.written);
        if have < wait.replicas && self.now < wait.until {
            return;
        }
        client.wait = None;
        if wait.disk {
            resp::array(&mut client.output, 2);
            resp::integer(&mut client.output, 1);
        }
        resp::integer(&mut client.output, have as i64);
    }

    /// Ends the waits that are over.
    pub(super) fn check_waits(&mut self) {
        let waiting: Vec<u64> =
            self.clients.iter().filter(|(_, client)| client.wait.is_some()).map(|(id, _)| *id).collect();
        for connection in waiting {
            let Some(mut client) = self.clients.remove(&connection) else { continue };
            self.check_wait(&mut client);
            self.clients.insert(connection, client);
            self.drive(connection);
        }
    }
}

impl Client {
    fn read(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.input.extend_from_slice(bytes);
        let (mut at, mut arguments) = (0, Vec::new());
        loop {
            match resp::decode(&self.input, at, &mut arguments) {
                Decoded::Partial => break,
                Decoded::Broken(why) => return Err(why),
                Decoded::Command(end) => {
                    let arguments: Vec<&[u8]> =
                        arguments.iter().map(|range| &self.input[range.clone()]).collect();
                    if !arguments.is_empty() {
                        self.requests.push_back(parse(&arguments));
                    }
                    at = end;
                }
            }
        }
        self.input.drain(..at);
        Ok(())
    }
}

pub(super) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("?")
}

fn parse(arguments: &[&[u8]]) -> Request {
    let bytes = |bytes: &&[u8]| -> Bytes { Arc::from(*bytes) };
    let rest = |from: usize| arguments[from..].iter().map(bytes).collect::<Vec<Bytes>>();
    let name = arguments[0];
    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
    let one = |op: Op, key: &[u8]| Request::Data(slot_of(key), op);
    let number = |bytes: &[u8]| text(bytes).parse::<i64>().ok();
    match arguments.len() {
        2 if is("GET") => one(Op::Get(bytes(&arguments[1])), arguments[1]),
        3 if is("SET") => one(Op::Set(bytes(&arguments[1]), bytes(&arguments[2])), arguments[1]),
        2 if is("INCR") => one(Op::Increment(bytes(&arguments[1]), 1), arguments[1]),
        3 if is("INCRBY") => match number(arguments[2]) {
            Some(by) => one(Op::Increment(bytes(&arguments[1]), by), arguments[1]),
            None => Request::Refuse("ERR value is not an integer or out of range".into()),
        },
        3.. if is("RPUSH") => one(Op::Append(bytes(&arguments[1]), rest(2)), arguments[1]),
        3.. if is("SADD") => one(Op::Add(bytes(&arguments[1]), rest(2)), arguments[1]),
        4 if is("LRANGE") => match (number(arguments[2]), number(arguments[3])) {
            (Some(from), Some(to)) => one(Op::Range(bytes(&arguments[1]), from, to), arguments[1]),
            _ => Request::Refuse("ERR value is not an integer or out of range".into()),
        },
        2 if is("LLEN") => one(Op::Length(bytes(&arguments[1])), arguments[1]),
        2 if is("SMEMBERS") => one(Op::Members(bytes(&arguments[1])), arguments[1]),
        2 if is("TYPE") => one(Op::Type(bytes(&arguments[1])), arguments[1]),
        2.. if is("DEL") || is("EXISTS") => {
            let slot = slot_of(arguments[1]);
            if arguments[2..].iter().any(|key| slot_of(key) != slot) {
                return Request::Refuse("CROSSSLOT Keys in request don't hash to the same slot".into());
            }
            Request::Data(slot, if is("DEL") { Op::Delete(rest(1)) } else { Op::Exists(rest(1)) })
        }
        _ => Request::Other(arguments.iter().map(|argument| argument.to_vec()).collect()),
    }
}
