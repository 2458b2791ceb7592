//! A client with several watches on one stream, by gRPC: each of some keys from a revision on. By a schedule that the
//! timeline's key decides it asks the stream for its progress, cancels one watch while the others go on, and begins others.
//! What was cancelled, or broke with its stream, goes on behind what it was told: the last change, or, at times, the last
//! notification of progress, which is what such are for.

use super::api::ApiError;
use super::grpc::Stream;
use super::proto::{self, Create, Kind, Progress, Request, WatchRequest, WatchResponse};
use super::watch::{AGAIN, CREATE_TIMEOUT, LIFE, LONGER, worth_asking};
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::history::{Beside, Cancel, Change, Key, KeyKind, Keys, Told, Watch};
use crate::run::client::name;
use crate::run::task::{CallError, Io};
use crate::run::world::Shared;
use crate::time::{Micros, Millis};
use std::collections::BTreeMap;

/// How many watches a stream begins with, and how many it has at most.
const WATCHES: (u64, u64) = (2, 4);
const WATCHES_MAX: usize = 6;
/// Between two things that are done to a stream.
const PAUSE: (u64, u64) = (100, 500);

/// A watch to be asked for.
#[derive(Clone, Debug)]
struct Plan {
    from: i64,
    meant: &'static str,
    resumed: bool,
    keys: Keys,
    progress_notify: bool,
    fragments: bool,
}

/// The watches of one stream: which of the record's each is, by the number that it has there.
type Open = BTreeMap<i64, usize>;

struct Watcher {
    io: Io,
    world: Shared,
    number: u32,
    key: Entropy,
    /// Which of its streams, watches and deeds is next.
    streams: u32,
    watches: u32,
    deeds: u64,
    /// What is to go on.
    again: Vec<Plan>,
}

/// Watches for as long as the run lasts.
pub async fn watch(io: Io, world: Shared, number: u32) {
    io.act_as_client();
    let key = world.borrow().key.child("watch streams").nth(u64::from(number));
    let again = Vec::new();
    let mut watcher = Watcher { io, world, number, key, streams: 0, watches: 0, deeds: 0, again };
    loop {
        watcher.one().await;
        watcher.io.sleep(AGAIN).await;
    }
}

impl Watcher {
    /// Something about the next watch.
    fn word(&self, purpose: &str) -> u64 {
        self.key.word(purpose, u64::from(self.watches), 0)
    }
    /// Something about this stream.
    fn of_stream(&self, purpose: &str) -> u64 {
        self.key.word(purpose, u64::from(self.streams), 0)
    }
    /// Something about the next deed.
    fn of_deed(&self, purpose: &str) -> u64 {
        self.key.word(purpose, self.deeds, 0)
    }

    /// In every third run: what has once told its progress too early says no more by the changes that follow.
    fn asks_for_progress(&self) -> bool {
        self.world.borrow().key.word("watch progress", 0, 0).is_multiple_of(3)
    }

    /// A new watch; the first on a stream is of everything, so that there is something to hold the others against.
    fn fresh(&self, everything: bool) -> Plan {
        let world = self.world.borrow();
        let (from, meant) = worth_asking(world.revisions, self.word("from"), self.word("ahead"));
        let load = &world.timeline.load;
        let prefix = &load.key_prefix.0;
        let from_to = |from: &str, to: &str| Keys {
            from: format!("{prefix}{from}"),
            to: Some(format!("{prefix}{to}")),
        };
        let one = |kind| {
            let number = (self.word("key") % u64::from(load.keys.max(1))) as u32;
            name(&Key { kind, number }, load)
        };
        let keys = match self.word("keys") % 6 {
            _ if everything => Keys { from: "\0".into(), to: None },
            0 => Keys { from: "\0".into(), to: None },
            // All of a kind, two kinds that are neighbours, a single key, and all from one on.
            1 => from_to("r:", "r;"),
            2 => from_to("c:", "c;"),
            3 => from_to("l:", "s"),
            4 => {
                let key = one(KeyKind::Register);
                Keys { to: Some(format!("{key}\0")), from: key }
            }
            _ => Keys { from: one(KeyKind::List), to: None },
        };
        let progress_notify = self.word("progress notify").is_multiple_of(2);
        let fragments = self.word("fragments").is_multiple_of(2);
        Plan { from, meant, resumed: false, keys, progress_notify, fragments }
    }

