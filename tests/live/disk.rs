//! What faults of a disk are to the node whose disk it is.

use super::{A, Bench};
use seedfault::env::live::disk::DISKS;
use seedfault::env::{ConnId, Effect, Exit, Input, NodeAction, NodeId, Observed};
use seedfault::fault::bit_flip::{FilePattern, Flip};
use seedfault::fault::disk::{Blow, DiskErrno, DiskRule, FileCall};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use std::fs;

const EIO: i64 = -5;
const ENOSPC: i64 = -28;
pub const EVENT: &str = "event";

impl Bench {
    /// Starts a node, and answers a client of it.
    pub fn alone(&mut self) -> ConnId {
        self.start(A);
        self.client(A)
    }

    pub fn rule(&mut self, rule: DiskRule) {
        let done = self.apply(Effect::Node(A, NodeAction::Disk(EVENT.into(), Some(rule))));
        done.expect("its calls are watched");
    }

    pub fn heal(&mut self) -> String {
        self.apply(Effect::Node(A, NodeAction::Disk(EVENT.into(), None))).expect("the disk is well")
    }

    /// What a call of the node came to, and the microseconds that it took.
    fn call(&mut self, client: ConnId, what: &str) -> (i64, u64) {
        let said = self.ask(client, &format!("disk {what}"));
        let (came, took) = said.split_once(' ').expect("two numbers");
        (came.parse().expect("a number"), took.parse().expect("a number"))
    }

    pub fn came(&mut self, client: ConnId, what: &str) -> i64 {
        self.call(client, what).0
    }

    pub fn struck(&mut self) -> (Option<Blow>, String) {
        self.struck_by(EVENT)
    }

    pub fn struck_by(&mut self, by: &str) -> (Option<Blow>, String) {
        let seen = self.until(|input| matches!(input, Input::Observed(Observed::Struck { .. })));
        match seen {
            Input::Observed(Observed::Struck { node, event, blow, what }) => {
                assert_eq!((node, event.as_str()), (A, by));
                (blow, what)
            }
            other => unreachable!("{other:?}"),
        }
    }

    pub fn exit(&mut self, node: NodeId) -> Exit {
        let is = |input: &Input| matches!(input, Input::Observed(Observed::Exited { node: it, .. }) if *it == node);
        match self.until(is) {
            Input::Observed(Observed::Exited { exit, .. }) => exit,
            other => unreachable!("{other:?}"),
        }
    }

    pub fn length(&self, name: &str) -> u64 {
        let path = self.run.join(format!("nodes/{A}/{name}"));
        fs::metadata(path).map_or(0, |file| file.len())
    }

    pub fn disk_count(&mut self, column: &str) -> u64 {
        self.noted(DISKS, &[A], column)
    }
}

pub fn error(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "sync data"), 0);
    let fail = |call, error, nth, count| DiskRule::Fail { call, error, nth, count };
    bench.rule(fail(FileCall::Sync, DiskErrno::Io, 2, 2));
    let came: Vec<i64> = (0..4).map(|_| bench.came(client, "sync data")).collect();
    assert_eq!(came, [0, EIO, EIO, 0]);
    assert_eq!(bench.struck(), (None, "an fsync of node-0 failed by EIO".into()));
    assert_eq!(bench.came(client, "write data 10"), 10, "other calls are left alone");
    assert_eq!(bench.heal(), "2 calls were struck; a write, a sync and a rename pass again");
    for (what, call) in [("write data 10", FileCall::Write), ("rename data other", FileCall::Rename)] {
        bench.rule(fail(call, DiskErrno::NoSpace, 1, 0));
        assert_eq!(bench.came(client, what), ENOSPC);
        assert_eq!(bench.came(client, "write /dev/null 10"), 10, "a file elsewhere is not its disk");
        bench.heal();
        assert!(bench.came(client, what) >= 0);
    }
    bench.rule(fail(FileCall::Sync, DiskErrno::Io, 1, 1));
    let maps: Vec<i64> = (0..2).map(|_| bench.came(client, "map other")).collect();
    assert_eq!(maps, [EIO, 0], "a mapping is synced by its address");
    bench.heal();
    bench.rule(fail(FileCall::Write, DiskErrno::NoSpace, 1, 1));
    assert_eq!(bench.came(client, "copy other copied"), ENOSPC, "what the kernel copies is a write");
    bench.heal();
    assert!(bench.came(client, "copy other copied") > 0);
    assert_eq!(bench.disk_count("failed"), 6);
}

