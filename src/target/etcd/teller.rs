//! A client that moves money between accounts, each transfer in one transaction, and now and then looks at all of them at one
//! moment.
//!
//! An account is a key whose value is its balance and the name of the transfer that wrote it. A transfer puts both accounts
//! only at the versions that it read; every fourth has a third part that cannot come about, a key under a lease that nobody was
//! granted, so that all of it must be refused. All accounts are read by one linearizable range, or one by one as a member has
//! them and then by a transaction that compares every version: if it succeeds, that was what they held when it did.

use super::api::{self, ApiError, KeyValue, Range, Txn};
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::history::{Audit, AuditKind, Entry, Stamp, Transfer, TransferSaid};
use crate::run::task::{Conn, Io};
use crate::run::world::Shared;
use crate::target::group::Rota;
use crate::time::Millis;
use serde::Deserialize;
use serde_json::{Value as Json, json};

/// How many accounts there are, and what each begins with.
const ACCOUNTS: u32 = 5;
const BALANCE: i64 = 100;
const BANK: &str = "bank/";
/// A lease that nobody was granted.
const NO_LEASE: i64 = 1;
const ANSWER_TIMEOUT: Millis = Millis(1000);
const PACE: Millis = Millis(60);
/// How many rounds a teller stays with a member.
const STAYS: u64 = 25;

struct Teller {
    io: Io,
    world: Shared,
    key: Entropy,
    number: u32,
    rota: Rota,
    /// Which piece of its work is next.
    count: u32,
    conn: Option<(NodeId, Conn)>,
}

/// Transfers for as long as there is load.
pub async fn work(io: Io, world: Shared, number: u32) {
    io.act_as_client();
    let key = world.borrow().key.child("tellers").nth(u64::from(number));
    let mut teller = Teller { io, world, key, number, rota: Rota::of(number), count: 0, conn: None };
    let mut open = false;
    while !teller.world.borrow().load_stopped {
        open = teller.round(open).await;
        teller.count += 1;
        teller.io.sleep(PACE).await;
    }
}

fn name(account: u32) -> String {
    format!("{BANK}{account}")
}

/// `60 t1.7` at a version.
fn entry(held: &KeyValue) -> Option<Entry> {
    let (balance, by) = std::str::from_utf8(&held.value).ok()?.split_once(' ')?;
    Some(Entry { version: i32::try_from(held.version).ok()?, balance: balance.parse().ok()?, by: by.into() })
}

pub fn put(account: u32, entry: &Entry) -> Json {
    let value = format!("{} {}", entry.balance, entry.by);
    json!({"request_put": {"key": api::encoded(&name(account)), "value": api::encoded(&value)}})
}

/// That an account is still at a version.
fn is_at(account: u32, version: i32) -> Json {
    let key = api::encoded(&name(account));
    json!({"key": key, "target": "VERSION", "result": "EQUAL", "version": version.to_string()})
}

fn odd(what: &impl std::fmt::Debug) -> ApiError {
    ApiError::Odd(format!("{what:?}"))
}

impl Teller {
    fn word(&self, purpose: &str) -> u64 {
        self.key.word(purpose, u64::from(self.count), 0)
    }
    fn stamp(&self) -> Stamp {
        self.world.borrow_mut().stamp()
    }

    /// One piece of work; whether the accounts are there.
    async fn round(&mut self, open: bool) -> bool {
        if u64::from(self.count) % STAYS == STAYS - 1 {
            self.rota.go_on(&self.world.borrow());
            self.conn = None;
        }
        let Some((node, conn)) = self.connected().await else { return open };
        let came = match (open, self.word("what") % 8) {
            (false, _) => self.found(&conn).await,
            (true, 0) => self.together(node, &conn).await,
            (true, 1) => self.checked(node, &conn).await,
            (true, _) => self.transfer(node, &conn).await,
        };
        match came {
            Ok(()) => {
                self.conn = Some((node, conn));
                true
            }
            Err(_) => {
                self.rota.avoid(node, self.io.now());
                open
            }
        }
    }

    async fn connected(&mut self) -> Option<(NodeId, Conn)> {
        if let Some(open) = self.conn.take() {
            return Some(open);
        }
        let node = self.rota.next(&self.world.borrow());
        let opened = self.io.open(node, self.io.after(ANSWER_TIMEOUT)).await;
        if opened.is_err() {
            self.rota.avoid(node, self.io.now());
        }
        Some((node, opened.ok()?))
    }

    async fn ask<T: for<'a> Deserialize<'a>>(
        &self,
        conn: &Conn,
        path: &str,
        body: &Json,
    ) -> Result<T, ApiError> {
        api::call(conn, path, body, self.io.after(ANSWER_TIMEOUT)).await
    }

