//! Messages of the cluster bus on their way across the switch: told to the run, held until another has arrived, taken
//! out or put in again.
//!
//! What a message is, and what its links are, is the same as in environment `exact`; where there the world stands still
//! until the run has answered, here the message itself waits for it, at most [`ASK_MAX_US`], which no sender's timer
//! notices.

use super::flow::{FLOWS_MAX, Name};
use super::packet::{ACK, RST};
use super::stream::{Fate, Stream};
use super::{Delivery, Packet, Port, Switch, Way};
use crate::catalogue::MessageType;
use crate::env::{Hold, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// A message of which the run is told waits at most so long for the answer: less than the 200 ms after which a sender
/// tries again.
pub const ASK_MAX_US: u64 = 50_000;

/// See the module's page.
#[derive(Debug, Default)]
pub struct Messages {
    /// By the connection and the end that sends.
    streams: BTreeMap<(Name, usize), Stream>,
    holds: BTreeMap<String, Holding>,
    watched: Vec<MessageType>,
    /// What is to be watched once the run has answered.
    watched_next: Option<Vec<MessageType>>,
    told: Vec<(MessageType, Port, Port)>,
    /// When something that waits may go on by itself.
    due: Option<u64>,
}

/// A fault that holds messages of one type on some links.
#[derive(Debug)]
struct Holding {
    links: BTreeSet<(Port, Port)>,
    kind: MessageType,
    until: Option<(BTreeSet<(Port, Port)>, MessageType)>,
    since: u64,
    /// When which message ended it, once it had arrived.
    ended_by: Option<(u64, MessageType, Port, Port)>,
}

impl Messages {
    fn holds(&self, link: (Port, Port)) -> impl Fn(MessageType) -> bool + use<'_> {
        move |kind| {
            self.holds.values().any(|holding| {
                holding.ended_by.is_none() && holding.kind == kind && holding.links.contains(&link)
            })
        }
    }

    /// A number of an end's own as the other end counts.
    pub fn out(&self, name: Name, side: usize, number: u32) -> u32 {
        self.streams.get(&(name, side)).map_or(number, |stream| stream.out(number))
    }

    fn find_due(&mut self) {
        self.due = self.streams.values().filter_map(Stream::due).min();
    }
}

pub(super) fn ports(links: &[(NodeId, NodeId)]) -> BTreeSet<(Port, Port)> {
    links.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect()
}

impl Switch {
    /// Which messages are told of from now on. While the run has still to answer about one, the others of which it was to
    /// be told wait as well: it may be about to cut their links.
    pub fn watch(&mut self, kinds: &[MessageType]) {
        if self.messages.streams.values().any(Stream::is_asked) {
            self.messages.watched_next = Some(kinds.to_vec());
        } else {
            self.messages.watched = kinds.to_vec();
            self.messages.watched_next = None;
        }
    }

    /// Messages that were sent since the last call.
    pub fn take_told(&mut self) -> Vec<(MessageType, Port, Port)> {
        std::mem::take(&mut self.messages.told)
    }

    pub fn has_told(&self) -> bool {
        !self.messages.told.is_empty()
    }

    /// The run has done what it wanted to do about what it was told: those messages go on.
    pub fn answered(&mut self, now: u64, out: &mut Vec<Delivery>) {
        // One that it has not heard of yet is still to be answered.
        if self.has_told() {
            return;
        }
        if let Some(next) = self.messages.watched_next.take() {
            self.messages.watched = next;
        }
        self.messages.streams.values_mut().for_each(Stream::answered);
        self.go_on(now, out);
    }

    /// Holds messages from now on.
    pub fn hold(&mut self, now: u64, event: String, hold: &Hold) {
        let holding = Holding {
            links: ports(&hold.links),
            kind: hold.message,
            until: hold.until.as_ref().map(|(of, kind)| (ports(of), *kind)),
            since: now,
            ended_by: None,
        };
        self.messages.holds.insert(event, holding);
    }

    /// Lets go what is still held. Answers how the hold ended.
    pub fn let_go(&mut self, now: u64, event: &str, out: &mut Vec<Delivery>) -> String {
        let Some(holding) = self.messages.holds.remove(event) else { return "nothing was held".into() };
        self.go_on(now, out);
        match holding.ended_by {
            Some((at, kind, from, to)) => {
                let (from, to, after) = (NodeId(from.0), NodeId(to.0), at - holding.since);
                format!("let go when {kind} from {from} had reached {to}, after {after} us")
            }
            None => "let go when its time was over".into(),
        }
    }

