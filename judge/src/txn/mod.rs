//! Isolation of transactions, after Elle (Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from
//! Experimental Observations", VLDB 2020) and Adya's thesis.
//!
//! Two workloads: appends to lists ([`append`]) and registers with unique values ([`register`]). Each infers which
//! transaction depended on which ([`graph`]); a cycle of dependencies is an anomaly ([`cycles`]); whether that
//! breaks the claim is a matter of the claimed model ([`lattice`], [`report`]). Linear in the history where it is
//! clean. [`brute`] tries all orders of tiny histories instead and is there to be compared with.

pub mod append;
pub mod brute;
pub mod cycles;
pub mod graph;
pub mod lattice;
pub mod mops;
mod opts;
pub mod register;
pub mod report;

use crate::budget::{Budget, Spent};
use crate::history::History;
use crate::model::Unfit;
use crate::options::Options;
use crate::verdict::{Answer, Verdict};
use append::Appends;
use cycles::Precedence;
use graph::{Components, Edges, NONE, Order, PROCESS, REALTIME, Whole};
use mops::{Mops, Unread};
use register::Registers;
use report::{Cases, Claim, Explain};

/// Judges histories of `[["append", key, element], ["r", key, list]]`.
pub fn list_append(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let algorithm = "cycles of dependencies between list appends (Kingsbury and Alvaro, VLDB 2020)";
    let claim = Claim::of(options)?;
    let mops = match Mops::read(history, "append", budget) {
        Ok(mops) => mops,
        Err(Unread::Unfit(unfit)) => return Err(unfit),
        Err(Unread::Spent(spent)) => return Ok(Verdict::spent(algorithm, spent)),
    };
    let appends = match Appends::new(history, mops, budget) {
        Ok(Ok(appends)) => appends,
        Ok(Err(twice)) => {
            let show = |value| history.arena.show(value);
            let (value, key) = (show(twice.value), show(twice.key));
            let reason =
                format!("{value} was appended to {key} twice, so that versions cannot be told apart");
            let mut verdict = Verdict::new(Answer::Unknown, algorithm, reason);
            verdict.notes = twice.ops.iter().map(|op| history.tell(*op as usize)).collect();
            return Ok(verdict);
        }
        Err(spent) => return Ok(Verdict::spent(algorithm, spent)),
    };
    let looked_at = looked_at(history, appends.mops());
    let mut cases = Cases::default();
    let left = appends
        .cases(&mut cases, budget)
        .and_then(|()| appends.edges(budget))
        .and_then(|data| {
            let inferred = Inferred { data, touched: false, precedence: Precedence::WritesFirst };
            cycles_in(history, &claim, &inferred, &appends, &mut cases, budget)
        })
        .err();
    Ok(report::verdict(history, &claim, cases, algorithm, looked_at, left))
}

/// Judges histories of `[["w", key, value], ["r", key, value]]`.
pub fn rw_register(history: &History, options: &Options, budget: &Budget) -> Result<Verdict, Unfit> {
    let algorithm =
        "cycles of dependencies between registers of unique values (Kingsbury and Alvaro, VLDB 2020)";
    let claim = Claim::of(options)?;
    let mops = match Mops::read(history, "w", budget) {
        Ok(mops) => mops,
        Err(Unread::Unfit(unfit)) => return Err(unfit),
        Err(Unread::Spent(spent)) => return Ok(Verdict::spent(algorithm, spent)),
    };
    let looked_at = looked_at(history, &mops);
    let registers = Registers::new(history, mops);
    if let Some(reason) = registers.written_twice() {
        return Ok(Verdict::new(Answer::Unknown, algorithm, reason));
    }
    let mut cases = Cases::default();
    let versions = match registers.versions(options, &mut cases, budget)? {
        Ok(versions) => versions,
        Err(spent) => return Ok(Verdict::spent(algorithm, spent)),
    };
    let left = registers
        .cases(&mut cases, budget)
        .and_then(|()| registers.edges(&versions, budget))
        .and_then(|(data, touched)| {
            let explain = register::Explained { registers: &registers, versions: &versions };
            let inferred = Inferred { data, touched, precedence: Precedence::ReadsFirst };
            cycles_in(history, &claim, &inferred, &explain, &mut cases, budget)
        })
        .err();
    Ok(report::verdict(history, &claim, cases, algorithm, looked_at, left))
}

fn looked_at(history: &History, mops: &Mops) -> String {
    let (reads, writes) = mops.all.iter().fold((0u64, 0u64), |(reads, writes), mop| {
        if mop.is_write() { (reads, writes + 1) } else { (reads + 1, writes) }
    });
    let (transactions, keys) = (history.ops.len(), mops.keys.len());
    format!("{transactions} transactions, {reads} reads and {writes} writes of {keys} keys")
}

/// What the reads and writes of a history say.
struct Inferred {
    data: Edges,
    /// Whether some transaction depends on itself, if on no other.
    touched: bool,
    precedence: Precedence,
}

/// Searches every component.
fn cycles_in(
    history: &History,
    claim: &Claim,
    inferred: &Inferred,
    explain: &impl Explain,
    cases: &mut Cases,
    budget: &Budget,
) -> Result<(), Spent> {
    let Inferred { data, touched, precedence } = inferred;
    let order = match claim.order() {
        _ if history.completions_only => Order::None,
        REALTIME => Order::realtime(history),
        PROCESS => Order::process(history),
        _ => Order::None,
    };
    if data.is_empty() && order.is_empty() && !*touched {
        cases.add("empty-transaction-graph", None, &[], || vec!["no transaction depends on another".into()]);
        return Ok(());
    }
    let ops = history.ops.len();
    let components = Components::find(&Whole { ops, data, order: &order }, budget)?;
    let groups = components.nontrivial(ops);
    drop(components);
    if groups.is_empty() {
        return Ok(());
    }
    let mut places = vec![NONE; ops];
    let mut spent = None;
    for members in groups {
        budget.spend(members.len() as u64)?;
        let local = cycles::Local::new(history, data, &order, members, *precedence, &mut places);
        let (found, stop) = match cycles::search(history, &local, order.kind(), budget) {
            Ok(found) => (found, None),
            Err((found, stop)) => (found, Some(stop)),
        };
        let condemned = found.cycles.iter().any(|cycle| !cycle.overshadowed && claim.forbids(cycle.name));
        for cycle in found.cycles.iter().chain(&found.exists) {
            if cycle.overshadowed && condemned {
                continue;
            }
            if cases.wants(cycle) {
                cases.add_explained(history, explain, cycle);
            }
        }
        spent = spent.or(stop);
        if spent.is_some() {
            break;
        }
    }
    spent.map_or(Ok(()), Err)
}
