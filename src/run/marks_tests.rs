use super::*;
use crate::catalogue::NodeSelector;
use crate::entropy::Seed;
use crate::env::Exit;
use crate::fault::kill::{Kill, Signal};
use crate::fault::pause::Pause;
use crate::fault::restart::Restart;
use crate::history::{Key, KeyKind, Operation, Redirect, Stamp};
use crate::run::record::{KeyDump, Last, Life, LogLine};
use crate::run::view::ClusterView;
use crate::target::operation::{Failover, Reshard};
use crate::timeline::{Cluster, Event, Load, Schedule, Settings, Timeline};

const SECOND: u64 = 1_000_000;

/// Three shards with a replica each, healthy at 1 s, healed at 20 s, and nothing happened.
fn quiet() -> Record {
    Record {
        timeline: Timeline {
            seed: Seed(1),
            generator: String::new(),
            catalogue: 1,
            profile: String::new(),
            name: None,
            target: "valkey".into(),
            environment: "processes".into(),
            cluster: Cluster {
                shards: 3,
                replicas: 1,
                formation: Formation::Written,
                settings: Settings::default(),
                password: false,
                acl_user: false,
                base_port: None,
            },
            load: Load::default(),
            length: Millis::secs(19),
            events: Vec::new(),
            checks: Vec::new(),
            bugs: Vec::new(),
            schedule: Schedule::default(),
        },
        healthy_at: Micros(SECOND),
        healed_at: Micros(20 * SECOND),
        load_stopped_at: Micros(20 * SECOND),
        applied: Vec::new(),
        history: Vec::new(),
        operations_skipped: 0,
        views: Vec::new(),
        last: None,
        lives: Vec::new(),
        log_lines: Vec::new(),
        stretches: Vec::new(),
        watches: Vec::new(),
        sessions: Vec::new(),
        sights: Vec::new(),
        transfers: Vec::new(),
        audits: Vec::new(),
        leases: Vec::new(),
        demands: Vec::new(),
        vigils: Vec::new(),
        strokes: Vec::new(),
        queue: Vec::new(),
        removables: Vec::new(),
        ended_early: None,
        said: Vec::new(),
        messages: Vec::new(),
    }
}

impl Record {
    /// An event that was applied from one second to another.
    fn happened(mut self, id: &str, start: Start, action: Action, from: u64, to: u64) -> Self {
        self.applied.push(Applied {
            event: id.into(),
            action: action.name().into(),
            resolved: Vec::new(),
            detail: String::new(),
            started: Micros(from),
            ended: Some(Micros(to)),
            status: Status::Applied,
            steps: Vec::new(),
            slots: Vec::new(),
            slots_left_open: Vec::new(),
            links: Vec::new(),
        });
        self.timeline.events.push(Event {
            id: id.to_owned().into(),
            start,
            delay: Millis(0),
            within: None,
            action,
            lasts: None,
        });
        self
    }
    fn logged(mut self, at: u64, node: u16, line: &str) -> Self {
        self.log_lines.push(LogLine {
            at: Micros(at),
            node: NodeId(node),
            incarnation: 1,
            line: line.into(),
        });
        self
    }
    fn lived(
        mut self,
        node: u16,
        incarnation: u32,
        from: u64,
        to: Option<u64>,
        paused: &[(u64, u64)],
    ) -> Self {
        self.lives.push(Life {
            node: NodeId(node),
            incarnation,
            started: Micros(from),
            ended: to.map(|to| (Micros(to), Exit::Signal(9))),
            signalled: Vec::new(),
            paused: paused.iter().map(|(from, to)| (Micros(*from), Some(Micros(*to)))).collect(),
            stale: None,
        });
        self
    }
    fn did(mut self, kind: OpKind, argument: &str, at: (u64, u64), outcome: Outcome) -> Self {
        let stamp = |at| Stamp { order: at, logical: Micros(at), wall: Micros(at) };
        self.history.push(Operation {
            client: 0,
            index: self.history.len() as u64,
            kind,
            key: Key { kind: KeyKind::List, number: 1 },
            argument: Some(argument.into()),
            invoke: stamp(at.0),
            complete: stamp(at.1),
            outcome,
            node: None,
            connection: None,
            redirects: Vec::new(),
            waited: None,
            transaction: None,
        });
        self
    }
    fn holds(mut self, value: Value) -> Self {
        self.last = Some(Last {
            view: ClusterView { at: self.healed_at, nodes: Vec::new() },
            settled_at: None,
            bound: Millis(0),
            bound_why: String::new(),
            slots: Vec::new(),
            dump: vec![KeyDump {
                key: Key { kind: KeyKind::List, number: 1 },
                slot: 0,
                value: Ok(value),
                replicas: Vec::new(),
                strays: Vec::new(),
            }],
            catch_up: Vec::new(),
            left_dead: Vec::new(),
            removed: Vec::new(),
        });
        self
    }
    fn assert_marks(&self, expected: &[Mark]) {
        let expected: BTreeSet<Mark> = expected.iter().copied().collect();
        assert_eq!(marks(self).into_keys().collect::<BTreeSet<_>>(), expected);
    }
}

