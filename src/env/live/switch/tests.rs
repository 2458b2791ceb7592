//! The switch from outside, with packets made by `etherparse`. The first test is the tutorial.

use super::*;
use crate::entropy::Seed;
use crate::time::Millis;
use etherparse::PacketBuilder;

const A: Port = Port(0);
const B: Port = Port(1);
/// Where A's connection comes from, and where it goes.
const FROM: u16 = 40_000;
const TO: u16 = 6379;

fn switch() -> Switch {
    Switch::new(Entropy::root(Seed(1)), (TO, TO + 10_000))
}

/// A segment from one end of the connection to the other.
fn segment(from: Port, seq: u32, ack: Option<u32>, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (to, ports) = if from == A { (B, (FROM, TO)) } else { (A, (TO, FROM)) };
    let mut step = PacketBuilder::ipv4(from.address().to_be_bytes(), to.address().to_be_bytes(), 64)
        .tcp(ports.0, ports.1, seq, 1024);
    if let Some(ack) = ack {
        step = step.ack(ack);
    }
    if flags & SYN != 0 {
        step = step.syn();
    }
    let mut bytes = Vec::new();
    step.write(&mut bytes, payload).expect("it fits");
    bytes
}

/// Gives a packet to the switch, and sees what comes out at once.
fn give(switch: &mut Switch, now: u64, from: Port, bytes: &[u8]) -> Vec<Delivery> {
    let mut out = Vec::new();
    if let Fate::Through(to) = switch.carry(now, from, Offload::default(), bytes, &mut out) {
        out.push(Delivery { to, frame: bytes.to_vec().into() });
    }
    out
}

fn to(port: Port, bytes: &[u8]) -> Delivery {
    Delivery { to: port, frame: bytes.to_vec().into() }
}

/// A connects to B, each has sent 100 bytes, and each has acknowledged them.
fn connected() -> Switch {
    let mut switch = switch();
    for (from, bytes) in [
        (A, segment(A, 999, None, SYN, b"")),
        (B, segment(B, 4999, Some(1000), SYN, b"")),
        (A, segment(A, 1000, Some(5000), 0, &[1; 100])),
        (B, segment(B, 5000, Some(1100), 0, &[2; 100])),
        (A, segment(A, 1100, Some(5100), 0, b"")),
    ] {
        assert_eq!(give(&mut switch, 0, from, &bytes).len(), 1);
    }
    switch
}

fn rule(switch: &mut Switch, from: Port, to: Port, rule: LinkRule) -> Vec<Delivery> {
    let mut out = Vec::new();
    switch.set_rules(from, to, rule.into(), &mut out);
    out
}

fn cut() -> LinkRule {
    LinkRule { cut: true, ..LinkRule::default() }
}

#[test]
fn a_packet_goes_through_until_its_link_is_cut_and_again_when_it_heals() {
    let mut switch = connected();
    let there = segment(A, 1100, Some(5100), 0, b"there");
    let back = segment(B, 5100, Some(1100), 0, b"back");
    assert_eq!(give(&mut switch, 1, A, &there), [to(B, &there)]);
    assert_eq!(rule(&mut switch, A, B, cut()), []);
    assert_eq!(give(&mut switch, 2, A, &there), []);
    assert_eq!(give(&mut switch, 3, B, &back), [to(A, &back)], "the way back is another link");
    rule(&mut switch, A, B, LinkRule::default());
    assert_eq!(give(&mut switch, 4, A, &there), [to(B, &there)]);
    let counts: Vec<_> =
        switch.counts().map(|(from, _, counts)| (from, counts.packets, counts.cut)).collect();
    assert_eq!(counts, [(A, 6, 1), (B, 3, 0)]);
}

#[test]
fn a_heal_delivers_the_last_segment_that_the_cut_swallowed() {
    let mut switch = connected();
    rule(&mut switch, A, B, cut());
    let first = segment(A, 1100, Some(5100), 0, b"first");
    let second = segment(A, 1105, Some(5100), 0, b"second");
    give(&mut switch, 1, A, &first);
    give(&mut switch, 2, A, &second);
    assert_eq!(rule(&mut switch, A, B, LinkRule::default()), [to(B, &second)]);
    assert_eq!(rule(&mut switch, A, B, cut()), []);
    assert_eq!(rule(&mut switch, A, B, LinkRule::default()), [], "once");
}

