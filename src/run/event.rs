//! The one stream that reporters see: what `--format json` prints, a line each, and `events.jsonl` keeps.

use super::record::{Applied, Life, LogLine};
use crate::check::{Judgement, Verdict};
use crate::env::NodeId;
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};

/// The version of this format.
pub const FORMAT: u32 = 1;

/// Something that happened in a run. Times are logical, counted from when the cluster was first healthy
/// (`at_us` may be negative while it forms).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    Started {
        format: u32,
        version: String,
        seed: u64,
        name: Option<String>,
        target: String,
        environment: String,
        timeline_hash: String,
        shards: u16,
        replicas: u16,
        run: String,
        started_at: String,
        server: String,
    },
    Phase {
        at_us: i64,
        phase: Phase,
    },
    /// About once a second.
    Progress {
        at_us: i64,
        operations: u64,
        ok: u64,
        nodes_up: u16,
        nodes: u16,
        events_applied: u16,
        events: u16,
    },
    Applied {
        at_us: i64,
        applied: Box<Applied>,
    },
    Life {
        at_us: i64,
        life: Life,
    },
    Log {
        at_us: i64,
        line: LogLine,
    },
    Role {
        at_us: i64,
        node: NodeId,
        role: String,
        shard: Option<u16>,
    },
    Stretched {
        at_us: i64,
        by: Millis,
        why: String,
    },
    Look {
        at_us: i64,
        event_id: String,
        judgements: Vec<Judgement>,
    },
    Judged {
        judgement: Judgement,
    },
    Note {
        at_us: i64,
        text: String,
    },
    Finished(Box<Finished>),
}

crate::word! {
    pub enum Phase { Boot = "boot", Safety = "safety", Heal = "heal", Settle = "settle", Check = "check" }
}

/// The last line of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub verdict: Verdict,
    pub seed: u64,
    pub timeline_hash: String,
    pub schedule_hash: String,
    pub history_hash: String,
    pub virtual_ms: u64,
    pub wall_ms: u64,
    pub run: String,
    pub findings: Vec<String>,
    pub exit_code: i32,
    /// The command that does this run again.
    pub reproduce: String,
    /// The saved file that replays it, if one was saved.
    pub repro: Option<String>,
    pub error: Option<String>,
}

/// Logical time as reporters print it: since the cluster was healthy.
pub fn since_healthy(at: Micros, healthy_at: Micros) -> i64 {
    at.0 as i64 - healthy_at.0 as i64
}
