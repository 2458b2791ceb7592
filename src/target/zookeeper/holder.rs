//! A client that holds a session with an ephemeral node, one after the other: the recipe for a lock.
//!
//! Its node is a place in a queue (`EPHEMERAL_SEQUENTIAL`). Who is first writes what the lock guards in one `multi` with a
//! check of its own node, so that its place is the fence; who is not sets a watch on the one before it. Meanwhile it keeps
//! its session alive by writes to its own node, goes to other servers with it, and looks at who is in the queue by reads
//! behind a `sync`. In the end it closes the session, deletes its node first, or says nothing more. One that is told that
//! its session is no more tries once to go on with it all the same.

use super::client::create;
use super::code::Code;
use super::session::{Session as State, Stage};
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Acl, Answer, CreateMode, Request};
use super::worker::{ANSWER, Epochs, Worker};
use crate::env::{ConnId, NodeId};
use crate::history::{Guard, Held, HeldAct, HeldAsk, HeldSaid, Sight, Stamp};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::Millis;

/// Where the queue is, and what the lock guards.
pub const QUEUE: &str = "/lock";
pub const GUARDED: &str = "/guarded";
/// The timeouts that a session may wish for.
const TIMEOUTS: [i32; 3] = [1000, 2000, 3000];
/// How long a session is held at least, and how much longer at most.
const LIFE: Millis = Millis(1500);
const LONGER: u64 = 5000;
/// Before the next session, and before the next server.
const AGAIN: Millis = Millis(100);
/// How much longer than a session's timeout a holder without a connection tries to go on.
const PATIENCE: Millis = Millis(2000);

struct Holder {
    me: Worker,
}

/// What ends a session's life with its holder.
enum Over {
    /// It is to be left as it is.
    Left,
    Expired(State),
}

/// Holds sessions for as long as there is load.
pub async fn hold(io: Io, world: Shared, number: u32, epochs: Epochs) {
    let mut holder = Holder { me: Worker::new(io, world, "holders", number, epochs) };
    while !holder.me.stopped() {
        holder.one().await;
        holder.me.io.sleep(AGAIN).await;
    }
}

impl Holder {
    fn edit<R>(&self, held: usize, edit: impl FnOnce(&mut Held) -> R) -> R {
        edit(&mut self.me.world.borrow_mut().sessions[held])
    }
    fn note(&self, held: usize, ask: HeldAsk, node: NodeId, sent: Stamp, said: HeldSaid) {
        let back = self.me.stamp();
        self.edit(held, |one| one.acts.push(HeldAct { ask, node, sent, back, said }));
    }

    /// One session, to its end.
    async fn one(&mut self) {
        let wish = TIMEOUTS[(self.me.word("timeout", 0) % TIMEOUTS.len() as u64) as usize];
        let held = {
            let mut world = self.me.world.borrow_mut();
            world.sessions.push(Held {
                holder: self.me.number,
                number: self.me.count,
                id: 0,
                timeout: Millis(u64::from(wish.unsigned_abs())),
                name: format!("h{}.{}", self.me.number, self.me.count),
                place: None,
                acts: Vec::new(),
                guards: Vec::new(),
            });
            world.sessions.len() - 1
        };
        let over = self.life(held, State::new(wish)).await;
        if let Some(Over::Expired(state)) = over {
            self.revive(held, state).await;
        }
        self.me.count += 1;
    }

