//! A client that puts elements into a queue and takes them out, as ZooKeeper's recipe has it.
//!
//! An element is a sequential node; who takes lists them, reads the lowest and deletes it at the version that it read, alone
//! or in a `multi` with a check. Nothing keeps two from going after the same one: the deletion decides. A client keeps one
//! session and takes it from server to server. Reads have no `sync`: each answer says as of which transaction it is, and
//! that is what it is judged by. In the end the first client writes, so that it has to know of all that was acknowledged,
//! and reads what is left.

use super::client::{SESSION_MS, create};
use super::code::Code;
use super::session::{Session as State, Stage};
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Acl, Answer, CreateMode, Request};
use super::worker::{ANSWER, Epochs, Worker};
use crate::history::{QueueAct, QueueAsk, QueueSaid, Stamp};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::Millis;

const QUEUE: &str = "/queue";
const PREFIX: &str = "e-";
const PACE: Millis = Millis(60);
/// How many rounds a client stays on a server.
const STAYS: u32 = 20;
/// Who sees so many elements puts no more.
const ENOUGH: usize = 12;
/// How long what is left is asked for in the end, and how often.
const REST: Millis = Millis(100_000);
const AGAIN: Millis = Millis(300);

/// The last answer's outcome, and whether the connection is of any use after it.
type Came<T> = Result<T, Lost>;

struct Queuer {
    me: Worker,
    talk: Option<Talk>,
    /// The session while it has no connection.
    apart: Option<State>,
    /// The node of the queue is there.
    open: bool,
    /// How many elements it saw last.
    seen: usize,
}

/// Puts and takes for as long as there is load; the first client reads what is left.
pub async fn work(io: Io, world: Shared, number: u32, epochs: Epochs) {
    world.borrow_mut().queuers += 1;
    let me = Worker::new(io, world, "queuers", number, epochs);
    let mut queuer = Queuer { me, talk: None, apart: None, open: false, seen: 0 };
    while !queuer.me.stopped() {
        queuer.round(false).await;
        queuer.me.count += 1;
        queuer.me.io.sleep(PACE).await;
    }
    let until = queuer.me.io.after(REST);
    while number == 0 && queuer.me.io.now() < until && !queuer.round(true).await {
        queuer.me.count += 1;
        queuer.me.io.sleep(AGAIN).await;
    }
    queuer.me.world.borrow_mut().queuers -= 1;
}

fn path(element: u64) -> String {
    format!("{QUEUE}/{PREFIX}{element:010}")
}

/// The number in a name, which has ten digits or more.
fn element(name: &str) -> Option<u64> {
    let number = name.strip_prefix(PREFIX)?.parse().ok()?;
    path(number).ends_with(&format!("/{name}")).then_some(number)
}

impl Queuer {
    /// One piece of work; whether it was done to its end.
    async fn round(&mut self, rest: bool) -> bool {
        let Some(mut talk) = self.connected().await else { return false };
        let came = match rest {
            _ if !self.open => self.found(&mut talk).await,
            true => self.rest(&mut talk).await,
            false if self.seen < ENOUGH && self.me.word("what", 0).is_multiple_of(2) => {
                self.put(&mut talk).await
            }
            false => self.next(&mut talk).await,
        };
        if came.is_err() {
            self.me.avoid(talk.node());
        }
        let moves = self.me.count % STAYS == STAYS - 1;
        if moves {
            self.me.go_on();
        }
        if came.is_err() || moves {
            self.apart = Some(talk.part());
        } else {
            self.talk = Some(talk);
        }
        came.is_ok_and(|done| done)
    }

    async fn connected(&mut self) -> Option<Talk> {
        match self.talk.take() {
            Some(talk) if !talk.is_closed() => return Some(talk),
            Some(talk) => self.apart = Some(talk.part()),
            None => {}
        }
        let kept = self.apart.take().filter(|state| state.stage == Stage::Apart);
        let state = kept.unwrap_or_else(|| State::new(SESSION_MS));
        let node = self.me.next();
        match self.me.open(node, state).await {
            Ok(talk) => Some(talk),
            Err((state, _)) => {
                self.apart = Some(state);
                None
            }
        }
    }

    /// Makes the node that elements are put below. Nothing else is done in that round.
    async fn found(&mut self, talk: &mut Talk) -> Came<bool> {
        match talk.ask(create(QUEUE.into(), Vec::new()), self.me.io.after(ANSWER)).await {
            Ok(_) | Err(Lost::Refused(Code::NODE_EXISTS)) => {
                self.open = true;
                Ok(false)
            }
            Err(lost) => Err(lost),
        }
    }

    /// Asks, and notes what `read` makes of the answer and the transaction that it is as of.
    async fn ask(
        &self,
        talk: &mut Talk,
        (ask, request): (QueueAsk, Request),
        read: impl Fn(&Answer, i64) -> Option<QueueSaid>,
    ) -> Came<QueueSaid> {
        let sent = self.me.stamp();
        let asked = talk.send(request);
        let answer = talk.answered(asked, self.me.io.after(ANSWER)).await;
        let absent =
            |code: Code| code == Code::NO_NODE && matches!(ask, QueueAsk::Read(_) | QueueAsk::Take(_));
        let (said, came) = match answer {
            Ok((Ok(answer), zxid)) => {
                self.me.epochs.heard(zxid);
                let said = read(&answer, zxid).unwrap_or_else(|| QueueSaid::Odd(format!("{answer:?}")));
                (said, Ok(()))
            }
            Ok((Err(code), zxid)) if absent(code) => (QueueSaid::Nothing { as_of: zxid }, Ok(())),
            Ok((Err(code), _)) => (refused(Lost::Refused(code)), Err(Lost::Refused(code))),
            Err(lost) => (refused(lost.clone()), Err(lost)),
        };
        self.note(talk, ask, sent, said.clone());
        came.map(|()| said)
    }

