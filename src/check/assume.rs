//! What every check takes for granted about a record, checked before any of them speaks.
//!
//! A checker that is fed a contradiction gives a wrong verdict with confidence; so a record that breaks one of
//! these is `unknown` for every check, with the contradiction named.

use crate::history::{KeyKind, OpKind};
use crate::run::record::Record;
use std::collections::BTreeMap;

/// The contradictions in a record; empty when it is sound.
pub fn broken(record: &Record) -> Vec<String> {
    let mut broken = Vec::new();
    history(record, &mut broken);
    views(record, &mut broken);
    lives(record, &mut broken);
    for applied in &record.applied {
        if applied.ended.is_some_and(|ended| ended < applied.started) {
            broken.push(format!("{} ended before it began", applied.event));
        }
    }
    if let Some(last) = &record.last {
        let mut next = 0u32;
        for answer in &last.slots {
            if u32::from(answer.first) < next || answer.last < answer.first {
                broken.push(format!("slot answers out of order at {}", answer.first));
            }
            next = u32::from(answer.last) + 1;
        }
    }
    broken
}

fn history(record: &Record, broken: &mut Vec<String>) {
    let mut arguments: BTreeMap<(crate::history::Key, &str), (u32, u64)> = BTreeMap::new();
    let mut last = 0;
    for operation in &record.history {
        let name = format!("operation {} of client {}", operation.index, operation.client);
        if operation.invoke.order >= operation.complete.order {
            broken.push(format!("{name} returned before it was invoked"));
        }
        if operation.complete.order < last {
            broken.push(format!("{name} is out of the order of returns"));
        }
        last = operation.complete.order;
        let writes_text = matches!(operation.kind, OpKind::Set | OpKind::Append | OpKind::Add);
        if !writes_text {
            continue;
        }
        let Some(argument) = &operation.argument else {
            broken.push(format!("{name} wrote nothing"));
            continue;
        };
        let fits = matches!(
            (operation.kind, operation.key.kind),
            (OpKind::Set, KeyKind::Register) | (OpKind::Append, KeyKind::List) | (OpKind::Add, KeyKind::Set)
        );
        if !fits {
            broken.push(format!("{name}: {} of {}", operation.kind, operation.key));
        }
        let place = (operation.client, operation.index);
        if let Some(other) = arguments.insert((operation.key, argument), place) {
            broken
                .push(format!("{name} wrote the same value as operation {} of client {}", other.1, other.0));
        }
    }
}

fn views(record: &Record, broken: &mut Vec<String>) {
    for pair in record.views.windows(2) {
        if pair[1].at < pair[0].at {
            broken.push(format!("the view of {} follows that of {}", pair[1].at, pair[0].at));
        }
    }
    for view in record.views.iter().chain(record.last.iter().map(|last| &last.view)) {
        if view.nodes.windows(2).any(|pair| pair[1].node <= pair[0].node) {
            broken.push(format!("the nodes of the view of {} are out of order", view.at));
        }
    }
}

fn lives(record: &Record, broken: &mut Vec<String>) {
    let mut latest = BTreeMap::new();
    for life in &record.lives {
        let name = format!("process {} of {}", life.incarnation, life.node);
        if life.ended.is_some_and(|(ended, _)| ended < life.started) {
            broken.push(format!("{name} ended before it began"));
        }
        let paused = life.paused.iter();
        if paused.clone().any(|(from, until)| until.is_some_and(|until| until < *from)) {
            broken.push(format!("{name} went on before it was stopped"));
        }
        if let Some((incarnation, ended)) = latest.insert(life.node, (life.incarnation, life.ended)) {
            if life.incarnation <= incarnation {
                broken.push(format!("{name} follows process {incarnation}"));
            }
            if ended.is_none_or(|(ended, _)| ended > life.started) {
                broken.push(format!("{name} began while process {incarnation} ran"));
            }
        }
    }
}
