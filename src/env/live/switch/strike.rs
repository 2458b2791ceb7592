//! The n-th packet, byte, connect or message on a link, counted from when a fault began, and what is done to it.
//!
//! What a cut swallows is not counted: the first connect of a fault that began with a cut is the first after its heal.
//! Nor are the connects by which the run asks whether packets cross.

use super::message::ports;
use super::packet::{self, ACK, SYN};
use super::stream::Fate;
use super::{Delivery, Frame, Packet, Port, RESET_FOR_US, Switch, Way, tell_over};
use crate::catalogue::MessageType;
use crate::env::{LinkStrike, NodeId, STRUCK_NOTHING};
use crate::fault::strike_link::{LinkBlow, LinkPoint};
use std::collections::BTreeSet;

/// The run's own connects come from these ports, which no kernel chooses by itself.
pub const OWN_PORTS: std::ops::RangeInclusive<u16> = 64_000..=65_000;

#[derive(Debug)]
pub(super) struct Striking {
    links: BTreeSet<(Port, Port)>,
    strike: LinkStrike,
    since: u64,
    seen: u64,
    struck: Option<(u64, Port, Port)>,
}

impl Striking {
    fn waits_on(&self, way: Way) -> bool {
        self.struck.is_none() && self.links.contains(&(way.from, way.to))
    }

    /// Counts so many on a link; answers which of them it is, from 0 on.
    fn meets(&mut self, now: u64, way: Way, count: u64) -> Option<u64> {
        let left = self.strike.nth - self.seen.min(self.strike.nth - 1) - 1;
        self.seen += count;
        if left >= count {
            return None;
        }
        self.struck = Some((now, way.from, way.to));
        Some(left)
    }
}

impl Switch {
    /// Lies in wait from now on.
    pub fn strike(&mut self, now: u64, event: String, strike: LinkStrike) {
        let links = ports(&strike.links);
        self.strikes.insert(event, Striking { links, strike, since: now, seen: 0, struck: None });
    }

    /// Ends the wait. Answers what came of it.
    pub fn end_strike(&mut self, event: &str) -> String {
        let Some(striking) = self.strikes.remove(event) else { return STRUCK_NOTHING.into() };
        let LinkStrike { at, message, nth, .. } = striking.strike;
        let what = message.map_or(at.to_string(), |kind| kind.to_string());
        match striking.struck {
            Some((when, from, to)) => {
                let (from, to, after) = (NodeId(from.0), NodeId(to.0), when - striking.since);
                format!("struck {what} {nth} from {from} to {to}, after {after} us")
            }
            None => format!("{STRUCK_NOTHING}: {} came by, and not number {nth} of {what}", striking.seen),
        }
    }

    /// What a fault does to a message that has just begun.
    pub(super) fn strike_message(
        &mut self,
        now: u64,
        way: Way,
        kind: MessageType,
        is_ahead: bool,
        out: &mut Vec<Delivery>,
    ) -> Option<Fate> {
        let is_cut = self.is_cut(way);
        // Of a message that began in an earlier packet something has passed: the next one is struck in its place.
        let strike = self.strikes.values_mut().find_map(|striking| {
            let is = striking.strike.message == Some(kind) && striking.waits_on(way) && !is_cut;
            if !is {
                return None;
            }
            if !is_ahead {
                striking.seen = (striking.seen + 1).min(striking.strike.nth - 1);
                return None;
            }
            striking.meets(now, way, 1).map(|_| striking.strike.clone())
        })?;
        let counts = &mut self.links.entry((way.from, way.to)).or_default().counts;
        Some(match strike.how {
            LinkBlow::Delay => {
                counts.delayed += 1;
                Fate::Waits { until: now + strike.delay.micros().0, asked: false }
            }
            LinkBlow::Duplicate => {
                counts.duplicated += 1;
                Fate::Twice
            }
            LinkBlow::Reset => {
                self.break_off(now, way, out);
                Fate::Passes
            }
            LinkBlow::Lose | LinkBlow::Corrupt | LinkBlow::Garble => {
                counts.lost += 1;
                Fate::Lost
            }
        })
    }

    fn is_cut(&self, way: Way) -> bool {
        let link = self.links.get(&(way.from, way.to));
        link.is_some_and(|link| link.lanes[way.lane as usize].rule.is_some_and(|rule| rule.cut))
    }

    /// Counts a packet for those who wait for one. `true`: it was struck, and all of it is seen to.
    pub(super) fn strike_packet(
        &mut self,
        now: u64,
        way: Way,
        packet: Packet<'_>,
        out: &mut Vec<Delivery>,
    ) -> bool {
        if self.strikes.is_empty() || self.is_cut(way) {
            return false;
        }
        let Some(segment) = packet.segment else { return false };
        if [segment.from.1, segment.to.1].iter().any(|port| OWN_PORTS.contains(port)) {
            return false;
        }
        let (count, size) = (packet.segments().0, packet::segment_size(&segment, packet.offload));
        let connects = segment.has(SYN) && !segment.has(ACK);
        let hit = self.strikes.values_mut().find_map(|striking| {
            if !striking.waits_on(way) || !way.lane.is(striking.strike.traffic) {
                return None;
            }
            let number = match striking.strike.at {
                LinkPoint::Packet => striking.meets(now, way, count as u64)?,
                LinkPoint::Byte => striking.meets(now, way, segment.length() as u64)? / size as u64,
                LinkPoint::Connect if connects => striking.meets(now, way, 1)?,
                LinkPoint::Connect | LinkPoint::Message => return None,
            };
            Some((number as usize, striking.strike.clone()))
        });
        let Some((number, strike)) = hit else { return false };
        if number > 0 {
            self.under_rule(now, way, packet.part(0, number), out);
        }
        self.strike_one(now, way, packet.part(number, 1), &strike, out);
        if number + 1 < count {
            self.under_rule(now, way, packet.part(number + 1, count - number - 1), out);
        }
        true
    }

    fn strike_one(
        &mut self,
        now: u64,
        way: Way,
        mut frame: Frame,
        strike: &LinkStrike,
        out: &mut Vec<Delivery>,
    ) {
        // Which bit is flipped is no more than a number that the switch's key gives.
        let word = self.key.word("strike", now, strike.nth);
        let counts = &mut self.links.entry((way.from, way.to)).or_default().counts;
        match strike.how {
            LinkBlow::Lose => {
                counts.lost += 1;
                return;
            }
            LinkBlow::Delay => {
                counts.delayed += 1;
                self.deliver(now, now + strike.delay.micros().0, way, frame, out);
                return;
            }
            LinkBlow::Duplicate => {
                counts.duplicated += 1;
                self.under_rule(now, way, frame.clone(), out);
            }
            LinkBlow::Corrupt => counts.corrupted += u64::from(packet::spoil(&mut frame, word, false)),
            LinkBlow::Garble => counts.garbled += u64::from(packet::spoil(&mut frame, word, true)),
            LinkBlow::Reset => {
                self.break_off(now, way, out);
                return;
            }
        }
        self.under_rule(now, way, frame, out);
    }

    /// Resets the connection that a packet belongs to.
    fn break_off(&mut self, now: u64, way: Way, out: &mut Vec<Delivery>) {
        let Some((name, _)) = way.of else { return };
        if let Some(flow) = self.flows.get(name).filter(|flow| flow.reset_until.is_none()) {
            flow.reset_until = Some(now + RESET_FOR_US);
            let flow = flow.clone();
            (0..2).for_each(|side| tell_over(&name, &flow, side, &self.messages, out));
        }
    }
}
