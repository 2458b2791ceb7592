//! The switch: packets of the nodes' devices in, packets and deadlines out. Pure; who calls it owns clock, devices
//! and thread ([`super::driver`]).
//!
//! A packet goes straight through unless a rule lies on its directed link. Then each segment has a fate of its own,
//! which is a keyed hash of (link, how often its rule was changed, the segment's number under that rule): the same
//! seed loses the third segment after the rule took hold, whatever other links carry. Which segment is the third is
//! up to the servers and their kernels, in real time.
//!
//! What a cut swallows TCP sends again after ever longer waits, up to two minutes: long after a heal nothing would be
//! said. So the last segment of each connection that a cut swallowed is delivered when it heals; its receiver's
//! answer wakes the sender up.

mod chance;
mod flow;
mod packet;

pub use packet::{OFFLOAD, Offload};

use crate::entropy::Entropy;
use crate::env::{LinkRule, LinkRules, NodeId};
use crate::fault::traffic::Traffic;
use flow::{Flow, Flows, Forgotten, Name, RESET_FOR_US};
use packet::{ACK, RST, SYN, Segment};
use std::collections::BTreeMap;

/// A device of the switch: a node's, by the node's number, or the tool's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(pub u16);

impl Port {
    /// The tool's own device, from which its clients reach the nodes.
    pub const TOOL: Self = Self(u16::MAX);
    /// The clients of the load: on the tool's device, by an address of their own.
    pub const CLIENTS: Self = Self(NodeId::CLIENTS.0);
    /// Where the tool is: 10.77.255.254.
    const TOOL_ADDRESS: u32 = NETWORK | 0xfffe;
    /// 10.77.255.253.
    const CLIENTS_ADDRESS: u32 = NETWORK | 0xfffd;

    /// 10.77.0.1 for node 0, and so on.
    pub fn address(self) -> u32 {
        match self {
            Self::TOOL => Self::TOOL_ADDRESS,
            Self::CLIENTS => Self::CLIENTS_ADDRESS,
            Self(number) => NETWORK | (u32::from(number) + 1),
        }
    }

    /// Where its device is plugged in.
    pub fn device(self) -> Self {
        if self == Self::CLIENTS { Self::TOOL } else { self }
    }

    fn of(address: u32) -> Option<Self> {
        match address {
            Self::TOOL_ADDRESS => return Some(Self::TOOL),
            Self::CLIENTS_ADDRESS => return Some(Self::CLIENTS),
            _ => {}
        }
        let host = address ^ NETWORK;
        (1..=u32::from(NODES_MAX)).contains(&host).then(|| Self(host as u16 - 1))
    }
}

impl From<NodeId> for Port {
    fn from(node: NodeId) -> Self {
        Self(node.0)
    }
}

/// 10.77.0.0/16: of no meaning outside, where none of it ever goes.
const NETWORK: u32 = 0x0a4d_0000;
/// The mask of it.
pub const MASK: u32 = 0xffff_0000;
/// Nodes for which there are addresses.
pub const NODES_MAX: u16 = 1000;
/// A segment that others may overtake waits so long: longer than a burst takes, shorter than a retransmission.
const OVERTAKEN_US: u64 = 3_000;
/// What waits before a link whose rate is limited, in bytes; more is lost.
const QUEUE_MAX: u64 = 128 * 1024;

/// What is to be given to a device. It needs no offload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub to: Port,
    pub bytes: Vec<u8>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes to this device at once, as it is, with what the kernel left undone still undone.
    Through(Port),
    /// The switch has it, or it is gone.
    Taken,
}

/// What a link has carried, and what became of the rest. Packets as the devices gave them; segments for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub packets: u64,
    pub bytes: u64,
    pub cut: u64,
    pub kicked: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub overtaken: u64,
    pub delayed: u64,
    pub refused: u64,
    pub corrupted: u64,
    pub garbled: u64,
    pub overflowed: u64,
    pub silenced: u64,
}

impl Counts {
    /// What faults did to segments; that a heal delivers some is no harm.
    fn struck(&self) -> u64 {
        let Self { cut, lost, duplicated, overtaken, delayed, refused, .. } = *self;
        let Self { corrupted, garbled, overflowed, silenced, .. } = *self;
        cut + lost + duplicated + overtaken + delayed + refused + corrupted + garbled + overflowed + silenced
    }
}

