//! Jepsen's `history.edn`: one map an operation, or a vector of them, as Clojure prints them. Keywords become
//! texts without their colon, sets and lists lists, maps lists of keys and values in turns; tags are passed over
//! (`#jepsen.history.Op{...}` is its map). Notation: github.com/edn-format/edn.

use super::{ReadError, Shaping};
use crate::history::{Event, History, Kind};
use crate::value::{Arena, Shape, Value};

/// A history of maps, one after the other or in a vector.
pub fn history(text: &[u8], shaping: Shaping) -> Result<History, ReadError> {
    let text = super::utf8(text)?;
    let mut reader = Reader::new(text);
    let mut events: Vec<(Value, u32)> = Vec::new();
    loop {
        reader.space()?;
        if reader.at == text.len() {
            break;
        }
        let line = reader.line;
        let opener = reader.peek();
        let value = reader.value(0)?;
        if matches!(opener, Some('[' | '(')) {
            // Lines within a vector are not kept by its values: they are told by their place in it.
            let items = reader.arena.items_of(value).unwrap_or_default();
            events.extend(items.iter().map(|item| (*item, line)));
        } else {
            events.push((value, line));
        }
    }
    let mut arena = std::mem::take(&mut reader.arena);
    let mut builder = shaping.builder();
    for (place, (value, line)) in events.into_iter().enumerate() {
        let event = event(&mut arena, value, place as u64, line)?;
        if let Some(event) = event {
            shaping.add(&mut builder, event, &arena)?;
        }
    }
    Ok(builder.finish(arena))
}

/// `None`: the nemesis.
fn event(arena: &mut Arena, map: Value, place: u64, line: u32) -> Result<Option<Event>, ReadError> {
    let syntax = |why: &str| ReadError::Syntax { line, why: format!("event {place}: {why}") };
    let Some(fields) = arena.items_of(map) else {
        return Err(syntax("an event is a map: {:process 0, :type :invoke, :f :read, :value nil}"));
    };
    let (mut kind, mut process, mut f, mut index, mut time) = (None, None, None, None, None);
    let (mut key, mut value, mut error) = (Value::NIL, Value::NIL, Value::NIL);
    for field in fields.chunks_exact(2) {
        match arena.str_of(field[0]) {
            Some("type") => kind = arena.str_of(field[1]),
            Some("process") => process = Some(field[1]),
            Some("f") => f = Some(field[1]),
            Some("index") => index = field[1].as_int().and_then(|index| u64::try_from(index).ok()),
            Some("time") => time = field[1].as_int().and_then(|time| u64::try_from(time).ok()),
            Some("key") => key = field[1],
            Some("value") => value = field[1],
            Some("error") => error = field[1],
            _ => {}
        }
    }
    let process = process.ok_or_else(|| syntax("it has no :process"))?;
    if arena.str_of(process) == Some("nemesis") {
        return Ok(None);
    }
    let kind = kind.ok_or_else(|| syntax("it has no :type"))?;
    let Some(kind) = Kind::named(kind.as_bytes()) else {
        return Err(syntax(&format!("its :type is :{kind}, not :invoke, :ok, :fail or :info")));
    };
    let Some(Shape::Text(f)) = f.map(Value::shape) else {
        return Err(syntax("it has no :f, the name of an operation"));
    };
    let index = index.unwrap_or(place);
    Ok(Some(Event { kind, process, f, key, value, time, index, error, line }))
}

/// Values one after the other.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    pub at: usize,
    pub line: u32,
    pub arena: Arena,
}

/// How deep values may be nested.
const DEPTH_MAX: u32 = 64;

