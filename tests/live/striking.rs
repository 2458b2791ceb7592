//! Faults as a timeline has them, on a node of these tests: read from YAML as a scenario's are, refused if `live` does not
//! offer them, and carried out by the executor's own code (`run::strike`). What is left to the tests is to look.

use super::Bench;
use seedfault::catalogue::Action;
use seedfault::entropy::{Entropy, Seed};
use seedfault::env::{Actor as _, ActorId, Env as _, Input, LIVE, NodeId, NodeSpec, Observed};
use seedfault::run::operation::{OpIo, OpReport, Target};
use seedfault::run::record::{Life, Status};
use seedfault::run::strike::{Ending, strike};
use seedfault::run::task::{Local, Task};
use seedfault::run::world::{Shared, World};
use seedfault::time::{Micros, Millis};
use seedfault::timeline::{Role, Timeline, generate};
use seedfault::yaml::document::Problems;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Actors of these tests have lower numbers.
const FIRST: u32 = 1000;
/// How long a fault may take to be in force, or over.
const PATIENCE: Millis = Millis(30_000);

/// A fault under way, one at a time.
pub struct Striking {
    who: ActorId,
    task: Task,
    deadline: Option<Micros>,
    heal: Rc<Cell<bool>>,
    /// It is in force, and ends by itself: what it does next is its end.
    ends: bool,
    /// When it first did something about its end, by the wall clock.
    undone: Option<Micros>,
    report: Rc<RefCell<OpReport>>,
    status: Rc<RefCell<Option<Status>>>,
}

/// What became of a fault that is over.
pub struct Healed {
    /// When its end began.
    pub at: Micros,
    /// What the executor recorded of it, in order.
    pub steps: Vec<String>,
}

/// One scenario with this fault in it, as a user would write it. Who is killed without an end of it stays dead.
pub fn timeline(fault: &str, fields: &str) -> Result<Timeline, String> {
    let ends = if fault == "kill" { ", for: 1s" } else { "" };
    let text = format!(
        "fuzz: 1\nname: one fault\ntarget: valkey\nenvironment: live\ncluster: {{shards: 1, replicas: 1}}\nlength: 60s\n\
         timeline:\n  - {{id: fault, at: 1s, do: {{{fault}: {fields}}}{ends}}}\n"
    );
    let mut problems = Problems::default();
    let spec = seedfault::spec::parse::parse(text.as_bytes(), &mut problems)
        .ok_or_else(|| format!("{text}\n{:?}", problems.list))?;
    generate(&spec, Seed(1), "valkey", &LIVE).map_err(|error| error.to_string())
}

/// What the run knows of its one node.
pub fn world() -> Shared {
    let timeline = timeline("pause", "{node: node-0}").expect("a plain scenario");
    let mut world = World::new(&timeline);
    world.add_node(NodeSpec::default(), 0, Role::Primary);
    world.healthy_at = Some(Micros(0));
    Rc::new(RefCell::new(world))
}