/// A class of what crosses a link, as rules tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Clients,
    Bus,
    Rest,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Clients, Self::Bus, Self::Rest];

    fn rule(self, rules: &LinkRules) -> LinkRule {
        match self {
            Self::Clients => rules.clients,
            Self::Bus => rules.bus,
            Self::Rest => rules.rest,
        }
    }

    fn is(self, traffic: Traffic) -> bool {
        match traffic {
            Traffic::All => true,
            Traffic::Clients => self == Self::Clients,
            Traffic::Bus => self == Self::Bus,
        }
    }
}

/// What lies on a class of a link.
#[derive(Clone, Debug, Default)]
struct Ruled {
    rule: Option<LinkRule>,
    /// How often it was changed.
    changes: u64,
    /// Segments under the rule that lies on it now.
    segments: u64,
    /// The last of them was lost in a burst.
    bursting: bool,
    /// When the last of what is no TCP is due.
    last_due: u64,
}

#[derive(Clone, Debug, Default)]
struct Link {
    lanes: [Ruled; Lane::ALL.len()],
    /// When a limited link has sent what it has.
    free_at: u64,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Waiting {
    from: Port,
    to: Port,
    lane: Lane,
    of: Option<(Name, usize)>,
    bytes: Vec<u8>,
}

/// See the module's page.
#[derive(Debug)]
pub struct Switch {
    key: Entropy,
    /// Where nodes listen for clients, and for the cluster bus.
    ports: (u16, u16),
    links: BTreeMap<(Port, Port), Link>,
    flows: Flows,
    /// By when they are due, and the order in which they came.
    waiting: BTreeMap<(u64, u64), Waiting>,
    count: u64,
    /// Packets that were for nobody.
    nowhere: u64,
    pieces: Vec<Vec<u8>>,
}

impl Switch {
    pub fn new(key: Entropy, ports: (u16, u16)) -> Self {
        Self {
            key,
            ports,
            links: BTreeMap::new(),
            flows: Flows::default(),
            waiting: BTreeMap::new(),
            count: 0,
            nowhere: 0,
            pieces: Vec::new(),
        }
    }

    /// The class of a connection by the ports of its ends.
    fn lane(&self, ends: [u16; 2]) -> Lane {
        let (clients, bus) = self.ports;
        if ends.contains(&bus) {
            Lane::Bus
        } else if ends.contains(&clients) {
            Lane::Clients
        } else {
            Lane::Rest
        }
    }

    /// A device has given a packet. What is to be delivered at once, beside the packet itself, is appended.
    pub fn carry(
        &mut self,
        now: u64,
        mut from: Port,
        offload: Offload,
        packet: &[u8],
        out: &mut Vec<Delivery>,
    ) -> Fate {
        if from == Port::TOOL && packet::source(packet) == Some(Port::CLIENTS_ADDRESS) {
            from = Port::CLIENTS;
        }
        let Some(to) = packet::destination(packet).and_then(Port::of) else {
            self.nowhere += 1;
            return Fate::Taken;
        };
        let segment = packet::read(packet);
        let lane = segment.as_ref().map_or(Lane::Rest, |segment| self.lane([segment.from.1, segment.to.1]));
        let link = self.links.entry((from, to)).or_default();
        link.counts.packets += 1;
        link.counts.bytes += packet.len() as u64;
        let rule = link.lanes[lane as usize].rule;
        let mut of = None;
        if let Some(segment) = segment {
            let (name, side) = Name::of(&segment);
            let connects = segment.has(SYN) && !segment.has(ACK);
            let forgotten = self.flows.get(name).and_then(|flow| flow.forgotten);
            if let Some(Forgotten { by, silent }) = forgotten.filter(|_| !connects) {
                if side == by && !segment.has(RST) {
                    // It did not take the reset, whose number another byte has made old.
                    out.extend(answer(from, &segment));
                    return Fate::Taken;
                }
                if silent {
                    link.counts.silenced += 1;
                    return Fate::Taken;
                }
            }
            if let Some(flow) = self.flows.see(now, name, side, &segment) {
                if flow.reset_until.is_some() {
                    out.extend(answer(from, &segment));
                    return Fate::Taken;
                }
                of = Some((name, side));
            }
            if connects && rule.is_some_and(|rule| rule.refuse && !rule.cut) {
                link.counts.refused += 1;
                let reset = packet::reset(segment.to, segment.from, 0, Some(segment.next()));
                out.push(Delivery { to: from, bytes: reset });
                return Fate::Taken;
            }
        }
        let Some(rule) = rule else { return Fate::Through(to) };
        let mut pieces = std::mem::take(&mut self.pieces);
        packet::cut(packet, offload, &mut pieces);
        for bytes in pieces.drain(..) {
            self.decide(now, rule, Waiting { from, to, lane, of, bytes }, out);
        }
        self.pieces = pieces;
        Fate::Taken
    }

