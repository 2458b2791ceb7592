use super::*;
use crate::entropy::{Entropy, Seed};
use crate::env::{Actor as _, Effect, EnvError, Input, LinkCount, NodeSpec, struck_so_far};
use crate::run::clocks::tests::timeline;
use crate::run::task::Task;
use crate::run::world::World;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const PAIR: [(NodeId, NodeId); 2] = [(NodeId(0), NodeId(1)), (NodeId(1), NodeId(0))];

/// What becomes of a cut of a second.
struct Outcome {
    status: Result<(), Status>,
    /// Why the run is broken, if it is.
    broken: Option<String>,
    /// What was told at its end.
    last: String,
    detail: String,
    /// The rules that lay on the links meanwhile.
    held: BTreeMap<(NodeId, NodeId), LinkRules>,
}

/// A cut of a second of a class, in an environment to which some changes of links, by number, come to nothing though it
/// says otherwise, and in which each cut swallows so many segments. `other` lies on one of the links all the while.
fn cut(deaf: &[usize], traffic: Traffic, other: Option<(Traffic, LinkRule)>, swallows: u64) -> Outcome {
    leaky(deaf, traffic, other, swallows, 0)
}

/// The same where so many packets cross meanwhile.
fn leaky(
    deaf: &[usize],
    traffic: Traffic,
    other: Option<(Traffic, LinkRule)>,
    swallows: u64,
    leaked: u64,
) -> Outcome {
    let mut world = World::new(&timeline());
    for _ in 0..2 {
        world.add_node(NodeSpec::default(), 0, Role::Primary);
    }
    if let Some(rule) = other {
        world.links.entry(PAIR[1]).or_default().insert("other".into(), rule);
    }
    let world = Rc::new(RefCell::new(world));
    let result: Rc<RefCell<Option<Result<(), Status>>>> = Rc::default();
    let report: Rc<RefCell<crate::run::operation::OpReport>> = Rc::default();
    let (shared, answer, told) = (world.clone(), result.clone(), report.clone());
    let mut task = Task::new(1, |io| async move {
        let (event, entropy) = ("e1".into(), Entropy::root(Seed(1)));
        let op = OpIo { io, world: shared, event, entropy, report: told };
        let ending = Ending { lasts: Some(Millis(1000)), heal: Rc::new(Cell::new(false)) };
        let cut = LinkRule { cut: true, ..LinkRule::default() };
        *answer.borrow_mut() = Some(hold_links(&PAIR, traffic, cut, &op, &ending).await);
    });
    let (mut rules, mut changes) = (BTreeMap::<(NodeId, NodeId), LinkRules>::new(), 0);
    let (mut struck, mut held) = (0, BTreeMap::new());
    let (mut knocked, mut leaks) = (Vec::new(), 0);
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
                    if changes == 2 {
                        held.clone_from(&rules);
                        struck += swallows;
                        leaks = leaked;
                    }
                    Ok(struck_so_far(&LinkCount { struck, ..LinkCount::default() }, 0, leaks))
                }
                Effect::Node(from, NodeAction::Knock(to, _)) => {
                    knocked.push((from, to));
                    Ok("it asks".into())
                }
                Effect::Node(from, NodeAction::Unheard(to, class)) => {
                    assert_eq!(knocked.pop(), Some((from, to)), "it was asked when the cut began");
                    let cut = [(from, to), (to, from)]
                        .iter()
                        .any(|link| rules.get(link).is_some_and(|one| !one.spares(class)));
                    let error = EnvError::Failed { what: "a cut".into(), why: "packets cross".into() };
                    if cut { Ok("no answer".into()) } else { Err(error) }
                }
                Effect::Node(from, NodeAction::Reach(to, class)) => {
                    let cut = [(from, to), (to, from)]
                        .iter()
                        .any(|link| rules.get(link).is_some_and(|one| !one.spares(class)));
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
    let status = result.borrow_mut().take().expect("done");
    let broken = world.borrow_mut().broken.take();
    let report = report.borrow();
    let last = report.steps.last().map(|(_, text)| text.clone()).unwrap_or_default();
    Outcome { status, broken, last, detail: report.detail.clone(), held }
}

#[test]
fn a_cut_that_was_healed_passes_and_tells_what_it_struck() {
    let healed = cut(&[], Traffic::All, None, 7);
    assert_eq!((healed.status, healed.broken, healed.detail.as_str()), (Ok(()), None, ""));
    assert!(healed.last.contains("7 segments were struck"), "{}", healed.last);
    assert!(healed.held.values().all(|rules| rules.uniform().is_some_and(|rule| rule.cut)));
}

#[test]
fn a_cut_that_nothing_came_up_against_is_told_as_none() {
    let idle = cut(&[], Traffic::All, None, 0);
    assert_eq!((idle.status, idle.detail.as_str()), (Ok(()), "struck nothing"));
}

#[test]
fn a_cut_of_which_one_way_was_not_healed_breaks_the_run_whatever_the_environment_says() {
    for traffic in [Traffic::All, Traffic::Clients, Traffic::Bus] {
        for heal in [2, 3] {
            let deaf = cut(&[heal], traffic, None, 1);
            assert!(matches!(deaf.status, Err(Status::Failed(_))), "{:?}", deaf.status);
            assert!(deaf.broken.is_some_and(|why| why.contains("no answer")), "change {heal} of {traffic}");
        }
    }
}

#[test]
fn a_cut_that_never_took_effect_breaks_the_run_whatever_the_environment_says() {
    for traffic in [Traffic::All, Traffic::Clients, Traffic::Bus] {
        let deaf = cut(&[0, 1], traffic, None, 0);
        assert!(matches!(deaf.status, Err(Status::Failed(_))), "{:?}", deaf.status);
        assert!(deaf.broken.is_some_and(|why| why.contains("packets cross")), "{traffic}");
    }
    let leaky = leaky(&[], Traffic::All, None, 5, 1);
    assert!(leaky.broken.is_some_and(|why| why.contains("1 packets crossed links while they were cut")));
}

#[test]
fn a_cut_of_one_class_leaves_the_others_to_what_else_lies_there() {
    let slow = LinkRule { delay: Millis(20), ..LinkRule::default() };
    let bus = cut(&[], Traffic::Bus, Some((Traffic::All, slow)), 1);
    let rules = bus.held[&PAIR[1]];
    assert_eq!((rules.bus.cut, rules.bus.delay), (true, Millis(20)));
    assert_eq!((rules.clients, rules.rest), (slow, slow));
    assert!(bus.held[&PAIR[0]].spares(Traffic::Clients));
}

#[test]
fn a_pair_that_another_fault_still_holds_is_left_to_its_end() {
    let slow = LinkRule { delay: Millis(20), ..LinkRule::default() };
    assert_eq!(cut(&[3], Traffic::All, Some((Traffic::All, slow)), 1).status, Ok(()));
    // A fault of another class is no reason to be left.
    let status = cut(&[3], Traffic::Bus, Some((Traffic::Clients, slow)), 1).status;
    assert!(matches!(status, Err(Status::Failed(_))), "{status:?}");
}
