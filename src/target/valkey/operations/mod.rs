//! What people do to a cluster, carried out on real servers: one file per family.
//!
//! Each operation takes its fields and the executor's hands, records its steps, and ends as applied, skipped
//! (its own guard said no) or failed (it was tried). None assumes that a node lives: faults strike at any line.

mod admin;
mod failover;
mod membership;
mod slots;
mod upkeep;

pub use slots::owned as slots_of;
pub use slots::{claims, slots_on};

use super::hands::{self, finish};
use super::sabotage;
use crate::catalogue::Action;
use crate::run::operation::OpIo;
use crate::run::record::Status;
use crate::run::task::Local;

/// Carries an operation out.
pub fn start(action: &Action, op: OpIo) -> Local<Status> {
    match action.clone() {
        Action::Failover(fields) => Box::pin(finish(failover::run(op, fields))),
        Action::AddReplica(fields) => Box::pin(finish(membership::add_replica(op, fields))),
        Action::RemoveReplica(fields) => Box::pin(finish(membership::remove_replica(op, fields))),
        Action::Reshard(fields) => Box::pin(finish(slots::reshard(op, fields))),
        Action::Drain(fields) => Box::pin(finish(slots::drain(op, fields))),
        Action::ScaleOut(fields) => Box::pin(finish(membership::scale_out(op, fields))),
        Action::ScaleIn(fields) => Box::pin(finish(membership::scale_in(op, fields))),
        Action::ForgetAndMeet(fields) => Box::pin(finish(membership::forget_and_meet(op, fields))),
        Action::ConfigChange(fields) => Box::pin(finish(upkeep::config_change(op, fields))),
        Action::RollingRestart(fields) => Box::pin(finish(upkeep::rolling_restart(op, fields))),
        Action::Burst(fields) => Box::pin(finish(hands::burst(op, fields))),
        Action::MoveReplica(fields) => Box::pin(finish(membership::move_replica(op, fields))),
        Action::BumpEpoch(fields) => Box::pin(finish(upkeep::bump_epoch(op, fields))),
        Action::Admin(fields) => Box::pin(finish(admin::run(op, fields))),
        Action::Sabotage(fields) => Box::pin(finish(sabotage::run(op, fields))),
        other => {
            let why = format!("the valkey target does not carry out `{}`", other.name());
            Box::pin(async move { Status::Skipped(why) })
        }
    }
}
