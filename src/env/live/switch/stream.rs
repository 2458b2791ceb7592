//! One direction of a connection of the cluster bus, read as messages: where one of them waits, is lost or comes twice.
//!
//! TCP repairs whatever is lost of it, so a message that is not to arrive is taken out of the stream, and one that is to
//! arrive twice is put in again: from there on both ends count differently, and every packet between them is renumbered,
//! as a proxy's two connections would be. Pure.

use super::packet::{self, FIN, Frame, Offload, SYN, Segment};
use crate::catalogue::MessageType;
use crate::env::bus::{Cutter, Mark, head};
use std::collections::{BTreeMap, VecDeque};

/// A message put in again goes in segments of this length: less than any path's.
const PIECE: usize = 1200;

/// What is to become of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Passes,
    /// It waits until then, or until [`Stream::answered`] if the run was asked.
    Waits {
        until: u64,
        asked: bool,
    },
    Lost,
    Twice,
}

/// A message whose receiver has not acknowledged it, by the numbers of its first byte and of the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub kind: MessageType,
    pub from: u32,
    pub to: u32,
    pub fate: Fate,
}

/// A message that was taken out, or put in again behind itself.
#[derive(Clone, Debug)]
struct Edit {
    from: u32,
    to: u32,
    twice: bool,
    /// Of one that is to come twice, what has come by.
    bytes: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Stream {
    /// The number that is read next; none until a message has begun with one.
    next: Option<u32>,
    /// The number of the first byte that the cutter has seen.
    base: u32,
    cutter: Cutter,
    sent: VecDeque<Sent>,
    /// The number behind the last byte that was let pass.
    passed: Option<u32>,
    /// What waits, by how far it is from the base.
    held: BTreeMap<u32, Frame>,
    edits: Vec<Edit>,
}

/// Numbers wrap around: later is what lies less than half of them ahead.
fn is_before(one: u32, other: u32) -> bool {
    other.wrapping_sub(one).wrapping_sub(1) < 1 << 31
}

impl Stream {
    /// Reads what is new in a segment, whether or not it arrives, and answers the messages that begin in it.
    pub fn read(&mut self, segment: &Segment, packet: &[u8]) -> Vec<Mark> {
        let mut marks = Vec::new();
        if segment.has(SYN) {
            let first = segment.seq.wrapping_add(1);
            *self = Self { next: Some(first), base: first, ..Self::default() };
            return marks;
        }
        let payload = segment.payload(packet);
        if payload.is_empty() {
            return marks;
        }
        let is_behind = |next: u32| next != segment.seq && is_before(next, segment.seq);
        if self.next.is_none_or(is_behind) {
            // From the middle on, or with a hole in it: it is read from the next message that begins a packet.
            if !matches!(head(payload), Ok(Some(_))) {
                return marks;
            }
            (self.next, self.base, self.cutter) = (Some(segment.seq), segment.seq, Cutter::default());
        }
        let known = self.next.map_or(0, |next| next.wrapping_sub(segment.seq) as usize);
        let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) else { return marks };
        if !self.cutter.take(new, &mut marks) {
            self.next = None;
            return marks;
        }
        self.next = Some(segment.seq.wrapping_add(payload.len() as u32));
        marks
    }

    /// Whether nothing of a message that has just begun was let pass yet.
    pub fn is_ahead(&self, mark: &Mark) -> bool {
        let from = self.base.wrapping_add(mark.from as u32);
        self.passed.is_none_or(|passed| !is_before(from, passed))
    }

    /// Decides what becomes of a message that has just begun.
    pub fn decide(&mut self, mark: &Mark, fate: Fate) {
        let (from, to) = (self.base.wrapping_add(mark.from as u32), self.base.wrapping_add(mark.to as u32));
        self.sent.push_back(Sent { kind: mark.kind, from, to, fate });
        if matches!(fate, Fate::Lost | Fate::Twice) {
            self.edits.push(Edit { from, to, twice: fate == Fate::Twice, bytes: Vec::new() });
        }
    }

    /// The messages that its receiver has acknowledged by this, in the numbers that the receiver knows.
    pub fn acknowledged(&mut self, ack: u32, sent: u32) -> Vec<Sent> {
        let ack = self.back(ack, sent);
        let mut arrived = Vec::new();
        while let Some(first) = self.sent.front().copied().filter(|first| !is_before(ack, first.to)) {
            self.sent.pop_front();
            arrived.extend((first.fate != Fate::Lost).then_some(first));
        }
        arrived
    }

