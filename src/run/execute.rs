//! The executor: brings the cluster up, applies the timeline by its logical clock, keeps the load on, heals,
//! waits until the cluster has settled, and hands back the record. It is the same in every environment.
//!
//! A run has two phases. In the *safety* phase faults are on. Then the load stops, what a fault still holds is
//! healed, and a core (a majority of the primaries, and of each shard what it needs to be served) is brought
//! back where it is dead; nodes outside the core stay as they are. The core must converge and still hold what it
//! acknowledged.

use super::client::client;
use super::event::{Phase, RunEvent, since_healthy};
use super::look;
use super::operation::{OpIo, Target};
use super::plan::{self, Next, Planned};
use super::probe::{Prober, probe};
use super::record::{Applied, Last, Life, LogLine, Record, Status};
use super::settle::{amiss, examine, settle};
use super::strike::{Ending, strike};
use super::task::{Io, Task};
use super::workload::Workload;
use super::world::{Shared, World};
use crate::catalogue::{Action, ActionKind};
use crate::check::Judgement;
use crate::env::{Actor as _, ActorId, Effect, Env, Input, NodeAction, NodeId, Observed, Step};
use crate::fault::restart::RestartData;
use crate::history::Operation;
use crate::target::embedded::operations::Embedded;
use crate::target::embedded::placement;
use crate::time::{Micros, Millis};
use crate::timeline::{Load, Rate, Role, Start, Timeline};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

/// What the executor asks of the checks, which stand to its right.
pub trait Oracle {
    /// Judges a look in the middle of a run by the checks named, or all that can speak then.
    fn look(&self, record: &Record, checks: &[String]) -> Vec<Judgement>;
    /// How long the cluster may take to settle after the last heal, and how that is made up.
    fn settle_bound(&self, timeline: &Timeline, applied: &[Applied], lives: &[Life]) -> (Millis, String);
}

/// Whoever follows a run while it lasts.
pub trait Watch {
    fn event(&mut self, event: &RunEvent);
    /// Operations that have returned since the last call.
    fn operations(&mut self, _operations: &[Operation]) {}
}

impl<F: FnMut(&RunEvent)> Watch for F {
    fn event(&mut self, event: &RunEvent) {
        self(event);
    }
}

/// Bounds that are no part of the timeline.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// From the start of the first process to the first healthy view.
    pub boot: Millis,
    /// From the start of the first process to the end of everything.
    pub run: Millis,
}

/// Why a run broke: it says nothing about the system under test.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("failed to start {node}: {why}")]
    Start { node: NodeId, why: String },
    #[error("the cluster did not become healthy within {within}: {why}")]
    Boot { within: Millis, why: String },
    #[error("failed to form the cluster: {0}")]
    Form(String),
    #[error("the run took longer than {0}")]
    TooLong(Millis),
    #[error("interrupted before the cluster was healthy")]
    Interrupted,
}

/// How long an event that is under way may go on after the safety phase.
const LAST_EVENTS: Millis = Millis(60_000);
/// How often a wait for the cluster's first health looks.
const BOOT_LOOK: Millis = Millis(25);
/// The first client of a burst; the load's clients come before.
const BURST_CLIENTS: u32 = 1000;
/// Clients of one burst.
const BURST_WIDTH: u32 = 4;

/// Carries a timeline out. `sink` gets everything as it happens.
pub fn execute(
    timeline: &Timeline,
    env: &mut dyn Env,
    target: Rc<dyn Target>,
    bounds: Bounds,
    oracle: Rc<dyn Oracle>,
    sink: &mut dyn Watch,
) -> Result<Record, RunError> {
    let mut executor = Executor {
        world: Rc::new(RefCell::new(World::new(timeline))),
        plan: timeline.events.iter().map(Planned::new).collect(),
        actors: BTreeMap::new(),
        heal: Rc::new(Cell::new(false)),
        interrupted: false,
        told: Told::default(),
        blocked: Rc::default(),
        bursts: 0,
        healed_at: Cell::new(None),
        timeline,
        env,
        target,
        bounds,
        oracle,
        sink,
    };
    executor.boot()?;
    executor.safety()?;
    let last = executor.liveness()?;
    let record = executor.record(last);
    Ok(record)
}

