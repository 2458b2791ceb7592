//! What may happen: a scenario as a person wrote it, with ranges and draws that a seed fills in.
//!
//! `parse` reads the native form and the two foreign dialects into one [`Spec`]; `timeline::generate` turns it
//! and a seed into a timeline. A spec with nothing to draw is a timeline already.

mod background;
pub mod dialect;
mod events;
pub mod forms;
mod links;
mod meaning;
mod native;
mod order;
pub mod parse;
mod parts;
pub mod schema;
mod spread;
pub mod tags;

use crate::catalogue::{Action, CheckSpec, EventId};
use crate::entropy::Seed;
use crate::time::Millis;
use crate::timeline::{Formation, Load, Observation, Schedule, Settings};
pub use background::{Background, Choice};
pub use dialect::Dice;
use serde::{Deserialize, Serialize};

/// From the lower to the higher, both included; equal when it was written as one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread<T> {
    pub low: T,
    pub high: T,
}

impl<T: Copy> Spread<T> {
    pub const fn exactly(value: T) -> Self {
        Self { low: value, high: value }
    }
}

/// The version of the native form that this build reads.
pub const FORM: u32 = 1;

/// What `fuzz --seed N` runs: the built-in scenario, `dsl/default.yaml`.
pub const DEFAULT: &str = include_str!("../../dsl/default.yaml");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub name: Option<String>,
    /// Words to choose scenarios by; no part of the timeline.
    pub tags: Vec<String>,
    /// A seed that the file itself names; a flag overrides it.
    pub seed: Option<Seed>,
    /// The word that the seed was hashed from, where it is written as one.
    pub seed_word: Option<String>,
    pub target: Option<String>,
    pub environment: Option<String>,
    pub cluster: ClusterSpec,
    /// `None`: drawn when `draw` is there, else the default load.
    pub load: Option<Load>,
    pub length: Option<Millis>,
    pub draw: Option<Draw>,
    pub events: Vec<EventSpec>,
    /// What becomes events once the seed is known (see [`Background::expand`]).
    pub backgrounds: Vec<Background>,
    /// Operations of a foreign dialect whose faults the seed draws (see [`Dice::expand`]).
    pub dice: Vec<Dice>,
    /// `None`: the default checks of the target.
    pub checks: Option<Vec<CheckSpec>>,
    pub bugs: Vec<String>,
    /// What is pinned of a simulated environment's choices.
    pub schedule: Schedule,
    /// What a materialised timeline says of its origin; kept when it is read back.
    pub origin: Option<Origin>,
    /// A server binary that a foreign dialect names; a flag overrides it.
    pub server_binary: Option<String>,
    /// Which of the forms it was written in.
    pub dialect: Dialect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Native,
    Older,
    Newer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    pub shards: Spread<u16>,
    pub replicas: Spread<u16>,
    /// `None`: written, or drawn when `draw` is there.
    pub formation: Option<Formation>,
    pub settings: Settings,
    pub password: bool,
    pub acl_user: bool,
    pub base_port: Option<u16>,
}

/// The versions that a materialised timeline was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub generator: String,
    pub catalogue: u32,
    pub profile: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// Given, or `e<n>` by position.
    pub id: EventId,
    pub start: StartSpec,
    pub delay: Spread<Millis>,
    pub within: Option<Millis>,
    pub action: Action,
    pub lasts: Option<Spread<Millis>>,
    /// The line of the file it came from.
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartSpec {
    At(Spread<Millis>),
    Forming(Spread<Millis>),
    After(Vec<EventId>),
    With(EventId),
    When(Observation),
}

/// What the seed draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    pub events: Spread<u16>,
    /// The time over which they are spread.
    pub over: Spread<Millis>,
    /// Names of actions with weights; all that the target and the environment offer when empty.
    pub vocabulary: Vec<(String, u16)>,
    /// Names that are not drawn, whatever the vocabulary: a flag's, no file's. What else a seed draws by weight stays.
    pub without: Vec<String>,
    /// Draw only what leaves a majority of the primaries, and a live member in every shard.
    pub keep_quorum: bool,
}

impl Default for ClusterSpec {
    /// Three shards with a replica each: the smallest cluster that replaces a dead primary by itself.
    fn default() -> Self {
        Self {
            shards: Spread::exactly(3),
            replicas: Spread::exactly(1),
            formation: None,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        }
    }
}

impl Spec {
    /// A scenario in which nothing happens.
    pub fn quiet(dialect: Dialect) -> Self {
        Self {
            name: None,
            tags: Vec::new(),
            seed: None,
            seed_word: None,
            target: None,
            environment: None,
            cluster: ClusterSpec::default(),
            load: None,
            length: None,
            draw: None,
            events: Vec::new(),
            backgrounds: Vec::new(),
            dice: Vec::new(),
            checks: None,
            bugs: Vec::new(),
            schedule: Schedule::default(),
            origin: None,
            server_binary: None,
            dialect,
        }
    }
}
