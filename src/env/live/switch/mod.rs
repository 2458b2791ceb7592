//! The switch: packets of the nodes' devices in, packets and deadlines out. Pure; who calls it owns clock, devices
//! and thread ([`super::driver`]).
//!
//! A packet goes straight through unless a rule lies on its directed link. Then each segment has a fate of its own,
//! which is a keyed hash of (link, how often its rule was changed, the segment's number under that rule): the same
//! seed loses the third segment after the rule took hold, whatever other links carry. Which segment is the third is
//! up to the servers and their kernels, in real time. Segments of one packet that share their fate stay together, and a
//! packet whose segments all pass at once goes through as it is: that is what makes a link with a fault fast.
//!
//! What a cut swallows TCP sends again after ever longer waits, up to two minutes: long after a heal nothing would be
//! said. So the last segment of each connection that a cut swallowed is delivered when it heals; its receiver's
//! answer wakes the sender up.

mod chance;
mod flow;
mod message;
mod packet;
mod stream;
mod strike;

pub use packet::{Frame, OFFLOAD, Offload};

use crate::entropy::Entropy;
use crate::env::{LinkCount, LinkRule, LinkRules, NodeId, SECOND_BUS};
use crate::fault::traffic::Traffic;
use crate::time::Micros;
use flow::{Flow, Flows, Forgotten, Name, RESET_FOR_US};
use message::Messages;
use packet::{ACK, FIN, RST, SYN, Segment};
use std::collections::{BTreeMap, BTreeSet};
pub use strike::OWN_PORTS;
use strike::Striking;

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
            Self::TOOL_ADDRESS | CROWD | NAMES => return Some(Self::TOOL),
            Self::CLIENTS_ADDRESS => return Some(Self::CLIENTS),
            _ => {}
        }
        let host = address ^ NETWORK;
        (1..=u32::from(NODES_MAX)).contains(&host).then(|| Self(host as u16 - 1))
    }
}

impl Lot {
    /// Nothing is done to it but that it may wait.
    fn is_plain(self) -> bool {
        matches!(self, Self::Lost | Self::Due { twice: false, harm: None, .. })
    }
}

impl LinkRule {
    /// Whether the segments of a packet of so many bytes may have different fates. A link that carries it within a
    /// millisecond is too fast for that to matter.
    fn is_by_segment(&self, length: usize) -> bool {
        let chance =
            self.lose > 0 || self.duplicate > 0 || self.reorder > 0 || self.corrupt > 0 || self.garble > 0;
        chance || !self.jitter.is_zero() || (self.rate > 0 && (self.rate as usize) < length)
    }
}

impl From<NodeId> for Port {
    fn from(node: NodeId) -> Self {
        Self(node.0)
    }
}

/// 10.77.0.0/16: of no meaning outside, where none of it ever goes.
const NETWORK: u32 = 0x0a4d_0000;
/// Who only takes connections is on the tool's device too, and its packets are the tool's: 10.77.255.252.
pub const CROWD: u32 = NETWORK | 0xfffc;
/// So are those of who tells nodes the addresses of names: 10.77.255.251.
pub const NAMES: u32 = NETWORK | 0xfffb;
/// 10.77.255.250, which nobody has.
pub const NOBODY: u32 = NETWORK | 0xfffa;
/// The mask of it.
pub const MASK: u32 = 0xffff_0000;
/// Nodes for which there are addresses.
pub const NODES_MAX: u16 = 1000;
/// A segment that others may overtake waits so long: longer than a burst takes, shorter than a retransmission.
const OVERTAKEN_US: u64 = 3_000;
/// What waits before a link whose rate is limited, in bytes; more is lost.
const QUEUE_MAX: u64 = 128 * 1024;