    /// From its beginning on, up to whatever ends it; nothing where it ended as it should.
    async fn life(&mut self, held: usize, state: State) -> Option<Over> {
        let node = self.me.next();
        let sent = self.me.stamp();
        let mut talk = match self.me.open(node, state).await {
            Ok(talk) => talk,
            Err((_, lost)) => {
                self.note(held, HeldAsk::Open, node, sent, said(&lost));
                return None;
            }
        };
        self.note(held, HeldAsk::Open, node, sent, HeldSaid::Done(0));
        let timeout = Millis(u64::from(talk.session.timeout_ms.unsigned_abs()));
        let id = talk.session.id;
        self.edit(held, |one| (one.id, one.timeout) = (id, timeout));
        let Some(own) = self.queue_up(held, &mut talk).await else {
            return Some(self.leave(held, talk));
        };
        let until = self.me.io.after(LIFE.saturating_add(Millis(self.me.word("life", 0) % LONGER)));
        let mut round = 0;
        loop {
            self.me.io.sleep(Millis(timeout.0 / 4)).await;
            round += 1;
            let stopped = self.me.stopped();
            if stopped || self.me.io.now() >= until {
                return self.end(held, talk, &own, stopped).await;
            }
            if talk.is_closed() || self.me.word("move", round).is_multiple_of(6) {
                self.me.go_on();
                talk = match self.go_on(held, talk.part(), timeout).await {
                    Ok(talk) => talk,
                    Err(over) => return Some(over),
                };
            }
            let kept = self.keep(held, &mut talk, &own).await;
            let looked = if kept.is_ok() { self.look(held, &mut talk, &own).await } else { Ok(()) };
            match kept.and(looked) {
                Ok(()) => {}
                Err(Lost::Expired | Lost::Refused(Code::SESSION_EXPIRED)) => {
                    return Some(Over::Expired(talk.part()));
                }
                // The connection is of no use any more.
                Err(_) => {
                    self.me.avoid(talk.node());
                    talk = match self.go_on(held, talk.part(), timeout).await {
                        Ok(talk) => talk,
                        Err(over) => return Some(over),
                    };
                }
            }
        }
    }

    /// Creates its node; its path.
    async fn queue_up(&mut self, held: usize, talk: &mut Talk) -> Option<String> {
        let deadline = self.me.io.after(ANSWER);
        for path in [QUEUE, GUARDED] {
            match talk.ask(create(path.into(), Vec::new()), deadline).await {
                Ok(_) | Err(Lost::Refused(Code::NODE_EXISTS)) => {}
                Err(_) => return None,
            }
        }
        let name = self.edit(held, |one| one.name.clone());
        let request = Request::Create {
            path: format!("{QUEUE}/{name}-"),
            data: Vec::new(),
            acl: vec![Acl::everybody(Acl::ALL)],
            mode: CreateMode::EphemeralSequential,
        };
        let sent = self.me.stamp();
        let answer = talk.ask(request, deadline).await;
        let (outcome, created) = match answer {
            Ok((Answer::Created(path, stat), zxid)) => {
                self.me.epochs.heard(zxid);
                let place = path.rsplit('-').next().and_then(|digits| digits.parse().ok());
                self.edit(held, |one| one.place = place.map(|place| (place, stat.created_zxid)));
                (HeldSaid::Done(stat.created_zxid), place.map(|_| path))
            }
            Ok((other, _)) => (HeldSaid::Unknown(format!("{other:?}")), None),
            Err(lost) => (said(&lost), None),
        };
        self.note(held, HeldAsk::Create, talk.node(), sent, outcome);
        created
    }

    /// Writes its own node.
    async fn keep(&mut self, held: usize, talk: &mut Talk, own: &str) -> Result<(), Lost> {
        let sent = self.me.stamp();
        let set = Request::SetData { path: own.into(), data: Vec::new(), version: ANY_VERSION };
        let answer = talk.ask(set, self.me.io.after(ANSWER)).await;
        let (outcome, came) = match answer {
            Ok((answer, zxid)) => {
                self.me.epochs.heard(zxid);
                let by = answer.stat().map_or(0, |stat| stat.modified_zxid);
                (HeldSaid::Done(by), Ok(()))
            }
            Err(Lost::Refused(Code::NO_NODE)) => (HeldSaid::Gone, Ok(())),
            Err(lost) => (said(&lost), Err(lost)),
        };
        self.note(held, HeldAsk::Keep, talk.node(), sent, outcome);
        self.fired(held, talk);
        came
    }

