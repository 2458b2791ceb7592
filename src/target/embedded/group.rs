//! One log at one node: the consensus library, the disk under it and the state machine above it.
//!
//! A log of one member needs no library (which refuses one): what is synced is decided. Everything else is the
//! same for both, so the node above does not know which it has.

use super::bugs::Bugs;
use super::command::{Command, Entry};
use super::disk::Disk;
use super::machine::{Applied, Machine};
use omnipaxos::messages::Message;
use omnipaxos::messages::sequence_paxos::{PaxosMessage, PaxosMsg};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, ServerConfig};
use std::sync::Arc;

/// Ticks of the library between two heartbeats, and before a message of its own is sent again.
const ELECTION_TICKS: u64 = 4;
const RESEND_TICKS: u64 = 3;
/// Entries that are kept before the last snapshot is renewed, and those left for members that lag a little.
const COMPACT_AFTER: usize = 256;
const COMPACT_KEEP: usize = 48;

pub type GroupMessage = Message<Entry>;

pub struct Group {
    /// The nodes that keep this log; the library counts its members from 1 in this order.
    pub members: Arc<[u16]>,
    me: usize,
    paxos: Option<OmniPaxos<Entry, Disk>>,
    pub disk: Disk,
    pub machine: Arc<Machine>,
    /// How many entries the state machine has applied.
    pub applied: usize,
    /// A witness keeps the log and applies nothing.
    witness: bool,
    bugs: Bugs,
    /// The member that this node last took for the leader, for the log.
    pub leader_seen: Option<u16>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("members", &self.members)
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}

/// One decided command, as the state machine took it.
#[derive(Debug)]
pub enum Step {
    Command(Arc<Command>, Applied),
    /// The state was replaced by a snapshot.
    Snapshot,
}

impl Group {
    /// Opens the log that is on the disk.
    pub fn open(
        members: Arc<[u16]>,
        node: u16,
        id: u32,
        disk: Disk,
        priority: u32,
        witness: bool,
        bugs: Bugs,
    ) -> Self {
        let me = members.iter().position(|member| *member == node).expect("a member opens its log");
        let paxos = (members.len() > 1).then(|| {
            let cluster = ClusterConfig {
                configuration_id: id + 1,
                nodes: (1..=members.len() as u64).collect(),
                flexible_quorum: None,
            };
            let server = ServerConfig {
                pid: me as u64 + 1,
                election_tick_timeout: ELECTION_TICKS,
                resend_message_tick_timeout: RESEND_TICKS,
                flush_batch_tick_timeout: u64::MAX,
                buffer_size: 8,
                leader_priority: priority,
                ..ServerConfig::default()
            };
            cluster.build_for_server(server, disk.clone()).expect("the configuration is ours and valid")
        });
        let (applied, machine) = disk.base();
        Self { members, me, paxos, disk, machine, applied, witness, bugs, leader_seen: None }
    }

    /// The member that leads, as far as this one knows, and whether it follows it (or leads) already.
    pub fn leader(&self) -> Option<(u16, bool)> {
        let Some(paxos) = &self.paxos else { return Some((self.members[0], true)) };
        let (pid, accepts) = paxos.get_current_leader()?;
        Some((self.members[pid as usize - 1], accepts))
    }

    pub fn leads(&self) -> bool {
        self.leader() == Some((self.members[self.me], true))
    }

    /// The round of the last promise: orders elections of one log as the library orders ballots.
    pub fn round(&self) -> u64 {
        self.paxos.as_ref().map_or(1, |paxos| {
            let promise = paxos.get_promise();
            (u64::from(promise.n) << 24) + (u64::from(promise.priority) << 16) + promise.pid
        })
    }

    pub fn decided(&self) -> usize {
        match &self.paxos {
            Some(paxos) => paxos.get_decided_idx(),
            None if self.bugs.lose_unsynced_log => self.disk.length(),
            None => self.disk.durable_length(),
        }
    }

