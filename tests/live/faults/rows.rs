//! The faults that are measured: a line each. A new fault gets one at the end.

use super::lab::Lab;
use super::{links, machine, names, packets, power, process, shortage};

/// A fault with its fields, and who measures what it does.
pub struct Row {
    pub fault: &'static str,
    /// Its fields, as a scenario writes them.
    pub fields: &'static str,
    /// The effect that they ask for, in words.
    pub effect: &'static str,
    pub measure: fn(&mut Lab, &Row) -> Measured,
}

/// What a program showed; an error is a measurement that is not as asked.
pub type Measured = Result<Seen, String>;

pub struct Seen {
    pub effect: String,
    pub heal: String,
}

pub fn seen(effect: impl Into<String>, heal: impl Into<String>) -> Measured {
    Ok(Seen { effect: effect.into(), heal: heal.into() })
}

/// It is so, or what is wrong.
pub fn expect(holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(wrong()) }
}

impl Row {
    const fn of(
        fault: &'static str,
        fields: &'static str,
        effect: &'static str,
        measure: fn(&mut Lab, &Row) -> Measured,
    ) -> Self {
        Self { fault, fields, effect, measure }
    }

    /// Whether the node's folder is served by a file system of ours for it.
    pub fn is_served(&self) -> bool {
        matches!(self.fault, "power_loss" | "bit_flip") || self.fields.contains("how: power")
    }

