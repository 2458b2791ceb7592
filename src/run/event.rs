//! The one stream that reporters see: what `--format json` prints, a line each, and `events.jsonl` keeps.

use super::record::{Applied, Life, LogLine};
use crate::check::{Judgement, Verdict};
use crate::env::{Image, NetworkTold, NodeId};
use crate::time::{Micros, Millis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What will happen, right after `Started`.
    Plan(Box<Plan>),
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
        /// Of what was acknowledged since the last word: half of it, and 99 %, took no longer, in wall time (virtual where
        /// time is virtual).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latency_p50_us: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        latency_p99_us: Option<u64>,
    },
    /// An operation or fault is under way, on these nodes; `Applied` follows when it is over.
    Began {
        at_us: i64,
        /// Its id.
        began: String,
        resolved: Vec<NodeId>,
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
    /// What the clients did, in numbers, before the checks speak.
    Workload(Workload),
    /// The cluster as it was at the end, node by node, before the checks speak.
    Cluster(Box<ClusterState>),
    /// The rare situations that this run reached, with how often.
    Marks {
        marks: BTreeMap<String, u64>,
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

/// The timeline as a reader wants it, and what it was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub generator: String,
    pub catalogue: u32,
    pub profile: String,
    pub length_ms: u64,
    /// Clients and operations a second, `6 clients, 300/s, mixed`; `none` without load.
    pub load: String,
    pub events: Vec<PlannedEvent>,
    /// The checks that are on, in the order in which they will speak.
    pub checks: Vec<String>,
    pub bugs: Vec<String>,
}

/// One event of the plan, in the words of the scenario language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEvent {
    pub id: String,
    /// `at 2s`, `with e1 + 300ms`.
    pub start: String,
    /// The name of the operation or fault.
    pub action: String,
    /// `operation`, `fault`, `check` or `sabotage`.
    pub kind: String,
    /// Its fields, `shard: 1, how: default`.
    pub fields: String,
    /// How long it lasts, `6s`, if that is bounded.
    pub lasts: Option<String>,
}

/// What came of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Operations issued; `ok`, `fail` and `unknown` add up to it.
    pub operations: u64,
    pub ok: u64,
    pub fail: u64,
    pub unknown: u64,
    /// Fell due while the client still waited, and were not issued.
    pub skipped: u64,
    /// Of the operations that were acknowledged, from invoke to return in wall time.
    pub latency_mean_us: u64,
    pub latency_p99_us: u64,
    pub latency_max_us: u64,
    /// From the first invoke to the last return, in wall time (virtual where time is virtual).
    pub span_ms: u64,
}

/// The cluster at the end, as the nodes' own words together show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    pub nodes: Vec<NodeState>,
    /// Slots that no live node claims, first and last of each range.
    pub slots_unowned: Vec<(u16, u16)>,
    /// Slots that are on the way from one node to another, in words.
    pub slots_moving: Vec<String>,
    /// When the cluster had settled, since it was healthy; `None` if it never did.
    pub settled_at_us: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    pub node: NodeId,
    /// `primary`, `replica` or `unknown`: its own word, or the others' when it is silent.
    pub role: String,
    /// The shard that it began in; a node that was added has none.
    pub shard: Option<u16>,
    /// `CONNECTED`, `DISCONNECTED`, `FAIL`, `PFAIL`, `PROMOTING` or `SYNCING`.
    pub state: String,
    /// What is behind it: the event that killed it, the error as it came.
    pub why: String,
}

/// The last line of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub verdict: Verdict,
    pub seed: u64,
    pub timeline_hash: String,
    pub schedule_hash: String,
    pub history_hash: String,
    /// Over all that the environment decided, turn by turn; only where execution is exact and servers are real.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_hash: Option<String>,
    /// What such a run rests on beside its timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What the network carried and what faults did to it, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkTold>,
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

/// One line of the schedule: event, status and what its selectors meant. The schedule hash is over these facts.
pub fn schedule_line(applied: &Applied) -> String {
    let mut line = format!("{} {}", applied.event, super::tell::status_word(&applied.status));
    for node in &applied.resolved {
        line.push(' ');
        line.push_str(&node.to_string());
    }
    line
}
