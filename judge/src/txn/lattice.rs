//! Consistency models, the anomalies that each forbids, and what a set of anomalies rules out.
//!
//! A verdict on transactions is relative to a claim: the same history is a correct run of one database and a
//! broken run of another. This is the table between the two, with the names and the relations of Elle's
//! `elle.consistency-model` (public repository jepsen-io/elle), which draws them from Adya's thesis, from Bailis
//! et al. ("Highly Available Transactions"), from Cerone, Bernardi and Gotsman, and from Daudjee and Salem. It has
//! one anomaly more, `garbage-read` (Kingsbury and Alvaro, VLDB 2020, section 6.1: a value that nobody wrote),
//! which implies an aborted read. Pure: names in, names out, in order.

use std::collections::BTreeSet;

type Arrows = &'static [(&'static str, &'static [&'static str])];

/// An anomaly, and those that its presence proves as well.
const IMPLIED: Arrows = &[
    ("G0", &["G1c", "G0-process"]),
    ("G0-process", &["G1c-process", "G0-realtime"]),
    ("G0-realtime", &["G1c-realtime"]),
    ("G1a", &["G1"]),
    ("G1b", &["G1"]),
    ("G1c", &["G1", "G1c-process"]),
    ("G1c-process", &["G1c-realtime", "G1-process"]),
    ("G1c-realtime", &["G1-realtime"]),
    ("G1", &["G1-process"]),
    ("G1-process", &["G1-realtime"]),
    ("G-single-item", &["G-single", "G-single-item-process", "G-nonadjacent-item"]),
    ("G-single-item-process", &["G-single-process", "G-single-item-realtime", "G-nonadjacent-item-process"]),
    ("G-single-item-realtime", &["G-single-realtime", "G-nonadjacent-item-realtime"]),
    ("G-single", &["G-nonadjacent", "GSIb", "G-single-process"]),
    ("G-single-process", &["G-nonadjacent-process", "G-single-realtime"]),
    ("G-single-realtime", &["G-nonadjacent-realtime"]),
    ("G-nonadjacent-item", &["G-nonadjacent", "G2-item", "G-nonadjacent-item-process"]),
    (
        "G-nonadjacent-item-process",
        &["G-nonadjacent-process", "G2-item-process", "G-nonadjacent-item-realtime"],
    ),
    ("G-nonadjacent-item-realtime", &["G2-item-realtime", "G-nonadjacent-realtime"]),
    ("G-nonadjacent", &["G2", "G-nonadjacent-process"]),
    ("G-nonadjacent-process", &["G2-process", "G-nonadjacent-realtime"]),
    ("G-nonadjacent-realtime", &["G2-realtime"]),
    ("G2", &["G2-process"]),
    ("G2-item", &["G2", "G2-item-process"]),
    ("G2-item-process", &["G2-process", "G2-item-realtime"]),
    ("G2-item-realtime", &["G2-realtime"]),
    ("G2-process", &["G2-realtime"]),
    ("GSIa", &["GSI"]),
    ("GSIb", &["GSI"]),
    ("incompatible-order", &["G1a"]),
    ("garbage-read", &["G1a"]),
    ("future-read", &["G1c"]),
    ("dirty-update", &["G1a"]),
    ("lost-update", &["write-skew", "G2-item"]),
    ("write-skew", &["G2"]),
];

/// Names in use, and the canonical one (Adya's where he has one).
const CANONICAL: &[(&str, &str)] = &[
    ("consistent-view", "PL-2+"),
    ("conflict-serializable", "PL-3"),
    ("cursor-stability", "PL-CS"),
    ("forward-consistent-view", "PL-FCV"),
    ("monotonic-snapshot-read", "PL-MSR"),
    ("monotonic-view", "PL-2L"),
    ("read-committed", "PL-2"),
    ("read-uncommitted", "PL-1"),
    ("repeatable-read", "PL-2.99"),
    ("serializable", "PL-3"),
    ("snapshot-isolation", "PL-SI"),
    ("strict-serializable", "PL-SS"),
    ("strong-serializable", "PL-SS"),
    ("update-serializable", "PL-3U"),
    ("strong-session-read-uncommitted", "strong-session-PL-1"),
    ("strong-session-read-committed", "strong-session-PL-2"),
    ("strong-read-uncommitted", "strong-PL-1"),
    ("strong-read-committed", "strong-PL-2"),
];