struct Executor<'a> {
    timeline: &'a Timeline,
    env: &'a mut dyn Env,
    target: Rc<dyn Target>,
    bounds: Bounds,
    oracle: Rc<dyn Oracle>,
    sink: &'a mut dyn Watch,
    world: Shared,
    plan: Vec<Planned>,
    actors: BTreeMap<ActorId, Running>,
    /// Set when the safety phase ends: faults without an end of their own heal.
    heal: Rc<Cell<bool>>,
    interrupted: bool,
    told: Told,
    /// A look that was to end the run if it did not hold.
    blocked: Rc<RefCell<Option<String>>>,
    bursts: u32,
    healed_at: Cell<Option<Micros>>,
}

struct Running {
    task: Task,
    deadline: Option<Micros>,
}

/// What has been passed on to the sink.
#[derive(Default)]
struct Told {
    progress_at: Micros,
    notes: usize,
    operations: usize,
    roles: BTreeMap<NodeId, Role>,
}

impl Executor<'_> {
    // ---- actors ----

    fn spawn<F: Future<Output = ()> + 'static>(&mut self, make: impl FnOnce(Io) -> F) -> ActorId {
        let number = self.world.borrow_mut().actor_number();
        let id = ActorId(number);
        self.actors.insert(id, Running { task: Task::new(number, make), deadline: None });
        self.deliver(id, Input::Start);
        id
    }

    fn deliver(&mut self, who: ActorId, input: Input) {
        let now = self.env.now();
        {
            let mut world = self.world.borrow_mut();
            world.now = now;
            world.wall = self.env.wall();
        }
        let mut effects = Vec::new();
        if let Some(running) = self.actors.get_mut(&who) {
            running.deadline = running.task.on(now, input, &mut effects);
            let done = running.task.done();
            for effect in effects {
                self.submit(who, effect);
            }
            if done {
                self.actors.remove(&who);
            }
        }
    }

    fn submit(&mut self, who: ActorId, effect: Effect) {
        let created = match &effect {
            Effect::Node(node, NodeAction::Create(_)) => Some(*node),
            _ => None,
        };
        self.env.submit(who, effect);
        if let Some(node) = created {
            self.learn_address(node);
        }
    }

    fn learn_address(&mut self, node: NodeId) {
        let address = self.env.endpoint(node);
        if let Some(state) = self.world.borrow_mut().nodes.get_mut(&node) {
            state.address = address;
        }
    }

    /// Lets time pass up to `until` or until something has happened.
    fn turn(&mut self, until: Micros) -> Result<(), RunError> {
        let deadline =
            self.actors.values().filter_map(|running| running.deadline).min().unwrap_or(Micros::MAX);
        let mut inputs = Vec::new();
        if self.env.step(until.min(deadline), &mut inputs) == Step::Interrupted {
            self.interrupted = true;
        }
        for (_, who, input) in inputs {
            if matches!(input, Input::Applied(_)) {
                let unknown: Vec<NodeId> = self
                    .world
                    .borrow()
                    .nodes
                    .values()
                    .filter(|n| n.address.is_none())
                    .map(|n| n.node)
                    .collect();
                unknown.into_iter().for_each(|node| self.learn_address(node));
            }
            match input {
                Input::Observed(observed) => self.observe(observed),
                input => self.deliver(who, input),
            }
        }
        let now = self.env.now();
        let due: Vec<ActorId> = self
            .actors
            .iter()
            .filter(|(_, running)| running.deadline.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.deliver(id, Input::Timer);
        }
        self.world.borrow_mut().now = now;
        self.tell();
        if now.millis() > self.bounds.run {
            return Err(RunError::TooLong(self.bounds.run));
        }
        Ok(())
    }

    // ---- what the environment saw ----

    fn observe(&mut self, observed: Observed) {
        let now = self.env.now();
        self.world.borrow_mut().now = now;
        match observed {
            Observed::Log { node, line } => {
                let incarnation = self.world.borrow().nodes.get(&node).map_or(0, |n| n.incarnation);
                self.see(|observation, world, entropy| {
                    plan::log_matches(observation, node, &line, world, entropy)
                });
                if self.target.log_matters(&line) {
                    let line = LogLine { at: now, node, incarnation, line };
                    self.emit(|at_us| RunEvent::Log { at_us, line: line.clone() });
                    self.world.borrow_mut().log_lines.push(line);
                }
            }
            Observed::Started { node, incarnation, .. } => {
                let life = Life {
                    node,
                    incarnation,
                    started: now,
                    ended: None,
                    signalled: Vec::new(),
                    paused: Vec::new(),
                    stale: None,
                };
                let mut world = self.world.borrow_mut();
                if let Some(state) = world.nodes.get_mut(&node) {
                    state.up = true;
                    state.paused = false;
                    state.incarnation = incarnation;
                }
                world.paused_by.remove(&node);
                world.lives.push(life.clone());
                drop(world);
                self.emit(|at_us| RunEvent::Life { at_us, life: life.clone() });
            }
            Observed::Exited { node, incarnation, exit } => {
                self.see(|observation, world, entropy| plan::exit_matches(observation, node, world, entropy));
                let mut world = self.world.borrow_mut();
                if let Some(state) = world.nodes.get_mut(&node) {
                    state.up = false;
                    state.paused = false;
                }
                let life = world
                    .lives
                    .iter_mut()
                    .rev()
                    .find(|life| life.node == node && life.incarnation == incarnation);
                let life = life.map(|life| {
                    life.ended = Some((now, exit));
                    life.paused
                        .iter_mut()
                        .filter(|(_, end)| end.is_none())
                        .for_each(|(_, end)| *end = Some(now));
                    life.clone()
                });
                drop(world);
                if let Some(life) = life {
                    self.emit(|at_us| RunEvent::Life { at_us, life: life.clone() });
                }
            }
            Observed::Stretched { by, why } => {
                self.world.borrow_mut().stretches.push((now, by));
                self.emit(|at_us| RunEvent::Stretched { at_us, by, why: why.clone() });
            }
        }
    }

    /// Marks every event whose observation holds now.
    fn see(
        &mut self,
        holds: impl Fn(&crate::timeline::Observation, &World, &crate::entropy::Entropy) -> bool,
    ) {
        let world = self.world.borrow();
        // Before the cluster is healthy nothing counts as seen: anchors speak of the run.
        if world.healthy_at.is_none() {
            return;
        }
        for planned in
            self.plan.iter_mut().filter(|planned| planned.seen.is_none() && planned.started.is_none())
        {
            if let Start::When(observation) = &planned.event.start
                && holds(observation, &world, &world.key.child(&planned.event.id))
            {
                planned.seen = Some(world.now);
            }
        }
    }

    // ---- telling ----

    fn emit(&mut self, make: impl Fn(i64) -> RunEvent) {
        let world = self.world.borrow();
        let at = since_healthy(world.now, world.healthy_at.unwrap_or(Micros(0)));
        drop(world);
        self.sink.event(&make(at));
    }

    fn phase(&mut self, phase: Phase) {
        self.emit(|at_us| RunEvent::Phase { at_us, phase });
    }

    fn tell(&mut self) {
        let (notes, roles): (Vec<String>, Vec<(NodeId, Role, u16)>) = {
            let world = self.world.borrow();
            let changed = world
                .nodes
                .values()
                .filter(|n| n.id.is_some() && self.told.roles.get(&n.node) != Some(&n.role));
            (world.notes[self.told.notes..].to_vec(), changed.map(|n| (n.node, n.role, n.shard)).collect())
        };
        self.told.notes += notes.len();
        for text in notes {
            self.emit(|at_us| RunEvent::Note { at_us, text: text.clone() });
        }
        for (node, role, shard) in roles {
            self.told.roles.insert(node, role);
            self.emit(|at_us| RunEvent::Role { at_us, node, role: role.to_string(), shard: Some(shard) });
        }
        let operations = self.world.borrow().history[self.told.operations..].to_vec();
        if !operations.is_empty() {
            self.told.operations += operations.len();
            self.sink.operations(&operations);
        }
        let now = self.env.now();
        if now.since(self.told.progress_at) >= Millis::secs(1).micros() {
            self.told.progress_at = now;
            let world = self.world.borrow();
            let operations = world.history.len() as u64;
            let ok = world.history.iter().filter(|operation| operation.ok()).count() as u64;
            let nodes = world.nodes.values().filter(|n| !n.removed).count() as u16;
            let nodes_up = world.nodes.values().filter(|n| n.up && !n.removed).count() as u16;
            drop(world);
            let events_applied = self.plan.iter().filter(|planned| planned.started.is_some()).count() as u16;
            let events = self.plan.len() as u16;
            self.emit(|at_us| RunEvent::Progress {
                at_us,
                operations,
                ok,
                nodes_up,
                nodes,
                events_applied,
                events,
            });
        }
    }

    // ---- boot ----

    fn boot(&mut self) -> Result<(), RunError> {
        self.phase(Phase::Boot);
        let cluster = &self.timeline.cluster;
        let width = 1 + cluster.replicas;
        let mut starting: Vec<(NodeId, Rc<RefCell<Option<Result<String, String>>>>)> = Vec::new();
        for (number, spec) in self.target.provision(self.timeline).into_iter().enumerate() {
            let shard = number as u16 / width;
            let role = if (number as u16).is_multiple_of(width) { Role::Primary } else { Role::Replica };
            let node = self.world.borrow_mut().add_node(spec, shard, role);
            if role == Role::Primary {
                self.world.borrow_mut().primaries.insert(shard, node);
            }
        }
        let nodes: Vec<NodeId> = self.world.borrow().nodes.keys().copied().collect();
        // All are created before the first is started: their files name each other's addresses.
        for start in [false, true] {
            for node in &nodes {
                let result: Rc<RefCell<Option<Result<String, String>>>> = Rc::default();
                let spec = self.world.borrow().nodes[node].spec.clone();
                let (node, answer) = (*node, result.clone());
                self.spawn(move |io| async move {
                    let action =
                        if start { NodeAction::Start(RestartData::Kept) } else { NodeAction::Create(spec) };
                    *answer.borrow_mut() =
                        Some(io.node(node, action).await.map_err(|error| error.to_string()));
                });
                starting.push((node, result));
            }
            while starting.iter().any(|(_, result)| result.borrow().is_none()) {
                self.turn(Micros::MAX)?;
            }
            for (node, result) in starting.drain(..) {
                if let Some(Err(why)) = result.borrow_mut().take() {
                    return Err(RunError::Start { node, why });
                }
                self.learn_address(node);
            }
        }
        let formed: Rc<RefCell<Option<Status>>> = Rc::default();
        let (target, world, key) =
            (self.target.clone(), self.world.clone(), self.world.borrow().key.child("form"));
        let answer = formed.clone();
        let report = Rc::default();
        self.spawn(move |io| async move {
            let op = OpIo { io, world, event: "form".into(), entropy: key, report };
            *answer.borrow_mut() = Some(target.form(op).await);
        });
        let healthy: Rc<RefCell<(bool, Vec<String>)>> = Rc::default();
        let (world, seen) = (self.world.clone(), healthy.clone());
        self.spawn(move |io| async move {
            let mut prober = Prober::new(io.clone(), world.clone());
            loop {
                let view = prober.look(Millis(500)).await;
                let why = amiss(&view, &world.borrow());
                world.borrow_mut().learn(view.clone());
                if why.is_empty() {
                    world.borrow_mut().views.push(view);
                    *seen.borrow_mut() = (true, Vec::new());
                    return;
                }
                seen.borrow_mut().1 = why;
                io.sleep(BOOT_LOOK).await;
            }
        });
        let bound = Micros(0).plus(self.bounds.boot);
        loop {
            if let Some(Status::Failed(why)) = &*formed.borrow() {
                return Err(RunError::Form(why.clone()));
            }
            if formed.borrow().is_some() && healthy.borrow().0 {
                break;
            }
            if self.interrupted {
                return Err(RunError::Interrupted);
            }
            if self.env.now() >= bound {
                let why = healthy.borrow().1.join("; ");
                return Err(RunError::Boot { within: self.bounds.boot, why });
            }
            let due = self.start_due()?;
            self.turn(due.min(bound).min(self.env.now().plus(BOOT_LOOK)))?;
        }
        let now = self.env.now();
        self.world.borrow_mut().healthy_at = Some(now);
        Ok(())
    }

    // ---- the safety phase ----

    fn safety(&mut self) -> Result<(), RunError> {
        self.phase(Phase::Safety);
        let zero = self.env.now();
        let end = zero.plus(self.timeline.length);
        self.world.borrow_mut().load_stopped = false;
        let period = Millis(if self.env.profile().name == "sim" { 500 } else { 200 });
        let world = self.world.clone();
        let prober = self.spawn(move |io| probe(io, world, period));
        self.keep_copies(zero);
        let load = self.timeline.load.clone();
        let until = load.stop.map_or(end, |stop| zero.plus(stop).min(end));
        self.start_clients(&load, load.rate.0, 0, u32::from(load.clients), zero, until);
        while self.env.now() < end && !self.interrupted && self.blocked.borrow().is_none() {
            let due = self.start_due()?;
            self.start_bursts();
            self.turn(due.min(end).min(self.env.now().plus(Millis(100))))?;
        }
        // What is under way is seen to its end; what has not begun by now does not begin, except what only
        // waits for something under way.
        let bound = self.env.now().plus(LAST_EVENTS);
        while !self.interrupted
            && self.blocked.borrow().is_none()
            && self.env.now() < bound
            && self.unfinished()
        {
            let due = self.start_due()?;
            self.start_bursts();
            self.turn(due.min(bound).min(self.env.now().plus(Millis(100))))?;
        }
        self.world.borrow_mut().load_stopped = true;
        let waiting: Vec<usize> = (0..self.plan.len())
            .filter(|place| !self.plan[*place].over() && self.plan[*place].started.is_none())
            .collect();
        for place in waiting {
            self.skip(place, "the safety phase ended before it began".into());
        }
        self.actors.remove(&prober);
        Ok(())
    }

    /// Whether an event is under way that ends by itself, or one waits for such an event.
    fn unfinished(&self) -> bool {
        self.plan.iter().enumerate().any(|(place, planned)| {
            if planned.over() {
                return false;
            }
            if planned.started.is_some() {
                return planned.event.lasts.is_some()
                    || planned.event.action.info().kind != ActionKind::Fault
                    || !planned.event.action.info().lasting;
            }
            match &planned.event.start {
                Start::After(_) | Start::With(_) => {
                    match plan::next(&self.plan, place, self.world.borrow().healthy_at, self.env.now()) {
                        Next::Due(_) => true,
                        Next::Wait => self.anchor_moves(place),
                        Next::Skip(_) => false,
                    }
                }
                _ => false,
            }
        })
    }

    /// Whether what an event hangs on is under way or due.
    fn anchor_moves(&self, place: usize) -> bool {
        let anchors: Vec<&String> = match &self.plan[place].event.start {
            Start::After(ids) => ids.iter().collect(),
            Start::With(id) => vec![id],
            _ => return false,
        };
        anchors.iter().any(|id| {
            self.plan.iter().enumerate().any(|(other, planned)| {
                planned.event.id == **id
                    && other != place
                    && !planned.over()
                    && match planned.started {
                        Some(_) => planned.event.lasts.is_some() || !planned.event.action.info().lasting,
                        None => {
                            matches!(planned.event.start, Start::After(_) | Start::With(_))
                                && self.anchor_moves(other)
                        }
                    }
            })
        })
    }

    /// Folders are copied early where a later event wants an older one.
    fn keep_copies(&mut self, zero: Micros) {
        let wants = |action: &Action| matches!(action, Action::Restart(restart) if restart.data == RestartData::Older);
        if !self.timeline.events.iter().any(|event| wants(&event.action)) {
            return;
        }
        let world = self.world.clone();
        self.spawn(move |io| async move {
            io.sleep_until(zero.plus(Millis(500))).await;
            let nodes: Vec<NodeId> = world.borrow().nodes.keys().copied().collect();
            for node in nodes {
                if let Err(error) = io.node(node, NodeAction::KeepCopy).await {
                    world.borrow_mut().notes.push(format!("no copy of {node} was kept: {error}"));
                }
            }
        });
    }

    fn start_clients(&mut self, load: &Load, rate: u32, first: u32, count: u32, from: Micros, until: Micros) {
        if rate == 0 || count == 0 {
            return;
        }
        for client_number in first..first + count {
            let workload = Workload::new(load, &self.timeline.cluster, &self.timeline.key(), client_number);
            let world = self.world.clone();
            self.spawn(move |io| client(io, world, workload, rate, count, from, until));
        }
    }

    fn start_bursts(&mut self) {
        let asked: Vec<_> = std::mem::take(&mut self.world.borrow_mut().bursts);
        for (burst, _) in asked {
            let keys = if burst.one_key { 1 } else { 50 };
            let load = Load {
                shards: vec![burst.shard],
                rate: Rate(burst.rate),
                keys,
                ..self.timeline.load.clone()
            };
            let now = self.env.now();
            let first = BURST_CLIENTS + self.bursts * BURST_WIDTH;
            self.bursts += 1;
            self.start_clients(&load, burst.rate, first, BURST_WIDTH, now, now.plus(burst.length));
        }
    }

    // ---- events ----

    /// Starts every event that is due; returns when the next one is.
    fn start_due(&mut self) -> Result<Micros, RunError> {
        self.see(|observation, world, entropy| plan::state_matches(observation, world, entropy));
        let mut soonest = Micros::MAX;
        let mut place = 0;
        while place < self.plan.len() {
            self.take_results();
            if self.plan[place].over() || self.plan[place].started.is_some() {
                place += 1;
                continue;
            }
            let healthy_at = self.world.borrow().healthy_at;
            match plan::next(&self.plan, place, healthy_at, self.env.now()) {
                Next::Due(at) if at <= self.env.now() => {
                    self.start(place);
                    // What hangs on it may be due at the same instant, earlier in the list too.
                    place = 0;
                    continue;
                }
                Next::Due(at) => soonest = soonest.min(at),
                Next::Skip(why) => {
                    self.skip(place, why);
                    place = 0;
                    continue;
                }
                Next::Wait => {}
            }
            place += 1;
        }
        Ok(soonest)
    }

    fn skip(&mut self, place: usize, why: String) {
        let now = self.env.now();
        let planned = &mut self.plan[place];
        planned.ended = Some(now);
        planned.skipped = true;
        let applied = Applied {
            event: planned.event.id.clone(),
            action: planned.event.action.name().into(),
            resolved: Vec::new(),
            detail: String::new(),
            started: now,
            ended: Some(now),
            status: Status::Skipped(why),
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
        };
        self.world.borrow_mut().applied.push(applied.clone());
        self.emit(|at_us| RunEvent::Applied { at_us, applied: Box::new(applied.clone()) });
    }

    fn start(&mut self, place: usize) {
        let now = self.env.now();
        let planned = &mut self.plan[place];
        let event = planned.event.clone();
        planned.started = Some(now);
        let (report, status) = (planned.report.clone(), planned.status.clone());
        let applied = Applied {
            event: event.id.clone(),
            action: event.action.name().into(),
            resolved: Vec::new(),
            detail: String::new(),
            started: now,
            ended: None,
            status: Status::Applied,
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
        };
        let entropy = {
            let mut world = self.world.borrow_mut();
            world.now = now;
            world.applied.push(applied);
            self.plan[place].place = Some(world.applied.len() - 1);
            world.key.child(&event.id)
        };
        let (world, target) = (self.world.clone(), self.target.clone());
        let ending = Ending { lasts: event.lasts, heal: self.heal.clone() };
        let (oracle, blocked) = (self.oracle.clone(), self.blocked.clone());
        let looks: Rc<RefCell<Vec<Judgement>>> = Rc::default();
        let actor = self.spawn(move |io| async move {
            let after = world.clone();
            let op = OpIo { io, world, event: event.id.clone(), entropy, report };
            let outcome = match &event.action {
                Action::Check(check) => look::look(check, op, &*oracle, &blocked, &looks).await,
                action if action.info().kind == ActionKind::Fault => {
                    strike(action.clone(), op, ending, target).await
                }
                action => target.operation(action, op).await,
            };
            *status.borrow_mut() = Some(outcome);
            let stays = after.borrow_mut().take_stay(&event.id);
            if let Some(stays) = stays {
                stays.await;
            }
        });
        self.plan[place].actor = Some(actor);
        self.take_results();
    }

    /// Brings what the actors of events reported into the record.
    fn take_results(&mut self) {
        let mut over = Vec::new();
        {
            let mut world = self.world.borrow_mut();
            let now = world.now.max(self.env.now());
            for planned in &mut self.plan {
                let Some(place) = planned.place else { continue };
                if planned.ended.is_some() {
                    continue;
                }
                let applied = &mut world.applied[place];
                {
                    let report = planned.report.borrow();
                    if applied.resolved.len() != report.resolved.len()
                        || applied.steps.len() != report.steps.len()
                        || applied.detail != report.detail
                        || applied.slots.len() != report.slots.len()
                        || applied.slots_left_open != report.slots_left_open
                    {
                        applied.resolved.clone_from(&report.resolved);
                        applied.steps.clone_from(&report.steps);
                        applied.detail.clone_from(&report.detail);
                        applied.slots.clone_from(&report.slots);
                        applied.slots_left_open.clone_from(&report.slots_left_open);
                    }
                }
                if let Some(status) = planned.status.borrow_mut().take() {
                    planned.skipped = matches!(status, Status::Skipped(_));
                    applied.status = status;
                    applied.ended = Some(now);
                    planned.ended = Some(now);
                    over.push(applied.clone());
                }
            }
        }
        for applied in over {
            self.emit(|at_us| RunEvent::Applied { at_us, applied: Box::new(applied.clone()) });
        }
    }

    // ---- the liveness phase ----

    fn liveness(&mut self) -> Result<Option<Last>, RunError> {
        self.phase(Phase::Heal);
        self.heal.set(true);
        let healed: Rc<Cell<bool>> = Rc::default();
        let bound = self.env.now().plus(LAST_EVENTS);
        while self.plan.iter().any(|planned| planned.started.is_some() && !planned.over())
            && self.env.now() < bound
        {
            self.turn(self.env.now().plus(Millis(50)))?;
            self.take_results();
        }
        let (world, done) = (self.world.clone(), healed.clone());
        self.spawn(move |io| async move {
            revive_core(&io, &world).await;
            done.set(true);
        });
        let bound = self.env.now().plus(LAST_EVENTS);
        while !healed.get() && self.env.now() < bound {
            self.turn(bound)?;
        }
        self.healed_at.set(Some(self.env.now()));
        if self.interrupted {
            return Ok(None);
        }
        self.phase(Phase::Settle);
        let (bound, why) = {
            let world = self.world.borrow();
            self.oracle.settle_bound(self.timeline, &world.applied, &world.lives)
        };
        let bound_at = self.env.now().plus(bound);
        let last: Rc<RefCell<Option<Last>>> = Rc::default();
        let (world, answer) = (self.world.clone(), last.clone());
        self.spawn(move |io| async move {
            let (view, settled_at) = settle(&io, &world, bound_at).await;
            *answer.borrow_mut() = Some(examine(&io, &world, view, settled_at, bound, why, true).await);
        });
        while last.borrow().is_none() {
            if self.interrupted {
                return Ok(None);
            }
            self.turn(self.env.now().plus(Millis::secs(1)))?;
        }
        self.phase(Phase::Check);
        let last = last.borrow_mut().take();
        Ok(last)
    }

    fn record(&self, last: Option<Last>) -> Record {
        let mut record = self.world.borrow().record(last);
        record.healed_at = self.healed_at.get().unwrap_or(record.healed_at);
        if let Some(why) = &*self.blocked.borrow() {
            record.ended_early = Some(why.clone());
        }
        if self.interrupted {
            record.ended_early = Some("interrupted".into());
        }
        record
    }
}

