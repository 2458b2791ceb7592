//! Driving actors: inputs in, effects out, deadlines kept, and what the environment saw by itself.

use super::{Executor, RunError, Running};
use crate::catalogue::MessageType;
use crate::env::{Actor as _, ActorId, Effect, Input, NodeAction, NodeId, Observed, Step};
use crate::run::event::RunEvent;
use crate::run::plan;
use crate::run::record::{Life, LogLine};
use crate::run::task::{Io, Task};
use crate::run::world::World;
use crate::time::{Micros, Millis};
use crate::timeline::{Observation, Start};
use std::future::Future;

impl Executor<'_> {
    pub(super) fn spawn<F: Future<Output = ()> + 'static>(&mut self, make: impl FnOnce(Io) -> F) -> ActorId {
        let number = self.world.borrow_mut().actor_number();
        let id = ActorId(number);
        self.actors.insert(id, Running { task: Task::new(number, make), deadline: None });
        self.deliver(id, Input::Start);
        id
    }

    pub(super) fn deliver(&mut self, who: ActorId, input: Input) {
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

    pub(super) fn submit(&mut self, who: ActorId, effect: Effect) {
        let created = match &effect {
            Effect::Node(node, NodeAction::Create(_)) => Some(*node),
            _ => None,
        };
        self.env.submit(who, effect);
        if let Some(node) = created {
            if let Some(ahead) = self.shift {
                let action = NodeAction::Clock { ahead, behind: Millis(0), rate: 100 };
                self.env.submit(ActorId::EXECUTOR, Effect::Node(node, action));
            }
            self.learn_address(node);
        }
    }

    pub(super) fn learn_address(&mut self, node: NodeId) {
        let address = self.env.endpoint(node);
        if let Some(state) = self.world.borrow_mut().nodes.get_mut(&node) {
            state.address = address;
        }
    }

    /// Lets time pass up to `until` or until something has happened.
    pub(super) fn turn(&mut self, until: Micros) -> Result<(), RunError> {
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
        if let Some(why) = self.world.borrow_mut().broken.take() {
            return Err(RunError::Broken(why));
        }
        if now.millis() > self.bounds.run {
            return Err(RunError::TooLong(self.bounds.run));
        }
        Ok(())
    }

    pub(super) fn observe(&mut self, observed: Observed) {
        let now = self.env.now();
        self.world.borrow_mut().now = now;
        match observed {
            Observed::Log { node, line } => {
                let incarnation = self.world.borrow().nodes.get(&node).map_or(0, |n| n.incarnation);
                self.see(|observation, world, entropy| {
                    plan::log_matches(observation, node, &line, world, entropy)
                });
                if self.target.starts_apart().iter().any(|part| line.contains(part)) {
                    self.world.borrow_mut().serving.insert(node);
                }
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
            Observed::Struck { node, event, blow, what } => {
                self.world.borrow_mut().struck(node, &event, blow, what);
            }
            Observed::Message { kind, from, to } => self.see_message((kind, from, to)),
            Observed::Stretched { by, why } => {
                self.world.borrow_mut().stretches.push((now, by));
                self.emit(|at_us| RunEvent::Stretched { at_us, by, why: why.clone() });
            }
        }
    }

    /// Counts a message for every event that waits for such a one, and marks those whose number it is.
    fn see_message(&mut self, message: (MessageType, NodeId, NodeId)) {
        {
            let world = self.world.borrow();
            for planned in self.plan.iter_mut().filter(|planned| planned.waits()) {
                if let Start::When(observation @ Observation::Message { nth, .. }) = &planned.event.start
                    && let entropy = world.key.child(&planned.event.id)
                    && plan::message_matches(observation, message, &world, &entropy)
                {
                    planned.messages += 1;
                    planned.seen = (planned.messages >= *nth).then_some(world.now);
                }
            }
        }
        self.watch_messages();
    }

    /// Asks the environment for the messages that some event waits for, and for no others.
    pub(super) fn watch_messages(&mut self) {
        let kinds = self.plan.iter().filter(|planned| planned.waits()).filter_map(|planned| {
            match &planned.event.start {
                Start::When(Observation::Message { kind, .. }) => Some(*kind),
                _ => None,
            }
        });
        let kinds: Vec<MessageType> = kinds.collect();
        self.env.watch_messages(&kinds);
    }

    /// Marks every event whose observation holds now.
    pub(super) fn see(
        &mut self,
        holds: impl Fn(&crate::timeline::Observation, &World, &crate::entropy::Entropy) -> bool,
    ) {
        let world = self.world.borrow();
        // Before the cluster is healthy nothing counts as seen: anchors speak of the run.
        if world.healthy_at.is_none() {
            return;
        }
        for planned in self.plan.iter_mut().filter(|planned| planned.waits()) {
            if let Start::When(observation) = &planned.event.start
                && holds(observation, &world, &world.key.child(&planned.event.id))
            {
                planned.seen = Some(world.now);
            }
        }
    }
}