#[test]
fn a_heal_that_is_left_to_nature_delivers_nothing() {
    let mut switch = connected();
    rule(&mut switch, A, B, LinkRule { natural: true, ..cut() });
    give(&mut switch, 1, A, &segment(A, 1100, Some(5100), 0, b"first"));
    assert_eq!(rule(&mut switch, A, B, LinkRule::default()), []);
    let again = segment(A, 1100, Some(5100), 0, b"first");
    assert_eq!(give(&mut switch, 2, A, &again), [to(B, &again)], "TCP itself tries again");
}

#[test]
fn a_rule_for_one_class_leaves_the_other_alone_and_its_heal_too() {
    let mut switch = connected();
    let rules = LinkRules { bus: cut(), ..LinkRules::default() };
    switch.set_rules(A, B, rules, &mut Vec::new());
    let there = segment(A, 1100, Some(5100), 0, b"there");
    assert_eq!(give(&mut switch, 1, A, &there), [to(B, &there)], "its port is that of clients");
    switch.set_rules(A, B, LinkRules { clients: cut(), ..rules }, &mut Vec::new());
    assert_eq!(give(&mut switch, 2, A, &there), []);
    let mut out = Vec::new();
    let change = switch.set_rules(A, B, LinkRules { clients: cut(), ..LinkRules::default() }, &mut out);
    assert_eq!(
        (out, change),
        (Vec::new(), Change { count: LinkCount { struck: 1, ..LinkCount::default() }, kicked: 0, leaked: 0 }),
        "the bus alone was healed"
    );
    let mut reset = |traffic| switch.reset(3, (A, B), traffic, &mut Vec::new());
    assert_eq!((reset(Traffic::Bus), reset(Traffic::Clients)), (0, 1));
}

#[test]
fn what_the_load_s_clients_send_is_on_a_link_of_their_own() {
    let mut switch = switch();
    let connect = |from: Port| {
        let builder = PacketBuilder::ipv4(from.address().to_be_bytes(), A.address().to_be_bytes(), 64);
        let mut bytes = Vec::new();
        builder.tcp(FROM, TO, 7, 1024).syn().write(&mut bytes, &[]).expect("it fits");
        bytes
    };
    switch.set_rules(Port::CLIENTS, A, LinkRules { clients: cut(), ..LinkRules::default() }, &mut Vec::new());
    // Both come from the one device.
    assert_eq!(give(&mut switch, 0, Port::TOOL, &connect(Port::CLIENTS)), []);
    assert_eq!(give(&mut switch, 0, Port::TOOL, &connect(Port::TOOL)).len(), 1);
}

#[test]
fn losses_come_in_bursts_where_that_is_asked_for() {
    let runs = |burst: u16| {
        let seen = fates(connected(), LinkRule { lose: 200, burst, ..LinkRule::default() }, A);
        let lost = seen.iter().filter(|count| **count == 0).count();
        assert!((120..280).contains(&lost), "{lost} of 1000 lost, 200 asked for");
        seen.windows(2).filter(|two| two[0] > 0 && two[1] == 0).count()
    };
    assert!(runs(10) * 4 < runs(0), "{} bursts, {} one by one", runs(10), runs(0));
}

#[test]
fn a_connect_into_a_cut_is_left_to_be_tried_again() {
    let mut switch = switch();
    rule(&mut switch, A, B, cut());
    let connect = segment(A, 999, None, SYN, b"");
    assert_eq!(give(&mut switch, 1, A, &connect), []);
    assert_eq!(rule(&mut switch, A, B, LinkRule::default()), []);
}