    pub fn strike(&self, lab: &mut Lab) {
        lab.strike(self.fault, self.fields);
    }
}

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    Row::of("slow", "{node: node-0, delay: 20ms, traffic: clients}", "20 ms each way: 40 ms a round trip", packets::slow),
    Row::of("slow", "{node: node-0, delay: 20ms, jitter: 20ms, traffic: clients}", "20 to 40 ms each way: 40 to 80 ms a round trip", packets::jitter),
    Row::of("slow", "{node: node-0, delay: 20ms, jitter: 10ms, distribution: pareto, traffic: clients}", "20 ms each way and a heavy tail beyond, with a mean of 10 ms", packets::jitter),
    Row::of("lossy", "{node: node-0, lose: 100, traffic: clients}", "10 % of the segments each way are lost; one is sent again where its acknowledgement is lost, too", packets::lose),
    Row::of("lossy", "{node: node-0, lose: 100, burst: 4, traffic: clients}", "10 % of the segments each way are lost, four in a row on average", packets::lose),
    Row::of("lossy", "{node: node-0, lose: 0, duplicate: 300, traffic: clients}", "30 % of the segments each way come twice", packets::duplicate),
    Row::of("lossy", "{node: node-0, lose: 0, reorder: 300, traffic: clients}", "30 % of the segments each way are overtaken by later ones", packets::reorder),
    Row::of("throttle", "{node: node-0, rate: 500, traffic: clients}", "500,000 bytes a second each way", packets::throttle),
    Row::of("corrupt", "{node: node-0, share: 100, traffic: clients}", "in 10 % of the segments a bit is flipped, and the checksum tells", packets::corrupt),
    Row::of("garble", "{node: node-0, share: 50, traffic: clients}", "in 5 % of the segments a bit is flipped, and nothing tells", packets::garble),
    Row::of("cut", "{node: node-0, traffic: clients}", "nothing crosses between the node and its clients", links::cut),
    Row::of("cut", "{node: node-0, traffic: clients, heal: natural}", "as above; afterwards nobody is woken up", links::natural),
    Row::of("cut", "{node: node-0, one_way: true, traffic: clients}", "what clients send arrives, the answers do not", links::one_way),
    Row::of("flap", "{node: node-0, down: 200ms, up: 300ms, traffic: clients}", "nothing crosses for 200 of each 500 ms", links::flap),
    Row::of("reset", "{node: node-0, clients: true}", "established connections break at both ends", links::reset),
    Row::of("refuse", "{node: node-0, traffic: clients}", "connects are refused, established connections live on", links::refuse),
    Row::of("half_open", "{node: node-0, traffic: clients}", "the node has lost its connections; who next sends hears of it", links::half_open),
    Row::of("half_open", "{node: node-0, silent: true, traffic: clients}", "the node has lost its connections; nobody hears of it", links::half_open_silent),
    Row::of("pause", "{node: node-0}", "no answer while it is stopped (700 ms here)", process::pause),
    Row::of("stutter", "{node: node-0, stop: 200ms, run: 100ms}", "stopped for 67 % of the time, in pieces of 200 ms", process::stutter),
    Row::of("clock_skew", "{node: node-0, ahead: 1h}", "its time of day is 3,600 s ahead", machine::ahead),
    Row::of("clock_skew", "{node: node-0, behind: 1h}", "its time of day is 3,600 s behind", machine::behind),
    Row::of("clock_skew", "{node: node-0, rate: 1000}", "its time of day runs at ten times its rate", machine::rate),
    Row::of("slow_disk", "{node: node-0, delay: 100ms}", "each write and each sync takes 100 ms longer", machine::slow_disk),
    Row::of("slow_disk", "{node: node-0, delay: 0ms, rate: 500}", "what it writes passes at 500,000 bytes a second", machine::narrow_disk),
    Row::of("disk_error", "{node: node-0, call: fsync, error: EIO, count: 1}", "one fsync fails by EIO", machine::disk_error),
    Row::of("disk_error", "{node: node-0, call: write, error: ENOSPC}", "every write to a file fails by ENOSPC", machine::disk_error),
    Row::of("full_disk", "{node: node-0, room: 10}", "10 more bytes fit: a short write, then ENOSPC", machine::disk_error),
    Row::of("strike_at", "{node: node-0, call: fsync, nth: 2, how: kill}", "it ends before its second fsync", machine::strike_end),
    Row::of("strike_at", "{node: node-0, call: write, how: torn}", "it ends in the middle of a write", machine::strike_end),
    Row::of("strike_at", "{node: node-0, call: fsync, how: pause}", "it stops before an fsync", machine::strike_stop),
    Row::of("strike_at", "{node: node-0, call: fsync, how: power}", "its power fails before an fsync: what was not synced is lost", power::strike),
    Row::of("kill", "{node: node-0}", "SIGKILL: it ends at once, and is started again with its data", process::kill),
    Row::of("kill", "{node: node-0, signal: TERM}", "SIGTERM: it ends as it likes, and is started again with its data", process::kill),
    Row::of("restart", "{node: node-0, data: kept}", "after «older», a copy of its folder and «last»: it comes back with all data", process::restart_kept),
    Row::of("restart", "{node: node-0, data: empty}", "as above: it comes back without data", process::restart_empty),
    Row::of("restart", "{node: node-0, data: wiped}", "as above: it comes back without data and identity", process::restart_empty),
    Row::of("restart", "{node: node-0, data: wiped, gone: 500ms}", "as above: its files are removed under it 500 ms before it ends", process::restart_empty),
    Row::of("restart", "{node: node-0, data: older}", "as above: it comes back with the copy", process::restart_older),
    Row::of("restart", "{node: node-0, data: foreign, from: node-1}", "after «other», a copy of its folder for node-1 and «last»: it comes back with what node-1 has", process::restart_foreign),
    Row::of("slow_close", "{node: node-0, delay: 700ms, traffic: clients}", "the end of a connection comes 700 ms after what was sent before it", links::slow_close),
    Row::of("clock_strobe", "{node: node-0, ahead: 1h, every: 300ms}", "its time of day is right and an hour ahead by turns", machine::strobe),
    Row::of("cpu_limit", "{node: node-0, share: 5%}", "5 % of a core, for a node that wants more", shortage::cpu_limit),
    Row::of("cpu_hog", "{node: node-0, threads: 3}", "the fourth part of a core, for a node with one busy thread", shortage::cpu_hog),
    Row::of("fd_limit", "{node: node-0, spare: 0}", "it can open no file and take no connection", shortage::fd_limit),
    Row::of("use_up_connections", "{node: node-0, connections: 100}", "100 of its connections are taken", shortage::connections),
    Row::of("memory_limit", "{node: node-0, room: 0}", "it gets no memory beyond what it has", shortage::memory),
    Row::of("memory_limit", "{node: node-0, room: 4, how: kill}", "it is killed when it has 4 MB more", shortage::memory),
    Row::of("power_loss", "{node: node-0}", "it ends at once, and what was not synced is lost", power::loss),
    Row::of("bit_flip", "{node: node-0, file: '*'}", "one bit of one of its files is another", power::flip),
    Row::of("resolve_fails", "{node: node-0}", "the resolver says that it has failed (SERVFAIL)", names::resolve),
    Row::of("resolve_fails", "{node: node-0, how: silence}", "the resolver says nothing", names::resolve),
    Row::of("resolve_fails", "{node: node-0, how: wrong}", "it tells an address that nobody has", names::resolve),
    Row::of("resolve_fails", "{node: node-0, how: late, delay: 700ms}", "it answers 700 ms late", names::resolve),
];
