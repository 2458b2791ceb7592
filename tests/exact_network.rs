//! The network of the environment `exact` between real servers: messages of the cluster bus, resets, machines that go
//! off, and the order in which messages arrive.
#![cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]

mod exact_support;
mod servers;

use exact_support::{Bench, TURN};
use seedfault::catalogue::MessageType;
use seedfault::env::{Effect, Env, Hold, LinkRule, NodeAction, NodeId};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use seedfault::fault::traffic::Traffic;
use seedfault::time::Millis;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was delivered on the bus so far: when, from whom, to whom, what.
fn delivered(bench: &mut Bench) -> Vec<(u64, u16, u16, String)> {
    bench.env.close();
    let trace = fs::read_to_string(bench.run.join("trace.txt")).expect("it was asked for");
    let node = |word: &str| word.strip_prefix("node-")?.parse().ok();
    let message = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [at, "bus", from, "to", to, kind, "epochs", ..] => {
            Some((at.parse().ok()?, node(from)?, node(to)?, kind.to_string()))
        }
        _ => None,
    };
    trace.lines().filter_map(message).collect()
}

fn debug_logs(bench: &mut Bench) {
    for node in 0..bench.nodes {
        assert_eq!(bench.ask(node, "CONFIG SET loglevel debug"), "+OK\r\n");
    }
    bench.logs.clear();
}

fn said(bench: &Bench, node: u16, text: &str) -> usize {
    bench.logs.iter().filter(|(of, line)| of.0 == node && line.contains(text)).count()
}

#[test]
fn every_byte_of_the_cluster_bus_is_read_as_messages() {
    let _turn = turn();
    for server in &servers::installed() {
        let mut bench = Bench::boot("bus", server, 21);
        bench.pass(Millis(4_000));
        bench.act(0, NodeAction::Signal(Signal::Kill)).expect("it runs");
        bench.pass(Millis(6_000));
        assert!(bench.ask(1, "ROLE").contains("master"), "{:#?}", bench.logs);
        assert!(bench.ask(1, "PUBLISH news hello").starts_with(':'));
        bench.pass(Millis(100));
        assert_eq!(bench.env.bus_not_read(), 0);
        let messages = delivered(&mut bench);
        let kinds: BTreeSet<&str> = messages.iter().map(|(.., kind)| kind.as_str()).collect();
        let all = ["FAIL", "FAILOVER_AUTH_ACK", "FAILOVER_AUTH_REQUEST", "PING", "PONG", "PUBLISH"];
        assert!(all.iter().all(|kind| kinds.contains(kind)), "{}: {kinds:?}", server.display());
        let of = |kind: &str| messages.iter().filter(|(.., other)| other == kind).count();
        assert!(of("PONG") * 10 >= of("PING") * 9, "{} pings, {} pongs", of("PING"), of("PONG"));
    }
}

#[test]
fn a_reset_reaches_both_servers_as_a_reset_and_their_links_come_back() {
    let _turn = turn();
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for round in 0..2 {
            let mut bench = Bench::boot(&format!("reset{round}"), server, 8);
            bench.pass(Millis(5_000));
            debug_logs(&mut bench);
            // A primary and its replica: two links of the bus, and one of replication.
            let count = bench
                .effect(Effect::Reset(NodeId(0), Some(NodeId(1)), Traffic::All))
                .expect("both are there");
            assert_eq!(count, "3 connections");
            bench.pass(Millis(1_500));
            for node in [0, 1] {
                let seen = said(&bench, node, "Connection reset by peer");
                assert!(seen >= 1, "{} node {node}: {:#?}", server.display(), bench.logs);
            }
            assert!(bench.ask(1, "ROLE").contains("connected"), "{:#?}", bench.logs);
            assert!(bench.ask(2, "CLUSTER INFO").contains("cluster_state:ok"));
            assert_eq!(
                bench.effect(Effect::Reset(NodeId(0), None, Traffic::All)).expect("it is there"),
                "0 connections"
            );
            sums.push(bench.sum());
        }
        assert_eq!(sums[0], sums[1], "{}", server.display());
    }
}

