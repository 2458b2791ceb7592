use super::super::testing::{Scene, ms};
use super::*;
use crate::env::NodeId;
use crate::history::Stamp;
use RemovableAsk::{AddChild, Create, DeleteChild, Look, Touch};
use RemovableSaid::{Done, Gone, Stands, Unknown};

/// Milliseconds, what is asked, and what came back 10 ms later.
type Script = Vec<(u64, RemovableAsk, RemovableSaid)>;

fn standing(modified: i64, children: i32, version: i32) -> RemovableSaid {
    let children_zxid = i64::from(version) + 1;
    let modified_ms = modified;
    let as_of = 100;
    Stands(Standing {
        as_of,
        modified_zxid: modified,
        modified_ms,
        children_zxid,
        children_version: version,
        children,
    })
}
/// Never changed, and never with a child.
fn fresh() -> RemovableSaid {
    standing(1, 0, 0)
}
fn full() -> RemovableSaid {
    standing(1, 1, 1)
}
fn emptied() -> RemovableSaid {
    standing(1, 0, 2)
}

fn removable(ttl: Option<u64>, script: &Script) -> Removable {
    let stamp = |at: u64| Stamp { order: at, logical: ms(at), wall: ms(at) };
    let act = |(at, ask, said): &(u64, RemovableAsk, RemovableSaid)| RemovableAct {
        ask: *ask,
        node: NodeId(1),
        sent: stamp(*at),
        back: stamp(*at + 10),
        said: said.clone(),
    };
    let created = [(10_000, Create, fresh())];
    Removable {
        client: 0,
        path: "/removed/c0.1.0".into(),
        ttl: ttl.map(Millis),
        acts: created.iter().chain(script).map(act).collect(),
    }
}
/// One node of a kind that did all it has to.
fn good(ttl: Option<u64>) -> Script {
    match ttl {
        Some(_) => vec![
            (10_500, Look, fresh()),
            (11_000, Touch, standing(2, 0, 0)),
            (12_500, Look, standing(2, 0, 0)),
            (13_900, Look, Gone),
            (14_000, Look, Gone),
        ],
        None => vec![
            (12_000, Look, fresh()),
            (12_100, AddChild(0), Done),
            (14_000, Look, full()),
            (14_100, DeleteChild(0), Done),
            (14_200, Look, emptied()),
            (15_000, Look, Gone),
        ],
    }
}
fn scene(more: &[(Option<u64>, Script)]) -> Scene {
    let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
    scene.record.timeline.load.containers = 1;
    scene.record.removables = [Some(2000), None].map(|ttl| removable(ttl, &good(ttl))).to_vec();
    scene.record.removables.extend(more.iter().map(|(ttl, script)| removable(*ttl, script)));
    scene
}
fn judge(scene: &Scene) -> Judgement {
    Removals { within: Millis(2000) }.judge(&scene.record)
}

#[test]
fn nodes_that_are_kept_and_removed_as_they_have_to_be_pass() {
    let open = || Unknown("no answer".into());
    for (ttl, script) in [
        // A child keeps it for longer than its time.
        (
            Some(2000),
            vec![
                (10_500, AddChild(0), Done),
                (18_000, Look, full()),
                (18_100, DeleteChild(0), Done),
                (18_200, Look, emptied()),
                (20_900, Look, emptied()),
                (21_300, Look, Gone),
            ],
        ),
        // It may have been changed too late to be kept by that.
        (Some(2000), vec![(11_800, Touch, standing(2, 0, 0)), (12_500, Look, Gone)]),
        // Nobody knows whether that was done.
        (Some(2000), vec![(11_000, Touch, open()), (12_500, Look, Gone)]),
        (None, vec![(11_000, AddChild(0), open()), (12_500, Look, Gone)]),
        (None, vec![(11_000, AddChild(0), Done), (11_100, DeleteChild(0), open()), (12_500, Look, Gone)]),
        // One that was never used stays for ever.
        (None, vec![(40_000, Look, fresh())]),
        // Removed before its last child was asked for again.
        (
            None,
            vec![
                (11_000, AddChild(0), Done),
                (11_100, DeleteChild(0), Done),
                (11_200, DeleteChild(0), Gone),
                (12_000, AddChild(1), Gone),
            ],
        ),
    ] {
        let judgement = judge(&scene(&[(ttl, script)]));
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
    }
}

