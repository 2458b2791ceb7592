//! What must hold: one file per check, each a pure function of the record.
//!
//! A judgement is `fail`, `unknown` or `pass`, in that order of weight; a claim that an event voided is
//! `voided`, and one the system never makes for this run is `not_owed`. A check that had nothing to look at
//! says `unknown: nothing observed`. When each may speak is decided by the eligibility model (`owed`).

pub mod acknowledged_loss;
mod assume;
pub mod bank;
pub mod convergence_time;
pub mod crash;
pub mod data_consistency;
pub mod ephemerals;
pub mod expect;
pub mod facts;
pub mod lease;
pub mod linear;
pub mod linearizability;
pub mod log_scan;
pub mod loss;
pub mod one_leader;
pub mod owed;
pub mod queue;
pub mod quorum;
pub mod refusals;
pub mod removals;
pub mod replica_sync;
pub mod replication_lag;
pub mod slot_coverage;
pub mod topology;
pub mod view_agreement;
mod vigil;
pub mod watch;
pub mod way;

#[cfg(test)]
pub(crate) mod testing;

use crate::catalogue::info::OF_DATA;
use crate::catalogue::{Action, CheckSpec, Class};
use crate::fault::restart::RestartData;
use crate::run::record::Record;
use crate::run::record::Status;
use crate::target::group;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

crate::word! {
    /// In the order of weight: the heaviest decides.
    pub enum Verdict { Pass = "pass", NotOwed = "not_owed", Voided = "voided", Unknown = "unknown", Fail = "fail" }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub check: String,
    pub verdict: Verdict,
    /// One line: what was seen, with the bound where there is one.
    pub reason: String,
    /// What it looked at, in numbers: `16384 slots on 6 nodes`.
    pub looked_at: String,
    /// The particulars of a failure: nodes, slots, keys, operations. At most [`EVIDENCE_MAX`], then a count.
    pub evidence: Vec<String>,
    /// Losses and oddities by class, each class with its rule: counted and reported, never silent.
    pub classes: BTreeMap<String, u64>,
}

pub const EVIDENCE_MAX: usize = 20;

/// The name of a finding that no check makes: the environment itself saw that a node does not come back.
pub const HANG: &str = "hang";

impl Judgement {
    pub fn new(check: &str, verdict: Verdict, reason: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            reason: reason.into(),
            looked_at: String::new(),
            evidence: Vec::new(),
            classes: BTreeMap::new(),
        }
    }
    #[must_use]
    pub fn looked_at(mut self, what: impl Into<String>) -> Self {
        self.looked_at = what.into();
        self
    }
    #[must_use]
    pub fn with_evidence(mut self, evidence: Vec<String>) -> Self {
        let more = evidence.len().saturating_sub(EVIDENCE_MAX);
        self.evidence = evidence;
        self.evidence.truncate(EVIDENCE_MAX);
        if more > 0 {
            self.evidence.push(format!("and {more} more"));
        }
        self
    }
}

/// A claim about a run.
pub trait Check {
    /// What must hold, in one sentence.
    fn claim(&self) -> &'static str;
    /// Where the system promises it.
    fn source(&self) -> &'static str;
    /// The claim and its source for one consensus group (etcd, ZooKeeper), where it promises that in words of its own.
    fn of_group(&self) -> Option<(&'static str, &'static str)> {
        None
    }
    fn judge(&self, record: &Record) -> Judgement;
    /// Judges the cluster in the middle of a run, by the view in `record.last` alone. Faults may be in force:
    /// what is wrong then is a failure only where the system owes better by that moment.
    fn look(&self, _record: &Record) -> Judgement {
        Judgement::new("", Verdict::NotOwed, "cannot be judged in the middle of a run")
    }
}

/// The checks that can speak in the middle of a run.
pub const VIEW_CHECKS: &[&str] = &["slot_coverage", "quorum", "view_agreement", "topology"];

/// The name under which a judgement of the run as a whole appears: it is no claim about the system.
pub const RUN: &str = "run";

/// The name under which a look in the middle that did not hold appears.
pub const LOOK: &str = "look";

