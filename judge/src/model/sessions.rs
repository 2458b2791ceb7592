//! `sessions`, `monotonic-reads`, `monotonic-writes`, `read-your-writes`, `writes-follow-reads`,
//! `per-client-fifo`: what each client may rely on where nothing else is promised.
//!
//! Operations, per key and process: `write v` and `read`, answered with the value or with `[value, version]`, where
//! versions of a key grow. A read of null found nothing written. Without versions, the values written to a key
//! must differ, and the order of versions is what the clients imply: for `monotonic-reads`, reads alone; for the
//! others also what else a client did in order (`objects::sessions` says which), and a contradiction counts if it
//! touches the guarantee asked for. `sessions` and `per-client-fifo` ask for all four; the latter is what `ZooKeeper`
//! promises under the name *FIFO client order* (`ZooKeeper` Programmer's Guide, Consistency Guarantees).
//!
//! Anomalies are named by the guarantee that is broken.

use super::{Model, Unfit};
use crate::objects::sessions::Guarantee::{
    MonotonicReads, MonotonicWrites, ReadYourWrites, WritesFollowReads,
};
use crate::objects::sessions::{Guarantee, Promise, judge};
use crate::{Budget, History, Options, Verdict};

const ALL: &[Guarantee] = &[ReadYourWrites, WritesFollowReads, MonotonicWrites, MonotonicReads];

pub const MODELS: [Model; 6] = [
    Model {
        name: "sessions",
        claim: "each client reads and writes forward: all four session guarantees",
        judge: |history, _, budget| judge(history, &Promise { all: ALL, orders: ALL }, budget),
    },
    Model {
        name: "monotonic-reads",
        claim: "a client that read a version reads no earlier one",
        judge: monotonic_reads,
    },
    Model {
        name: "monotonic-writes",
        claim: "a client's writes take effect in the order in which it made them",
        judge: monotonic_writes,
    },
    Model {
        name: "read-your-writes",
        claim: "a client that wrote reads that version or a later one",
        judge: read_your_writes,
    },
    Model {
        name: "writes-follow-reads",
        claim: "a client's write makes a later version than those that it read",
        judge: writes_follow_reads,
    },
    Model {
        name: "per-client-fifo",
        claim: "the operations of a client take effect in its order",
        judge: |history, _, budget| judge(history, &Promise { all: ALL, orders: ALL }, budget),
    },
];

fn monotonic_reads(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let (all, orders) = (&[MonotonicReads], &[MonotonicReads]);
    judge(history, &Promise { all, orders }, budget)
}

fn monotonic_writes(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let (all, orders) = (&[MonotonicWrites], &[MonotonicWrites, MonotonicReads]);
    judge(history, &Promise { all, orders }, budget)
}

fn read_your_writes(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let (all, orders) = (&[ReadYourWrites], &[ReadYourWrites, WritesFollowReads, MonotonicWrites]);
    judge(history, &Promise { all, orders }, budget)
}

fn writes_follow_reads(history: &History, _: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let (all, orders) = (&[WritesFollowReads], &[WritesFollowReads, MonotonicReads]);
    judge(history, &Promise { all, orders }, budget)
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn a_client_that_reads_back_and_forth_breaks_monotonic_reads() {
        let events = "0 i read; 0 o read 1; 0 i read; 0 o read 2; 0 i read; 0 o read 1";
        let verdict = judged("monotonic-reads", events);
        assert_eq!(
            (verdict.reason.as_str(), &verdict.anomalies[0].ops[..]),
            ("1 monotonic-reads", &[0, 1, 2][..])
        );
        assert_eq!(answer("monotonic-writes", events), "ok");
        assert_eq!(
            judged("sessions", "0 i read; 0 o read 1; 0 i read; 0 o read null").reason,
            "1 monotonic-reads"
        );
    }

    #[test]
    fn two_clients_that_read_in_opposite_orders_break_it_together() {
        let events = "0 i read; 0 o read 1; 1 i read; 1 o read 2; 0 i read; 0 o read 2; 1 i read; 1 o read 1";
        assert_eq!(judged("monotonic-reads", events).anomalies[0].ops, [0, 1, 2, 3]);
    }

    #[test]
    fn a_client_that_does_not_see_its_write_breaks_read_your_writes() {
        let events = "0 i read; 0 o read 1; 0 i write 2; 0 o write 2; 0 i read; 0 o read 1";
        assert_eq!(judged("read-your-writes", events).reason, "1 read-your-writes");
        assert_eq!(judged("sessions", events).reason, "1 read-your-writes");
        assert_eq!(answer("read-your-writes", "0 i write 2; 0 o write 2; 0 i read; 0 o read null"), "bad");
        assert_eq!(answer("read-your-writes", "0 i write 2; 0 ? write 2; 0 i read; 0 o read null"), "ok");
    }

    #[test]
    fn writes_seen_against_their_order_break_monotonic_writes() {
        let events =
            "0 i write 1; 0 o write 1; 0 i write 2; 0 o write 2; 1 i read; 1 o read 2; 1 i read; 1 o read 1";
        assert_eq!(judged("monotonic-writes", events).reason, "1 monotonic-writes");
        assert_eq!(answer("monotonic-reads", events), "ok");
    }

    #[test]
    fn a_write_seen_before_what_its_writer_had_read_breaks_writes_follow_reads() {
        let events =
            "0 i read; 0 o read 1; 0 i write 2; 0 o write 2; 1 i read; 1 o read 2; 1 i read; 1 o read 1";
        assert_eq!(judged("writes-follow-reads", events).reason, "1 writes-follow-reads");
    }

    #[test]
    fn versions_are_compared_as_they_stand() {
        let back = "0 i read; 0 o read [5,7]; 0 i read; 0 o read [5,6]";
        assert_eq!(judged("sessions", back).reason, "1 monotonic-reads");
        let write = "0 i read; 0 o read [5,7]; 0 i write 6; 0 o write [6,7]";
        assert_eq!(judged("per-client-fifo", write).reason, "1 writes-follow-reads");
        assert_eq!(answer("monotonic-writes", write), "ok");
        let own = "0 i write 6; 0 o write [6,7]; 0 i read; 0 o read [5,6]; 0 i write 7; 0 o write [7,7]";
        assert_eq!(judged("sessions", own).reason, "1 read-your-writes, 1 monotonic-writes");
    }

    #[test]
    fn a_value_written_twice_is_no_version() {
        assert_eq!(answer("sessions", "0 i write 1; 0 o write 1; 0 i write 1; 0 o write 1"), "unknown");
    }
}
