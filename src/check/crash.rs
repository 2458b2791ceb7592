//! `crash`: no process ends by itself.
//!
//! Left out is what we did ourselves: a process that ends the way the signal we sent it makes it end. SIGTERM
//! and SIGINT may take `shutdown-timeout` and exit with 1 when a replica lags (valkey.conf, "shutdown-timeout").
//! Ends by design are no crash but are counted: see [`BY_DESIGN`].

use super::facts::in_force;
use super::{Check, Judgement, Verdict};
use crate::env::{Exit, NodeId};
use crate::run::record::{Life, LogLine, Record};

crate::record! {
    pub struct Crash {
    }
}

impl Crash {
    pub const NAME: &'static str = "crash";
}

/// Ends that the servers document: class, what the log says, and where it is documented.
pub const BY_DESIGN: &[(&str, &str, &str)] = &[
    (
        "exit-on-aof-error",
        "AOF fsync policy is 'always'. Exiting",
        "aof.c: with appendfsync always an acknowledged write that cannot be synced ends the server",
    ),
    (
        "exit-on-aof-error",
        "Can't persist AOF for fsync error when the AOF fsync policy is 'always'",
        "aof.c: with appendfsync always an acknowledged write that cannot be synced ends the server",
    ),
    (
        "replica-exit-on-disk-error",
        "Replica was unable to write command to disk",
        "valkey.conf, replica-ignore-disk-write-errors: a replica that cannot persist what it is sent ends",
    ),
    (
        "exit-on-nodes-conf",
        "update cluster config file",
        "cluster.c, clusterSaveConfigOrDie: a node that cannot save its configuration must not go on",
    ),
    (
        "exit-on-other-member-list",
        "error validating peerURLs",
        "membership/cluster.go, ValidateClusterAndAssignIDs: a new member ends if the peer it asks has not heard of it yet",
    ),
];

/// What a server says that gets no memory, and then ends (`server.c`, the handler given to
/// `zmalloc_set_oom_handler`). By design where a fault of ours took the memory.
const OUT_OF_MEMORY: &str = "OUT OF MEMORY";

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const SIGSEGV: i32 = 11;
const SIGTERM: i32 = 15;

/// Signals that make a process report a bug before it ends.
pub(super) fn makes_a_report(signal: i32) -> bool {
    matches!(signal, SIGABRT | SIGSEGV | 4 | 7 | 8)
}

/// Whether a signal of ours explains this end.
fn explained(signal: i32, exit: Exit) -> bool {
    match (signal, exit) {
        // A Java machine aborts where another program would be killed.
        (SIGTERM | SIGINT, Exit::Code(0 | 1)) | (SIGSEGV, Exit::Signal(SIGABRT)) => true,
        // And one that was asked to end does so with a code of its own.
        (SIGHUP | SIGINT | SIGTERM, Exit::Code(code)) => code == 128 + signal,
        (SIGABRT | SIGSEGV, Exit::Code(code)) => code != 0,
        (SIGHUP | SIGINT | SIGABRT | SIGKILL | SIGSEGV | SIGTERM, Exit::Signal(end)) => signal == end,
        _ => false,
    }
}

/// A command of ours ended it: a node that leaves the cluster is shut down, a rolling restart shuts down.
fn shut_down(record: &Record, life: &Life) -> bool {
    let Some((ended, Exit::Code(0))) = life.ended else { return false };
    record.applied.iter().any(|applied| {
        matches!(applied.action.as_str(), "remove_replica" | "scale_in" | "rolling_restart")
            && (applied.resolved.contains(&life.node) || removed(record, life.node))
            && applied.started <= ended
            && applied.ended.is_none_or(|end| ended <= end)
    })
}

/// What a process logged that means something.
fn said<'a>(record: &'a Record, life: &Life) -> impl Iterator<Item = &'a LogLine> {
    let (node, incarnation) = (life.node, life.incarnation);
    record.log_lines.iter().filter(move |line| line.node == node && line.incarnation == incarnation)
}