    /// What is to be asked for so that nothing is missed after a watch.
    fn behind(&self, place: usize) -> Option<Plan> {
        let world = self.world.borrow();
        let watch = &world.watches[place];
        let beside = watch.beside.as_ref()?;
        let begun =
            (watch.from > 0).then_some(watch.from - 1).or(watch.created.map(|(_, revision)| revision))?;
        let told = watch.last_told().unwrap_or(begun).max(begun);
        let by_progress = self.key.word("bookmark", u64::from(watch.number), 0).is_multiple_of(2);
        let bookmark = watch.progress().filter(|revision| by_progress && *revision > told);
        Some(Plan {
            from: bookmark.unwrap_or(told) + 1,
            meant: if bookmark.is_some() { "bookmark" } else { "resumed" },
            resumed: true,
            keys: beside.keys.clone(),
            progress_notify: beside.progress_notify,
            fragments: beside.fragments,
        })
    }

    /// One stream, to its end.
    async fn one(&mut self) {
        let members = self.world.borrow().members();
        let Some(node) = members.get(self.of_stream("node") as usize % members.len().max(1)).copied() else {
            return;
        };
        let mut plans = std::mem::take(&mut self.again);
        let wanted = WATCHES.0 + self.of_stream("watches") % (WATCHES.1 - WATCHES.0 + 1);
        let mut open = Open::new();
        let mut creates = Vec::new();
        while creates.len() < wanted as usize || !plans.is_empty() {
            let plan = if plans.is_empty() { self.fresh(creates.is_empty()) } else { plans.remove(0) };
            creates.push(self.ask(&mut open, node, plan));
        }
        let life = LIFE.saturating_add(Millis(self.of_stream("life") % LONGER));
        let why = self.follow(node, &mut open, creates, life).await;
        let goes_on = why.is_some() || self.of_stream("go on").is_multiple_of(2);
        for place in open.into_values() {
            let over = self.world.borrow().watches[place].ended.is_some();
            if over {
                continue;
            }
            if goes_on && self.world.borrow().watches[place].cancel().is_none() {
                self.again.extend(self.behind(place));
            }
            let mut world = self.world.borrow_mut();
            let now = world.now;
            let words = why.clone().unwrap_or_else(|| "given up for another".into());
            world.watches[place].ended = Some((now, words));
        }
        self.again.truncate(WATCHES_MAX);
        self.streams += 1;
    }

    /// Puts a watch into the record, and the request for it together.
    fn ask(&mut self, open: &mut Open, node: NodeId, plan: Plan) -> WatchRequest {
        let mut world = self.world.borrow_mut();
        let asked = world.now;
        // Of this watcher alone, so that no answer can be taken for another's.
        let watch_id = i64::from(self.watches) + 1;
        open.insert(watch_id, world.watches.len());
        world.watches.push(Watch {
            watcher: self.number,
            number: self.watches,
            node,
            from: plan.from,
            meant: plan.meant.into(),
            resumed: plan.resumed,
            asked,
            created: None,
            told: Vec::new(),
            ended: None,
            beside: Some(Beside {
                stream: self.streams,
                keys: plan.keys.clone(),
                progress_notify: plan.progress_notify,
                fragments: plan.fragments,
                progress_asked: Vec::new(),
                cancel: None,
            }),
        });
        self.watches += 1;
        Request::Create(Create {
            key: plan.keys.from.into_bytes(),
            range_end: plan.keys.to.map_or_else(|| vec![0], String::into_bytes),
            start_revision: plan.from,
            progress_notify: plan.progress_notify,
            watch_id,
            fragment: plan.fragments,
        })
        .into()
    }

