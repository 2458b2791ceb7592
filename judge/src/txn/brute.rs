//! Whether a tiny history has a serial order, by trying them all.
//!
//! The second opinion on [`super::list_append`] and [`super::rw_register`]: it knows nothing of dependencies. It
//! runs the transactions one after the other in every order and compares each read with the state. Operations of
//! unknown outcome may take effect or not. The number of orders grows as a factorial: for about eight transactions.

use super::mops::{Mop, Mops};
use crate::history::History;
use crate::value::Value;

/// Whether the transactions, run in some order, would have read what they did read. `strict`: an order in which
/// what was answered before something else was asked also comes before it.
pub fn has_serial_order(history: &History, mops: &Mops, appends: bool, strict: bool) -> bool {
    let strict = strict && !history.completions_only;
    let open: Vec<usize> = (0..history.ops.len()).filter(|op| history.ops[*op].may_have_happened()).collect();
    Try { history, mops, appends, strict }.go(&open, &mut Vec::new())
}

struct Try<'a> {
    history: &'a History,
    mops: &'a Mops,
    appends: bool,
    strict: bool,
}

impl Try<'_> {
    /// `written`: every write so far, in order.
    fn go(&self, open: &[usize], written: &mut Vec<Mop>) -> bool {
        let ops = &self.history.ops;
        if open.iter().all(|op| !ops[*op].is_ok()) {
            return true;
        }
        open.iter().enumerate().any(|(at, op)| {
            let mut others = open[..at].iter().chain(&open[at + 1..]);
            let too_early =
                self.strict && others.any(|other| ops[*other].is_ok() && ops[*other].ret < ops[*op].call);
            if too_early {
                return false;
            }
            let before = written.len();
            let fits = self.mops.of(*op).iter().all(|mop| {
                if mop.is_write() {
                    written.push(*mop);
                    return true;
                }
                !ops[*op].is_ok() || self.reads(mop, written)
            });
            let rest = [&open[..at], &open[at + 1..]].concat();
            let found = fits && self.go(&rest, written);
            written.truncate(before);
            found
        })
    }

    fn reads(&self, read: &Mop, written: &[Mop]) -> bool {
        let arena = &self.history.arena;
        let mut state = written.iter().filter(|mop| mop.key() == read.key()).map(|mop| mop.value);
        if !self.appends {
            return arena.equal(state.next_back().unwrap_or(Value::NIL), read.value);
        }
        let mut items = arena.items_of(read.value).unwrap_or(&[]).iter();
        loop {
            match (items.next(), state.next()) {
                (None, None) => return true,
                (Some(item), Some(value)) if arena.equal(*item, value) => {}
                _ => return false,
            }
        }
    }
}
