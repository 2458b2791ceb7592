//! Swarm testing (Groce et al. 2012, "Swarm testing"): each seed leaves a random half of the vocabulary out and
//! weighs the rest very differently. A run that does little of everything reaches the deep states of nothing.

use super::{GenerateError, offered};
use crate::catalogue::ACTIONS;
use crate::entropy::Rng;
use crate::env::Profile;
use crate::spec::Draw;
use crate::target::operation::{Admin, ConfigChange, Drain, ForgetAndMeet, RollingRestart, ScaleIn};

/// The weights and habits of one seed.
#[derive(Debug)]
pub(super) struct Swarm {
    /// One for each entry of the catalogue; zero is off.
    pub weights: [u64; ACTIONS.len()],
    /// Of ten events, how many hang on another or on an observation.
    pub anchored: u64,
    /// Of ten events by the clock, how many fall within a second of the one before.
    pub bursts: u64,
    /// Of ten operations, how many are followed by a fault in their middle or on their heels.
    pub followed: u64,
    /// Of ten anchors, how many are observations.
    pub observing: u64,
    /// Nodes may die for good.
    pub deaths: bool,
    /// Keep the quorum even where the spec does not ask for it: as long as promotions are owed, more is judged.
    pub keep_quorum: bool,
}

/// One seed in this many draws administrative commands, which void most claims of the system.
const ADMIN_SEEDS: u64 = 16;

/// One seed in this many draws operations that take a real cluster about a minute: in the others a run is over in
/// half of that.
const PATIENT_SEEDS: u64 = 12;

impl Swarm {
    pub fn draw(draw: &Draw, target: &str, profile: &Profile, rng: &mut Rng) -> Result<Self, GenerateError> {
        let mut weights = [0; ACTIONS.len()];
        let nothing = || GenerateError::NothingToDraw { target: target.to_owned(), profile: profile.name };
        if let Some((unknown, _)) = draw
            .vocabulary
            .iter()
            .find(|(name, _)| !ACTIONS.iter().any(|info| info.may_be_drawn() && info.name == name))
        {
            return Err(GenerateError::NotDrawn(unknown.clone()));
        }
        // A bit and a weight for each entry of the catalogue, used or not.
        let (on, heavy) = (rng.next_u64(), [rng.next_u64(), rng.next_u64()]);
        let admin = rng.ratio(1, ADMIN_SEEDS);
        let patient = rng.ratio(1, PATIENT_SEEDS) || crate::target::consensus(target);
        let left_out = |name: &str| draw.without.iter().any(|without| without == name);
        let (mut first, mut count, mut any_on) = (0, 0, false);
        for (index, info) in offered(target, profile) {
            let given = match draw.vocabulary.iter().find(|(name, _)| name == info.name) {
                Some((_, weight)) => u64::from(*weight),
                None if draw.vocabulary.is_empty() && info.drawn => usual_weight(info.name),
                None => continue,
            };
            let rare = (info.name == Admin::NAME && !admin) || (takes_long(info.name) && !patient);
            if given == 0 || left_out(info.name) || (rare && draw.vocabulary.is_empty()) {
                continue;
            }
            if count == 0 {
                first = index;
            }
            count += 1;
            // From 1 to 32, a power of two: the heaviest entry of a seed often outweighs all others together.
            let weight = 1 << (heavy[index / 21 % 2] >> (index % 21 * 3) & 7).min(5);
            weights[index] = given * weight * (on >> index & 1);
            any_on |= weights[index] > 0;
        }
        if count == 0 {
            return Err(nothing());
        }
        if !any_on {
            let chosen = rng.below(count);
            let (mut seen, mut index) = (0, first);
            for (candidate, info) in offered(target, profile) {
                let named = draw.vocabulary.iter().any(|(name, weight)| name == info.name && *weight > 0);
                let unnamed = draw.vocabulary.is_empty() && info.drawn && info.name != Admin::NAME;
                if (named || unnamed) && !left_out(info.name) {
                    index = candidate;
                    if seen == chosen {
                        break;
                    }
                    seen += 1;
                }
            }
            weights[index] = 1;
        }
        // A shard that agrees by consensus needs a majority of its nodes: one that dies for good leaves little to see.
        let (followed, deaths) =
            if crate::target::consensus(target) { ([0, 3, 5, 8], 3) } else { ([0, 5, 8, 8], 2) };
        Ok(Self {
            weights,
            anchored: *rng.pick(&[3, 5, 5, 7]),
            bursts: *rng.pick(&[0, 3, 5, 8]),
            followed: *rng.pick(&followed),
            observing: *rng.pick(&[2, 4, 6]),
            deaths: rng.ratio(1, deaths),
            keep_quorum: rng.ratio(1, 2),
        })
    }
}

/// A node that was forgotten is banned for a minute; all slots of a shard, or every process in turn, take as long.
fn takes_long(name: &str) -> bool {
    matches!(name, ForgetAndMeet::NAME | Drain::NAME | RollingRestart::NAME | ScaleIn::NAME)
}

/// What an entry weighs before the seed has its say: what takes most of a run, or strikes every node at once,
/// or voids the claims that the rest is judged by, comes up less often.
fn usual_weight(name: &str) -> u64 {
    match name {
        RollingRestart::NAME => 1,
        Admin::NAME | ConfigChange::NAME => 2,
        _ => 4,
    }
}
