//! Bringing the cluster up: every node created, then started, formed, and seen to be healthy.

use super::{BOOT_LOOK, Executor, FORMING_LOOK, RunError};
use crate::env::{Exit, NodeAction, NodeId};
use crate::fault::restart::RestartData;
use crate::run::event::Phase;
use crate::run::operation::OpIo;
use crate::run::probe::Prober;
use crate::run::record::Status;
use crate::run::settle::amiss;
use crate::time::{Micros, Millis};
use crate::timeline::Role;
use std::cell::RefCell;
use std::rc::Rc;

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