/// What a check by its specification is, as the trait.
pub fn check_of(spec: &CheckSpec) -> &dyn Check {
    match spec {
        CheckSpec::SlotCoverage(check) => check,
        CheckSpec::Quorum(check) => check,
        CheckSpec::ViewAgreement(check) => check,
        CheckSpec::Topology(check) => check,
        CheckSpec::ReplicaSync(check) => check,
        CheckSpec::ReplicationLag(check) => check,
        CheckSpec::DataConsistency(check) => check,
        CheckSpec::AcknowledgedLoss(check) => check,
        CheckSpec::ConvergenceTime(check) => check,
        CheckSpec::Crash(check) => check,
        CheckSpec::LogScan(check) => check,
        CheckSpec::Linearizability(check) => check,
        CheckSpec::Service(check) => check,
        CheckSpec::Leadership(check) => check,
        CheckSpec::Injection(check) => check,
        CheckSpec::OneLeader(check) => check,
        CheckSpec::Watches(check) => check,
        CheckSpec::Ephemerals(check) => check,
        CheckSpec::Bank(check) => check,
        CheckSpec::Leases(check) => check,
        CheckSpec::Refusals(check) => check,
        CheckSpec::Queue(check) => check,
        CheckSpec::Removals(check) => check,
    }
}

/// What a check, by its name, claims of a target, and where that is promised.
pub fn claim_of(check: &str, target: &str) -> Option<(&'static str, &'static str)> {
    let spec = default_spec(check)?;
    let check = check_of(&spec);
    let in_general = (check.claim(), check.source());
    Some(if group(target) { check.of_group().unwrap_or(in_general) } else { in_general })
}

/// All judgements of a finished run, in the order of the timeline's checks. The run itself is judged first
/// when it cannot carry a verdict: its record contradicts itself, or most of it did not happen.
pub fn judge_all(record: &Record) -> Vec<Judgement> {
    let mut judgements = run_itself(record);
    let broken = assume::broken(record);
    for spec in &record.timeline.checks {
        let judgement = if broken.is_empty() {
            one(record, spec, |check, record| check.judge(record))
        } else {
            let reason = format!("the record contradicts itself: {}", broken[0]);
            Judgement::new(spec.name(), Verdict::Unknown, reason).with_evidence(broken.clone())
        };
        judgements.push(judgement);
    }
    judgements
}

/// A look in the middle of a run: the checks of these names, or all that can speak then when there are none.
/// `record.last` holds the view of this moment; history and `applied` reach up to it. Parameters come from the
/// timeline where it has the check, and are the defaults otherwise.
pub fn look(record: &Record, names: &[String]) -> Vec<Judgement> {
    let names: Vec<&str> =
        if names.is_empty() { VIEW_CHECKS.to_vec() } else { names.iter().map(String::as_str).collect() };
    let mut judgements = Vec::new();
    for name in names {
        let given = record.timeline.checks.iter().find(|spec| spec.name() == name).cloned();
        let Some(spec) = given.or_else(|| default_spec(name)) else {
            judgements.push(Judgement::new(name, Verdict::Unknown, "no check has this name"));
            continue;
        };
        judgements.push(one(record, &spec, |check, record| check.look(record)));
    }
    judgements
}

/// The verdict of a run: a failure decides, then what is unknown. A claim that is not owed or was voided says
/// nothing, so that a run passes by what did hold; when nothing could be judged at all it is unknown.
pub fn merge(judgements: &[Judgement]) -> Verdict {
    let has = |verdict| judgements.iter().any(|judgement| judgement.verdict == verdict);
    if has(Verdict::Fail) {
        Verdict::Fail
    } else if has(Verdict::Unknown) || !has(Verdict::Pass) {
        Verdict::Unknown
    } else {
        Verdict::Pass
    }
}

/// The check of this name with its defaults.
pub fn default_spec(name: &str) -> Option<CheckSpec> {
    use crate::yaml::document::{Node, Problems, Span, Value};
    let nothing = Node { span: Span::default(), value: Value::Null };
    CheckSpec::read(name, &nothing, name, &mut Problems::default())
}

/// What a member of a consensus group that forgot takes away beside the claims about data: what it voted for, and the
/// log that it goes on from (Ongaro 2014, 'Persistent state'), without which it may end by itself.
const OF_MEMORY: &[&str] = &["one_leader", "watch", "crash", "log_scan", "service", "leadership"];

