//! `refusals`: what has to be refused is refused by every server at every time, and who has the right is served.
//!
//! Each request is decided by the server's own answer to it: by its code, and by the transaction as of which it was
//! answered. A server that has fallen behind answers by what it knows, so that an answer of a state from before the right was
//! taken away says nothing; no other excuse is needed, and time is not looked at.

use super::{Check, Judgement, Verdict};
use crate::history::{Answered, Demand, Must};
use crate::run::record::Record;
use crate::target::operation::RefusedReconfig;
use std::collections::BTreeMap;

crate::record! {
    pub struct Refusals {
    }
}

impl Refusals {
    pub const NAME: &'static str = "refusals";
}

fn told(record: &Record, demand: &Demand, came: &str) -> String {
    let Demand { by, what, node, back, .. } = demand;
    format!("{by}: {what} on {node} {came}, at {}", record.when(back.logical))
}

impl Check for Refusals {
    fn claim(&self) -> &'static str {
        "what has to be refused is refused by every server at every time, and who has the right is served"
    }
    fn source(&self) -> &'static str {
        "zookeeper.apache.org/doc/r3.8.0: zookeeperReconfig, 'Access Control', 'Incremental mode', 'Conditional reconfig', 'Error conditions'; Programmer's Guide, 'ZooKeeper access control using ACLs'"
    }

    fn judge(&self, record: &Record) -> Judgement {
        let tried = record.timeline.events.iter().any(|event| event.action.name() == RefusedReconfig::NAME);
        let guests = record.timeline.load.guests > 0;
        if !tried && !guests {
            let why = "nobody asks for what has to be refused in this timeline";
            return Judgement::new(Self::NAME, Verdict::NotOwed, why);
        }
        let (mut refused, mut granted, mut open, mut odd) = (0_u64, 0_u64, 0_u64, Vec::new());
        let mut classes: BTreeMap<String, u64> = BTreeMap::new();
        for demand in &record.demands {
            match (demand.must, &demand.said) {
                (_, Answered::Unknown(_)) => open += 1,
                (Must::Refuse, Answered::Done(at)) if *at < demand.since => {
                    *classes.entry("answered by an older state".into()).or_default() += 1;
                }
                (Must::Refuse, Answered::Done(_)) => {
                    let words = demand.words.join(" or ");
                    odd.push(told(record, demand, &format!("was done, and had to be refused ({words})")));
                }
                (Must::Refuse, Answered::Refused(word)) if demand.words.contains(word) => refused += 1,
                (Must::Grant, Answered::Refused(word)) if demand.words.contains(word) => {
                    odd.push(told(record, demand, &format!("was refused ({word}) to who has the right")));
                }
                (Must::Grant, Answered::Done(_)) => granted += 1,
                (_, Answered::Refused(word)) => {
                    *classes.entry(format!("refused for another reason: {word}")).or_default() += 1;
                }
            }
        }
        let looked_at = format!(
            "{} requests: {refused} were refused as they had to be, {granted} were granted as they had to be, {open} have no answer",
            record.demands.len()
        );
        let (verdict, reason) = match odd.len() {
            0 if guests && granted == 0 => {
                (Verdict::Unknown, "nothing observed: nobody was granted anything".to_string())
            }
            0 if refused == 0 => {
                (Verdict::Unknown, "nothing observed: nobody was refused anything".to_string())
            }
            0 => (Verdict::Pass, format!("{refused} requests were refused that had to be")),
            count => (Verdict::Fail, format!("{count} time(s) a request was not answered as it had to be")),
        };
        let mut judgement =
            Judgement::new(Self::NAME, verdict, reason).looked_at(looked_at).with_evidence(odd);
        judgement.classes = classes;
        judgement
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Scene, ms};
    use super::*;
    use crate::env::NodeId;
    use crate::history::Stamp;

    fn demand(must: Must, said: Answered) -> Demand {
        let at = |order: u64| Stamp { order, logical: ms(order), wall: ms(order) };
        Demand {
            by: "event e".into(),
            what: "a change".into(),
            must,
            words: vec!["NoAuth".into()],
            since: 10,
            node: NodeId(1),
            sent: at(6000),
            back: at(6005),
            said,
        }
    }
    fn judge(demands: Vec<Demand>) -> Judgement {
        let mut scene = Scene::new(1, 2).target("zookeeper").healthy();
        scene.apply("e", "refused_reconfig: {}", 1000, Some(1500), &[]);
        scene.record.demands = demands;
        Refusals {}.judge(&scene.record)
    }
    fn refused(word: &str) -> Answered {
        Answered::Refused(word.into())
    }

    #[test]
    fn requests_that_are_answered_as_they_must_be_pass() {
        let good = [demand(Must::Refuse, refused("NoAuth")), demand(Must::Grant, Answered::Done(3))];
        let judgement = judge(good.to_vec());
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        let older = demand(Must::Refuse, Answered::Done(9));
        let other = demand(Must::Grant, refused("NoNode"));
        let judgement = judge([good.to_vec(), vec![older, other]].concat());
        assert_eq!(judgement.verdict, Verdict::Pass, "{judgement:?}");
        assert_eq!(judgement.classes.values().sum::<u64>(), 2, "{judgement:?}");
    }

    #[test]
    fn what_is_done_against_the_rules_fails_and_so_does_a_right_that_is_refused() {
        let good = demand(Must::Refuse, refused("NoAuth"));
        for (broken, words) in [
            (demand(Must::Refuse, Answered::Done(10)), "was done, and had to be refused (NoAuth)"),
            (demand(Must::Grant, refused("NoAuth")), "was refused (NoAuth) to who has the right"),
        ] {
            let judgement = judge(vec![good.clone(), broken]);
            assert_eq!(judgement.verdict, Verdict::Fail, "{words}: {judgement:?}");
            assert!(judgement.evidence[0].contains(words), "{judgement:?}");
        }
    }

    #[test]
    fn where_nobody_was_refused_anything_nothing_is_said() {
        let open = Answered::Unknown("no answer".into());
        for demands in
            [vec![], vec![demand(Must::Refuse, open)], vec![demand(Must::Refuse, refused("NoNode"))]]
        {
            assert_eq!(judge(demands).verdict, Verdict::Unknown);
        }
        let nobody = Scene::new(1, 2).target("zookeeper").healthy();
        assert_eq!(Refusals {}.judge(&nobody.record).verdict, Verdict::NotOwed);
    }
}
