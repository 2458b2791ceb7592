//! A finding as a word that fits into a commit message: `67890:1f3a.2@7`.
//!
//! It holds the seed of the built-in scenario, the events that are kept as a mask (the first event is the lowest bit, in
//! hexadecimal), the schedule key if there is one, and the version of the catalogue that the seed means this with.

use crate::entropy::Seed;
use crate::timeline::Timeline;
use std::fmt;
use std::str::FromStr;

/// What a seed's timeline becomes by leaving events out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub seed: Seed,
    kept: u128,
    key: Option<u64>,
    catalogue: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "`{0}` is no token: one is like 67890:1f3a.2@7, a seed, a mask of events, a schedule key, a catalogue"
    )]
    Form(String),
    #[error(
        "the token is of catalogue {token}, and this build has {here}: the seed means something else here"
    )]
    Catalogue { token: u32, here: u32 },
    #[error("the token keeps event {event} of a timeline that has {events} here: it was drawn otherwise")]
    Events { event: u32, events: usize },
}

impl Token {
    /// What fits into a commit's title beside some words.
    pub const LENGTH_MAX: usize = 32;

    /// The token of `kept`, or `None` when it is not `full` without some events, or too long.
    pub fn of(full: &Timeline, kept: &Timeline) -> Option<Self> {
        let mut mask = 0u128;
        for (bit, event) in full.events.iter().enumerate() {
            if kept.event(&event.id).is_some() {
                mask |= 1u128.checked_shl(bit as u32).filter(|_| bit < 128)?;
            }
        }
        let token = Self { seed: full.seed, kept: mask, key: kept.schedule.key, catalogue: full.catalogue };
        (token.timeline(full).is_ok_and(|timeline| timeline == *kept)
            && token.to_string().len() <= Self::LENGTH_MAX)
            .then_some(token)
    }

    /// The timeline that it means, `full` being that of its seed.
    pub fn timeline(&self, full: &Timeline) -> Result<Timeline, TokenError> {
        if self.catalogue != full.catalogue {
            return Err(TokenError::Catalogue { token: self.catalogue, here: full.catalogue });
        }
        let highest = 128 - self.kept.leading_zeros();
        if highest as usize > full.events.len() {
            return Err(TokenError::Events { event: highest, events: full.events.len() });
        }
        let gone = full.events.iter().enumerate().filter(|(bit, _)| *bit >= 128 || self.kept >> bit & 1 == 0);
        let mut timeline = gone.fold(full.clone(), |less, (_, event)| less.without(&event.id));
        timeline.schedule.key = self.key.or(full.schedule.key);
        Ok(timeline)
    }

    /// Whether this looks like a token rather than like a file's name.
    pub fn is_meant(text: &str) -> bool {
        text.contains(':') && text.contains('@') && !text.contains(['/', '\\'])
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:x}", self.seed, self.kept)?;
        if let Some(key) = self.key {
            write!(f, ".{key}")?;
        }
        write!(f, "@{}", self.catalogue)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let parse = || {
            let (seed, rest) = text.split_once(':')?;
            let (rest, catalogue) = rest.split_once('@')?;
            let (mask, key) = match rest.split_once('.') {
                Some((mask, key)) => (mask, Some(key.parse().ok()?)),
                None => (rest, None),
            };
            let plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_alphanumeric());
            [seed, mask, catalogue].iter().all(|digits| plain(digits)).then_some(())?;
            Some(Self {
                seed: Seed(seed.parse().ok()?),
                kept: u128::from_str_radix(mask, 16).ok()?,
                key,
                catalogue: catalogue.parse().ok()?,
            })
        };
        parse().ok_or_else(|| TokenError::Form(text.into()))
    }
}
