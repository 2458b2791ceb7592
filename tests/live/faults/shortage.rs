//! Faults that take something away from a process: what it still gets, by its own kernel's numbers, and what its clients
//! notice.

use super::lab::{COMES, Lab, No, SILENT, exited, share, told};
use super::program::Ask;
use super::rows::{Measured, Row, expect, seen};
use seedfault::env::ConnId;
use std::fs;

/// The microseconds of processor time that the node has had.
fn used(lab: &Lab) -> u64 {
    const TICK_US: u64 = 10_000;
    let text = fs::read_to_string(format!("/proc/{}/stat", lab.bench.pid)).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    // `utime` and `stime`, the twelfth and thirteenth behind the name.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * TICK_US
}

/// Keeps the program as busy as its clients can, and answers what share of a core it has had, in per cent, and how many
/// requests a second were answered.
fn busy(lab: &mut Lab, clients: &[ConnId], millis: u64) -> Result<(f64, u64), String> {
    let (began, before, mut count) = (lab.now(), used(lab), 0);
    clients.iter().for_each(|client| lab.say(*client, Ask::Ping));
    let mut wrong = None;
    lab.until(millis, |lab| {
        for client in clients {
            match lab.take(*client) {
                Some(Ok(_)) => {
                    count += 1;
                    lab.say(*client, Ask::Ping);
                }
                Some(Err(why)) => wrong = Some(format!("{why:?}")),
                None => {}
            }
        }
        wrong.is_some()
    });
    let (span, used) = (lab.now() - began, used(lab) - before);
    for client in clients {
        lab.hear(*client, COMES).map_err(|why| format!("{why:?}"))?;
    }
    wrong.map_or(Ok((share(used, span), count * 1_000_000 / span.max(1))), Err)
}

/// No more than so much of a core, in per cent.
fn starved(lab: &mut Lab, row: &Row, most: f64) -> Measured {
    let clients: Vec<ConnId> = (0..8).map(|_| lab.client()).collect();
    let (before, quick) = busy(lab, &clients, 500)?;
    row.strike(lab);
    let (during, slow) = busy(lab, &clients, 1500)?;
    let healed = lab.heal();
    let (after, again) = busy(lab, &clients, 500)?;
    clients.into_iter().for_each(|client| lab.close(client));
    let last = healed.steps.last().cloned().unwrap_or_default();
    expect(during <= most, || format!("it had {during:.0} % of a core"))?;
    expect(last.contains("again"), || format!("the heal was not verified: {last}"))?;
    seen(
        format!(
            "it has {during:.0} % of a core and answers {slow} requests a second; {before:.0} % and {quick} before"
        ),
        format!("{after:.0} % and {again} again"),
    )
}

pub fn cpu_limit(lab: &mut Lab, row: &Row) -> Measured {
    starved(lab, row, 15.0)
}

pub fn cpu_hog(lab: &mut Lab, row: &Row) -> Measured {
    starved(lab, row, 60.0)
}

pub fn fd_limit(lab: &mut Lab, row: &Row) -> Measured {
    const NEW: usize = 4;
    let client = lab.client();
    lab.trips(client, 1)?;
    row.strike(lab);
    let mut open = Vec::new();
    let mut answered = 0;
    for _ in 0..NEW {
        // Its kernel takes the connection, whoever accepts it.
        let Ok(other) = lab.open(true, SILENT) else { continue };
        answered += usize::from(lab.ask(other, Ask::Ping, SILENT).is_ok());
        open.push(other);
    }
    let lives = match lab.ask(client, Ask::Ping, 1000) {
        Ok((_, took)) => format!("an older one in {}", told(took)),
        Err(_) => "an older one is not, within 1 s".into(),
    };
    let healed = lab.heal();
    let heal = match lab.answers_within(5000) {
        Some(took) => format!("a new connection is answered within {}", told(took)),
        // A JVM may have lost the thread that accepts, or a class that it could not read. Its limit is raised all the same.
        None => {
            lab.strike("kill", "{node: node-0}");
            lab.exit();
            lab.heal();
            "its limit is raised, and it accepts nobody until it is started again".into()
        }
    };
    let last = healed.steps.last().cloned().unwrap_or_default();
    expect(last.contains("again"), || format!("the heal was not verified: {last}"))?;
    open.into_iter().chain([client]).for_each(|client| lab.close(client));
    // One that waits in `accept` has its next number already.
    expect(answered < NEW - 1, || format!("{answered} of {NEW} new connections were answered"))?;
    seen(format!("{answered} of {NEW} new connections are answered; {lives}"), heal)
}

/// Connections of the node that are established, as its kernel lists them.
fn established(lab: &Lab) -> usize {
    let list =
        |name: &str| fs::read_to_string(format!("/proc/{}/net/{name}", lab.bench.pid)).unwrap_or_default();
    let lines = [list("tcp"), list("tcp6")].concat();
    lines.lines().filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
}

pub fn connections(lab: &mut Lab, row: &Row) -> Measured {
    let before = established(lab);
    row.strike(lab);
    // Its kernel takes them, and it accepts them one by one: what comes while its backlog is full tries again later.
    lab.until(COMES, |lab| established(lab) >= before + 100);
    let during = established(lab);
    lab.heal();
    let gone = lab.until(COMES, |lab| established(lab) <= before + 5);
    let after = established(lab);
    expect(during >= before + 50, || format!("{during} connections, {before} before"))?;
    expect(gone, || format!("{after} connections after the heal, {before} before"))?;
    seen(format!("it has {during} established connections; {before} before"), format!("it has {after}"))
}

/// Lets it take more and more; a part of what is asked for is kept.
pub fn memory(lab: &mut Lab, row: &Row) -> Measured {
    // What etcd still takes in one request.
    let value = vec![b'm'; 1_000_000];
    row.strike(lab);
    let mut count = 0;
    let came = loop {
        let Ok(client) = lab.open(true, COMES) else { break Err(No::Refused) };
        let came = lab.ask(client, Ask::Put(&value), 3000);
        lab.close(client);
        match came {
            Ok((answer, _)) if answer.error.is_none() && count < 20 => count += 1,
            Ok((answer, _)) => break Ok(answer.error),
            Err(why) => break Err(why),
        }
    };
    let ended = lab.until(1000, |lab| lab.ended().is_some());
    let end = lab.ended().map_or("goes on".into(), |exit| format!("ends by {}", exited(exit)));
    let healed = lab.heal();
    lab.answers();
    let back = lab.since(healed.at);
    lab.put(b"after")?;
    let said = match came {
        Ok(None) => "its writer is served".into(),
        Ok(Some(error)) => format!("its writer has «{error}»"),
        Err(No::Refused) => "nobody listens".into(),
        Err(No::Closed(_)) => "its writer loses the connection".into(),
        Err(_) => "its writer has no answer within 3 s".into(),
    };
    let heal = if ended {
        format!("started again, it answers {} after it", told(back))
    } else {
        "it takes a value".into()
    };
    seen(format!("after {count} values of 1 MB {said}, and it {end}"), heal)
}
