//! Whole events.

use super::{KEYS, Search, Stopped};
use crate::timeline::{Start, Timeline};

/// Leaves out as many events as it can; in the end none can be left out alone.
pub(super) fn fewer(search: &mut Search<'_>) -> Result<(), Stopped> {
    early(search)?;
    // Each group is 1 - 1/e of the size of the one before.
    let mut size = (search.best.events.len() / 3).max(1);
    while size > 1 {
        round(search, size)?;
        size = size * 632 / 1000;
    }
    while round(search, 1)? {}
    if alone(search)? { fewer(search) } else { Ok(()) }
}

/// Tries each event by itself, to the end of the safety phase: what two faults did one after the other, one that lasts
/// may do, and leaving out one event at a time never comes there.
fn alone(search: &mut Search<'_>) -> Result<bool, Stopped> {
    let count = search.best.events.len();
    if count < 2 {
        return Ok(false);
    }
    let one = |place: usize| {
        let mut one = left_out(&left_out(&search.best, place + 1, count), 0, place);
        one.events[0].lasts = None;
        one
    };
    let candidates: Vec<Timeline> = (0..count).map(one).collect();
    Ok(search.take(&candidates, KEYS, told)?.is_some())
}

/// Tries every group of so many neighbours, the last ones first; whether one could be left out.
fn round(search: &mut Search<'_>, size: usize) -> Result<bool, Stopped> {
    let mut end = search.best.events.len();
    let mut any = false;
    while end > 0 {
        let groups: Vec<(usize, usize)> =
            (1..=end.div_ceil(size)).map(|n| (end.saturating_sub(n * size), end - (n - 1) * size)).collect();
        let candidates: Vec<Timeline> =
            groups.iter().map(|(from, to)| left_out(&search.best, *from, *to)).collect();
        match search.take(&candidates, KEYS, told)? {
            Some(place) => {
                any = true;
                end = groups[place].0;
            }
            None => end = 0,
        }
    }
    Ok(any)
}

/// Tries only what begins before a moment: a failure that was there early needs nothing later, not even the time.
fn early(search: &mut Search<'_>) -> Result<(), Stopped> {
    let count = search.best.events.len();
    let candidates: Vec<Timeline> = (1..8)
        .map(|eighth| count * eighth / 8)
        .map(|keep| {
            let mut less = left_out(&search.best, keep, count);
            let ends = less.events.iter().map(|event| match event.start {
                Start::At(at) => {
                    at.saturating_add(event.delay).saturating_add(event.lasts.unwrap_or_default())
                }
                _ => search.best.length,
            });
            let ends = ends.max().unwrap_or_default();
            less.length = less.length.min(crate::time::Millis(ends.0.next_multiple_of(1000) + 1000));
            less
        })
        .collect();
    search.take(&candidates, 1, told).map(drop)
}

fn left_out(timeline: &Timeline, from: usize, to: usize) -> Timeline {
    let ids: Vec<_> = timeline.events[from..to].iter().map(|event| event.id.clone()).collect();
    ids.iter().fold(timeline.clone(), |less, id| less.without(id))
}

fn told(before: &Timeline, after: &Timeline) -> String {
    let (was, is) = (before.events.len(), after.events.len());
    format!("{} of {was} events left out", was - is)
}