/// The documented end that the log of a process speaks of, or the fault of ours in force that a server cannot live
/// with: one without its disk ends by itself, with exit code 1, wherever it cannot go on.
pub(super) fn by_design(record: &Record, life: &Life) -> Option<&'static str> {
    let says = |text: &str| said(record, life).any(|line| line.line.contains(text));
    let (ended, exit) = life.ended?;
    let under = |faults: &[&str]| in_force(record, life.node, (ended, ended), faults);
    if let Some((class, _, _)) = BY_DESIGN.iter().find(|(_, text, _)| says(text)) {
        return Some(class);
    }
    if says(OUT_OF_MEMORY) && under(&["memory_limit"]) {
        return Some("exit-on-memory-limit");
    }
    (exit == Exit::Code(1) && under(&["disk_error", "full_disk"])).then_some("exit-under-disk-fault")
}

fn removed(record: &Record, node: NodeId) -> bool {
    record.last.as_ref().is_some_and(|last| last.removed.contains(&node))
}

impl Check for Crash {
    fn claim(&self) -> &'static str {
        "no process ends by itself"
    }
    fn source(&self) -> &'static str {
        "valkey.io/topics/debugging: a server that ends by SIGSEGV, SIGABRT or an assertion has a bug"
    }
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        Some((
            "no member ends by itself, but in the ways that are documented",
            "check::crash::BY_DESIGN names these ways and their sources; any other end is a bug",
        ))
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.lives.is_empty() {
            return Judgement::new(Self::NAME, Verdict::Unknown, "nothing observed");
        }
        let mut evidence = Vec::new();
        let mut excused = Judgement::new(Self::NAME, Verdict::Pass, "").classes;
        let mut ours = 0;
        for life in &record.lives {
            let Some((at, exit)) = life.ended else { continue };
            let signals = || life.signalled.iter().map(|(_, signal)| *signal);
            if signals().any(|signal| explained(signal, exit)) || shut_down(record, life) {
                ours += 1;
                continue;
            }
            if let Some(class) = by_design(record, life) {
                *excused.entry(class.into()).or_default() += 1;
                continue;
            }
            let sent: Vec<String> =
                life.signalled.iter().map(|(event, signal)| format!("{event} sent {signal}")).collect();
            let sent = if sent.is_empty() { "no signal was sent to it".into() } else { sent.join(", ") };
            let last = said(record, life).last();
            let last = last.map_or(String::new(), |line| format!("; what it last said: {}", line.line));
            evidence.push(format!(
                "{} (process {}) ended at {} with {exit}; {sent}{last}",
                life.node,
                life.incarnation,
                record.when(at)
            ));
        }
        let looked_at = format!("{} processes, {ours} ended by us", record.lives.len());
        let mut judgement = if evidence.is_empty() {
            Judgement::new(Self::NAME, Verdict::Pass, "no process ended by itself")
        } else {
            let reason = format!("{} process(es) ended by themselves", evidence.len());
            Judgement::new(Self::NAME, Verdict::Fail, reason).with_evidence(evidence)
        };
        judgement.classes = excused;
        judgement.looked_at(looked_at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;

    fn judge(scene: &Scene) -> Judgement {
        Crash {}.judge(&scene.record)
    }

    #[test]
    fn a_kill_of_ours_is_no_crash() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.kill("k1", 1, 10_000, None);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
    }

    #[test]
    fn an_end_without_a_signal_is_a_crash() {
        for exit in [Exit::Signal(11), Exit::Signal(6), Exit::Code(1), Exit::Code(0)] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.life(1).ended = Some((ms(12_000), exit));
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Fail, "{exit}");
            assert!(judgement.evidence[0].contains("node-1"), "{judgement:?}");
        }
    }

    #[test]
    fn a_crash_is_told_with_the_last_words_of_the_process() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.life(1).ended = Some((ms(12_000), Exit::Code(1)));
        for (incarnation, line) in
            [(1, "configEpoch set to 4"), (1, "corrupted cluster config file"), (2, "later")]
        {
            let (at, node, line) = (ms(12_000), NodeId(1), line.to_string());
            scene.record.log_lines.push(LogLine { at, node, incarnation, line });
        }
        let told = &judge(&scene).evidence[0];
        assert!(
            told.ends_with("no signal was sent to it; what it last said: corrupted cluster config file"),
            "{told}"
        );
    }

    #[test]
    fn a_signal_of_ours_explains_its_own_end_only() {
        for (signal, exit, verdict) in [
            (15, Exit::Code(0), Verdict::Pass),
            (15, Exit::Code(1), Verdict::Pass),
            (15, Exit::Signal(11), Verdict::Fail),
            (15, Exit::Code(3), Verdict::Fail),
            (11, Exit::Signal(11), Verdict::Pass),
            (9, Exit::Signal(6), Verdict::Fail),
            (19, Exit::Signal(9), Verdict::Fail),
        ] {
            let mut scene = Scene::new(3, 1).healthy();
            scene.life(1).ended = Some((ms(12_000), exit));
            scene.life(1).signalled = vec![("k1".into(), signal)];
            assert_eq!(judge(&scene).verdict, verdict, "signal {signal}, {exit}");
        }
    }

    #[test]
    fn ends_by_design_are_counted() {
        for (class, text, _) in BY_DESIGN {
            let mut scene = Scene::new(3, 1).healthy();
            scene.life(1).ended = Some((ms(12_000), Exit::Code(1)));
            scene.log(1, 12_000, &format!("Fatal: {text} now"));
            let judgement = judge(&scene);
            assert_eq!(judgement.verdict, Verdict::Pass);
            assert_eq!(judgement.classes.get(*class), Some(&1));
            scene.record.log_lines[0].node = NodeId(2);
            assert_eq!(judge(&scene).verdict, Verdict::Fail, "another node's log excuses nothing");
        }
    }

    #[test]
    fn an_end_under_a_broken_disk_is_its_doing_if_it_is_no_crash() {
        for fault in ["disk_error: {node: node-1}", "full_disk: {node: node-1}"] {
            for (at, exit, verdict) in [
                (12_000, Exit::Code(1), Verdict::Pass),
                (12_000, Exit::Signal(11), Verdict::Fail),
                (14_000, Exit::Code(1), Verdict::Fail),
            ] {
                let mut scene = Scene::new(3, 1).healthy();
                scene.apply("d1", fault, 11_000, Some(13_000), &[1]);
                scene.life(1).ended = Some((ms(at), exit));
                let judgement = judge(&scene);
                assert_eq!(judgement.verdict, verdict, "{fault} at {at}, {exit}");
                assert_eq!(judgement.classes.contains_key("exit-under-disk-fault"), verdict == Verdict::Pass);
            }
        }
    }

    #[test]
    fn no_memory_ends_a_server_by_design_only_where_we_took_it() {
        for (limited, verdict) in [(true, Verdict::Pass), (false, Verdict::Fail)] {
            let mut scene = Scene::new(3, 1).healthy();
            if limited {
                scene.apply("m1", "memory_limit: {node: node-1}", 11_000, Some(13_000), &[1]);
            }
            scene.life(1).ended = Some((ms(12_000), Exit::Signal(6)));
            scene.log(1, 12_000, "Guru Meditation: Redis aborting for OUT OF MEMORY. Allocating 9 bytes!");
            assert_eq!(judge(&scene).verdict, verdict);
        }
    }

    #[test]
    fn a_node_that_left_was_shut_down() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.life(1).ended = Some((ms(12_000), Exit::Code(0)));
        scene.apply("r1", "remove_replica: {shard: 0}", 11_000, Some(13_000), &[1]);
        assert_eq!(judge(&scene).verdict, Verdict::Pass);
        scene.life(1).ended = Some((ms(14_000), Exit::Code(0)));
        assert_eq!(judge(&scene).verdict, Verdict::Fail, "after the operation had ended");
    }

    #[test]
    fn no_process_is_nothing_observed() {
        let mut scene = Scene::new(3, 1).healthy();
        scene.record.lives.clear();
        assert_eq!(judge(&scene).verdict, Verdict::Unknown);
    }
}
