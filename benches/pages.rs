//! How long the page of a run takes, from its folder: `cargo bench --bench pages`.
//!
//! A run of 60 events on six nodes in virtual time; with `-- wide` also one of 48 nodes over five minutes, which takes some
//! minutes to make. Both are made by the first Redis or Valkey server on `PATH`; without one there is nothing to measure.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const FUZZ: &str = env!("CARGO_BIN_EXE_fuzz");
const ROUNDS: usize = 9;

fn main() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let find =
        |name: &str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file());
    let Some(server) = ["redis-server", "valkey-server"].iter().find_map(|name| find(name)) else {
        println!("NOT MEASURED: neither redis-server nor valkey-server is installed");
        return;
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-pages");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    measure(&folder, &server, "60 events, 6 nodes, 70 s", "{shards: 3, replicas: 1}", (70, 60));
    if std::env::args().any(|argument| argument == "wide") {
        measure(&folder, &server, "60 events, 48 nodes, 300 s", "{shards: 16, replicas: 2}", (300, 280));
    }
    let _ = fs::remove_dir_all(&folder);
}

#[expect(clippy::disallowed_methods, reason = "measuring is what it is for")]
fn measure(folder: &Path, server: &Path, name: &str, cluster: &str, (length, over): (u32, u32)) {
    let scenario = folder.join("scenario.yaml");
    let text = format!(
        "fuzz: 1\nseed: 7\ntarget: valkey\nenvironment: exact\ncluster: {cluster}\nload: {{clients: 6, rate: 300/s}}\n\
         length: {length}s\ndraw: {{events: 60, over: {over}s}}\n"
    );
    fs::write(&scenario, text).expect("writable");
    let run = folder.join("run");
    let _ = fs::remove_dir_all(&run);
    let fuzz = |arguments: &[&str]| {
        let status = Command::new(FUZZ).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("the tool starts").code()
    };
    let (scenario, out) = (scenario.to_string_lossy(), run.to_string_lossy());
    fuzz(&[
        "run",
        &scenario,
        "--server-binary",
        &server.to_string_lossy(),
        "--out",
        &out,
        "-q",
        "--no-shrink",
    ]);
    let record = fs::metadata(run.join("record.json")).expect("the run left a record").len();
    let mut times: Vec<u128> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(fuzz(&["report", &out]), Some(0), "the page is made");
            began.elapsed().as_millis()
        })
        .collect();
    times.sort_unstable();
    let page = fs::metadata(run.join("report.html")).expect("just made").len();
    println!(
        "{name}: {} ms, the median of {ROUNDS} ({} to {}), the whole command; record {} kB, page {} kB",
        times[ROUNDS / 2],
        times[0],
        times[ROUNDS - 1],
        record / 1000,
        page / 1000
    );
}
