//! What people do to a cluster: the fields, the declaration and the drawing of each operation.
//! How a target carries one out stands in that target's folder.

mod admin;
mod failover;
mod look;
mod membership;
mod slots;
mod upkeep;

pub use admin::{Admin, AdminCommand};
pub use failover::{Failover, FailoverMode};
pub use look::{Aim, CheckNow, Harm, Sabotage};
pub use membership::{
    AddLearner, AddReplica, Forbidden, ForgetAndMeet, MoveReplica, Promote, RefusedReconfig, RemoveReplica,
    ReplaceMember, ScaleIn, ScaleOut,
};
pub use slots::{Drain, Reshard, StopAfter};
pub use upkeep::{
    BumpEpoch, Burst, Compact, ConfigChange, Defragment, ExceedQuota, Revision, RollingRestart, Snapshot,
    ValueClass,
};

use super::{ALL, HARMED, LEARNERS, MEMBERS, MOVED, RECONFIGURED, REVISIONS, SLOTTED, VALKEY};
use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, DrawContext};

/// The declaration that most operations share.
const fn declare(
    name: &'static str,
    class: Class,
    targets: &'static [&'static str],
    summary: &'static str,
) -> ActionInfo {
    ActionInfo {
        name,
        kind: ActionKind::Operation,
        needs: Ability::None,
        class,
        summary,
        targets,
        drawn: true,
        lasting: false,
    }
}

/// One that a seed draws only where it is named: no older seed means anything else by it.
const fn named(name: &'static str, targets: &'static [&'static str], summary: &'static str) -> ActionInfo {
    ActionInfo { drawn: false, ..declare(name, Class::Safe, targets, summary) }
}

/// Any other shard; there are at least two.
fn other_shard(context: &mut DrawContext<'_>, shard: u16) -> u16 {
    let other = context.rng.below(u64::from(context.shards) - 1) as u16;
    if other >= shard { other + 1 } else { other }
}
