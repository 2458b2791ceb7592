//! Disks that fail under programs that nobody wrote for it: a JVM and etcd, which is written in Go and makes its calls
//! itself. Where they are not installed the cases say so and are passed over.

use super::{A, Bench};
use seedfault::env::processes::doctor;
use seedfault::env::{Effect, Env as _, Input, NodeAction, NodeSpec, Observed};
use seedfault::fault::disk::{DiskErrno, DiskRule, FileCall};
use seedfault::fault::resource::{Percent, ResourceRule};
use seedfault::fault::restart::RestartData;
use seedfault::time::Millis;
use std::collections::BTreeMap;

const JAVA: &str = r#"
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;

public class Writer {
    public static void main(String[] args) throws Exception {
        FileChannel file = FileChannel.open(Path.of("data"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        for (long at = 0; ; at += 100) {
            long began = System.nanoTime();
            try {
                int count = file.write(ByteBuffer.allocate(100), at);
                long written = System.nanoTime();
                file.force(false);
                System.out.println("wrote " + count + (written - began > 50_000_000 ? " slowly" : ""));
            } catch (Exception error) {
                System.out.println("failed: " + error.getMessage());
            }
            Thread.sleep(20);
        }
    }
}
"#;

impl Bench {
    /// Starts a program, if it is installed, and waits until it says so.
    pub fn program(
        &mut self,
        name: &str,
        arguments: &[&str],
        files: BTreeMap<String, String>,
        says: &str,
    ) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let Some(program) = doctor::find(&path, name) else {
            println!("live: skipped, no {name} is on PATH");
            return false;
        };
        let mut argv = vec![program.to_string_lossy().into_owned()];
        argv.extend(arguments.iter().map(ToString::to_string));
        let spec = NodeSpec { argv, files, ..NodeSpec::default() };
        self.apply(Effect::Node(A, NodeAction::Create(spec))).expect("there is room");
        self.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts");
        self.log_says(says);
        true
    }

    /// Waits for a line that it logs from now on.
    pub fn log_says(&mut self, text: &str) {
        self.seen.retain(|input| !matches!(input, Input::Observed(Observed::Log { .. })));
        self.until(
            |input| matches!(input, Input::Observed(Observed::Log { line, .. }) if line.contains(text)),
        );
    }
}

pub fn java(bench: &mut Bench) {
    let files = BTreeMap::from([("Writer.java".to_string(), JAVA.to_string())]);
    if !bench.program("java", &["-Xshare:auto", "Writer.java"], files, "wrote 100") {
        return;
    }
    bench.rule(DiskRule::Fail { call: FileCall::Sync, error: DiskErrno::Io, nth: 1, count: 0 });
    bench.log_says("failed: Input/output error");
    bench.heal();
    bench.log_says("wrote 100");
    bench.rule(DiskRule::Full { room: 130 });
    bench.log_says("wrote 30");
    bench.log_says("failed: No space left on device");
    bench.heal();
    bench.log_says("wrote 100");
    bench.rule(DiskRule::Slow { delay: Millis(60), read: Millis(0), rate: 0 });
    bench.log_says("wrote 100 slowly");
    bench.heal();
    bench.log_says("wrote 100");
    assert!(bench.disk_count("failed") > 1 && bench.disk_count("short") == 1);
}

pub const ETCD: [&str; 6] = [
    "--data-dir={dir}/data",
    "--listen-client-urls=http://{address}:{port}",
    "--advertise-client-urls=http://{address}:{port}",
    "--listen-peer-urls=http://{address}:2380",
    "--initial-advertise-peer-urls=http://{address}:2380",
    "--initial-cluster=default=http://{address}:2380",
];

/// A request of its gateway for JSON.
pub const PUT: &str = "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: 32\r\n\r\n{\"key\": \"a2V5\", \"value\": \"dg==\"}";

pub fn etcd(bench: &mut Bench) {
    if !bench.program("etcd", &ETCD, BTreeMap::new(), "serving") {
        return;
    }
    let client = bench.client(A);
    let put = |bench: &mut Bench| {
        let began = bench.env.wall();
        bench.say(client, PUT.trim_end());
        let answer = bench.hear(client);
        assert!(answer.contains("200 OK"), "{answer}");
        bench.env.wall().since(began).millis()
    };
    put(bench);
    bench.rule(DiskRule::Slow { delay: Millis(200), read: Millis(0), rate: 0 });
    let slow = put(bench);
    bench.heal();
    let times: Vec<Millis> = (0..5).map(|_| put(bench)).collect();
    assert!(slow >= Millis(200), "{slow} with a slow disk");
    assert!(times.iter().min() < Some(&Millis(200)), "{times:?} after the heal");
    bench.rule(DiskRule::Fail { call: FileCall::Sync, error: DiskErrno::Io, nth: 1, count: 1 });
    bench.say(client, PUT.trim_end());
    // A write-ahead log that cannot be synced ends it.
    let exit = bench.exit(A);
    assert_eq!(bench.struck().1, "an fsync of node-0 failed by EIO");
    println!("live: etcd ended by {exit}");
    bench.heal();
}

/// A JVM that wants two cores, and says whether it can still open a file.
const BURN: &str = r#"
import java.io.FileInputStream;

public class Burn {
    public static void main(String[] args) throws Exception {
        for (int i = 0; i < 2; i++) {
            Thread thread = new Thread(() -> { long sum = 0; while (true) sum += System.nanoTime(); });
            thread.setDaemon(true);
            thread.start();
        }
        while (true) {
            Thread.sleep(50);
            try (FileInputStream file = new FileInputStream("/dev/null")) {
                System.out.println("opened");
            } catch (Exception error) {
                System.out.println("failed: " + error.getMessage());
            }
        }
    }
}
"#;

pub fn short(bench: &mut Bench) {
    let files = BTreeMap::from([("Burn.java".to_string(), BURN.to_string())]);
    if !bench.program("java", &["-Xshare:auto", "Burn.java"], files, "opened") {
        return;
    }
    for percent in [20, 120] {
        bench.take("share", ResourceRule::Share(Percent(percent))).expect("it runs");
        bench.wait(Millis(1500));
        println!("live: a JVM with two busy threads: {}", bench.give_back("share").expect("it had no more"));
    }
    bench.take("files", ResourceRule::Files { spare: 0 }).expect("it runs");
    bench.log_says("Too many open files");
    bench.give_back("files").expect("it is over");
    bench.log_says("opened");
    bench.take("hog", ResourceRule::Hog { threads: 2 }).expect("it runs");
    bench.wait(Millis(1000));
    println!("live: a JVM beside two busy threads: {}", bench.give_back("hog").expect("it is over"));
}