    fn note(&self, talk: &Talk, ask: QueueAsk, sent: Stamp, said: QueueSaid) {
        let (queuer, round, node) = (self.me.number, self.me.count, talk.node());
        let back = self.me.stamp();
        self.me.world.borrow_mut().queue.push(QueueAct { queuer, round, node, ask, sent, back, said });
    }

    async fn put(&self, talk: &mut Talk) -> Came<bool> {
        let value = format!("q{}.{}", self.me.number, self.me.count);
        let request = Request::Create {
            path: format!("{QUEUE}/{PREFIX}"),
            data: value.clone().into_bytes(),
            acl: vec![Acl::everybody(Acl::ALL)],
            mode: CreateMode::PersistentSequential,
        };
        let read = |answer: &Answer, _| {
            let Answer::Created(path, stat) = answer else { return None };
            let element = element(path.strip_prefix(QUEUE)?.strip_prefix('/')?)?;
            Some(QueueSaid::Put { element, by: stat.created_zxid })
        };
        self.ask(talk, (QueueAsk::Put(value), request), read).await.map(|_| true)
    }

    /// Takes the first one that there is.
    async fn next(&mut self, talk: &mut Talk) -> Came<bool> {
        let elements = self.list(talk, QueueAsk::List).await?;
        self.seen = elements.len();
        let Some(first) = elements.into_iter().min() else { return Ok(true) };
        let Some(version) = self.read(talk, first).await? else { return Ok(true) };
        let delete = Request::Delete { path: path(first), version };
        if self.me.word("how", 0).is_multiple_of(3) {
            return self.take_by_multi(talk, first, version, delete).await;
        }
        let read =
            |answer: &Answer, zxid| (*answer == Answer::Nothing).then_some(QueueSaid::Taken { by: zxid });
        self.ask(talk, (QueueAsk::Take(first), delete), read).await.map(|_| true)
    }

    async fn take_by_multi(&self, talk: &mut Talk, first: u64, version: i32, delete: Request) -> Came<bool> {
        let parts = vec![Request::Check { path: path(first), version }, delete];
        let read = |answer: &Answer, zxid| {
            let Answer::Parts(parts) = answer else { return None };
            let refused = parts.iter().filter_map(|part| part.as_ref().err()).find(|code| **code != Code::OK);
            Some(match refused {
                None => QueueSaid::Taken { by: zxid },
                Some(&Code::NO_NODE) => QueueSaid::Nothing { as_of: zxid },
                Some(code) => refused_by(*code),
            })
        };
        self.ask(talk, (QueueAsk::Take(first), Request::Multi(parts)), read).await.map(|_| true)
    }

    async fn list(&self, talk: &mut Talk, ask: QueueAsk) -> Came<Vec<u64>> {
        let request = Request::GetChildren { path: QUEUE.into(), watch: false };
        let read = |answer: &Answer, zxid| {
            let Answer::Children(names, _) = answer else { return None };
            let elements: Option<Vec<u64>> = names.iter().map(|name| element(name)).collect();
            elements.map(|elements| QueueSaid::Listed { as_of: zxid, elements })
        };
        match self.ask(talk, (ask, request), read).await? {
            QueueSaid::Listed { elements, .. } => Ok(elements),
            other => Err(Lost::Odd(format!("{other:?}"))),
        }
    }

    /// What it holds is noted; answers its version if it is there.
    async fn read(&self, talk: &mut Talk, element: u64) -> Came<Option<i32>> {
        let request = Request::GetData { path: path(element), watch: false };
        let version = std::cell::Cell::new(0);
        let read = |answer: &Answer, zxid| {
            let Answer::Data(data, stat) = answer else { return None };
            version.set(stat.version);
            let value = String::from_utf8_lossy(data).into_owned();
            Some(QueueSaid::Holds { as_of: zxid, value, put_by: stat.created_zxid })
        };
        let said = self.ask(talk, (QueueAsk::Read(element), request), read).await?;
        Ok(matches!(said, QueueSaid::Holds { .. }).then(|| version.get()))
    }

    /// Reads what is left, once everything that was acknowledged is known here.
    async fn rest(&self, talk: &mut Talk) -> Came<bool> {
        let write = Request::SetData { path: QUEUE.into(), data: Vec::new(), version: ANY_VERSION };
        talk.ask(write, self.me.io.after(ANSWER)).await?;
        for element in self.list(talk, QueueAsk::Rest).await? {
            self.read(talk, element).await?;
        }
        Ok(true)
    }
}

fn refused(lost: Lost) -> QueueSaid {
    if lost.is_refusal() {
        QueueSaid::Refused(lost.to_string())
    } else {
        QueueSaid::Unknown(lost.to_string())
    }
}

fn refused_by(code: Code) -> QueueSaid {
    refused(Lost::Refused(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_number_that_the_server_gave() {
        assert_eq!(path(7), "/queue/e-0000000007");
        assert_eq!(element("e-0000000007"), Some(7));
        assert_eq!(element("e-12345678901"), Some(12_345_678_901));
        for odd in ["e-7", "e-", "x-0000000007", "e-000000000x", "e-+000000007"] {
            assert_eq!(element(odd), None, "{odd}");
        }
    }
}
