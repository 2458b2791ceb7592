//! Numbers and times with a spread: `3..7`, `100ms..300ms`, both ends included. One value is a spread of itself.

use super::Spread;
use crate::entropy::Rng;
use crate::time::Millis;
use crate::yaml::document::{Node, Value};
use crate::yaml::fields::{Field, scalar};

impl Spread<Millis> {
    /// A value of the spread, each equally likely.
    pub fn draw(self, rng: &mut Rng) -> Millis {
        Millis(rng.range(self.low.0, self.high.0))
    }

    /// Both ends later by those of another.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { low: self.low.saturating_add(other.low), high: self.high.saturating_add(other.high) }
    }
}

impl Spread<u16> {
    /// A value of the spread, each equally likely.
    pub fn draw(self, rng: &mut Rng) -> u16 {
        rng.range(u64::from(self.low), u64::from(self.high)) as u16
    }
}

fn read<T: Field + Copy + Ord>(node: &Node, expected: fn() -> String) -> Result<Spread<T>, String> {
    let text = scalar(node, expected)?;
    let Some((low, high)) = text.split_once("..") else { return T::read(node).map(Spread::exactly) };
    let end = |text: &str| {
        let value = Value::Scalar { text: text.trim().into(), quoted: false };
        T::read(&Node { span: node.span, value })
    };
    let spread = Spread { low: end(low)?, high: end(high)? };
    if spread.low > spread.high { Err(format!("{}, the lower end first", expected())) } else { Ok(spread) }
}

fn write<T: Field + PartialEq>(spread: &Spread<T>) -> String {
    if spread.low == spread.high {
        spread.low.write()
    } else {
        format!("{}..{}", spread.low.write(), spread.high.write())
    }
}

impl Field for Spread<u16> {
    fn expected() -> String {
        "an integer such as `3`, or a range such as `3..7`".into()
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"anyOf": [u16::schema(), {"type": "string", "pattern": "^[0-9]+\\.\\.[0-9]+$"}]})
    }
    fn read(node: &Node) -> Result<Self, String> {
        read(node, Self::expected)
    }
    fn write(&self) -> String {
        write(self)
    }
}

impl Field for Spread<Millis> {
    fn expected() -> String {
        "a duration such as `300ms`, or a range such as `100ms..300ms`".into()
    }
    fn schema() -> serde_json::Value {
        let one = "([0-9]+(\\.[0-9]+)?(h|ms|m|s))+";
        serde_json::json!({"type": "string", "pattern": format!("^{one}(\\.\\.{one})?$")})
    }
    fn read(node: &Node) -> Result<Self, String> {
        read(node, Self::expected)
    }
    fn write(&self) -> String {
        write(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::document::Span;

    fn node(text: &str) -> Node {
        Node { span: Span::default(), value: Value::Scalar { text: text.into(), quoted: false } }
    }

    #[test]
    fn spreads_read_and_print() {
        for (text, low, high) in [("3..7", 3, 7), ("4", 4, 4), ("0..0", 0, 0)] {
            assert_eq!(Field::read(&node(text)), Ok(Spread::<u16> { low, high }), "{text}");
        }
        for text in ["100ms..2s", "1m30s", "0ms..1s500ms"] {
            assert_eq!(Spread::<Millis>::read(&node(text)).map(|s| s.write()).as_deref(), Ok(text));
        }
        assert_eq!(
            Spread::<Millis>::read(&node("0.5s..1.5s")).map(|s| s.write()).as_deref(),
            Ok("500ms..1s500ms")
        );
    }

    #[test]
    fn a_spread_needs_both_ends_in_order() {
        for text in ["7..3", "..3", "3..", "3...7", "a..b", "", "3..70000"] {
            assert!(Spread::<u16>::read(&node(text)).is_err(), "{text}");
        }
        for text in ["2s..1s", "1..2s", "1s..", "2"] {
            assert!(Spread::<Millis>::read(&node(text)).is_err(), "{text}");
        }
    }
}
