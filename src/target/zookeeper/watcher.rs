//! A client that watches a tree on one connection after the other, and changes nodes of it on another one meanwhile.
//!
//! What it hears is kept in its order: events as they come, and the transaction of each answer, by which the check `watch`
//! knows what must have been told before. The watches of one connection are of one sort, since two on one path share what
//! they tell: a recursive one, ones that stay, or ones that fire once and are set again. Each node is changed by one
//! client only: created, written and deleted, the next change when the last one was acknowledged. One without an answer is the
//! last of its node.

use super::client::{SESSION_MS, create};
use super::code::Code;
use super::session::Session as State;
use super::talk::{Lost, Talk};
use super::wire::{ANY_VERSION, Answer, Happened, Request, WatchMode};
use super::worker::{ANSWER, Epochs, Worker};
use crate::history::{Answered, NodeEvent, Stroke, Vigil, VigilHeard, WatchedFor};
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::Millis;

/// The root of the tree.
const ROOT: &str = "/watched";
const PACE: Millis = Millis(40);
/// How many rounds a connection is watched on at least, and how many more at most.
const STAYS: u64 = 25;
const LONGER: u64 = 60;
/// How often a node is written before it is deleted, at most.
const WRITES: u64 = 4;

struct Watcher {
    me: Worker,
    /// The connection that changes are made on.
    hand: Option<Talk>,
    /// Which of its nodes is next, and how often it was changed.
    node: u32,
    changes: u64,
    /// Rounds so far.
    round: u64,
}

/// What is watched for on a connection.
#[derive(Clone, Copy)]
enum Sort {
    Recursive,
    Persistent,
    Once,
}

/// Watches and changes for as long as there is load.
pub async fn watch(io: Io, world: Shared, number: u32, epochs: Epochs) {
    let me = Worker::new(io, world, "watchers", number, epochs);
    let mut watcher = Watcher { me, hand: None, node: 0, changes: 0, round: 0 };
    while !watcher.me.stopped() {
        watcher.one().await;
        watcher.me.count += 1;
        watcher.me.io.sleep(PACE).await;
    }
}

fn event(happened: Happened) -> Option<NodeEvent> {
    match happened {
        Happened::Created => Some(NodeEvent::Created),
        Happened::DataChanged => Some(NodeEvent::Changed),
        Happened::Deleted => Some(NodeEvent::Deleted),
        Happened::ChildrenChanged => Some(NodeEvent::Children),
        Happened::WatchRemoved | Happened::Session => None,
    }
}

impl Watcher {
    fn path(&self) -> String {
        format!("{ROOT}/w{}.{}", self.me.number, self.node)
    }

    /// One connection, for as long as it is good.
    async fn one(&mut self) {
        let sort = match self.me.word("sort", 0) % 4 {
            0 | 1 => Sort::Recursive,
            2 => Sort::Persistent,
            _ => Sort::Once,
        };
        self.me.go_on();
        let node = self.me.next();
        let Ok(mut talk) = self.me.open(node, State::new(SESSION_MS)).await else { return };
        let place = {
            let mut world = self.me.world.borrow_mut();
            let (watcher, number) = (self.me.number, self.me.count);
            world.vigils.push(Vigil { watcher, number, node, heard: Vec::new() });
            world.vigils.len() - 1
        };
        // A connection that breaks has told what it has told.
        match self.begin(place, &mut talk, sort).await {
            Ok(()) => {}
            Err(_) => return self.me.avoid(node),
        }
        for _ in 0..STAYS + self.me.word("stays", 0) % LONGER {
            if self.me.stopped() {
                break;
            }
            self.round += 1;
            self.change().await;
            if self.look(place, &mut talk, sort).await.is_err() {
                return self.me.avoid(node);
            }
            self.me.io.sleep(PACE).await;
        }
        let _ = talk.ask(Request::CloseSession, self.me.io.after(ANSWER)).await;
    }

