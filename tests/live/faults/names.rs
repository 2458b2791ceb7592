//! Names that do not resolve: as a JVM has it, and elsewhere as who asks by the C library in the program's place.

use super::super::A;
use super::lab::{COMES, Lab, told};
use super::program::{Ask, Program};
use super::rows::{Measured, Row, expect, seen};
use std::process::Command;
use std::time::Instant;

const ADDRESS: &str = "10.77.0.1";
const WRONG: &str = "10.77.255.250";

/// Asks for the node's own name; answers an address or why there is none, and how long that took.
fn ask(lab: &mut Lab) -> Result<(Result<String, String>, u64), String> {
    if lab.program == Program::Jvm {
        let client = lab.open(false, COMES).map_err(|why| format!("{why:?}"))?;
        let came = lab.ask(client, Ask::Resolve, COMES).map_err(|why| format!("{why:?}"));
        lab.close(client);
        let (answer, took) = came?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        return Ok((answer.error.map_or(Ok(body), Err), took));
    }
    let mut command = Command::new("getent");
    command.args(["ahostsv4", "node-0"]);
    lab.bench.env.beside(A, &mut command).map_err(|error| error.to_string())?;
    #[expect(clippy::disallowed_methods, reason = "a test of real processes measures real time")]
    let began = Instant::now();
    let output = command.output().map_err(|error| error.to_string())?;
    let took = began.elapsed().as_micros() as u64;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let address = text.split_whitespace().next().map(String::from);
    Ok((address.ok_or(format!("exit code {}", output.status.code().unwrap_or(-1))), took))
}

pub fn resolve(lab: &mut Lab, row: &Row) -> Measured {
    let who = if lab.program == Program::Jvm { "it" } else { "`getent` in its place" };
    let (before, quick) = ask(lab)?;
    expect(before == Ok(ADDRESS.into()), || format!("before: {before:?}"))?;
    row.strike(lab);
    let (during, took) = ask(lab)?;
    let healed = lab.heal();
    let (after, again) = ask(lab)?;
    expect(after == Ok(ADDRESS.into()), || format!("after: {after:?}"))?;
    let struck = healed.steps.iter().any(|step| step.contains("questions were struck"));
    expect(struck, || format!("{:?}", healed.steps))?;
    let has = |how: &str| row.fields.contains(how);
    let right = match &during {
        Ok(address) if has("wrong") => address == WRONG,
        Ok(address) if has("late") => address == ADDRESS && took >= 700_000,
        Err(_) if has("silence") => took >= 1_000_000,
        Err(_) => !has("wrong") && !has("late"),
        Ok(_) => false,
    };
    expect(right, || format!("during: {during:?} within {took} us"))?;
    let during = match during {
        Ok(address) => format!("has {address}"),
        Err(why) => format!("has no address ({why})"),
    };
    seen(
        format!("{who} {during} within {}; {ADDRESS} within {} before", told(took), told(quick)),
        format!("{ADDRESS} within {}", told(again)),
    )
}
