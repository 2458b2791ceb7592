//! How long a chunk takes on a link, and when TCP sends again what did not arrive. Pure functions.
//!
//! Of TCP's recovery the retransmission timer alone is modelled, as Linux keeps it: it doubles with each attempt, from
//! its least value up to its greatest, and counts from the first segment that is unacknowledged. There is no tail loss
//! probe, no fast retransmission, and a sender never gives up: servers and clients time out long before TCP's
//! fifteenth attempt, a quarter of an hour later.

use crate::entropy::Entropy;
use crate::env::LinkRule;

/// A chunk takes its link's own base, and up to this much more by itself.
const BASE_US: u64 = 40;
const BASE_US_MORE: u64 = 200;
const JITTER_US: u64 = 150;
/// A segment that comes out of order waits for the one before it.
const OVERTAKEN_US: u64 = 3_000;
/// What a lost segment costs: Linux's least retransmission timeout (`TCP_RTO_MIN`), and its greatest (`TCP_RTO_MAX`).
const RETRANSMIT_US: u64 = 200_000;
const RETRANSMIT_US_MAX: u64 = 120_000_000;
/// Until a connect is tried again for the first time (`TCP_TIMEOUT_INIT`, RFC 6298).
const CONNECT_US: u64 = 1_000_000;

/// A chunk, by what its choices are keyed by.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub link: (u16, u16),
    /// The count of the connection among those of its link, and of the chunk among those of its way.
    pub connection: u64,
    pub chunk: u64,
}

impl Place {
    /// The connection as one word.
    pub fn word(&self) -> u64 {
        (u64::from(self.link.0) << 16 | u64::from(self.link.1)) << 32 | self.connection
    }
}

/// How long this chunk is on its way.
pub fn delay(key: &Entropy, rule: Option<&LinkRule>, place: Place) -> u64 {
    let base = BASE_US + key.word("link base", place.word() >> 32, 0) % BASE_US_MORE;
    let word = key.word("chunk", place.word(), place.chunk);
    let mut delay = base + (word & 0xffff) * JITTER_US / 65_536;
    if let Some(rule) = rule {
        let share = |shift: u64| (word >> shift & 0xffff) * 1000 / 65_536;
        delay += rule.delay.micros().0 + (word >> 48) * rule.jitter.micros().0 / 65_536;
        if share(16) < u64::from(rule.lose) {
            delay += RETRANSMIT_US;
        }
        if share(32) < u64::from(rule.reorder) {
            delay += OVERTAKEN_US;
        }
    }
    delay
}

/// When what was first sent then, and lost each time so far, is sent again for the first time from now on.
pub fn sent_again(sent: u64, now: u64, is_connect: bool) -> u64 {
    let mut timeout = if is_connect { CONNECT_US } else { RETRANSMIT_US };
    let mut at = sent + timeout;
    while at < now {
        timeout = (2 * timeout).min(RETRANSMIT_US_MAX);
        at += timeout;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_sent_again_after_times_that_double() {
        let data = |now: u64| sent_again(1_000_000, now, false) - 1_000_000;
        assert_eq!(
            [0, 200_000, 200_001, 600_001].map(|past| data(1_000_000 + past)),
            [200_000, 200_000, 600_000, 1_400_000]
        );
        let connect = |past: u64| sent_again(0, past, true);
        assert_eq!(
            [1, 1_000_001, 3_000_001, 7_000_001].map(connect),
            [1_000_000, 3_000_000, 7_000_000, 15_000_000]
        );
        // From the tenth on every two minutes.
        assert_eq!(
            data(1_000_000 + 1_000_000_000) % 120_000_000,
            data(1_000_000 + 880_000_000) % 120_000_000
        );
    }
}
