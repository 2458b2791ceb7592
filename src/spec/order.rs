//! When events start, seen beside one another: circles of anchors, starts behind the end, one fault inside another.

use super::events::Events;
use super::{EventSpec, Spec, StartSpec};
use crate::catalogue::{Action, EventId, NodeSelector};
use crate::fault::traffic::Traffic;
use crate::time::Millis;
use crate::yaml::document::Problems;
use std::collections::BTreeMap;

/// The events that one event waits for.
fn anchors(event: &EventSpec) -> &[EventId] {
    match &event.start {
        StartSpec::After(anchors) => anchors,
        StartSpec::With(anchor) => std::slice::from_ref(anchor),
        _ => &[],
    }
}

/// How many events of a circle a message names.
const CIRCLE_SHOWN: usize = 8;

/// No event may wait for itself, by whatever way round. Each circle is reported once, at its first event.
pub(super) fn circles(events: &Events<'_>, problems: &mut Problems) {
    let positions: BTreeMap<&str, usize> =
        events.events.iter().enumerate().map(|(position, event)| (&*event.id, position)).collect();
    let next: Vec<Vec<usize>> = events
        .events
        .iter()
        .map(|event| anchors(event).iter().filter_map(|id| positions.get(&**id).copied()).collect())
        .collect();
    let (mut done, mut on_path) = (vec![false; next.len()], vec![false; next.len()]);
    for start in 0..next.len() {
        // Depth first with a path of its own, so that no file can exhaust the stack.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((at, branch)) = path.last_mut() {
            let at = *at;
            on_path[at] = true;
            match next[at].get(*branch).filter(|_| !done[at]) {
                Some(&to) if on_path[to] => {
                    let circle: Vec<usize> =
                        path.iter().map(|(on, _)| *on).skip_while(|on| *on != to).collect();
                    report_circle(&circle, events, problems);
                    for on in circle {
                        done[on] = true;
                    }
                }
                Some(&to) => {
                    *branch += 1;
                    path.push((to, 0));
                }
                None => {
                    (done[at], on_path[at]) = (true, false);
                    path.pop();
                }
            }
        }
    }
}

fn report_circle(circle: &[usize], events: &Events<'_>, problems: &mut Problems) {
    let Some(&first) = circle.iter().min() else { return };
    let turn = circle.iter().position(|on| *on == first).unwrap_or(0);
    let mut names: Vec<&str> =
        circle[turn..].iter().chain(&circle[..turn]).map(|on| &*events.events[*on].id).collect();
    if names.len() > CIRCLE_SHOWN {
        names.truncate(CIRCLE_SHOWN);
        names.push("...");
    }
    names.push(&events.events[first].id);
    let place = &events.places[first];
    let (span, offending) = place.begins.map_or((place.span, ""), |(_, value)| (value.span, value.text()));
    let message = format!("{}: events wait for one another in a circle: {}", place.path, names.join(" -> "));
    problems
        .error(Some(span), &place.path, offending, message)
        .hint("let one of them start by `at:` or `when:`");
}

/// `within` bounds a wait, and by the clock nothing is waited for.
pub(super) fn anchored_only(events: &Events<'_>, problems: &mut Problems) {
    for (event, place) in events.events.iter().zip(&events.places) {
        let clock = matches!(event.start, StartSpec::At(_) | StartSpec::Forming(_));
        if let Some((key, _)) = place.begins.filter(|_| clock && event.within.is_some()) {
            let message = format!("{}: `within` has no meaning beside `{}`", place.path, key.text);
            problems
                .warning(Some(place.span), &place.path, "within", message)
                .hint("it bounds the wait for `after`, `with` and `when`");
        }
    }
}

/// A written event must fall into a written length.
pub(super) fn after_the_end(spec: &Spec, events: &Events<'_>, problems: &mut Problems) {
    let Some(length) = spec.length else { return };
    for (event, place) in events.events.iter().zip(&events.places) {
        let StartSpec::At(at) = &event.start else { continue };
        let begins = at.high.saturating_add(event.delay.high);
        if let Some((_, value)) = place.begins.filter(|_| begins > length) {
            let path = format!("{}.at", place.path);
            let message = format!("{path}: starts at {begins}, after the safety phase has ended ({length})");
            problems
                .error(Some(value.span), &path, &value.as_written(), message)
                .hint("make `length` longer, or let the event start earlier");
        }
    }
}

/// When an event that the clock starts begins and at the earliest ends, where neither is drawn.
pub(super) fn span_of(event: &EventSpec) -> Option<(Millis, Option<Millis>)> {
    let StartSpec::At(at) = &event.start else { return None };
    let exact = at.low == at.high && event.delay.low == event.delay.high;
    let begins = at.low.saturating_add(event.delay.low);
    let ends = event.lasts.map(|lasts| begins.saturating_add(lasts.low));
    exact.then_some((begins, ends))
}

