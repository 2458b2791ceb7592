//! The checks that a run is judged by where the spec names none.

use super::{Event, Load};
use crate::catalogue::CheckSpec;
use crate::check::bank::Bank;
use crate::check::ephemerals::Ephemerals;
use crate::check::expect::{injection::Injection, leadership::Leadership, service::Service};
use crate::check::lease::Leases;
use crate::check::linearizability::Linearizability;
use crate::check::one_leader::OneLeader;
use crate::check::queue::Queue;
use crate::check::refusals::Refusals;
use crate::check::removals::Removals;
use crate::check::replication_lag::ReplicationLag;
use crate::check::watch::Watches;
use crate::target::operation::RefusedReconfig;
use crate::target::{REVISIONS, TARGETS, TREES, consensus, group};
use crate::yaml::document::{Node, Problems, Span, Value};
use std::sync::LazyLock;

/// Checks of what a scenario expects of itself: nothing unless it says so, and in no default.
const WRITTEN: &[&str] = &[Service::NAME, Leadership::NAME, Injection::NAME];

/// Every check at its defaults, in the order of the catalogue.
static ALL: LazyLock<Vec<CheckSpec>> = LazyLock::new(|| {
    let nothing = Node { span: Span::default(), value: Value::Null };
    let defaults = |name: &&str| {
        let mut problems = Problems::default();
        CheckSpec::read(name, &nothing, name, &mut problems).expect("every bound of a check has a default")
    };
    CheckSpec::NAMES.iter().filter(|name| !WRITTEN.contains(*name)).map(defaults).collect()
});

/// The default checks of a run: those of its target, and those of what its clients hold or move
/// and of what its events try.
pub fn checks_of(target: &str, load: &Load, events: &[Event]) -> Vec<CheckSpec> {
    let mut checks = default_checks(target);
    let tries = |event: &Event| event.action.name() == RefusedReconfig::NAME;
    let more = [
        (Watches::NAME, load.watchers > 0 && TREES.contains(&target)),
        (Ephemerals::NAME, load.sessions > 0),
        (Bank::NAME, load.tellers > 0),
        (Leases::NAME, load.leases > 0),
        (Refusals::NAME, load.guests > 0 || events.iter().any(tries)),
        (Queue::NAME, load.queuers > 0),
        (Removals::NAME, load.containers > 0),
    ];
    for (name, _) in more.into_iter().filter(|(_, owed)| *owed) {
        checks.extend(ALL.iter().find(|check| check.name() == name).cloned());
    }
    checks
}

/// The default checks of a target. Valkey and Redis replicate asynchronously and promise no linearizability
/// under failures; the others read and write through a consensus log and do. In a group nobody pings at intervals, and terms
/// have leaders; watches are those of a store with revisions.
pub fn default_checks(target: &str) -> Vec<CheckSpec> {
    let known = OWED.iter().find(|(name, _)| *name == target);
    known.map_or_else(|| owed(target), |(_, owed)| owed.clone())
}

/// By target, put together once.
static OWED: LazyLock<Vec<(&str, Vec<CheckSpec>)>> =
    LazyLock::new(|| TARGETS.iter().map(|info| (info.name, owed(info.name))).collect());

fn owed(target: &str) -> Vec<CheckSpec> {
    let owed = |check: &&CheckSpec| match check.name() {
        Linearizability::NAME => consensus(target),
        ReplicationLag::NAME => !group(target),
        OneLeader::NAME => group(target),
        Watches::NAME => REVISIONS.contains(&target),
        Ephemerals::NAME | Bank::NAME | Leases::NAME | Refusals::NAME | Queue::NAME | Removals::NAME => false,
        _ => true,
    };
    ALL.iter().filter(owed).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_agrees_by_consensus_is_held_to_linearizability() {
        let names = |target| default_checks(target).iter().map(CheckSpec::name).collect::<Vec<_>>();
        assert!(names("embedded").contains(&Linearizability::NAME));
        assert!(!names("valkey").contains(&Linearizability::NAME));
        assert_eq!(names("valkey").len() + 1, names("embedded").len());
        let all = CheckSpec::NAMES.iter().filter(|name| !WRITTEN.contains(name)).count();
        assert_eq!(
            names("embedded").len() + 8,
            all,
            "leaders of terms, watches, sessions, accounts, leases, refusals, queues and removals are not its own"
        );
        assert!(names("etcd").contains(&Linearizability::NAME));
        assert!(!names("etcd").contains(&ReplicationLag::NAME));
        let load = Load { sessions: 1, tellers: 1, ..Load::default() };
        let more = checks_of("zookeeper", &load, &[]);
        let more: Vec<&str> = more[names("zookeeper").len()..].iter().map(CheckSpec::name).collect();
        assert_eq!(more, [Ephemerals::NAME, Bank::NAME]);
        assert_eq!(checks_of("zookeeper", &Load::default(), &[]).len(), names("zookeeper").len());
        let guests = Load { guests: 1, ..Load::default() };
        assert_eq!(checks_of("zookeeper", &guests, &[]).last().map(CheckSpec::name), Some(Refusals::NAME));
        let queued = Load { queuers: 2, ..Load::default() };
        assert_eq!(checks_of("zookeeper", &queued, &[]).last().map(CheckSpec::name), Some(Queue::NAME));
        let packed = Load { containers: 1, ..Load::default() };
        assert_eq!(checks_of("zookeeper", &packed, &[]).last().map(CheckSpec::name), Some(Removals::NAME));
        let watched = Load { watchers: 1, ..Load::default() };
        assert_eq!(checks_of("zookeeper", &watched, &[]).last().map(CheckSpec::name), Some(Watches::NAME));
        let held = Load { leases: 2, ..Load::default() };
        assert_eq!(checks_of("etcd", &held, &[]).last().map(CheckSpec::name), Some(Leases::NAME));
    }
}