/// Why a claim no longer holds: the event that voided it.
fn voided(record: &Record, name: &str) -> Option<String> {
    let forgets = |action: &Action| {
        let data = match action {
            Action::Restart(restart) => restart.data,
            _ => RestartData::Kept,
        };
        data != RestartData::Kept
            && group(&record.timeline.target)
            && (OF_DATA.contains(&name) || OF_MEMORY.contains(&name))
    };
    let voids = |action: &Action| {
        forgets(action) || matches!(action.class(), Class::Voids(claims) if claims.contains(&name))
    };
    record.applied.iter().find_map(|applied| {
        let event = record.timeline.event(&applied.event)?;
        let happened = !matches!(applied.status, Status::Skipped(_));
        (happened && voids(&event.action)).then(|| {
            format!("{} (`{}`) voids this claim for the rest of the run", applied.event, applied.action)
        })
    })
}

fn one(record: &Record, spec: &CheckSpec, judge: fn(&dyn Check, &Record) -> Judgement) -> Judgement {
    if let Some(why) = voided(record, spec.name()) {
        return Judgement::new(spec.name(), Verdict::Voided, why);
    }
    let check = check_of(spec);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(check, record)));
    let mut judgement = caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Judgement::new(spec.name(), Verdict::Unknown, format!("the checker broke down: {text}"))
    });
    judgement.check = spec.name().into();
    judgement
}

fn run_itself(record: &Record) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    let skipped: Vec<String> = record
        .applied
        .iter()
        .filter_map(|applied| match &applied.status {
            Status::Skipped(why) => Some(format!("{}: {why}", applied.event)),
            _ => None,
        })
        .collect();
    if skipped.len() * 2 > record.timeline.events.len() {
        let reason = format!("{} of {} events were skipped", skipped.len(), record.timeline.events.len());
        judgements.push(Judgement::new(RUN, Verdict::Unknown, reason).with_evidence(skipped));
    }
    if let Some(why) = &record.ended_early {
        judgements.push(Judgement::new(RUN, Verdict::Unknown, format!("the run ended early: {why}")));
    }
    for applied in record.applied.iter().filter(|applied| applied.action == "check") {
        if let Status::Failed(why) = &applied.status {
            let reason = format!("{} did not hold: {why}", applied.event);
            judgements.push(Judgement::new(LOOK, Verdict::Fail, reason));
        }
    }
    judgements
}

#[cfg(test)]
mod tests {
    use super::testing::{Scene, checks};
    use super::*;

    #[test]
    fn a_healthy_run_passes_every_check() {
        let scene = Scene::new(3, 1).checks(checks()).healthy();
        let judgements = judge_all(&scene.record);
        for judgement in &judgements {
            assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
            assert!(!judgement.looked_at.is_empty(), "{judgement:?}");
        }
        assert_eq!(judgements.len(), checks().len());
        assert_eq!(merge(&judgements), Verdict::Pass);
    }

    #[test]
    fn the_heaviest_judgement_decides_and_nothing_judged_is_unknown() {
        use Verdict::{Fail, NotOwed, Pass, Unknown, Voided};
        let judged = |verdict| Judgement::new("x", verdict, "");
        for (verdicts, merged) in [
            (vec![Pass, Fail, Unknown], Fail),
            (vec![Pass, Unknown], Unknown),
            (vec![Pass, NotOwed, Voided], Pass),
            (vec![NotOwed, Voided], Unknown),
            (vec![], Unknown),
        ] {
            let judgements: Vec<Judgement> = verdicts.iter().copied().map(judged).collect();
            assert_eq!(merge(&judgements), merged, "{verdicts:?}");
        }
    }

    #[test]
    fn a_run_of_which_most_was_skipped_is_unknown() {
        let mut scene = Scene::new(3, 1).checks(checks()).healthy();
        scene.kill("k1", 1, 10_000, None);
        scene.kill("k2", 1, 10_000, None);
        for life in &mut scene.record.lives {
            life.ended = None;
            life.signalled.clear();
        }
        scene.record.applied[0].status = Status::Skipped("no such node".into());
        assert!(judge_all(&scene.record).iter().all(|judgement| judgement.check != RUN), "one of two");
        scene.record.applied[1].status = Status::Skipped("no such node".into());
        let judgements = judge_all(&scene.record);
        assert_eq!((judgements[0].check.as_str(), judgements[0].verdict), (RUN, Verdict::Unknown));
    }

    #[test]
    fn a_run_that_ended_early_is_unknown() {
        let mut scene = Scene::new(3, 1).checks(checks()).healthy();
        scene.record.ended_early = Some("interrupted".into());
        assert_eq!(merge(&judge_all(&scene.record)), Verdict::Unknown);
    }