fn at(second: u64) -> Start {
    Start::At(Millis::secs(second))
}
fn kill(shard: u16) -> Action {
    let node = NodeSelector::Primary(shard);
    Action::Kill(Kill { node, signal: Signal::Kill, spare_shard: false, spare_dead: false })
}
fn pause(shard: u16) -> Action {
    Action::Pause(Pause { node: NodeSelector::Primary(shard) })
}
fn restart(data: RestartData) -> Action {
    let node = NodeSelector::Replica(0, 0);
    Action::Restart(Restart {
        node,
        data,
        signal: Signal::Kill,
        down: Millis(0),
        gone: Millis(0),
        from: None,
    })
}
fn failover(mode: FailoverMode) -> Action {
    Action::Failover(Failover { shard: Some(0), of: None, mode, to: None, timeout: Millis(10_000) })
}

#[test]
fn a_quiet_run_has_no_marks() {
    quiet().assert_marks(&[]);
}

#[test]
fn every_mark_has_a_name_and_a_line_of_its_own() {
    let names: BTreeSet<&str> = Mark::ALL.iter().map(|mark| mark.as_str()).collect();
    let lines: BTreeSet<&str> = Mark::ALL.iter().map(|mark| mark.line()).collect();
    assert_eq!(names.len(), Mark::ALL.len());
    assert_eq!(lines.len(), Mark::ALL.len());
}

#[test]
fn an_election_counts_as_under_load_only_while_an_operation_is_open() {
    let busy = quiet().did(OpKind::Get, "", (4 * SECOND, 6 * SECOND), Outcome::Fail("MOVED".into()));
    busy.clone()
        .logged(5 * SECOND, 1, "Starting a failover election for epoch 7.")
        .assert_marks(&[Mark::ElectionUnderLoad]);
    busy.logged(7 * SECOND, 1, "Starting a failover election for epoch 7.").assert_marks(&[]);
}

#[test]
fn a_promotion_during_a_full_sync_needs_the_sync_to_be_open() {
    let begun = quiet().logged(5 * SECOND, 0, "Full resync requested by replica 127.0.0.1:7003");
    let open = begun.clone().logged(6 * SECOND, 4, "Failover election won: I'm the new primary.");
    open.assert_marks(&[Mark::Promotion, Mark::FailoverDuringSync]);
    let closed = begun
        .logged(5 * SECOND + 1, 0, "Synchronization with replica 127.0.0.1:7003 succeeded")
        .logged(6 * SECOND, 4, "Failover election won: I'm the new primary.");
    closed.assert_marks(&[Mark::Promotion]);
}

#[test]
fn a_kill_in_the_middle_of_a_failover_is_told_from_one_after_it() {
    let failing = quiet().happened("e1", at(4), failover(FailoverMode::Force), 5 * SECOND, 7 * SECOND);
    let middle = failing.clone().happened("e2", Start::With("e1".into()), kill(1), 6 * SECOND, 6 * SECOND);
    middle.assert_marks(&[
        Mark::FailoverForce,
        Mark::AnchorWith,
        Mark::FaultDuringFailover,
        Mark::KillDuringFailover,
    ]);
    let after = failing.happened("e2", Start::After(vec!["e1".into()]), kill(1), 8 * SECOND, 8 * SECOND);
    after.assert_marks(&[Mark::FailoverForce, Mark::AnchorAfter]);
}

#[test]
fn an_election_from_its_first_line_to_the_victory_counts_as_a_failover() {
    let seen = Observation::Log { node: NodeSelector::Any, has: "Starting a failover election".into() };
    quiet()
        .logged(5 * SECOND, 1, "Starting a failover election for epoch 7.")
        .logged(6 * SECOND, 1, "Failover election won: I'm the new primary.")
        .happened("e1", Start::When(seen), pause(1), 5 * SECOND + 10, 8 * SECOND)
        .assert_marks(&[Mark::AnchorLog, Mark::Promotion, Mark::FaultDuringFailover]);
}

#[test]
fn each_step_at_which_a_reshard_stops_is_a_mark() {
    for (stop_after, mark) in [
        (StopAfter::Importing, Some(Mark::ReshardAtImporting)),
        (StopAfter::Migrating, Some(Mark::ReshardAtMigrating)),
        (StopAfter::SomeKeys, Some(Mark::ReshardAtSomeKeys)),
        (StopAfter::AllKeys, Some(Mark::ReshardAtAllKeys)),
        (StopAfter::TargetOwns, Some(Mark::ReshardAtTargetOwns)),
        (StopAfter::Done, None),
    ] {
        let reshard = Action::Reshard(Reshard { from: 0, to: 1, slots: 4, stop_after });
        let run = quiet().happened("e1", at(3), reshard.clone(), 4 * SECOND, 6 * SECOND);
        run.assert_marks(mark.as_slice());
        let struck = run.happened("e2", at(4), pause(0), 5 * SECOND, 9 * SECOND);
        assert_eq!(marks(&struck).get(&Mark::FaultDuringReshard), Some(&1));
        let mut skipped = quiet().happened("e1", at(3), reshard, 4 * SECOND, 6 * SECOND);
        skipped.applied[0].status = Status::Skipped("no such shard".into());
        skipped.assert_marks(&[]);
    }
}

