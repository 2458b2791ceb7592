//! `bank`: transfers between accounts leave the sum as it is.
//!
//! Jepsen's bank test (jepsen-io/jepsen, jepsen/src/jepsen/tests/bank.clj): each acknowledged `read` gives the
//! balances of accounts, and the first of these that holds is its error: an account that does not exist
//! (`unexpected-key`), a balance of null (`nil-balance`), another sum than the total (`wrong-total`), a balance
//! below zero (`negative-value`) unless that is allowed.
//!
//! A read's value is a map of accounts and balances (or a list of pairs). The total is an option; without it,
//! the sum of the first read that has one, which is said in the notes. `initial` names the accounts: a map of
//! accounts and balances, or Jepsen's `{"accounts": [..], "total-amount": 100}`; without it, every account exists.

use super::{Model, Unfit};
use crate::objects::{names::Names, report::Report};
use crate::{Budget, History, Options, Value, Verdict};
use serde_json::Value as Json;
use std::collections::BTreeSet;

pub const MODEL: Model = Model {
    name: "bank",
    claim: "every read of all accounts sums to the same total, and no balance is missing or below zero",
    judge,
};

/// What the bank is supposed to be.
struct Bank {
    /// As JSON would write them without quotes; `None`: any.
    accounts: Option<BTreeSet<String>>,
    total: Option<i128>,
    negative_balances: bool,
}

fn judge(history: &History, options: &Options, _: &Budget) -> Result<Verdict, Unfit> {
    let names = Names::of(history, "read, transfer", |f| match f {
        "read" => Some(true),
        "transfer" => Some(false),
        _ => None,
    })?;
    let mut bank = claimed(options);
    let mut report = Report::new(history, "bank: the balances of every read (Jepsen's tests/bank)");
    let mut reads = 0;
    for (place, op) in history.ops.iter().enumerate() {
        if !op.is_ok() || names.role(op) != Some(true) {
            continue;
        }
        reads += 1;
        let Some(balances) = pairs(history, op.output) else {
            return Err(Unfit(format!("a read gives a map of balances: {}", history.tell(place))));
        };
        if let Some((name, why)) = wrong(history, &mut bank, &balances, &mut report)? {
            report.found(name, op.key, || (vec![place], why));
        }
    }
    Ok(report.verdict(format!("{reads} acknowledged reads"), "every read sums to the total"))
}

fn claimed(options: &Options) -> Bank {
    let plain = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let mut bank = Bank { accounts: None, total: None, negative_balances: options.negative_balances };
    match &options.initial {
        Some(Json::Object(map)) if map.contains_key("accounts") || map.contains_key("total-amount") => {
            let accounts = map.get("accounts").and_then(Json::as_array);
            bank.accounts = accounts.map(|accounts| accounts.iter().map(plain).collect());
            bank.total = map.get("total-amount").and_then(Json::as_i64).map(i128::from);
            bank.negative_balances |= map.get("negative-balances?").and_then(Json::as_bool).unwrap_or(false);
        }
        Some(Json::Object(map)) if !map.is_empty() => {
            bank.accounts = Some(map.keys().cloned().collect());
            bank.total = map.values().map(|balance| balance.as_i64().map(i128::from)).sum();
        }
        Some(Json::Number(total)) => bank.total = total.as_i64().map(i128::from),
        _ => {}
    }
    bank.total = options.total.map(i128::from).or(bank.total);
    bank
}

/// Accounts and balances: of a map (keys and values in turns), or of a list of pairs.
fn pairs(history: &History, value: Value) -> Option<Vec<(Value, Value)>> {
    let items = history.arena.items_of(value)?;
    let of_two = |item: &Value| match history.arena.items_of(*item) {
        Some([account, balance]) => Some((*account, *balance)),
        _ => None,
    };
    if let Some(pairs) = items.iter().map(of_two).collect::<Option<Vec<_>>>() {
        return Some(pairs);
    }
    (items.len() % 2 == 0).then(|| items.chunks(2).map(|pair| (pair[0], pair[1])).collect())
}

