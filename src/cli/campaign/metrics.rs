//! What a campaign did so far, for Prometheus: the numbers, and the answer to whoever asks for them.
//!
//! An address that can only be reached from this machine is the default; nobody is asked who they are, and nothing but the
//! numbers is told. One question at a time, each within a bound of size and time, by a thread that ends with the
//! process. The text is that of `OpenMetrics` 1.0, which Prometheus asks for.

use super::watch::Standing;
use crate::cli::exit::{Code, Failure};
use crate::cli::input::plain;
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much of a question is read, and how long each part of it may take.
const QUESTION_MAX: usize = 8 * 1024;
const PATIENCE: Duration = Duration::from_secs(2);
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `9464`, `127.0.0.1:9464`, `[::1]:9464`: a port alone is one of this machine alone.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let port = || Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), text.parse().ok()?));
    let wanted = "expected an address and a port such as `127.0.0.1:9464`, or a port alone";
    text.parse().ok().or_else(port).ok_or_else(|| wanted.into())
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Verdict {
    verdict: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Check {
    check: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reached {
    family: String,
}

type Number = Gauge<f64, AtomicU64>;

/// The numbers; those of a campaign that goes on begin where it was.
#[derive(Debug)]
pub struct Metrics {
    /// Held while they change together, and while they are read.
    registry: Mutex<Registry>,
    runs: Family<Verdict, Counter>,
    findings: Family<Check, Gauge>,
    failures: Family<Check, Counter>,
    features: Family<Reached, Gauge>,
    timelines: Gauge,
    active: Gauge,
    side_by_side: Gauge,
    duration: Histogram,
    an_hour: Number,
    spent: Number,
    left: Number,
}

impl Metrics {
    /// `labels` say which campaign it is.
    pub fn new(labels: Vec<(&'static str, String)>, has_budget: bool) -> Self {
        let mut registry = Registry::with_prefix("seedfault");
        // From a run of the embedded target to one of many nodes in real time.
        let duration = Histogram::new(exponential_buckets(0.05, 2.0, 15));
        let new = Self {
            registry: Mutex::default(),
            runs: Family::default(),
            findings: Family::default(),
            failures: Family::default(),
            features: Family::default(),
            timelines: Gauge::default(),
            active: Gauge::default(),
            side_by_side: Gauge::default(),
            duration,
            an_hour: Number::default(),
            spent: Number::default(),
            left: Number::default(),
        };
        registry.register("campaign", "Which campaign this is", Info::new(labels));
        registry.register("runs", "Runs that are over, by what came of them", new.runs.clone());
        registry.register(
            "findings",
            "Different failures that the campaign met, by check",
            new.findings.clone(),
        );
        registry.register("finding_runs", "Runs that met a finding, by check", new.failures.clone());
        registry.register(
            "features",
            "Different features that runs reached, by family",
            new.features.clone(),
        );
        registry.register("timelines_kept", "Timelines that reached something first", new.timelines.clone());
        registry.register("runs_active", "Runs that are under way", new.active.clone());
        registry.register(
            "runs_side_by_side",
            "As many runs may be under way at once",
            new.side_by_side.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "How long a run took in real time",
            Unit::Seconds,
            new.duration.clone(),
        );
        registry.register(
            "scenarios_per_hour",
            "Runs in an hour at the rate since the start",
            new.an_hour.clone(),
        );
        registry.register_with_unit(
            "campaign_spent",
            "How long the campaign has run, all its parts together",
            Unit::Seconds,
            new.spent.clone(),
        );
        if has_budget {
            registry.register_with_unit(
                "campaign_left",
                "How much of its budget is left",
                Unit::Seconds,
                new.left.clone(),
            );
        }
        for verdict in ["pass", "fail", "unknown", "broken"] {
            // What has not happened yet is there, at zero.
            drop(new.runs.get_or_create(&Verdict { verdict: verdict.into() }));
        }
        Self { registry: Mutex::new(registry), ..new }
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs of an earlier part.
    pub fn go_on(&self, verdict: &str, runs: u64) {
        self.runs.get_or_create(&Verdict { verdict: verdict.into() }).inc_by(runs);
    }

    /// A run is over.
    pub fn ran(&self, verdict: &str, check: Option<&str>, wall_ms: u64) {
        let _together = self.lock();
        self.runs.get_or_create(&Verdict { verdict: verdict.into() }).inc();
        self.duration.observe(wall_ms as f64 / 1000.0);
        if let Some(check) = check {
            self.failures.get_or_create(&Check { check: check.into() }).inc();
        }
    }

    /// How the campaign stands now.
    pub fn set(&self, now: &Standing) {
        let _together = self.lock();
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        // Of two findings that turn out to be one, one goes.
        self.findings.clear();
        for finding in &now.findings {
            self.findings.get_or_create(&Check { check: finding.check.clone() }).inc();
        }
        for (family, count) in &now.reached {
            self.features.get_or_create(&Reached { family: family.to_string() }).set(whole(*count));
        }
        self.timelines.set(whole(now.kept));
        self.active.set(whole(now.active as u64));
        self.side_by_side.set(whole(now.side_by_side as u64));
        self.an_hour.set(now.an_hour() as f64);
        self.spent.set(now.spent.as_secs_f64());
        self.left.set(now.left.unwrap_or_default().as_secs_f64());
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.lock()).expect("a string takes all");
        text
    }
}

/// Answers at this address from now on. Says which it is: the system chooses where the port is 0.
#[expect(clippy::disallowed_methods, reason = "it waits for questions; the runs are other processes")]
pub fn serve(metrics: Arc<Metrics>, address: SocketAddr) -> Result<SocketAddr, Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("failed to answer at --metrics-addr {address}: {}", plain(&error));
        Failure::new(Code::Environment, message).hint("name another port; 0 is any that is free")
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            match stream {
                // Who asks and goes away is no matter.
                Ok(stream) => drop(answer(stream, &metrics)),
                // Such as too many open files: it may pass.
                Err(_) => std::thread::sleep(PATIENCE),
            }
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = Vec::new();
    let mut part = [0; 1024];
    while !question.windows(4).any(|end| end == b"\r\n\r\n") && question.len() < QUESTION_MAX {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            count => question.extend_from_slice(&part[..count]),
        }
    }
    let text = String::from_utf8_lossy(&question);
    let mut words = text.split_whitespace();
    let (status, kind, body) = match (words.next(), words.next().and_then(|path| path.split('?').next())) {
        (Some("GET" | "HEAD"), Some("/metrics")) => ("200 OK", MEDIA_TYPE, metrics.text()),
        (Some("GET" | "HEAD"), _) => {
            ("404 Not Found", "text/plain", "the numbers are at /metrics\n".to_string())
        }
        _ => ("405 Method Not Allowed", "text/plain", "only GET is answered\n".to_string()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if !text.starts_with("HEAD") {
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_this_machine_alone() {
        assert_eq!(address("9464"), Ok("127.0.0.1:9464".parse().expect("an address")));
        assert_eq!(address("[::1]:80"), Ok("[::1]:80".parse().expect("an address")));
        assert_eq!(address("0.0.0.0:9464"), Ok("0.0.0.0:9464".parse().expect("an address")));
        for bad in ["", "localhost", "127.0.0.1", "99999", ":9464"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
