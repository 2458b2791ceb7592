//! A look in the middle of a run: the cluster as it is now, judged by the checks that can speak of it.

use super::execute::Oracle;
use super::operation::{OpIo, Target};
use super::record::Status;
use super::settle::examine;
use crate::check::{Judgement, Verdict};
use crate::target::operation::CheckNow;
use crate::time::Millis;
use std::cell::RefCell;
use std::rc::Rc;

const LOOK_TIMEOUT: Millis = Millis(1000);
const WHY: &str = "a look in the middle";
const AGAIN: Millis = Millis(500);

/// Looks until the checks hold or the time given is over. The last judgements are left in `looks` and told as
/// the event's steps; with `blocking`, checks that do not hold end the run, and `critical` ones do so anyway.
pub async fn look(
    check: &CheckNow,
    op: OpIo,
    target: &dyn Target,
    oracle: &dyn Oracle,
    blocked: &Rc<RefCell<Option<String>>>,
    looks: &Rc<RefCell<Vec<Judgement>>>,
) -> Status {
    let until = op.io.after(check.stabilize).plus(check.within);
    op.io.sleep(check.stabilize).await;
    let mut prober = target.prober(op.io.clone(), op.world.clone());
    let failed = loop {
        let view = prober.look(LOOK_TIMEOUT).await;
        op.world.borrow_mut().learn(view.clone());
        let at = view.at;
        let last =
            examine(&op.io, &op.world, target, (view, Some(at)), (check.within, WHY.into()), false).await;
        let record = op.world.borrow().record(Some(last));
        let judgements = oracle.look(&record, &check.checks);
        let failed: Vec<Judgement> =
            judgements.iter().filter(|j| j.verdict == Verdict::Fail).cloned().collect();
        *looks.borrow_mut() = judgements;
        if failed.is_empty() || op.io.now() >= until {
            break failed;
        }
        op.io.sleep(AGAIN).await;
    };
    for judgement in looks.borrow().iter() {
        op.step(format!("{}: {} ({})", judgement.check, judgement.verdict, judgement.reason));
    }
    if failed.is_empty() {
        return Status::Applied;
    }
    let why = failed.iter().map(|j| format!("{}: {}", j.check, j.reason)).collect::<Vec<_>>().join("; ");
    if check.blocking || failed.iter().any(|judgement| check.critical.contains(&judgement.check)) {
        *blocked.borrow_mut() = Some(format!("the look {} did not hold: {why}", op.event));
    }
    Status::Failed(why)
}