#[test]
fn a_delay_holds_for_its_time_and_keeps_the_order() {
    let mut switch = connected();
    let slow = LinkRule { delay: Millis(100), jitter: Millis(50), ..LinkRule::default() };
    rule(&mut switch, A, B, slow);
    let packets: Vec<Vec<u8>> = (0..50u32).map(|n| segment(A, 1100 + n, Some(5100), 0, &[n as u8])).collect();
    for (n, bytes) in packets.iter().enumerate() {
        assert_eq!(give(&mut switch, n as u64 * 1000, A, bytes), []);
    }
    let mut out = Vec::new();
    let mut last = 0;
    while let Some(at) = switch.next_due() {
        let before = out.len();
        switch.due(at, &mut out);
        for n in before..out.len() {
            let sent = n as u64 * 1000;
            assert!((sent + 100_000..sent + 150_000).contains(&at) || at == last, "{n} came at {at}");
        }
        last = at;
    }
    assert_eq!(out, packets.iter().map(|bytes| to(B, bytes)).collect::<Vec<_>>());
}

#[test]
fn what_is_on_its_way_when_the_link_is_healed_arrives_and_when_it_is_cut_is_lost() {
    for healed in [true, false] {
        let mut switch = connected();
        rule(&mut switch, A, B, LinkRule { delay: Millis(100), ..LinkRule::default() });
        let bytes = segment(A, 1100, Some(5100), 0, b"x");
        give(&mut switch, 0, A, &bytes);
        let next = if healed { LinkRule::default() } else { cut() };
        let expected = if healed { vec![to(B, &bytes)] } else { Vec::new() };
        assert_eq!(rule(&mut switch, A, B, next), expected);
        assert_eq!(switch.next_due(), None);
    }
}

/// Which of a thousand segments arrive, and how often.
fn fates(mut switch: Switch, rule_now: LinkRule, from: Port) -> Vec<u32> {
    let (here, there) = if from == A { (A, B) } else { (B, A) };
    rule(&mut switch, here, there, rule_now);
    let mut seen = vec![0; 1000];
    let mut order = Vec::new();
    for n in 0..1000u32 {
        let bytes = segment(here, 10_000 + n, Some(1), 0, &n.to_be_bytes());
        let mut out = give(&mut switch, u64::from(n) * 100, here, &bytes);
        switch.due(u64::from(n) * 100, &mut out);
        order.extend(out);
    }
    switch.due(u64::MAX, &mut order);
    for delivery in order {
        let end: [u8; 4] = delivery.frame.bytes[delivery.frame.bytes.len() - 4..].try_into().expect("four");
        seen[u32::from_be_bytes(end) as usize] += 1;
    }
    seen
}

#[test]
fn losses_and_duplicates_come_in_the_share_asked_for_and_are_the_seed_s() {
    let lossy = LinkRule { lose: 100, duplicate: 300, reorder: 50, ..LinkRule::default() };
    let one = fates(connected(), lossy, A);
    let lost = one.iter().filter(|count| **count == 0).count();
    let twice = one.iter().filter(|count| **count == 2).count();
    assert!((60..140).contains(&lost), "{lost} of 1000 lost, 100 asked for");
    assert!((220..320).contains(&twice), "{twice} of 1000 sent twice, 270 expected");
    assert_eq!(one, fates(connected(), lossy, A), "the same seed, the same fates");
    assert_ne!(one, fates(connected(), lossy, B), "another link has its own");
    let mut busy = connected();
    rule(&mut busy, B, A, lossy);
    give(&mut busy, 0, B, &segment(B, 5100, Some(1100), 0, b"x"));
    assert_eq!(one, fates(busy, lossy, A), "what another link carries changes nothing");
}

