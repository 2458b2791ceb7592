//! What will happen: every operation and fault with its logical time or anchor. Pure data.
//!
//! A timeline is all that a run depends on beside the environment. It prints as a scenario in the native form
//! (`write`), reads back to the same value, and is named by its hash (`hash`).

mod anchors;
mod checks;
mod generate;
mod hash;
mod limits;
pub mod load;
mod schedule;
mod settings;
mod text;
mod write;

use crate::catalogue::{Ability, Action, CheckSpec, EventId, MessageType, NodeSelector};
use crate::entropy::{Entropy, Seed};
use crate::env::PROFILES;
use crate::target::TICK_MS;
use crate::time::Millis;
use crate::yaml::document::Problems;
pub use checks::{checks_of, default_checks};
pub use generate::{Cause, GenerateError, LENGTH_MAX, MOMENTS, Moment, Speaker, generate};
pub use limits::{Limits, nodes_peak, too_large};
pub use load::{KeyPrefix, Load, Mix, Pattern, Rate, Skew};
pub use schedule::{Policy, Schedule, Windows};
use serde::{Deserialize, Serialize};
pub use settings::Settings;
use std::borrow::Cow;
pub use text::sent_text;
pub use write::HASH_COMMENT;

crate::word! {
    /// How the cluster comes into being.
    pub enum Formation {
        /// The cluster's configuration is written beforehand: it starts formed.
        Written = "written",
        /// Single nodes that are introduced by `CLUSTER MEET`.
        Meet = "meet",
    }
}

crate::record! {
    /// The shape of the cluster at the start.
    pub struct Cluster {
        /// primaries with slots
        pub shards: u16,
        /// replicas of each primary
        pub replicas: u16 = 1,
        /// written beforehand, or formed by MEET
        pub formation: Formation = Formation::Written,
        /// server settings beside the defaults, the same on every node
        pub settings: Settings = Settings::default(),
        /// clients and nodes authenticate by a password
        pub password: bool = false,
        /// clients authenticate as an ACL user
        pub acl_user: bool = false,
        /// node *i* listens on this port plus *i*; a wish, where the environment hands out ports itself
        pub base_port: Option<u16> = None,
    }
}

impl Cluster {
    pub fn nodes(&self) -> u16 {
        self.shards * (1 + self.replicas)
    }
    /// How long a node may be silent before others act without it: `cluster-node-timeout`, etcd's `election-timeout`, or
    /// ZooKeeper's `syncLimit`, which is in ticks. All are 1000 where nobody says otherwise.
    pub fn node_timeout(&self) -> Millis {
        let set = |name| self.settings.0.get(name).and_then(|text| text.parse::<u64>().ok());
        let ticks = || set("sync-limit").map(|ticks| ticks.saturating_mul(TICK_MS));
        let set = set("cluster-node-timeout").or(set("election-timeout")).or_else(ticks);
        Millis(set.unwrap_or(1000))
    }
    /// The node that begins as replica `replica` of `shard` (0 is the primary).
    pub fn node(&self, shard: u16, replica: u16) -> u16 {
        shard * (1 + self.replicas) + replica
    }
    /// The slots that `shard` begins with, first and last. The last shard takes the rest.
    pub fn slots(&self, shard: u16) -> (u16, u16) {
        let share = 16384 / self.shards;
        let last = if shard + 1 == self.shards { 16383 } else { (shard + 1) * share - 1 };
        (shard * share, last)
    }
}

/// What must be seen before an event begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// A line in a node's log holds this text.
    Log { node: NodeSelector, has: Cow<'static, str> },
    /// A node, by its own word, is a primary or a replica.
    Role { node: NodeSelector, is: Role },
    /// A shard has no live primary.
    NoPrimary { shard: u16 },
    /// A process is gone.
    Exit { node: NodeSelector },
    /// A client issues its *n*-th operation.
    Operation { client: u16, number: u64 },
    /// A node sends another its *n*-th message of a kind, from 1. It has not arrived then.
    Message { kind: MessageType, from: NodeSelector, to: NodeSelector, nth: u64 },
}

impl Observation {
    /// What an environment must be able to do for this to be seen there.
    pub const fn needs(&self) -> Ability {
        match self {
            Self::Message { .. } => Ability::Message,
            _ => Ability::None,
        }
    }
}

crate::word! {
    /// What a node is in its shard.
    pub enum Role { Primary = "primary", Replica = "replica" }
}

/// When an event begins. A delay is added to each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At a logical time since the cluster was first healthy.
    At(Millis),
    /// At a time since the first process was started, while the cluster forms.
    Forming(Millis),
    /// When all of these have ended.
    After(Vec<EventId>),
    /// When this one begins.
    With(EventId),
    /// When this is seen, or not at all.
    When(Observation),
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub start: Start,
    pub delay: Millis,
    /// Bounds the wait for an anchor; when it passes the event is skipped.
    pub within: Option<Millis>,
    pub action: Action,
    /// How long it lasts before it heals; to the end of the safety phase without.
    pub lasts: Option<Millis>,
}

/// The bound on an anchor's wait where the event gives none.
pub const WITHIN_DEFAULT: Millis = Millis(30_000);

/// Everything that a run does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    pub seed: Seed,
    pub generator: String,
    pub catalogue: u32,
    /// Name and version of the environment's declared profile, `processes/1`.
    pub profile: String,
    pub name: Option<String>,
    pub target: String,
    pub environment: String,
    pub cluster: Cluster,
    pub load: Load,
    /// The length of the safety phase; it ends earlier never, later only for an event still under way.
    pub length: Millis,
    pub events: Vec<Event>,
    pub checks: Vec<CheckSpec>,
    /// Named bugs switched on in the embedded target.
    pub bugs: Vec<String>,
    /// What is pinned of a simulated environment's choices.
    #[serde(default, skip_serializing_if = "Schedule::is_empty")]
    pub schedule: Schedule,
}

impl Timeline {
    /// The root of all choices made during the run, but for those of a simulated environment.
    pub fn key(&self) -> Entropy {
        Entropy::root(self.seed).child("run")
    }
    pub fn event(&self, id: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.id == id)
    }
    /// The timeline as a file would give it, or `None` when a file that says so is refused.
    pub fn reread(&self) -> Option<Self> {
        Self::from_yaml(&self.to_yaml())
    }
    /// A timeline as it was written by `to_yaml`.
    pub fn from_yaml(text: &str) -> Option<Self> {
        let mut problems = Problems::default();
        let spec = crate::spec::parse::parse(text.as_bytes(), &mut problems)?;
        let profile = PROFILES.iter().find(|profile| Some(profile.name) == spec.environment.as_deref())?;
        if problems.has_errors() {
            return None;
        }
        generate(&spec, spec.seed?, spec.target.as_deref()?, profile).ok()
    }
}