    /// Whether one of its messages waits for the run to answer.
    pub fn is_asked(&self) -> bool {
        self.sent.iter().any(|sent| matches!(sent.fate, Fate::Waits { asked: true, .. }))
    }

    /// The run has done what it wanted to do about the messages that it was told of.
    pub fn answered(&mut self) {
        for sent in &mut self.sent {
            if matches!(sent.fate, Fate::Waits { asked: true, .. }) {
                sent.fate = Fate::Passes;
            }
        }
    }

    /// The first message that waits.
    fn gate(&self, now: u64, holds: &dyn Fn(MessageType) -> bool) -> Option<&Sent> {
        let is_held = |sent: &&Sent| {
            let has_passed = self.passed.is_some_and(|passed| is_before(sent.from, passed));
            let waits = matches!(sent.fate, Fate::Waits { until, .. } if now < until);
            !has_passed && (waits || holds(sent.kind))
        };
        self.sent.iter().find(is_held)
    }

    /// Whether a fault is what lets the first message wait that does, and not a question to the run.
    pub fn waits_for_a_fault(&self, now: u64, holds: &dyn Fn(MessageType) -> bool) -> bool {
        self.gate(now, holds).is_some_and(|sent| !matches!(sent.fate, Fate::Waits { asked: true, .. }))
    }

    /// When what waits is to be looked at again, where a time says so.
    pub fn due(&self) -> Option<u64> {
        if self.held.is_empty() {
            return None;
        }
        let until = |sent: &Sent| if let Fate::Waits { until, .. } = sent.fate { Some(until) } else { None };
        self.sent.iter().filter_map(until).min()
    }

    pub fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether both ends still count alike.
    pub fn is_plain(&self) -> bool {
        self.edits.is_empty()
    }

    /// What of a packet may pass now, as it is to be sent on; the rest waits. `None`: the packet as it is.
    pub fn pass(
        &mut self,
        now: u64,
        segment: &Segment,
        (packet, offload): (&[u8], Offload),
        holds: &dyn Fn(MessageType) -> bool,
        back: Option<(&Stream, u32)>,
    ) -> Option<Vec<Frame>> {
        let length = segment.length();
        let gate = self.gate(now, holds).map(|sent| sent.from);
        let open = match gate.filter(|_| length > 0 || segment.has(FIN)) {
            // A packet that lies behind it, and one that ends at it or before it.
            Some(gate) if is_before(gate, segment.seq) => 0,
            Some(gate) => length.min(gate.wrapping_sub(segment.seq) as usize),
            None => length,
        };
        let ends_there = segment.has(FIN) && gate.is_some();
        let is_whole = open == length && !ends_there;
        if !is_whole {
            let rest = packet::part(packet, offload, segment, open..length);
            let place = segment.seq.wrapping_add(open as u32).wrapping_sub(self.base);
            let longer = self.held.get(&place).is_none_or(|known| known.bytes.len() < rest.bytes.len());
            if longer {
                self.held.insert(place, rest);
            }
        }
        let end = segment.seq.wrapping_add(open as u32);
        if open > 0 && self.passed.is_none_or(|passed| is_before(passed, end)) {
            self.passed = Some(end);
        }
        if is_whole && self.is_plain() && back.is_none_or(|(back, _)| back.is_plain()) {
            return None;
        }
        if !is_whole && open == 0 {
            // What it acknowledges need not wait.
            let mut frame = packet::other(packet, segment, &[], segment.seq);
            packet::renumber(&mut frame, self.out(segment.seq), |ack| acknowledged(back, ack));
            return Some(vec![frame]);
        }
        Some(self.edited(segment, (packet, offload), open, back))
    }

