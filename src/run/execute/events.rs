//! Starting events at their time or anchor, and bringing what they report into the record.

use super::{Executor, RunError};
use crate::catalogue::{Action, ActionKind};
use crate::check::Judgement;
use crate::run::event::RunEvent;
use crate::run::look;
use crate::run::operation::OpIo;
use crate::run::plan::{self, Next};
use crate::run::record::{Applied, Status};
use crate::run::strike::{Ending, strike};
use crate::time::Micros;
use std::cell::RefCell;
use std::rc::Rc;

impl Executor<'_> {
    /// Starts every event that is due; returns when the next one is.
    pub(super) fn start_due(&mut self) -> Result<Micros, RunError> {
        self.see(plan::state_matches);
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

    pub(super) fn skip(&mut self, place: usize, why: String) {
        let now = self.env.now();
        let planned = &mut self.plan[place];
        planned.ended = Some(now);
        planned.skipped = true;
        let applied = Applied {
            event: planned.event.id.to_string(),
            action: planned.event.action.name().into(),
            resolved: Vec::new(),
            detail: String::new(),
            started: now,
            ended: Some(now),
            status: Status::Skipped(why),
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
        };
        self.world.borrow_mut().applied.push(applied.clone());
        self.emit(|at_us| RunEvent::Applied { at_us, applied: Box::new(applied.clone()) });
    }

    pub(super) fn start(&mut self, place: usize) {
        let now = self.env.now();
        let planned = &mut self.plan[place];
        let event = planned.event.clone();
        planned.started = Some(now);
        let (report, status) = (planned.report.clone(), planned.status.clone());
        let applied = Applied {
            event: event.id.to_string(),
            action: event.action.name().into(),
            resolved: Vec::new(),
            detail: String::new(),
            started: now,
            ended: None,
            status: Status::Applied,
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
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
            let op = OpIo { io, world, event: event.id.to_string(), entropy, report };
            let outcome = match &event.action {
                Action::Check(check) => look::look(check, op, &*target, &*oracle, &blocked, &looks).await,
                action if action.info().kind == ActionKind::Fault || matches!(action, Action::Aim(_)) => {
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
    pub(super) fn take_results(&mut self) {
        let (mut over, mut begun) = (Vec::new(), Vec::new());
        {
            let mut world = self.world.borrow_mut();
            let now = world.now.max(self.env.now());
            for planned in &mut self.plan {
                let Some(place) = planned.place else { continue };
                if planned.ended.is_some() {
                    continue;
                }
                let applied = &mut world.applied[place];
                let was_under_way = !applied.resolved.is_empty();
                {
                    let report = planned.report.borrow();
                    if applied.resolved.len() != report.resolved.len()
                        || applied.steps.len() != report.steps.len()
                        || applied.detail != report.detail
                        || applied.slots.len() != report.slots.len()
                        || applied.slots_left_open != report.slots_left_open
                        || applied.links.len() != report.links.len()
                    {
                        applied.resolved.clone_from(&report.resolved);
                        applied.steps.clone_from(&report.steps);
                        applied.detail.clone_from(&report.detail);
                        applied.slots.clone_from(&report.slots);
                        applied.slots_left_open.clone_from(&report.slots_left_open);
                        applied.links.clone_from(&report.links);
                    }
                }
                if let Some(status) = planned.status.borrow_mut().take() {
                    planned.skipped = matches!(status, Status::Skipped(_));
                    applied.status = status;
                    applied.ended = Some(now);
                    planned.ended = Some(now);
                    over.push(applied.clone());
                } else if !was_under_way && !applied.resolved.is_empty() {
                    begun.push((applied.event.clone(), applied.resolved.clone()));
                }
            }
        }
        for (began, resolved) in begun {
            let resolved = &resolved;
            self.emit(|at_us| RunEvent::Began { at_us, began: began.clone(), resolved: resolved.clone() });
        }
        for applied in over {
            self.emit(|at_us| RunEvent::Applied { at_us, applied: Box::new(applied.clone()) });
        }
    }
}
