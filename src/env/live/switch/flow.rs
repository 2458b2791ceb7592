//! What is known of each TCP connection that crosses the switch: enough to reset it with the right numbers, to keep
//! its order on a slow link, and to wake it up when a cut heals.

use super::packet::{ACK, FIN, Frame, RST, SYN, Segment};
use std::collections::BTreeMap;

/// How long both ends of a reset connection are answered by resets: one that was lost or came with a number that
/// its receiver did not expect is made good by the receiver's own next packet.
pub const RESET_FOR_US: u64 = 2_000_000;
/// Connections that are remembered. Past it, those that have ended are forgotten.
pub const FLOWS_MAX: usize = 16_384;

/// A connection by its two ends, the lesser first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub ends: [(u32, u16); 2],
}

impl Name {
    /// Which of its ends is at the first address, if the other is at the second.
    pub fn side_of(&self, one: u32, other: u32) -> Option<usize> {
        let addresses = self.ends.map(|(address, _)| address);
        (0..2).find(|side| addresses[*side] == one && addresses[1 - side] == other)
    }

    /// The ports of its ends.
    pub fn ports(&self) -> [u16; 2] {
        self.ends.map(|(_, port)| port)
    }

    /// The connection that a segment belongs to, and which of its ends has sent it.
    pub fn of(segment: &Segment) -> (Self, usize) {
        if segment.from <= segment.to {
            (Self { ends: [segment.from, segment.to] }, 0)
        } else {
            (Self { ends: [segment.to, segment.from] }, 1)
        }
    }
}

/// What one end has sent.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// The sequence number after all that it has sent.
    pub next: u32,
    /// What it acknowledged last: what it expects next.
    pub ack: Option<u32>,
    /// It has sent its last byte.
    pub ended: bool,
    /// When the last of its segments is due at the other end.
    pub last_due: u64,
    /// The last packet of it that a cut swallowed.
    pub swallowed: Option<Frame>,
}

#[derive(Clone, Debug, Default)]
pub struct Flow {
    pub sides: [Side; 2],
    /// Both ends take it for established.
    pub established: bool,
    /// It was reset; until then its packets are answered so.
    pub reset_until: Option<u64>,
    /// One end was told that it is over, and the other was not.
    pub forgotten: Option<Forgotten>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// Who was told.
    pub by: usize,
    /// Nothing reaches the other, so that it does not hear of it.
    pub silent: bool,
}

impl Flow {
    /// Takes note of what an end has sent, whether or not it will arrive.
    fn see(&mut self, side: usize, segment: &Segment) {
        let own = &mut self.sides[side];
        let first = own.ack.is_none() && own.next == 0;
        let next = segment.next();
        // Numbers wrap around: later is what lies less than half of them ahead.
        if first || next.wrapping_sub(own.next) < 1 << 31 {
            own.next = next;
        }
        own.ended |= segment.has(FIN);
        if segment.has(ACK) {
            let later = own.ack.is_none_or(|ack| segment.ack.wrapping_sub(ack) < 1 << 31);
            if later {
                own.ack = Some(segment.ack);
            }
            self.established |= !segment.has(SYN);
        }
    }

    pub fn has_ended(&self) -> bool {
        self.sides.iter().all(|side| side.ended)
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    known: BTreeMap<Name, Flow>,
}

impl Flows {
    /// Takes note of a segment. Answers its connection; none where this was its last word, or where there is no
    /// room to remember it.
    pub fn see(&mut self, now: u64, name: Name, side: usize, segment: &Segment) -> Option<&mut Flow> {
        let over = |flow: &Flow| flow.reset_until.is_some_and(|until| until <= now);
        if segment.has(RST) || self.known.get(&name).is_some_and(over) {
            self.known.remove(&name);
            if segment.has(RST) {
                return None;
            }
        }
        if segment.has(SYN) && !segment.has(ACK) {
            // A connect, or another attempt at it: what had these ports before is over.
            let again = self
                .known
                .get(&name)
                .is_some_and(|flow| flow.reset_until.is_none() && flow.sides[side].next == segment.next());
            if !again {
                self.known.insert(name, Flow::default());
            }
        }
        if !self.known.contains_key(&name) {
            if self.known.len() >= FLOWS_MAX {
                self.forget_ended();
            }
            if self.known.len() >= FLOWS_MAX {
                return None;
            }
        }
        let flow = self.known.entry(name).or_default();
        if flow.reset_until.is_none() {
            flow.see(side, segment);
        }
        Some(flow)
    }

    /// Forgets what is over. What a cut has swallowed is not: its end may have been that.
    pub fn forget_ended(&mut self) {
        self.known
            .retain(|_, flow| !flow.has_ended() || flow.sides.iter().any(|side| side.swallowed.is_some()));
    }

    pub fn get(&mut self, name: Name) -> Option<&mut Flow> {
        self.known.get_mut(&name)
    }

    /// In the order of their names.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Name, &mut Flow)> {
        self.known.iter_mut()
    }
}
