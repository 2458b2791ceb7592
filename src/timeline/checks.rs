//! The checks that a run is judged by where the spec names none.

use crate::catalogue::CheckSpec;
use crate::check::expect::{injection::Injection, leadership::Leadership, service::Service};
use crate::check::linearizability::Linearizability;
use crate::check::replication_lag::ReplicationLag;
use crate::target::{consensus, group};
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

/// Those that a target owes which replicates asynchronously.
static ASYNCHRONOUS: LazyLock<Vec<CheckSpec>> =
    LazyLock::new(|| ALL.iter().filter(|check| check.name() != Linearizability::NAME).cloned().collect());

/// Those that a single consensus group owes: its followers are not pinged by a primary at intervals.
static GROUP: LazyLock<Vec<CheckSpec>> =
    LazyLock::new(|| ALL.iter().filter(|check| check.name() != ReplicationLag::NAME).cloned().collect());

/// The default checks of a target. Valkey and Redis replicate asynchronously and promise no linearizability
/// under failures; the others read and write through a consensus log and do.
pub fn default_checks(target: &str) -> Vec<CheckSpec> {
    if group(target) {
        GROUP.clone()
    } else if consensus(target) {
        ALL.clone()
    } else {
        ASYNCHRONOUS.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_agrees_by_consensus_is_held_to_linearizability() {
        let names = |target| default_checks(target).iter().map(CheckSpec::name).collect::<Vec<_>>();
        let all: Vec<&str> =
            CheckSpec::NAMES.iter().copied().filter(|name| !WRITTEN.contains(name)).collect();
        assert_eq!(names("embedded"), all);
        assert!(!names("valkey").contains(&Linearizability::NAME));
        assert_eq!(names("valkey").len() + 1, all.len());
        assert!(names("etcd").contains(&Linearizability::NAME));
        assert!(!names("etcd").contains(&ReplicationLag::NAME));
    }
}