/// The first error of a read, in Jepsen's order.
fn wrong(
    history: &History,
    bank: &mut Bank,
    balances: &[(Value, Value)],
    report: &mut Report<'_>,
) -> Result<Option<(&'static str, String)>, Unfit> {
    let arena = &history.arena;
    let name = |account: &Value| arena.str_of(*account).map_or_else(|| arena.show(*account), str::to_owned);
    if let Some(accounts) = &bank.accounts {
        let unknown: Vec<String> = balances
            .iter()
            .map(|(account, _)| name(account))
            .filter(|name| !accounts.contains(name))
            .collect();
        if !unknown.is_empty() {
            return Ok(Some(("unexpected-key", format!("there is no account {}", unknown.join(", ")))));
        }
    }
    let nil: Vec<String> =
        balances.iter().filter(|(_, balance)| balance.is_nil()).map(|(account, _)| name(account)).collect();
    if !nil.is_empty() {
        return Ok(Some(("nil-balance", format!("account {} has no balance", nil.join(", ")))));
    }
    let mut sum = 0i128;
    for (account, balance) in balances {
        let Some(balance) = balance.as_int() else {
            return Err(Unfit(format!("the balance of {} is no whole number", name(account))));
        };
        sum += i128::from(balance);
    }
    let total = *bank.total.get_or_insert_with(|| {
        report.note(format!("no total was given; the first read sums to {sum}, which is taken for it"));
        sum
    });
    if sum != total {
        return Ok(Some(("wrong-total", format!("the balances sum to {sum}, not to {total}"))));
    }
    let negative: Vec<String> = balances
        .iter()
        .filter(|(_, balance)| balance.as_int().is_some_and(|balance| balance < 0))
        .map(|(account, balance)| format!("{} has {}", name(account), arena.show(*balance)))
        .collect();
    if !bank.negative_balances && !negative.is_empty() {
        return Ok(Some(("negative-value", format!("a balance is below zero: {}", negative.join(", ")))));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use crate::Options;
    use crate::objects::tests::judged_with;

    fn said(read: &str, options: &Options) -> String {
        judged_with("bank", &format!("0 i read; 0 o read {read}"), options).reason
    }

    #[test]
    fn each_error_has_its_name_and_the_first_counts() {
        let options = Options {
            total: Some(10),
            initial: Some(serde_json::json!({"accounts": [0, 1]})),
            ..Options::default()
        };
        assert_eq!(said(r#"{"0": 4, "1": 6}"#, &options), "every read sums to the total");
        assert_eq!(said("[[0, 4], [1, 6]]", &options), "every read sums to the total");
        assert_eq!(said(r#"{"0": 4, "1": 5}"#, &options), "1 wrong-total");
        assert_eq!(said(r#"{"0": 4, "1": null}"#, &options), "1 nil-balance");
        assert_eq!(said(r#"{"0": 4, "2": null}"#, &options), "1 unexpected-key");
        assert_eq!(said(r#"{"0": -1, "1": 11}"#, &options), "1 negative-value");
        let lenient = Options { negative_balances: true, ..options };
        assert_eq!(said(r#"{"0": -1, "1": 11}"#, &lenient), "every read sums to the total");
    }

    #[test]
    fn without_a_total_the_first_read_gives_it() {
        let events = r#"0 i read; 0 o read {"a": 1, "b": 2}; 0 i read; 0 o read {"a": 1, "b": 3}"#;
        let verdict = judged_with("bank", events, &Options::default());
        assert_eq!((verdict.reason.as_str(), verdict.anomalies[0].ops[0]), ("1 wrong-total", 1));
        let initial = Some(serde_json::json!({"a": 1, "b": 3}));
        let verdict = judged_with("bank", events, &Options { initial, ..Options::default() });
        assert_eq!(verdict.anomalies[0].ops, [0]);
    }
}
