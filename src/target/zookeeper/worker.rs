//! What a client with work of its own goes by, beside those of the load: its hands, its part of the run's randomness, and
//! whom it asks next. `holder`, `teller` and the others are made of it.

use super::session::Session as State;
use super::talk::{Lost, Talk};
use super::words::epoch;
use crate::entropy::Entropy;
use crate::env::NodeId;
use crate::history::Stamp;
use crate::run::task::Io;
use crate::run::world::Shared;
use crate::target::group::Rota;
use crate::time::Millis;
use std::cell::Cell;
use std::rc::Rc;

/// How long an answer may take.
pub const ANSWER: Millis = Millis(2000);

/// The newest epoch that anybody has heard of.
#[derive(Clone, Debug, Default)]
pub struct Epochs(Rc<Cell<u64>>);

impl Epochs {
    /// Takes note of the transaction that an answer speaks of.
    pub fn heard(&self, zxid: i64) {
        self.0.set(self.0.get().max(epoch(zxid)));
    }
    /// The one that is newer than that of an answer, where somebody has heard of one.
    pub fn newer_than(&self, zxid: i64) -> Option<u64> {
        Some(self.0.get()).filter(|newest| *newest > epoch(zxid))
    }
}

#[derive(Debug)]
pub struct Worker {
    pub io: Io,
    pub world: Shared,
    pub number: u32,
    key: Entropy,
    pub epochs: Epochs,
    pub rota: Rota,
    /// Which piece of its work is next.
    pub count: u32,
}

impl Worker {
    /// One of those who do the same work, by number. What it draws is its own.
    pub fn new(io: Io, world: Shared, work: &str, number: u32, epochs: Epochs) -> Self {
        io.act_as_client();
        let key = world.borrow().key.child(work).nth(u64::from(number));
        Self { io, world, number, key, epochs, rota: Rota::of(number), count: 0 }
    }

    pub fn word(&self, purpose: &str, place: u64) -> u64 {
        self.key.word(purpose, u64::from(self.count), place)
    }
    pub fn stamp(&self) -> Stamp {
        self.world.borrow_mut().stamp()
    }
    pub fn stopped(&self) -> bool {
        self.world.borrow().load_stopped
    }

    /// Whose turn it is.
    pub fn next(&mut self) -> NodeId {
        self.rota.next(&self.world.borrow())
    }
    /// The turn is another's.
    pub fn go_on(&mut self) {
        self.rota.go_on(&self.world.borrow());
    }
    /// This one is of no use for now.
    pub fn avoid(&mut self, node: NodeId) {
        self.rota.avoid(node, self.io.now());
    }

    /// Opens a connection for a session; an error gives it back, and that server is asked later.
    pub async fn open(&mut self, node: NodeId, state: State) -> Result<Talk, (State, Lost)> {
        let opened = Talk::open(&self.io, node, state, self.io.after(ANSWER)).await;
        if opened.is_err() {
            self.avoid(node);
        }
        opened
    }
}
