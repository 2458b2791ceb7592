//! The queue by hand: an honest one, and one break of each claim.

use super::super::testing::{Scene, ms};
use super::*;
use crate::env::NodeId;
use crate::history::Stamp;

/// An act of a queuer that is under way from an order to the next one.
fn act(queuer: u32, order: u64, ask: QueueAsk, said: QueueSaid) -> QueueAct {
    let at = |order: u64| Stamp { order, logical: ms(order), wall: ms(order) };
    let (sent, back) = (at(6000 + 2 * order), at(6001 + 2 * order));
    QueueAct { queuer, round: 0, node: NodeId(queuer as u16), ask, sent, back, said }
}
fn put(order: u64, element: u64, by: i64) -> QueueAct {
    act(0, order, QueueAsk::Put(format!("v{element}")), QueueSaid::Put { element, by })
}
fn list(queuer: u32, order: u64, as_of: i64, elements: &[u64]) -> QueueAct {
    act(queuer, order, QueueAsk::List, QueueSaid::Listed { as_of, elements: elements.to_vec() })
}
fn rest(order: u64, as_of: i64, elements: &[u64]) -> QueueAct {
    QueueAct { ask: QueueAsk::Rest, ..list(0, order, as_of, elements) }
}
fn read(order: u64, as_of: i64, element: u64, value: &str, put_by: i64) -> QueueAct {
    act(1, order, QueueAsk::Read(element), QueueSaid::Holds { as_of, value: value.into(), put_by })
}
fn take(queuer: u32, order: u64, element: u64, by: i64) -> QueueAct {
    act(queuer, order, QueueAsk::Take(element), QueueSaid::Taken { by })
}
fn open(mut act: QueueAct) -> QueueAct {
    act.said = QueueSaid::Unknown("no answer".into());
    act
}

/// Two elements are put as of 10 and 11, the first is taken as of 20, the second is left.
fn honest() -> Vec<QueueAct> {
    vec![
        put(1, 0, 10),
        put(2, 1, 11),
        // By a server that has not heard of the second.
        list(1, 3, 10, &[0]),
        read(4, 11, 0, "v0", 10),
        take(1, 5, 0, 20),
        rest(90, 99, &[1]),
        read(91, 99, 1, "v1", 11),
    ]
}
fn judge(queue: Vec<QueueAct>) -> Judgement {
    let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
    scene.record.timeline.load.queuers = 2;
    scene.record.queue = queue;
    Queue {}.judge(&scene.record)
}
fn with(more: Vec<QueueAct>) -> Judgement {
    judge([honest(), more].concat())
}
/// As the honest one, with another act in the place of one.
fn instead(place: usize, other: QueueAct) -> Judgement {
    let mut queue = honest();
    queue[place] = other;
    judge(queue)
}

#[test]
fn an_honest_queue_passes() {
    let judgement = judge(honest());
    assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
    assert!(judgement.looked_at.contains("2 elements were put: 1 were taken, 1 were left"), "{judgement:?}");
}

#[test]
fn what_was_not_seen_is_unknown() {
    assert_eq!(judge(vec![]).verdict, Verdict::Unknown);
    assert_eq!(judge(honest()[..5].to_vec()).verdict, Verdict::Unknown, "nobody read the rest");
    assert_eq!(instead(4, open(take(1, 5, 0, 20))).verdict, Verdict::Unknown, "nothing was taken for sure");
    let nobody = Scene::new(1, 2).target("zookeeper").healthy();
    assert_eq!(Queue {}.judge(&nobody.record).verdict, Verdict::NotOwed);
}

#[test]
fn what_has_no_answer_may_have_happened_or_not() {
    // A put without an answer is there, and is read; a deletion without one explains what is gone, and what is not.
    let unanswered = open(put(6, 2, 30));
    for gone in [true, false] {
        let left: &[u64] = if gone { &[1, 2] } else { &[1, 2, 3] };
        let more = [
            unanswered.clone(),
            put(7, 3, 31),
            open(take(1, 8, 3, 0)),
            rest(95, 120, left),
            read(96, 120, 2, "v2", 30),
        ];
        let judgement = judge([&honest()[..5], &more].concat());
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
    }
    // It is not known which of two without an answer a name belongs to, and one is enough for it.
    let judgement = with(vec![unanswered, list(1, 9, 40, &[1, 2])]);
    assert!(judgement.evidence[0].contains("in the end, a list"), "it was seen and is gone: {judgement:?}");
}

#[test]
fn each_break_of_the_queue_is_told() {
    let nothing =
        |order, element, as_of| act(1, order, QueueAsk::Take(element), QueueSaid::Nothing { as_of });
    let refused = QueueAct { said: QueueSaid::Refused("SessionExpired".into()), ..put(6, 2, 30) };
    let odd = QueueAct { said: QueueSaid::Odd("Count(1)".into()), ..list(1, 6, 30, &[]) };
    for (judgement, words) in [
        (with(vec![take(0, 6, 0, 21)]), "e-0000000000 was taken twice: by queuer 1"),
        (instead(5, rest(90, 99, &[])), "lacks e-0000000001, which was there as of 0xb"),
        (judge([&honest()[..5], &[rest(90, 99, &[])]].concat()), "nobody can have taken: it is lost"),
        (with(vec![nothing(6, 1, 50)]), "there is no e-0000000001, which was there"),
        (with(vec![put(6, 2, 30), nothing(7, 2, 31), open(take(1, 8, 2, 0))]), "nobody can have taken"),
        (
            instead(2, list(1, 3, 11, &[1])),
            "a list as of 0xb lacks e-0000000000, which was there as of 0xa and until",
        ),
        (
            with(vec![put(6, 2, 30), list(2, 7, 30, &[2]), take(2, 8, 2, 31)]),
            "took e-0000000002 by a list as of 0x1e that passed over e-0000000001",
        ),
        (with(vec![list(1, 6, 20, &[0, 1])]), "is there as of 0x14, and queuer 1"),
        (with(vec![list(1, 6, 99, &[1, 7])]), "e-0000000007 is there, which nobody put"),
        (with(vec![read(92, 99, 7, "v7", 50)]), "holds `v7`, which nobody put"),
        (with(vec![refused, read(92, 99, 2, "v2", 30)]), "which was refused: SessionExpired"),
        (instead(3, read(4, 11, 0, "v1", 10)), "holds `v1`, put as of 0xa, and `v0` was put there"),
        (with(vec![read(92, 99, 1, "v1", 12)]), "and held `v1`, put as of 0xb"),
        (with(vec![open(put(6, 2, 0)), read(7, 40, 2, "v0", 30)]), "`v0` was put once, and is"),
        (
            with(vec![QueueAct { ask: QueueAsk::Put("w".into()), ..put(6, 1, 30) }]),
            "e-0000000001 was given to `w` as of 0x1e, and had been given to `v1`",
        ),
        (instead(1, put(2, 1, 9)), "numbers have to rise with transactions"),
        (instead(1, put(0, 1, 11)), "e-0000000000 was asked for after e-0000000001 was acknowledged"),
        (with(vec![odd]), "was answered by Count(1)"),
    ] {
        assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
        assert!(judgement.evidence.iter().any(|line| line.contains(words)), "{words}: {judgement:?}");
    }
}
