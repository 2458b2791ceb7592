//! What a loss of power takes from a node, and what it leaves: of a program of ours, of etcd and of a JVM.

use super::disk::EVENT;
use super::programs::ETCD;
use super::{A, Bench};
use seedfault::env::{ConnId, Effect, Exit, Input, NodeAction, NodeSpec, Observed};
use seedfault::fault::disk::{Blow, DiskRule, FileCall};
use seedfault::fault::kill::Signal;
use seedfault::fault::restart::RestartData;
use std::collections::BTreeMap;
use std::fs;

impl Bench {
    /// Cuts the power, and answers the bytes that are lost.
    fn cut_power(&mut self) -> u64 {
        let done = self.apply(Effect::Node(A, NodeAction::PowerLoss(EVENT.into(), true)));
        let said = done.expect("its folder is served");
        assert_eq!(self.exit(A), Exit::Signal(9));
        assert_eq!(self.struck(), (None, said.clone()));
        lost(&said)
    }

    fn start_again(&mut self) {
        self.seen.retain(|input| !matches!(input, Input::Observed(Observed::Log { .. })));
        self.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts again");
        self.until(|input| matches!(input, Input::Observed(Observed::Log { .. })));
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.run.join(format!("nodes/{A}/{name}"))).expect("it is there")
    }
}

fn lost(said: &str) -> u64 {
    let bytes = said.split(' ').next().and_then(|word| word.parse().ok());
    bytes.unwrap_or_else(|| panic!("{said}"))
}

pub fn loss(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write synced 700"), 700);
    assert_eq!(bench.came(client, "sync synced"), 0);
    assert_eq!(bench.came(client, "write appended 300"), 300);
    assert_eq!(bench.came(client, "sync appended"), 0);
    assert_eq!(bench.came(client, "write appended 100000"), 100_000);
    assert_eq!(bench.came(client, "write never 50000"), 50_000);
    // What takes the place of another is written out with the rename, what takes a new name is not.
    assert_eq!(bench.came(client, "write old 5"), 5);
    assert_eq!(bench.came(client, "write new 20000"), 20_000);
    assert_eq!(bench.came(client, "rename new old"), 0);
    assert_eq!((bench.length("appended"), bench.length("never")), (100_300, 50_000));
    let lost = bench.cut_power();
    let (appended, never) = (bench.length("appended"), bench.length("never"));
    assert_eq!(bench.length("synced"), 700);
    assert_eq!(bench.length("old"), 20_000);
    assert!((300..100_300).contains(&appended) && never < 50_000, "{appended} and {never} are left");
    assert_eq!(appended + never + lost, 150_300);
    bench.start_again();
    let client = bench.client(A);
    // It sees what is left, and what it writes from now on is no part of what was lost before.
    assert_eq!(bench.came(client, "write never 10"), 10);
    assert_eq!(bench.length("never"), never + 10);
    assert_eq!(bench.came(client, "copy appended copied"), appended as i64);
    assert!(bench.cut_power() <= 10 + appended);
    assert!((never..=never + 10).contains(&bench.length("never")));
}

pub fn kill(bench: &mut Bench) {
    let client = bench.alone();
    assert_eq!(bench.came(client, "write data 100000"), 100_000);
    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it ends");
    assert_eq!(bench.exit(A), Exit::Signal(9));
    assert_eq!(bench.length("data"), 100_000, "the kernel keeps it");
    bench.start_again();
    let client = bench.client(A);
    assert_eq!(bench.came(client, "write data 10"), 10);
    assert!(bench.cut_power() > 0, "and has not written it out yet");
    assert!(bench.length("data") < 100_000);
    bench.start_again();
    bench.apply(Effect::Node(A, NodeAction::Signal(Signal::Kill))).expect("it ends");
    let down = bench.apply(Effect::Node(A, NodeAction::PowerLoss(EVENT.into(), true)));
    assert!(down.is_err(), "nobody is there who could lose it: {down:?}");
}

pub fn strike(bench: &mut Bench) {
    let client = bench.alone();
    bench.rule(DiskRule::Strike { call: FileCall::Sync, nth: 2, how: Blow::Power });
    assert_eq!(bench.came(client, "write data 1000"), 1000);
    assert_eq!(bench.came(client, "sync data"), 0);
    assert_eq!(bench.came(client, "write data 100000"), 100_000);
    bench.say(client, "disk sync data");
    assert_eq!(bench.struck(), (Some(Blow::Power), "node-0 lost its power before an fsync".into()));
    assert_eq!(bench.exit(A), Exit::Signal(9));
    assert!(lost(&bench.struck().1) > 0);
    assert!((1000..101_000).contains(&bench.length("data")));
    bench.heal();
    bench.start_again();
}

