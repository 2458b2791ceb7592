//! Names of nodes, asked for by programs that nobody wrote for it.

use super::{A, B, Bench};
use seedfault::env::processes::doctor;
use seedfault::env::{Effect, Input, NodeAction, NodeSpec, Observed};
use seedfault::fault::resolve_fails::{ResolveBlow, ResolveRule};
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use std::process::Command;

impl Bench {
    fn resolves(&mut self, name: &str) -> Option<String> {
        let mut command = Command::new("getent");
        command.args(["ahostsv4", name]);
        self.env.beside(A, &mut command).expect("it is there");
        let output = command.output().expect("it is there");
        String::from_utf8_lossy(&output.stdout).split_whitespace().next().map(String::from)
    }

    fn names(&mut self, rule: Option<ResolveBlow>) -> String {
        let rule = rule.map(|how| ResolveRule { how, delay: Millis(2_000) });
        self.apply(Effect::Node(A, NodeAction::Names("names".into(), rule))).expect("it is there")
    }
}

pub fn resolve(bench: &mut Bench) {
    bench.start(A);
    for (name, address) in [("node-0", Some("10.77.0.1")), ("node-41", Some("10.77.0.42"))] {
        assert_eq!(bench.resolves(name).as_deref(), address, "{name}");
    }
    assert_eq!(bench.resolves("localhost").as_deref(), Some("127.0.0.1"));
    assert_eq!(bench.resolves("example.org"), None);
    for how in [ResolveBlow::Error, ResolveBlow::Unknown] {
        bench.names(Some(how));
        assert_eq!(bench.resolves("node-1"), None, "{how}");
        let said = bench.names(None);
        assert!(said.ends_with("questions were struck; its own name is 10.77.0.1 again"), "{said}");
    }
    bench.names(Some(ResolveBlow::Wrong));
    assert_eq!(bench.resolves("node-1").as_deref(), Some("10.77.255.250"));
    bench.names(None);
    // Nobody asks.
    bench.names(Some(ResolveBlow::Error));
    let said = bench.names(None);
    assert!(said.starts_with("struck nothing"), "{said}");
}

/// A static program in Go, which reads the files itself: it begins to serve once its own name resolves.
pub fn etcd(bench: &mut Bench) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(binary) = doctor::find(&path, "etcd") else {
        println!("skipped: etcd is not on PATH");
        return;
    };
    bench.start(B);
    let arguments = [
        "--data-dir={dir}/data",
        "--listen-client-urls=http://{address}:{port}",
        "--advertise-client-urls=http://node-0:{port}",
        "--listen-peer-urls=http://{address}:2380",
        "--initial-advertise-peer-urls=http://node-0:2380",
        "--initial-cluster=default=http://10.77.0.1:2380",
    ];
    let argv = std::iter::once(binary.to_string_lossy().into_owned());
    let argv = argv.chain(arguments.map(String::from)).collect();
    let create = NodeAction::Create(NodeSpec { argv, ..NodeSpec::default() });
    bench.apply(Effect::Node(A, create)).expect("there is room");
    bench.names(Some(ResolveBlow::Error));
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts");
    let logged = |text: &'static str| move |input: &Input| matches!(input, Input::Observed(Observed::Log { line, .. }) if line.contains(text));
    // It compares its name's address with the other, and tries again for as long as there is none.
    bench.until(logged("server misbehaving"));
    bench.pass(Millis(500));
    assert!(!bench.seen.iter().any(logged("ready to serve client requests")), "{:?}", bench.seen);
    let said = bench.names(None);
    assert!(said.contains("questions were struck"), "{said}");
    bench.until(logged("ready to serve client requests"));
}
