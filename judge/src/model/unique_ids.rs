//! `unique-ids`: a generator of ids gives none twice.
//!
//! Jepsen's `checker/unique-ids` (jepsen-io/jepsen, jepsen/src/jepsen/checker.clj): the values of acknowledged
//! `generate` operations are distinct; else `duplicated`.

use super::{Model, Unfit};
use crate::objects::{ident::Idents, names::Names, report::Report};
use crate::{Budget, History, Options, Verdict};

pub const MODEL: Model = Model { name: "unique-ids", claim: "no generated id is given twice", judge };

fn judge(history: &History, _: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "generate", |f| (f == "generate").then_some(()))?;
    let mut report =
        Report::new(history, "unique-ids: acknowledged values are distinct (Jepsen's checker/unique-ids)");
    let (mut attempted, mut acknowledged) = (0, 0);
    for (key, places) in history.by_key(|_| true) {
        let mut idents = Idents::default();
        let mut given: Vec<Vec<usize>> = Vec::new();
        for place in places.into_iter().map(|place| place as usize) {
            let op = &history.ops[place];
            if names.role(op).is_none() {
                continue;
            }
            attempted += 1;
            if op.is_ok() {
                acknowledged += 1;
                let id = idents.of(&history.arena, op.output) as usize;
                given.resize(idents.len().max(given.len()), Vec::new());
                given[id].push(place);
            }
        }
        for (id, by) in given.into_iter().enumerate().filter(|(_, by)| by.len() > 1) {
            report.found("duplicated", key, || {
                let shown = history.arena.show(idents.value(id as u32));
                let times = by.len();
                (by.into_iter().take(2).collect(), format!("{shown} was given {times} times"))
            });
        }
    }
    let looked_at = format!("{acknowledged} ids of {attempted} asked for");
    Ok(report.verdict(looked_at, "all ids are distinct"))
}

#[cfg(test)]
mod tests {
    use crate::objects::tests::{answer, judged};

    #[test]
    fn an_id_given_twice_is_duplicated() {
        assert_eq!(answer("unique-ids", ""), "ok");
        let verdict = judged(
            "unique-ids",
            "0 i generate; 0 o generate 0; 1 i generate; 1 o generate 1; 2 i generate; 2 o generate 0; \
             3 i generate; 3 o generate 0; 4 i generate; 4 ? generate",
        );
        assert_eq!(verdict.reason, "1 duplicated");
        assert_eq!(verdict.anomalies[0].story.last().expect("a story"), "0 was given 3 times");
        assert_eq!(verdict.looked_at, "4 ids of 5 asked for");
    }
}