#[test]
fn a_limited_link_carries_what_it_may_and_loses_what_its_queue_cannot_hold() {
    let mut switch = connected();
    rule(&mut switch, A, B, LinkRule { rate: 100, ..LinkRule::default() });
    for n in 0..200u32 {
        assert_eq!(give(&mut switch, 0, A, &segment(A, 1100 + n, Some(5100), 0, &[0; 960])), []);
    }
    let mut out = Vec::new();
    let mut last = 0;
    while let Some(at) = switch.next_due() {
        switch.due(at, &mut out);
        last = at;
    }
    let bytes: usize = out.iter().map(|delivery| delivery.frame.bytes.len()).sum();
    assert_eq!(last, bytes as u64 * 10, "100 bytes a millisecond");
    assert!((QUEUE_MAX..QUEUE_MAX + 2000).contains(&(bytes as u64)), "{bytes} bytes were kept");
    let overflowed: u64 = switch.counts().map(|(_, _, counts)| counts.overflowed).sum();
    assert_eq!(overflowed as usize, 200 - out.len());
}

#[test]
fn bits_are_flipped_in_the_share_asked_for() {
    for (asked, told) in [
        (LinkRule { corrupt: 200, ..LinkRule::default() }, true),
        (LinkRule { garble: 200, ..LinkRule::default() }, false),
    ] {
        let mut switch = connected();
        rule(&mut switch, A, B, asked);
        let mut wrong = 0;
        for n in 0..1000u32 {
            let bytes = segment(A, 1100 + n, Some(5100), 0, b"0123456789");
            let out = give(&mut switch, 0, A, &bytes);
            assert_eq!(out.len(), 1);
            wrong += u64::from(out[0].frame.bytes != bytes);
            assert!(out[0].frame.bytes == bytes || packet::is_signed(&out[0].frame.bytes) != told);
        }
        assert!((150..250).contains(&wrong), "{wrong} of 1000, 200 asked for");
        let counted: u64 = switch.counts().map(|(_, _, c)| c.corrupted + c.garbled).sum();
        assert_eq!(counted, wrong);
    }
}

#[test]
fn the_end_of_a_connection_lingers_and_what_was_sent_before_it_does_not() {
    let mut switch = connected();
    rule(&mut switch, A, B, LinkRule { linger: Millis(200), ..LinkRule::default() });
    let last = segment(A, 1100, Some(5100), 0, b"last");
    assert_eq!(give(&mut switch, 10, A, &last), [to(B, &last)]);
    let mut end = segment(A, 1104, Some(5100), 0, b"");
    end[33] |= FIN;
    assert_eq!(give(&mut switch, 20, A, &end), []);
    assert_eq!(switch.next_due(), Some(200_020));
    assert_eq!(rule(&mut switch, A, B, LinkRule::default()), [to(B, &end)], "a heal lets it go");
}

#[test]
fn what_may_be_overtaken_is() {
    let mut switch = connected();
    rule(&mut switch, A, B, LinkRule { reorder: 1000, ..LinkRule::default() });
    let bytes = segment(A, 1100, Some(5100), 0, b"x");
    assert_eq!(give(&mut switch, 10, A, &bytes), []);
    assert_eq!(switch.next_due(), Some(10 + OVERTAKEN_US));
}

#[test]
fn a_refused_connect_is_answered_and_what_is_established_lives_on() {
    let mut switch = connected();
    rule(&mut switch, A, B, LinkRule { refuse: true, ..LinkRule::default() });
    let out = give(&mut switch, 1, A, &segment(A, 70, None, SYN, b""));
    assert_eq!(out.len(), 1);
    let answer = packet::read(&out[0].frame.bytes).expect("TCP");
    assert_eq!((out[0].to, answer.flags, answer.ack), (A, RST | ACK, 71));
    assert!(packet::is_signed(&out[0].frame.bytes));
    let other = segment(B, 5100, Some(1100), 0, b"x");
    assert_eq!(give(&mut switch, 2, B, &other), [to(A, &other)]);
}

