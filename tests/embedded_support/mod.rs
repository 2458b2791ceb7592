//! A small driver for the simulated cluster: one connection per node, commands one by one, time as it is told.

use seedfault::entropy::{GENERATOR, Seed};
use seedfault::env::sim::SimEnv;
use seedfault::env::{ActorId, ConnId, Effect, Env, Input, LinkRule, NodeAction, NodeId, NodeSpec, Observed};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use seedfault::time::{Micros, Millis};
use seedfault::timeline::{Cluster, Formation, Load, Schedule, Settings, Timeline};
use std::collections::BTreeMap;

const DRIVER: ActorId = ActorId(7);

pub fn timeline(seed: u64, shards: u16, replicas: u16, bugs: &[&str]) -> Timeline {
    Timeline {
        seed: Seed(seed),
        generator: GENERATOR.into(),
        catalogue: 1,
        profile: "sim/1".into(),
        name: None,
        target: "embedded".into(),
        environment: "sim".into(),
        cluster: Cluster {
            shards,
            replicas,
            formation: Formation::Written,
            settings: Settings::default(),
            password: false,
            acl_user: false,
            base_port: None,
        },
        load: Load::none(),
        length: Millis::secs(10),
        events: Vec::new(),
        checks: Vec::new(),
        bugs: bugs.iter().map(ToString::to_string).collect(),
        schedule: Schedule::default(),
    }
}

pub struct Driver {
    pub env: SimEnv,
    pub nodes: u16,
    next: u64,
    /// The connection to each node, and what it has answered.
    open: BTreeMap<u16, (ConnId, Vec<u8>, bool)>,
    pub logs: Vec<(Micros, NodeId, String)>,
    pub exits: Vec<(NodeId, String)>,
    /// Everything that came, as text, for comparing two runs.
    pub trace: blake3::Hasher,
}

impl Driver {
    pub fn start(timeline: &Timeline) -> Self {
        let mut env = SimEnv::new(timeline);
        let nodes = timeline.cluster.nodes();
        for node in (0..nodes).map(NodeId) {
            env.submit(DRIVER, Effect::Node(node, NodeAction::Create(NodeSpec::default())));
            env.submit(DRIVER, Effect::Node(node, NodeAction::Start(RestartData::Kept)));
        }
        let mut driver = Self {
            env,
            nodes,
            next: 1,
            open: BTreeMap::new(),
            logs: Vec::new(),
            exits: Vec::new(),
            trace: blake3::Hasher::new(),
        };
        driver.run(Millis(10));
        driver
    }

    /// Lets time pass.
    pub fn run(&mut self, length: Millis) {
        let until = self.env.now().plus(length);
        self.until(until, |_| false);
    }

    fn until(&mut self, until: Micros, done: impl Fn(&Self) -> bool) {
        let mut inputs = Vec::new();
        while self.env.now() < until && !done(self) {
            inputs.clear();
            self.env.step(until, &mut inputs);
            for (at, _, input) in inputs.drain(..) {
                self.trace.update(format!("{at:?} {input:?}\n").as_bytes());
                match input {
                    Input::Bytes(connection, bytes) => {
                        if let Some(open) = self.open.values_mut().find(|open| open.0 == connection) {
                            open.1.extend(bytes);
                        }
                    }
                    Input::Closed(connection, why) => {
                        if let Some(open) = self.open.values_mut().find(|open| open.0 == connection) {
                            open.1.extend(format!("-closed {why:?}\r\n").into_bytes());
                            open.2 = false;
                        }
                    }
                    Input::Observed(Observed::Log { node, line }) => self.logs.push((at, node, line)),
                    Input::Observed(Observed::Exited { node, exit, .. }) => {
                        self.exits.push((node, exit.to_string()));
                    }
                    Input::Applied(Err(why)) => panic!("{why}"),
                    _ => {}
                }
            }
        }
    }

