//! A client that holds leases: it is granted one, puts keys under it, keeps it alive for a while by one member or another,
//! and lets go of it, by revoking it or without a word. Through all of it, and until the keys are gone, it counts
//! them by linearizable reads, so that what it is told of its lease and what became of its keys stand side by side.

use super::api::{self, ApiError, Done, Range, Remaining};
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::history::{Ending, Lease, LeaseAsk, LeaseCall, LeaseSaid};
use crate::run::task::{Conn, Io};
use crate::run::world::Shared;
use crate::time::{Micros, Millis};
use serde_json::{Value as Json, json};

/// How long an answer may take.
const ANSWER_TIMEOUT: Millis = Millis(1000);
/// Between one question and the next where nothing is due.
const EVERY: Millis = Millis(250);
/// Before the next lease, and the next member after one that did not do it.
const AGAIN: Millis = Millis(100);
/// The longest that is asked for, in seconds. A server grants more where its election timeout wants it (`MinLeaseTTL`).
const SECONDS_MAX: u64 = 4;
/// How often a lease is kept alive at most.
const RENEWALS_MAX: u64 = 12;
/// Keys of one lease.
const KEYS: u32 = 2;
/// How often each member is asked to keep a lease alive that is over.
const AFTER: u32 = 2;
/// When nobody waits any longer for keys to be gone.
const GONE_MAX: Millis = Millis(30_000);
/// One holder's leases are numbered from here, so that none has an id that another one chose.
const IDS_EACH: i64 = 1_000_000;

struct Holder {
    io: Io,
    world: Shared,
    key: Entropy,
    number: u32,
    /// Which of its leases is next.
    count: u32,
    /// The member that is asked, and the connection to it.
    at: usize,
    conn: Option<(NodeId, Conn)>,
}

/// Holds one lease after the other for as long as there is load, and sees the last one to its end.
pub async fn hold(io: Io, world: Shared, number: u32) {
    io.act_as_client();
    let key = world.borrow().key.child("leases").nth(u64::from(number));
    let mut holder = Holder { io, world, key, number, count: 0, at: number as usize, conn: None };
    while !holder.stopped() {
        let place = holder.begin();
        let granted = holder.grant(place).await;
        if let Some(granted) = granted {
            holder.keep(place, granted).await;
            holder.let_go(place).await;
        }
        holder.count += 1;
        holder.io.sleep(AGAIN).await;
    }
}

impl Holder {
    fn stopped(&self) -> bool {
        self.world.borrow().load_stopped
    }

    fn word(&self, purpose: &str) -> u64 {
        self.key.word(purpose, u64::from(self.count), 0)
    }

    /// Enters the next lease into what the run saw.
    fn begin(&self) -> usize {
        let (holder, number) = (self.number, self.count);
        let ending = if self.word("ending").is_multiple_of(2) { Ending::Revoke } else { Ending::Abandon };
        let mut world = self.world.borrow_mut();
        world.leases.push(Lease {
            holder,
            number,
            id: IDS_EACH * (i64::from(holder) + 1) + i64::from(number),
            prefix: format!("lease/{holder}/{number}/"),
            keys: KEYS,
            ending,
            calls: Vec::new(),
        });
        world.leases.len() - 1
    }

    fn lease(&self, place: usize) -> (i64, String) {
        let world = self.world.borrow();
        (world.leases[place].id, world.leases[place].prefix.clone())
    }

    /// Asks for the lease and puts its keys under it. For how long it was granted; nothing where not all of it was done.
    async fn grant(&mut self, place: usize) -> Option<Millis> {
        let (id, prefix) = self.lease(place);
        let seconds = 1 + self.word("seconds") % SECONDS_MAX;
        let LeaseSaid::For(granted) = self.ask(place, LeaseAsk::Grant, api::grant(id, seconds)).await else {
            return None;
        };
        let body = api::attach(id, &prefix, KEYS);
        matches!(self.ask(place, LeaseAsk::Attach, body).await, LeaseSaid::Done).then_some(granted)
    }

    /// Keeps it alive as often as is drawn, and counts its keys meanwhile.
    async fn keep(&mut self, place: usize, granted: Millis) {
        let (id, prefix) = self.lease(place);
        let often = self.word("renewals") % (RENEWALS_MAX + 1);
        // A client library renews after a third of the time; one that is late at times leaves less room.
        let pause = Millis(granted.0 / [3, 3, 2][(self.word("pause") % 3) as usize]);
        for renewal in 0..often {
            let due = self.io.after(pause);
            self.look_until(place, &prefix, due).await;
            if self.stopped() {
                return;
            }
            match self.ask(place, LeaseAsk::KeepAlive, json!({"ID": id.to_string()})).await {
                LeaseSaid::NoLease => return,
                LeaseSaid::For(_) if renewal % 4 == 1 => {
                    self.ask(place, LeaseAsk::Left, json!({"ID": id.to_string()})).await;
                }
                _ => {}
            }
        }
        self.look_until(place, &prefix, self.io.after(Millis(granted.0 / 2))).await;
    }

