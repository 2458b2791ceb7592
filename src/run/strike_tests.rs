use super::*;
use crate::entropy::{Entropy, Seed};
use crate::env::{Actor as _, Effect, EnvError, Input, NodeSpec};
use crate::run::clocks::tests::timeline;
use crate::run::task::Task;
use crate::time::Micros;
use crate::timeline::Role;
use std::cell::RefCell;
use std::collections::BTreeMap;

const PAIR: [(NodeId, NodeId); 2] = [(NodeId(0), NodeId(1)), (NodeId(1), NodeId(0))];

/// What becomes of a cut of a second in an environment to which some changes of links, by number, come to nothing
/// though it says otherwise; and why the run is broken, if it is. `other` lies on one of the links all the while.
fn outcome(deaf: &[usize], other: Option<LinkRule>) -> (Result<(), Status>, Option<String>) {
    let mut world = World::new(&timeline());
    for _ in 0..2 {
        world.add_node(NodeSpec::default(), 0, Role::Primary);
    }
    if let Some(rule) = other {
        world.links.entry(PAIR[1]).or_default().insert("other".into(), rule);
    }
    let world = Rc::new(RefCell::new(world));
    let result: Rc<RefCell<Option<Result<(), Status>>>> = Rc::default();
    let (shared, answer) = (world.clone(), result.clone());
    let mut task = Task::new(1, |io| async move {
        let (event, entropy) = ("e1".into(), Entropy::root(Seed(1)));
        let op = OpIo { io, world: shared, event, entropy, report: Rc::default() };
        let ending = Ending { lasts: Some(Millis(1000)), heal: Rc::new(Cell::new(false)) };
        let cut = LinkRule { cut: true, ..LinkRule::default() };
        *answer.borrow_mut() = Some(hold_links(&PAIR, cut, &op, &ending).await);
    });
    let (mut rules, mut changes) = (BTreeMap::<(NodeId, NodeId), LinkRule>::new(), 0);
    let (mut now, mut waiting) = (0, vec![Input::Start]);
    while !task.done() {
        let (mut effects, mut deadline) = (Vec::new(), None);
        for input in std::mem::take(&mut waiting) {
            world.borrow_mut().now = Micros(now);
            deadline = task.on(Micros(now), input, &mut effects);
        }
        for effect in effects {
            waiting.push(Input::Applied(match effect {
                Effect::Link(from, to, rule) => {
                    if !deaf.contains(&changes) {
                        rules.insert((from, to), rule);
                    }
                    changes += 1;
                    Ok("so it is".into())
                }
                Effect::Node(from, NodeAction::Reach(to)) => {
                    let cut = [(from, to), (to, from)]
                        .iter()
                        .any(|link| rules.get(link).is_some_and(|one| one.cut));
                    let error = EnvError::Failed { what: "reaching it".into(), why: "no answer".into() };
                    if cut { Err(error) } else { Ok("they do".into()) }
                }
                other => unreachable!("{other:?}"),
            }));
        }
        if waiting.is_empty() {
            now = deadline.map_or(now, |at| at.0).max(now);
            waiting.push(Input::Timer);
        }
    }
    let outcome = result.borrow_mut().take().expect("done");
    let broken = world.borrow_mut().broken.take();
    (outcome, broken)
}

#[test]
fn a_cut_that_was_healed_passes() {
    assert_eq!(outcome(&[], None), (Ok(()), None));
}

#[test]
fn a_cut_of_which_one_way_was_not_healed_breaks_the_run_whatever_the_environment_says() {
    for heal in [2, 3] {
        let (outcome, broken) = outcome(&[heal], None);
        assert!(matches!(outcome, Err(Status::Failed(_))), "{outcome:?}");
        assert!(broken.is_some_and(|why| why.contains("no answer")), "change {heal}");
    }
}

#[test]
fn a_pair_that_another_fault_still_holds_is_left_to_its_end() {
    let slow = LinkRule { delay: Millis(20), ..LinkRule::default() };
    assert_eq!(outcome(&[3], Some(slow)), (Ok(()), None));
}
