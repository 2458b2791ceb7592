//! `admin`: the administrative commands themselves, on right and on wrong nodes. Their outcome is no claim of
//! the system; they are judged by crashes, hangs and settled views alone.

use super::{VALKEY, declare};
use crate::catalogue::{ActionInfo, Class, Declared, DrawContext, NodeSelector};

crate::word! {
    /// A `CLUSTER` subcommand.
    pub enum AdminCommand {
        Meet = "meet",
        Forget = "forget",
        Replicate = "replicate",
        ResetSoft = "reset-soft",
        ResetHard = "reset-hard",
        AddSlotsRange = "addslotsrange",
        DelSlotsRange = "delslotsrange",
        SetSlotMigrating = "setslot-migrating",
        SetSlotImporting = "setslot-importing",
        SetSlotStable = "setslot-stable",
        SetSlotNode = "setslot-node",
        BumpEpoch = "bumpepoch",
        SaveConfig = "saveconfig",
    }
}

crate::record! {
    pub struct Admin {
        /// the node that gets the command
        pub node: NodeSelector,
        /// the `CLUSTER` subcommand
        pub command: AdminCommand,
        /// the node that it speaks about, where it speaks about one
        pub about: Option<NodeSelector> = None,
        /// the slot, or the first of a range of four
        pub slot: u16 = 0,
    }
}

impl Admin {
    pub const NAME: &'static str = "admin";
}

impl Declared for Admin {
    const INFO: ActionInfo = declare(
        Self::NAME,
        Class::Voids(&[
            "acknowledged_loss",
            "slot_coverage",
            "topology",
            "data_consistency",
            "convergence_time",
            "replica_sync",
            "quorum",
        ]),
        VALKEY,
        "an administrative CLUSTER command on a right or a wrong node",
    );
    fn draw(context: &mut DrawContext<'_>) -> Option<Self> {
        let node = match context.rng.below(3) {
            0 if context.replicas > 0 => NodeSelector::Replica(context.shard(), 0),
            _ => NodeSelector::Primary(context.shard()),
        };
        let command = *context.rng.pick(AdminCommand::ALL);
        let about = match command {
            AdminCommand::Meet
            | AdminCommand::Forget
            | AdminCommand::Replicate
            | AdminCommand::SetSlotMigrating
            | AdminCommand::SetSlotImporting
            | AdminCommand::SetSlotNode => Some(NodeSelector::Primary(context.shard())),
            _ => None,
        };
        let slot = context.rng.below(16_380) as u16;
        Some(Self { node, command, about, slot })
    }
}
