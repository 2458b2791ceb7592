//! The executor: brings the cluster up, applies the timeline by its logical clock, keeps the load on, heals,
//! waits until the cluster has settled, and hands back the record. It is the same in every environment.
//!
//! A run has two phases. In the *safety* phase faults are on. Then the load stops, what a fault still holds is
//! healed, and a core (a majority of the primaries, and of each shard what it needs to be served) is brought
//! back where it is dead; nodes outside the core stay as they are. The core must converge and still hold what it
//! acknowledged.

mod actors;
mod boot;
mod events;
mod phases;
mod telling;

use super::event::RunEvent;
use super::operation::Target;
use super::plan::Planned;
use super::record::{Applied, Life, Record};
use super::task::Task;
use super::world::{Shared, World};
use crate::check::Judgement;
use crate::env::{ActorId, Env, Exit, NodeId};
use crate::history::Operation;
use crate::time::{Micros, Millis};
use crate::timeline::{Role, Timeline};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    #[error("the cluster was never healthy, and could not be: {0}")]
    Unformed(String),
    #[error("{node} ended by itself before the cluster was healthy: {exit}")]
    Ended { node: NodeId, exit: Exit },
    #[error("failed to form the cluster: {0}")]
    Form(String),
    #[error("the run took longer than {0}")]
    TooLong(Millis),
    #[error("a fault could not be put in force or undone: {0}")]
    Broken(String),
    #[error("this machine lacks what the timeline needs: {0}")]
    Lacks(String),
    #[error("interrupted before the cluster was healthy")]
    Interrupted,
}

/// How long an event that is under way may go on after the safety phase.
const LAST_EVENTS: Millis = Millis(60_000);
/// How often a wait for the cluster's first health looks.
const BOOT_LOOK: Millis = Millis(25);
/// How often all nodes are asked meanwhile: to answer takes each of them longer than anything else it does then.
const FORMING_LOOK: Millis = Millis(100);
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
        shift: None,
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
    /// How far ahead the wall clocks of all nodes are, those of nodes to come too.
    shift: Option<Millis>,
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
    /// As many operations were told of then.
    progress_operations: usize,
    notes: usize,
    operations: usize,
    roles: BTreeMap<NodeId, Role>,
}
