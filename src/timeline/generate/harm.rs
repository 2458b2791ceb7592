//! Who may be down at once: the bookkeeping by which a drawn timeline keeps its quorum.
//!
//! Events hang on others and on observations, so the time at which one strikes is known as a window, counted
//! from a *root*: the clock, or an observation that may come at any time. Two harms may meet unless their
//! windows share a root and are apart, or one waits for the other's end. [`Ledger::admit`] takes a harm only
//! if it and all that it may meet leave a majority of the primaries and one member of every shard; since the
//! nodes down at any instant all meet one another, the last of them admitted has counted them all.

use super::super::anchors::node_of;
use super::shard_of;
use crate::catalogue::{ACTIONS, Action, ActionKind, NodeSelector};
use crate::fault::cpu_hog::CpuHog;
use crate::fault::cpu_limit::CpuLimit;
use crate::fault::cut::Cut;
use crate::fault::disk_error::DiskError;
use crate::fault::fd_limit::FdLimit;
use crate::fault::flap::Flap;
use crate::fault::full_disk::FullDisk;
use crate::fault::kill::Kill;
use crate::fault::memory_limit::MemoryLimit;
use crate::fault::pause::Pause;
use crate::fault::power_loss::PowerLoss;
use crate::fault::restart::{Restart, RestartData};
use crate::fault::strike_at::StrikeAt;
use crate::fault::stutter::Stutter;
use crate::fault::use_up_connections::UseUpConnections;
use crate::target::operation::{
    Admin, AdminCommand, Drain, ForgetAndMeet, MoveReplica, RemoveReplica, ReplaceMember, RollingRestart,
    ScaleIn,
};
use crate::time::Millis;
use crate::timeline::{Cluster, Event, Start};
use std::sync::LazyLock;

/// What a node takes from being started again to being counted on: its boot, its link, its FAIL flag cleared.
const RECOVERY_MS: u64 = 1500;
/// What an operation may take to its end.
const OPERATION_MS_MAX: u64 = 60_000;
const FOR_EVER: u64 = u64::MAX;

/// What the time of an event is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Clock,
    /// The observation that the event of this position waits for.
    Seen(usize),
}

/// When an event begins and ends, in milliseconds from its root: earliest and latest.
#[derive(Clone, Copy, Debug)]
struct Placed {
    root: Root,
    start: (u64, u64),
    end: (u64, u64),
}

/// Nodes that are down for a while, as many as it may be at worst.
#[derive(Clone, Copy, Debug)]
struct Harm {
    event: usize,
    root: Root,
    from: u64,
    to: u64,
    /// It is over when its event has ended, however long that takes.
    ends_with_event: bool,
    /// The shard whose member is down; `None`: one of any shard.
    shard: Option<u16>,
    primaries: u16,
}

/// Where each event stands in time, and what it takes down.
#[derive(Debug)]
pub(super) struct Ledger<'a> {
    cluster: &'a Cluster,
    keep_quorum: bool,
    placed: Vec<Placed>,
    harms: Vec<Harm>,
    /// The most primaries that may be down at once so far.
    primaries_peak: u16,
    /// Shards that may end without slots, and so without a vote.
    voteless: u16,
}

impl<'a> Ledger<'a> {
    pub fn new(cluster: &'a Cluster, keep_quorum: bool, events: usize) -> Self {
        Self {
            cluster,
            keep_quorum,
            placed: Vec::with_capacity(if keep_quorum { events } else { 0 }),
            harms: Vec::new(),
            primaries_peak: 0,
            voteless: 0,
        }
    }

    /// Enters an event that was written by hand: nobody asks whether it keeps the quorum.
    pub fn enter(&mut self, event: &Event, earlier: &[Event]) {
        if !self.keep_quorum {
            return;
        }
        let placed = self.place(event, None, earlier);
        if let Some(harm) = self.harm(event, placed) {
            self.harms.push(harm);
            self.primaries_peak = self.primaries_peak.max(harm.primaries);
        }
        self.voteless += takes_vote(&event.action);
        self.placed.push(placed);
    }