pub fn full(bench: &mut Bench) {
    let client = bench.alone();
    bench.rule(DiskRule::Full { room: 1000 });
    let came: Vec<i64> = (0..4).map(|_| bench.came(client, "write data 300")).collect();
    assert_eq!(came, [300, 300, 300, 100]);
    assert_eq!(bench.came(client, "write data 1"), ENOSPC);
    assert_eq!(bench.struck().1, "a write of node-0 did not fit on its disk");
    assert_eq!(bench.length("data"), 1000);
    bench.heal();
    assert_eq!(bench.came(client, "write data 300"), 300);
    // A short write at a place, and one that is in parts, from the position of the file.
    bench.rule(DiskRule::Full { room: 40 });
    assert_eq!(bench.came(client, "place placed 100 1000"), 40);
    assert_eq!(bench.length("placed"), 1040);
    bench.heal();
    bench.rule(DiskRule::Full { room: 70_000 });
    assert_eq!(bench.came(client, "parts parts 200000"), ENOSPC, "the write behind the short one");
    bench.heal();
    assert_eq!(bench.length("parts"), 70_000);
    assert_eq!(bench.came(client, "parts parts 200000"), 200_003);
    assert_eq!(bench.disk_count("short"), 3);
}

pub fn slow(bench: &mut Bench) {
    let client = bench.alone();
    bench.rule(DiskRule::Slow { delay: Millis(30), read: Millis(0), rate: 0 });
    for what in ["write data 10", "sync data"] {
        let times: Vec<u64> = (0..10).map(|_| bench.call(client, what).1).collect();
        assert!(times.iter().all(|took| *took >= 30_000), "{what}: {times:?}");
        let mut sorted = times.clone();
        sorted.sort_unstable();
        assert!(sorted[0] < 40_000, "{what}: none lasts hardly longer: {times:?}");
    }
    let echo = bench.ask(client, "ping 1");
    assert_eq!(echo, "pong 1");
    bench.heal();
    let after = (0..5).map(|_| bench.call(client, "write data 10").1).min().expect("five");
    assert!(after < 30_000, "{after} us after the heal");
    // What lasts ends with its fault.
    bench.rule(DiskRule::Slow { delay: Millis(60_000), read: Millis(0), rate: 0 });
    bench.say(client, "disk write data 10");
    bench.pass(Millis(100));
    bench.heal();
    assert!(bench.hear(client).starts_with("10 "));
    assert_eq!(bench.disk_count("delayed"), 21);
}

pub fn slow_reads(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 10"), 10);
    bench.rule(DiskRule::Slow { delay: Millis(0), read: Millis(30), rate: 0 });
    let (count, took) = bench.call(client, "read data");
    // It reads once more to see the end.
    assert!(count == 10 && took >= 60_000, "{count} bytes in {took} us");
    let writes = (0..5).map(|_| bench.call(client, "write data 1").1).min().expect("five");
    assert!(writes < 30_000, "a write took {writes} us");
    let said = bench.heal();
    assert!(said.contains("a write, a sync and a rename pass again"), "{said}");
    let after = (0..5).map(|_| bench.call(client, "read data").1).min().expect("five");
    assert!(after < 60_000, "{after} us after the heal");
    assert!(bench.disk_count("reads") > 0);
}

pub fn remove(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 10"), 10);
    assert_eq!(bench.came(client, "child mkdir_-p_a/b;echo_x>a/b/c"), 0);
    let remove = |bench: &mut Bench| bench.apply(Effect::Node(A, NodeAction::Remove(RestartData::Wiped)));
    let said = remove(bench).expect("it is ours");
    assert!(said.starts_with("2 files of node-0 are gone"), "{said}");
    assert_eq!(bench.came(client, "read data"), -2);
    assert_eq!(bench.came(client, "read a/b/c"), -2);
    assert!(!bench.run.join(format!("nodes/{A}/a")).exists());
    assert_eq!(bench.came(client, "write data 3"), 3, "it makes a new one");
    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it ends");
    assert!(remove(bench).expect("it is ours").starts_with("1 files of node-0 are gone"));
    assert_eq!(bench.length("data"), 0);
}