#[test]
fn a_reset_has_the_number_that_each_end_expects() {
    let mut switch = connected();
    let mut out = Vec::new();
    assert_eq!(switch.reset(0, (B, A), Traffic::All, &mut out), 1);
    let seen: Vec<_> = out
        .iter()
        .map(|delivery| {
            let segment = packet::read(&delivery.frame.bytes).expect("TCP");
            (delivery.to, segment.flags, segment.seq)
        })
        .collect();
    assert_eq!(seen, [(A, RST, 5100), (B, RST, 1100)]);
    // One that did not take it goes on, and is told again with what it expects; then it may connect anew.
    let goes_on = segment(A, 1100, Some(5123), 0, b"x");
    let out = give(&mut switch, 1, A, &goes_on);
    let again = packet::read(&out[0].frame.bytes).expect("TCP");
    assert_eq!((out.len(), out[0].to, again.flags, again.seq), (1, A, RST, 5123));
    let anew = segment(A, 90_000, None, SYN, b"");
    assert_eq!(give(&mut switch, 2, A, &anew), [to(B, &anew)]);
    assert_eq!(switch.reset(3, (A, B), Traffic::All, &mut Vec::new()), 0, "it is not established yet");
}

#[test]
fn a_connection_that_one_end_has_lost_is_told_to_the_other_when_it_sends_or_not_at_all() {
    for silent in [false, true] {
        let mut switch = connected();
        let mut out = Vec::new();
        assert_eq!(switch.forget((B, A), Traffic::All, silent, &mut out), 1);
        let told: Vec<Port> = out.iter().map(|delivery| delivery.to).collect();
        assert_eq!(told, [B], "the other hears nothing of it");
        assert_eq!(switch.forget((B, A), Traffic::All, silent, &mut out), 0, "once");
        // It did not take the reset and goes on: it is told again, and the other hears nothing.
        let out = give(&mut switch, 1, B, &segment(B, 5100, Some(1100), 0, b"x"));
        assert_eq!(out.iter().map(|delivery| delivery.to).collect::<Vec<_>>(), [B]);
        // The other sends, and the kernel of the one knows no such connection.
        let sends = segment(A, 1100, Some(5100), 0, b"y");
        let knows_not = packet::reset((B.address(), TO), (A.address(), FROM), 5100, None);
        let (there, back) = (give(&mut switch, 2, A, &sends), give(&mut switch, 3, B, &knows_not));
        if silent {
            assert_eq!((there, back), (Vec::new(), Vec::new()));
            assert_eq!((switch.recall(B, A), switch.recall(B, A)), (1, 0));
            assert_eq!(give(&mut switch, 4, A, &sends), [to(B, &sends)]);
            assert_eq!(give(&mut switch, 5, B, &knows_not), [to(A, &knows_not)]);
            assert_eq!(switch.counts().map(|(_, _, counts)| counts.silenced).sum::<u64>(), 2);
        } else {
            assert_eq!((there, back), (vec![to(B, &sends)], vec![to(A, &knows_not)]));
        }
        let anew = segment(A, 90_000, None, SYN, b"");
        assert_eq!(give(&mut switch, 6, A, &anew), [to(B, &anew)]);
    }
}

#[test]
fn what_is_for_nobody_goes_nowhere() {
    let mut switch = switch();
    let builder = PacketBuilder::ipv4(A.address().to_be_bytes(), [8, 8, 8, 8], 64).udp(53, 53);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"is there anybody").expect("it fits");
    assert_eq!(give(&mut switch, 0, A, &bytes), []);
    assert_eq!(give(&mut switch, 0, A, &[0x60; 40]), [], "IPv6");
    assert_eq!(switch.nowhere(), 2);
}

#[test]
fn every_address_is_one_port_s() {
    for port in [A, B, Port(254), Port(255), Port(NODES_MAX - 1), Port::TOOL, Port::CLIENTS] {
        assert_eq!(Port::of(port.address()), Some(port));
    }
    assert_eq!(Port(0).address().to_be_bytes(), [10, 77, 0, 1]);
    for stranger in [NETWORK, 0x0a4c_0001, NETWORK | 0xffff, NETWORK | 0xf000] {
        assert_eq!(Port::of(stranger), None);
    }
}

/// The cluster bus.
mod bus {
    use super::*;
    use crate::catalogue::MessageType;
    use crate::env::{Hold, LinkStrike};
    use crate::fault::strike_link::{LinkBlow, LinkPoint};

    const BUS: u16 = TO + 10_000;
    const HEADER: usize = 2256;