    /// One command to one node; `None` when no answer came within a second.
    pub fn ask(&mut self, node: u16, words: &[&str]) -> Option<String> {
        if self.open.get(&node).is_none_or(|open| !open.2) {
            let connection = ConnId(self.next);
            self.next += 1;
            self.env.submit(DRIVER, Effect::Open(connection, NodeId(node)));
            self.open.insert(node, (connection, Vec::new(), true));
        }
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        let open = self.open.get_mut(&node)?;
        open.1.clear();
        let connection = open.0;
        self.env.submit(DRIVER, Effect::Send(connection, bytes));
        let until = self.env.now().plus(Millis(1000));
        self.until(until, |driver| driver.open.get(&node).is_some_and(|open| !open.1.is_empty()));
        let open = self.open.get_mut(&node)?;
        let answer = String::from_utf8(std::mem::take(&mut open.1)).expect("text");
        if answer.is_empty() {
            // The answer may still come: the connection is of no more use.
            self.env.submit(DRIVER, Effect::Close(connection));
            self.open.remove(&node);
            return None;
        }
        Some(answer)
    }

    /// A command on keys, sent to whoever says that it serves them; tried for so long.
    pub fn on_key(&mut self, words: &[&str], within: Millis) -> Option<String> {
        let until = self.env.now().plus(within);
        let mut node = 0;
        let mut last = None;
        while self.env.now() < until {
            match self.ask(node, words) {
                Some(answer) if answer.starts_with("-MOVED") => {
                    let port: u16 = answer.trim().rsplit(':').next()?.parse().ok()?;
                    node = port - 7000;
                }
                Some(answer) if answer.starts_with('-') => {
                    last = Some(answer);
                    self.run(Millis(50));
                    node = (node + 1) % self.nodes;
                }
                Some(answer) => return Some(answer),
                None => node = (node + 1) % self.nodes,
            }
        }
        last
    }

    pub fn node(&mut self, node: u16, action: NodeAction) {
        self.env.submit(DRIVER, Effect::Node(NodeId(node), action));
    }
    pub fn kill(&mut self, node: u16) {
        self.node(node, NodeAction::Signal(Signal::Kill));
        self.run(Millis(1));
    }
    pub fn restart(&mut self, node: u16) {
        self.node(node, NodeAction::Start(RestartData::Kept));
        self.run(Millis(5));
    }
    pub fn link(&mut self, from: u16, to: u16, rule: LinkRule) {
        self.env.submit(DRIVER, Effect::Link(NodeId(from), NodeId(to), rule.into()));
    }
    /// The same rule on all links of a node, both ways.
    pub fn links_of(&mut self, node: u16, rule: LinkRule) {
        for other in (0..self.nodes).filter(|other| *other != node) {
            self.link(node, other, rule);
            self.link(other, node, rule);
        }
    }

    /// Whether every live node says that all slots are served, and every replica's link is up.
    pub fn healthy(&mut self, live: &[u16]) -> Result<(), String> {
        let mut maps = Vec::new();
        for node in live {
            let info = self.ask(*node, &["CLUSTER", "INFO"]).ok_or("no answer")?;
            if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                return Err(format!("node {node}: {info}"));
            }
            let info = self.ask(*node, &["INFO", "replication"]).ok_or("no answer")?;
            if info.contains("master_link_status:down") {
                return Err(format!("node {node}: {info}"));
            }
            let nodes = self.ask(*node, &["CLUSTER", "NODES"]).ok_or("no answer")?;
            let stable: Vec<String> = nodes
                .lines()
                .map(|line| line.replace("myself,", ""))
                .map(|line| {
                    let words: Vec<&str> = line.split(' ').collect();
                    words
                        .iter()
                        .enumerate()
                        .filter(|(place, _)| ![4, 5].contains(place))
                        .map(|(_, w)| *w)
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .skip(1)
                .collect();
            maps.push(stable);
        }
        if maps.windows(2).any(|two| two[0] != two[1]) {
            return Err(format!("views differ: {maps:#?}"));
        }
        Ok(())
    }

    pub fn until_healthy(&mut self, live: &[u16], within: Millis) -> Result<Micros, String> {
        let begin = self.env.now();
        let until = begin.plus(within);
        loop {
            match self.healthy(live) {
                Ok(()) => return Ok(self.env.now().since(begin)),
                Err(why) if self.env.now() >= until => return Err(why),
                Err(_) => self.run(Millis(50)),
            }
        }
    }
}
