//! The load, the settings, the length, and the parameters of events, each towards the simplest.
//!
//! What a timeline can hold is known to its types, so this walks over their plain data: a number is tried as 0, then as
//! ever larger numbers of few digits, a switch as off, a list without each of its members, a setting as not there. What
//! no file could say is refused by the reader and costs no run.

use super::{KEYS_OF_PARAMETERS, Search, Stopped};
use crate::time::Millis;
use crate::timeline::{Load, Start, Timeline};
use serde_json::Value;

/// Tries every part once. An event's start becomes a time first, where it is known when it began.
pub(super) fn simpler(search: &mut Search<'_>) -> Result<(), Stopped> {
    for place in 0..search.best.events.len() {
        at_its_time(search, place)?;
    }
    quiet(search)?;
    let mut pointers = Vec::new();
    let plain = plain(&search.best);
    let none = search.best.load.rate.0 == 0;
    let load = ["/load/clients", "/load/rate", "/load/keys", "/load/value_bytes", "/load/pipeline"];
    let load = load.into_iter().filter(|_| !none);
    for part in load.chain(["/cluster/settings", "/length", "/events"]) {
        leaves(plain.pointer(part).unwrap_or(&Value::Null), part, &mut pointers);
    }
    for pointer in pointers {
        let plain = self::plain(&search.best);
        let Some(value) = plain.pointer(&pointer) else { continue };
        let candidates: Vec<Timeline> = simpler_values(&pointer, value)
            .into_iter()
            .filter_map(|value| with(&plain, &pointer, value))
            .collect();
        search.take(&candidates, KEYS_OF_PARAMETERS, |before, after| told(before, after, &pointer))?;
    }
    Ok(())
}

/// Tries no load at all, then the plainest one of as many clients and operations.
fn quiet(search: &mut Search<'_>) -> Result<(), Stopped> {
    let load = &search.best.load;
    let loads = [
        (Load::none(), "there is no load"),
        (Load { rate: load.rate, clients: load.clients, ..Load::default() }, "the load is plain"),
    ];
    for (load, did) in loads {
        if search.best.load.rate.0 > 0 {
            search
                .take(&[Timeline { load, ..search.best.clone() }], KEYS_OF_PARAMETERS, |_, _| did.into())?;
        }
    }
    Ok(())
}

/// Lets an event begin at the time at which it began, instead of at what it waited for.
fn at_its_time(search: &mut Search<'_>, place: usize) -> Result<(), Stopped> {
    let event = &search.best.events[place];
    if matches!(event.start, Start::At(_) | Start::Forming(_)) {
        return Ok(());
    }
    let Some(began) = search.oracle.began(&search.best, &event.id) else { return Ok(()) };
    let mut candidate = search.best.clone();
    let event = &mut candidate.events[place];
    event.start = Start::At(began);
    event.delay = Millis::default();
    event.within = None;
    let did = format!("{} begins at {began}", event.id);
    search.take(&[candidate], KEYS_OF_PARAMETERS, |_, _| did.clone()).map(drop)
}

fn plain(timeline: &Timeline) -> Value {
    serde_json::to_value(timeline).expect("a timeline is plain data")
}

/// Where the parts are that can be simpler, the members of a list after the list.
fn leaves(value: &Value, pointer: &str, out: &mut Vec<String>) {
    let below = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(fields) if pointer.ends_with("/settings") => {
            out.extend(fields.keys().map(|key| below(key)));
        }
        Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(value, &below(key), out)),
        Value::Array(members) => {
            members.iter().enumerate().for_each(|(n, value)| leaves(value, &below(&n.to_string()), out));
        }
        Value::Number(_) | Value::Bool(true) => out.push(pointer.into()),
        Value::Null | Value::Bool(false) | Value::String(_) => {}
    }
}

/// What may stand there instead, the simplest first; `None` takes it away.
fn simpler_values(pointer: &str, value: &Value) -> Vec<Option<Value>> {
    match value {
        Value::Number(number) => {
            let none = pointer.ends_with("/within").then_some(Some(Value::Null));
            let fewer = number.as_u64().map(fewer_digits).unwrap_or_default();
            none.into_iter().chain(fewer.into_iter().map(|number| Some(number.into()))).collect()
        }
        Value::Bool(true) => vec![Some(Value::Bool(false))],
        _ => vec![None],
    }
}

/// Simpler numbers: 0, and those of one digit and zeros near a quarter and near the whole of it.
fn fewer_digits(number: u64) -> Vec<u64> {
    let mut fewer = vec![0, 1, one_digit(number / 4), one_digit(number)];
    fewer.retain(|less| weight(*less) < weight(number));
    fewer.sort_by_key(|less| weight(*less));
    fewer.dedup();
    // 1 is for small numbers: a shard, a client, a count.
    fewer.retain(|less| *less != 1 || number < 100);
    fewer
}

/// By significant digits, then by size.
fn weight(number: u64) -> (usize, u64) {
    (number.to_string().trim_end_matches('0').len(), number)
}

/// The nearest number with one digit before the zeros.
fn one_digit(number: u64) -> u64 {
    let unit = 10u64.pow(number.checked_ilog10().unwrap_or_default());
    number.saturating_add(unit / 2) / unit * unit
}

fn with(plain: &Value, pointer: &str, value: Option<Value>) -> Option<Timeline> {
    let mut changed = plain.clone();
    match value {
        Some(value) => *changed.pointer_mut(pointer)? = value,
        None => {
            let (parent, key) = pointer.rsplit_once('/')?;
            changed.pointer_mut(parent)?.as_object_mut()?.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
    }
    serde_json::from_value(changed).ok()
}

fn told(before: &Timeline, after: &Timeline, pointer: &str) -> String {
    let is_time = ["/length", "/lasts", "/delay", "/within", "/At"].iter().any(|end| pointer.ends_with(end));
    let shown = |timeline: &Timeline| match plain(timeline).pointer(pointer) {
        Some(Value::Number(number)) if is_time => Millis(number.as_u64().unwrap_or_default()).to_string(),
        Some(value) => value.to_string(),
        None => "nothing".into(),
    };
    let mut parts: Vec<&str> = pointer.split('/').skip(1).collect();
    let event = (parts[0] == "events")
        .then(|| parts.get(1).and_then(|n| before.events.get(n.parse::<usize>().ok()?)));
    if let Some(Some(event)) = event {
        parts[1] = &event.id;
        parts.remove(0);
    }
    format!("{} is {} instead of {}", parts.join(" "), shown(after), shown(before))
}

#[cfg(test)]
mod tests {
    use super::fewer_digits;

    #[test]
    fn numbers_lose_digits_and_then_size() {
        assert_eq!(fewer_digits(8378), [0, 2000, 8000]);
        assert_eq!(fewer_digits(9700), [0, 2000, 10_000]);
        assert_eq!(fewer_digits(2000), [0, 500]);
        assert_eq!(fewer_digits(5), [0, 1]);
        assert_eq!(fewer_digits(1), [0]);
        assert_eq!(fewer_digits(0), [0u64; 0]);
        assert_eq!(fewer_digits(u64::MAX).len(), 3, "nothing overflows");
    }
}