/// What programs do to a folder, and what it comes to with and without our file system.
pub fn folder(bench: &mut Bench) {
    const SCRIPT: &str = "set -e; umask 027; exec 2>&1; mkdir -p a/b; echo one > a/one; echo more >> a/one; \
        ln -s one a/link; ln a/one a/hard; mv a/one a/b/two; cat a/b/two a/hard; readlink a/link; \
        printf 123456 > t; truncate -s 3 t; truncate -s 5 t; od -c t; chmod 600 t; stat -c '%a %s %h' t a a/b/two; \
        touch -d @1000000000 t; stat -c %Y t; exec 3<> t; rm t; echo still >&3; cat /dev/fd/3 || true; exec 3>&-; \
        mkfifo f; stat -c %F f; for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5 6 7 8 9; do : > a/b/$i$j; done; done; \
        ls a/b | sort | md5sum; dd if=/dev/zero of=big bs=64k count=20 status=none; cp big bigger; cmp big bigger; \
        mv bigger big; fallocate -l 3M big; stat -c %s big; rm -r a; rmdir a 2>/dev/null || echo none; ls -A | sort; \
        flock big true; mv none some 2>/dev/null || echo missing; echo end";
    let files = BTreeMap::from([("script".to_string(), SCRIPT.to_string())]);
    let argv = vec!["sh".to_string(), "{dir}/script".to_string()];
    let spec = NodeSpec { argv, files, ..NodeSpec::default() };
    bench.apply(Effect::Node(A, NodeAction::Create(spec))).expect("there is room");
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts");
    let exit = bench.exit(A);
    let served = bench.content("server.log");
    assert_eq!(exit, Exit::Code(0), "{served}");
    let plain = bench.run.join("plain");
    fs::create_dir_all(&plain).expect("writable");
    for name in ["exit.txt", "script", "server.log"] {
        fs::write(plain.join(name), SCRIPT).expect("writable");
    }
    let said = std::process::Command::new("sh").arg("script").current_dir(&plain).output().expect("it runs");
    assert_eq!(
        served.replace("exit.txt\n", ""),
        String::from_utf8_lossy(&said.stdout).replace("exit.txt\n", "")
    );
}

pub fn etcd(bench: &mut Bench) {
    if !bench.program("etcd", &ETCD, BTreeMap::new(), "serving") {
        return;
    }
    let mut written = 0;
    let mut total = 0;
    for round in 0..3 {
        let client = bench.client(A);
        for _ in 0..20 {
            let body = format!("{{\"key\": \"{}\", \"value\": \"dg==\"}}", base64(&format!("k{written:05}")));
            let answer = request(bench, client, "put", &body);
            assert!(answer.contains("200 OK"), "{answer}");
            written += 1;
        }
        total += bench.cut_power();
        bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts again");
        bench.log_says("serving");
        let client = bench.client(A);
        let all = format!(
            "{{\"key\": \"{}\", \"range_end\": \"{}\", \"count_only\": true}}",
            base64("k"),
            base64("l")
        );
        let answer = request(bench, client, "range", &all);
        assert!(answer.contains(&format!("\"count\":\"{written}\"")), "round {round}: {answer}");
    }
    println!("live: etcd kept {written} keys and lost {total} bytes that it had not synced");
}

fn request(bench: &mut Bench, client: ConnId, what: &str, body: &str) -> String {
    let length = body.len();
    let text = format!("POST /v3/kv/{what} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {length}\r\n\r\n{body}");
    bench.say(client, &text);
    bench.hear(client)
}

/// Of text whose length is a multiple of three, or any.
fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in text.as_bytes().chunks(3) {
        let word =
            part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for digit in 0..4 {
            let value = DIGITS[(word >> (18 - 6 * digit)) as usize & 63] as char;
            out.push(if digit <= part.len() { value } else { '=' });
        }
    }
    out
}

const JAVA: &str = r#"
import java.nio.*;
import java.nio.channels.FileChannel;
import java.nio.file.*;

public class Keeper {
    public static void main(String[] args) throws Exception {
        FileChannel file = FileChannel.open(Path.of("data"), StandardOpenOption.CREATE, StandardOpenOption.READ,
            StandardOpenOption.WRITE);
        if (file.size() == 0) {
            byte[] old = new byte[100000];
            java.util.Arrays.fill(old, (byte) 'o');
            file.write(ByteBuffer.wrap(old), 0);
            file.force(true);
            MappedByteBuffer map = file.map(FileChannel.MapMode.READ_WRITE, 0, 100000);
            for (int at = 0; at < 8192; at++) map.put(at, (byte) 'm');
            map.force();
            byte[] fresh = new byte[50000];
            java.util.Arrays.fill(fresh, (byte) 'n');
            file.write(ByteBuffer.wrap(fresh), 8192);
        }
        System.out.println("keeps " + file.size());
        Thread.sleep(600000);
    }
}
"#;

pub fn java(bench: &mut Bench) {
    let files = BTreeMap::from([("Keeper.java".to_string(), JAVA.to_string())]);
    if !bench.program("java", &["-Xshare:auto", "Keeper.java"], files, "keeps 100000") {
        return;
    }
    assert_eq!(bench.content("data").matches('n').count(), 50_000);
    assert!(bench.cut_power() > 0);
    let data = bench.content("data");
    let (kept, new) = (data.matches('m').count(), data.matches('n').count());
    assert_eq!(
        (data.len(), kept),
        (100_000, 8192),
        "a mapping that was forced, and a size that did not change"
    );
    // In whole blocks.
    assert!(
        new <= 50_000 && data.matches('o').count() == 100_000 - 8192 - new,
        "{new} of those written over it"
    );
    bench.apply(Effect::Node(A, NodeAction::Start(RestartData::Kept))).expect("it starts again");
    bench.log_says("keeps 100000");
}
