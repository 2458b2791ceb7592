//! What the tests of the environment `exact` share: a cluster of real servers in virtual time, without an executor.
//!
//! The tests of a binary take turns: a process that another thread has forked holds copies of our sockets until it
//! becomes a program of its own, and what is closed meanwhile is closed late. A run has one thread.

#![allow(dead_code, reason = "each test binary uses its part")]

use seedfault::entropy::Seed;
use seedfault::env::exact::{ExactEnv, Options, hang};
use seedfault::env::{
    ActorId, ConnId, EXACT, Effect, Env, EnvError, Input, LinkRule, NodeAction, NodeId, Observed,
};
use seedfault::fault::restart::RestartData;
use seedfault::spec::{Dialect, Spec};
use seedfault::target::valkey::provision;
use seedfault::time::{Micros, Millis};
use seedfault::timeline::{Timeline, generate};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub static TURN: Mutex<()> = Mutex::new(());

pub const ME: ActorId = ActorId(7);

pub struct Bench {
    pub env: ExactEnv,
    pub run: PathBuf,
    pub nodes: u16,
    connections: u64,
    pub logs: Vec<(NodeId, String)>,
    pub seen: Vec<(u64, ActorId, Input)>,
}

pub fn timeline(seed: u64) -> Timeline {
    generate(&Spec::quiet(Dialect::Native), Seed(seed), "valkey", &EXACT).expect("nothing is drawn")
}

impl Bench {
    pub fn boot(name: &str, server: &Path, seed: u64) -> Self {
        Self::of(name, server, &timeline(seed))
    }

    pub fn of(name: &str, server: &Path, timeline: &Timeline) -> Self {
        let binary = server.file_name().expect("a name").to_string_lossy();
        let run =
            std::env::temp_dir().join(format!("seedfault-exact-{name}-{binary}-{}", std::process::id()));
        fs::create_dir_all(&run).expect("writable");
        let env = ExactEnv::new(Options {
            dir: run.join("nodes"),
            server: server.into(),
            base_port: None,
            key: timeline.environment_key(),
            policy: timeline.policy(),
            order: timeline.order(),
            keep_data: false,
            trace: Some(run.join("trace.txt")),
            pcap: Some(run.join("traffic.pcap")),
            pin: false,
            turn_max: hang::TURN_MAX,
            stop: None,
        });
        let env = env.expect("memory and a folder can be had");
        let mut bench = Self { env, run, nodes: 0, connections: 0, logs: Vec::new(), seen: Vec::new() };
        for spec in provision::cluster(timeline) {
            bench.act(bench.nodes, NodeAction::Create(spec)).expect("the folder is writable");
            bench.nodes += 1;
        }
        for node in 0..bench.nodes {
            bench.act(node, NodeAction::Start(RestartData::Kept)).expect("the server starts");
        }
        bench
    }

    pub fn act(&mut self, node: u16, action: NodeAction) -> Result<String, EnvError> {
        self.env.submit(ME, Effect::Node(NodeId(node), action));
        self.until(|input| if let Input::Applied(result) = input { Some(result.clone()) } else { None })
    }

    /// Does something to links or connections.
    pub fn effect(&mut self, effect: Effect) -> Result<String, EnvError> {
        self.env.submit(ME, effect);
        self.until(|input| if let Input::Applied(result) = input { Some(result.clone()) } else { None })
    }

    pub fn link(&mut self, from: u16, to: u16, rule: LinkRule) {
        self.env.submit(ME, Effect::Link(NodeId(from), NodeId(to), rule.into()));
        self.until(|input| if let Input::Applied(result) = input { Some(result.clone()) } else { None })
            .expect("both are there");
    }

    pub fn step(&mut self, until: Micros) {
        let mut out = Vec::new();
        self.env.step(until, &mut out);
        for (at, who, input) in out {
            match input {
                Input::Observed(Observed::Log { node, line }) => self.logs.push((node, line)),
                input => self.seen.push((at.0, who, input)),
            }
        }
    }

    pub fn until<T>(&mut self, pick: impl Fn(&Input) -> Option<T>) -> T {
        let limit = self.env.now().plus(Millis(10_000));
        loop {
            if let Some(position) = self.seen.iter().position(|(_, _, input)| pick(input).is_some()) {
                let (_, _, input) = self.seen.remove(position);
                return pick(&input).expect("picked above");
            }
            assert!(self.env.now() < limit, "waited too long; seen: {:?} {:?}", self.seen, self.logs);
            let until = self.env.now().plus(Millis(50));
            self.step(until);
        }
    }

    /// Lets virtual time pass.
    pub fn pass(&mut self, time: Millis) {
        let until = self.env.now().plus(time);
        while self.env.now() < until {
            self.step(until);
        }
    }

    /// A command to a node, by a connection of its own, and what has come after this time.
    pub fn ask(&mut self, node: u16, command: &str) -> String {
        self.connections += 1;
        let id = ConnId(self.connections);
        self.env.submit(ME, Effect::Open(id, NodeId(node)));
        self.env.submit(ME, Effect::Send(id, format!("{command}\r\n").into_bytes()));
        self.pass(Millis(20));
        self.env.submit(ME, Effect::Close(id));
        let mut text = String::new();
        self.seen.retain(|(_, _, input)| match input {
            Input::Bytes(from, bytes) if *from == id => {
                text.push_str(&String::from_utf8_lossy(bytes));
                false
            }
            _ => true,
        });
        text
    }

    /// All that may not differ between two runs.
    pub fn sum(&self) -> (String, Vec<(NodeId, String)>, u64, u64) {
        (
            self.env.trace_hash().expect("every turn is hashed"),
            self.logs.clone(),
            self.env.turns(),
            self.env.now().0,
        )
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.env.close();
        // What is still there is seen in the temporary folder.
        let _ = fs::remove_dir_all(&self.run);
    }
}
