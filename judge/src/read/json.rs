//! JSON lines: `{"index":0,"time":123,"process":3,"type":"invoke","f":"read","key":null,"value":4}`.
//!
//! The values go straight into the arena, without a tree in between: a million operations are two million
//! lines. Unknown fields are passed over; lines of the nemesis are dropped, as its operations are no client's.

use super::scan::{self, Scan};
use super::{ReadError, Shaping};
use crate::history::{Event, History, Kind};
use crate::value::{Arena, Shape, TooLong, Value};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A history of one event a line.
pub fn lines(text: &[u8], shaping: Shaping) -> Result<History, ReadError> {
    let text = super::utf8(text)?;
    let mut sink = Sink::default();
    let mut builder = shaping.builder();
    let mut scan = Scan::new(text);
    let mut number = 0u32;
    while scan.at < text.len() {
        number += 1;
        let from = scan.at;
        if scan.line_ends() {
            continue;
        }
        let event = match scan.event(&mut sink, number) {
            Some(scan::Line::Client(event)) if scan.line_ends() => Some(event),
            Some(scan::Line::Nemesis) if scan.line_ends() => None,
            _ => {
                let end = text[from..].find('\n').map_or(text.len(), |length| from + length);
                scan.at = (end + 1).min(text.len());
                sink.items.clear();
                sink.event(&text.as_bytes()[from..end], number)?
            }
        };
        if let Some(why) = sink.too_long {
            return Err(ReadError::TooLong { line: number, why });
        }
        if let Some(event) = event {
            shaping.add(&mut builder, event, &sink.arena)?;
        }
    }
    Ok(builder.finish(sink.arena))
}

/// A history as one array of events, as a case file holds it.
pub fn array(text: &str, shaping: Shaping) -> Result<History, ReadError> {
    let syntax = |error: serde_json::Error| ReadError::Syntax { line: 1, why: error.to_string() };
    let events: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).map_err(syntax)?;
    let mut sink = Sink::default();
    let mut builder = shaping.builder();
    for (place, event) in events.iter().enumerate() {
        if let Some(event) = sink.event(event.get().as_bytes(), place as u32 + 1)? {
            shaping.add(&mut builder, event, &sink.arena)?;
        }
    }
    Ok(builder.finish(sink.arena))
}

/// The arena, and room to collect the items of open lists.
#[derive(Debug, Default)]
pub(super) struct Sink {
    pub arena: Arena,
    pub items: Vec<Value>,
    pub too_long: Option<TooLong>,
    /// Texts seen of late with their values: names of operations come again and again.
    recent: Vec<(Box<str>, Value)>,
}

/// How many texts are kept at hand.
const RECENT: usize = 8;

impl Sink {
    /// `None`: an event of the nemesis.
    pub fn event(&mut self, line: &[u8], number: u32) -> Result<Option<Event>, ReadError> {
        let mut reader = serde_json::Deserializer::from_slice(line);
        let event = Line { into: self, number }
            .deserialize(&mut reader)
            .and_then(|event| reader.end().map(|()| event));
        if let Some(why) = self.too_long {
            return Err(ReadError::TooLong { line: number, why });
        }
        event.map_err(|error| ReadError::Syntax { line: number, why: plain(&error) })
    }

    pub fn text(&mut self, text: &str) -> Value {
        if let Some((_, value)) = self.recent.iter().find(|(seen, _)| **seen == *text) {
            return *value;
        }
        let value = self.arena.text(text);
        if self.recent.len() < RECENT {
            self.recent.push((text.into(), value));
        }
        value
    }

    pub fn is_nemesis(&self, process: Value) -> bool {
        self.arena.str_of(process).is_some_and(|name| name.trim_start_matches(':') == "nemesis")
    }

    /// Makes a list of the items collected from this one on.
    pub fn keep(&mut self, from: usize) -> Value {
        let list = self.arena.list(&self.items[from..]);
        self.items.truncate(from);
        list.unwrap_or_else(|error| {
            self.too_long = Some(error);
            Value::NIL
        })
    }
}

/// The message without the place: a line is one line.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let at = text.find(" at line ").unwrap_or(text.len());
    format!("{} (column {})", &text[..at], error.column())
}

