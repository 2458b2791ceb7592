//! Marks: rare situations that a run reached. A campaign counts them; one that stays at zero over many seeds shows
//! what the generator never does, however many checks pass. Pure functions of the [`Record`], called after a run.

use super::record::{Applied, Record, Status};
use crate::catalogue::{Action, ActionKind};
use crate::env::NodeId;
use crate::fault::restart::RestartData;
use crate::history::{OpKind, Outcome, RedirectKind, Value};
use crate::target::operation::{FailoverMode, StopAfter};
use crate::time::{Micros, Millis};
use crate::timeline::{Formation, Observation, Role, Start};
use std::collections::{BTreeMap, BTreeSet};

const BOTH: &[&str] = &["valkey", "embedded"];
const VALKEY: &[&str] = &["valkey"];
const EMBEDDED: &[&str] = &["embedded"];

macro_rules! marks {
    ($($variant:ident = $name:literal, $targets:ident, $line:literal;)*) => {
        crate::word! {
            /// A rare situation, by its name.
            pub enum Mark { $(#[doc = $line] $variant = $name),* }
        }
        impl Mark {
            /// One line for people.
            pub const fn line(self) -> &'static str { match self { $(Self::$variant => $line),* } }
            /// The targets whose seeds can reach it: there, a mark at zero over a campaign is a finding about us.
            pub const fn targets(self) -> &'static [&'static str] { match self { $(Self::$variant => $targets),* } }
        }
    };
}

marks! {
    ElectionUnderLoad = "election_under_load", BOTH, "an election began while clients had operations under way";
    Promotion = "promotion", BOTH, "a replica won an election";
    ElectionDenied = "election_denied", VALKEY, "a primary refused its vote to a replica";
    FailoverDuringSync = "failover_during_full_sync", VALKEY, "a replica took over while a full sync was under way";
    FailoverDefault = "failover_default", BOTH, "a failover that the primary agreed to was carried out";
    FailoverForce = "failover_force", VALKEY, "a failover without the primary was carried out";
    FailoverTakeover = "failover_takeover", VALKEY, "a failover without a vote was carried out";
    FaultDuringFailover = "fault_during_failover", BOTH, "a fault struck between the start and the end of a failover";
    KillDuringFailover = "kill_during_failover", BOTH, "a node was killed between the start and the end of a failover";
    FaultDuringReshard = "fault_during_reshard", BOTH, "a fault struck between the start and the end of a reshard or a drain";
    ReshardAtImporting = "reshard_stopped_importing", BOTH, "a reshard was left with the slot importing";
    ReshardAtMigrating = "reshard_stopped_migrating", BOTH, "a reshard was left with the slot migrating and importing";
    ReshardAtSomeKeys = "reshard_stopped_some_keys", BOTH, "a reshard was left with some of the slot's keys moved";
    ReshardAtAllKeys = "reshard_stopped_all_keys", BOTH, "a reshard was left with all of the slot's keys moved, the slot not";
    ReshardAtTargetOwns = "reshard_stopped_target_owns", BOTH, "a reshard was left with the taker told and the giver not";
    TwoPrimariesDown = "two_primaries_down", BOTH, "two primaries were dead or paused at once";
    MajorityDown = "majority_down", BOTH, "a majority of the primaries was dead or paused at once";
    ShardDown = "shard_down", BOTH, "every node that began in a shard was dead or paused at once";
    PausedPrimaryReplaced = "paused_primary_replaced", BOTH, "a replica took over while its primary was paused";
    RestartKept = "restart_kept", BOTH, "a node came back with its data";
    RestartEmpty = "restart_empty", VALKEY, "a node came back without data";
    RestartWiped = "restart_wiped", VALKEY, "a node came back with nothing";
    RestartOlder = "restart_older", VALKEY, "a node came back with older data";
    StaleAfterAdmin = "stale_restart_after_admin", VALKEY, "a node came back with stale state after an administrative command";
    SameMillisecond = "faults_in_one_millisecond", BOTH, "two faults struck in one logical millisecond";
    AnchorWith = "anchor_with", BOTH, "an event began with another";
    AnchorAfter = "anchor_after", BOTH, "an event began after another";
    AnchorLog = "anchor_log", BOTH, "an event waited for a log line and saw it";
    AnchorRole = "anchor_role", BOTH, "an event waited for a role and saw it";
    AnchorNoPrimary = "anchor_no_primary", BOTH, "an event waited for a shard without a primary and saw it";
    AnchorExit = "anchor_exit", BOTH, "an event waited for an exit and saw it";
    AnchorOperation = "anchor_operation", BOTH, "an event waited for a client's n-th operation and saw it";
    FormedByMeet = "formed_by_meet", VALKEY, "the cluster was formed by MEET";
    FaultWhileForming = "fault_while_forming", VALKEY, "a fault struck while the cluster formed, and it formed";
    MovedFollowed = "moved_followed", BOTH, "a client followed MOVED and was served";
    AskFollowed = "ask_followed", VALKEY, "a client followed ASK and was served";
    AcknowledgedLost = "acknowledged_write_lost", VALKEY, "an acknowledged element of a list or a set was gone at the end";
    UnknownTookEffect = "unknown_write_took_effect", BOTH, "a write without an answer was there at the end";
    UnknownDidNot = "unknown_write_did_not", BOTH, "a write without an answer was not there at the end";
    WaitConfirmed = "wait_confirmed", VALKEY, "WAIT counted a replica for a write";
    Transaction = "transaction", VALKEY, "a MULTI was acknowledged";
    PrimaryCutOff = "primary_cut_off", EMBEDDED, "links of a node were cut";
    MessagesLost = "messages_lost", EMBEDDED, "links of a node lost, doubled or reordered messages";
    ClockSkewed = "clock_skewed", EMBEDDED, "a node's clock went wrong";
}

const ELECTION: &str = "Starting a failover election";
const WON: &str = "Failover election won";
const DENIED: &str = "Failover auth denied";
const SYNC_BEGINS: &str = "Full resync requested by replica";
const SYNC_ENDS: [&str; 2] = ["Synchronization with replica", "sync: Finished with success"];

/// How long a full sync is taken to be under way if no line says that it ended.
const SYNC_MAX: Millis = Millis(10_000);

/// How often each situation came about; those that did not are left out.
pub fn marks(record: &Record) -> BTreeMap<Mark, u64> {
    let mut tally = Tally(BTreeMap::new());
    events(record, &mut tally);
    elections(record, &mut tally);
    overlaps(record, &mut tally);
    outages(record, &mut tally);
    clients(record, &mut tally);
    if record.timeline.cluster.formation == Formation::Meet && record.healthy_at > Micros(0) {
        tally.add(Mark::FormedByMeet, 1);
    }
    tally.0
}

struct Tally(BTreeMap<Mark, u64>);

impl Tally {
    fn add(&mut self, mark: Mark, times: u64) {
        if times > 0 {
            *self.0.entry(mark).or_insert(0) += times;
        }
    }
}

/// What was applied, with what the timeline says of it.
fn applied(record: &Record) -> impl Iterator<Item = (&Applied, &crate::timeline::Event)> {
    record
        .applied
        .iter()
        .filter(|applied| applied.status == Status::Applied)
        .filter_map(|applied| Some((applied, record.timeline.event(&applied.event)?)))
}

fn is_fault(action: &Action) -> bool {
    action.info().kind == ActionKind::Fault
}

/// Marks that one event makes by itself.
fn events(record: &Record, tally: &mut Tally) {
    let mut admin_before = false;
    let mut struck: BTreeMap<Millis, u64> = BTreeMap::new();
    for (applied, event) in applied(record) {
        let anchor = match &event.start {
            // No seed waits for a message: there is nothing that a campaign could miss.
            Start::At(_) | Start::Forming(_) | Start::When(Observation::Message { .. }) => None,
            Start::With(_) => Some(Mark::AnchorWith),
            Start::After(_) => Some(Mark::AnchorAfter),
            Start::When(Observation::Log { .. }) => Some(Mark::AnchorLog),
            Start::When(Observation::Role { .. }) => Some(Mark::AnchorRole),
            Start::When(Observation::NoPrimary { .. }) => Some(Mark::AnchorNoPrimary),
            Start::When(Observation::Exit { .. }) => Some(Mark::AnchorExit),
            Start::When(Observation::Operation { .. }) => Some(Mark::AnchorOperation),
        };
        let what = match &event.action {
            Action::Failover(failover) => Some(match failover.mode {
                FailoverMode::Default => Mark::FailoverDefault,
                FailoverMode::Force => Mark::FailoverForce,
                FailoverMode::Takeover => Mark::FailoverTakeover,
            }),
            Action::Reshard(reshard) => match reshard.stop_after {
                StopAfter::Importing => Some(Mark::ReshardAtImporting),
                StopAfter::Migrating => Some(Mark::ReshardAtMigrating),
                StopAfter::SomeKeys => Some(Mark::ReshardAtSomeKeys),
                StopAfter::AllKeys => Some(Mark::ReshardAtAllKeys),
                StopAfter::TargetOwns => Some(Mark::ReshardAtTargetOwns),
                StopAfter::Done => None,
            },
            Action::Restart(restart) => match restart.data {
                RestartData::Kept => Some(Mark::RestartKept),
                RestartData::Empty => Some(Mark::RestartEmpty),
                RestartData::Wiped => Some(Mark::RestartWiped),
                RestartData::Older => Some(Mark::RestartOlder),
                // No seed draws it: there is nothing that a campaign could miss.
                RestartData::Foreign => None,
            },
            Action::Cut(_) => Some(Mark::PrimaryCutOff),
            Action::Lossy(_) => Some(Mark::MessagesLost),
            Action::ClockSkew(_) | Action::ClockStrobe(_) => Some(Mark::ClockSkewed),
            _ => None,
        };
        for mark in anchor.into_iter().chain(what) {
            tally.add(mark, 1);
        }
        if let Action::Restart(restart) = &event.action
            && restart.data != RestartData::Kept
            && admin_before
        {
            tally.add(Mark::StaleAfterAdmin, 1);
        }
        admin_before |= matches!(event.action, Action::Admin(_));
        if is_fault(&event.action) {
            *struck.entry(applied.started.millis()).or_insert(0) += 1;
            tally.add(Mark::FaultWhileForming, u64::from(applied.started < record.healthy_at));
        }
    }
    tally.add(Mark::SameMillisecond, struck.values().filter(|count| **count > 1).count() as u64);
}

/// Marks that the servers' own log lines make.
fn elections(record: &Record, tally: &mut Tally) {
    let busy =
        |at: Micros| record.history.iter().any(|op| op.invoke.logical <= at && at <= op.complete.logical);
    let mut sync_since: Option<Micros> = None;
    for line in &record.log_lines {
        let has = |text: &str| line.line.contains(text);
        if has(SYNC_BEGINS) {
            sync_since = Some(line.at);
        } else if SYNC_ENDS.iter().any(|text| has(text)) {
            sync_since = None;
        } else if has(ELECTION) {
            tally.add(Mark::ElectionUnderLoad, u64::from(busy(line.at)));
        } else if has(DENIED) {
            tally.add(Mark::ElectionDenied, 1);
        } else if has(WON) {
            tally.add(Mark::Promotion, 1);
            let syncing = sync_since.is_some_and(|since| line.at.since(since) <= SYNC_MAX.micros());
            tally.add(Mark::FailoverDuringSync, u64::from(syncing));
        }
    }
}

/// Faults in the middle of something else.
fn overlaps(record: &Record, tally: &mut Tally) {
    // Failovers that were asked for, and elections from their first line to the victory.
    let mut failovers: Vec<(Micros, Micros)> = Vec::new();
    let mut reshards = Vec::new();
    for (applied, event) in applied(record) {
        let span = (applied.started, applied.ended.unwrap_or(record.healed_at));
        match &event.action {
            Action::Failover(_) => failovers.push(span),
            Action::Reshard(_) | Action::Drain(_) => reshards.push(span),
            _ => {}
        }
    }
    let mut began: BTreeMap<NodeId, Micros> = BTreeMap::new();
    for line in &record.log_lines {
        if line.line.contains(ELECTION) {
            began.entry(line.node).or_insert(line.at);
        } else if line.line.contains(WON)
            && let Some(since) = began.remove(&line.node)
        {
            failovers.push((since, line.at));
        }
    }
    for (applied, event) in applied(record).filter(|(_, event)| is_fault(&event.action)) {
        let within = |spans: &[(Micros, Micros)]| {
            spans.iter().any(|(from, to)| *from <= applied.started && applied.started <= *to)
        };
        let failover = within(&failovers);
        tally.add(Mark::FaultDuringFailover, u64::from(failover));
        let kills = matches!(event.action, Action::Kill(_) | Action::Restart(_));
        tally.add(Mark::KillDuringFailover, u64::from(failover && kills));
        tally.add(Mark::FaultDuringReshard, u64::from(within(&reshards)));
    }
}

/// A node that was dead or paused for a while.
struct Outage {
    node: NodeId,
    from: Micros,
    to: Micros,
    paused: bool,
    primary: bool,
}

/// The times at which nodes were dead or paused, up to the end of the safety phase.
fn down(record: &Record) -> Vec<Outage> {
    let mut outages = Vec::new();
    for life in &record.lives {
        let next = record
            .lives
            .iter()
            .filter(|other| other.node == life.node && other.incarnation > life.incarnation)
            .map(|other| other.started)
            .min();
        let dead = life.ended.map(|(at, _)| (at, next.unwrap_or(Micros::MAX), false));
        let paused = life.paused.iter().map(|(from, to)| (*from, to.unwrap_or(Micros::MAX), true));
        for (from, to, paused) in paused.chain(dead) {
            // What ends when everything is ended is no outage.
            if from >= record.healthy_at && from < record.healed_at {
                let primary = was_primary(record, life.node, from);
                outages.push(Outage { node: life.node, from, to, paused, primary });
            }
        }
    }
    outages
}

/// Its role by its own last word before `at`, or as it began.
fn was_primary(record: &Record, node: NodeId, at: Micros) -> bool {
    let word = record.views.iter().rev().filter(|view| view.at <= at).find_map(|view| view.report(node));
    match word {
        Some(report) => report.replication.role == Role::Primary,
        None => {
            node.0 < record.timeline.cluster.nodes()
                && node.0.is_multiple_of(1 + record.timeline.cluster.replicas)
        }
    }
}

fn outages(record: &Record, tally: &mut Tally) {
    let cluster = &record.timeline.cluster;
    let outages = down(record);
    let members = 1 + cluster.replicas;
    let shard = |node: NodeId| (node.0 < cluster.nodes()).then_some(node.0 / members);
    // The most is down at the start of some outage.
    for outage in &outages {
        let now = || outages.iter().filter(|other| other.from <= outage.from && outage.from < other.to);
        let primaries: BTreeSet<NodeId> =
            now().filter(|other| other.primary).map(|other| other.node).collect();
        if outage.primary {
            tally.add(Mark::TwoPrimariesDown, u64::from(primaries.len() == 2));
            let majority = usize::from(cluster.shards / 2 + 1);
            tally.add(Mark::MajorityDown, u64::from(primaries.len() == majority));
        }
        let Some(place) = shard(outage.node) else { continue };
        let silent: BTreeSet<NodeId> =
            now().map(|other| other.node).filter(|node| shard(*node) == Some(place)).collect();
        tally.add(Mark::ShardDown, u64::from(silent.len() == usize::from(members)));
        let replaced = record.log_lines.iter().any(|line| {
            line.line.contains(WON)
                && line.node != outage.node
                && shard(line.node) == Some(place)
                && outage.from <= line.at
                && line.at < outage.to
        });
        tally.add(Mark::PausedPrimaryReplaced, u64::from(outage.paused && outage.primary && replaced));
    }
}

/// Marks that the clients' history makes, held against what the nodes had at the end.
fn clients(record: &Record, tally: &mut Tally) {
    let dump: BTreeMap<_, _> = record
        .last
        .iter()
        .flat_map(|last| &last.dump)
        .filter_map(|entry| Some((entry.key, entry.value.as_ref().ok()?)))
        .collect();
    let mut transactions = BTreeSet::new();
    for op in &record.history {
        let followed = |kind| u64::from(op.ok() && op.redirects.iter().any(|redirect| redirect.kind == kind));
        tally.add(Mark::MovedFollowed, followed(RedirectKind::Moved));
        tally.add(Mark::AskFollowed, followed(RedirectKind::Ask));
        tally.add(Mark::WaitConfirmed, u64::from(op.ok() && op.waited.is_some_and(|count| count > 0)));
        if op.ok() {
            transactions.extend(op.transaction.map(|number| (op.client, number)));
        }
        // Elements of lists and sets are unique and never deleted, so that absence means loss.
        let (OpKind::Append | OpKind::Add, Some(element)) = (op.kind, &op.argument) else { continue };
        let Some(value) = dump.get(&op.key) else { continue };
        let there = match value {
            Value::List(items) | Value::Set(items) => items.contains(element),
            Value::Missing => false,
            Value::Text(_) | Value::Number(_) => continue,
        };
        match (&op.outcome, there) {
            (Outcome::Ok(_), false) => tally.add(Mark::AcknowledgedLost, 1),
            (Outcome::Unknown(_), true) => tally.add(Mark::UnknownTookEffect, 1),
            (Outcome::Unknown(_), false) => tally.add(Mark::UnknownDidNot, 1),
            _ => {}
        }
    }
    tally.add(Mark::Transaction, transactions.len() as u64);
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