impl Bench {
    /// Begins a fault and waits until it is in force: until the executor has recorded something of it, or `soon`.
    pub fn strike(&mut self, fault: &str, fields: &str, question: Option<&'static [&'static str]>) {
        assert!(self.striking.is_none(), "one at a time");
        let timeline = timeline(fault, fields).unwrap_or_else(|why| panic!("{why}"));
        let (action, lasts) = (timeline.events[0].action.clone(), timeline.events[0].lasts);
        let world = self.world.clone();
        {
            let mut world = world.borrow_mut();
            world.timeline = timeline;
            world.next_actor = world.next_actor.max(FIRST) + 1;
        }
        let number = world.borrow().next_actor;
        let (heal, report, status): (Rc<Cell<bool>>, Rc<RefCell<OpReport>>, Rc<RefCell<Option<Status>>>) =
            Default::default();
        let ending = Ending { lasts, heal: heal.clone() };
        let (told, came) = (report.clone(), status.clone());
        let task = Task::new(number, move |io| async move {
            let entropy = Entropy::root(Seed(u64::from(number)));
            let op = OpIo { io, world, event: format!("fault-{number}"), entropy, report: told };
            let ended = strike(action, op, ending, Rc::new(Anything(question))).await;
            *came.borrow_mut() = Some(ended);
        });
        let who = ActorId(number);
        let striking =
            Striking { who, task, deadline: None, heal, ends: false, undone: None, report, status };
        self.striking = Some(striking);
        self.feed(Input::Start);
        // A rhythm records nothing before its end.
        let soon = self.env.now().plus(Millis(100));
        let limit = self.env.now().plus(PATIENCE);
        loop {
            let Some(striking) = &mut self.striking else { unreachable!("put there above") };
            let recorded = !striking.report.borrow().steps.is_empty() || striking.task.done();
            let rhythm = ["flap", "stutter", "clock_strobe"].contains(&fault);
            if recorded || rhythm && self.env.now() >= soon {
                striking.ends = lasts.is_some();
                return;
            }
            assert!(self.env.now() < limit, "{fault} does not begin");
            self.pass(Millis(20));
        }
    }

    /// Ends the fault and waits until the executor says that it is over. A fault that was not applied, or not undone, is
    /// a failure.
    pub fn heal_fault(&mut self) -> Healed {
        self.begin_heal();
        self.end_heal()
    }

    /// The end begins; it is over after [`Bench::end_heal`].
    pub fn begin_heal(&mut self) {
        let Some(striking) = &self.striking else { unreachable!("there is one") };
        striking.heal.set(true);
        self.feed(Input::Timer);
        let limit = self.env.now().plus(PATIENCE);
        while self.striking.as_ref().is_some_and(|one| one.undone.is_none() && !one.task.done()) {
            assert!(self.env.now() < limit, "the fault does not end");
            self.pass(Millis(20));
        }
    }

    pub fn end_heal(&mut self) -> Healed {
        let limit = self.env.now().plus(PATIENCE);
        while self.striking.as_ref().is_some_and(|one| !one.task.done()) {
            assert!(self.env.now() < limit, "the fault does not end");
            self.pass(Millis(20));
        }
        let Some(striking) = self.striking.take() else { unreachable!("there is one") };
        assert_eq!(self.world.borrow().broken, None);
        assert_eq!(*striking.status.borrow(), Some(Status::Applied));
        let steps = striking.report.borrow().steps.iter().map(|(_, step)| step.clone()).collect();
        Healed { at: striking.undone.unwrap_or_else(|| self.env.wall()), steps }
    }

    /// The next input of the fault under way.
    pub fn feed(&mut self, input: Input) {
        let now = self.env.now();
        {
            let mut world = self.world.borrow_mut();
            (world.now, world.wall) = (now, self.env.wall());
        }
        let Some(striking) = &mut self.striking else { return };
        let mut effects = Vec::new();
        striking.deadline = striking.task.on(now, input, &mut effects);
        let over = striking.heal.get() || striking.ends;
        if over && striking.undone.is_none() && !effects.is_empty() {
            striking.undone = Some(self.env.wall());
        }
        effects.into_iter().for_each(|effect| self.env.submit(striking.who, effect));
    }

    /// When the fault under way wants its next turn.
    pub fn due(&self) -> Micros {
        self.striking.as_ref().and_then(|one| one.deadline).unwrap_or(Micros::MAX)
    }

    /// Takes what is the fault's, or what it must know. Whether it was the fault's alone.
    pub fn is_the_faults(&mut self, who: ActorId, input: &Input) -> bool {
        if let Input::Observed(observed) = input {
            self.know(observed);
            return false;
        }
        let its = self.striking.as_ref().is_some_and(|one| one.who == who);
        if its {
            self.feed(input.clone());
        }
        its || who.0 > FIRST
    }

    /// Keeps what the run knows of its node, as the executor does.
    fn know(&mut self, observed: &Observed) {
        let now = self.env.now();
        let mut world = self.world.borrow_mut();
        world.now = now;
        match observed {
            Observed::Started { node, incarnation, pid } => {
                self.pid = *pid;
                if let Some(state) = world.nodes.get_mut(node) {
                    (state.up, state.paused, state.incarnation) = (true, false, *incarnation);
                    state.address = self.env.endpoint(*node);
                }
                world.paused_by.remove(node);
                world.lives.push(life(*node, *incarnation, now));
            }
            Observed::Exited { node, incarnation, exit } => {
                if let Some(state) = world.nodes.get_mut(node) {
                    (state.up, state.paused) = (false, false);
                }
                let life =
                    world.lives.iter_mut().find(|one| (one.node, one.incarnation) == (*node, *incarnation));
                if let Some(life) = life {
                    life.ended = Some((now, *exit));
                }
            }
            Observed::Struck { node, event, blow, what } => world.struck(*node, event, *blow, what.clone()),
            Observed::Log { .. } | Observed::Message { .. } | Observed::Stretched { .. } => {}
        }
    }
}

fn life(node: NodeId, incarnation: u32, started: Micros) -> Life {
    let (signalled, paused) = (Vec::new(), Vec::new());
    Life { node, incarnation, started, ended: None, signalled, paused, stale: None }
}

/// Some program of which nothing is known but how it tells the time of day.
struct Anything(Option<&'static [&'static str]>);

impl Target for Anything {
    fn name(&self) -> &'static str {
        "anything"
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
    fn operation(&self, action: &Action, _: OpIo) -> Local<Status> {
        let why = format!("`{}` is no fault", action.name());
        Box::pin(async { Status::Failed(why) })
    }
    /// It was a member of nothing.
    fn rejoin(&self, _: OpIo, _: NodeId, _: Option<String>) -> Local<Status> {
        Box::pin(async { Status::Applied })
    }
    fn asks_time(&self) -> Option<&'static [&'static str]> {
        self.0
    }
    fn log_matters(&self, _: &str) -> bool {
        false
    }
}
