//! The names that people who come from valkey-fuzzer expect, beside ours; and how numbers are written.

use crate::check::{Judgement, Verdict};

/// Our checks in the order of the summary, with their headings there.
pub const HEADINGS: &[(&str, &str)] = &[
    ("slot_coverage", "Slot Coverage"),
    ("replica_sync", "Replica Sync"),
    ("data_consistency", "Data Consistency"),
    ("convergence_time", "Convergence Time"),
    ("replication_lag", "Replication Lag"),
    ("quorum", "Quorum"),
    ("view_agreement", "View Agreement"),
    ("topology", "Topology"),
    ("acknowledged_loss", "Acknowledged Loss"),
    ("linearizability", "Linearizability"),
    ("one_leader", "One Leader"),
    ("watch", "Watches"),
    ("ephemerals", "Ephemerals"),
    ("bank", "Bank"),
    ("leases", "Leases"),
    ("refusals", "Refusals"),
    ("queue", "Queue"),
    ("removals", "Removals"),
    ("crash", "Crash"),
    ("log_scan", "Log Scan"),
    ("service", "Service"),
    ("leadership", "Leadership"),
    ("injection", "Injection"),
    (crate::check::RUN, "Run"),
];

/// The newer tool's checks in its order: key, heading, and which of ours it stands for.
pub const FINAL: &[(&str, &str, &[&str])] = &[
    ("replication", "Replication", &["replica_sync", "replication_lag"]),
    ("cluster_status", "Cluster Status", &["quorum", "service", "leadership", "one_leader"]),
    ("slot_coverage", "Slot Coverage", &["slot_coverage"]),
    ("topology", "Topology", &["topology"]),
    ("view_consistency", "View Consistency", &["view_agreement"]),
    (
        "data_consistency",
        "Data Consistency",
        &[
            "data_consistency",
            "acknowledged_loss",
            "linearizability",
            "watch",
            "ephemerals",
            "bank",
            "leases",
            "refusals",
            "queue",
            "removals",
        ],
    ),
    ("log_validation", "Log Validation", &["crash", "log_scan"]),
    ("validation_timeout", "Validation Timeout", &["convergence_time"]),
    ("validation_framework", "Validation Framework", &[crate::check::RUN, "injection"]),
];

/// `slot_coverage` is `Slot Coverage`.
pub fn heading(name: &str) -> String {
    if let Some((_, heading)) = HEADINGS.iter().find(|(check, _)| *check == name) {
        return (*heading).into();
    }
    if name == "kill" {
        // The older form's word for it.
        return "Process Kill".into();
    }
    name.split('_').map(capital).collect::<Vec<_>>().join(" ")
}

/// `word` is `Word`.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The place of a check in the summary.
pub fn rank(check: &str) -> usize {
    HEADINGS.iter().position(|(name, _)| *name == check).unwrap_or(HEADINGS.len())
}

/// The newer tool's name for one of our checks.
pub fn newer(check: &str) -> &str {
    FINAL.iter().find(|(_, _, ours)| ours.contains(&check)).map_or(check, |(key, _, _)| key)
}

/// The sign in front of a line: unknown is never shown as passed.
pub const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail => "✗",
        Verdict::Unknown => "?",
        Verdict::NotOwed | Verdict::Voided => "–",
    }
}

/// The verdict of a whole run, in the older form's capitals.
pub const fn status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::NotOwed => "PASSED",
        Verdict::Fail => "FAILED",
        Verdict::Unknown | Verdict::Voided => "UNKNOWN",
    }
}

/// The verdict of one check, in the newer form's capitals.
pub const fn check_status(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Fail => "FAIL",
        Verdict::Unknown => "UNKNOWN",
        Verdict::NotOwed => "NOT OWED",
        Verdict::Voided => "VOIDED",
    }
}

/// What a line says of a check: its reason, and where its claim was not tested, that word first.
pub fn told(judgement: &Judgement) -> String {
    match judgement.verdict {
        Verdict::Pass | Verdict::Fail => judgement.reason.clone(),
        Verdict::Unknown => format!("unknown: {}", judgement.reason),
        Verdict::NotOwed => format!("not owed: {}", judgement.reason),
        Verdict::Voided => format!("voided: {}", judgement.reason),
    }
}

/// `20118` is `20,118`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 run`, `1,200 runs`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// Milliseconds as seconds with this many decimals, rounded half up.
pub fn seconds(ms: u64, decimals: u32) -> String {
    let step = 10u64.pow(3 - decimals.min(3));
    let rounded = (ms + step / 2) / step;
    let unit = 10u64.pow(decimals.min(3));
    if decimals == 0 {
        return rounded.to_string();
    }
    format!("{}.{:0width$}", rounded / unit, rounded % unit, width = decimals as usize)
}

/// A time since the cluster was healthy: `+12.345s`, `-0.250s` while it formed.
pub fn logical(at_us: i64) -> String {
    crate::time::signed(at_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (20_118, "20,118"), (1_234_567, "1,234,567")]
        {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(seconds(38_649, 1), "38.6");
        assert_eq!(seconds(38_650, 1), "38.7");
        assert_eq!(seconds(74_080, 2), "74.08");
        assert_eq!(seconds(1_500, 0), "2");
        assert_eq!(logical(-250_000), "-0.250s");
        assert_eq!(logical(12_345_678), "+12.345s");
    }

    #[test]
    fn every_check_of_the_catalogue_has_a_heading_and_a_newer_name() {
        for name in crate::catalogue::CheckSpec::NAMES {
            assert!(rank(name) < HEADINGS.len(), "{name} has no heading");
            assert!(FINAL.iter().any(|(_, _, ours)| ours.contains(name)), "{name} has no newer name");
        }
    }

    #[test]
    fn names_become_headings() {
        assert_eq!(heading("rolling_restart"), "Rolling Restart");
        assert_eq!(heading("kill"), "Process Kill");
    }
}
