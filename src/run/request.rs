//! What the parent process asks of the child that carries a run out: one JSON object on standard input.
//!
//! Plain data, so that a run can be started by whoever can write JSON. The child answers with one [`RunEvent`]
//! per line on standard output and fills the run folder; `verdict.json` is the parent's to write, last.
//!
//! [`RunEvent`]: super::event::RunEvent

use crate::time::Millis;
use crate::timeline::Timeline;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    pub timeline: Timeline,
    pub options: RunOptions,
}

/// What is no part of the timeline: where things are on this machine and how long to wait for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// The name of the run, as `Started` and `Finished` give it.
    pub run: String,
    /// The run folder, absolute. It exists and is empty.
    pub folder: PathBuf,
    /// When the parent started, `2026-03-14T09:15:07Z`.
    pub started_at: String,
    /// The server to start, absolute; the embedded target has none.
    pub server_binary: Option<PathBuf>,
    /// What the server said when asked for its version; empty for the embedded target.
    pub server_version: String,
    /// Leave the nodes' data files in the run folder.
    pub keep_data: bool,
    /// Write the trace of an exact run into the run folder, a line per turn.
    pub trace: bool,
    /// Write what nodes and clients send one another into the run folder, as a capture of packets.
    #[serde(default)]
    pub pcap: bool,
    /// Let an exact run use all processors. One is several times faster; what comes of it is the same.
    pub spread: bool,
    /// Let an exact run stand still after so many turns.
    #[serde(default)]
    pub stop_at_turn: Option<u64>,
    /// The command that does this run again, for `Finished`.
    pub reproduce: String,
    /// How long, in wall time, the cluster may take to become healthy for the first time.
    pub boot_timeout: Millis,
    /// How long, in wall time, the whole run may take; then it ends early.
    pub run_timeout: Millis,
    /// The process that asked. The child ends when it is gone.
    pub parent: u32,
}

/// The bound on a cluster's formation, in wall time: formed clusters take 2 to 3 s, `MEET` some seconds more,
/// a busy machine several times that.
pub const BOOT_TIMEOUT: Millis = Millis::secs(60);

/// The bound on a whole run, in wall time: beyond every length that a timeline may have had drawn for it.
pub const RUN_TIMEOUT: Millis = Millis::secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Action;
    use crate::entropy::Seed;
    use crate::timeline::{Cluster, Event, Formation, Load, Schedule, Settings, Start};

    #[test]
    fn a_request_survives_its_journey_as_json() {
        let request = RunRequest {
            timeline: Timeline {
                seed: Seed(u64::MAX),
                generator: "g/1".into(),
                catalogue: 1,
                profile: "sim/1".into(),
                name: Some("a \"name\"\n".into()),
                target: "embedded".into(),
                environment: "sim".into(),
                cluster: Cluster {
                    shards: 3,
                    replicas: 1,
                    formation: Formation::Written,
                    settings: Settings([("a".into(), "b".into())].into()),
                    password: false,
                    acl_user: false,
                    base_port: None,
                },
                load: Load::default(),
                length: Millis::secs(10),
                events: vec![Event {
                    id: "e1".into(),
                    start: Start::At(Millis(5)),
                    delay: Millis(0),
                    within: None,
                    action: Action::Kill(crate::fault::kill::Kill {
                        node: crate::catalogue::NodeSelector::Primary(1),
                        signal: crate::fault::kill::Signal::Kill,
                        spare_shard: false,
                        spare_dead: false,
                    }),
                    lasts: None,
                }],
                checks: Vec::new(),
                bugs: Vec::new(),
                schedule: Schedule::default(),
            },
            options: RunOptions {
                run: "20260314T091507Z-1".into(),
                folder: "runs/x".into(),
                started_at: "2026-03-14T09:15:07Z".into(),
                server_binary: None,
                server_version: String::new(),
                keep_data: true,
                trace: false,
                pcap: false,
                spread: false,
                stop_at_turn: None,
                reproduce: "fuzz --seed 1 --target embedded --env sim".into(),
                boot_timeout: BOOT_TIMEOUT,
                run_timeout: RUN_TIMEOUT,
                parent: 1,
            },
        };
        let text = serde_json::to_string(&request).expect("plain data");
        assert!(!text.contains('\n'), "it travels as one line");
        assert_eq!(serde_json::from_str::<RunRequest>(&text).expect("what was written"), request);
    }
}
