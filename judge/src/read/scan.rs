//! The plain part of JSON in which machines write histories, read in one pass: objects, lists, small integers,
//! texts without escapes. `serde_json` takes every line that holds anything else, and is the one to say what is
//! wrong with it; a test holds the two against each other. A million operations are two million lines, and this
//! costs about a third of what they cost there.

use super::json::Sink;
use crate::history::{Event, Kind};
use crate::value::{Shape, Value};

/// A place in a text that is UTF-8.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    pub at: usize,
    /// How the fields of the last event were introduced, `,"process":`: mostly the next one's are the same, and
    /// are then found by one comparison each.
    layout: Vec<(&'a [u8], Field)>,
}

/// What a line holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    Client(Event),
    Nemesis,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    Index,
    Time,
    Process,
    Type,
    F,
    Key,
    Value,
    Error,
    Other,
}

/// How deep lists may be nested here.
const DEPTH_MAX: u32 = 16;

impl<'a> Scan<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), at: 0, layout: Vec::new() }
    }

    /// The event that begins here. `None`: it is not plain.
    pub fn event(&mut self, sink: &mut Sink, number: u32) -> Option<Line> {
        let (mut kind, mut process, mut f, mut index, mut time) = (None, None, None, None, None);
        let (mut key, mut value, mut error) = (Value::NIL, Value::NIL, Value::NIL);
        self.expect(b'{')?;
        let mut place = 0;
        loop {
            match self.field(place)? {
                Field::Index => index = Some(u64::try_from(self.value(sink, 0)?.as_int()?).ok()?),
                Field::Time => {
                    let read = self.value(sink, 0)?;
                    time = if read.is_nil() { None } else { u64::try_from(read.as_int()?).ok() };
                }
                Field::Process => process = Some(self.value(sink, 0)?),
                Field::Type => {
                    self.expect(b'"')?;
                    kind = Some(Kind::named(self.text()?)?);
                }
                Field::F => match self.value(sink, 0)?.shape() {
                    Shape::Text(id) => f = Some(id),
                    _ => return None,
                },
                Field::Key => key = self.value(sink, 0)?,
                Field::Value => value = self.value(sink, 0)?,
                Field::Error => error = self.value(sink, 0)?,
                Field::Other => drop(self.value(sink, 0)?),
            }
            place += 1;
            self.space();
            match self.bytes.get(self.at)? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        self.at += 1;
        let process = process?;
        if sink.is_nemesis(process) {
            return Some(Line::Nemesis);
        }
        let index = index.unwrap_or(u64::from(number) - 1);
        Some(Line::Client(Event {
            kind: kind?,
            process,
            f: f?,
            key,
            value,
            time,
            index,
            error,
            line: number,
        }))
    }

    /// Reads what introduces the field at this place of its event.
    fn field(&mut self, place: usize) -> Option<Field> {
        if let Some((intro, field)) = self.layout.get(place)
            && self.bytes[self.at..].starts_with(intro)
        {
            self.at += intro.len();
            return Some(*field);
        }
        let from = self.at;
        if place > 0 {
            self.expect(b',')?;
        }
        self.expect(b'"')?;
        let field = match self.text()? {
            b"index" => Field::Index,
            b"time" => Field::Time,
            b"process" => Field::Process,
            b"type" => Field::Type,
            b"f" => Field::F,
            b"key" => Field::Key,
            b"value" => Field::Value,
            b"error" => Field::Error,
            _ => Field::Other,
        };
        self.expect(b':')?;
        self.layout.truncate(place);
        if self.layout.len() == place {
            self.layout.push((&self.bytes[from..self.at], field));
        }
        Some(field)
    }

    /// Whether nothing but space is left of this line; passes over its end.
    pub fn line_ends(&mut self) -> bool {
        self.space();
        match self.bytes.get(self.at) {
            None => true,
            Some(b'\n') => {
                self.at += 1;
                true
            }
            Some(_) => false,
        }
    }

    fn space(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.space();
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// What stands before the closing quote.
    fn text(&mut self) -> Option<&'a [u8]> {
        let from = self.at;
        loop {
            match *self.bytes.get(self.at)? {
                b'"' => break,
                b'\\' | ..0x20 => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(&self.bytes[from..self.at - 1])
    }

    fn word(&mut self, rest: &[u8], value: Value) -> Option<Value> {
        let end = self.at + rest.len();
        (self.bytes.get(self.at..end)? == rest).then_some(())?;
        self.at = end;
        Some(value)
    }

    fn value(&mut self, sink: &mut Sink, depth: u32) -> Option<Value> {
        match self.next()? {
            b'n' => self.word(b"ull", Value::NIL),
            b't' => self.word(b"rue", Value::bool(true)),
            b'f' => self.word(b"alse", Value::bool(false)),
            b'"' => {
                let text = std::str::from_utf8(self.text()?).ok()?;
                Some(sink.text(text))
            }
            b'[' if depth < DEPTH_MAX => self.list(sink, depth),
            b'-' => self.number().map(|number| -number).and_then(Value::small),
            b'0'..=b'9' => {
                self.at -= 1;
                self.number().and_then(Value::small)
            }
            _ => None,
        }
    }

    fn list(&mut self, sink: &mut Sink, depth: u32) -> Option<Value> {
        let from = sink.items.len();
        self.space();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Some(sink.keep(from));
        }
        let whole = loop {
            let Some(item) = self.value(sink, depth + 1) else { break false };
            sink.items.push(item);
            match self.next() {
                Some(b',') => {}
                Some(b']') => break true,
                _ => break false,
            }
        };
        if whole {
            return Some(sink.keep(from));
        }
        sink.items.truncate(from);
        None
    }

    /// Up to 17 digits, as JSON writes integers: no leading zero, no fraction, no exponent.
    fn number(&mut self) -> Option<i64> {
        let from = &self.bytes[self.at..];
        let (mut digits, mut number) = (0, 0i64);
        while let Some(byte) = from.get(digits)
            && byte.is_ascii_digit()
        {
            // What is too long wraps around, and is refused below.
            number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
            digits += 1;
        }
        let leading_zero = from.first() == Some(&b'0') && digits > 1;
        let more = matches!(from.get(digits), Some(b'.' | b'e' | b'E'));
        self.at += digits;
        (digits > 0 && digits < 18 && !leading_zero && !more).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(line: &str) -> Option<String> {
        let mut sink = Sink::default();
        let mut scan = Scan::new(line);
        let event = scan.event(&mut sink, 1)?;
        let event = match event {
            Line::Client(event) => Some(event),
            Line::Nemesis => None,
        };
        scan.line_ends().then(|| told(&sink, event))
    }

    fn told(sink: &Sink, event: Option<Event>) -> String {
        event.map_or_else(
            || "nemesis".into(),
            |event| {
                let show = |value| sink.arena.show(value);
                let Event { kind, process, f, key, value, time, index, error, line } = event;
                let (process, key, value, error) = (show(process), show(key), show(value), show(error));
                let f = sink.arena.str(f);
                format!("{kind:?} {process} {f} {key} {value} {time:?} {index} {error} {line}")
            },
        )
    }

    #[test]
    fn what_it_reads_is_what_serde_json_reads() {
        let values = [
            "null",
            "4",
            "-4",
            "0",
            "[]",
            "[[1,null,[2]],\"é\"]",
            "true",
            "\"x 1 0 y\"",
            "12345678901234567",
            "123456789012345678",
            "9223372036854775807",
            "01",
            "1.5",
            "1e3",
            "-",
            "[1,]",
            "[1",
            "\"a\\n\"",
            "{\"a\":1}",
            "tru",
            "\"",
            "nul",
            "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]",
            "",
        ];
        let mut plain = 0;
        for value in values {
            for line in [
                format!("{{\"index\":3,\"process\":1,\"type\":\"ok\",\"f\":\"read\",\"value\":{value}}}"),
                format!(
                    " {{ \"f\" : \"cas\" , \"extra\":{value}, \"type\":\"info\",\"process\":\"a\", \"time\":-1 }} "
                ),
                format!("{{\"f\":\"kill\",\"type\":\"info\",\"process\":\"nemesis\",\"value\":{value}}}"),
                format!("{{\"f\":7,\"type\":\"info\",\"process\":0,\"value\":{value}}}"),
                format!("{{\"index\":-1,\"f\":\"r\",\"type\":\"info\",\"process\":0,\"value\":{value}}}"),
                format!("{{\"f\":\"r\",\"type\":\"info\",\"process\":0,\"value\":{value}}} more"),
            ] {
                let Some(fast) = scanned(&line) else { continue };
                let mut sink = Sink::default();
                let slow = sink.event(line.as_bytes(), 1).expect("what the one reads, the other does");
                assert_eq!(fast, told(&sink, slow), "{line}");
                plain += 1;
            }
        }
        assert!(plain > 20, "only {plain} of the lines were plain");
    }
}