    #[test]
    fn a_record_that_contradicts_itself_is_unknown_for_every_check() {
        let mut scene = Scene::new(3, 1).checks(checks()).healthy();
        scene.record.views.reverse();
        assert!(judge_all(&scene.record).iter().all(|judgement| judgement.verdict == Verdict::Unknown));
    }

    #[test]
    fn an_event_voids_the_claims_it_names_and_no_others() {
        let mut scene = Scene::new(3, 1).checks(checks()).healthy();
        scene.admin("a1", 12_000);
        let judgements = judge_all(&scene.record);
        let verdict = |name: &str| judgements.iter().find(|j| j.check == name).map(|j| j.verdict);
        assert_eq!(verdict("topology"), Some(Verdict::Voided));
        assert_eq!(verdict("crash"), Some(Verdict::Pass));
        scene.record.applied[0].status = Status::Skipped("no such node".into());
        let judgements = judge_all(&scene.record);
        assert!(judgements.iter().all(|j| j.verdict != Verdict::Voided), "what was skipped voids nothing");
    }

    #[test]
    fn a_member_of_a_group_that_forgets_voids_what_it_promised() {
        for (target, data, voided) in [
            ("etcd", "older", true),
            ("zookeeper", "empty", true),
            ("etcd", "kept", false),
            ("valkey", "older", false),
        ] {
            let mut scene = Scene::new(1, 2).target(target).checks(checks()).healthy();
            scene.apply("r1", &format!("restart: {{node: node-1, data: {data}}}"), 9000, Some(9500), &[1]);
            let judgements = judge_all(&scene.record);
            let judged = judgements.iter().find(|j| j.check == "acknowledged_loss").map(|j| j.verdict);
            assert_eq!(judged == Some(Verdict::Voided), voided, "{target} {data}");
        }
    }

    #[test]
    fn a_check_that_breaks_down_is_unknown() {
        let scene = Scene::new(3, 1).checks(checks()).healthy();
        let judgement = one(&scene.record, &checks()[0], |_, _| panic!("an index out of bounds"));
        assert_eq!(judgement.verdict, Verdict::Unknown);
        assert!(judgement.reason.contains("an index out of bounds"));
    }

    #[test]
    fn a_look_that_did_not_hold_fails_the_run() {
        let mut scene = Scene::new(3, 1).checks(checks()).healthy();
        scene.apply("look-1", "check: {}", 9000, Some(9500), &[]);
        assert_eq!(merge(&judge_all(&scene.record)), Verdict::Pass);
        scene.record.applied[0].status = Status::Failed("topology: a stranger".into());
        assert_eq!(merge(&judge_all(&scene.record)), Verdict::Fail);
    }

    #[test]
    fn the_page_of_the_checks_names_every_check_and_every_class() {
        let page = include_str!("../../docs/checks.md");
        let words: Vec<&str> = page.split_whitespace().collect();
        let words = words.join(" ");
        for name in CheckSpec::NAMES {
            assert!(page.contains(&format!("### {name}\n")), "{name}");
            let of_group = default_spec(name).and_then(|spec| check_of(&spec).of_group());
            assert!(
                of_group.is_none_or(|(claim, source)| words.contains(&format!("{claim} ({source})"))),
                "{name}"
            );
        }
        let losses = loss::excuse::CLASSES.iter().map(|(class, ..)| *class);
        for class in losses.chain(crash::BY_DESIGN.iter().map(|(class, ..)| *class)) {
            assert!(page.contains(&format!("`{class}`")), "{class}");
        }
    }

    #[test]
    fn a_look_takes_the_view_checks_and_answers_for_names_it_cannot_judge() {
        let scene = Scene::new(3, 1).checks(checks()).healthy();
        let all = look(&scene.record, &[]);
        assert_eq!(all.iter().map(|j| j.check.as_str()).collect::<Vec<_>>(), VIEW_CHECKS);
        assert!(all.iter().all(|judgement| judgement.verdict == Verdict::Pass), "{all:?}");
        let other = look(&scene.record, &["crash".into(), "nonsense".into()]);
        assert_eq!(other[0].verdict, Verdict::NotOwed);
        assert_eq!(other[1].verdict, Verdict::Unknown);
    }
}
