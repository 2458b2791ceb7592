//! The pace of the load: when each client is due. What it does then, and in which protocol, is its target's.

use super::task::{Io, LocalRef};
use super::workload::{Intent, Workload};
use super::world::Shared;
use crate::time::{Micros, Millis};

/// Operations a second, over all clients, above which a closed loop does not go.
const CLOSED_MOST: u64 = 1000;

/// One client of the load, as its target's protocol has it.
pub trait Session {
    /// Issues a batch and sees each of it to its end: into the history, with what is known of it.
    fn issue(&mut self, batch: Vec<Intent>) -> LocalRef<'_, ()>;
}

/// When the operations of an open loop are due, so that all clients together issue at the rate, evenly. A round of a client is
/// one batch of its pipeline. In microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub period: u64,
    pub pipeline: u64,
    clients: u64,
}

impl Pace {
    pub fn new(rate: u32, clients: u32, pipeline: u16) -> Self {
        let (clients, pipeline) = (u64::from(clients.max(1)), u64::from(pipeline.max(1)));
        let period = (1_000_000 * clients * pipeline / u64::from(rate.max(1))).max(1);
        Self { period, pipeline, clients }
    }
    /// When a client is due for the first time, where the load begins at `zero`.
    pub fn first(&self, zero: Micros, client: u32) -> Micros {
        Micros(zero.0 + self.period * (u64::from(client) % self.clients) / self.clients)
    }
    pub fn due(&self, zero: Micros, client: u32, round: u64) -> Micros {
        Micros(self.first(zero, client).0 + round * self.period)
    }
}

/// Has a client work until the load stops. `from` and `until` are run times; the first operation is due at `from`.
pub async fn work(
    io: Io,
    world: Shared,
    workload: Workload,
    (rate, clients): (u32, u32),
    (from, until): (Micros, Micros),
    session: impl FnOnce(Io, Shared, Workload) -> Box<dyn Session>,
) {
    io.act_as_client();
    let mut session = session(io.clone(), world.clone(), workload.clone());
    let pace = Pace::new(rate, clients, workload.load.pipeline);
    let Pace { period, pipeline, .. } = pace;
    let pause = Millis(u64::from(clients.max(1)) * pipeline * 1000 / CLOSED_MOST);
    let mut round = 0u64;
    loop {
        let due = pace.due(from, workload.client, round);
        let now = io.now();
        if workload.load.closed {
            if now < from {
                io.sleep_until(from).await;
            }
        } else if now < due {
            if due >= until {
                break;
            }
            io.sleep_until(due).await;
        } else if now.0 > due.0 + period {
            // What fell due while the last operation hung is skipped, and counted.
            let missed = ((now.0 - due.0) / period).min((until.0.saturating_sub(due.0)) / period);
            world.borrow_mut().operations_skipped += missed * pipeline;
            round += missed;
        }
        if io.now() >= until || world.borrow().load_stopped {
            break;
        }
        session.issue((0..pipeline).map(|n| workload.intent(round * pipeline + n)).collect()).await;
        round += 1;
        if workload.load.closed {
            // It must not spin on a node that refuses at once, and all that is read is kept.
            io.sleep(pause).await;
        }
    }
}