    /// Reads a segment of the bus. Answers what of it goes on if that is not the packet as it is.
    pub(super) fn read_bus(
        &mut self,
        now: u64,
        way: Way,
        packet: Packet<'_>,
        out: &mut Vec<Delivery>,
    ) -> Option<Vec<super::Frame>> {
        let (segment, (name, side)) = (packet.segment?, way.of?);
        if segment.has(RST) {
            let mut frame = None;
            let own = self.messages.streams.remove(&(name, side));
            self.messages.streams.remove(&(name, 1 - side));
            if let Some(own) = own.filter(|own| !own.is_plain()) {
                let mut renumbered = packet.part(0, 1);
                super::packet::renumber(&mut renumbered, own.out(segment.seq), |ack| ack);
                frame = Some(vec![renumbered]);
            }
            return frame;
        }
        if self.messages.streams.len() >= 2 * FLOWS_MAX {
            let flows = &mut self.flows;
            self.messages.streams.retain(|(name, _), _| flows.get(*name).is_some());
        }
        let sent = self.flows.get(name).map_or([0; 2], |flow| [flow.sides[0].next, flow.sides[1].next]);
        let mut arrived = false;
        if segment.has(ACK)
            && let Some(other) = self.messages.streams.get_mut(&(name, 1 - side))
        {
            for message in other.acknowledged(segment.ack, sent[1 - side]) {
                arrived |= self.messages.arrived(now, message.kind, (way.to, way.from));
            }
        }
        let mut stream = self.messages.streams.remove(&(name, side)).unwrap_or_default();
        for mark in stream.read(&segment, packet.bytes) {
            let fate = self.fate_of(now, way, mark.kind, stream.is_ahead(&mark), out);
            stream.decide(&mark, fate);
        }
        let back = self.messages.streams.get(&(name, 1 - side)).map(|back| (back, sent[1 - side]));
        let holds = self.messages.holds((way.from, way.to));
        let was_holding = stream.is_holding();
        let is_held = stream.waits_for_a_fault(now, &holds);
        let frames = stream.pass(now, &segment, (packet.bytes, packet.offload), &holds, back);
        drop(holds);
        if stream.is_holding() && !was_holding && is_held {
            self.links.entry((way.from, way.to)).or_default().counts.held += 1;
        }
        let is_holding = stream.is_holding();
        self.messages.streams.insert((name, side), stream);
        if is_holding {
            self.messages.find_due();
        }
        if arrived {
            self.go_on(now, out);
        }
        frames
    }

    /// What becomes of a message that has begun on a link.
    fn fate_of(
        &mut self,
        now: u64,
        way: Way,
        kind: MessageType,
        is_ahead: bool,
        out: &mut Vec<Delivery>,
    ) -> Fate {
        if let Some(fate) = self.strike_message(now, way, kind, is_ahead, out) {
            return fate;
        }
        if !self.messages.watched.contains(&kind) {
            return Fate::Passes;
        }
        self.messages.told.push((kind, way.from, way.to));
        Fate::Waits { until: now + ASK_MAX_US, asked: true }
    }

    /// Looks again at what waits.
    pub(super) fn go_on(&mut self, now: u64, out: &mut Vec<Delivery>) {
        let waiting: Vec<(Name, usize)> = self
            .messages
            .streams
            .iter()
            .filter(|(_, stream)| stream.is_holding())
            .map(|(key, _)| *key)
            .collect();
        for (name, side) in waiting {
            let ends = [name.ends[side].0, name.ends[1 - side].0];
            let [Some(from), Some(to)] = ends.map(Port::of) else { continue };
            let sent = self.flows.get(name).map_or(0, |flow| flow.sides[1 - side].next);
            let Some(mut stream) = self.messages.streams.remove(&(name, side)) else { continue };
            let holds = self.messages.holds((from, to));
            let back = self.messages.streams.get(&(name, 1 - side)).map(|back| (back, sent));
            let mut free = Vec::new();
            for frame in stream.let_go(now, &holds) {
                let Some(segment) = super::packet::read(&frame.bytes) else { continue };
                let passed = stream.pass(now, &segment, (&frame.bytes, frame.offload), &holds, back);
                free.extend(passed.unwrap_or_else(|| vec![frame]));
            }
            drop(holds);
            self.messages.streams.insert((name, side), stream);
            let way = Way { from, to, lane: super::Lane::Bus, of: Some((name, side)) };
            free.into_iter().for_each(|frame| self.forward(now, way, frame, out));
        }
        self.messages.find_due();
    }

    /// When a message that waits may go on.
    pub(super) fn message_due(&self) -> Option<u64> {
        self.messages.due
    }
}

impl Messages {
    /// A message has arrived. Answers whether something waited for it.
    fn arrived(&mut self, now: u64, kind: MessageType, link: (Port, Port)) -> bool {
        let mut any = false;
        for holding in self.holds.values_mut().filter(|holding| holding.ended_by.is_none()) {
            if holding.until.as_ref().is_some_and(|(links, ends)| *ends == kind && links.contains(&link)) {
                holding.ended_by = Some((now, kind, link.0, link.1));
                any = true;
            }
        }
        any
    }
}
