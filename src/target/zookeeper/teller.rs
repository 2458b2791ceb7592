//! A client that moves money between accounts, each transfer in one `multi`, and now and then looks at all of them at one
//! moment.
//!
//! An account is a node whose data is its balance and the name of the transfer that wrote it. A transfer sets both accounts
//! only at the versions that it read; every fourth has a third part that cannot come about, so that all of it must be
//! refused. All accounts are read by one `multiRead` behind a `sync`, or one by one and then by a `multi` that checks
//! every version: if it is done, that was what they held when it was.

use super::client::create;
use super::code::Code;
use super::session::Session as State;
use super::talk::{Lost, Talk};
use super::wire::{Answer, Request};
use super::worker::{ANSWER, Epochs, Worker};
use crate::history::{Audit, AuditKind, Entry, Stamp, Transfer, TransferSaid};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::Millis;

/// How many accounts there are, and what each begins with.
pub const ACCOUNTS: u32 = 5;
pub const BALANCE: i64 = 100;
const BANK: &str = "/bank";
/// A node that is never there.
const NOWHERE: &str = "/bank/nowhere";
const PACE: Millis = Millis(60);
/// How many rounds a teller stays on a server.
const STAYS: u64 = 25;

struct Teller {
    me: Worker,
    talk: Option<Talk>,
}

/// Transfers for as long as there is load.
pub async fn work(io: Io, world: Shared, number: u32, epochs: Epochs) {
    let mut teller = Teller { me: Worker::new(io, world, "tellers", number, epochs), talk: None };
    let mut open = false;
    while !teller.me.stopped() {
        open = teller.round(open).await;
        teller.me.count += 1;
        teller.me.io.sleep(PACE).await;
    }
}

fn path(account: u32) -> String {
    format!("{BANK}/{account}")
}

/// `60 t1.7` at a version.
fn entry(answer: &Answer) -> Option<Entry> {
    let Answer::Data(data, stat) = answer else { return None };
    let (balance, by) = std::str::from_utf8(data).ok()?.split_once(' ')?;
    Some(Entry { version: stat.version, balance: balance.parse().ok()?, by: by.into() })
}

fn set(account: u32, entry: &Entry) -> Request {
    let data = format!("{} {}", entry.balance, entry.by).into_bytes();
    Request::SetData { path: path(account), data, version: entry.version - 1 }
}

impl Teller {
    /// One piece of work; whether the accounts are there.
    async fn round(&mut self, open: bool) -> bool {
        if u64::from(self.me.count) % STAYS == STAYS - 1 {
            self.me.go_on();
            self.talk = None;
        }
        let Some(mut talk) = self.connected().await else { return open };
        let came = match (open, self.me.word("what", 0) % 8) {
            (false, _) => self.found(&mut talk).await,
            (true, 0) => self.together(&mut talk).await,
            (true, 1) => self.checked(&mut talk).await,
            (true, _) => self.transfer(&mut talk).await,
        };
        match came {
            Ok(()) => {
                self.talk = Some(talk);
                true
            }
            Err(_) => {
                self.me.avoid(talk.node());
                open
            }
        }
    }

    async fn connected(&mut self) -> Option<Talk> {
        if let Some(talk) = self.talk.take().filter(|talk| !talk.is_closed()) {
            return Some(talk);
        }
        let node = self.me.next();
        let state = State::new(super::client::SESSION_MS);
        self.me.open(node, state).await.ok()
    }

    /// Creates all accounts at once, unless somebody has.
    async fn found(&self, talk: &mut Talk) -> Result<(), Lost> {
        let mut parts = vec![create(BANK.into(), Vec::new())];
        parts.extend((0..ACCOUNTS).map(|account| create(path(account), format!("{BALANCE} ").into_bytes())));
        match talk.ask(Request::Multi(parts), self.me.io.after(ANSWER)).await? {
            (Answer::Parts(parts), _) => match parts.first() {
                Some(Ok(_) | Err(Code::NODE_EXISTS)) => Ok(()),
                _ => Err(Lost::Odd(format!("{parts:?}"))),
            },
            (other, _) => Err(Lost::Odd(format!("{other:?}"))),
        }
    }

    async fn read(&self, talk: &mut Talk, account: u32) -> Result<Entry, Lost> {
        let get = Request::GetData { path: path(account), watch: false };
        let (answer, _) = talk.ask(get, self.me.io.after(ANSWER)).await?;
        entry(&answer).ok_or_else(|| Lost::Odd(format!("{answer:?}")))
    }

