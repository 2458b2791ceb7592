//! The two phases of a run: safety with the faults on, then liveness with the core healed.

use super::{BURST_CLIENTS, BURST_WIDTH, Executor, LAST_EVENTS, RunError};
use crate::catalogue::{Action, ActionKind};
use crate::env::{NodeAction, NodeId};
use crate::fault::restart::RestartData;
use crate::run::event::Phase;
use crate::run::load::work;
use crate::run::operation::{OpIo, OpReport, Target};
use crate::run::plan::{self, Next};
use crate::run::probe::probe;
use crate::run::record::{Last, Record};
use crate::run::settle::{examine, settle};
use crate::run::task::{Io, Local};
use crate::run::workload::Workload;
use crate::run::world::Shared;
use crate::time::{Micros, Millis};
use crate::timeline::{Load, Rate, Start};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A client that does something else than the load, where a target offers it.
type Besides = fn(&dyn Target, Io, Shared, u32) -> Option<Local<()>>;

impl Executor<'_> {
    pub(super) fn safety(&mut self) -> Result<(), RunError> {
        self.phase(Phase::Safety);
        self.watch_messages();
        let zero = self.env.now();
        let end = zero.plus(self.timeline.length);
        self.world.borrow_mut().load_stopped = false;
        let period = Millis(if self.env.profile().name == "sim" { 500 } else { 200 });
        let (world, target) = (self.world.clone(), self.target.clone());
        let prober = self.spawn(move |io| probe(io, world, target, period));
        self.keep_copies(zero);
        let load = self.timeline.load.clone();
        let until = load.stop.map_or(end, |stop| zero.plus(stop).min(end));
        self.start_clients(&load, load.rate.0, 0, u32::from(load.clients), zero, until);
        let besides: [(u16, Besides); 7] = [
            (load.watchers, |target, io, world, number| target.watcher(io, world, number)),
            (load.sessions, |target, io, world, number| target.holder(io, world, number)),
            (load.tellers, |target, io, world, number| target.teller(io, world, number)),
            (load.leases, |target, io, world, number| target.lessee(io, world, number)),
            (load.guests, |target, io, world, number| target.guest(io, world, number)),
            (load.queuers, |target, io, world, number| target.queuer(io, world, number)),
            (load.containers, |target, io, world, number| target.packer(io, world, number)),
        ];
        for (count, client) in besides {
            for number in 0..u32::from(count) {
                let (world, target) = (self.world.clone(), self.target.clone());
                self.spawn(move |io| async move {
                    if let Some(client) = client(&*target, io, world, number) {
                        client.await;
                    }
                });
            }
        }
        while self.env.now() < end && !self.interrupted && self.blocked.borrow().is_none() {
            let due = self.start_due()?;
            self.start_bursts();
            self.turn(due.min(end).min(self.env.now().plus(Millis(100))))?;
        }
        // What is under way is seen to its end; what has not begun by now does not begin, except what only
        // waits for something under way.
        // A chain of events that wait for one another may take any number of such bounds, one for each that ends.
        let ended = |executor: &Self| executor.plan.iter().filter(|planned| planned.over()).count();
        let mut bound = self.env.now().plus(LAST_EVENTS);
        let mut before = ended(self);
        while !self.interrupted
            && self.blocked.borrow().is_none()
            && self.env.now() < bound
            && self.unfinished()
        {
            if ended(self) > before {
                before = ended(self);
                bound = self.env.now().plus(LAST_EVENTS);
            }
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
    pub(super) fn unfinished(&self) -> bool {
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
    pub(super) fn anchor_moves(&self, place: usize) -> bool {
        self.plan[place].event.anchors().iter().any(|id| {
            self.plan.iter().enumerate().any(|(other, planned)| {
                planned.event.id == *id
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
    pub(super) fn keep_copies(&mut self, zero: Micros) {
        let wants = |action: &Action| matches!(action, Action::Restart(restart) if restart.data == RestartData::Older);
        if !self.timeline.events.iter().any(|event| wants(&event.action)) {
            return;
        }
        let world = self.world.clone();
        self.spawn(move |io| async move {
            io.sleep_until(zero.plus(Millis(500))).await;
            let nodes: Vec<NodeId> = world.borrow().nodes.keys().copied().collect();
            for node in nodes {
                let kept = io.node(node, NodeAction::KeepCopy).await;
                let mut world = world.borrow_mut();
                match kept {
                    Ok(_) => {
                        world.copied.insert(node);
                    }
                    Err(error) => world.notes.push(format!("no copy of {node} was kept: {error}")),
                }
            }
        });
    }

    pub(super) fn start_clients(
        &mut self,
        load: &Load,
        rate: u32,
        first: u32,
        count: u32,
        from: Micros,
        until: Micros,
    ) {
        if rate == 0 || count == 0 {
            return;
        }
        for client_number in first..first + count {
            let workload = Workload::new(load, &self.timeline.cluster, &self.timeline.key(), client_number);
            let (world, target) = (self.world.clone(), self.target.clone());
            self.spawn(move |io| {
                let session = move |io, world, workload| target.session(io, world, workload);
                work(io, world, workload, (rate, count), (from, until), session)
            });
        }
    }

    pub(super) fn start_bursts(&mut self) {
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

    pub(super) fn liveness(&mut self) -> Result<Option<Last>, RunError> {
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
        let (world, target, done) = (self.world.clone(), self.target.clone(), healed.clone());
        self.spawn(move |io| async move {
            revive_core(&io, &world, &*target).await;
            mend(io, &world, &*target).await;
            done.set(true);
            let stays = world.borrow_mut().take_stay(HEAL);
            if let Some(stays) = stays {
                stays.await;
            }
        });
        let bound = self.env.now().plus(LAST_EVENTS);
        while !healed.get() && self.env.now() < bound {
            self.turn(bound)?;
        }
        self.healed_at.set(Some(self.env.now()));
        self.end_load()?;
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
        let (world, target, answer) = (self.world.clone(), self.target.clone(), last.clone());
        self.spawn(move |io| async move {
            let (view, settled_at) = settle(&io, &world, &*target, bound_at).await;
            let seen = (view, settled_at);
            *answer.borrow_mut() = Some(examine(&io, &world, &*target, seen, (bound, why), true).await);
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

    /// Clients see to its end what they have on the way, before anybody reads what the cluster holds.
    fn end_load(&mut self) -> Result<(), RunError> {
        let bound = self.env.now().plus(LAST_EVENTS);
        let waits = |world: &Shared| !world.borrow().open.is_empty() || world.borrow().queuers > 0;
        while waits(&self.world) && self.env.now() < bound && !self.interrupted {
            self.turn(bound)?;
        }
        self.world.borrow_mut().close_all();
        self.tell();
        Ok(())
    }

    pub(super) fn record(&self, last: Option<Last>) -> Record {
        let mut record = self.world.borrow().record(last);
        record.said = self.env.said();
        record.messages = self.env.messages();
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

/// What stands for the heal where an event's name is asked for.
const HEAL: &str = "heal";

/// Lets the target put right what our events left behind; what it did is told in notes.
async fn mend(io: Io, world: &Shared, target: &dyn Target) {
    let entropy = world.borrow().key.child(HEAL);
    let report: Rc<RefCell<OpReport>> = Rc::default();
    let op = OpIo { io, world: world.clone(), event: HEAL.into(), entropy, report: report.clone() };
    target.mend(op).await;
    let steps = std::mem::take(&mut report.borrow_mut().steps);
    world.borrow_mut().notes.extend(steps.into_iter().map(|(_, step)| format!("healing: {step}")));
}

/// Starts again what the core needs, one node after the other.
async fn revive_core(io: &Io, world: &Shared, target: &dyn Target) {
    loop {
        let dead = target.first_needed(&world.borrow());
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