#[test]
fn a_connect_is_refused_while_the_connections_that_are_there_live_on() {
    let _turn = turn();
    for server in &servers::installed() {
        let mut bench = Bench::boot("refuse", server, 9);
        bench.pass(Millis(5_000));
        let refuse = LinkRule { refuse: true, ..LinkRule::default() };
        bench.link(1, 0, refuse);
        bench.pass(Millis(1_000));
        assert!(bench.ask(1, "INFO replication").contains("master_link_status:up"), "it lives on");
        bench.effect(Effect::Reset(NodeId(0), Some(NodeId(1)), Traffic::All)).expect("both are there");
        bench.pass(Millis(1_500));
        assert!(bench.ask(1, "INFO replication").contains("master_link_status:down"), "{:#?}", bench.logs);
        bench.link(1, 0, LinkRule::default());
        bench.pass(Millis(2_500));
        assert!(bench.ask(1, "INFO replication").contains("master_link_status:up"), "{:#?}", bench.logs);
    }
}

#[test]
fn nobody_is_told_that_a_machine_went_off_and_its_return_is_answered_by_resets() {
    let _turn = turn();
    for server in &servers::installed() {
        let mut sums = Vec::new();
        for off in [false, true, true] {
            let mut bench = Bench::boot(&format!("off{}", sums.len()), server, 12);
            bench.pass(Millis(5_000));
            // Elections would take the place of the silence that is to be seen.
            for node in 0..bench.nodes {
                assert_eq!(bench.ask(node, "CONFIG SET cluster-replica-no-failover yes"), "+OK\r\n");
                assert_eq!(bench.ask(node, "CONFIG SET cluster-node-timeout 600000"), "+OK\r\n");
            }
            // Redis 7.0 writes nodes.conf in place: what is not synced may come back as half of a file.
            assert_eq!(bench.ask(0, "CLUSTER SAVECONFIG"), "+OK\r\n");
            debug_logs(&mut bench);
            bench
                .act(
                    0,
                    if off {
                        NodeAction::PowerLoss("off".into(), true)
                    } else {
                        NodeAction::Signal(Signal::Kill)
                    },
                )
                .expect("it runs");
            bench.pass(Millis(3_000));
            let link = bench.ask(1, "INFO replication");
            assert_eq!(link.contains("master_link_status:up"), off, "{link} {:#?}", bench.logs);
            assert_eq!(bench.ask(0, "PING"), "", "nobody answers there");
            if off {
                assert_eq!(said(&bench, 1, "Connection reset by peer"), 0, "{:#?}", bench.logs);
                bench.act(0, NodeAction::Start(RestartData::Kept)).expect("it is down");
                // The next retransmission, and the delay of a diskless sync.
                bench.pass(Millis(14_000));
                assert!(said(&bench, 1, "Connection reset by peer") >= 1, "{:#?}", bench.logs);
                let link = bench.ask(1, "INFO replication");
                assert!(link.contains("master_link_status:up"), "{link} {:#?}", bench.logs);
            }
            sums.push(bench.sum());
        }
        assert_eq!(sums[1], sums[2], "{}", server.display());
    }
}

#[test]
fn messages_wait_until_another_has_passed_or_their_time_is_over() {
    let _turn = turn();
    for server in &servers::installed() {
        for passes in [true, false] {
            let mut bench = Bench::boot("hold", server, 13);
            bench.pass(Millis(5_000));
            let until = if passes { MessageType::Ping } else { MessageType::Meet };
            let hold = Hold {
                links: vec![(NodeId(4), NodeId(2))],
                message: MessageType::Pong,
                until: Some((vec![(NodeId(0), NodeId(2))], until)),
            };
            let from = bench.env.now().0;
            bench.effect(Effect::Hold("e1".into(), Some(hold))).expect("both are there");
            bench.pass(Millis(2_500));
            let to = bench.env.now().0;
            let how = bench.effect(Effect::Hold("e1".into(), None)).expect("it is held");
            bench.pass(Millis(1_000));
            let messages = delivered(&mut bench);
            let reached = |sender: u16, kind: &str| {
                let mut of = messages.iter().filter(|(at, by, to, what)| {
                    *at >= from && (*by, *to, what.as_str()) == (sender, 2, kind)
                });
                of.next().map(|(at, ..)| *at)
            };
            let (pong, ping) = (reached(4, "PONG").expect("it comes"), reached(0, "PING").expect("it comes"));
            if passes {
                assert!(ping <= pong && pong < to, "{ping} {pong} {how}");
                assert!(how.starts_with("let go when PING from node-0 had reached node-2"), "{how}");
            } else {
                assert!(ping < to && pong >= to, "{ping} {pong} {to} {how}");
                assert_eq!(how, "let go when its time was over");
            }
        }
    }
}