struct Line<'a> {
    into: &'a mut Sink,
    number: u32,
}

impl<'de> DeserializeSeed<'de> for Line<'_> {
    type Value = Option<Event>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Field {
    Index,
    Time,
    Process,
    Type,
    F,
    Key,
    Value,
    Error,
    #[serde(other)]
    Other,
}

impl<'de> Visitor<'de> for Line<'_> {
    type Value = Option<Event>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: {\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"value\":null}")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { into, number } = self;
        let (mut kind, mut process, mut f) = (None, None, None);
        let (mut index, mut time) = (None, None);
        let (mut key, mut value, mut error) = (Value::NIL, Value::NIL, Value::NIL);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Index => index = Some(map.next_value::<u64>()?),
                Field::Time => {
                    let value = map.next_value::<Option<i64>>()?;
                    time = value.and_then(|time| u64::try_from(time).ok());
                }
                Field::Process => process = Some(map.next_value_seed(Any(into))?),
                Field::Type => kind = Some(map.next_value::<Kind>()?),
                Field::F => f = Some(map.next_value_seed(Any(into))?),
                Field::Key => key = map.next_value_seed(Any(into))?,
                Field::Value => value = map.next_value_seed(Any(into))?,
                Field::Error => error = map.next_value_seed(Any(into))?,
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let process = process.ok_or_else(|| de::Error::missing_field("process"))?;
        if into.is_nemesis(process) {
            return Ok(None);
        }
        let kind = kind.ok_or_else(|| de::Error::missing_field("type"))?;
        let f = f.ok_or_else(|| de::Error::missing_field("f"))?;
        let Shape::Text(f) = f.shape() else {
            return Err(de::Error::custom("\"f\" is the name of an operation, a text"));
        };
        let index = index.unwrap_or(u64::from(number) - 1);
        Ok(Some(Event { kind, process, f, key, value, time, index, error, line: number }))
    }
}

/// Any value, into the arena.
struct Any<'a>(&'a mut Sink);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::NIL)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.0.arena.int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        let small = i64::try_from(value).ok().and_then(Value::small);
        Ok(small.unwrap_or_else(|| self.0.arena.text(&value.to_string())))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.0.arena.text(&value.to_string()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.0.arena.text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let from = self.0.items.len();
        while let Some(item) = seq.next_element_seed(Any(self.0))? {
            self.0.items.push(item);
        }
        Ok(self.0.keep(from))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let from = self.0.items.len();
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let key = self.0.arena.text(&key);
            self.0.items.push(key);
            let value = map.next_value_seed(Any(self.0))?;
            self.0.items.push(value);
        }
        Ok(self.0.keep(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;

    #[test]
    fn events_become_operations() {
        let text = br#"{"index":0,"time":5,"process":0,"type":"invoke","f":"cas","key":"x","value":[1,2]}
{"index":1,"process":1,"type":"invoke","f":"read","value":null}
{"process":"nemesis","type":"info","f":"kill"}
{"index":3,"time":9,"process":0,"type":"ok","f":"cas","key":"x","value":[1,2]}
"#;
        let history = lines(text, Shaping::default()).expect("a history");
        assert_eq!(history.ops.len(), 2);
        assert_eq!(history.tell(0), r#"0 cas [1, 2] of "x": ok (index 0)"#);
        assert_eq!((history.ops[0].call, history.ops[0].ret), (0, 2));
        assert_eq!(history.ops[1].outcome, Outcome::Info);
    }

    #[test]
    fn mistakes_name_their_line() {
        let said =
            |text: &str| lines(text.as_bytes(), Shaping::default()).expect_err("no history").to_string();
        assert_eq!(
            said(
                "{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}\n{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"}"
            ),
            "line 2: process 0 invokes while its operation of line 1 is open"
        );
        assert_eq!(
            said("{\"process\":0,\"type\":\"ok\",\"f\":\"read\"}"),
            "line 1: process 0 completes \"read\" without having invoked it"
        );
        assert!(said("{\"process\":0").starts_with("line 1: EOF while parsing an object"));
        assert!(said("{\"process\":0,\"type\":\"okay\",\"f\":\"read\"}").contains("unknown variant `okay`"));
    }
}