    /// Enters a drawn event if the quorum is kept, or need not be; `false` means that it must not happen. What it
    /// hangs on, if on an event, is the one at the position `anchor`.
    pub fn admit(&mut self, event: &Event, anchor: Option<usize>, earlier: &[Event]) -> bool {
        if !self.keep_quorum {
            return true;
        }
        let voteless = self.voteless + takes_vote(&event.action);
        let placed = self.place(event, anchor, earlier);
        let harm = self.harm(event, placed);
        let mut primaries = self.primaries_peak;
        if let Some(harm) = &harm {
            let (mut met_primaries, mut met_members) = (harm.primaries, 1);
            for other in self.harms.iter().filter(|other| Self::may_meet(harm, other, event, anchor)) {
                met_primaries += other.primaries;
                let same = other.shard.is_none() || harm.shard.is_none() || other.shard == harm.shard;
                met_members += u16::from(same);
            }
            if met_members > self.cluster.replicas {
                return false;
            }
            primaries = primaries.max(met_primaries);
        }
        let voters = self.cluster.shards.saturating_sub(voteless);
        if primaries > voters.saturating_sub(1) / 2 || voters == 0 {
            return false;
        }
        self.primaries_peak = primaries;
        self.voteless = voteless;
        self.harms.extend(harm);
        self.placed.push(placed);
        true
    }

    /// The last event whose harm ends, and how long after its end nothing of it is left.
    pub fn last_harm(&self) -> Option<(usize, Millis)> {
        let last = self.harms.iter().rev().find(|harm| harm.ends_with_event || harm.to < FOR_EVER)?;
        let clear = last.to.min(FOR_EVER - 1).saturating_sub(self.placed[last.event].end.0);
        Some((last.event, Millis(if last.ends_with_event { 0 } else { clear })))
    }

    /// Looks for what the event hangs on by its name, unless its position is known.
    fn place(&self, event: &Event, known: Option<usize>, earlier: &[Event]) -> Placed {
        let position = earlier.len();
        let of = |anchor: &str| {
            let index = known.or_else(|| earlier.iter().rposition(|other| other.id == anchor));
            index.map(|index| self.placed[index])
        };
        let delay = event.delay.0;
        let (root, start) = match &event.start {
            Start::At(at) => (Root::Clock, (at.0, at.0)),
            // While the cluster forms, logical time is below zero; how far is not known.
            Start::Forming(at) => (Root::Clock, (0, at.0)),
            Start::With(anchor) => of(anchor).map_or((Root::Seen(position), (0, 0)), |a| (a.root, a.start)),
            Start::After(anchors) => {
                // The last of several to end decides; their windows compare only if they share a root.
                let later = |a: (Root, (u64, u64)), b: (Root, (u64, u64))| {
                    (a.0 == b.0).then_some((a.0, (a.1.0.max(b.1.0), a.1.1.max(b.1.1))))
                };
                let mut ends =
                    anchors.iter().map(|anchor| of(anchor).map(|placed| (placed.root, placed.end)));
                let first = ends.next().flatten();
                ends.try_fold(first, |latest, end| Some(later(latest?, end?)))
                    .flatten()
                    .unwrap_or((Root::Seen(position), (0, 0)))
            }
            Start::When(_) => (Root::Seen(position), (0, 0)),
        };
        let start = (start.0.saturating_add(delay), start.1.saturating_add(delay));
        let (least, most) = match (&event.action, event.lasts) {
            (_, Some(lasts)) => (lasts.0, lasts.0.saturating_add(1000)),
            (Action::Restart(restart), None) => (restart.down.0, restart.down.0 + RECOVERY_MS),
            (action, None) if action.info().kind == ActionKind::Operation => (0, OPERATION_MS_MAX),
            (_, None) => (0, 1000),
        };
        Placed { root, start, end: (start.0.saturating_add(least), start.1.saturating_add(most)) }
    }

