//! The embedded cluster in its simulation, driven by hand: it serves, survives, moves slots, and repeats.

mod embedded_support;

use embedded_support::{Driver, timeline};
use seedfault::env::{LinkRule, NodeAction};
use seedfault::time::Millis;

const SECOND: Millis = Millis(1000);

#[test]
fn a_cluster_starts_formed_and_serves() {
    let mut driver = Driver::start(&timeline(1, 3, 1, &[]));
    let took = driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy within a second");
    assert!(took.0 < 200_000, "{took}");
    let first = driver.ask(0, &["SET", "r:{2}", "a"]).expect("an answer");
    assert!(first.starts_with("-MOVED") || first.starts_with("+OK"), "{first}");
    assert_eq!(driver.on_key(&["SET", "r:{2}", "a"], SECOND).as_deref(), Some("+OK\r\n"));
    assert_eq!(driver.on_key(&["GET", "r:{2}"], SECOND).as_deref(), Some("$1\r\na\r\n"));
    assert_eq!(driver.on_key(&["INCR", "c:{2}"], SECOND).as_deref(), Some(":1\r\n"));
    assert_eq!(driver.on_key(&["RPUSH", "l:{2}", "x", "y"], SECOND).as_deref(), Some(":2\r\n"));
    assert_eq!(
        driver.on_key(&["LRANGE", "l:{2}", "0", "-1"], SECOND).as_deref(),
        Some("*2\r\n$1\r\nx\r\n$1\r\ny\r\n")
    );
    assert_eq!(driver.on_key(&["GET", "l:{2}"], SECOND).map(|a| a.starts_with("-WRONGTYPE")), Some(true));
    assert_eq!(driver.on_key(&["DEL", "r:{2}"], SECOND).as_deref(), Some(":1\r\n"));
    assert_eq!(driver.on_key(&["GET", "r:{2}"], SECOND).as_deref(), Some("$-1\r\n"));
}

#[test]
fn a_dead_primary_is_replaced_and_nothing_acknowledged_is_lost() {
    for (seed, replicas) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        let mut driver = Driver::start(&timeline(seed, 3, replicas, &[]));
        let all: Vec<u16> = (0..driver.nodes).collect();
        driver.until_healthy(&all, SECOND).expect("healthy");
        for number in 0..60 {
            let (key, value) = (format!("r:{{{number}}}"), format!("v{number}"));
            assert_eq!(driver.on_key(&["SET", &key, &value], SECOND).as_deref(), Some("+OK\r\n"));
        }
        driver.kill(0);
        let live: Vec<u16> = (1..driver.nodes).collect();
        driver.run(Millis(2500));
        let took = driver.until_healthy(&live, Millis::secs(4)).expect("failed over");
        assert!(took.0 < 1_000_000, "{took}");
        assert!(driver.logs.iter().any(|(_, _, line)| line == "Failover election won: I'm the new master."));
        for number in 0..60 {
            let (key, value) =
                (format!("r:{{{number}}}"), format!("${}\r\nv{number}\r\n", format!("v{number}").len()));
            assert_eq!(driver.on_key(&["GET", &key], SECOND), Some(value), "seed {seed} {key}");
        }
        driver.restart(0);
        driver.until_healthy(&all, Millis::secs(4)).expect("the old primary is a replica now");
    }
}

#[test]
fn a_failover_that_is_asked_for_takes_place() {
    let mut driver = Driver::start(&timeline(5, 3, 1, &[]));
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
    assert!(driver.ask(0, &["CLUSTER", "FAILOVER"]).expect("an answer").starts_with("-ERR"));
    assert_eq!(driver.ask(1, &["CLUSTER", "FAILOVER"]).as_deref(), Some("+OK\r\n"));
    driver.run(Millis(100));
    let role = driver.ask(1, &["INFO", "replication"]).expect("an answer");
    assert!(role.contains("role:master"), "{role}");
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
}