    /// Lets go what waits and may pass now; each is to be given to [`Stream::pass`] again.
    pub fn let_go(&mut self, now: u64, holds: &dyn Fn(MessageType) -> bool) -> Vec<Frame> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let gate = self.gate(now, holds).map(|sent| sent.from.wrapping_sub(self.base));
        match gate {
            Some(gate) if self.held.keys().next().is_some_and(|first| *first >= gate) => Vec::new(),
            _ => std::mem::take(&mut self.held).into_values().collect(),
        }
    }

    /// The first bytes of a packet without what was taken out, with what was put in, in the receiver's numbers.
    fn edited(
        &mut self,
        segment: &Segment,
        (packet, offload): (&[u8], Offload),
        open: usize,
        back: Option<(&Stream, u32)>,
    ) -> Vec<Frame> {
        let place = |number: u32| number.wrapping_sub(segment.seq) as usize;
        let mut borders: Vec<usize> = vec![0, open];
        for edit in &self.edits {
            for number in [edit.from, edit.to] {
                borders.extend(Some(place(number)).filter(|at| (1..open).contains(at)));
            }
        }
        borders.sort_unstable();
        borders.dedup();
        let mut out = Vec::new();
        let ranges: Vec<(usize, usize)> =
            if open == 0 { vec![(0, 0)] } else { borders.windows(2).map(|two| (two[0], two[1])).collect() };
        for (from, to) in ranges {
            let seq = segment.seq.wrapping_add(from as u32);
            let within = self
                .edits
                .iter()
                .position(|edit| to > from && !is_before(seq, edit.from) && is_before(seq, edit.to));
            let number = self.out(seq);
            let mut frame = packet::part(packet, offload, segment, from..to);
            let mut again = None;
            match within.map(|position| &mut self.edits[position]) {
                Some(edit) if !edit.twice => {
                    // A byte that its receiver has had is answered by what it has had.
                    frame = packet::other(packet, segment, &[0], seq);
                    packet::renumber(&mut frame, number.wrapping_sub(1), |ack| acknowledged(back, ack));
                    out.push(frame);
                    continue;
                }
                Some(edit) => {
                    if edit.from.wrapping_add(edit.bytes.len() as u32) == seq {
                        edit.bytes.extend_from_slice(&segment.payload(packet)[from..to]);
                    }
                    let is_whole = edit.bytes.len() as u32 == edit.to.wrapping_sub(edit.from);
                    let ends = segment.seq.wrapping_add(to as u32) == edit.to;
                    again = (is_whole && ends).then(|| edit.bytes.clone());
                }
                None => {}
            }
            packet::renumber(&mut frame, number, |ack| acknowledged(back, ack));
            out.push(frame);
            let behind = number.wrapping_add((to - from) as u32);
            for (count, piece) in again.iter().flat_map(|bytes| bytes.chunks(PIECE)).enumerate() {
                let at = behind.wrapping_add((count * PIECE) as u32);
                let mut frame = packet::other(packet, segment, piece, at);
                packet::renumber(&mut frame, at, |ack| acknowledged(back, ack));
                out.push(frame);
            }
        }
        out
    }

    /// A number of the sender's as the receiver counts.
    pub fn out(&self, number: u32) -> u32 {
        let mut told = number;
        for edit in &self.edits {
            let length = edit.to.wrapping_sub(edit.from);
            if is_before(number, edit.from) {
                break;
            }
            told = match (edit.twice, is_before(number, edit.to)) {
                (false, false) => told.wrapping_sub(length),
                (false, true) => told.wrapping_sub(number.wrapping_sub(edit.from)),
                (true, false) => told.wrapping_add(length),
                (true, true) => told,
            };
        }
        told
    }

    /// A number that the receiver expects as the sender counts: never beyond what was sent.
    pub fn back(&self, number: u32, sent: u32) -> u32 {
        let mut shift = 0u32;
        for edit in &self.edits {
            let length = edit.to.wrapping_sub(edit.from);
            if edit.twice {
                let begins = edit.to.wrapping_add(shift);
                if !is_before(begins, number) {
                    break;
                }
                if is_before(number, begins.wrapping_add(length)) {
                    return edit.to;
                }
                shift = shift.wrapping_add(length);
            } else {
                if is_before(number, edit.from.wrapping_add(shift)) {
                    break;
                }
                shift = shift.wrapping_sub(length);
            }
        }
        let told = number.wrapping_sub(shift);
        if !self.edits.is_empty() && is_before(sent, told) { sent } else { told }
    }
}

/// What one end acknowledges, as the other counts its own.
fn acknowledged(back: Option<(&Stream, u32)>, ack: u32) -> u32 {
    back.map_or(ack, |(stream, sent)| stream.back(ack, sent))
}