    /// The fate of one segment under a rule.
    fn decide(&mut self, now: u64, rule: LinkRule, mut segment: Waiting, out: &mut Vec<Delivery>) {
        let (from, to) = (segment.from, segment.to);
        let link = self.links.entry((from, to)).or_default();
        let ruled = &mut link.lanes[segment.lane as usize];
        let count = ruled.segments;
        ruled.segments += 1;
        if rule.cut {
            self.swallow(segment);
            return;
        }
        let lane = segment.lane as u64;
        let place = u64::from(from.0) << 48
            | u64::from(to.0) << 32
            | lane << 30
            | (link.lanes[lane as usize].changes & 0x3fff_ffff);
        let word = self.key.word("segment", place, count);
        let strikes = |shift: u64, share: u16| ((word >> shift & 0xffff) * 1000) >> 16 < u64::from(share);
        let lost = if rule.burst == 0 {
            strikes(0, rule.lose)
        } else {
            let ruled = &mut link.lanes[segment.lane as usize];
            let burst = self.key.word("burst", place, count);
            ruled.bursting = chance::goes_on(ruled.bursting, rule.lose, rule.burst, burst);
            ruled.bursting
        };
        if lost {
            link.counts.lost += 1;
            return;
        }
        if rule.corrupt > 0 || rule.garble > 0 {
            let word = self.key.word("harm", place, count);
            let strikes = |shift: u64, share: u16| ((word >> shift & 0xffff) * 1000) >> 16 < u64::from(share);
            let bit = self.key.word("bit", place, count);
            if strikes(0, rule.corrupt) {
                link.counts.corrupted += u64::from(packet::spoil(&mut segment.bytes, bit, false));
            } else if strikes(16, rule.garble) {
                link.counts.garbled += u64::from(packet::spoil(&mut segment.bytes, bit, true));
            }
        }
        let mut sent = now;
        if rule.rate > 0 {
            // So many thousand bytes a second are as many bytes a millisecond.
            let rate = u64::from(rule.rate);
            let begins = now.max(link.free_at);
            if (begins - now) * rate / 1000 > QUEUE_MAX {
                link.counts.overflowed += 1;
                return;
            }
            sent = begins + segment.bytes.len() as u64 * 1000 / rate;
            link.free_at = sent;
        }
        // The first word's upper bits are those that an even jitter has always been drawn from.
        let more = |purpose| {
            if rule.shape.is_uniform() { 0 } else { self.key.word(purpose, place, count) }
        };
        let first = if rule.shape.is_uniform() { word } else { more("delay") };
        let words = [first, more("delay 2"), more("delay 3")];
        let delay = chance::delay(rule.shape, rule.delay.micros().0, rule.jitter.micros().0, words);
        let mut due = sent + delay;
        if due > now {
            link.counts.delayed += 1;
        }
        if strikes(32, rule.reorder) {
            link.counts.overtaken += 1;
            due += OVERTAKEN_US;
        } else {
            // A delay that differs from segment to segment changes no order.
            let last = match segment.of.and_then(|(name, side)| Some(&mut self.flows.get(name)?.sides[side]))
            {
                Some(side) => &mut side.last_due,
                None => &mut link.lanes[segment.lane as usize].last_due,
            };
            due = due.max(*last);
            *last = due;
        }
        if strikes(16, rule.duplicate) {
            link.counts.duplicated += 1;
            self.deliver(now, due, segment.clone(), out);
        }
        self.deliver(now, due, segment, out);
    }