#[test]
fn slots_move_with_their_keys() {
    let mut driver = Driver::start(&timeline(6, 3, 1, &[]));
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
    for number in 0..40 {
        driver.on_key(&["SET", &format!("r:{{{number}}}"), "v"], SECOND).expect("set");
    }
    let taker = driver.ask(2, &["CLUSTER", "MYID"]).expect("an id");
    let taker = taker.lines().nth(1).expect("a bulk string").to_string();
    let slots: Vec<String> = (0..5461).map(|slot: u16| slot.to_string()).collect();
    let mut words = vec!["CLUSTER", "MIGRATESLOTS"];
    words.extend(slots.iter().map(String::as_str));
    words.extend(["NODE", &taker]);
    assert_eq!(driver.ask(0, &words).as_deref(), Some("+OK\r\n"));
    driver.run(Millis(1500));
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
    let nodes = driver.ask(3, &["CLUSTER", "NODES"]).expect("nodes");
    assert!(nodes.lines().any(|line| line.contains(&taker) && line.ends_with(" 0-10921")), "{nodes}");
    for number in 0..40 {
        let key = format!("r:{{{number}}}");
        assert_eq!(driver.on_key(&["GET", &key], SECOND).as_deref(), Some("$1\r\nv\r\n"), "{key}");
    }
    assert_eq!(driver.ask(0, &["DBSIZE"]).as_deref(), Some(":0\r\n"));
    assert_eq!(driver.ask(1, &["DBSIZE"]).as_deref(), Some(":0\r\n"));
}

#[test]
fn a_minority_refuses_and_comes_back() {
    let mut driver = Driver::start(&timeline(7, 3, 1, &[]));
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
    driver.links_of(0, LinkRule { cut: true, ..LinkRule::default() });
    driver.run(Millis(2500));
    let answer = driver.ask(0, &["SET", "r:{2}", "a"]).expect("a refusal");
    assert!(answer.starts_with("-CLUSTERDOWN") || answer.starts_with("-MOVED"), "{answer}");
    assert!(driver.ask(0, &["CLUSTER", "INFO"]).expect("info").contains("cluster_state:fail"));
    driver.until_healthy(&[1, 2, 3, 4, 5], Millis::secs(3)).expect("the majority serves");
    driver.links_of(0, LinkRule::default());
    driver.until_healthy(&[0, 1, 2, 3, 4, 5], Millis::secs(4)).expect("healthy again");
}

#[test]
fn a_stopped_node_is_replaced_and_goes_on_as_a_replica() {
    let mut driver = Driver::start(&timeline(8, 3, 2, &[]));
    let all: Vec<u16> = (0..9).collect();
    driver.until_healthy(&all, SECOND).expect("healthy");
    driver.node(3, NodeAction::Pause);
    driver.run(Millis::secs(4));
    driver.until_healthy(&[0, 1, 2, 4, 5, 6, 7, 8], SECOND).expect("failed over");
    driver.node(3, NodeAction::Resume);
    driver.run(Millis(200));
    driver.until_healthy(&all, Millis::secs(3)).expect("healthy again");
    assert!(driver.ask(3, &["INFO", "replication"]).expect("info").contains("role:slave"));
}

#[test]
fn a_shard_of_one_node_keeps_what_it_acknowledged() {
    let mut driver = Driver::start(&timeline(9, 3, 0, &[]));
    driver.until_healthy(&[0, 1, 2], SECOND).expect("healthy");
    for number in 0..30 {
        let key = format!("r:{{{number}}}");
        assert_eq!(driver.on_key(&["SET", &key, "v"], SECOND).as_deref(), Some("+OK\r\n"));
    }
    for node in 0..3 {
        driver.kill(node);
        driver.restart(node);
    }
    driver.until_healthy(&[0, 1, 2], Millis::secs(3)).expect("healthy again");
    for number in 0..30 {
        let key = format!("r:{{{number}}}");
        assert_eq!(driver.on_key(&["GET", &key], Millis::secs(2)).as_deref(), Some("$1\r\nv\r\n"));
    }
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    let run = |seed| {
        let mut driver = Driver::start(&timeline(seed, 3, 1, &[]));
        driver.until_healthy(&[0, 1, 2, 3, 4, 5], SECOND).expect("healthy");
        driver.links_of(2, LinkRule { lose: 200, duplicate: 100, reorder: 200, ..LinkRule::default() });
        for number in 0..50 {
            driver.on_key(&["INCR", &format!("c:{{{number}}}")], SECOND);
        }
        driver.kill(0);
        driver.run(Millis::secs(3));
        driver.restart(0);
        driver.run(Millis::secs(2));
        driver.trace.finalize()
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