/// A model, and those that it guarantees as well.
const MODELS: Arrows = &[
    ("causal-cerone", &["read-atomic"]),
    ("PL-2+", &["PL-CS", "PL-2L"]),
    ("PL-CS", &["PL-2"]),
    ("PL-FCV", &["PL-2+"]),
    ("PL-2", &["PL-1"]),
    ("PL-3", &["view-serializable", "PL-2.99", "PL-3U", "PL-SI"]),
    ("PL-3U", &["PL-FCV"]),
    ("monotonic-atomic-view", &["PL-2"]),
    ("PL-2L", &["PL-2"]),
    ("PL-MSR", &["PL-2"]),
    ("parallel-snapshot-isolation", &["causal-cerone", "update-atomic"]),
    ("prefix", &["causal-cerone"]),
    ("read-atomic", &["monotonic-atomic-view"]),
    ("PL-2.99", &["PL-CS", "monotonic-atomic-view"]),
    ("update-atomic", &["read-atomic"]),
    ("session-serializable", &["1SR"]),
    ("PL-SI", &["PL-FCV", "monotonic-atomic-view", "PL-MSR", "parallel-snapshot-isolation", "prefix"]),
    (
        "PL-SS",
        &[
            "PL-3",
            "linearizable",
            "PL-SI",
            "strong-snapshot-isolation",
            "strong-session-serializable",
            "session-serializable",
        ],
    ),
    ("strong-session-PL-1", &["PL-1"]),
    ("strong-session-PL-2", &["PL-2", "strong-session-PL-1"]),
    ("strong-PL-1", &["strong-session-PL-1"]),
    ("strong-PL-2", &["strong-session-PL-2", "strong-PL-1"]),
    ("strong-session-serializable", &["PL-3", "strong-session-snapshot-isolation"]),
    ("strong-session-snapshot-isolation", &["PL-SI", "strong-session-PL-2"]),
    ("strong-snapshot-isolation", &["strong-session-snapshot-isolation", "strong-PL-2"]),
    ("linearizable", &["sequential"]),
    ("sequential", &["causal"]),
    ("causal", &["writes-follow-reads", "PRAM"]),
    ("PRAM", &["monotonic-reads", "monotonic-writes", "read-your-writes"]),
];

