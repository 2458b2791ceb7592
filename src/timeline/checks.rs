//! The checks that a run is judged by where the spec names none.

use crate::catalogue::CheckSpec;
use crate::check::linearizability::Linearizability;
use crate::yaml::document::{Node, Problems, Span, Value};
use std::sync::LazyLock;

/// Every check at its defaults, in the order of the catalogue.
static ALL: LazyLock<Vec<CheckSpec>> = LazyLock::new(|| {
    let nothing = Node { span: Span::default(), value: Value::Null };
    let defaults = |name: &&str| {
        let mut problems = Problems::default();
        CheckSpec::read(name, &nothing, name, &mut problems).expect("every bound of a check has a default")
    };
    CheckSpec::NAMES.iter().map(defaults).collect()
});

/// Those that a target owes which replicates asynchronously.
static ASYNCHRONOUS: LazyLock<Vec<CheckSpec>> =
    LazyLock::new(|| ALL.iter().filter(|check| check.name() != Linearizability::NAME).cloned().collect());

/// The default checks of a target. Valkey and Redis replicate asynchronously and promise no linearizability
/// under failures; the embedded target reads and writes through a consensus log and does.
pub fn default_checks(target: &str) -> Vec<CheckSpec> {
    if target == "embedded" { ALL.clone() } else { ASYNCHRONOUS.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_embedded_target_is_held_to_linearizability() {
        let names = |target| default_checks(target).iter().map(CheckSpec::name).collect::<Vec<_>>();
        assert_eq!(names("embedded"), CheckSpec::NAMES);
        assert!(!names("valkey").contains(&Linearizability::NAME));
        assert_eq!(names("valkey").len() + 1, CheckSpec::NAMES.len());
    }
}