    /// Puts all accounts at once, unless somebody has.
    async fn found(&self, conn: &Conn) -> Result<(), ApiError> {
        let begins = Entry { version: 1, balance: BALANCE, by: String::new() };
        let puts: Vec<Json> = (0..ACCOUNTS).map(|account| put(account, &begins)).collect();
        let body = json!({"compare": [is_at(0, 0)], "success": puts});
        self.ask::<Txn>(conn, api::TXN, &body).await.map(drop)
    }

    async fn read(&self, conn: &Conn, account: u32) -> Result<Entry, ApiError> {
        let range: Range = self.ask(conn, api::RANGE, &api::range(&name(account), true)).await?;
        range.kvs.first().and_then(entry).ok_or_else(|| odd(&range))
    }

    async fn transfer(&self, node: NodeId, conn: &Conn) -> Result<(), ApiError> {
        let from = (self.word("from") % u64::from(ACCOUNTS)) as u32;
        let to = (from + 1 + (self.word("to") % u64::from(ACCOUNTS - 1)) as u32) % ACCOUNTS;
        let (gives, takes) = (self.read(conn, from).await?, self.read(conn, to).await?);
        let amount = (1 + self.word("amount") % 20) as i64;
        let by = format!("t{}.{}", self.number, self.count);
        let after = |held: &Entry, change: i64| Entry {
            version: held.version + 1,
            balance: held.balance + change,
            by: by.clone(),
        };
        let (given, taken) = (after(&gives, -amount), after(&takes, amount));
        let spoilt = self.word("spoilt").is_multiple_of(4);
        let mut puts = vec![put(from, &given), put(to, &taken)];
        if spoilt {
            let key = api::encoded(&format!("{BANK}nowhere"));
            puts.push(json!({"request_put": {"key": key, "lease": NO_LEASE.to_string()}}));
        }
        let compare = [is_at(from, gives.version), is_at(to, takes.version)];
        let sent = self.stamp();
        let answer: Result<Txn, ApiError> =
            self.ask(conn, api::TXN, &json!({"compare": compare, "success": puts})).await;
        let (said, came) = match answer {
            Ok(txn) if txn.succeeded => (TransferSaid::Done, Ok(())),
            Ok(_) => (TransferSaid::Refused("an account has another version".into()), Ok(())),
            // The connection is as good as before.
            Err(error) if error.is_refusal() => (TransferSaid::Refused(error.to_string()), Ok(())),
            Err(error) => (TransferSaid::Unknown(error.to_string()), Err(error)),
        };
        let back = self.stamp();
        self.world.borrow_mut().transfers.push(Transfer {
            teller: self.number,
            number: self.count,
            node,
            from: (from, given),
            to: (to, taken),
            spoilt,
            sent,
            back,
            said,
        });
        came
    }

    fn audited(&self, kind: AuditKind, node: NodeId, sent: Stamp, entries: Vec<Entry>) {
        let back = self.stamp();
        let teller = self.number;
        self.world.borrow_mut().audits.push(Audit { teller, kind, node, sent, back, entries });
    }

    /// All accounts by one request.
    async fn together(&self, node: NodeId, conn: &Conn) -> Result<(), ApiError> {
        let sent = self.stamp();
        let range: Range = self.ask(conn, api::RANGE, &api::count(BANK)).await?;
        let entries: Option<Vec<Entry>> = range.kvs.iter().map(entry).collect();
        let whole = entries.filter(|entries| entries.len() == ACCOUNTS as usize);
        self.audited(AuditKind::Together, node, sent, whole.ok_or_else(|| odd(&range))?);
        Ok(())
    }

    /// One account after the other, and then that none has changed.
    async fn checked(&self, node: NodeId, conn: &Conn) -> Result<(), ApiError> {
        let mut entries = Vec::new();
        for account in 0..ACCOUNTS {
            entries.push(self.read(conn, account).await?);
        }
        let compare: Vec<Json> =
            (0..ACCOUNTS).zip(&entries).map(|(account, entry)| is_at(account, entry.version)).collect();
        let sent = self.stamp();
        // Without a range that goes through the log, a transaction that writes nothing is answered by what the member has.
        let through = json!({"request_range": api::range(&name(0), false)});
        let body = json!({"compare": compare, "success": [through]});
        let txn: Txn = self.ask(conn, api::TXN, &body).await?;
        if txn.succeeded {
            self.audited(AuditKind::Checked, node, sent, entries);
        }
        Ok(())
    }
}
