//! What people do to a cluster, carried out on real servers: one file per family.
//!
//! Each operation takes its fields and the executor's hands, records its steps, and ends as applied, skipped
//! (its own guard said no) or failed (it was tried). None assumes that a node lives: faults strike at any line.

mod failover;

use super::hands::finish;
use crate::catalogue::Action;
use crate::run::operation::OpIo;
use crate::run::record::Status;
use crate::run::task::Local;

/// Carries an operation out.
pub fn start(action: &Action, op: OpIo) -> Local<Status> {
    match action.clone() {
        Action::Failover(fields) => Box::pin(finish(failover::run(op, fields))),
        other => {
            let why = format!("the valkey target does not carry out `{}`", other.name());
            Box::pin(async move { Status::Skipped(why) })
        }
    }
}