/// A model, and the anomalies that it forbids beyond those of the models it guarantees.
const FORBIDDEN: Arrows = &[
    ("causal-cerone", &["internal", "G1a"]),
    ("PL-CS", &["G1", "G-cursor", "lost-update"]),
    ("PL-2L", &["G1", "G-monotonic"]),
    ("PL-MSR", &["G1", "G-MSR"]),
    ("PL-2+", &["G1", "G-single"]),
    ("PL-FCV", &["G1", "G-SIb"]),
    ("parallel-snapshot-isolation", &["internal", "G1a"]),
    ("PL-3", &["G1", "G2", "predicate-read-miss", "PL-3-cycle-exists", "internal"]),
    ("PL-2", &["G1", "PL-2-cycle-exists"]),
    ("PL-1", &["G0", "duplicate-elements", "cyclic-versions", "PL-1-cycle-exists"]),
    ("prefix", &["internal", "G1a"]),
    ("PL-SI", &["internal", "G1", "G-SI", "G-nonadjacent", "PL-SI-cycle-exists"]),
    ("read-atomic", &["internal", "G1a", "future-read"]),
    ("PL-2.99", &["G1", "G2-item", "PL-2.99-cycle-exists", "lost-update"]),
    ("update-atomic", &["lost-update"]),
    ("PL-SS", &["G1", "G1c-realtime", "G2-realtime", "PL-SS-cycle-exists"]),
    ("strong-session-PL-1", &["strong-session-PL-1-cycle-exists", "G0-process"]),
    ("strong-session-PL-2", &["strong-session-PL-2-cycle-exists", "G1c-process"]),
    ("strong-PL-1", &["strong-PL-1-cycle-exists", "G0-realtime"]),
    ("strong-PL-2", &["strong-PL-2-cycle-exists", "G1c-realtime"]),
    (
        "strong-session-snapshot-isolation",
        &[
            "internal",
            "G1-process",
            "G-nonadjacent-process",
            "strong-session-snapshot-isolation-cycle-exists",
        ],
    ),
    (
        "strong-snapshot-isolation",
        &["internal", "G1-realtime", "G-nonadjacent-realtime", "strong-snapshot-isolation-cycle-exists"],
    ),
    (
        "strong-session-serializable",
        &["G1-process", "G2-process", "strong-session-serializable-cycle-exists"],
    ),
    ("PL-3U", &["G1", "G-update"]),
];

/// Anomalies that leave a verdict open instead of deciding it.
pub const UNDECIDING: [&str; 2] = ["empty-transaction-graph", "cycle-search-timeout"];

type Names = BTreeSet<&'static str>;

/// The name of a model as the table has it; `None` for one it does not know.
pub fn canonical(name: &str) -> Option<&'static str> {
    let known = CANONICAL.iter().find(|(friendly, _)| *friendly == name).map(|(_, canonical)| *canonical);
    known.or_else(|| arrows(MODELS).find(|model| *model == name))
}

/// The name of a model as people know it.
pub fn friendly(name: &'static str) -> &'static str {
    match name {
        "PL-3" => "serializable",
        "PL-SS" => "strong-serializable",
        _ => {
            CANONICAL.iter().find(|(_, canonical)| *canonical == name).map_or(name, |(friendly, _)| friendly)
        }
    }
}

/// Every name that a claim may use.
pub fn model_names() -> Names {
    arrows(MODELS).chain(CANONICAL.iter().flat_map(|(a, b)| [*a, *b])).collect()
}

/// Every anomaly that has a name here.
pub fn anomaly_names() -> Names {
    let forbidden = FORBIDDEN.iter().flat_map(|(_, anomalies)| anomalies.iter().copied());
    arrows(IMPLIED).chain(forbidden).chain(UNDECIDING).collect()
}

/// The anomaly of this name, if there is one.
pub fn anomaly_named(name: &str) -> Option<&'static str> {
    anomaly_names().get(name).copied()
}

/// Both ends of all arrows.
fn arrows(table: Arrows) -> impl Iterator<Item = &'static str> {
    table.iter().flat_map(|(from, to)| std::iter::once(*from).chain(to.iter().copied()))
}

/// Everything reached along the arrows, the start included.
fn downstream(table: Arrows, from: impl IntoIterator<Item = &'static str>) -> Names {
    closure(from, |name| {
        table.iter().filter(|(from, _)| *from == name).flat_map(|(_, to)| to.iter().copied()).collect()
    })
}

/// Everything that reaches the start along the arrows, the start included.
fn upstream(table: Arrows, from: impl IntoIterator<Item = &'static str>) -> Names {
    closure(from, |name| table.iter().filter(|(_, to)| to.contains(&name)).map(|(from, _)| *from).collect())
}