    /// Asks, and keeps what was told before the answer and the answer's transaction.
    async fn ask(
        &self,
        place: usize,
        talk: &mut Talk,
        request: Request,
        sets: Option<(WatchedFor, Option<WatchedFor>)>,
    ) -> Result<Option<Answer>, Lost> {
        let path = match &request {
            Request::AddWatch { path, .. }
            | Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::GetChildren { path, .. } => path.clone(),
            _ => String::new(),
        };
        let asked = talk.send(request);
        let answer = talk.answered(asked, self.me.io.after(ANSWER)).await;
        let mut world = self.me.world.borrow_mut();
        let at = world.now;
        let heard = &mut world.vigils[place].heard;
        for (told, _) in std::mem::take(&mut talk.fired) {
            if let Some(event) = event(told.happened) {
                heard.push(VigilHeard::Told { event, path: told.path, at });
            }
        }
        let (answer, as_of) = answer?;
        let watch = match (sets, &answer) {
            (Some((found, _)), Ok(_)) => Some(found),
            (Some((_, missing)), Err(Code::NO_NODE)) => missing,
            _ => None,
        };
        heard.push(match watch {
            Some(watch) => VigilHeard::Set { watch, path, as_of },
            None => VigilHeard::Seen { as_of, at },
        });
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(Code::NO_NODE) => Ok(None),
            Err(code) => Err(Lost::Refused(code)),
        }
    }

    /// Sets what stays.
    async fn begin(&mut self, place: usize, talk: &mut Talk, sort: Sort) -> Result<(), Lost> {
        match talk.ask(create(ROOT.into(), Vec::new()), self.me.io.after(ANSWER)).await {
            Ok(_) | Err(Lost::Refused(Code::NODE_EXISTS)) => {}
            Err(lost) => return Err(lost),
        }
        let (watch, mode) = match sort {
            Sort::Recursive => (WatchedFor::Recursive, WatchMode::PersistentRecursive),
            Sort::Persistent => (WatchedFor::Persistent, WatchMode::Persistent),
            Sort::Once => return Ok(()),
        };
        let add = |path: String| Request::AddWatch { path, mode };
        self.ask(place, talk, add(ROOT.into()), Some((watch, None))).await?;
        if matches!(sort, Sort::Persistent) {
            self.ask(place, talk, add(self.path()), Some((watch, None))).await?;
        }
        Ok(())
    }

    /// Reads, by which it hears what there is to hear; sets what fires once.
    async fn look(&mut self, place: usize, talk: &mut Talk, sort: Sort) -> Result<(), Lost> {
        let once = matches!(sort, Sort::Once);
        let list = Request::GetChildren { path: ROOT.into(), watch: once };
        let children = once.then_some((WatchedFor::Children, None));
        let answer = self.ask(place, talk, list, children).await?;
        let Some(Answer::Children(names, _)) = answer.filter(|_| once) else { return Ok(()) };
        if names.is_empty() {
            return Ok(());
        }
        let drawn = (self.me.word("watched", self.round) % names.len() as u64) as usize;
        let path = format!("{ROOT}/{}", names[drawn]);
        let data = Request::GetData { path, watch: true };
        self.ask(place, talk, data, Some((WatchedFor::Data, None))).await?;
        // The one that this client makes next is not there yet, or it is.
        let exists = Request::Exists { path: self.path(), watch: true };
        self.ask(place, talk, exists, Some((WatchedFor::Data, Some(WatchedFor::Exists)))).await.map(drop)
    }

    /// The next change of its own node.
    async fn change(&mut self) {
        let path = self.path();
        let last = 1 + self.me.word("writes", u64::from(self.node)) % WRITES;
        let (event, request) = match self.changes {
            0 => (NodeEvent::Created, create(path.clone(), Vec::new())),
            n if n <= last => {
                let data = n.to_string().into_bytes();
                (NodeEvent::Changed, Request::SetData { path: path.clone(), data, version: ANY_VERSION })
            }
            _ => (NodeEvent::Deleted, Request::Delete { path: path.clone(), version: ANY_VERSION }),
        };
        let mut talk = match self.hand.take().filter(|talk| !talk.is_closed()) {
            Some(talk) => talk,
            None => {
                self.me.go_on();
                let node = self.me.next();
                let Ok(talk) = self.me.open(node, State::new(SESSION_MS)).await else { return };
                talk
            }
        };
        let sent = self.me.stamp();
        let answer = talk.ask(request, self.me.io.after(ANSWER)).await;
        let said = match &answer {
            Ok((_, zxid)) => Answered::Done(*zxid),
            Err(lost) if lost.is_refusal() => Answered::Refused(lost.to_string()),
            Err(lost) => Answered::Unknown(lost.to_string()),
        };
        let back = self.me.stamp();
        if matches!(said, Answered::Done(_)) && event != NodeEvent::Deleted {
            self.changes += 1;
        } else {
            (self.node, self.changes) = (self.node + 1, 0);
        }
        let (watcher, node) = (self.me.number, talk.node());
        self.me.world.borrow_mut().strokes.push(Stroke { watcher, path, event, node, sent, back, said });
        match answer {
            Ok((_, zxid)) => {
                self.me.epochs.heard(zxid);
                self.hand = Some(talk);
            }
            Err(_) => self.me.avoid(talk.node()),
        }
    }
}
