//! What the benchmarks of the judges share: what a thread has had of the processor, how high memory went, and a
//! history as other tools write it.

#![allow(dead_code, reason = "no benchmark uses all of it")]

use judge::history::NEVER;
use judge::{History, Outcome};
use std::io::Write;

/// Seconds that this thread has run on a processor (the kernel's `schedstat`): other work on the machine does not
/// count.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("a kernel that counts");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<u64>().ok());
    nanoseconds.expect("a number") as f64 / 1e9
}

/// From here on the peak of memory does not hold what the generator used.
pub fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak of memory is set back");
}

/// The highest that memory was since, in megabytes.
pub fn peak_mb() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a kernel that tells");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// Writes a history as JSON lines.
pub fn write_lines(history: &History, out: &mut dyn Write) {
    let mut events: Vec<(u32, &str, usize)> = Vec::new();
    for (place, op) in history.ops.iter().enumerate() {
        events.push((op.call, "invoke", place));
        if op.end != NEVER {
            let kind = match op.outcome {
                Outcome::Ok => "ok",
                Outcome::Fail => "fail",
                Outcome::Info => "info",
            };
            events.push((op.end, kind, place));
        }
    }
    events.sort_unstable();
    for (index, (_, kind, place)) in events.into_iter().enumerate() {
        let op = &history.ops[place];
        let value = if kind == "ok" { op.output } else { op.input };
        let (process, f) = (history.arena.show(op.process), history.f(op));
        let (key, value) = (history.arena.show(op.key), history.arena.show(value));
        writeln!(
            out,
            "{{\"index\":{index},\"time\":{},\"process\":{process},\"type\":\"{kind}\",\"f\":\"{f}\",\
             \"key\":{key},\"value\":{value}}}",
            index * 1_000_000
        )
        .expect("it is written");
    }
}