    pub fn propose(&mut self, command: Arc<Command>) {
        match &mut self.paxos {
            // The only error is a pending change of membership, which there never is.
            Some(paxos) => paxos.append(Entry(command)).expect("membership never changes"),
            None => self.disk.append_alone(Entry(command)),
        }
    }

    pub fn handle(&mut self, message: GroupMessage) {
        let Some(paxos) = &mut self.paxos else { return };
        // A member that comes back with a promise above the leader's round takes nothing from the leader, and the
        // leader ignores its request to be prepared: for ever, as the library leaves it. A leader that learns of
        // a higher round goes above it, as one that sees a higher term does in Raft (section 5.1).
        let overtaken = matches!(
            &message,
            Message::SequencePaxos(PaxosMessage { msg: PaxosMsg::PrepareReq(request), .. })
                if request.n > paxos.get_promise()
        );
        paxos.handle_incoming(message);
        if overtaken && self.leads() {
            self.try_to_lead();
        }
    }

    pub fn tick(&mut self) {
        if let Some(paxos) = &mut self.paxos {
            paxos.tick();
        }
    }

    pub fn reconnected(&mut self, peer: u16) {
        let place = self.members.iter().position(|member| *member == peer);
        if let (Some(paxos), Some(place)) = (&mut self.paxos, place) {
            paxos.reconnected(place as u64 + 1);
        }
    }

    pub fn try_to_lead(&mut self) {
        if let Some(paxos) = &mut self.paxos {
            paxos.try_become_leader();
        }
    }

    pub fn take_messages(&mut self, out: &mut Vec<GroupMessage>) {
        if let Some(paxos) = &mut self.paxos {
            paxos.take_outgoing_messages(out);
        }
    }

    /// The node that a message of this log goes to.
    pub fn receiver(&self, message: &GroupMessage) -> u16 {
        self.members[message.get_receiver() as usize - 1]
    }

    /// How many of these nodes have accepted the log up to `index`. Only the leader knows.
    pub fn accepted_by(&self, nodes: &[u16], index: usize) -> usize {
        let Some(paxos) = &self.paxos else { return 0 };
        let accepted = paxos.get_ui_states().cluster_state.accepted_indexes;
        let holds = |node: &&u16| {
            let place = self.members.iter().position(|member| member == *node);
            place.is_some_and(|place| place != self.me && accepted[place + 1] >= index)
        };
        nodes.iter().filter(holds).count()
    }

    /// Applies the next command that was decided. Its answer is put into `answer` if `wanted` says that someone
    /// here waits for it.
    pub fn apply_next(&mut self, answer: &mut Vec<u8>, wanted: &dyn Fn(&Command) -> bool) -> Option<Step> {
        answer.clear();
        if self.witness || self.applied >= self.decided() {
            return None;
        }
        let Some(entry) = self.disk.entry(self.applied) else {
            let (index, machine) = match &self.paxos {
                Some(paxos) => match paxos.read(self.applied) {
                    Some(LogEntry::Snapshotted(snapshot)) => (snapshot.trimmed_idx, self.disk.base().1),
                    other => panic!("a decided entry is neither kept nor in a snapshot: {other:?}"),
                },
                None => self.disk.base(),
            };
            (self.applied, self.machine) = (index, machine);
            return Some(Step::Snapshot);
        };
        self.applied += 1;
        let answer = wanted(&entry.0).then_some(answer);
        let applied = Arc::make_mut(&mut self.machine).apply(&entry.0, self.bugs, answer);
        Some(Step::Command(entry.0, applied))
    }

    /// Renews the snapshot when enough was decided since. Called while nothing waits for the disk.
    pub fn compact(&mut self) {
        let decided = match self.paxos {
            Some(_) => self.decided(),
            None => self.disk.durable_length(),
        };
        if decided - self.disk.base_index() < COMPACT_AFTER + COMPACT_KEEP {
            return;
        }
        let index = decided - COMPACT_KEEP;
        match &mut self.paxos {
            Some(paxos) => drop(paxos.snapshot(Some(index), true)),
            None => self.disk.compact_alone(index),
        }
    }
}
