//! Tries every order: the definition itself, for histories of a handful of operations, as the measure of the
//! deciders in tests and in the fuzz target.

use super::{NEVER, Op, Spec};

/// Whether some order of the operations, those of unknown outcome taken or left, explains every answer.
pub fn linearizable<S: Spec>(spec: &mut S, ops: &[Op<S::Act>]) -> bool {
    assert!(ops.len() <= 16, "every order of more would take too long");
    let state = spec.initial();
    carry_on(spec, ops, state, (1 << ops.len()) - 1)
}

fn carry_on<S: Spec>(spec: &mut S, ops: &[Op<S::Act>], state: S::State, left: u32) -> bool {
    let remain = |place: &usize| left >> place & 1 == 1;
    // What is left has to come after the operations that returned before it was called.
    let first_return = (0..ops.len()).filter(remain).map(|place| ops[place].ret).min().unwrap_or(NEVER);
    if first_return == NEVER {
        return true;
    }
    (0..ops.len()).filter(remain).any(|place| {
        ops[place].call <= first_return
            && spec
                .step(state, ops[place].act)
                .is_some_and(|state| carry_on(spec, ops, state, left & !(1 << place)))
    })
}