    /// What an event takes down, at worst.
    fn harm(&self, event: &Event, placed: Placed) -> Option<Harm> {
        let half = self.cluster.shards.saturating_sub(1) / 2;
        let (node, lasts) = match &event.action {
            // Valkey ends itself where its append-only file cannot be written, and where memory runs out.
            Action::Kill(_)
            | Action::Pause(_)
            | Action::Stutter(_)
            | Action::Cut(_)
            | Action::Flap(_)
            | Action::DiskError(_)
            | Action::FullDisk(_)
            | Action::StrikeAt(_)
            | Action::PowerLoss(_)
            | Action::MemoryLimit(_)
            | Action::CpuLimit(_)
            | Action::CpuHog(_)
            | Action::FdLimit(_)
            | Action::UseUpConnections(_) => (node_of(&event.action)?, event.lasts),
            Action::Restart(restart) => {
                let back = !matches!(restart.data, RestartData::Wiped | RestartData::Foreign);
                (&restart.node, back.then_some(restart.down))
            }
            // A replica that leaves, or is forgotten for a while, cannot take over.
            Action::RemoveReplica(_)
            | Action::MoveReplica(_)
            | Action::ForgetAndMeet(_)
            | Action::ReplaceMember(_)
            | Action::RollingRestart(_) => {
                let rolling = matches!(event.action, Action::RollingRestart(_));
                return Some(Harm {
                    event: self.placed.len(),
                    root: placed.root,
                    from: placed.start.0,
                    to: FOR_EVER,
                    ends_with_event: !matches!(
                        event.action,
                        Action::RemoveReplica(_) | Action::MoveReplica(_)
                    ),
                    shard: match &event.action {
                        Action::RollingRestart(_) => None,
                        Action::MoveReplica(moved) => Some(moved.shard),
                        action => shard_of(action, self.cluster),
                    },
                    primaries: u16::from(rolling),
                });
            }
            Action::Admin(admin) if forgets(admin.command) => (&admin.node, None),
            _ => return None,
        };
        let (shard, primaries) = match node {
            NodeSelector::Replica(shard, _) | NodeSelector::AnyReplicaOf(shard) => (Some(*shard), 0),
            NodeSelector::AnyReplica => (None, 0),
            NodeSelector::Primary(shard) => (Some(*shard), 1),
            NodeSelector::Node(_) => (shard_of(&event.action, self.cluster), 1),
            NodeSelector::Minority => (None, half.max(1)),
            NodeSelector::Majority | NodeSelector::All => (None, self.cluster.shards),
            _ => (None, 1),
        };
        let to = lasts.map_or(FOR_EVER, |Millis(lasts)| {
            placed.start.1.saturating_add(lasts).saturating_add(RECOVERY_MS)
        });
        Some(Harm {
            event: self.placed.len(),
            root: placed.root,
            from: placed.start.0,
            to,
            ends_with_event: false,
            shard,
            primaries,
        })
    }

    /// Whether the two may hold at the same time. `event` is the one that `harm` belongs to, and hangs on `anchor`.
    fn may_meet(harm: &Harm, other: &Harm, event: &Event, anchor: Option<usize>) -> bool {
        if harm.root == other.root && (harm.from >= other.to || other.from >= harm.to) {
            return false;
        }
        let waits = anchor == Some(other.event) && matches!(event.start, Start::After(_));
        !(other.ends_with_event && waits)
    }
}

/// Which entries of the catalogue may take a node or a vote away.
pub(super) static MAY_HARM: LazyLock<[bool; ACTIONS.len()]> = LazyLock::new(|| {
    let harmful = [
        Kill::NAME,
        Pause::NAME,
        Stutter::NAME,
        Restart::NAME,
        Cut::NAME,
        Flap::NAME,
        DiskError::NAME,
        FullDisk::NAME,
        StrikeAt::NAME,
        PowerLoss::NAME,
        MemoryLimit::NAME,
        CpuLimit::NAME,
        CpuHog::NAME,
        FdLimit::NAME,
        UseUpConnections::NAME,
        RemoveReplica::NAME,
        MoveReplica::NAME,
        ForgetAndMeet::NAME,
        ReplaceMember::NAME,
        RollingRestart::NAME,
        Drain::NAME,
        ScaleIn::NAME,
        Admin::NAME,
    ];
    std::array::from_fn(|index| harmful.contains(&ACTIONS[index].name))
});

/// A shard without slots has no vote (valkey `src/cluster_legacy.c`, `clusterSendFailoverAuthIfNeeded`).
fn takes_vote(action: &Action) -> u16 {
    u16::from(matches!(action, Action::Drain(_) | Action::ScaleIn(_)))
}

fn forgets(command: AdminCommand) -> bool {
    matches!(
        command,
        AdminCommand::ResetSoft
            | AdminCommand::ResetHard
            | AdminCommand::Forget
            | AdminCommand::DelSlotsRange
    )
}
