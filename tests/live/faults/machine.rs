//! Faults of a node's clock and disk, as the program tells of them.

use super::lab::{COMES, Lab, SILENT, exited, told};
use super::program::{Answer, Ask};
use super::rows::{Measured, Row, expect, seen};

/// How far its clock has moved, in seconds, at the least and at the most.
fn moved((low, high): (i64, i64), from: (i64, i64)) -> (f64, f64) {
    ((low - from.1) as f64 / 1e6, (high - from.0) as f64 / 1e6)
}

fn bounds((low, high): (f64, f64)) -> String {
    if high - low < 0.1 {
        format!("{:.2} s", f64::midpoint(low, high))
    } else {
        format!("{low:.1} to {high:.1} s")
    }
}

fn jump(lab: &mut Lab, row: &Row, asked: f64) -> Measured {
    let before = lab.ahead()?;
    row.strike(lab);
    let during = lab.ahead()?;
    lab.heal();
    let after = lab.ahead()?;
    // It is set back for the rows to come, which is no heal.
    let back = if asked > 0.0 { "{node: node-0, behind: 1h}" } else { "{node: node-0, ahead: 1h}" };
    let (is, stays) = (moved(during, before), moved(after, during));
    lab.strike("clock_skew", back);
    lab.heal();
    expect(is.0 - 0.1 <= asked && asked <= is.1 + 0.1, || format!("it moved by {is:?} s"))?;
    expect(stays.0 - 0.1 <= 0.0 && stays.1 + 0.1 >= 0.0, || format!("it moved by {stays:?} s at the heal"))?;
    seen(
        format!("moved by {}", bounds(is)),
        format!("stays where it is, and moves by {} more", bounds(stays)),
    )
}

pub fn ahead(lab: &mut Lab, row: &Row) -> Measured {
    jump(lab, row, 3600.0)
}

pub fn behind(lab: &mut Lab, row: &Row) -> Measured {
    jump(lab, row, -3600.0)
}

pub fn rate(lab: &mut Lab, row: &Row) -> Measured {
    row.strike(lab);
    let (first, began) = (lab.ahead()?, lab.now());
    lab.wait(1000);
    let (second, ended) = (lab.ahead()?, lab.now());
    lab.heal();
    let (healed, at) = (lab.ahead()?, lab.now());
    lab.wait(500);
    let (later, end) = (lab.ahead()?, lab.now());
    let rates = |from, to, micros: u64| {
        let (low, high) = moved(to, from);
        let seconds = micros as f64 / 1e6;
        (1.0 + low / seconds, 1.0 + high / seconds)
    };
    let (fast, again) = (rates(first, second, ended - began), rates(healed, later, end - at));
    let spelled = |(low, high): (f64, f64)| format!("{:.2}", f64::midpoint(low, high));
    // On a busy machine it takes a while from looking at the clock to looking at the program.
    expect(fast.0 - 2.0 <= 10.0 && 10.0 <= fast.1 + 2.0, || format!("it ran at {fast:?}"))?;
    expect(again.0 - 0.2 <= 1.0 && 1.0 <= again.1 + 0.2, || format!("it runs at {again:?} after the heal"))?;
    seen(format!("{} times the rate", spelled(fast)), format!("{} times the rate", spelled(again)))
}

pub fn strobe(lab: &mut Lab, row: &Row) -> Measured {
    const HALF: i64 = 1_800_000_000;
    row.strike(lab);
    let (began, mut sides) = (lab.now(), Vec::new());
    let flips = |sides: &[bool]| sides.windows(2).filter(|two| two[0] != two[1]).count();
    // On a busy machine a look may take longer than a flip.
    while lab.now() < began + 2_400_000 || flips(&sides) < 4 && lab.now() < began + 15_000_000 {
        let (before, time, _) = lab.glance()?;
        sides.push(time - before > HALF);
        lab.wait(10);
    }
    let span = lab.now() - began;
    lab.heal();
    let (before, time, _) = lab.glance()?;
    let flips = flips(&sides);
    let part = super::lab::share(sides.iter().filter(|ahead| **ahead).count() as u64, sides.len() as u64);
    expect(flips >= 4, || format!("{flips} flips in {} looks, {part:.0} % ahead", sides.len()))?;
    expect((time - before).abs() < HALF, || "it is ahead after the heal".into())?;
    seen(
        format!("ahead in {part:.0} % of looks, {flips} jumps seen in {}", told(span)),
        "its time of day is right",
    )
}

/// What writing a value takes.
fn write(lab: &mut Lab) -> Result<u64, String> {
    let times: Result<Vec<u64>, String> = (0..5).map(|_| lab.put(b"value")).collect();
    times.map(|times| times.into_iter().min().unwrap_or(0))
}

pub fn slow_disk(lab: &mut Lab, row: &Row) -> Measured {
    let before = write(lab)?;
    row.strike(lab);
    let during = lab.put(b"slow")?;
    let healed = lab.heal();
    let after = write(lab)?;
    expect(during >= 200_000, || format!("a write and its sync took {during} us"))?;
    expect(after < 100_000, || format!("a write takes {after} us after the heal"))?;
    let well = healed.steps.iter().any(|step| step.contains("is well"));
    expect(well, || format!("{:?}", healed.steps))?;
    seen(
        format!("a write that is synced takes {}; {} before", told(during), told(before)),
        format!("it takes {}; a write to the disk was tried", told(after)),
    )
}

