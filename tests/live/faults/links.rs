//! Faults of links and connections, as the clients of a program notice them.

use super::lab::{COMES, Lab, No, SILENT, told};
use super::program::Ask;
use super::rows::{Measured, Row, expect, seen};
use seedfault::env::{ConnId, Env as _};

/// That nothing comes back, from what is open and from what is to be.
fn silence(lab: &mut Lab, client: ConnId) -> Result<(), String> {
    lab.say(client, Ask::Ping);
    let came = lab.hear(client, SILENT);
    expect(came == Err(No::Silent), || format!("an answer crossed: {came:?}"))?;
    let connected = lab.open(true, SILENT);
    expect(connected == Err(No::Silent), || format!("a connect crossed: {connected:?}"))
}

/// From the heal to the answer to a request that was made before it.
fn late(lab: &mut Lab, client: ConnId) -> Result<u64, String> {
    lab.bench.begin_heal();
    let answer = lab.hear(client, COMES);
    let heard = lab.bench.env.wall();
    let healed = lab.bench.end_heal();
    answer.map_err(|why| format!("no answer after the heal: {why:?}"))?;
    let crosses = healed.steps.iter().any(|step| step.contains("packets") && step.contains("cross"));
    expect(crosses, || format!("the heal was not verified: {:?}", healed.steps))?;
    Ok(heard.since(healed.at).0)
}

pub fn cut(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    silence(lab, client)?;
    // TCP has tried again by now, and would say nothing for as long as that has taken.
    lab.wait(500);
    let took = late(lab, client)?;
    lab.close(client);
    expect(took < 5_000_000, || format!("the first answer came {took} us after the heal"))?;
    let heal =
        format!("the request of before is answered {} after it; packets cross, as the nodes say", told(took));
    seen(format!("no answer and no connect within {SILENT} ms each"), heal)
}

pub fn natural(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    silence(lab, client)?;
    lab.wait(500);
    let took = late(lab, client)?;
    lab.close(client);
    let heal = format!("the request of before is answered {} after it, when TCP tries again", told(took));
    seen(format!("no answer and no connect within {SILENT} ms each"), heal)
}

pub fn one_way(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.put(b"before")?;
    lab.trips(client, 1)?;
    row.strike(lab);
    lab.say(client, Ask::Put(b"during"));
    // By a connection that the cut is not about; a busy machine is given time.
    let arrived = lab.until(COMES, |lab| lab.get().is_ok_and(|value| value == b"during"));
    let came = lab.hear(client, SILENT);
    expect(came == Err(No::Silent), || format!("an answer crossed: {came:?}"))?;
    let took = late(lab, client)?;
    lab.close(client);
    expect(arrived, || "the request did not arrive".into())?;
    seen(
        format!("a write is in force at the node, and its writer has no answer within {SILENT} ms"),
        format!("the answer comes {} after it; packets cross, as the nodes say", told(took)),
    )
}

pub fn flap(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let began = lab.now();
    let mut gaps = Vec::new();
    while lab.now() < began + 2_500_000 {
        let (_, took) = lab.ask(client, Ask::Ping, COMES).map_err(|why| format!("{why:?}"))?;
        gaps.extend((took > 100_000).then_some(took));
        lab.wait(5);
    }
    let span = lab.now() - began;
    let healed = lab.heal();
    let trip = lab.trips(client, 10)?[0];
    lab.close(client);
    let last = healed.steps.last().cloned().unwrap_or_default();
    expect(last.contains("cross"), || format!("the heal was not verified: {last}"))?;
    let silent: u64 = gaps.iter().sum();
    let part = super::lab::share(silent, span);
    expect(gaps.len() >= 2 && part < 80.0, || format!("silences of {gaps:?} us in {span} us"))?;
    seen(
        format!("{} silences in {}, {part:.0} % of the time", gaps.len(), told(span)),
        format!("a round trip takes {} again; packets cross, as the nodes say", told(trip)),
    )
}