fn scenario(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dsl").join(name)
}

/// When each election was won by what a run told, in milliseconds since the cluster was healthy.
fn elections(ran: &servers::Ran) -> Vec<i64> {
    let lines = ran.events.iter().filter(|event| event["event"] == "log");
    let won = lines
        .filter(|event| event["line"]["line"].as_str().is_some_and(|line| line.contains("election won")));
    won.filter_map(|event| event["at_us"].as_i64()).map(|at| at / 1000).collect()
}

#[test]
fn a_cut_at_the_moment_a_vote_is_sent_holds_that_very_vote() {
    let _turn = turn();
    for server in &servers::installed() {
        let path = scenario("vote-on-the-way.yaml");
        let with = servers::run("vote", &["run", &path.to_string_lossy(), "--seed", "3"], server);
        assert_eq!(with.verdict(), "pass", "{}", with.story());
        let text = fs::read_to_string(&path).expect("it is there");
        let control = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vote-arrives.yaml");
        let (without, _) = text.split_once("  - id: vote").expect("the event");
        fs::write(&control, without).expect("writable");
        let without = servers::run("no-vote", &["run", &control.to_string_lossy(), "--seed", "3"], server);
        assert_eq!(without.verdict(), "pass", "{}", without.story());
        let (late, soon) = (elections(&with), elections(&without));
        // The node timeout of one second and the delay of an election make the vote come about two seconds later.
        assert!(soon.first().is_some_and(|at| *at < 6_000), "{soon:?}");
        assert!(late.first().is_none_or(|at| *at > soon[0] + 1_000), "{late:?} {soon:?}\n{}", with.story());
    }
}

#[test]
fn waiting_for_a_message_is_refused_where_none_can_be_seen() {
    let Some(server) = servers::installed().into_iter().next() else { return };
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("blind.yaml");
    let text = "fuzz: 1\ntimeline:\n  - {when: {message: {type: FAIL}}, do: {kill: {node: any}}}\n";
    fs::write(&file, text).expect("writable");
    let ran = servers::run("blind", &["run", &file.to_string_lossy(), "--env", "processes"], &server);
    assert_eq!(ran.code, 2, "{}", ran.talk);
    assert!(ran.talk.contains("sees no messages") && ran.talk.contains("`message`"), "{}", ran.talk);
}

/// Every packet of a capture by a reader of its own: the lengths and both checksums as RFC 791 and RFC 9293 have them.
#[test]
fn a_capture_of_a_run_holds_whole_packets_in_order() {
    let _turn = turn();
    let Some(server) = servers::installed().into_iter().next() else { return };
    let path = scenario("kill-primary.yaml");
    let arguments = ["run", &path.to_string_lossy(), "--seed", "1", "--env", "exact", "--pcap"];
    let ran = servers::run("capture", &arguments, &server);
    assert_eq!(ran.verdict(), "pass", "{}", ran.story());
    let bytes = fs::read(ran.out.join("traffic.pcap")).expect("it was asked for");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let sum = |bytes: &[u8]| {
        let pairs =
            bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u64::from(*b)));
        let mut sum: u64 = pairs.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    };
    let (mut at, mut packets, mut before, mut pings) = (24, 0, 0, 0);
    while at < bytes.len() {
        let (time, length) =
            (u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4)), word(at + 8) as usize);
        let packet = &bytes[at + 16..at + 16 + length];
        assert!(time >= before, "time goes on");
        assert_eq!((packet[0], usize::from(packet[2]) << 8 | usize::from(packet[3])), (0x45, length));
        assert_eq!(sum(&packet[..20]), 0xffff, "the header's checksum");
        let segment = &packet[20..];
        let pseudo = [&packet[12..20], &[0, 6], &(segment.len() as u16).to_be_bytes()].concat();
        assert_eq!(sum(&[&pseudo, segment].concat()), 0xffff, "the segment's checksum");
        pings += usize::from(segment[20..].starts_with(b"RCmb") && segment[32..34] == [0, 0]);
        (packets, before) = (packets + 1, time);
        at += 16 + length;
    }
    assert!(packets > 1_000 && pings > 50, "{packets} packets, {pings} of them begin with a PING");
}
