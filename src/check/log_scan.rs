//! `log_scan`: no process reports a bug in its log.
//!
//! Only what a server prints when it has found itself broken counts; warnings guide, they do not fail. The
//! report that a signal of ours provokes (SIGSEGV, SIGABRT) is ours.

use super::crash::{by_design, makes_a_report};
use super::{Check, Judgement, Verdict};
use crate::catalogue::Class;
use crate::run::record::Record;

crate::record! {
    pub struct LogScan {
    }
}

impl LogScan {
    pub const NAME: &'static str = "log_scan";
}

/// What a server, its runtime or a sanitizer prints about a bug (`debug.c`; the sanitizers' own reports; Go's race detector; the
/// Java machine; ZooKeeper's digests).
pub const REPORTS: &[&str] = &[
    "BUG REPORT",
    "ASSERTION FAILED",
    "Guru Meditation",
    "AddressSanitizer",
    "ThreadSanitizer",
    "MemorySanitizer",
    "LeakSanitizer",
    "runtime error:",
    "panicked at",
    "DATA RACE",
    "A fatal error has been detected by the Java Runtime",
    "java.lang.AssertionError",
    DIGEST,
];

/// A ZooKeeper server's contents are not those of its leader, or of its snapshot (`DataTree`).
const DIGEST: &str = "Digests are not matching";

impl Check for LogScan {
    fn claim(&self) -> &'static str {
        "no process reports an assertion, a crash or a sanitizer's finding in its log"
    }
    fn source(&self) -> &'static str {
        "debug.c of Valkey and Redis: these lines are printed for bugs only"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "no member reports a panic, an assertion, a crash or contents that differ from their digest in its log",
            "Go's runtime and race detector, the Java machine's fatal errors; zookeeper.apache.org/doc/r3.8.0: Administrator's Guide, 'zookeeper.digest.enabled'",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.lives.is_empty() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed");
        }
        // Some ends by design are panics, with the report of one.
        let designed = |line: &crate::run::record::LogLine| {
            record.lives.iter().any(|life| {
                life.node == line.node
                    && life.incarnation == line.incarnation
                    && by_design(record, life).is_some()
            })
        };
        let ours = |line: &crate::run::record::LogLine| {
            record.lives.iter().any(|life| {
                life.node == line.node
                    && life.incarnation == line.incarnation
                    && life.signalled.iter().any(|(_, signal)| makes_a_report(*signal))
            })
        };
        let reports =
            record.log_lines.iter().filter(|line| REPORTS.iter().any(|text| line.line.contains(text)));
        let (excused, found): (Vec<_>, Vec<_>) = reports.partition(|line| ours(line));
        // Bytes that a fault changed have another digest.
        let changed = record.applied.iter().any(|applied| {
            let class = record.timeline.event(&applied.event).map(|event| event.action.class());
            matches!(class, Some(Class::Voids(_)))
        });
        let (changed, found): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|line| changed && line.line.contains(DIGEST));
        let (by_design, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|line| designed(line));
        let looked_at =
            format!("{} notable lines of {} processes", record.log_lines.len(), record.lives.len());
        let mut judgement = if found.is_empty() {
            Judgement::new(Self::NAME, Verdict::Pass, "no process reported a bug")
        } else {
            let evidence: Vec<String> =
                found.iter().map(|line| format!("{} at {}: {}", line.node, line.at, line.line)).collect();
            Judgement::new(Self::NAME, Verdict::Fail, format!("{} line(s) report a bug", evidence.len()))
                .with_evidence(evidence)
        };
        if !excused.is_empty() {
            judgement.classes.insert("report-after-our-signal".into(), excused.len() as u64);
        }
        if !by_design.is_empty() {
            judgement.classes.insert("report-of-an-end-by-design".into(), by_design.len() as u64);
        }
        if !changed.is_empty() {
            judgement.classes.insert("digest-of-changed-bytes".into(), changed.len() as u64);
        }
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Scene;
    use super::*;

    #[test]
    fn every_kind_of_report_is_found() {
        for text in REPORTS {
            let mut scene = Scene::new(3, 1).healthy();
            scene.log(2, 11_000, &format!("=== {text} ==="));
            let judgement = LogScan {}.judge(&scene.record);
            assert_eq!(judgement.verdict, Verdict::Fail, "{text}");
            assert!(judgement.evidence[0].contains("node-2"));
        }
    }

    #[test]
    fn warnings_are_not_failures() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.log(2, 11_000, "# WARNING: overcommit_memory is set to 0");
        scene.log(2, 11_000, "Failover election won: I'm the new primary.");
        assert_eq!(LogScan {}.judge(&scene.record).verdict, Verdict::Pass);
    }

    #[test]
    fn a_report_that_our_signal_provoked_is_counted() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.log(2, 11_000, "=== BUG REPORT START ===");
        scene.life(2).signalled = vec![("k1".into(), 11)];
        let judgement = LogScan {}.judge(&scene.record);
        assert_eq!(judgement.verdict, Verdict::Pass);
        assert_eq!(judgement.classes["report-after-our-signal"], 1);
        scene.life(2).signalled = vec![("k1".into(), 9)];
        assert_eq!(LogScan {}.judge(&scene.record).verdict, Verdict::Fail, "SIGKILL provokes no report");
    }

    #[test]
    fn the_report_of_an_end_by_design_is_counted() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.log(2, 11_000, "=== BUG REPORT START ===");
        scene.log(2, 11_000, "Guru Meditation: Replica was unable to write command to disk.");
        let judgement = LogScan {}.judge(&scene.record);
        assert_eq!(judgement.verdict, Verdict::Fail, "it goes on");
        scene.life(2).ended = Some((super::super::testing::ms(11_000), crate::env::Exit::Signal(6)));
        let judgement = LogScan {}.judge(&scene.record);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judgement.classes["report-of-an-end-by-design"], 2);
    }

    #[test]
    fn a_digest_that_differs_is_a_bug_unless_a_fault_changed_bytes() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.log(2, 11_000, "WARN Digests are not matching. Value is Zxid. Value in tree digest: 1");
        assert_eq!(LogScan {}.judge(&scene.record).verdict, Verdict::Fail);
        scene.apply("f1", "bit_flip: {node: node-2, file: '*'}", 10_500, Some(10_600), &[2]);
        let judgement = LogScan {}.judge(&scene.record);
        assert_eq!((judgement.verdict, judgement.classes["digest-of-changed-bytes"]), (Verdict::Pass, 1));
    }

    #[test]
    fn no_process_is_nothing_observed() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.record.lives.clear();
        assert_eq!(LogScan {}.judge(&scene.record).verdict, Verdict::Unknown);
    }
}