    fn deliver(&mut self, now: u64, due: u64, segment: Waiting, out: &mut Vec<Delivery>) {
        if due <= now {
            out.push(Delivery { to: segment.to, bytes: segment.bytes });
        } else {
            self.count += 1;
            self.waiting.insert((due, self.count), segment);
        }
    }

    /// A cut takes it. A connect is tried again by itself.
    fn swallow(&mut self, segment: Waiting) {
        self.links.entry((segment.from, segment.to)).or_default().counts.cut += 1;
        if let Some((name, side)) = segment.of
            && let Some(flow) = self.flows.get(name).filter(|flow| flow.established)
        {
            flow.sides[side].swallowed = Some(segment.bytes);
        }
    }

    /// When the next segment is due.
    pub fn next_due(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|((due, _), _)| *due)
    }

    /// Appends what is due now.
    pub fn due(&mut self, now: u64, out: &mut Vec<Delivery>) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let Waiting { to, bytes, .. } = entry.remove();
            out.push(Delivery { to, bytes });
        }
    }

    /// Puts rules on a link in place of those before. What is on its way is lost to a cut, and arrives at once where
    /// there is no delay any more. Answers what the rules before came to.
    pub fn set_rules(&mut self, from: Port, to: Port, rules: LinkRules, out: &mut Vec<Delivery>) -> Change {
        let mut kicked = 0;
        for lane in Lane::ALL {
            kicked += self.set_rule(from, to, lane, lane.rule(&rules), out);
        }
        let counts = &mut self.links.entry((from, to)).or_default().counts;
        counts.kicked += kicked;
        Change { struck: counts.struck(), kicked }
    }

    /// The same for one class. Answers how many connections were woken up.
    fn set_rule(&mut self, from: Port, to: Port, lane: Lane, rule: LinkRule, out: &mut Vec<Delivery>) -> u64 {
        let link = self.links.entry((from, to)).or_default();
        let ruled = &mut link.lanes[lane as usize];
        if ruled.rule.unwrap_or_default() == rule {
            return 0;
        }
        let natural = ruled.rule.is_some_and(|before| before.natural);
        ruled.rule = (rule != LinkRule::default()).then_some(rule);
        ruled.changes += 1;
        ruled.segments = 0;
        ruled.bursting = false;
        let at_once = rule.cut || (rule.delay.0 == 0 && rule.jitter.0 == 0 && rule.rate == 0);
        if at_once {
            ruled.last_due = 0;
        }
        if link.lanes.iter().all(|ruled| ruled.rule.is_none_or(|rule| rule.rate == 0)) {
            link.free_at = 0;
        }
        if at_once && !self.waiting.is_empty() {
            let on_way: Vec<(u64, u64)> = self
                .waiting
                .iter()
                .filter(|(_, segment)| (segment.from, segment.to, segment.lane) == (from, to, lane))
                .map(|(key, _)| *key)
                .collect();
            for key in on_way {
                let Some(segment) = self.waiting.remove(&key) else { continue };
                if rule.cut {
                    self.swallow(segment);
                } else {
                    out.push(Delivery { to, bytes: segment.bytes });
                }
            }
        }
        let mut kicked = 0;
        self.flows.forget_ended();
        let mut flows = std::mem::take(&mut self.flows);
        for (name, flow) in flows.iter_mut() {
            let side = usize::from(name.ends[0].0 != from.address());
            if name.ends[side].0 != from.address()
                || name.ends[1 - side].0 != to.address()
                || self.lane(name.ports()) != lane
            {
                continue;
            }
            let sender = &mut flow.sides[side];
            if at_once {
                sender.last_due = 0;
            }
            if !rule.cut
                && let Some(bytes) = sender.swallowed.take()
                && !natural
            {
                kicked += 1;
                out.push(Delivery { to, bytes });
            }
        }
        self.flows = flows;
        kicked
    }

    /// Resets the established connections of a class between two devices: both ends are told, as if by the other.
    /// Answers how many there were.
    pub fn reset(
        &mut self,
        now: u64,
        (one, other): (Port, Port),
        traffic: Traffic,
        out: &mut Vec<Delivery>,
    ) -> u64 {
        let mut names = Vec::new();
        self.flows.forget_ended();
        let mut flows = std::mem::take(&mut self.flows);
        for (name, flow) in flows.iter_mut() {
            let ends = [name.ends[0].0, name.ends[1].0];
            let between =
                ends == [one.address(), other.address()] || ends == [other.address(), one.address()];
            if !between
                || !self.lane(name.ports()).is(traffic)
                || !flow.established
                || flow.has_ended()
                || flow.reset_until.is_some()
            {
                continue;
            }
            flow.reset_until = Some(now + RESET_FOR_US);
            names.push(*name);
            (0..2).for_each(|side| tell_over(name, flow, side, out));
        }
        self.flows = flows;
        self.waiting
            .retain(|_, segment| segment.of.is_none_or(|(name, _)| names.binary_search(&name).is_err()));
        names.len() as u64
    }

    /// Tells one device that its established connections of a class with another are over, and not the other; if that is
    /// to be silent, it does not even hear of it when it sends something. Answers how many there were.
    pub fn forget(
        &mut self,
        (one, other): (Port, Port),
        traffic: Traffic,
        silent: bool,
        out: &mut Vec<Delivery>,
    ) -> u64 {
        let mut count = 0;
        self.flows.forget_ended();
        let mut flows = std::mem::take(&mut self.flows);
        for (name, flow) in flows.iter_mut() {
            let Some(by) = name.side_of(one.address(), other.address()) else { continue };
            let is_over = flow.has_ended() || flow.reset_until.is_some() || flow.forgotten.is_some();
            if !flow.established || is_over || !self.lane(name.ports()).is(traffic) {
                continue;
            }
            flow.forgotten = Some(Forgotten { by, silent });
            count += 1;
            tell_over(name, flow, by, out);
        }
        self.flows = flows;
        count
    }

    /// The other device may hear from now on what the one has forgotten. Answers of how many connections.
    pub fn recall(&mut self, one: Port, other: Port) -> u64 {
        let mut count = 0;
        for (name, flow) in self.flows.iter_mut() {
            let by = name.side_of(one.address(), other.address());
            if let Some(forgotten) = flow.forgotten.as_mut().filter(|forgotten| Some(forgotten.by) == by) {
                count += u64::from(std::mem::take(&mut forgotten.silent));
            }
        }
        count
    }

    /// What each link has carried, in order.
    pub fn counts(&self) -> impl Iterator<Item = (Port, Port, Counts)> {
        self.links.iter().map(|((from, to), link)| (*from, *to, link.counts))
    }

    /// Packets that were for nobody.
    pub fn nowhere(&self) -> u64 {
        self.nowhere
    }
}

/// What a change of a link's rules found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Segments of this link that rules have struck so far.
    pub struck: u64,
    /// Connections that were woken up.
    pub kicked: u64,
}

/// Resets one end of a connection. What it has acknowledged is what it expects, unless more has arrived since: then that
/// is. A reset whose number is another is answered by a challenge (RFC 5961), and the challenge by the right one.
fn tell_over(name: &Name, flow: &Flow, side: usize, out: &mut Vec<Delivery>) {
    let (receiver, sender) = (name.ends[side], name.ends[1 - side]);
    let Some(to) = Port::of(receiver.0) else { return };
    let next = flow.sides[1 - side].next;
    let acknowledged = flow.sides[side].ack.filter(|ack| *ack != next);
    for seq in std::iter::once(next).chain(acknowledged) {
        out.push(Delivery { to, bytes: packet::reset(sender, receiver, seq, None) });
    }
}

/// To whoever goes on with a connection that was reset: a reset with just the number that it expects.
fn answer(from: Port, segment: &Segment) -> Option<Delivery> {
    let answers = segment.has(ACK) && !segment.has(RST);
    answers.then(|| Delivery { to: from, bytes: packet::reset(segment.to, segment.from, segment.ack, None) })
}

#[cfg(test)]
mod tests;
