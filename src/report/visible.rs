//! Text from outside as it may be shown. Names in scenario files, names of files, a server's words: any of them may
//! hold sequences that move the cursor, colour what follows, or turn the order of letters round. Everything the
//! tool says goes through [`visible`] on its way out (`cli::console`); what stands on a line of its own in a report
//! goes through [`on_one_line`] as well.
//!
//! The escapes are JSON's (`\u001b`), so that a line of JSON that goes this way still means the same.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Signs that are not shown but do something: control characters, and those that turn the direction of what
/// follows (Unicode Standard Annex 9, 2.1 to 2.6; "Trojan Source", CVE-2021-42574).
pub fn acts(sign: char) -> bool {
    sign.is_control()
        || matches!(
            sign,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text with everything escaped that would act on a terminal, but for the ends of lines and tabs.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |sign| acts(sign) && sign != '\n' && sign != '\t')
}

/// As [`visible`], with the ends of lines escaped too: a name cannot write a line of its own into a report.
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

fn escaped(text: &str, is_to_be: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_to_be) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        match sign {
            '\n' if is_to_be(sign) => out.push_str("\\n"),
            '\t' if is_to_be(sign) => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // All that act are in the basic plane, so that four digits name them.
            _ if is_to_be(sign) => write!(out, "\\u{:04x}", sign as u32).expect("a string takes all"),
            _ => out.push(sign),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_seen_instead() {
        for (text, shown) in [
            ("plain – ✓ é 漢\n\tas it is", "plain – ✓ é 漢\n\tas it is"),
            ("\u{1b}]0;title\u{7}\u{1b}[2J", "\\u001b]0;title\\u0007\\u001b[2J"),
            ("one byte \u{9b}31m", "one byte \\u009b31m"),
            ("over\rwritten\u{8}", "over\\rwritten\\u0008"),
            ("\u{202e}desrever\u{2069}", "\\u202edesrever\\u2069"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(on_one_line("a name\nStatus: PASSED\t"), "a name\\nStatus: PASSED\\t");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({"name": "\u{1b}[1m \u{9b}1m \u{7f} \u{202e} \r\n"});
        let read: serde_json::Value =
            serde_json::from_str(&visible(&value.to_string())).expect("JSON as before");
        assert_eq!(read, value);
    }
}
