//! The logs of Porcupine's tests, which Jepsen wrote: `INFO  jepsen.util - 3<tab>:invoke<tab>:cas<tab>[1 2]`.
//! (github.com/anishathalye/porcupine, `test_data/jepsen`.) Other lines of the log are passed over.

use super::edn::Reader;
use super::{ReadError, Shaping};
use crate::history::{Event, History, Kind};
use crate::value::Shape;

/// A history of log lines.
pub fn history(text: &[u8], shaping: Shaping) -> Result<History, ReadError> {
    let text = super::utf8(text)?;
    let mut arena = crate::value::Arena::default();
    let mut builder = shaping.builder();
    let mut index = 0;
    for (place, line) in text.lines().enumerate() {
        let number = place as u32 + 1;
        let Some((_, said)) = line.split_once("jepsen.util - ") else { continue };
        let mut reader = Reader::new(said);
        reader.arena = arena;
        let mut words = Vec::new();
        loop {
            reader.space().map_err(|error| at(error, number))?;
            if reader.at == said.len() {
                break;
            }
            words.push(reader.value(0).map_err(|error| at(error, number))?);
        }
        arena = reader.arena;
        let [process, kind, f, rest @ ..] = words.as_slice() else { continue };
        let kind = arena.str_of(*kind).and_then(|kind| Kind::named(kind.as_bytes()));
        let Some(kind) = kind else { continue };
        if arena.str_of(*process) == Some("nemesis") {
            continue;
        }
        let Shape::Text(f) = f.shape() else {
            let why = "the third word is the name of an operation".into();
            return Err(ReadError::Syntax { line: number, why });
        };
        // What follows an `info` is why nothing is known.
        let value = rest.first().copied().unwrap_or_default();
        let (value, error) =
            if kind == Kind::Info { (crate::Value::NIL, value) } else { (value, crate::Value::NIL) };
        let key = crate::Value::NIL;
        let event = Event { kind, process: *process, f, key, value, time: None, index, error, line: number };
        index += 1;
        shaping.add(&mut builder, event, &arena)?;
    }
    Ok(builder.finish(arena))
}

/// The error with the line of the log.
fn at(error: ReadError, number: u32) -> ReadError {
    match error {
        ReadError::Syntax { why, .. } => ReadError::Syntax { line: number, why },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_the_log_that_are_operations_are_read() {
        let text = "INFO  jepsen.core - Running\nINFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\n\
            INFO  jepsen.util - :nemesis\t:info\t:start\tnil\nINFO  jepsen.util - 0\t:info\t:cas\t:timed-out\n";
        let history = history(text.as_bytes(), Shaping::default()).expect("a history");
        assert_eq!(history.ops.len(), 1);
        assert_eq!(history.tell(0), "0 cas [1, 2]: outcome unknown (index 0)");
    }
}