#[test]
fn each_promise_is_held_against_a_node() {
    let had = || vec![(11_000, AddChild(0), Done)];
    let after = |script: Script, more: Script| [script, more].concat();
    for (ttl, script, words) in [
        (Some(2000), vec![(11_900, Look, Gone)], "it was gone 90ms before 2s had passed"),
        (Some(2000), vec![(11_000, Touch, standing(2, 0, 0)), (12_900, Look, Gone)], "90ms before 2s"),
        (Some(2000), after(had(), vec![(15_000, Look, Gone)]), "it was gone though it had child 0"),
        (Some(2000), vec![(10_100, Look, fresh()), (15_100, Look, fresh())], "was still there more than 3s"),
        (
            Some(2000),
            after(
                had(),
                vec![(15_000, DeleteChild(0), Done), (15_100, Look, emptied()), (18_200, Look, emptied())],
            ),
            "was still there more than 3s",
        ),
        (None, vec![(12_000, Look, Gone)], "it was gone before it had any child"),
        (None, vec![(12_000, AddChild(0), Gone)], "it was gone before it had any child"),
        (None, after(had(), vec![(12_000, Look, Gone)]), "it was gone though it had child 0"),
        (None, after(had(), vec![(12_000, AddChild(1), Gone)]), "it was gone though it had child 0"),
        (
            None,
            after(had(), vec![(12_000, DeleteChild(0), Gone)]),
            "its child 0 was gone and nobody had deleted it",
        ),
        (
            None,
            after(
                had(),
                vec![(11_050, AddChild(1), Done), (11_100, DeleteChild(0), Done), (12_000, Look, Gone)],
            ),
            "it was gone though it had child 1",
        ),
        (
            None,
            after(
                had(),
                vec![(12_000, DeleteChild(0), Done), (12_100, Look, emptied()), (15_200, Look, emptied())],
            ),
            "was still there more than 3s",
        ),
        (
            None,
            after(
                had(),
                vec![(12_000, DeleteChild(0), Done), (13_000, Look, Gone), (13_100, Look, emptied())],
            ),
            "it was there again, gone on node-1",
        ),
    ] {
        let judgement = judge(&scene(&[(ttl, script)]));
        assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
        assert!(judgement.evidence[0].contains(words), "{words}: {judgement:?}");
    }
}

#[test]
fn faults_put_the_end_off_and_clocks_that_were_moved_leave_time_undecided() {
    let late = || (Some(2000), vec![(10_100, Look, fresh()), (15_100, Look, fresh())]);
    let early = || (Some(2000), vec![(11_900, Look, Gone)]);
    let with = |script, change: &dyn Fn(&mut Scene)| {
        let mut scene = scene(&[script]);
        change(&mut scene);
        judge(&scene)
    };
    assert_eq!(with(late(), &|_| {}).verdict, Verdict::Fail);
    let killed = with(late(), &|scene| scene.kill("k1", 1, 12_000, Some(13_000)));
    assert_eq!(killed.verdict, Verdict::Pass, "{killed:?}");
    assert_eq!(killed.classes.get("looks while faults went on"), Some(&1));
    // A fault makes no node go sooner.
    let killed = with(early(), &|scene| scene.kill("k1", 1, 10_500, Some(11_000)));
    assert_eq!(killed.verdict, Verdict::Fail, "{killed:?}");
    for script in [late(), early()] {
        let moved = with(script, &|scene| {
            scene.apply("c1", "clock_skew: {node: node-0, ahead: 5s}", 9_000, Some(9_500), &[0]);
        });
        assert_eq!(moved.verdict, Verdict::Pass, "{moved:?}");
        assert_eq!(moved.classes.get("clock-moved-under-node"), Some(&2), "{moved:?}");
    }
    // Children keep a node by any clock.
    let held = (None, vec![(11_000, AddChild(0), Done), (12_000, Look, Gone)]);
    let moved = with(held, &|scene| {
        scene.apply("c1", "clock_skew: {node: node-0, ahead: 5s}", 9_000, Some(9_500), &[0]);
    });
    assert_eq!(moved.verdict, Verdict::Fail, "{moved:?}");
}

#[test]
fn where_not_both_kinds_were_seen_to_be_kept_and_to_go_nothing_is_said() {
    let judge = |nodes: Vec<Removable>| {
        let mut scene = scene(&[]);
        scene.record.removables = nodes;
        judge(&scene).verdict
    };
    let ttl = removable(Some(2000), &good(Some(2000)));
    let container = removable(None, &good(None));
    assert_eq!(judge(vec![ttl.clone(), container.clone()]), Verdict::Pass);
    assert_eq!(judge(vec![]), Verdict::Unknown);
    assert_eq!(judge(vec![ttl.clone()]), Verdict::Unknown);
    assert_eq!(judge(vec![container.clone()]), Verdict::Unknown);
    let mut stays = container;
    stays.acts.truncate(4);
    assert_eq!(judge(vec![ttl.clone(), stays]), Verdict::Unknown);
    let mut never_made = ttl;
    never_made.acts[0].said = Unknown("no answer".into());
    assert_eq!(judge(vec![never_made]), Verdict::Unknown);
    let mut nobody = scene(&[]);
    nobody.record.timeline.load.containers = 0;
    assert_eq!(super::Removals { within: Millis(2000) }.judge(&nobody.record).verdict, Verdict::NotOwed);
}