    /// A message as the servers write it.
    fn message(kind: MessageType, fill: u8) -> Vec<u8> {
        let position = MessageType::ALL.iter().position(|known| *known == kind).expect("it is one");
        let mut bytes = vec![fill; HEADER + 8];
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(b"RCmb");
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        bytes[8..16].copy_from_slice(&[0, 1, 0, 0, 0, position as u8, 0, 0]);
        bytes
    }

    const PING: MessageType = MessageType::Ping;
    const FAIL: MessageType = MessageType::Fail;

    /// Two ends with a buffer each, and the switch between them: what is lost is sent again, as TCP does it.
    struct Pair {
        switch: Switch,
        /// What A has sent, and how much of it B has acknowledged.
        sent: Vec<u8>,
        acknowledged: u32,
        /// What B has got, by its own count.
        got: Vec<u8>,
        now: u64,
    }

    fn packet(from: Port, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (to, ports) = if from == A { (B, (FROM, BUS)) } else { (A, (BUS, FROM)) };
        let mut step = PacketBuilder::ipv4(from.address().to_be_bytes(), to.address().to_be_bytes(), 64)
            .tcp(ports.0, ports.1, seq, 1024);
        if ack > 0 {
            step = step.ack(ack);
        }
        if flags & SYN != 0 {
            step = step.syn();
        }
        let mut bytes = Vec::new();
        step.write(&mut bytes, payload).expect("it fits");
        bytes
    }

    /// One less than the number of A's first byte. Numbers wrap around within the first message.
    const FIRST: u32 = u32::MAX - 1000;

    impl Pair {
        fn new() -> Self {
            let mut switch = switch();
            for (from, bytes) in
                [(A, packet(A, FIRST, 0, SYN, b"")), (B, packet(B, 4999, FIRST + 1, SYN, b""))]
            {
                assert_eq!(give(&mut switch, 0, from, &bytes).len(), 1);
            }
            Self { switch, sent: Vec::new(), acknowledged: 0, got: Vec::new(), now: 0 }
        }

        fn say(&mut self, bytes: &[u8]) {
            let from = self.sent.len();
            self.sent.extend_from_slice(bytes);
            self.send(from);
        }

        /// Sends what stands in A's buffer from here on, in segments.
        fn send(&mut self, from: usize) {
            let pieces: Vec<(u32, Vec<u8>)> = self.sent[from..]
                .chunks(1000)
                .enumerate()
                .map(|(count, piece)| ((from + count * 1000) as u32, piece.to_vec()))
                .collect();
            for (at, piece) in pieces {
                let bytes = packet(A, FIRST.wrapping_add(1).wrapping_add(at), 5000, 0, &piece);
                let out = give(&mut self.switch, self.now, A, &bytes);
                self.arrive(out);
            }
        }

        /// B takes what comes in order, and acknowledges it.
        fn arrive(&mut self, out: Vec<Delivery>) {
            for Delivery { to, frame } in out {
                let segment = packet::read(&frame.bytes).expect("TCP");
                if to == B {
                    let expected = FIRST.wrapping_add(1).wrapping_add(self.got.len() as u32);
                    let known = expected.wrapping_sub(segment.seq) as usize;
                    self.got.extend_from_slice(segment.payload(&frame.bytes).get(known..).unwrap_or(&[]));
                    let ack = FIRST.wrapping_add(1).wrapping_add(self.got.len() as u32);
                    let answer = packet(B, 5000, ack, 0, b"");
                    let out = give(&mut self.switch, self.now, B, &answer);
                    self.arrive(out);
                } else if to == A {
                    let ack = segment.ack.wrapping_sub(FIRST.wrapping_add(1));
                    assert!(ack as usize <= self.sent.len(), "{ack} is acknowledged of {}", self.sent.len());
                    self.acknowledged = self.acknowledged.max(ack);
                }
            }
        }

        fn pass(&mut self, time: u64) {
            self.now += time;
            let mut out = Vec::new();
            self.switch.due(self.now, &mut out);
            self.arrive(out);
        }

