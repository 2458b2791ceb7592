//! Faults of a process: when it answers, how it ends, and with what it comes back.

use super::super::{A, B, Bench};
use super::lab::{COMES, Lab, No, SILENT, exited, share, told};
use super::machine::quoted;
use super::program::Ask;
use super::rows::{Measured, Row, expect, seen};
use seedfault::env::{Effect, NodeAction, NodeSpec};
use seedfault::timeline::Role;

pub fn pause(lab: &mut Lab, row: &Row) -> Measured {
    const FOR: u64 = 700;
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let began = lab.now();
    lab.say(client, Ask::Ping);
    let came = lab.hear(client, FOR);
    expect(came == Err(No::Silent), || format!("it answered: {came:?}"))?;
    // Its kernel answers for it.
    let connected = lab.open(true, SILENT);
    lab.bench.begin_heal();
    let answer = lab.hear(client, COMES);
    let took = lab.now() - began;
    let healed = lab.bench.end_heal();
    let late = (began + took).saturating_sub(healed.at.0);
    answer.map_err(|why| format!("no answer after it: {why:?}"))?;
    expect(connected.is_ok(), || format!("a connect came to {connected:?}"))?;
    connected.into_iter().chain([client]).for_each(|client| lab.close(client));
    expect(took >= FOR * 1000, || format!("it answered after {took} us"))?;
    seen(
        format!("an answer takes {}; a connect is accepted meanwhile", told(took)),
        format!("the request of before is answered {} after it", told(late)),
    )
}

pub fn stutter(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let began = lab.now();
    let mut waits = Vec::new();
    while lab.now() < began + 2_400_000 {
        let (_, took) = lab.ask(client, Ask::Ping, COMES).map_err(|why| format!("{why:?}"))?;
        waits.extend((took > 100_000).then_some(took));
    }
    let span = lab.now() - began;
    lab.heal();
    let trip = lab.trips(client, 10)?[0];
    lab.close(client);
    let part = share(waits.iter().sum(), span);
    expect(waits.len() >= 3 && (40.0..95.0).contains(&part), || {
        format!("waits of {waits:?} us in {span} us")
    })?;
    seen(
        format!("no answer for {part:.0} % of {}, in {} pieces", told(span), waits.len()),
        format!("a round trip takes {} again", told(trip)),
    )
}

pub fn kill(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"kept")?;
    let began = lab.now();
    row.strike(lab);
    let exit = lab.exit();
    let took = lab.now() - began;
    let connected = lab.open(true, COMES);
    expect(connected == Err(No::Refused), || format!("a connect came to {connected:?}"))?;
    let healed = lab.heal();
    lab.answers();
    let back = lab.since(healed.at);
    expect(lab.get()? == b"kept", || "its data is gone".into())?;
    seen(
        format!("it ends within {} by {}; connects are refused", told(took), exited(exit)),
        format!("it answers {} after it, with its data", told(back)),
    )
}

impl Bench {
    /// Keeps a copy of the node's folder, as the executor does early in a run.
    fn keep_copy(&mut self) {
        self.apply(Effect::Node(A, NodeAction::KeepCopy)).expect("there is room");
        self.world.borrow_mut().copied.insert(A);
    }
}

fn restart(lab: &mut Lab, row: &Row, expected: &[u8]) -> Measured {
    lab.put(b"older")?;
    lab.bench.keep_copy();
    lab.put(b"last")?;
    let began = lab.now();
    row.strike(lab);
    // It begins and ends without a heal.
    lab.exit();
    lab.heal();
    lab.answers();
    let took = lab.now() - began;
    let value = lab.get()?;
    expect(value == expected, || format!("it reads {:?}", String::from_utf8_lossy(&value)))?;
    seen(format!("reads {}", quoted(&value)), format!("it answers {} after the signal", told(took)))
}

pub fn restart_kept(lab: &mut Lab, row: &Row) -> Measured {
    restart(lab, row, b"last")
}

pub fn restart_empty(lab: &mut Lab, row: &Row) -> Measured {
    restart(lab, row, b"")
}

pub fn restart_older(lab: &mut Lab, row: &Row) -> Measured {
    restart(lab, row, b"older")
}

/// The other node never runs: its folder is a copy of this one's as it was before.
pub fn restart_foreign(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"other")?;
    let program = lab.program;
    let create = NodeAction::Create(program.node(program.binary().expect("it runs")));
    for action in [create, NodeAction::Adopt(A)] {
        lab.bench.apply(Effect::Node(B, action)).expect("there is room");
    }
    lab.bench.world.borrow_mut().add_node(NodeSpec::default(), 0, Role::Replica);
    lab.put(b"last")?;
    let began = lab.now();
    row.strike(lab);
    lab.exit();
    let healed = lab.heal();
    lab.bench.world.borrow_mut().nodes.remove(&B);
    lab.answers();
    let took = lab.now() - began;
    let value = lab.get()?;
    expect(value == b"other", || format!("it reads {:?}", String::from_utf8_lossy(&value)))?;
    let whose = healed.steps.iter().any(|step| step.starts_with("node-0 finds what node-1 had"));
    expect(whose, || format!("{:?}", healed.steps))?;
    seen(format!("reads {}", quoted(&value)), format!("it answers {} after the signal", told(took)))
}