    async fn transfer(&self, talk: &mut Talk) -> Result<(), Lost> {
        let from = (self.me.word("from", 0) % u64::from(ACCOUNTS)) as u32;
        let to = (from + 1 + (self.me.word("to", 0) % u64::from(ACCOUNTS - 1)) as u32) % ACCOUNTS;
        let (gives, takes) = (self.read(talk, from).await?, self.read(talk, to).await?);
        let amount = (1 + self.me.word("amount", 0) % 20) as i64;
        let by = format!("t{}.{}", self.me.number, self.me.count);
        let after = |held: &Entry, change: i64| Entry {
            version: held.version + 1,
            balance: held.balance + change,
            by: by.clone(),
        };
        let (given, taken) = (after(&gives, -amount), after(&takes, amount));
        let spoilt = self.me.word("spoilt", 0).is_multiple_of(4);
        let mut parts = vec![set(from, &given), set(to, &taken)];
        if spoilt {
            parts.push(Request::Check { path: NOWHERE.into(), version: 0 });
        }
        let sent = self.me.stamp();
        let answer = talk.ask(Request::Multi(parts), self.me.io.after(ANSWER)).await;
        let (said, came) = match answer {
            Ok((Answer::Parts(parts), zxid)) => {
                self.me.epochs.heard(zxid);
                let refused: Vec<&Code> = parts.iter().filter_map(|part| part.as_ref().err()).collect();
                let said = if refused.is_empty() {
                    TransferSaid::Done
                } else {
                    TransferSaid::Refused(format!("{refused:?}"))
                };
                (said, Ok(()))
            }
            Ok((other, _)) => {
                let odd = Lost::Odd(format!("{other:?}"));
                (TransferSaid::Unknown(odd.to_string()), Err(odd))
            }
            Err(lost) if lost.is_refusal() => (TransferSaid::Refused(lost.to_string()), Err(lost)),
            Err(lost) => (TransferSaid::Unknown(lost.to_string()), Err(lost)),
        };
        let back = self.me.stamp();
        self.me.world.borrow_mut().transfers.push(Transfer {
            teller: self.me.number,
            number: self.me.count,
            node: talk.node(),
            from: (from, given),
            to: (to, taken),
            spoilt,
            sent,
            back,
            said,
        });
        came
    }

    fn audited(&self, kind: AuditKind, talk: &Talk, sent: Stamp, entries: Vec<Entry>) {
        let back = self.me.stamp();
        let node = talk.node();
        self.me.world.borrow_mut().audits.push(Audit {
            teller: self.me.number,
            kind,
            node,
            sent,
            back,
            entries,
        });
    }

    /// All accounts by one request.
    async fn together(&self, talk: &mut Talk) -> Result<(), Lost> {
        let deadline = self.me.io.after(ANSWER);
        let sent = self.me.stamp();
        let synced = talk.send(Request::Sync { path: BANK.into() });
        let get = |account| Request::GetData { path: path(account), watch: false };
        let asked = talk.send(Request::MultiRead((0..ACCOUNTS).map(get).collect()));
        talk.answer(synced, deadline).await?;
        let (answer, zxid) = talk.answer(asked, deadline).await?;
        if self.me.epochs.newer_than(zxid).is_some() {
            return Ok(());
        }
        self.me.epochs.heard(zxid);
        let odd = || Lost::Odd(format!("{answer:?}"));
        let Answer::Parts(parts) = &answer else { return Err(odd()) };
        let entries: Option<Vec<Entry>> = parts.iter().map(|part| entry(part.as_ref().ok()?)).collect();
        self.audited(AuditKind::Together, talk, sent, entries.ok_or_else(odd)?);
        Ok(())
    }

    /// One account after the other, and then that none has changed.
    async fn checked(&self, talk: &mut Talk) -> Result<(), Lost> {
        let mut entries = Vec::new();
        for account in 0..ACCOUNTS {
            entries.push(self.read(talk, account).await?);
        }
        let check =
            |(account, entry): (u32, &Entry)| Request::Check { path: path(account), version: entry.version };
        let checks = (0..ACCOUNTS).zip(&entries).map(check).collect();
        let sent = self.me.stamp();
        let (answer, zxid) = talk.ask(Request::Multi(checks), self.me.io.after(ANSWER)).await?;
        let Answer::Parts(parts) = answer else { return Err(Lost::Odd(format!("{answer:?}"))) };
        if parts.iter().all(Result::is_ok) {
            self.me.epochs.heard(zxid);
            self.audited(AuditKind::Checked, talk, sent, entries);
        }
        Ok(())
    }
}
