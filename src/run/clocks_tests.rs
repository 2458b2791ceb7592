use super::*;
use crate::catalogue::{Action, NodeSelector};
use crate::entropy::{Entropy, Seed};
use crate::env::{Actor as _, Effect, Input, NodeSpec};
use crate::run::task::{Local, Task};
use crate::run::world::World;
use crate::time::Micros;
use crate::timeline::{Cluster, Formation, Load, Role, Schedule, Settings, Timeline};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// How long a node takes to answer.
const ANSWER_US: u64 = 300;

/// A node that runs in real time, and an environment that may not do what it says it did.
struct Fake {
    /// What its clock shows at the run's beginning and gains in a second, in microseconds.
    ahead: i64,
    rate: i64,
    since: i64,
    /// Settings of the clock that come to nothing, by number, though the environment says they are in force.
    deaf: &'static [usize],
    settings: usize,
}

impl Fake {
    fn ahead(&self, now: i64) -> i64 {
        self.ahead + (now - self.since) * (self.rate - 100) / 100
    }

    fn set(&mut self, now: i64, jump: i64, rate: u16) {
        let deaf = self.deaf.contains(&self.settings);
        self.settings += 1;
        if !deaf {
            *self = Self { ahead: self.ahead(now) + jump, rate: i64::from(rate), since: now, ..*self };
        }
    }
}

struct Valkey;

impl Target for Valkey {
    fn name(&self) -> &'static str {
        "valkey"
    }
    fn provision(&self, _: &Timeline) -> Vec<NodeSpec> {
        Vec::new()
    }
    fn provision_new(&self, _: &Timeline, _: NodeId) -> NodeSpec {
        NodeSpec::default()
    }
    fn form(&self, _: OpIo) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn operation(&self, _: &Action, _: OpIo) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn rejoin(&self, _: OpIo, _: NodeId, _: Option<String>) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn asks_time(&self) -> Option<&'static [&'static str]> {
        Some(&["TIME"])
    }
    fn log_matters(&self, _: &str) -> bool {
        false
    }
}

/// That of a run in real time, with nothing in it.
pub fn timeline() -> Timeline {
    Timeline {
        seed: Seed(1),
        generator: String::new(),
        catalogue: 1,
        profile: String::new(),
        name: None,
        target: "valkey".into(),
        environment: "live".into(),
        cluster: Cluster {
            shards: 1,
            replicas: 0,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        },
        load: Load::none(),
        length: Millis::secs(1),
        events: Vec::new(),
        checks: Vec::new(),
        bugs: Vec::new(),
        schedule: Schedule::default(),
    }
}