impl<'a> Reader<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1, arena: Arena::default() }
    }

    fn syntax(&self, why: impl std::fmt::Display) -> ReadError {
        ReadError::Syntax { line: self.line, why: why.to_string() }
    }

    pub fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        self.line += u32::from(next == '\n');
        Some(next)
    }

    /// Passes over space, commas, comments, and what `#_` discards.
    pub fn space(&mut self) -> Result<(), ReadError> {
        loop {
            match self.peek() {
                Some(next) if next.is_whitespace() || next == ',' => drop(self.next()),
                Some(';') => while !matches!(self.next(), None | Some('\n')) {},
                Some('#') if self.text[self.at..].starts_with("#_") => {
                    self.at += 2;
                    self.value(1)?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// What stands up to the next delimiter.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let ends = |c: char| c.is_whitespace() || ",;()[]{}\"".contains(c);
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    pub fn value(&mut self, depth: u32) -> Result<Value, ReadError> {
        if depth > DEPTH_MAX {
            return Err(self.syntax(format!("nested deeper than {DEPTH_MAX}")));
        }
        self.space()?;
        match self.peek() {
            None => Err(self.syntax("the text ends within a value")),
            Some('(') => self.items(')', depth),
            Some('[') => self.items(']', depth),
            Some('{') => self.items('}', depth),
            Some(end @ (')' | ']' | '}')) => Err(self.syntax(format!("{end} closes nothing"))),
            Some('"') => self.text_literal(),
            Some('#') => {
                self.at += 1;
                match self.peek() {
                    Some('{') => self.items('}', depth),
                    Some('"') => self.text_literal(),
                    // A tag says how to make an object of the value behind it; the value will do. A symbolic
                    // value (`##NaN`) is a word.
                    Some('#') => {
                        let word = self.word();
                        Ok(self.arena.text(word))
                    }
                    _ => {
                        self.word();
                        self.value(depth + 1)
                    }
                }
            }
            Some(':') => {
                self.at += 1;
                let word = self.word();
                Ok(self.arena.text(word))
            }
            Some('\\') => {
                self.at += 1;
                let from = self.at;
                self.next();
                self.word();
                Ok(self.arena.text(&self.text[from..self.at]))
            }
            Some(_) => {
                let word = self.word();
                if word.is_empty() {
                    return Err(self.syntax("a character that begins no value"));
                }
                Ok(self.atom(word))
            }
        }
    }

    fn atom(&mut self, word: &str) -> Value {
        match word {
            "nil" => Value::NIL,
            "true" => Value::bool(true),
            "false" => Value::bool(false),
            _ => {
                // `N` marks a big integer, which may still be a small number.
                let digits = word.strip_suffix('N').unwrap_or(word);
                match digits.parse::<i64>() {
                    Ok(number) => self.arena.int(number),
                    Err(_) => self.arena.text(word),
                }
            }
        }
    }

    fn items(&mut self, end: char, depth: u32) -> Result<Value, ReadError> {
        let from = self.line;
        self.next();
        let mut items = Vec::new();
        loop {
            self.space()?;
            match self.peek() {
                None => {
                    return Err(ReadError::Syntax { line: from, why: format!("nothing closes it: {end}") });
                }
                Some(next) if next == end => {
                    self.next();
                    break;
                }
                Some(_) => items.push(self.value(depth + 1)?),
            }
        }
        self.arena.list(&items).map_err(|why| ReadError::TooLong { line: from, why })
    }

    fn text_literal(&mut self) -> Result<Value, ReadError> {
        let from = self.line;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(ReadError::Syntax { line: from, why: "a text that does not end".into() }),
                Some('"') => return Ok(self.arena.text(&text)),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('u') => {
                        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
                        let read = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                        let Some(read) = read else {
                            return Err(self.syntax("\\u is followed by four digits"));
                        };
                        self.at += 4;
                        text.push(read);
                    }
                    Some(other) => text.push(other),
                    None => {}
                },
                Some(other) => text.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<History, ReadError> {
        history(text.as_bytes(), Shaping::default())
    }

    #[test]
    fn operations_are_read_as_jepsen_prints_them() {
        let text = r#"
#jepsen.history.Op{:index 0, :time 31, :type :invoke, :process 0, :f :txn, :value [[:append 5 1] [:r "x" nil]]}
{:process :nemesis, :type :info, :f :start, :value {"n1" :cut}} ; not a client
{:type :ok, :f :txn, :value [[:append 5 1] [:r "x" [1 2N 9223372036854775808]]], :process 0, :time 35, :index 2}
{:type :invoke, :f :read, :value nil, :process 1, :index 3 #_{:not :this}}
{:type :info, :f :read, :value nil, :process 1, :error :timed-out, :index 4}
"#;
        let history = read(text).expect("a history");
        assert_eq!(history.ops.len(), 2);
        assert_eq!(
            history.tell(0),
            "0 txn [[\"append\", 5, 1], [\"r\", \"x\", null]]: \
             ok: [[\"append\", 5, 1], [\"r\", \"x\", [1, 2, \"9223372036854775808\"]]] (index 0)"
        );
        assert_eq!(history.arena.show(history.ops[1].error), "\"timed-out\"");
    }

    #[test]
    fn a_vector_of_maps_is_a_history_too() {
        let text =
            "[{:process 0 :type :invoke :f :add :value #{1}}\n {:process 0 :type :ok :f :add :value \\a}]";
        assert_eq!(read(text).expect("a history").tell(0), "0 add [1]: ok: \"a\" (index 0)");
    }

    #[test]
    fn mistakes_name_their_line() {
        let said = |text: &str| read(text).expect_err("no history").to_string();
        assert_eq!(said("\n{:process 0"), "line 2: nothing closes it: }");
        assert_eq!(said("}"), "line 1: } closes nothing");
        assert_eq!(said("{:process 0 :f :read}"), "line 1: event 0: it has no :type");
        assert!(said("{:process 0 :f :read :type :okay}").contains("its :type is :okay"));
        assert!(said("7").contains("an event is a map"));
        assert!(said(&"[".repeat(100)).contains("nested deeper than 64"));
        assert_eq!(said("{:value \"x"), "line 1: a text that does not end");
    }
}
