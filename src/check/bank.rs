//! `bank`: a transfer between accounts is done as a whole or not at all, and all accounts together hold what they always did.
//!
//! An audit shows all accounts at one moment. A transfer sets two accounts at the versions that it read, so that nobody else
//! can have made the same step: an audit in which one of them is past that step and the other is not shows half a transfer.

use super::{Check, Judgement, Verdict};
use crate::history::{Audit, Entry, Transfer, TransferSaid};
use crate::run::record::Record;
use std::collections::{BTreeMap, BTreeSet};

crate::record! {
    pub struct Bank {
    }
}

impl Bank {
    pub const NAME: &'static str = "bank";
}

fn title(record: &Record, audit: &Audit) -> String {
    format!(
        "audit ({}) of teller {} on {} at {}",
        audit.kind,
        audit.teller,
        audit.node,
        record.when(audit.back.logical)
    )
}

fn told(transfer: &Transfer) -> String {
    format!(
        "transfer {} from account {} (version {}) to {} (version {})",
        transfer.name(),
        transfer.from.0,
        transfer.from.1.version,
        transfer.to.0,
        transfer.to.1.version
    )
}

/// What accounts held when they were founded: the sum of the first audit.
fn total(entries: &[Entry]) -> i64 {
    entries.iter().map(|entry| entry.balance).sum()
}

fn one_audit<'a>(
    record: &'a Record,
    audit: &'a Audit,
    written: &BTreeMap<String, &'a Transfer>,
    steps: &mut BTreeMap<(usize, i32), &'a Entry>,
    odd: &mut Vec<String>,
) {
    let who = title(record, audit);
    for (account, entry) in audit.entries.iter().enumerate() {
        let known = steps.entry((account, entry.version)).or_insert(entry);
        if *known != entry {
            odd.push(format!(
                "{who}: account {account} holds {} by `{}` at version {}, and held {} by `{}` there",
                entry.balance, entry.by, entry.version, known.balance, known.by
            ));
        }
        if entry.by.is_empty() {
            continue;
        }
        let Some(transfer) = written.get(&entry.by) else {
            odd.push(format!("{who}: account {account} was written by `{}`, which nobody sent", entry.by));
            continue;
        };
        if let TransferSaid::Refused(why) = &transfer.said {
            odd.push(format!("{who}: account {account} shows {}, which was refused: {why}", told(transfer)));
        }
        if transfer.spoilt {
            odd.push(format!(
                "{who}: account {account} shows {}, a part of which could not come about",
                told(transfer)
            ));
        }
        let wrote = [&transfer.from, &transfer.to].into_iter().find(|(one, _)| *one as usize == account);
        if wrote.is_none_or(|(_, wrote)| wrote != entry) {
            odd.push(format!(
                "{who}: account {account} holds {} at version {}, which is not what {} wrote",
                entry.balance,
                entry.version,
                told(transfer)
            ));
        }
    }
}

/// Both steps of a transfer are there, or none; both if it was acknowledged before.
fn whole(record: &Record, audit: &Audit, transfer: &Transfer, odd: &mut Vec<String>) {
    let past = |(account, wrote): &(u32, Entry)| {
        audit.entries.get(*account as usize).is_some_and(|entry| entry.version >= wrote.version)
    };
    let (from, to) = (past(&transfer.from), past(&transfer.to));
    if from != to {
        odd.push(format!("{}: half of {} is there", title(record, audit), told(transfer)));
    } else if !from && transfer.said == TransferSaid::Done && transfer.back.order < audit.sent.order {
        odd.push(format!(
            "{}: {} is not there, which was acknowledged",
            title(record, audit),
            told(transfer)
        ));
    }
}

