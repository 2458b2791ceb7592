//! Short histories for the tests of the models: `0 i add 1; 0 o add 1` is an invocation of process 0 and its
//! acknowledgement (`f` refused, `?` unknown), a millisecond apart; `add@"x"` is an operation on the key `"x"`.

use crate::read::{Shaping, json};
use crate::{Budget, History, Options, Verdict, model};

pub fn history(events: &str) -> History {
    let mut text = String::new();
    let events = events.split(';').map(str::trim).filter(|event| !event.is_empty());
    for (place, event) in events.enumerate() {
        let mut words = event.splitn(4, ' ');
        let mut word = || words.next().unwrap_or("null");
        let (process, kind, f, value) = (word(), word(), word(), word());
        let kind = match kind {
            "i" => "invoke",
            "o" => "ok",
            "f" => "fail",
            "?" => "info",
            other => panic!("{other} is no kind of an event"),
        };
        let (f, key) = f.split_once('@').unwrap_or((f, "null"));
        text += &format!(
            "{{\"index\":{place},\"time\":{},\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\
             \"key\":{key},\"value\":{value}}}\n",
            place * 1_000_000
        );
    }
    json::lines(text.as_bytes(), Shaping::default()).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

pub fn judged_with(name: &str, events: &str, options: &Options) -> Verdict {
    let model = model::named(name).unwrap_or_else(|| panic!("no model {name}"));
    (model.judge)(&history(events), options, &Budget::default()).expect("a history of this model")
}

pub fn judged(name: &str, events: &str) -> Verdict {
    judged_with(name, events, &Options::default())
}

pub fn answer(name: &str, events: &str) -> &'static str {
    judged(name, events).answer.word()
}
