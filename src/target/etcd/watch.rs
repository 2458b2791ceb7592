//! A client that watches: every change from a revision on, from one member after the other. A watch that breaks is resumed
//! behind the last change that it told; one that lives long enough is given up for another one, from a revision that
//! is worth asking for.

use super::api::{self, ApiError, WatchAnswer};
use super::http::{self, Part};
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::history::{Change, Told, Watch};
use crate::run::task::{CallError, Conn, Io};
use crate::run::world::{Revisions, Shared};
use crate::time::{Micros, Millis};

/// How long a watch may take to be created.
pub const CREATE_TIMEOUT: Millis = Millis(2000);
/// Before the next member is asked.
pub const AGAIN: Millis = Millis(200);
/// How long a watch lives at least, and how much longer at most.
pub const LIFE: Millis = Millis(1500);
pub const LONGER: u64 = 6000;
/// How far ahead a revision may be that is not there yet.
const AHEAD: u64 = 50;

struct Watcher {
    io: Io,
    world: Shared,
    number: u32,
    key: Entropy,
    /// Which of its watches is next.
    count: u32,
    /// The last revision told by a watch that broke, to go on behind.
    last: Option<i64>,
}

/// Watches for as long as the run lasts.
pub async fn watch(io: Io, world: Shared, number: u32) {
    io.act_as_client();
    let key = world.borrow().key.child("watchers").nth(u64::from(number));
    let mut watcher = Watcher { io, world, number, key, count: 0, last: None };
    loop {
        watcher.one().await;
        watcher.io.sleep(AGAIN).await;
    }
}

/// A revision to begin at, chosen by two words, and what it is meant as.
pub fn worth_asking(known: Revisions, which: u64, ahead: u64) -> (i64, &'static str) {
    match which % 8 {
        0 => (1, "first"),
        1 if known.compacted > 0 => (known.compacted, "compacted"),
        2 if known.compacted > 0 => (known.compacted + 1, "compacted + 1"),
        3 | 4 if known.last_delete > 0 => (known.last_delete, "last delete"),
        5 => (known.current + 1 + (ahead % AHEAD) as i64, "ahead"),
        6 => ((known.current - 10).max(1), "a little ago"),
        _ => (0, "now"),
    }
}

impl Watcher {
    fn word(&self, purpose: &str) -> u64 {
        self.key.word(purpose, u64::from(self.count), 0)
    }

    /// In every third run, every second watch: what has once told its progress too early says no more by the changes that
    /// follow.
    fn asks_for_progress(&self) -> bool {
        self.world.borrow().key.word("watch progress", 0, 0).is_multiple_of(3)
            && self.word("progress").is_multiple_of(2)
    }

    /// The revision to begin at, and what it was meant as.
    fn from(&self) -> (i64, &'static str) {
        if let Some(last) = self.last {
            return (last + 1, "resumed");
        }
        worth_asking(self.world.borrow().revisions, self.word("from"), self.word("ahead"))
    }

    /// One watch, to its end.
    async fn one(&mut self) {
        let (from, meant) = self.from();
        let members = self.world.borrow().members();
        let Some(node) = members.get(self.word("node") as usize % members.len().max(1)).copied() else {
            return;
        };
        let place = {
            let mut world = self.world.borrow_mut();
            let asked = world.now;
            world.watches.push(Watch {
                watcher: self.number,
                number: self.count,
                node,
                from,
                meant: meant.into(),
                resumed: self.last.is_some(),
                asked,
                created: None,
                told: Vec::new(),
                ended: None,
                beside: None,
            });
            world.watches.len() - 1
        };
        let life = LIFE.saturating_add(Millis(self.word("life") % LONGER));
        self.count += 1;
        let why = self.follow(place, node, from, life).await;
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let watch = &mut world.watches[place];
        let told = watch.told.iter().rev().find_map(|told| told.changes.last()).map(|change| change.revision);
        match why {
            // It has lived long enough.
            None => {
                watch.ended = Some((now, "given up for another".into()));
                self.last = None;
            }
            Some(why) => {
                let compacted = why.contains("compact");
                watch.ended = Some((now, why));
                // What it was told, or else where it was to begin: a watch from now on begins behind what was there.
                let begun = (from > 0).then_some(from - 1).or(watch.created.map(|(_, revision)| revision));
                self.last = told.or(begun).filter(|_| !compacted);
            }
        }
    }

    /// Follows a watch until it breaks, or until it has lived long enough; not once the load has stopped, since then the
    /// last one is to be told everything.
    async fn follow(&self, place: usize, node: NodeId, from: i64, life: Millis) -> Option<String> {
        let deadline = self.io.after(CREATE_TIMEOUT);
        let conn = match self.io.open(node, deadline).await {
            Ok(conn) => conn,
            Err(error) => return Some(error.to_string()),
        };
        conn.send_bytes(http::post(api::WATCH, &api::watch(from, self.asks_for_progress())));
        let until = self.io.after(life);
        let (mut begun, mut rest) = (false, Vec::new());
        loop {
            if self.io.now() >= until && !self.world.borrow().load_stopped {
                return None;
            }
            let created = self.world.borrow().watches[place].created.is_some();
            let next = if created { self.io.after(AGAIN) } else { deadline };
            match conn.read(next, |bytes| http::part(begun, bytes)).await {
                Err(CallError::Timeout) if !created => return Some("it was not created in time".into()),
                Err(CallError::Timeout) => {}
                Err(error) => return Some(error.to_string()),
                Ok(Part::Head(200)) => begun = true,
                Ok(Part::Head(status)) => return Some(format!("HTTP status {status}")),
                Ok(Part::End) => return Some("the server ended it".into()),
                Ok(Part::Chunk(bytes)) => {
                    rest.extend_from_slice(&bytes);
                    if let Some(why) = self.lines(place, &mut rest, &conn) {
                        return Some(why);
                    }
                }
            }
        }
    }

    /// Takes whole messages off what has come. Why the watch is over, if one says so.
    fn lines(&self, place: usize, rest: &mut Vec<u8>, conn: &Conn) -> Option<String> {
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if line.trim_ascii().is_empty() {
                continue;
            }
            match api::streamed(&line) {
                Err(error @ ApiError::Odd(_)) => return Some(format!("{error} (connection {})", conn.id.0)),
                Err(error) => return Some(error.to_string()),
                Ok(answer) => {
                    if let Some(why) = self.take(place, answer) {
                        return Some(why);
                    }
                }
            }
        }
        None
    }

    fn take(&self, place: usize, answer: WatchAnswer) -> Option<String> {
        let mut world = self.world.borrow_mut();
        let now: Micros = world.now;
        let watch = &mut world.watches[place];
        if answer.canceled {
            return Some(match answer.compact_revision {
                0 => format!("canceled: {}", answer.cancel_reason),
                revision => format!("canceled: compacted up to revision {revision}"),
            });
        }
        if answer.created {
            watch.created = Some((now, answer.header.revision));
            return None;
        }
        let changes = answer.events.into_iter().map(|event| Change {
            revision: event.kv.mod_revision,
            key: String::from_utf8_lossy(&event.kv.key).into_owned(),
            deleted: event.kind == "DELETE",
            created: event.kv.create_revision,
            version: event.kv.version,
        });
        let changes = changes.collect();
        watch.told.push(Told { at: now, revision: answer.header.revision, changes, ..Told::default() });
        None
    }
}
