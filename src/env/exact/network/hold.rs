//! Messages that wait for another: an order of arrival, written down.

use super::connection::Cargo;
use super::{Message, Network};
use crate::catalogue::MessageType;
use crate::env::Hold;
use std::collections::BTreeSet;

/// A fault that holds messages of one type on some links. As TCP is a stream, what follows a held message on its
/// connection waits too.
#[derive(Debug)]
pub struct Holding {
    links: BTreeSet<(u16, u16)>,
    kind: MessageType,
    until: Option<(BTreeSet<(u16, u16)>, MessageType)>,
    since: u64,
    /// The message that ended it, once it has arrived.
    ended_by: Option<Message>,
}

impl Network {
    /// Holds messages from now on.
    pub fn hold(&mut self, now: u64, event: String, hold: &Hold) {
        let links = |links: &[_]| {
            links.iter().map(|(from, to): &(crate::env::NodeId, crate::env::NodeId)| (from.0, to.0)).collect()
        };
        let holding = Holding {
            links: links(&hold.links),
            kind: hold.message,
            until: hold.until.as_ref().map(|(of, kind)| (links(of), *kind)),
            since: now,
            ended_by: None,
        };
        self.holds.insert(event, holding);
    }

    /// Lets go what is still held. Answers how the hold ended.
    pub fn let_go(&mut self, now: u64, event: &str) -> String {
        let Some(holding) = self.holds.remove(event) else { return "nothing was held".into() };
        self.wake(now);
        match holding.ended_by {
            Some(Message { at, kind, from, to, .. }) => {
                let after = at - holding.since;
                format!("let go when {kind} from {from} had reached {to}, after {after} us")
            }
            None => "let go when its time was over".into(),
        }
    }

    /// Where in the first chunk of a way the first message begins that is held.
    pub(super) fn first_held(&self, number: u64, way: usize) -> Option<usize> {
        if self.holds.is_empty() {
            return None;
        }
        let connection = self.connections.get(&number)?;
        let link = connection.link(way);
        let lane = &connection.ways[way];
        let Cargo::Bytes(bytes) = &lane.queue.front()?.cargo else { return None };
        let end = lane.delivered + bytes.len() as u64;
        let holds = |kind| {
            self.holds.values().any(|holding| {
                holding.ended_by.is_none() && holding.kind == kind && holding.links.contains(&link)
            })
        };
        let first =
            lane.marks.iter().find(|mark| (lane.delivered..end).contains(&mark.from) && holds(mark.kind));
        first.map(|mark| (mark.from - lane.delivered) as usize)
    }

    /// A message has arrived: what waited for it goes on.
    pub(super) fn let_go_by(&mut self, message: &Message) {
        let mut any = false;
        for holding in self.holds.values_mut().filter(|holding| holding.ended_by.is_none()) {
            let ends = |(links, kind): &(BTreeSet<(u16, u16)>, MessageType)| {
                *kind == message.kind && links.contains(&(message.from.0, message.to.0))
            };
            if holding.until.as_ref().is_some_and(ends) {
                holding.ended_by = Some(*message);
                any = true;
            }
        }
        if any {
            self.wake(message.at);
        }
    }

    fn wake(&mut self, now: u64) {
        let mut held = Vec::new();
        for (number, connection) in &mut self.connections {
            for way in 0..2 {
                if std::mem::take(&mut connection.ways[way].held) {
                    held.push((*number, way));
                }
            }
        }
        for (number, way) in held {
            self.schedule(now, number, way);
        }
    }
}
