//! Bringing the cluster up: every node created, then started, formed, and seen to be healthy.

use super::{BOOT_LOOK, Executor, FORMING_LOOK, RunError};
use crate::catalogue::{Ability, ActionKind};
use crate::env::{Exit, NodeAction, NodeId, in_real_time};
use crate::fault::restart::RestartData;
use crate::run::event::Phase;
use crate::run::operation::{OpIo, Target};
use crate::run::plan::Planned;
use crate::run::record::Status;
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::cell::RefCell;
use std::rc::Rc;

/// How much further clocks are moved than nodes hold back: some count from a look a little later.
const BEYOND: Millis = Millis(200);
/// How long a node may take to let the next one start.
const APART_MAX: Millis = Millis(500);
/// Between two steps: what nodes send one another has long arrived.
const STEP_EVERY: Millis = Millis(10);
/// How long a node that was just started may take to answer before it is asked again.
const ANSWER_MAX: Millis = Millis(500);

impl Executor<'_> {
    pub(super) fn boot(&mut self) -> Result<(), RunError> {
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
        let mut nodes: Vec<NodeId> = self.world.borrow().nodes.keys().copied().collect();
        if in_real_time(self.env.profile().name) {
            // A replica that finds nobody at its primary's address tries again after a second.
            nodes.sort_by_key(|node| self.world.borrow().nodes[node].role != Role::Primary);
        }
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
                if start {
                    self.wait_apart(node)?;
                }
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
        self.hurry(&nodes)?;
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
        let (world, target, seen) = (self.world.clone(), self.target.clone(), healthy.clone());
        self.spawn(move |io| async move {
            let mut prober = target.prober(io.clone(), world.clone());
            loop {
                let view = prober.look(Millis(500)).await;
                let why = target.amiss(&view, &world.borrow());
                world.borrow_mut().learn(view.clone());
                if why.is_empty() {
                    world.borrow_mut().views.push(view);
                    *seen.borrow_mut() = (true, Vec::new());
                    return;
                }
                seen.borrow_mut().1 = why;
                io.sleep(FORMING_LOOK).await;
            }
        });
        let bound = Micros(0).plus(self.bounds.boot);
        loop {
            self.all_live()?;
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
                return Err(self.unhealthy(healthy.borrow().1.join("; ")));
            }
            let due = self.start_due()?;
            self.turn(due.min(bound).min(self.env.now().plus(BOOT_LOOK)))?;
        }
        let now = self.env.now();
        self.world.borrow_mut().healthy_at = Some(now);
        Ok(())
    }

    /// Waits until a node that was just told to start lets the next one start, where that is asked for.
    fn wait_apart(&mut self, node: NodeId) -> Result<(), RunError> {
        if self.target.starts_apart().is_empty() {
            return Ok(());
        }
        let until = self.env.now().plus(APART_MAX);
        while self.env.now() < until && !self.interrupted && !self.world.borrow().serving.contains(&node) {
            self.all_live()?;
            self.turn(until)?;
        }
        Ok(())
    }

    /// Where time is real and clocks can be set, no cluster waits for what its nodes count by their wall clocks: these
    /// are moved ahead by as much, all alike and for good, those of nodes that join later too.
    ///
    /// They are moved in steps, so that nothing which is under way between nodes seems to have taken long.
    fn hurry(&mut self, nodes: &[NodeId]) -> Result<(), RunError> {
        let profile = self.env.profile();
        let held_back = self.target.holds_back();
        if !in_real_time(profile.name) || !profile.offers(Ability::Clock) || held_back == Millis(0) {
            return Ok(());
        }
        let shift = held_back.saturating_add(BEYOND);
        let step = Millis((self.timeline.cluster.node_timeout().0 / 5).clamp(20, 500));
        let done: Rc<RefCell<Option<Result<(), String>>>> = Rc::default();
        let (nodes, world, target, answer) =
            (nodes.to_vec(), self.world.clone(), self.target.clone(), done.clone());
        self.spawn(move |io| async move {
            *answer.borrow_mut() = Some(move_ahead(&io, &world, &*target, &nodes, shift, step).await);
        });
        let bound = Micros(0).plus(self.bounds.boot);
        while done.borrow().is_none() {
            self.all_live()?;
            let now = self.env.now();
            if self.interrupted {
                return Err(RunError::Interrupted);
            }
            if now >= bound {
                return Err(self.unhealthy("not every node answers".into()));
            }
            let due = self.start_due()?;
            self.turn(due.min(bound).min(now.plus(BOOT_LOOK)))?;
        }
        let told = match done.borrow_mut().take() {
            Some(Err(why)) => format!("clocks stay as they are, and the cluster waits: {why}"),
            _ => {
                self.shift = Some(shift);
                format!(
                    "the wall clocks of all nodes are {shift} ahead: a node that was just started refuses writes for {held_back}"
                )
            }
        };
        self.world.borrow_mut().notes.push(told);
        Ok(())
    }

    /// Why the bound on the first health was reached. Where the timeline itself keeps from the cluster what it took while
    /// it formed, nothing broke: there is nothing to judge.
    fn unhealthy(&self, why: String) -> RunError {
        match self.kept_from_it() {
            Some(taken) => RunError::Unformed(format!("{taken}; {why}")),
            None => RunError::Boot { within: self.bounds.boot, why },
        }
    }

    /// What an event did while the cluster formed and does not undo before it is healthy: it ended a node for good, or
    /// it is still in force.
    fn kept_from_it(&self) -> Option<String> {
        let world = self.world.borrow();
        let dead = world.nodes.iter().find(|(_, state)| state.left_dead && !state.up).map(|(node, _)| *node);
        if let Some(node) = dead {
            let life = world.lives.iter().rev().find(|life| life.node == node)?;
            let (event, _) = life.signalled.last()?;
            return Some(format!("{event} ended {node} for good while it formed"));
        }
        let in_force = |planned: &&Planned| {
            planned.started.is_some()
                && !planned.over()
                && planned.event.action.info().kind == ActionKind::Fault
        };
        let planned = self.plan.iter().find(in_force)?;
        Some(format!("{} began while it formed and is still in force", planned.event.id))
    }

    /// A node that ends before anything was done to the cluster, or refuses to start while it forms, does not come
    /// back: waiting for it is in vain.
    fn all_live(&self) -> Result<(), RunError> {
        let untouched = self.plan.iter().all(|planned| planned.started.is_none());
        let world = self.world.borrow();
        let gone = world.lives.iter().find_map(|life| {
            let (_, exit) = life.ended?;
            let refused = life.incarnation <= 1
                && life.signalled.is_empty()
                && matches!(exit, Exit::Code(code) if code != 0);
            (untouched || refused).then_some((life.node, exit))
        });
        gone.map_or(Ok(()), |(node, exit)| Err(RunError::Ended { node, exit }))
    }
}

/// Moves the clocks of these nodes ahead once all of them are at work.
async fn move_ahead(
    io: &Io,
    world: &Shared,
    target: &dyn Target,
    nodes: &[NodeId],
    shift: Millis,
    step: Millis,
) -> Result<(), String> {
    for node in nodes {
        // Whatever it answers: it has looked at its clock, or does so with its next timer.
        while world.borrow().is_live(*node) && !target.answers(io.clone(), *node, ANSWER_MAX).await {
            io.sleep(STEP_EVERY).await;
        }
    }
    let mut moved = Millis(0);
    while moved < shift {
        io.sleep(STEP_EVERY).await;
        let ahead = step.min(Millis(shift.0 - moved.0));
        for node in nodes {
            let action = NodeAction::Clock { ahead, behind: Millis(0), rate: 100 };
            io.node(*node, action).await.map_err(|error| error.to_string())?;
        }
        moved = moved.saturating_add(ahead);
    }
    Ok(())
}