fn closure(
    from: impl IntoIterator<Item = &'static str>,
    step: impl Fn(&'static str) -> Vec<&'static str>,
) -> Names {
    let mut open: Vec<_> = from.into_iter().collect();
    let mut seen = Names::new();
    while let Some(name) = open.pop() {
        if seen.insert(name) {
            open.extend(step(name));
        }
    }
    seen
}

/// What these anomalies prove beside themselves.
pub fn implied_by(anomalies: impl IntoIterator<Item = &'static str>) -> Names {
    downstream(IMPLIED, anomalies)
}

/// The anomalies that would break a claim of these models, or that are or imply one of these anomalies.
pub fn prohibited(models: &[&'static str], anomalies: &[&'static str]) -> Names {
    let models = downstream(MODELS, models.iter().copied());
    let forbidden = FORBIDDEN.iter().filter(|(model, _)| models.contains(model));
    let direct: Vec<_> = forbidden.flat_map(|(_, anomalies)| anomalies.iter().copied()).collect();
    upstream(IMPLIED, direct.into_iter().chain(anomalies.iter().copied()))
}

/// The models that cannot hold where these anomalies were seen.
pub fn impossible(anomalies: impl IntoIterator<Item = &'static str>) -> Names {
    let anomalies = implied_by(anomalies);
    let direct = FORBIDDEN.iter().filter(|(_, forbids)| forbids.iter().any(|name| anomalies.contains(name)));
    upstream(MODELS, direct.map(|(model, _)| *model))
}

/// The weakest models that these anomalies rule out, by their friendly names, in order.
pub fn weakest_impossible(anomalies: impl IntoIterator<Item = &'static str>) -> Vec<String> {
    let impossible = impossible(anomalies);
    let weakest = impossible.iter().filter(|model| {
        downstream(MODELS, [**model]).iter().all(|weaker| weaker == *model || !impossible.contains(weaker))
    });
    let names: BTreeSet<String> = weakest.map(|model| friendly(model).to_owned()).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not(anomalies: &[&'static str]) -> Vec<String> {
        weakest_impossible(anomalies.iter().copied())
    }

    #[test]
    fn each_anomaly_rules_out_the_weakest_models_that_forbid_it() {
        assert_eq!(not(&[]), Vec::<String>::new());
        assert_eq!(not(&["cyclic-versions"]), ["read-uncommitted"]);
        assert_eq!(not(&["internal"]), ["read-atomic"]);
        assert_eq!(not(&["G1a"]), ["read-committed"]);
        assert_eq!(not(&["G-single"]), ["consistent-view"]);
        assert_eq!(not(&["G-single-item"]), ["consistent-view", "repeatable-read"]);
        assert_eq!(not(&["G2", "internal"]), ["read-atomic"]);
        assert_eq!(not(&["lost-update"]), ["cursor-stability", "update-atomic"]);
        assert_eq!(not(&["G-single-realtime"]), ["strong-snapshot-isolation"]);
        assert_eq!(not(&["G2-item-realtime"]), ["strong-serializable"]);
    }

    #[test]
    fn a_claim_prohibits_what_its_weaker_models_forbid_and_what_implies_it() {
        let of = |name| prohibited(&[canonical(name).expect("known")], &[]);
        let expected = [
            "G0",
            "G1",
            "G1a",
            "G1b",
            "G1c",
            "PL-1-cycle-exists",
            "PL-2-cycle-exists",
            "cyclic-versions",
            "dirty-update",
            "duplicate-elements",
            "future-read",
            "garbage-read",
            "incompatible-order",
        ];
        assert_eq!(of("read-committed"), Names::from(expected));
        assert!(of("strict-serializable").contains("G-single-item-realtime"));
        assert!(!of("serializable").contains("G-single-item-realtime"));
        assert!(of("snapshot-isolation").contains("lost-update"));
        assert!(!of("snapshot-isolation").contains("G2-item"));
    }

    #[test]
    fn friendly_names_are_known_and_lead_back() {
        for name in model_names() {
            let canonical = canonical(name).expect("known");
            assert_eq!(super::canonical(friendly(canonical)), Some(canonical), "{name}");
        }
        assert_eq!(canonical("strict-ish"), None);
    }
}
