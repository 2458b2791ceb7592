//! What the faults of a node's resources have in common: what is taken away from it, while it runs, that its machine or
//! its administrator would have given: time on a processor, files, memory, connections.
//!
//! Each is asked for by a number and answered by one: what was measured while it held.

use crate::yaml::document::Node;
use crate::yaml::fields::{Field, scalar};
use serde::{Deserialize, Serialize};

/// What is taken away from one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceRule {
    /// It has this share of one core's time, whatever it wants.
    Share(Percent),
    /// So many busy threads want the core that it is bound to.
    Hog { threads: u16 },
    /// It can open so many files more.
    Files { spare: u32 },
    /// It can get so many megabytes more; a request for more fails.
    Data { room: u32 },
    /// It is killed when it has so many megabytes more.
    Kill { room: u32 },
    /// So many of its connections are held by others; all of them where no number is given.
    Connections { count: Option<u32> },
}

/// Of a hundred, as `20%`. What is a share of one core may be more than a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(pub u16);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl Field for Percent {
    fn expected() -> String {
        "a share such as `20%`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "pattern": "^[0-9]+%$"})
    }
    fn read(node: &Node) -> Result<Self, String> {
        let number = scalar(node, Self::expected)?.strip_suffix('%').and_then(|text| text.parse().ok());
        number.map(Self).ok_or_else(Self::expected)
    }
    fn write(&self) -> String {
        self.to_string()
    }
}