/// What is to be given to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub to: Port,
    pub frame: Frame,
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
    /// What was given to the other device of it.
    pub crossed: u64,
    pub bytes_crossed: u64,
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
    /// Times that a message, and what followed it, began to wait.
    pub held: u64,
    /// Segments that came under a rule.
    pub seen: u64,
    /// Ends of connections that were held back until they were due.
    pub ends: u64,
    /// How soon the first of them was let through.
    pub ends_after: Option<u64>,
}

impl Counts {
    /// What faults did to segments; that a heal delivers some is no harm.
    fn struck(&self) -> u64 {
        let Self { cut, lost, duplicated, overtaken, delayed, refused, .. } = *self;
        let Self { corrupted, garbled, overflowed, silenced, .. } = *self;
        cut + lost + duplicated + overtaken + delayed + refused + corrupted + garbled + overflowed + silenced
    }

    fn told(&self) -> LinkCount {
        let Self { seen, lost, ends, .. } = *self;
        LinkCount { seen, struck: self.struck(), lost, ends, ends_after: self.ends_after.map(Micros) }
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
    /// Packets that crossed since it was last cut.
    crossed: u64,
    /// Segments under the rule that lies on it now.
    segments: u64,
    /// The last of them was lost in a burst.
    bursting: bool,
    /// Which of the present hundred or thousand are lost, where their number is exact.
    shuffled: Vec<bool>,
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

/// Where a packet belongs.
#[derive(Clone, Copy, Debug)]
struct Way {
    from: Port,
    to: Port,
    lane: Lane,
    of: Option<(Name, usize)>,
}

#[derive(Clone, Debug)]
struct Waiting {
    way: Way,
    frame: Frame,
    since: u64,
}

/// A packet under way, as it was given.
#[derive(Clone, Copy, Debug)]
struct Packet<'a> {
    bytes: &'a [u8],
    offload: Offload,
    segment: Option<Segment>,
}

impl<'a> Packet<'a> {
    fn of(frame: &'a Frame) -> Self {
        Self { bytes: &frame.bytes, offload: frame.offload, segment: packet::read(&frame.bytes) }
    }

    /// How many segments it stands for, and how long each is on the wire.
    fn segments(&self) -> (usize, usize) {
        self.segment.as_ref().map_or((1, self.bytes.len()), |segment| {
            let count = packet::segments(segment, self.offload);
            let headers = self.bytes.len() - segment.length();
            (count, headers + packet::segment_size(segment, self.offload).min(segment.length()))
        })
    }