#[test]
fn two_primaries_down_means_at_one_instant() {
    let first = quiet().lived(0, 1, 0, Some(5 * SECOND), &[]).lived(0, 2, 7 * SECOND, None, &[]);
    first
        .clone()
        .lived(2, 1, 0, None, &[(6 * SECOND, 9 * SECOND)])
        .assert_marks(&[Mark::TwoPrimariesDown, Mark::MajorityDown]);
    first.clone().lived(2, 1, 0, None, &[(7 * SECOND, 9 * SECOND)]).assert_marks(&[]);
    // The replica of the same shard is no primary, and its shard is down as a whole.
    first.clone().lived(1, 1, 0, Some(6 * SECOND), &[]).assert_marks(&[Mark::ShardDown]);
    // What ends with the run was not down in it.
    quiet().lived(0, 1, 0, Some(30 * SECOND), &[]).lived(2, 1, 0, Some(30 * SECOND), &[]).assert_marks(&[]);
}

#[test]
fn a_paused_primary_is_replaced_when_its_own_shard_elects() {
    let paused = quiet().lived(0, 1, 0, None, &[(5 * SECOND, 9 * SECOND)]);
    let won = "Failover election won: I'm the new master.";
    paused.clone().logged(8 * SECOND, 1, won).assert_marks(&[Mark::Promotion, Mark::PausedPrimaryReplaced]);
    paused.clone().logged(8 * SECOND, 3, won).assert_marks(&[Mark::Promotion]);
    paused.logged(10 * SECOND, 1, won).assert_marks(&[Mark::Promotion]);
}

#[test]
fn restarts_are_told_apart_by_their_data() {
    for (data, mark) in [
        (RestartData::Kept, Mark::RestartKept),
        (RestartData::Empty, Mark::RestartEmpty),
        (RestartData::Wiped, Mark::RestartWiped),
        (RestartData::Older, Mark::RestartOlder),
    ] {
        quiet().happened("e1", at(4), restart(data), 5 * SECOND, 6 * SECOND).assert_marks(&[mark]);
    }
}

#[test]
fn faults_in_one_millisecond_and_while_forming() {
    quiet()
        .happened("e1", at(4), pause(0), 5 * SECOND, 6 * SECOND)
        .happened("e2", at(4), pause(1), 5 * SECOND + 900, 6 * SECOND)
        .assert_marks(&[Mark::SameMillisecond]);
    let mut forming = quiet().happened("e1", Start::Forming(Millis(500)), pause(0), SECOND / 2, SECOND);
    forming.timeline.cluster.formation = Formation::Meet;
    forming.assert_marks(&[Mark::FormedByMeet, Mark::FaultWhileForming]);
}

#[test]
fn what_is_gone_or_there_against_the_outcome_is_counted() {
    let list = |items: &[&str]| Value::List(items.iter().map(ToString::to_string).collect());
    let write = |outcome| quiet().did(OpKind::Append, "x", (SECOND, 2 * SECOND), outcome);
    let acknowledged = || write(Outcome::Ok(Value::Number(1)));
    acknowledged().holds(list(&["x", "y"])).assert_marks(&[]);
    acknowledged().holds(list(&["y"])).assert_marks(&[Mark::AcknowledgedLost]);
    acknowledged().holds(Value::Missing).assert_marks(&[Mark::AcknowledgedLost]);
    acknowledged().assert_marks(&[]);
    let unknown = || write(Outcome::Unknown("timed out".into()));
    unknown().holds(list(&["x"])).assert_marks(&[Mark::UnknownTookEffect]);
    unknown().holds(list(&[])).assert_marks(&[Mark::UnknownDidNot]);
}

#[test]
fn a_redirect_counts_as_followed_when_the_operation_was_served() {
    for (kind, mark) in [(RedirectKind::Moved, Mark::MovedFollowed), (RedirectKind::Ask, Mark::AskFollowed)] {
        let redirect = Redirect { kind, from: NodeId(0), to: NodeId(2) };
        let mut served = quiet().did(OpKind::Get, "", (SECOND, 2 * SECOND), Outcome::Ok(Value::Missing));
        served.history[0].redirects = vec![redirect];
        served.assert_marks(&[mark]);
        served.history[0].outcome = Outcome::Unknown("timed out".into());
        served.assert_marks(&[]);
    }
}