    /// Looks who is in the queue, and does what its place allows.
    async fn look(&mut self, held: usize, talk: &mut Talk, own: &str) -> Result<(), Lost> {
        let deadline = self.me.io.after(ANSWER);
        let sent = self.me.stamp();
        let synced = talk.send(Request::Sync { path: QUEUE.into() });
        let asked = talk.send(Request::GetChildren { path: QUEUE.into(), watch: false });
        talk.answer(synced, deadline).await?;
        let (answer, zxid) = talk.answer(asked, deadline).await?;
        self.fired(held, talk);
        let Answer::Children(names, _) = answer else { return Err(Lost::Odd(format!("{answer:?}"))) };
        if self.me.epochs.newer_than(zxid).is_some() {
            return Ok(());
        }
        self.me.epochs.heard(zxid);
        let back = self.me.stamp();
        let connection = talk.connection();
        self.missed(held, &names, connection, back);
        self.me.world.borrow_mut().sights.push(Sight {
            holder: self.me.number,
            node: talk.node(),
            sent,
            back,
            names: names.iter().filter_map(|name| Some(name.rsplit_once('-')?.0.to_string())).collect(),
        });
        let mut queue: Vec<(u64, &String)> =
            names.iter().filter_map(|name| Some((name.rsplit_once('-')?.1.parse().ok()?, name))).collect();
        queue.sort();
        let Some(place) = queue.iter().position(|(_, name)| own.ends_with(&format!("/{name}"))) else {
            return Ok(());
        };
        match place.checked_sub(1) {
            None => self.guarded(held, talk, own).await,
            Some(before) => self.guard(held, talk, format!("{QUEUE}/{}", queue[before].1)).await,
        }
    }

    /// Writes what the lock guards, if its own node is there.
    async fn guarded(&mut self, held: usize, talk: &mut Talk, own: &str) -> Result<(), Lost> {
        let sent = self.me.stamp();
        let parts = vec![
            Request::Check { path: own.into(), version: ANY_VERSION },
            Request::SetData { path: GUARDED.into(), data: own.into(), version: ANY_VERSION },
        ];
        let answer = talk.ask(Request::Multi(parts), self.me.io.after(ANSWER)).await;
        let (outcome, came) = match answer {
            Ok((Answer::Parts(parts), zxid)) => {
                self.me.epochs.heard(zxid);
                let outcome = match parts.last() {
                    Some(Ok(part)) => HeldSaid::Done(part.stat().map_or(0, |stat| stat.modified_zxid)),
                    _ => HeldSaid::Refused(format!("{parts:?}")),
                };
                (outcome, Ok(()))
            }
            Ok((other, _)) => {
                let odd = Lost::Odd(format!("{other:?}"));
                (said(&odd), Err(odd))
            }
            Err(lost) => (said(&lost), Err(lost)),
        };
        self.note(held, HeldAsk::Guarded, talk.node(), sent, outcome);
        came
    }

    /// Sets a watch on the one before it, unless there is one.
    async fn guard(&mut self, held: usize, talk: &mut Talk, path: String) -> Result<(), Lost> {
        let again = self.edit(held, |one| {
            one.guards.iter().any(|guard| guard.path == path && guard.fired.is_empty() && guard.set.is_some())
        });
        if again {
            return Ok(());
        }
        match talk.ask(Request::Exists { path: path.clone(), watch: true }, self.me.io.after(ANSWER)).await {
            Ok(_) => {
                let set = Some(self.me.stamp());
                let on = Some(talk.connection());
                self.edit(held, |one| {
                    one.guards.push(Guard { path, set, fired: Vec::new(), missed: None, on });
                });
                Ok(())
            }
            Err(Lost::Refused(Code::NO_NODE)) => Ok(()),
            Err(lost) => Err(lost),
        }
    }

    /// Notes the watches that have fired since it was last asked: also because the node's holder kept its session alive.
    fn fired(&self, held: usize, talk: &mut Talk) {
        for (told, expected) in std::mem::take(&mut talk.fired) {
            let at = self.me.stamp();
            self.edit(held, |one| {
                let guard = one.guards.iter_mut().rev().find(|guard| expected && guard.path == told.path);
                match guard {
                    Some(guard) => guard.fired.push(at),
                    None => one.guards.push(Guard {
                        path: told.path,
                        set: None,
                        fired: vec![at],
                        missed: None,
                        on: None,
                    }),
                }
            });
        }
    }

    /// Notes which of the nodes that it watches on this connection an answer lacks.
    fn missed(&self, held: usize, names: &[String], connection: ConnId, at: Stamp) {
        self.edit(held, |one| {
            for guard in one.guards.iter_mut().filter(|guard| guard.on == Some(connection)) {
                let there = names.iter().any(|name| guard.path.ends_with(&format!("/{name}")));
                if !there && guard.missed.is_none() {
                    guard.missed = Some(at);
                }
            }
        });
    }