    /// Follows a stream until it breaks, or until it has lived long enough; not once the load has stopped, since then the
    /// last one is to be told everything.
    async fn follow(
        &mut self,
        node: NodeId,
        open: &mut Open,
        creates: Vec<WatchRequest>,
        life: Millis,
    ) -> Option<String> {
        let opened = Stream::open(&self.io, node, proto::WATCH, self.io.after(CREATE_TIMEOUT)).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(error) => return Some(error.to_string()),
        };
        for create in &creates {
            if let Err(error) = stream.send(create) {
                return Some(error.to_string());
            }
        }
        let until = self.io.after(life);
        let mut due = self.io.after(self.pause());
        loop {
            let stopped = self.world.borrow().load_stopped;
            if !stopped && self.io.now() >= until {
                return None;
            }
            if !stopped && self.io.now() >= due {
                if let Err(error) = self.deed(node, open, &mut stream) {
                    return Some(error.to_string());
                }
                due = self.io.after(self.pause());
            }
            if self.waits_too_long(open) {
                return Some("it was not created in time".into());
            }
            let next = if stopped { self.io.after(AGAIN) } else { self.io.after(AGAIN).min(due) };
            match stream.next::<WatchResponse>(next).await {
                Err(ApiError::Call(CallError::Timeout)) => {}
                Err(error) => return Some(error.to_string()),
                Ok(answer) => {
                    if let Some(why) = self.take(open, answer) {
                        return Some(why);
                    }
                }
            }
        }
    }

    fn pause(&self) -> Millis {
        Millis(PAUSE.0 + self.of_deed("pause") % (PAUSE.1 - PAUSE.0))
    }

    fn waits_too_long(&self, open: &Open) -> bool {
        let world = self.world.borrow();
        open.values().map(|place| &world.watches[*place]).any(|watch| {
            let waits = watch.created.is_none() && watch.ended.is_none();
            waits && world.now >= watch.asked.plus(CREATE_TIMEOUT)
        })
    }

    /// Those of a stream that the server has created and nobody has ended.
    fn alive(&self, open: &Open) -> Vec<(i64, usize)> {
        let world = self.world.borrow();
        let lives =
            |watch: &Watch| watch.created.is_some() && watch.ended.is_none() && watch.cancel().is_none();
        open.iter()
            .map(|(id, place)| (*id, *place))
            .filter(|(_, place)| lives(&world.watches[*place]))
            .collect()
    }

    /// Does the next thing that is due: asks for progress, cancels a watch, begins one, or leaves the stream alone.
    fn deed(&mut self, node: NodeId, open: &mut Open, stream: &mut Stream) -> Result<(), ApiError> {
        let (what, which) = (self.of_deed("what"), self.of_deed("which"));
        self.deeds += 1;
        let alive = self.alive(open);
        match what % 8 {
            0..=2 if self.asks_for_progress() => {
                stream.send(&WatchRequest::from(Request::Progress(Progress {})))?;
                let mut world = self.world.borrow_mut();
                let now = world.now;
                for (_, place) in alive {
                    if let Some(beside) = &mut world.watches[place].beside {
                        beside.progress_asked.push(now);
                    }
                }
            }
            3 | 4 if alive.len() > 1 => {
                let (watch_id, place) = alive[which as usize % alive.len()];
                stream.send(&WatchRequest::from(Request::Cancel(proto::Cancel { watch_id })))?;
                let mut world = self.world.borrow_mut();
                let asked = world.now;
                if let Some(beside) = &mut world.watches[place].beside {
                    beside.cancel = Some(Cancel { asked, confirmed: None, after: Vec::new() });
                }
            }
            5 | 6 if alive.len() < WATCHES_MAX => {
                let plan = if self.again.is_empty() { self.fresh(false) } else { self.again.remove(0) };
                let create = self.ask(open, node, plan);
                stream.send(&create)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Puts an answer into the record. Why the stream is over, if it makes no sense.
    fn take(&mut self, open: &Open, answer: WatchResponse) -> Option<String> {
        let revision = answer.header.map_or(0, |header| header.revision);
        if answer.watch_id == proto::ALL && !answer.created && !answer.canceled {
            let alive = self.alive(open);
            let mut world = self.world.borrow_mut();
            let told = Told { at: world.now, revision, to_all: true, ..Told::default() };
            for (_, place) in alive {
                world.watches[place].told.push(told.clone());
            }
            return None;
        }
        let Some(place) = open.get(&answer.watch_id).copied() else {
            return Some(format!("an answer to a watch {} that nobody asked for", answer.watch_id));
        };
        if answer.canceled {
            self.canceled(place, &answer);
            return None;
        }
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let watch = &mut world.watches[place];
        if answer.created {
            watch.created = Some((now, revision));
            return None;
        }
        let told = Told {
            at: now,
            revision,
            changes: answer.events.into_iter().map(change).collect(),
            to_all: false,
            fragment: answer.fragment,
        };
        match watch.beside.as_mut().and_then(|beside| beside.cancel.as_mut()) {
            Some(cancel) if cancel.confirmed.is_some() => cancel.after.push(told),
            _ => watch.told.push(told),
        }
        None
    }

    /// The server says that a watch has ended.
    fn canceled(&mut self, place: usize, answer: &WatchResponse) {
        let asked = {
            let mut world = self.world.borrow_mut();
            let now: Micros = world.now;
            let watch = &mut world.watches[place];
            let words = match (answer.compact_revision, watch.cancel()) {
                (0, Some(_)) => "canceled as it was asked for".into(),
                (0, None) => format!("canceled: {}", answer.cancel_reason),
                (revision, _) => format!("canceled: compacted up to revision {revision}"),
            };
            if watch.ended.is_none() {
                watch.ended = Some((now, words));
            }
            match watch.beside.as_mut().and_then(|beside| beside.cancel.as_mut()) {
                Some(cancel) if answer.compact_revision == 0 => {
                    cancel.confirmed.get_or_insert(now);
                    true
                }
                _ => false,
            }
        };
        if asked {
            self.again.extend(self.behind(place));
        }
    }
}

fn change(event: proto::Event) -> Change {
    let deleted = event.kind() == Kind::Delete;
    let kv = event.kv.unwrap_or_default();
    Change {
        revision: kv.mod_revision,
        key: String::from_utf8_lossy(&kv.key).into_owned(),
        deleted,
        created: kv.create_revision,
        version: kv.version,
    }
}