        fn strike(&mut self, how: LinkBlow, nth: u64) {
            let strike = LinkStrike {
                links: vec![(crate::env::NodeId(0), crate::env::NodeId(1))],
                at: LinkPoint::Message,
                message: Some(FAIL),
                nth,
                traffic: Traffic::All,
                how,
                delay: Millis(300),
            };
            self.switch.strike(self.now, "e".into(), strike);
        }
    }

    #[test]
    fn a_lost_message_is_taken_out_of_its_stream_and_what_follows_arrives() {
        let mut pair = Pair::new();
        pair.strike(LinkBlow::Lose, 2);
        let said = [message(FAIL, 1), message(FAIL, 2), message(PING, 3), message(FAIL, 4)];
        for message in &said[..2] {
            pair.say(message);
        }
        assert_eq!(pair.got, said[0], "the second is gone");
        assert_eq!(pair.acknowledged as usize, pair.sent.len(), "and its sender need not send it again");
        pair.send(HEADER + 8);
        assert_eq!(pair.got, said[0], "if it does, it is gone again");
        for message in &said[2..] {
            pair.say(message);
        }
        assert_eq!(pair.got, [&said[0][..], &said[2], &said[3]].concat());
        assert_eq!(pair.acknowledged as usize, pair.sent.len());
        assert!(pair.switch.end_strike("e").starts_with("struck FAIL 2 from node-0 to node-1"));
    }

    #[test]
    fn a_duplicated_message_arrives_twice_and_so_once_more_when_that_was_lost() {
        let mut pair = Pair::new();
        pair.strike(LinkBlow::Duplicate, 1);
        let said = [message(PING, 1), message(FAIL, 2), message(PING, 3)];
        said.iter().for_each(|message| pair.say(message));
        assert_eq!(pair.got, [&said[0][..], &said[1], &said[1], &said[2]].concat());
        assert_eq!(pair.acknowledged as usize, pair.sent.len());
        pair.say(&said[0]);
        assert_eq!(pair.got.len(), 5 * (HEADER + 8));
    }

    #[test]
    fn a_delayed_message_and_what_follows_it_wait_and_what_went_before_does_not() {
        let mut pair = Pair::new();
        pair.strike(LinkBlow::Delay, 1);
        let said = [message(PING, 1), message(FAIL, 2), message(PING, 3)].concat();
        pair.say(&said);
        assert_eq!(pair.got, said[..HEADER + 8], "up to the byte before it");
        pair.send(HEADER + 8);
        pair.pass(299_999);
        assert_eq!(pair.got.len(), HEADER + 8);
        pair.pass(1);
        assert_eq!(pair.got, said);
        assert_eq!(pair.acknowledged as usize, said.len());
        let held: u64 = pair.switch.counts().map(|(_, _, counts)| counts.held).sum();
        assert_eq!(held, 1);
    }

    #[test]
    fn a_message_of_which_the_run_is_told_waits_for_its_answer_but_not_long() {
        for answers in [true, false] {
            let mut pair = Pair::new();
            pair.switch.watch(&[FAIL]);
            let said = [message(PING, 1), message(FAIL, 2)].concat();
            pair.say(&said);
            let mut out = Vec::new();
            pair.switch.answered(pair.now, &mut out);
            assert_eq!(out, [], "what it has not heard of it cannot have answered");
            assert_eq!(pair.switch.take_told(), [(FAIL, A, B)]);
            assert_eq!(pair.got.len(), HEADER + 8);
            if answers {
                pair.switch.answered(pair.now, &mut out);
                pair.arrive(out);
            } else {
                assert_eq!(pair.switch.next_due(), Some(message::ASK_MAX_US));
                pair.pass(message::ASK_MAX_US);
            }
            assert_eq!(pair.got, said);
            assert_eq!(pair.switch.next_due(), None);
        }
    }

    #[test]
    fn a_cut_that_answers_a_message_swallows_it() {
        let mut pair = Pair::new();
        pair.switch.watch(&[FAIL]);
        pair.say(&message(FAIL, 2));
        pair.switch.take_told();
        rule(&mut pair.switch, A, B, cut());
        let mut out = Vec::new();
        pair.switch.answered(1, &mut out);
        assert_eq!((out, pair.got.len()), (Vec::new(), 0));
    }