pub fn narrow_disk(lab: &mut Lab, row: &Row) -> Measured {
    const BYTES: usize = 200_000;
    const RATE: u64 = 500;
    let value = vec![b'v'; BYTES];
    lab.put(&value)?;
    let before = lab.put(&value)?;
    row.strike(lab);
    let during = lab.put(&value)?;
    let healed = lab.heal();
    let after = lab.put(&value)?;
    let asked = BYTES as u64 * 1000 / RATE;
    expect(during >= asked, || format!("{BYTES} bytes took {during} us and not {asked}"))?;
    expect(before < asked && after < asked, || format!("before {before} us, after it {after} us"))?;
    let well = healed.steps.iter().any(|step| step.contains("is well"));
    expect(well, || format!("{:?}", healed.steps))?;
    seen(
        format!("a value of {} kB takes {}; {} before", BYTES / 1000, told(during), told(before)),
        format!("it takes {}; a write to the disk was tried", told(after)),
    )
}

/// What a client that writes has of it, and the program.
pub fn try_write(lab: &mut Lab, value: &[u8]) -> Result<(Option<String>, bool), String> {
    let client = lab.open(true, COMES).map_err(|why| format!("{why:?}"))?;
    let came = lab.ask(client, Ask::Put(value), 1500);
    lab.close(client);
    // It may end a moment after it has answered.
    let ended = lab.until(SILENT, |lab| lab.ended().is_some());
    Ok(match came {
        Ok((Answer { error: None, .. }, _)) => (None, ended),
        Ok((Answer { error: Some(error), .. }, _)) => {
            (Some(format!("the writer has «{}»", short(&error))), ended)
        }
        Err(_) => (Some("the writer has no answer".into()), ended),
    })
}

/// The words of an error, without its wrapping in JSON.
fn short(error: &str) -> String {
    let words = error.split_once("\"error\":\"").and_then(|(_, rest)| rest.split_once('"'));
    words.map_or(error, |(words, _)| words).chars().take(80).collect()
}

/// After the heal: it runs, and takes a value. One that has ended may not start on what it has left on its disk, which
/// is its own affair, and told.
pub fn works(lab: &mut Lab, ended: bool) -> Result<String, String> {
    lab.bench.seen.clear();
    let healed = lab.heal();
    if let Err(words) = lab.comes_back() {
        expect(ended, || format!("it ends at the heal: {words}"))?;
        return Ok(format!("started again, it ends: «{words}»; with its data removed it runs"));
    }
    let back = lab.since(healed.at);
    let value = lab.get()?;
    // One that refused writes may look at its disk again only after a while.
    let mut came = Err(String::new());
    let well = lab.until(COMES, |lab| {
        came = lab.put(b"after");
        came.is_ok()
    });
    expect(well, || format!("no write is taken after the heal: {came:?}"))?;
    expect(lab.get()? == b"after", || "a value written after the heal is not there".into())?;
    let start =
        if ended { format!("started again, it answers {} after it,", told(back)) } else { "it".into() };
    Ok(format!("{start} reads {} and takes another", quoted(&value)))
}

/// A value for people.
pub fn quoted(value: &[u8]) -> String {
    if value.is_empty() { "nothing".into() } else { format!("«{}»", String::from_utf8_lossy(value)) }
}

pub fn disk_error(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"before")?;
    row.strike(lab);
    let (said, ended) = try_write(lab, b"during, and longer than the room")?;
    let exit = lab.ended();
    let heal = works(lab, ended)?;
    let said = said.ok_or("the write was acknowledged")?;
    let end = exit.map_or("goes on".to_string(), |exit| format!("ends by {}", exited(exit)));
    seen(format!("{said}, and it {end}"), heal)
}

pub fn strike_end(lab: &mut Lab, row: &Row) -> Measured {
    lab.put(b"before")?;
    row.strike(lab);
    let mut writes = 0;
    let ended = loop {
        let (said, ended) = try_write(lab, b"during")?;
        writes += u32::from(said.is_none());
        if ended || writes == 5 {
            break ended;
        }
    };
    expect(ended, || format!("it lives after {writes} more writes"))?;
    let exit = lab.exit();
    let heal = works(lab, true)?;
    seen(format!("it ends by {}; writes acknowledged after «before»: {writes}", exited(exit)), heal)
}

pub fn strike_stop(lab: &mut Lab, row: &Row) -> Measured {
    let client = lab.client();
    row.strike(lab);
    lab.say(client, Ask::Put(b"stopped"));
    let came = lab.hear(client, 500);
    let other = lab.open(true, COMES).map_err(|why| format!("{why:?}"))?;
    let ping = lab.ask(other, Ask::Ping, SILENT);
    lab.bench.begin_heal();
    let answer = lab.hear(client, COMES);
    let heard = lab.now();
    let healed = lab.bench.end_heal();
    lab.close(client);
    lab.close(other);
    expect(came.is_err() && ping.is_err(), || format!("it answers: {came:?}, {ping:?}"))?;
    answer.map_err(|why| format!("no answer after the heal: {why:?}"))?;
    expect(lab.get()? == b"stopped", || "the value is not there".into())?;
    seen(
        "neither the writer nor anybody else has an answer within 500 ms",
        format!("the write is answered {} after it, and is there", told(heard.saturating_sub(healed.at.0))),
    )
}