pub fn flip(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 10"), 10);
    let flip = |file: &str, offset, from_end, bit| Flip {
        file: FilePattern::parse(file).expect("a path"),
        offset,
        from_end,
        bit,
        words: [7, 8, 9],
    };
    let mut tried = |flip: Flip| bench.apply(Effect::Node(A, NodeAction::Flip(flip)));
    let said = tried(flip("da*", Some(2), true, Some(7))).expect("it is there");
    assert_eq!(said, "bit 7 of byte 7 of 10 of data: 0x78 is 0xf8 now");
    assert_eq!(
        tried(flip("*", None, false, None)).expect("it is there"),
        "bit 1 of byte 8 of 10 of data: 0x78 is 0x7a now"
    );
    let error = tried(flip("data", Some(10), false, None)).expect_err("it is shorter").to_string();
    assert!(error.contains("data has only 10 bytes"), "{error}");
    let error = tried(flip("server.log", None, false, None)).expect_err("that is ours").to_string();
    assert!(error.contains("no file with content matches `server.log`; there is data"), "{error}");
}

pub fn kill(bench: &mut Bench) {
    let client = bench.alone();
    let strike = DiskRule::Strike { call: FileCall::Sync, nth: 3, how: Blow::Kill };
    bench.rule(strike);
    assert_eq!((bench.came(client, "sync data"), bench.came(client, "sync data")), (0, 0));
    bench.say(client, "disk sync data");
    assert_eq!(bench.struck(), (Some(Blow::Kill), "node-0 was killed before an fsync".into()));
    assert_eq!(bench.exit(A), Exit::Signal(9));
    bench.heal();
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts again");
    bench.until(|input| matches!(input, Input::Observed(Observed::Log { .. })));
    let client = bench.client(A);
    assert_eq!(bench.came(client, "sync data"), 0);
    assert_eq!(bench.disk_count("struck"), 1);
}

pub fn torn(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 10"), 10);
    bench.rule(DiskRule::Strike { call: FileCall::Write, nth: 2, how: Blow::Torn });
    assert_eq!(bench.came(client, "write data 10"), 10);
    bench.say(client, "disk write data 100000");
    assert_eq!(bench.struck(), (Some(Blow::Torn), "node-0 was killed in the middle of a write".into()));
    assert_eq!(bench.exit(A), Exit::Signal(9));
    let length = bench.length("data");
    assert!((21..100_020).contains(&length), "{length} bytes are there");
    bench.heal();
}

pub fn stop(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 10"), 10);
    bench.rule(DiskRule::Strike { call: FileCall::Rename, nth: 1, how: Blow::Pause });
    bench.say(client, "disk rename data other");
    assert_eq!(bench.struck(), (Some(Blow::Pause), "node-0 was stopped before a rename".into()));
    let other = bench.client(A);
    bench.say(other, "ping 1");
    bench.pass(Millis(300));
    assert!(!bench.seen.iter().any(|input| matches!(input, Input::Bytes(..))), "it stands still");
    assert_eq!((bench.length("data"), bench.length("other")), (10, 0));
    bench.heal();
    bench.apply(Effect::Node(A, NodeAction::Resume)).expect("it goes on");
    assert_eq!(bench.hear(other), "pong 1");
    assert!(bench.hear(client).starts_with("0 "));
    assert_eq!(bench.length("other"), 10);
}

pub fn child(bench: &mut Bench) {
    let client = bench.alone();
    bench.rule(DiskRule::Fail { call: FileCall::Write, error: DiskErrno::Io, nth: 2, count: 1 });
    assert_eq!(bench.came(client, "write data 10"), 10);
    assert_ne!(bench.came(client, "child echo_1_>made"), 0, "the child's is the second");
    assert_eq!(bench.struck().1, "a write of a forked child of node-0 failed by EIO");
    assert_eq!(bench.came(client, "child echo_1_>made"), 0);
    assert_eq!(bench.length("made"), 2);
}

pub fn wait(bench: &mut Bench) {
    let client = bench.alone();
    bench.rule(DiskRule::Slow { delay: Millis(600_000), read: Millis(0), rate: 0 });
    bench.say(client, "disk write data 10");
    bench.pass(Millis(100));
    bench.apply(Effect::Node(A, NodeAction::Pause)).expect("it stands still");
    bench.apply(Effect::Node(A, NodeAction::Resume)).expect("it goes on");
    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it ends");
    assert_eq!(bench.exit(A), Exit::Signal(9));
    assert_eq!(bench.length("data"), 0, "the call was never made");
}