    #[test]
    fn what_the_run_no_longer_waits_for_waits_until_it_has_answered() {
        let mut pair = Pair::new();
        pair.switch.watch(&[FAIL]);
        pair.say(&message(FAIL, 1));
        pair.switch.take_told();
        pair.switch.watch(&[]);
        pair.say(&message(FAIL, 2));
        assert_eq!(pair.got.len(), 0);
        pair.switch.take_told();
        let mut out = Vec::new();
        pair.switch.answered(1, &mut out);
        pair.arrive(out);
        pair.say(&message(FAIL, 3));
        assert_eq!((&pair.got, pair.switch.has_told()), (&pair.sent, false));
    }

    #[test]
    fn held_messages_go_on_when_the_other_has_arrived() {
        let mut pair = Pair::new();
        let links = |from, to| vec![(crate::env::NodeId(from), crate::env::NodeId(to))];
        let hold = Hold { links: links(0, 1), message: FAIL, until: Some((links(1, 0), PING)) };
        pair.switch.hold(0, "e".into(), &hold);
        pair.say(&message(FAIL, 1));
        assert_eq!(pair.got.len(), 0);
        // B sends a PING; that it has arrived is told by what A acknowledges.
        let ping = message(PING, 2);
        for (at, piece) in [(0, &ping[..1500]), (1500, &ping[1500..])] {
            assert_eq!(give(&mut pair.switch, 1, B, &packet(B, 5000 + at, FIRST + 1, 0, piece)).len(), 1);
        }
        assert_eq!(pair.got.len(), 0);
        let sent = FIRST.wrapping_add(1).wrapping_add(pair.sent.len() as u32);
        let out = give(&mut pair.switch, 7, A, &packet(A, sent, 5000 + ping.len() as u32, 0, b""));
        pair.arrive(out);
        assert_eq!(pair.got, pair.sent);
        let told = pair.switch.let_go(9, "e", &mut Vec::new());
        assert_eq!(told, "let go when PING from node-1 had reached node-0, after 7 us");
    }

    #[test]
    fn the_nth_packet_byte_or_connect_is_struck_and_no_other() {
        let strike = |at, nth, how| LinkStrike {
            links: vec![(crate::env::NodeId(0), crate::env::NodeId(1))],
            at,
            message: None,
            nth,
            traffic: Traffic::All,
            how,
            delay: Millis(50),
        };
        for (at, nth, lost) in
            [(LinkPoint::Packet, 3, 2), (LinkPoint::Byte, 1000, 0), (LinkPoint::Byte, 1001, 1)]
        {
            let mut switch = connected();
            switch.strike(0, "e".into(), strike(at, nth, LinkBlow::Lose));
            let came: Vec<usize> = (0..5u32)
                .map(|n| {
                    give(&mut switch, 1, A, &segment(A, 1100 + n * 1000, Some(5100), 0, &[0; 1000])).len()
                })
                .collect();
            let expected: Vec<usize> = (0..5).map(|n| usize::from(n != lost)).collect();
            assert_eq!(came, expected, "{at} {nth}");
        }
        // A strike that began with a cut means the first connect after it.
        let mut switch = switch();
        switch.strike(0, "e".into(), strike(LinkPoint::Connect, 1, LinkBlow::Delay));
        rule(&mut switch, A, B, cut());
        let connect = segment(A, 999, None, SYN, b"");
        assert_eq!(give(&mut switch, 1, A, &connect), []);
        rule(&mut switch, A, B, LinkRule::default());
        assert_eq!(give(&mut switch, 2, A, &connect), []);
        assert_eq!(switch.next_due(), Some(50_002));
        assert_eq!(give(&mut switch, 3, A, &connect).len(), 1, "tried again, it passes");
        assert_eq!(switch.end_strike("e"), "struck connect 1 from node-0 to node-1, after 2 us");
    }
}