/// What becomes of a fault that lasts a second, and why the run is broken, if it is.
fn outcome(skew: ClockSkew, deaf: &'static [usize]) -> (Result<(), Status>, Option<String>) {
    let mut world = World::new(&timeline());
    let node = world.add_node(NodeSpec::default(), 0, Role::Primary);
    world.nodes.get_mut(&node).expect("added").up = true;
    let world = Rc::new(RefCell::new(world));
    let result: Rc<RefCell<Option<Result<(), Status>>>> = Rc::default();
    let (shared, answer) = (world.clone(), result.clone());
    let mut task = Task::new(1, |io| async move {
        let op = OpIo {
            io,
            world: shared,
            event: "e1".into(),
            entropy: Entropy::root(Seed(1)),
            report: Rc::default(),
        };
        let ending = Ending { lasts: Some(Millis(1000)), heal: Rc::new(Cell::new(false)) };
        *answer.borrow_mut() = Some(strike_clock(&skew, &op, &ending, &Valkey).await);
    });
    let mut fake = Fake { ahead: 1_700_000_000_000_000, rate: 100, since: 0, deaf, settings: 0 };
    let (mut now, mut waiting) = (0, vec![Input::Start]);
    while !task.done() {
        let mut effects = Vec::new();
        let mut deadline = None;
        for input in std::mem::take(&mut waiting) {
            {
                let mut world = world.borrow_mut();
                (world.now, world.wall) = (Micros(now), Micros(now));
            }
            deadline = task.on(Micros(now), input, &mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Open(conn, _) => waiting.push(Input::Opened(conn)),
                Effect::Send(conn, _) => {
                    let time = now as i64 + ANSWER_US as i64 / 2;
                    let time = time + fake.ahead(time);
                    let (second, rest) = ((time / 1_000_000).to_string(), (time % 1_000_000).to_string());
                    let text =
                        format!("*2\r\n${}\r\n{second}\r\n${}\r\n{rest}\r\n", second.len(), rest.len());
                    waiting.push(Input::Bytes(conn, text.into_bytes()));
                }
                Effect::Node(_, NodeAction::Clock { ahead, behind, rate }) => {
                    let jump = ahead.micros().0 as i64 - behind.micros().0 as i64;
                    fake.set(now as i64 + ANSWER_US as i64 / 2, jump, rate);
                    waiting.push(Input::Applied(Ok("so it is".into())));
                }
                _ => {}
            }
        }
        if waiting.is_empty() {
            now = deadline.map_or(now, |at| at.0).max(now);
            waiting.push(Input::Timer);
        } else {
            now += ANSWER_US;
        }
    }
    let outcome = result.borrow_mut().take().expect("done");
    let broken = world.borrow_mut().broken.take();
    (outcome, broken)
}

fn skew(ahead: u64, behind: u64, rate: u16) -> ClockSkew {
    ClockSkew { node: NodeSelector::Node(0), ahead: Millis(ahead), behind: Millis(behind), rate }
}

#[test]
fn a_clock_that_was_set_and_healed_passes() {
    for skew in [skew(5_000, 0, 100), skew(0, 3_000, 100), skew(0, 0, 300), skew(2_000, 0, 50)] {
        assert_eq!(outcome(skew.clone(), &[]), (Ok(()), None), "{skew:?}");
    }
}

#[test]
fn a_clock_that_was_never_set_or_never_healed_breaks_the_run_whatever_the_environment_says() {
    for (skew, deaf, since) in [
        (skew(5_000, 0, 100), &[0], "since it was set"),
        (skew(0, 10, 100), &[0], "since it was set"),
        (skew(0, 0, 300), &[1], "since it was healed"),
        (skew(0, 0, 99), &[1], "since it was healed"),
        (skew(0, 0, 50), &[0], "since it was set, to its heal,"),
    ] {
        let (outcome, broken) = outcome(skew.clone(), deaf);
        assert!(matches!(outcome, Err(Status::Failed(_))), "{skew:?}: {outcome:?}");
        assert!(broken.as_ref().is_some_and(|why| why.contains(since)), "{skew:?}: {broken:?}");
    }
}

#[test]
fn a_clock_agrees_as_far_as_the_time_of_an_answer_tells() {
    let at = |low, high| Span { low, high };
    // Asked at 10 ms and answered at 12 ms, it said 1,000 s; later, at 1010 to 1011 ms, 1,006 s.
    let before = at(1_000_000_000, 1_000_000_000).minus(at(10_000, 12_000));
    let after = at(1_006_000_000, 1_006_000_000).minus(at(1_010_000, 1_011_000));
    let moved = after.minus(before);
    assert_eq!(moved, at(4_999_000, 5_002_000));
    assert!(moved.meets(at(5_000_000, 5_000_000)));
    assert!(!moved.meets(at(5_010_000, 5_010_000)) && !moved.meets(at(0, 0)));
}

#[test]
fn a_clock_of_another_rate_gains_or_loses_with_the_time_that_passes() {
    let second = Span { low: 900_000, high: 1_000_000 };
    assert_eq!(second.leant(300), Span { low: 1_800_000, high: 2_000_000 });
    assert_eq!(second.leant(50), Span { low: -500_000, high: -450_000 });
    assert_eq!(second.leant(100), Span { low: 0, high: 0 });
}
