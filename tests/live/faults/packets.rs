//! Faults of packets: what clients notice of them, and what the kernel of the node counts.

use super::lab::{COMES, Lab, SILENT, share, told};
use super::program::Ask;
use super::rows::{Measured, Row, expect, seen};
use seedfault::env::ConnId;

/// A value that takes many segments, and that etcd still takes.
fn large(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| b'a' + (place / 7 % 26) as u8).collect()
}

/// What clients notice once it is over: the least of a few round trips.
fn well(lab: &mut Lab, client: ConnId, least: u64) -> Result<String, String> {
    let healed = lab.heal();
    let trips = lab.trips(client, 10)?;
    let trip = trips[0];
    expect(trip < least, || format!("a round trip takes {trip} us after the heal"))?;
    let crosses = healed.steps.iter().any(|step| step.contains("packets") && step.contains("cross"));
    expect(crosses, || format!("the heal was not verified: {:?}", healed.steps))?;
    Ok(format!("a round trip takes {} again; packets cross, as the nodes say", told(trip)))
}

fn trips(lab: &mut Lab, row: &Row, check: impl Fn(&[u64]) -> Result<(), String>) -> Measured {
    let client = lab.client();
    let before = lab.trips(client, 10)?[0];
    row.strike(lab);
    let trips = lab.trips(client, 15)?;
    let heal = well(lab, client, 40_000)?;
    lab.close(client);
    check(&trips)?;
    let (least, middle, most) = (trips[0], trips[trips.len() / 2], trips[trips.len() - 1]);
    let effect = format!("{} ({} to {}); {} before", told(middle), told(least), told(most), told(before));
    seen(effect, heal)
}

pub fn slow(lab: &mut Lab, row: &Row) -> Measured {
    trips(lab, row, |trips| {
        expect(trips[0] >= 40_000, || format!("too quick: {trips:?} us"))?;
        // The quickest is not disturbed by other work of the machine.
        expect(trips[0] < 80_000, || format!("none comes soon after: {trips:?} us"))
    })
}

pub fn jitter(lab: &mut Lab, row: &Row) -> Measured {
    trips(lab, row, |trips| {
        expect(trips[0] >= 40_000, || format!("too quick: {trips:?} us"))?;
        expect(trips[14] >= trips[0] + 5_000, || format!("hardly spread: {trips:?} us"))
    })
}

/// Many clients at once: a loss on one does not hold up the others.
fn crowd(lab: &mut Lab, clients: &[ConnId], rounds: usize) -> Result<(), String> {
    for _ in 0..rounds {
        clients.iter().for_each(|client| lab.say(*client, Ask::Ping));
        for client in clients {
            lab.hear(*client, COMES).map_err(|why| format!("no answer: {why:?}"))?;
        }
    }
    Ok(())
}

pub fn lose(lab: &mut Lab, row: &Row) -> Measured {
    let clients: Vec<ConnId> = (0..40).map(|_| lab.client()).collect();
    crowd(lab, &clients, 1)?;
    let counted = |lab: &Lab| (lab.counter("RetransSegs"), lab.counter("OutSegs"));
    row.strike(lab);
    let (again, sent) = counted(lab);
    crowd(lab, &clients, 4)?;
    let (again, sent) = (counted(lab).0 - again, counted(lab).1 - sent);
    let part = share(again, again + sent);
    let heal = well(lab, clients[0], COMES)?;
    let (again, sent) = (again, again + sent);
    expect((2.0..=40.0).contains(&part), || format!("{again} of {sent} segments were sent again"))?;
    clients.into_iter().for_each(|client| lab.close(client));
    seen(
        format!("the node sent {again} of {sent} segments again ({part:.0} %); every request was answered"),
        heal,
    )
}