/// What a fault of links does to every link of one node, and to which of its packets.
fn on_all_links(action: &Action) -> Option<(&NodeSelector, Traffic)> {
    match action {
        Action::Cut(a) if a.from.is_none() && !a.one_way => Some((&a.node, a.traffic)),
        Action::Lossy(a) => Some((&a.node, a.traffic)),
        Action::Slow(a) => Some((&a.node, a.traffic)),
        Action::Corrupt(a) => Some((&a.node, a.traffic)),
        Action::Garble(a) => Some((&a.node, a.traffic)),
        Action::SlowClose(a) => Some((&a.node, a.traffic)),
        Action::Throttle(a) => Some((&a.node, a.traffic)),
        _ => None,
    }
}

/// Where nothing crosses, nothing can be slow or lost: a fault of links that lies wholly within a cut of the same links
/// would strike nothing.
pub(super) fn within_cuts(events: &Events<'_>, problems: &mut Problems) {
    for (event, place) in events.events.iter().zip(&events.places) {
        let (Some((begins, ends)), Some((node, traffic))) = (span_of(event), on_all_links(&event.action))
        else {
            continue;
        };
        if matches!(event.action, Action::Cut(_)) || !is_one(node) {
            continue;
        }
        let around = events.events.iter().find(|cut| {
            matches!(cut.action, Action::Cut(_))
                && on_all_links(&cut.action).is_some_and(|(same, what)| {
                    same == node && (what == traffic || what == Traffic::All && traffic == Traffic::Bus)
                })
                && span_of(cut).is_some_and(|(began, over)| {
                    began <= begins && over.is_none_or(|over| ends.is_some_and(|ends| ends <= over))
                })
        });
        if let Some(cut) = around {
            let name = event.action.name();
            let message = format!(
                "{}: `{name}` lies wholly within the `cut` of `{}` (line {}), across which nothing passes",
                place.path, cut.id, cut.line
            );
            problems
                .error(Some(place.span), &place.path, name, message)
                .hint("let one of them end before the other begins, or let it last longer than the cut");
        }
    }
}

/// A selector that means the same nodes throughout: a primary that is cut off may be another node soon after.
pub(super) fn is_one(selector: &NodeSelector) -> bool {
    matches!(
        selector,
        NodeSelector::Node(_) | NodeSelector::Id(_) | NodeSelector::Port(_) | NodeSelector::All
    )
}

/// A selector that may mean another node each time.
fn is_drawn(selector: &NodeSelector) -> bool {
    matches!(
        selector,
        NodeSelector::Any | NodeSelector::AnyPrimary | NodeSelector::AnyReplica | NodeSelector::AnyOf(_)
    )
}

/// The same lasting fault on the same target may not begin while it is still in force.
pub(super) fn overlaps(events: &Events<'_>, problems: &mut Problems) {
    for (later, place) in events.events.iter().zip(&events.places) {
        let (Some((begins, _)), true) = (span_of(later), later.action.info().lasting) else { continue };
        let fixed = match &later.action {
            Action::Cut(a) => &a.node,
            Action::Pause(a) => &a.node,
            Action::ClockSkew(a) => &a.node,
            Action::DiskError(a) => &a.node,
            Action::FullDisk(a) => &a.node,
            Action::SlowDisk(a) => &a.node,
            Action::MemoryLimit(a) => &a.node,
            Action::CpuLimit(a) => &a.node,
            Action::CpuHog(a) => &a.node,
            Action::FdLimit(a) => &a.node,
            Action::UseUpConnections(a) => &a.node,
            Action::ClockStrobe(a) => &a.node,
            Action::Refuse(a) => &a.node,
            Action::Corrupt(a) => &a.node,
            Action::Garble(a) => &a.node,
            Action::SlowClose(a) => &a.node,
            Action::Throttle(a) => &a.node,
            Action::Flap(a) => &a.node,
            Action::Stutter(a) => &a.node,
            _ => continue,
        };
        if is_drawn(fixed) {
            continue;
        }
        for earlier in events.events.iter().filter(|earlier| earlier.id != later.id) {
            let Some((began, ends)) = span_of(earlier) else { continue };
            let inside = (began < begins || (began == begins && earlier.id < later.id))
                && ends.is_none_or(|ends| begins < ends);
            if inside && earlier.action == later.action {
                let message = format!(
                    "{}: `{}` begins while the same one of `{}` (line {}) is still in force",
                    place.path,
                    later.action.name(),
                    earlier.id,
                    earlier.line
                );
                problems
                    .error(Some(place.span), &place.path, later.action.name(), message)
                    .hint("let the first one end before, or strike another node");
                break;
            }
        }
    }
}
