//! What each entry of the catalogue declares about itself, and what its drawing may look at.

use super::selector::EventId;
use crate::entropy::Rng;
use crate::time::Millis;
use crate::yaml::fields::Record;
use serde::{Deserialize, Serialize};

/// What an environment can do to a node or a link. Declared by the environment's profile, versioned, never probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ability {
    /// Send signals, and start again with the data kept.
    Signal,
    /// Start again with lost or older data.
    StaleData,
    /// Cut links between nodes.
    Cut,
    /// Delay, lose, duplicate and reorder messages on links.
    Link,
    /// Shift or drift the clock of one node.
    Clock,
    /// Let calls to the disk of one node fail, last, or be where it ends.
    Disk,
    /// Lose what one node has not synced.
    Power,
    /// Limit the memory of one node.
    Memory,
    /// See the messages of the cluster bus one by one, and hold them.
    Message,
    /// Reset and refuse connections.
    Connection,
    /// Flip bits of packets on links, limit how many bytes pass, and tell packets apart by their ports.
    Packet,
    /// Take time on the processor, files and connections away from one node.
    Resource,
    /// Change files on the disk of one node, whether it runs or not.
    Files,
    /// Let reads from the disk of one node last.
    Reads,
    /// Tell a node the addresses of names, and let it fail.
    Names,
    /// Needs nothing of the environment: commands over the client port.
    None,
}

impl Ability {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::StaleData => "stale-data",
            Self::Cut => "cut",
            Self::Link => "link",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Power => "power",
            Self::Memory => "memory",
            Self::Message => "message",
            Self::Connection => "connection",
            Self::Packet => "packet",
            Self::Resource => "resource",
            Self::Files => "files",
            Self::Reads => "reads",
            Self::Names => "names",
            Self::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    Operation,
    Fault,
    /// Looks at the cluster in the middle of a run.
    Check,
    /// Harm done behind the cluster's back so that a check must find it; never drawn.
    Sabotage,
}

/// What an event does to the promises of the system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No acknowledged write may be lost, no slot uncovered beyond the operation itself.
    Safe,
    /// Documented loss and unavailability may follow.
    Disruptive,
    /// These claims no longer hold for the rest of the run, and are reported as voided.
    Voids(&'static [&'static str]),
}

/// The claims about what a cluster holds and serves: void where a node's data are not what it wrote.
pub const OF_DATA: &[&str] = &[
    "acknowledged_loss",
    "slot_coverage",
    "topology",
    "view_agreement",
    "data_consistency",
    "convergence_time",
    "replica_sync",
    "replication_lag",
    "linearizability",
    "quorum",
    "ephemerals",
    "bank",
    "leases",
    "refusals",
    "queue",
    "removals",
];

#[derive(Clone, Copy, Debug)]
pub struct ActionInfo {
    pub name: &'static str,
    pub kind: ActionKind,
    pub needs: Ability,
    pub class: Class,
    /// One line for `fuzz list`.
    pub summary: &'static str,
    /// The targets that offer it.
    pub targets: &'static [&'static str],
    /// Whether a seed draws it where nobody says from what to draw.
    pub drawn: bool,
    /// Whether it holds for a while and heals (`for:` is allowed).
    pub lasting: bool,
}

impl ActionInfo {
    /// Whether a seed may draw it where it is named.
    pub fn may_be_drawn(&self) -> bool {
        matches!(self.kind, ActionKind::Operation | ActionKind::Fault)
    }
}

/// What an operation or fault implements beside its fields.
pub trait Declared: Record {
    const INFO: ActionInfo;
    /// What an environment must be able to do for this very event: what its kind needs, or more by its parameters.
    fn needs(&self) -> Ability {
        Self::INFO.needs
    }
    /// What this very event does to the promises of the system.
    fn class(&self) -> Class {
        Self::INFO.class
    }
    /// Draws the parameters. Pure: only `context` may be looked at.
    fn draw(context: &mut DrawContext<'_>) -> Option<Self>;
}

/// What drawing the parameters of one event may look at.
#[derive(Debug)]
pub struct DrawContext<'a> {
    pub rng: &'a mut Rng,
    pub shards: u16,
    pub replicas: u16,
    /// The shards that this seed concentrates on; never empty.
    pub focus: &'a [u16],
    /// The shard that the last event struck, if it named one.
    pub last_shard: Option<u16>,
    /// The length of the safety phase.
    pub duration: Millis,
    /// The event this one hangs on, if it is anchored on another.
    pub anchor: Option<&'a EventId>,
    /// The nodes of a shard agree by consensus: one that forgets breaks its promise.
    pub consensus: bool,
    /// Whether a node can lose its power ([`Ability::Power`]).
    pub power: bool,
}

impl DrawContext<'_> {
    /// A shard: mostly the last one again or one in focus, sometimes any.
    pub fn shard(&mut self) -> u16 {
        match (self.last_shard, self.rng.below(10)) {
            (Some(last), 0..=3) => last,
            (_, 0..=8) => *self.rng.pick(self.focus),
            _ => self.rng.below(u64::from(self.shards)) as u16,
        }
    }
}