pub fn duplicate(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    // The kernel of the node tells the sender of data that it had already.
    let (before, got) = (lab.counter("TCPDSACKOldSent"), lab.counter("InSegs"));
    lab.trips(client, 200)?;
    let (twice, got) = (lab.counter("TCPDSACKOldSent") - before, lab.counter("InSegs") - got);
    let heal = well(lab, client, COMES)?;
    let part = share(twice, 200);
    expect((10.0..=60.0).contains(&part), || {
        format!("{twice} of 200 requests came twice, of {got} segments")
    })?;
    lab.close(client);
    seen(
        format!("{twice} of 200 requests came to the node twice ({part:.0} %); each was answered once"),
        heal,
    )
}

pub fn reorder(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    let value = large(200_000);
    row.strike(lab);
    let before = lab.counter("TCPOFOQueue");
    for _ in 0..5 {
        lab.ask(client, Ask::Put(&value), COMES).map_err(|why| format!("{why:?}"))?;
    }
    let early = lab.counter("TCPOFOQueue") - before;
    let heal = well(lab, client, COMES)?;
    expect(early > 0, || "no segment came before an earlier one".into())?;
    expect(lab.get()? == value, || "the value is another".into())?;
    lab.close(client);
    seen(
        format!("of 1 MB, {early} segments came to the node before an earlier one; the value is whole"),
        heal,
    )
}

pub fn throttle(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    let value = large(300_000);
    let (_, before) = lab.ask(client, Ask::Put(&value), COMES).map_err(|why| format!("{why:?}"))?;
    row.strike(lab);
    let (_, took) = lab.ask(client, Ask::Put(&value), COMES).map_err(|why| format!("{why:?}"))?;
    let heal = well(lab, client, COMES)?;
    let bytes = lab.program.request(Ask::Put(&value)).len() as u64;
    let rate = |took: u64| bytes * 1000 / took.max(1);
    // The first burst may fill a queue.
    expect(rate(took) <= 600, || format!("{} kB/s", rate(took)))?;
    expect(rate(took) >= 50, || format!("{} kB/s", rate(took)))?;
    lab.close(client);
    seen(
        format!("{} kB/s for a request of {} kB; {} kB/s before", rate(took), bytes / 1000, rate(before)),
        heal,
    )
}

pub fn corrupt(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    let value = large(200_000);
    row.strike(lab);
    let (bad, again) = (lab.counter("InCsumErrors"), lab.counter("RetransSegs"));
    for _ in 0..3 {
        lab.ask(client, Ask::Put(&value), COMES).map_err(|why| format!("{why:?}"))?;
    }
    lab.trips(client, 20)?;
    let (bad, again) = (lab.counter("InCsumErrors") - bad, lab.counter("RetransSegs") - again);
    let heal = well(lab, client, COMES)?;
    expect(bad > 0, || "no checksum was wrong".into())?;
    expect(lab.get()? == value, || "the value is another".into())?;
    lab.close(client);
    seen(
        format!(
            "of 600 kB, {bad} segments with a wrong checksum at the node, which sent {again} again; the value is whole"
        ),
        heal,
    )
}

pub fn garble(lab: &mut Lab, row: &Row) -> Measured {
    const TRIES: u64 = 8;
    let value = large(20_000);
    row.strike(lab);
    let bad = lab.counter("InCsumErrors");
    let (mut other, mut lost) = (0, 0);
    for _ in 0..TRIES {
        // One that cannot be understood any more is given up.
        let Ok(client) = lab.open(true, COMES) else { continue };
        let put = lab.ask(client, Ask::Put(&value), SILENT);
        match put.and_then(|_| lab.ask(client, Ask::Get, SILENT)) {
            Ok((answer, _)) if answer.error.is_none() => other += u64::from(answer.body != value),
            _ => lost += 1,
        }
        lab.close(client);
    }
    let bad = lab.counter("InCsumErrors") - bad;
    let client = lab.client();
    let heal = well(lab, client, COMES)?;
    expect(other + lost > 0, || "all values came back as they were".into())?;
    expect(bad == 0, || format!("{bad} checksums were wrong"))?;
    lab.put(&value)?;
    expect(lab.get()? == value, || "a value is another after the heal".into())?;
    lab.close(client);
    seen(
        format!(
            "of {TRIES} values of 20 kB that were written and read, {other} came back as others, {lost} not at all; no checksum was wrong"
        ),
        heal,
    )
}