    /// Takes the session to another server.
    async fn go_on(&mut self, held: usize, mut state: State, timeout: Millis) -> Result<Talk, Over> {
        let until = self.me.io.after(timeout.saturating_add(PATIENCE));
        loop {
            if state.stage == Stage::Expired {
                return Err(Over::Expired(state));
            }
            let node = self.me.next();
            let sent = self.me.stamp();
            match self.me.open(node, state).await {
                Ok(talk) => {
                    self.note(held, HeldAsk::Move, node, sent, HeldSaid::Done(0));
                    return Ok(talk);
                }
                Err((back, lost)) => {
                    state = back;
                    self.note(held, HeldAsk::Move, node, sent, said(&lost));
                    if lost == Lost::Expired {
                        return Err(Over::Expired(state));
                    }
                }
            }
            if self.me.io.now() >= until || self.me.stopped() {
                let sent = self.me.stamp();
                self.note(held, HeldAsk::Leave, node, sent, HeldSaid::Done(0));
                return Err(Over::Left);
            }
            self.me.io.sleep(AGAIN).await;
        }
    }

    fn leave(&self, held: usize, talk: Talk) -> Over {
        let (node, sent) = (talk.node(), self.me.stamp());
        let state = talk.part();
        self.note(held, HeldAsk::Leave, node, sent, HeldSaid::Done(0));
        if state.stage == Stage::Expired { Over::Expired(state) } else { Over::Left }
    }

    /// Closes the session, or deletes its node first, or leaves both.
    async fn end(&mut self, held: usize, mut talk: Talk, own: &str, stopped: bool) -> Option<Over> {
        let how = self.me.word("end", 0) % 4;
        if how == 0 && !stopped {
            return Some(self.leave(held, talk));
        }
        let node = talk.node();
        let delete = Request::Delete { path: own.into(), version: ANY_VERSION };
        let asks = [(HeldAsk::Delete, delete), (HeldAsk::Close, Request::CloseSession)];
        for (ask, request) in asks.into_iter().skip(usize::from(how > 1)) {
            let sent = self.me.stamp();
            let answer = talk.ask(request, self.me.io.after(ANSWER)).await;
            let outcome = match &answer {
                Ok((_, zxid)) => {
                    self.me.epochs.heard(*zxid);
                    HeldSaid::Done(0)
                }
                Err(Lost::Refused(Code::NO_NODE)) => HeldSaid::Gone,
                Err(lost) => said(lost),
            };
            self.note(held, ask, node, sent, outcome);
            match answer {
                Ok(_) | Err(Lost::Refused(Code::NO_NODE)) => {}
                Err(Lost::Refused(Code::SESSION_EXPIRED)) => return Some(Over::Expired(talk.part())),
                Err(_) => return Some(self.leave(held, talk)),
            }
        }
        None
    }

    /// Tries to go on with a session of which it was told that it is no more, and to write by it.
    async fn revive(&mut self, held: usize, mut state: State) {
        state.stage = Stage::Apart;
        self.me.go_on();
        let node = self.me.next();
        let sent = self.me.stamp();
        let outcome = match Talk::open(&self.me.io, node, state, self.me.io.after(ANSWER)).await {
            Err((_, lost)) => said(&lost),
            Ok(mut talk) => {
                let set = Request::SetData { path: GUARDED.into(), data: Vec::new(), version: ANY_VERSION };
                match talk.ask(set, self.me.io.after(ANSWER)).await {
                    Ok((answer, _)) => HeldSaid::Done(answer.stat().map_or(0, |stat| stat.modified_zxid)),
                    Err(lost) => said(&lost),
                }
            }
        };
        self.note(held, HeldAsk::Revive, node, sent, outcome);
    }
}

fn said(lost: &Lost) -> HeldSaid {
    match lost {
        Lost::Expired | Lost::Refused(Code::SESSION_EXPIRED) => HeldSaid::Expired,
        lost if lost.is_refusal() => HeldSaid::Refused(lost.to_string()),
        lost => HeldSaid::Unknown(lost.to_string()),
    }
}