    /// Counts the keys again and again until a moment.
    async fn look_until(&mut self, place: usize, prefix: &str, until: Micros) {
        while self.io.now() < until {
            self.ask(place, LeaseAsk::Read, api::count(prefix)).await;
            self.io.sleep_until(self.io.after(EVERY).min(until)).await;
        }
    }

    /// Revokes it, or says no more; waits until its keys are gone, and asks each member to keep alive what is over.
    async fn let_go(&mut self, place: usize) {
        let (id, prefix) = self.lease(place);
        let ending = self.world.borrow().leases[place].ending;
        let mut over = false;
        if ending == Ending::Revoke {
            over = self.ask(place, LeaseAsk::Revoke, json!({"ID": id.to_string()})).await == LeaseSaid::Done;
        }
        if !over {
            let until = self.io.after(GONE_MAX);
            while self.io.now() < until {
                if self.ask(place, LeaseAsk::Read, api::count(&prefix)).await == LeaseSaid::Keys(0) {
                    over = true;
                    break;
                }
                self.io.sleep(EVERY).await;
            }
        }
        for _ in 0..AFTER * u32::from(over) {
            // Who did not hear of its end at once may have by now.
            self.io.sleep(AGAIN).await;
            let members = self.world.borrow().members();
            for _ in members {
                self.ask(place, LeaseAsk::KeepAlive, json!({"ID": id.to_string()})).await;
                self.next();
            }
            self.ask(place, LeaseAsk::Read, api::count(&prefix)).await;
        }
    }

    /// Turns to the next member.
    fn next(&mut self) {
        self.conn = None;
        self.at += 1;
    }

    /// One question and what came back, which is entered. After one without an answer the next member is asked.
    async fn ask(&mut self, place: usize, ask: LeaseAsk, body: Json) -> LeaseSaid {
        let sent = self.io.now();
        let (node, said) = self.call(ask, &body).await;
        let back = self.io.now();
        self.world.borrow_mut().leases[place].calls.push(LeaseCall {
            ask,
            node,
            sent,
            back,
            said: said.clone(),
        });
        if matches!(said, LeaseSaid::Refused(_) | LeaseSaid::Unknown(_)) {
            self.next();
            self.io.sleep(AGAIN).await;
        }
        said
    }

    async fn call(&mut self, ask: LeaseAsk, body: &Json) -> (NodeId, LeaseSaid) {
        let deadline = self.io.after(ANSWER_TIMEOUT);
        let members = self.world.borrow().members();
        let node = members.get(self.at % members.len().max(1)).copied().unwrap_or(NodeId(0));
        let kept = self.conn.take().filter(|(at, conn)| *at == node && !conn.is_closed());
        let conn = match kept {
            Some((_, conn)) => conn,
            None => match self.io.open(node, deadline).await {
                Ok(conn) => conn,
                Err(error) => return (node, LeaseSaid::Refused(error.to_string())),
            },
        };
        let said = one(&conn, ask, body, deadline).await.unwrap_or_else(|error| {
            let none = error.to_string().contains("requested lease not found");
            match error {
                _ if none => LeaseSaid::NoLease,
                error if error.is_refusal() => LeaseSaid::Refused(error.to_string()),
                error => LeaseSaid::Unknown(error.to_string()),
            }
        });
        if !matches!(said, LeaseSaid::Unknown(_)) {
            self.conn = Some((node, conn));
        }
        (node, said)
    }
}

async fn one(conn: &Conn, ask: LeaseAsk, body: &Json, deadline: Micros) -> Result<LeaseSaid, ApiError> {
    let lasts = |left: Remaining| match left.seconds {
        seconds if seconds > 0 => LeaseSaid::For(Millis::secs(seconds.unsigned_abs())),
        // Of a lease that is there, less than a second may be left.
        0 if left.granted > 0 => LeaseSaid::For(Millis(0)),
        _ => LeaseSaid::NoLease,
    };
    Ok(match ask {
        LeaseAsk::Grant => lasts(api::call(conn, api::LEASE_GRANT, body, deadline).await?),
        LeaseAsk::Left => lasts(api::call(conn, api::LEASE_LEFT, body, deadline).await?),
        LeaseAsk::KeepAlive => lasts(api::call_stream(conn, api::LEASE_KEEP_ALIVE, body, deadline).await?),
        LeaseAsk::Attach => {
            api::call::<Done>(conn, api::TXN, body, deadline).await?;
            LeaseSaid::Done
        }
        LeaseAsk::Revoke => {
            api::call::<Done>(conn, api::LEASE_REVOKE, body, deadline).await?;
            LeaseSaid::Done
        }
        LeaseAsk::Read => {
            let range: Range = api::call(conn, api::RANGE, body, deadline).await?;
            LeaseSaid::Keys(u32::try_from(range.kvs.len()).unwrap_or(u32::MAX))
        }
    })
}