/// Starts again what the core needs: a shard without a live member, or a primary that no majority can replace.
async fn revive_core(io: &Io, world: &Shared) {
    loop {
        let dead: Option<NodeId> = if world.borrow().timeline.target == Embedded::NAME {
            // Consensus needs a majority of each log's voters, whoever is primary.
            let world = world.borrow();
            let needed = placement::first_needed(&world.timeline.cluster, |node| world.is_live(NodeId(node)));
            needed.map(NodeId)
        } else {
            let world = world.borrow();
            let shards: Vec<u16> = world.primaries.keys().copied().collect();
            let lives = |node: &NodeId| world.is_live(*node);
            let primaries_alive =
                shards.iter().filter(|s| world.primary(**s).is_some_and(|p| lives(&p))).count();
            let majority = primaries_alive * 2 > shards.len();
            // With fewer than three primaries a dead one is never replaced by itself.
            let can_elect = majority && shards.len() >= 3;
            shards.iter().find_map(|shard| {
                let primary = world.primary(*shard)?;
                let state = world.nodes.get(&primary)?;
                let follower = world.replicas(*shard).iter().any(lives);
                (!state.up && !state.removed && (!follower || !can_elect)).then_some(primary)
            })
        };
        let Some(node) = dead else { return };
        match io.node(node, NodeAction::Start(RestartData::Kept)).await {
            Ok(_) => {
                let mut world = world.borrow_mut();
                world.notes.push(format!(
                    "healing: {node} is started again, since its shard cannot be served without it"
                ));
                if let Some(state) = world.nodes.get_mut(&node) {
                    state.up = true;
                    state.left_dead = false;
                }
            }
            Err(error) => {
                world.borrow_mut().notes.push(format!("healing: {node} cannot be started again: {error}"));
                return;
            }
        }
    }
}
