//! Sessions: what makes a link that delays, loses, duplicates and reorders fit for the consensus library.
//!
//! Both ends number what they send, acknowledge what they got, send again what was not acknowledged, and hand
//! messages on in order and once. The library loses agreement without this. A session that gets no answer for
//! [`BREAK_US`] is broken: what it still held is dropped, and both ends begin a new one, which is when the
//! library must be told by `reconnected`. Packets carry the count of both ends' sessions, so that nothing of an
//! old one is ever taken for a part of the new; counts begin with the incarnation, so that a restart is a new
//! session as well. Everything here is a pure function of what came in and the node's own clock.

use super::bugs::Bugs;
use super::node::Body;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// An answer that takes longer than this ends the session.
pub const BREAK_US: u64 = 2_500_000;
/// The least and the most time before a message is sent again.
const RESEND_US_MIN: u64 = 60_000;
const RESEND_US_MAX: u64 = 1_500_000;
/// How often a new session is asked for.
const HELLO_US: u64 = 100_000;
/// What a session holds for a peer that it has not met yet.
const HELD_MAX: usize = 256;

/// What crosses a link.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The sender's session, and the receiver's as far as the sender knows it.
    session: u64,
    peer_session: u64,
    /// The place of the body in the session's order, from 1; 0 where there is none.
    sequence: u64,
    /// All up to this one have come.
    acknowledged: u64,
    /// The sender's clock, and the receiver's as the sender last heard it: for the round trip.
    sent_at: u64,
    echo: u64,
    pub gossip: Gossip,
    body: Option<Rc<Body>>,
}

/// What every packet tells of its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gossip {
    pub map_version: u64,
    /// A bit for each node that the sender has not heard for the node timeout.
    pub suspects: u64,
    /// How far it has applied its shard's log.
    pub offset: u64,
}

#[derive(Debug)]
struct Held {
    sequence: u64,
    first_sent: u64,
    resend_at: u64,
    resends: u32,
    body: Rc<Body>,
}

/// One end of the link to one peer.
#[derive(Debug)]
pub struct Session {
    mine: u64,
    theirs: u64,
    established: bool,
    next: u64,
    held: VecDeque<Held>,
    expected: u64,
    early: BTreeMap<u64, Rc<Body>>,
    acknowledge: bool,
    echo: u64,
    echo_at: u64,
    round_trip: u64,
    hello_at: u64,
}

/// What a packet brought.
#[derive(Debug, Default)]
pub struct Arrived {
    pub bodies: Vec<Rc<Body>>,
    /// A session has begun.
    pub connected: bool,
    /// The other end must hear at once which session this is.
    pub greet: bool,
    pub duplicate: bool,
}

impl Session {
    pub fn new(incarnation: u32) -> Self {
        Self {
            mine: (u64::from(incarnation) << 24) + 1,
            theirs: 0,
            established: false,
            next: 1,
            held: VecDeque::new(),
            expected: 1,
            early: BTreeMap::new(),
            acknowledge: false,
            echo: 0,
            echo_at: 0,
            round_trip: 2_000,
            hello_at: 0,
        }
    }

    fn packet(&mut self, now: u64, gossip: Gossip, sequence: u64, body: Option<Rc<Body>>) -> Packet {
        self.acknowledge = false;
        let echo = if self.echo == 0 { 0 } else { self.echo + (now - self.echo_at) };
        Packet {
            session: self.mine,
            peer_session: self.theirs,
            sequence,
            acknowledged: self.expected - 1,
            sent_at: now,
            echo,
            gossip,
            body,
        }
    }

    /// A packet without a body: a greeting, an acknowledgement, a sign of life.
    pub fn bare(&mut self, now: u64, gossip: Gossip) -> Packet {
        self.packet(now, gossip, 0, None)
    }

    /// Sends a body; while there is no session it is held for one that never was, and dropped otherwise.
    pub fn send(&mut self, now: u64, gossip: Gossip, body: Body) -> Option<Packet> {
        if !self.established && (self.theirs != 0 || self.held.len() >= HELD_MAX) {
            return None;
        }
        let body = Rc::new(body);
        let sequence = self.next;
        self.next += 1;
        let resend_at = now + self.resend_after();
        self.held.push_back(Held { sequence, first_sent: now, resend_at, resends: 0, body: body.clone() });
        self.established.then(|| self.packet(now, gossip, sequence, Some(body)))
    }

    fn resend_after(&self) -> u64 {
        (self.round_trip * 2 + 20_000).clamp(RESEND_US_MIN, RESEND_US_MAX)
    }

    fn restart(&mut self) {
        self.mine += 1;
        self.established = false;
        self.next = 1;
        self.held.clear();
    }

    /// Takes a packet in.
    pub fn receive(&mut self, now: u64, packet: &Packet, bugs: Bugs) -> Arrived {
        let mut arrived = Arrived::default();
        if packet.session < self.theirs {
            return arrived;
        }
        if packet.session > self.theirs {
            if self.established {
                self.restart();
            }
            self.theirs = packet.session;
            self.expected = 1;
            self.early.clear();
            arrived.greet = true;
        }
        (self.echo, self.echo_at) = (packet.sent_at, now);
        if packet.peer_session != self.mine {
            arrived.greet = true;
            return arrived;
        }
        if !self.established {
            self.established = true;
            arrived.connected = true;
            arrived.greet = true;
            for held in &mut self.held {
                (held.first_sent, held.resend_at) = (now, now);
            }
        }
        if packet.echo != 0 && now >= packet.echo {
            self.round_trip = (self.round_trip * 7 + (now - packet.echo)) / 8;
        }
        while self.held.front().is_some_and(|held| held.sequence <= packet.acknowledged) {
            self.held.pop_front();
        }
        let Some(body) = &packet.body else { return arrived };
        self.acknowledge = true;
        if bugs.lost_session_reorder {
            self.expected = self.expected.max(packet.sequence + 1);
            arrived.bodies.push(body.clone());
        } else if packet.sequence == self.expected {
            self.expected += 1;
            arrived.bodies.push(body.clone());
            while let Some(next) = self.early.remove(&self.expected) {
                self.expected += 1;
                arrived.bodies.push(next);
            }
        } else if packet.sequence < self.expected
            || self.early.insert(packet.sequence, body.clone()).is_some()
        {
            arrived.duplicate = true;
        }
        arrived
    }

    /// What is due at this time: messages sent again, an acknowledgement, a greeting. True when the session broke.
    pub fn tick(&mut self, now: u64, gossip: Gossip, out: &mut Vec<Packet>) -> bool {
        if !self.established {
            if now >= self.hello_at {
                self.hello_at = now + HELLO_US;
                out.push(self.bare(now, gossip));
            }
            return false;
        }
        if self.held.front().is_some_and(|held| now > held.first_sent + BREAK_US) {
            self.restart();
            out.push(self.bare(now, gossip));
            return true;
        }
        let after = self.resend_after();
        for place in 0..self.held.len() {
            let held = &mut self.held[place];
            if now < held.resend_at {
                continue;
            }
            held.resends += 1;
            held.resend_at = now + (after << held.resends.min(4)).min(RESEND_US_MAX);
            let (sequence, body) = (held.sequence, held.body.clone());
            out.push(self.packet(now, gossip, sequence, Some(body)));
        }
        if self.acknowledge {
            out.push(self.bare(now, gossip));
        }
        false
    }

    pub fn established(&self) -> bool {
        self.established
    }
}