    /// So many of its segments, from this one on.
    fn part(&self, from: usize, count: usize) -> Frame {
        let (all, _) = self.segments();
        match &self.segment {
            Some(segment) if count < all => {
                let size = packet::segment_size(segment, self.offload);
                let range = from * size..((from + count) * size).min(segment.length());
                packet::part(self.bytes, self.offload, segment, range)
            }
            _ => Frame { offload: self.offload, bytes: self.bytes.to_vec() },
        }
    }
}

/// What becomes of a segment under a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lot {
    Lost,
    Due {
        at: u64,
        twice: bool,
        /// A word that chooses a bit to flip, and whether the checksum is to be right after it.
        harm: Option<(u64, bool)>,
    },
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
    /// Sides of connections whose end has waited.
    ended: BTreeSet<(Name, usize)>,
    /// Packets that were for nobody.
    nowhere: u64,
    messages: Messages,
    /// Faults that lie in wait, by the event.
    strikes: BTreeMap<String, Striking>,
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
            ended: BTreeSet::new(),
            nowhere: 0,
            messages: Messages::default(),
            strikes: BTreeMap::new(),
        }
    }

    /// The class of a connection by the ports of its ends.
    fn lane(&self, ends: [u16; 2]) -> Lane {
        let (clients, bus) = self.ports;
        if ends.contains(&bus) || ends.contains(&bus.saturating_add(SECOND_BUS)) {
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
        from: Port,
        offload: Offload,
        bytes: &[u8],
        out: &mut Vec<Delivery>,
    ) -> Fate {
        let (fate, way) = self.route(now, from, offload, bytes, out);
        if let (Fate::Through(_), Some(way)) = (fate, way) {
            self.crosses(way, bytes.len());
        }
        fate
    }

    /// Counts what is given to the other device of a link, whatever let it pass.
    fn crosses(&mut self, way: Way, bytes: usize) {
        let link = self.links.entry((way.from, way.to)).or_default();
        link.counts.crossed += 1;
        link.counts.bytes_crossed += bytes as u64;
        link.lanes[way.lane as usize].crossed += 1;
    }

    fn hand(&mut self, way: Way, frame: Frame, out: &mut Vec<Delivery>) {
        self.crosses(way, frame.bytes.len());
        out.push(Delivery { to: way.to, frame });
    }

    fn route(
        &mut self,
        now: u64,
        mut from: Port,
        offload: Offload,
        bytes: &[u8],
        out: &mut Vec<Delivery>,
    ) -> (Fate, Option<Way>) {
        if from == Port::TOOL && packet::source(bytes) == Some(Port::CLIENTS_ADDRESS) {
            from = Port::CLIENTS;
        }
        let Some(to) = packet::destination(bytes).and_then(Port::of) else {
            self.nowhere += 1;
            return (Fate::Taken, None);
        };
        let segment = packet::read(bytes);
        let lane = segment.as_ref().map_or(Lane::Rest, |segment| self.lane([segment.from.1, segment.to.1]));
        let link = self.links.entry((from, to)).or_default();
        link.counts.packets += 1;
        link.counts.bytes += bytes.len() as u64;
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
                    return (Fate::Taken, None);
                }
                if silent {
                    link.counts.silenced += 1;
                    return (Fate::Taken, None);
                }
            }
            if let Some(flow) = self.flows.see(now, name, side, &segment) {
                if flow.reset_until.is_some() {
                    out.extend(answer(from, &segment));
                    return (Fate::Taken, None);
                }
                of = Some((name, side));
            }
            if connects && rule.is_some_and(|rule| rule.refuse && !rule.cut) {
                link.counts.refused += 1;
                let reset = packet::reset(segment.to, segment.from, 0, Some(segment.next()));
                out.push(Delivery { to: from, frame: reset.into() });
                return (Fate::Taken, None);
            }
        }
        let (way, packet) = (Way { from, to, lane, of }, Packet { bytes, offload, segment });
        if lane == Lane::Bus {
            if let Some(frames) = self.read_bus(now, way, packet, out) {
                frames.into_iter().for_each(|frame| self.forward(now, way, frame, out));
                return (Fate::Taken, None);
            }
            let flow = of.and_then(|(name, _)| self.flows.get(name));
            if flow.is_some_and(|flow| flow.reset_until.is_some()) {
                return (Fate::Taken, None);
            }
        }
        if self.strike_packet(now, way, packet, out) {
            return (Fate::Taken, None);
        }
        let Some(rule) = rule else { return (Fate::Through(to), Some(way)) };
        (self.obey(now, rule, way, packet, out), Some(way))
    }

    /// Sees to a packet that is not as a device gave it.
    fn forward(&mut self, now: u64, way: Way, frame: Frame, out: &mut Vec<Delivery>) {
        if !self.strike_packet(now, way, Packet::of(&frame), out) {
            self.under_rule(now, way, frame, out);
        }
    }

    fn under_rule(&mut self, now: u64, way: Way, frame: Frame, out: &mut Vec<Delivery>) {
        let rule = self.links.get(&(way.from, way.to)).and_then(|link| link.lanes[way.lane as usize].rule);
        let fate = rule.map(|rule| self.obey(now, rule, way, Packet::of(&frame), out));
        if fate != Some(Fate::Taken) {
            self.hand(way, frame, out);
        }
    }

    /// The fate of a packet under a rule.
    fn obey(
        &mut self,
        now: u64,
        rule: LinkRule,
        way: Way,
        packet: Packet<'_>,
        out: &mut Vec<Delivery>,
    ) -> Fate {
        let (count, length) = packet.segments();
        if rule.cut {
            self.swallow(way, packet.part(0, count), count as u64);
            return Fate::Taken;
        }
        let ends = packet.segment.is_some_and(|segment| segment.has(FIN)) && !rule.linger.is_zero();
        let together = !ends || count == 1;
        if together && !rule.is_by_segment(packet.bytes.len()) {
            let mut lot = self.decide(now, rule, way, packet.bytes.len(), count as u64);
            if ends {
                self.linger(rule, way, &mut lot);
            }
            return self.settle(now, way, packet, (0, count), lot, out);
        }
        let mut run: Option<(usize, Lot)> = None;
        let mut fate = Fate::Taken;
        for number in 0..count {
            let mut lot = self.decide(now, rule, way, length, 1);
            if ends && number + 1 == count {
                self.linger(rule, way, &mut lot);
            }
            match run {
                // Two that are alike stay together, but for what is done to each by itself.
                Some((_, so_far)) if so_far == lot && lot.is_plain() => {}
                Some((from, so_far)) => {
                    self.settle(now, way, packet, (from, number - from), so_far, out);
                    run = Some((number, lot));
                }
                None => run = Some((number, lot)),
            }
        }
        if let Some((from, lot)) = run {
            fate = self.settle(now, way, packet, (from, count - from), lot, out);
        }
        fate
    }

    /// The end of a connection comes later than what was sent before it.
    fn linger(&mut self, rule: LinkRule, way: Way, lot: &mut Lot) {
        if let Lot::Due { at, .. } = lot {
            *at += rule.linger.micros().0;
            self.links.entry((way.from, way.to)).or_default().counts.delayed += 1;
        }
    }

    /// Sees to so many of a packet's segments from one on. Only a whole packet goes through.
    fn settle(
        &mut self,
        now: u64,
        way: Way,
        packet: Packet<'_>,
        (from, count): (usize, usize),
        lot: Lot,
        out: &mut Vec<Delivery>,
    ) -> Fate {
        let Lot::Due { at, twice, harm } = lot else { return Fate::Taken };
        if at <= now && lot.is_plain() && count == packet.segments().0 {
            return Fate::Through(way.to);
        }
        let mut frame = packet.part(from, count);
        if let Some((word, mended)) = harm {
            let counts = &mut self.links.entry((way.from, way.to)).or_default().counts;
            let counted = if mended { &mut counts.garbled } else { &mut counts.corrupted };
            *counted += u64::from(packet::spoil(&mut frame, word, mended));
        }
        if twice {
            self.deliver(now, at, way, frame.clone(), out);
        }
        self.deliver(now, at, way, frame, out);
        Fate::Taken
    }

    /// What becomes of so many segments of a packet, of so many bytes on the wire, that a rule does not tell apart.
    fn decide(&mut self, now: u64, rule: LinkRule, way: Way, length: usize, segments: u64) -> Lot {
        let (from, to) = (way.from, way.to);
        let link = self.links.entry((from, to)).or_default();
        link.counts.seen += segments;
        let ruled = &mut link.lanes[way.lane as usize];
        let count = ruled.segments;
        ruled.segments += segments;
        let place = u64::from(from.0) << 48
            | u64::from(to.0) << 32
            | (way.lane as u64) << 30
            | (ruled.changes & 0x3fff_ffff);
        let word = self.key.word("segment", place, count);
        let strikes = |shift: u64, share: u16| ((word >> shift & 0xffff) * 1000) >> 16 < u64::from(share);
        let lost = if rule.exact && rule.lose > 0 {
            let (share, of) = chance::least_terms(rule.lose);
            let (block, at) = (count / of, (count % of) as usize);
            if at == 0 || ruled.shuffled.len() as u64 != of {
                ruled.shuffled =
                    chance::shuffled(share, of, |n| self.key.word("exact", place, block * of + n));
            }
            ruled.shuffled[at]
        } else if rule.burst == 0 {
            strikes(0, rule.lose)
        } else {
            let burst = self.key.word("burst", place, count);
            ruled.bursting = chance::goes_on(ruled.bursting, rule.lose, rule.burst, burst);
            ruled.bursting
        };
        if lost {
            link.counts.lost += segments;
            return Lot::Lost;
        }
        let mut harm = None;
        if rule.corrupt > 0 || rule.garble > 0 {
            let word = self.key.word("harm", place, count);
            let strikes = |shift: u64, share: u16| ((word >> shift & 0xffff) * 1000) >> 16 < u64::from(share);
            let bit = self.key.word("bit", place, count);
            if strikes(0, rule.corrupt) {
                harm = Some((bit, false));
            } else if strikes(16, rule.garble) {
                harm = Some((bit, true));
            }
        }
        let mut sent = now;
        if rule.rate > 0 {
            // So many thousand bytes a second are as many bytes a millisecond.
            let rate = u64::from(rule.rate);
            let begins = now.max(link.free_at);
            if (begins - now) * rate / 1000 > QUEUE_MAX {
                link.counts.overflowed += segments;
                return Lot::Lost;
            }
            sent = begins + length as u64 * 1000 / rate;
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
            link.counts.delayed += segments;
        }
        if strikes(32, rule.reorder) {
            link.counts.overtaken += segments;
            due += OVERTAKEN_US;
        } else {
            // A delay that differs from segment to segment changes no order.
            let last = match way.of.and_then(|(name, side)| Some(&mut self.flows.get(name)?.sides[side])) {
                Some(side) => &mut side.last_due,
                None => &mut link.lanes[way.lane as usize].last_due,
            };
            due = due.max(*last);
            *last = due;
        }
        let twice = strikes(16, rule.duplicate);
        if twice {
            link.counts.duplicated += segments;
        }
        Lot::Due { at: due, twice, harm }
    }

    fn deliver(&mut self, now: u64, due: u64, way: Way, frame: Frame, out: &mut Vec<Delivery>) {
        if due <= now {
            self.hand(way, frame, out);
        } else {
            self.count += 1;
            self.waiting.insert((due, self.count), Waiting { way, frame, since: now });
        }
    }

    /// A cut takes it. A connect is tried again by itself.
    fn swallow(&mut self, way: Way, frame: Frame, segments: u64) {
        // That the run tries whether anything crosses strikes nobody.
        let ports = way.of.map(|(name, _)| name.ports()).unwrap_or_default();
        if ports.iter().any(|port| OWN_PORTS.contains(port)) {
            return;
        }
        self.links.entry((way.from, way.to)).or_default().counts.cut += segments;
        if let Some((name, side)) = way.of
            && let Some(flow) = self.flows.get(name).filter(|flow| flow.established)
        {
            flow.sides[side].swallowed = Some(frame);
        }
    }

    /// When the next segment is due.
    pub fn next_due(&self) -> Option<u64> {
        let waiting = self.waiting.first_key_value().map(|((due, _), _)| *due);
        waiting.into_iter().chain(self.message_due()).min()
    }

    /// Appends what is due now.
    pub fn due(&mut self, now: u64, out: &mut Vec<Delivery>) {
        if self.message_due().is_some_and(|due| due <= now) {
            self.go_on(now, out);
        }
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            let Waiting { way, frame, since } = entry.remove();
            self.count_end(way, &frame, now - since);
            self.hand(way, frame, out);
        }
    }

    /// The end of one direction of a connection has waited to its time. One that was sent again counts once.
    fn count_end(&mut self, way: Way, frame: &Frame, waited: u64) {
        let ends = packet::read(&frame.bytes).is_some_and(|segment| segment.has(FIN));
        if let Some(side) = way.of.filter(|_| ends)
            && self.ended.insert(side)
        {
            let counts = &mut self.links.entry((way.from, way.to)).or_default().counts;
            counts.ends += 1;
            counts.ends_after = Some(counts.ends_after.map_or(waited, |least| least.min(waited)));
        }
    }

    /// Puts rules on a link in place of those before. What is on its way is lost to a cut, and arrives at once where
    /// there is no delay any more. Answers what the rules before came to.
    pub fn set_rules(&mut self, from: Port, to: Port, rules: LinkRules, out: &mut Vec<Delivery>) -> Change {
        let (mut kicked, mut leaked) = (0, 0);
        for lane in Lane::ALL {
            let ruled = &mut self.links.entry((from, to)).or_default().lanes[lane as usize];
            let was_cut = ruled.rule.is_some_and(|rule| rule.cut);
            if was_cut {
                leaked += ruled.crossed;
            } else {
                ruled.crossed = 0;
            }
            kicked += self.set_rule(from, to, lane, lane.rule(&rules), out);
        }
        let counts = &mut self.links.entry((from, to)).or_default().counts;
        counts.kicked += kicked;
        Change { count: counts.told(), kicked, leaked }
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
        let at_once =
            rule.cut || (rule.delay.0 == 0 && rule.jitter.0 == 0 && rule.rate == 0 && rule.linger.0 == 0);
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
                .filter(|(_, Waiting { way, .. })| (way.from, way.to, way.lane) == (from, to, lane))
                .map(|(key, _)| *key)
                .collect();
            for key in on_way {
                let Some(Waiting { way, frame, .. }) = self.waiting.remove(&key) else { continue };
                if rule.cut {
                    let packet = Packet {
                        bytes: &frame.bytes,
                        offload: frame.offload,
                        segment: packet::read(&frame.bytes),
                    };
                    let (count, _) = packet.segments();
                    self.swallow(way, frame, count as u64);
                } else {
                    self.hand(way, frame, out);
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
                && let Some(frame) = sender.swallowed.take()
                && !natural
            {
                kicked += 1;
                out.push(Delivery { to, frame });
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
            (0..2).for_each(|side| tell_over(name, flow, side, &self.messages, out));
        }
        self.flows = flows;
        self.waiting.retain(|_, Waiting { way, .. }| {
            way.of.is_none_or(|(name, _)| names.binary_search(&name).is_err())
        });
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
            tell_over(name, flow, by, &self.messages, out);
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
    /// What rules have come to on this link so far.
    pub count: LinkCount,
    /// Connections that were woken up.
    pub kicked: u64,
    /// Packets that crossed while it was cut: none, or it was not.
    pub leaked: u64,
}

/// Resets one end of a connection. What it has acknowledged is what it expects, unless more has arrived since: then that
/// is. A reset whose number is another is answered by a challenge (RFC 5961), and the challenge by the right one.
fn tell_over(name: &Name, flow: &Flow, side: usize, messages: &Messages, out: &mut Vec<Delivery>) {
    let (receiver, sender) = (name.ends[side], name.ends[1 - side]);
    let Some(to) = Port::of(receiver.0) else { return };
    let next = messages.out(*name, 1 - side, flow.sides[1 - side].next);
    let acknowledged = flow.sides[side].ack.filter(|ack| *ack != next);
    for seq in std::iter::once(next).chain(acknowledged) {
        out.push(Delivery { to, frame: packet::reset(sender, receiver, seq, None).into() });
    }
}

/// To whoever goes on with a connection that was reset: a reset with just the number that it expects.
fn answer(from: Port, segment: &Segment) -> Option<Delivery> {
    let answers = segment.has(ACK) && !segment.has(RST);
    let reset = || packet::reset(segment.to, segment.from, segment.ack, None).into();
    answers.then(|| Delivery { to: from, frame: reset() })
}

#[cfg(test)]
mod tests;