impl Check for Bank {
    fn claim(&self) -> &'static str {
        "a transaction is done as a whole or not at all: transfers leave the sum of all accounts as it was"
    }
    fn source(&self) -> &'static str {
        "zookeeper.apache.org/doc/r3.8.0: Programmer's Guide, 'Consistency Guarantees' (atomicity); javadoc of `ZooKeeper.multi`: all of the operations or none; etcd.io/docs/v3.5/learning/api_guarantees, 'Atomicity'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        if record.timeline.load.tellers == 0 {
            return Judgement::new(Self::NAME, Verdict::NotOwed, "nobody moves money in this timeline");
        }
        let mut odd = Vec::new();
        let written: BTreeMap<String, &Transfer> =
            record.transfers.iter().map(|transfer| (transfer.name(), transfer)).collect();
        let done: Vec<&Transfer> =
            record.transfers.iter().filter(|transfer| transfer.said == TransferSaid::Done).collect();
        let mut steps: BTreeMap<(u32, i32), &Transfer> = BTreeMap::new();
        for transfer in &done {
            if transfer.spoilt {
                odd.push(format!(
                    "{} was acknowledged, a part of which could not come about",
                    told(transfer)
                ));
            }
            for (account, wrote) in [&transfer.from, &transfer.to] {
                if let Some(other) = steps.insert((*account, wrote.version), transfer) {
                    odd.push(format!("{} and {} made the same step", told(other), told(transfer)));
                }
            }
        }
        // One without an answer was carried out if any audit shows it.
        let shown: BTreeSet<&str> = record
            .audits
            .iter()
            .flat_map(|audit| audit.entries.iter().map(|entry| entry.by.as_str()))
            .collect();
        let open = |transfer: &&Transfer| {
            matches!(transfer.said, TransferSaid::Unknown(_)) && shown.contains(transfer.name().as_str())
        };
        let happened: Vec<&Transfer> =
            done.iter().copied().chain(record.transfers.iter().filter(open)).collect();
        let mut seen = BTreeMap::new();
        let sum = record.audits.first().map(|audit| total(&audit.entries));
        for audit in &record.audits {
            if let Some(sum) = sum.filter(|sum| *sum != total(&audit.entries)) {
                odd.push(format!(
                    "{}: all accounts together hold {}, and not {sum}",
                    title(record, audit),
                    total(&audit.entries)
                ));
            }
            one_audit(record, audit, &written, &mut seen, &mut odd);
            happened.iter().for_each(|transfer| whole(record, audit, transfer, &mut odd));
        }
        let spoilt = record.transfers.iter().filter(|transfer| transfer.spoilt).count();
        let looked_at = format!(
            "{} transfers, {} acknowledged and {spoilt} that could not come about; {} audits",
            record.transfers.len(),
            done.len(),
            record.audits.len()
        );
        let (verdict, reason) = match odd.len() {
            0 if done.is_empty() || record.audits.is_empty() => {
                (Verdict::Unknown, "nothing observed: no transfer, or no audit".to_string())
            }
            0 => (Verdict::Pass, format!("{} audits found the same sum", record.audits.len())),
            count => (Verdict::Fail, format!("{count} time(s) an audit found what no whole transfers leave")),
        };
        Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;
    use crate::env::NodeId;
    use crate::history::{AuditKind, Stamp};

    fn at(order: u64) -> Stamp {
        Stamp { order, logical: ms(order), wall: ms(order) }
    }
    fn entry(version: i32, balance: i64, by: &str) -> Entry {
        Entry { version, balance, by: by.into() }
    }
    fn audit(order: u64, entries: &[Entry]) -> Audit {
        Audit {
            teller: 9,
            kind: AuditKind::Checked,
            node: NodeId(0),
            sent: at(order),
            back: at(order + 5),
            entries: entries.to_vec(),
        }
    }
    /// Ten from account 0 to account 1, at 6.1 s.
    fn transfer() -> Transfer {
        Transfer {
            teller: 0,
            number: 1,
            node: NodeId(0),
            from: (0, entry(1, 90, "t0.1")),
            to: (1, entry(1, 110, "t0.1")),
            spoilt: false,
            sent: at(6100),
            back: at(6110),
            said: TransferSaid::Done,
        }
    }
    fn before() -> Audit {
        audit(6000, &[entry(0, 100, ""), entry(0, 100, "")])
    }
    fn after() -> Audit {
        audit(6200, &[entry(1, 90, "t0.1"), entry(1, 110, "t0.1")])
    }
    fn judge(transfers: Vec<Transfer>, audits: Vec<Audit>) -> Judgement {
        let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
        scene.record.timeline.load.tellers = 1;
        (scene.record.transfers, scene.record.audits) = (transfers, audits);
        Bank {}.judge(&scene.record)
    }

    #[test]
    fn whole_transfers_pass() {
        let judgement = judge(vec![transfer()], vec![before(), after()]);
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judge(vec![], vec![before()]).verdict, Verdict::Unknown);
        assert_eq!(judge(vec![transfer()], vec![]).verdict, Verdict::Unknown);
        let open = Transfer { said: TransferSaid::Unknown("no answer".into()), ..transfer() };
        let other = Transfer {
            number: 2,
            from: (0, entry(2, 80, "t0.2")),
            to: (1, entry(2, 120, "t0.2")),
            sent: at(6250),
            back: at(6260),
            ..transfer()
        };
        let audits = vec![after(), audit(6300, &[entry(2, 80, "t0.2"), entry(2, 120, "t0.2")])];
        assert_eq!(judge(vec![open, other], audits).verdict, Verdict::Pass);
        assert_eq!(Bank {}.judge(&Scene::new(1, 2).healthy().record).verdict, Verdict::NotOwed);
    }

    #[test]
    fn each_break_of_a_transaction_is_told() {
        let refused = Transfer { said: TransferSaid::Refused("bad version".into()), ..transfer() };
        let spoilt = Transfer { spoilt: true, ..transfer() };
        let open = Transfer { said: TransferSaid::Unknown("no answer".into()), ..transfer() };
        let twice = Transfer { number: 2, ..transfer() };
        let half = || audit(6200, &[entry(1, 90, "t0.1"), entry(0, 100, "")]);
        for (transfers, audits, words) in [
            (vec![transfer()], vec![before(), half()], "all accounts together hold 190, and not 200"),
            (vec![transfer()], vec![half()], "half of transfer t0.1"),
            (vec![open], vec![half()], "half of transfer t0.1"),
            (vec![transfer()], vec![audit(6200, &before().entries)], "is not there, which was acknowledged"),
            (vec![refused], vec![before(), after()], "which was refused"),
            (vec![spoilt], vec![before(), after()], "could not come about"),
            (vec![transfer(), twice], vec![before()], "made the same step"),
            (vec![], vec![after()], "which nobody sent"),
            (
                vec![transfer()],
                vec![after(), audit(6300, &[entry(1, 80, "t0.1"), entry(1, 120, "t0.1")])],
                "and held 90 by `t0.1` there",
            ),
        ] {
            let judgement = judge(transfers, audits);
            assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
            assert!(judgement.evidence.iter().any(|line| line.contains(words)), "{words}: {judgement:?}");
        }
    }
}
