//! `check`: a look in the middle of a run. `sabotage`: harm behind the cluster's back that a check must find.
//! `aim`: a node is chosen now that a later event strikes.

use super::{ALL, HARMED};
use crate::catalogue::{Ability, ActionInfo, ActionKind, Class, Declared, DrawContext, NodeSelector};
use crate::time::Millis;

crate::record! {
    pub struct CheckNow {
        /// the checks by name; all that can be made in the middle of a run when empty
        pub checks: Vec<String> = Vec::new(),
        /// wait this long before each look
        pub stabilize: Millis = Millis(0),
        /// look again until they hold, for at most this long
        pub within: Millis = Millis(0),
        /// end the run if they do not hold
        pub blocking: bool = false,
        /// end the run if one of these does not hold
        pub critical: Vec<String> = Vec::new(),
    }
}

crate::word! {
    /// What is done behind the cluster's back.
    pub enum Harm {
        /// A fifth of the keys that were acknowledged is deleted on the owner.
        DeleteKeys = "delete-keys",
        /// The node leaves read-only mode and loses every key.
        EmptyReplica = "empty-replica",
        /// One slot is unassigned on every node.
        UnassignSlot = "unassign-slot",
        /// A slot of another shard is claimed by the node too, again and again.
        ClaimSlot = "claim-slot",
        /// The replica's link to its primary is broken and kept so.
        BreakLink = "break-link",
        /// The replica may not take over, and its primary dies.
        ForbidFailover = "forbid-failover",
        /// The node crashes by itself.
        Crash = "crash",
        /// The node begins a script that does not end.
        Hang = "hang",
        /// A lease that its holder keeps alive is revoked by somebody else.
        RevokeLease = "revoke-lease",
        /// Leases that their holders abandon are kept alive by somebody else.
        KeepLeases = "keep-leases",
        /// A lease that its holder revoked is granted again by somebody else, under the same id.
        GrantAgain = "grant-again",
        /// One account of the tellers loses money, as if half of a transfer had been done.
        RobAccount = "rob-account",
    }
}

crate::record! {
    pub struct Sabotage {
        /// what is done
        pub harm: Harm,
        /// to which node
        pub node: NodeSelector = NodeSelector::Primary(0),
    }
}

crate::record! {
    /// Nothing happens to the node: the choice is recorded, and `target-of-EVENT` means it from then on.
    pub struct Aim {
        /// the node that is chosen
        pub node: NodeSelector,
        /// leave out nodes whose death would leave their shard without a live member; none left is a skip
        pub spare_shard: bool = false,
        /// leave out nodes that an earlier event killed
        pub spare_dead: bool = false,
    }
}

impl CheckNow {
    pub const NAME: &'static str = "check";
}
impl Sabotage {
    pub const NAME: &'static str = "sabotage";
}

impl Aim {
    pub const NAME: &'static str = "aim";
}

impl Declared for CheckNow {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Check,
        needs: Ability::None,
        class: Class::Safe,
        summary: "look at the cluster in the middle of a run",
        targets: ALL,
        drawn: false,
        lasting: false,
    };
    fn draw(_: &mut DrawContext<'_>) -> Option<Self> {
        None
    }
}

impl Declared for Sabotage {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Sabotage,
        needs: Ability::None,
        class: Class::Safe,
        summary: "harm behind the cluster's back, to prove that a check finds it",
        targets: HARMED,
        drawn: false,
        lasting: false,
    };
    fn draw(_: &mut DrawContext<'_>) -> Option<Self> {
        None
    }
}

impl Declared for Aim {
    const INFO: ActionInfo = ActionInfo {
        name: Self::NAME,
        kind: ActionKind::Check,
        needs: Ability::None,
        class: Class::Safe,
        summary: "choose a node now that later events strike as `target-of-EVENT`",
        targets: ALL,
        drawn: false,
        lasting: false,
    };
    fn draw(_: &mut DrawContext<'_>) -> Option<Self> {
        None
    }
}