pub fn reset(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    let before = lab.counter("EstabResets");
    row.strike(lab);
    let came = lab.hear(client, COMES);
    let resets = lab.counter("EstabResets") - before;
    let Err(No::Closed(why)) = came else { return Err(format!("the client has {came:?}")) };
    lab.heal();
    let other = lab.client();
    let trip = lab.trips(other, 3)?[0];
    lab.close(other);
    expect(resets >= 1, || format!("the kernel of the node counts {resets} resets"))?;
    seen(
        format!("the client has «{why}», the node's kernel counts {resets} reset"),
        format!("it is over at once: a new connection answers in {}", told(trip)),
    )
}

pub fn refuse(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let connected = lab.open(true, COMES);
    let lives = lab.trips(client, 3)?[0];
    lab.heal();
    let began = lab.now();
    let other = lab.open(true, COMES).map_err(|why| format!("after the heal: {why:?}"))?;
    let took = lab.now() - began;
    lab.close(other);
    lab.close(client);
    expect(connected == Err(No::Refused), || format!("a connect came to {connected:?}"))?;
    seen(
        format!("«connection refused»; an older connection answers in {}", told(lives)),
        format!("a connect takes {}", told(took)),
    )
}

pub fn half_open(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    // Its kernel may still owe an acknowledgement, and that would be something that it sends.
    lab.wait(200);
    let before = lab.counter("EstabResets");
    row.strike(lab);
    let quiet = lab.hear(client, 100);
    let lost = lab.counter("EstabResets") - before;
    let came = lab.ask(client, Ask::Ping, COMES);
    let Err(No::Closed(why)) = came else { return Err(format!("the client has {came:?}")) };
    lab.heal();
    let other = lab.client();
    let trip = lab.trips(other, 3)?[0];
    lab.close(other);
    expect(quiet == Err(No::Silent), || format!("the client heard {quiet:?} before it sent anything"))?;
    expect(lost >= 1, || format!("the kernel of the node counts {lost} connections lost"))?;
    seen(
        format!("the node has lost {lost}; the client has «{why}» when it next sends"),
        format!("a new connection answers in {}", told(trip)),
    )
}

pub fn half_open_silent(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let came = lab.ask(client, Ask::Ping, SILENT);
    expect(came == Err(No::Silent), || format!("the client has {came:?}"))?;
    let other = lab.client();
    let trip = lab.trips(other, 3)?[0];
    lab.close(other);
    lab.bench.begin_heal();
    let came = lab.hear(client, COMES);
    let heard = lab.now();
    let took = heard.saturating_sub(lab.bench.end_heal().at.0);
    let Err(No::Closed(why)) = came else { return Err(format!("the client has {came:?} after it")) };
    seen(
        format!("no answer and no word within {SILENT} ms; a new connection answers in {}", told(trip)),
        format!("the client has «{why}» {} after it, when TCP tries again", told(took)),
    )
}

/// How long after its answer the program's end of the connection comes.
fn leave(lab: &mut Lab) -> Result<u64, String> {
    let client = lab.client();
    lab.ask(client, Ask::Leave, COMES).map_err(|why| format!("no answer: {why:?}"))?;
    let began = lab.now();
    let end = lab.hear(client, COMES);
    let took = lab.now() - began;
    lab.close(client);
    expect(matches!(end, Err(No::Closed(_))), || format!("the connection does not end: {end:?}"))?;
    Ok(took)
}

pub fn slow_close(lab: &mut Lab, row: &Row) -> Measured {
    let before = leave(lab)?;
    row.strike(lab);
    let during = leave(lab)?;
    lab.heal();
    let after = leave(lab)?;
    // The answer itself took a part of it.
    expect(during >= 600_000, || format!("the end came {during} us after the answer"))?;
    expect(after < 600_000, || format!("the end comes {after} us after the answer when it is healed"))?;
    seen(
        format!("the end comes {} after the answer; {} before", told(during), told(before)),
        format!("it comes {} after the answer", told(after)),
    )
}
