//! The two halves of `acknowledged_loss`: what became of each acknowledged write, and what excuses a loss.

pub mod excuse;
pub mod survival;
