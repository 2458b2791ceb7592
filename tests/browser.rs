//! Pages as a browser has them: the page of a run that goes on, and what hostile names do to the others. The browser is
//! Chromium, told what to do by its own protocol over a pipe; where there is none, nothing is tested, and that is said.

#![expect(clippy::disallowed_methods, reason = "what it looks at takes time")]

mod command;
mod servers;

use command::Place;
use seedfault::page::campaign::{Campaign, Finding, Mark, Run, Small, Verdict};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(120);

struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
}

impl Browser {
    /// `None` where there is no Chromium, unless one is wanted.
    fn start(place: &Place) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let Some(chromium) =
            std::env::split_paths(&path).map(|dir| dir.join("chromium")).find(|file| file.is_file())
        else {
            let wanted = std::env::var("SEEDFAULT_REQUIRE_SERVERS").as_deref() == Ok("1");
            assert!(!wanted, "there is no chromium, and SEEDFAULT_REQUIRE_SERVERS=1 wants one");
            println!("NOT RUN: there is no chromium");
            return None;
        };
        // It reads at 3 and writes at 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null"])
            .arg(chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", place.path.join("browser").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut browser = Self { child, to, from, session: None, number: 0 };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        browser.session =
            browser.ask("Target.attachToTarget", attach)["sessionId"].as_str().map(String::from);
        Some(browser)
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    fn answer(&mut self, method: &str, params: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("it listens");
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).expect("it answers");
            answer.pop();
            assert!(!answer.is_empty(), "the browser is gone");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == json!(self.number) {
                return answer;
            }
        }
    }

    fn open(&mut self, address: &str) {
        self.ask("Page.navigate", json!({"url": address}));
    }

    /// What an expression is worth in the page; nothing while it goes to another.
    fn eval(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.answer("Runtime.evaluate", asked);
        answer["result"]["result"]["value"].clone()
    }

    /// Asks until the expression is true.
    #[track_caller]
    fn until(&mut self, expression: &str) {
        let began = Instant::now();
        while self.eval(expression) != json!(true) {
            assert!(
                began.elapsed() < PATIENCE,
                "never: {expression}; the page: {}",
                self.eval("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn number(&mut self, expression: &str) -> f64 {
        let value = self.eval(expression);
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// No page is wider than its window, on a desk or in a hand, by day or by night.
    #[track_caller]
    fn fits(&mut self, page: &str) {
        for width in [1440, 390, 360] {
            for scheme in ["light", "dark"] {
                let scale = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
                self.ask("Emulation.setDeviceMetricsOverride", scale);
                let feature = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
                self.ask("Emulation.setEmulatedMedia", feature);
                let wide = self.number("document.documentElement.scrollWidth");
                assert!(wide <= f64::from(width), "{page}: {wide} wide in {width}, {scheme}");
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Real time, so that there is something to look at: a primary dies and is replaced.
const SCENARIO: &str = "fuzz: 1
target: valkey
cluster: {shards: 3, replicas: 1}
load: {clients: 3, rate: 60/s, keys: 8}
length: 6s
timeline:
  - {id: gone, at: 2s, do: {kill: {node: shard-0-primary}}}
checks: [slot_coverage, topology]
";

/// A tool that serves, and where.
fn serve(place: &Place, arguments: &[&str]) -> (Child, String) {
    let mut child = place
        .command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut talk = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let address = talk.find_map(|line| line.strip_prefix("live page: ").map(String::from));
    // What it says else is read, so that it can be said.
    std::thread::spawn(move || talk.for_each(drop));
    (child, address.expect("it says where"))
}

fn code(mut child: Child) -> Option<i32> {
    let mut out = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
    child.wait().expect("it ends").code()
}

/// The answer's first line to a plain question.
fn status(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("it reads");
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("it answers");
    line.trim().into()
}

#[test]
fn a_run_is_seen_while_it_goes_on_and_to_its_verdict() {
    let place = Place::new("browser-live");
    let Some(server) = servers::installed().into_iter().next() else {
        println!("NOT RUN: there is no server");
        return;
    };
    let Some(mut browser) = Browser::start(&place) else { return };
    place.write("kill.yaml", SCENARIO);
    let server = server.display().to_string();
    let arguments = [
        "run",
        "kill.yaml",
        "--seed",
        "1",
        "--env",
        "processes",
        "--server-binary",
        &server,
        "--no-shrink",
        "--serve",
    ];
    let (child, address) = serve(&place, &arguments);
    let (host, path) = address.trim_start_matches("http://").split_once('/').expect("a path");
    assert_eq!(status(host, "/"), "HTTP/1.1 403 Forbidden");
    assert_eq!(status(host, &format!("/{}/", "0".repeat(32))), "HTTP/1.1 403 Forbidden");
    assert_eq!(status(host, &format!("/{}/events", "0".repeat(32))), "HTTP/1.1 403 Forbidden");
    assert_eq!(status(host, &format!("/{path}")), "HTTP/1.1 200 OK");
    // One that asks for all and reads nothing holds nothing up.
    let mut deaf = TcpStream::connect(host).expect("it listens");
    deaf.write_all(format!("GET /{path}events HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
        .expect("it reads");

    browser.open(&address);
    browser.until("document.querySelector('#now')?.dataset.phase === 'safety'");
    let (now, x) =
        ("+document.querySelector('#now').dataset.us", "+document.querySelector('#now').dataset.x");
    let first = (browser.number(now), browser.number(x));
    browser.until(&format!("{now} > {} && {x} > {}", first.0, first.1));
    assert!(
        browser.number("document.querySelectorAll('#v1 svg.plot rect.pri').length") >= 3.0,
        "three primaries"
    );
    browser.fits("live");
    browser.ask("Page.reload", json!({}));
    browser.until("!!document.querySelector('#now')");
    let second = browser.number(now);
    browser.until(&format!("document.querySelector('#now') && {now} > {second}"));
    browser.until("/passed|failed|unknown/.test(document.querySelector('#live-state')?.textContent)");
    browser.until("document.body.innerText.includes('The run is over. ')");
    let told = browser.eval("document.querySelector('#live-state').textContent");
    let ended = Instant::now();
    let code = code(child);
    assert!(ended.elapsed() < Duration::from_secs(10), "it waits for two seconds at most");
    let expected = match code {
        Some(0) => "✓ passed",
        Some(1) => "✕ failed",
        _ => "? unknown",
    };
    assert_eq!(told, json!(expected), "as the exit code {code:?} says");
    // The process is gone; the page stays, and so does the report where there is one.
    let links = browser.eval("[...document.querySelectorAll('a[data-keep]')].map(a => a.href).join(' ')");
    let links = links.as_str().expect("text").to_string();
    if !links.is_empty() {
        browser
            .until("[...document.querySelectorAll('a[data-keep]')].every(a => a.href.startsWith('blob:'))");
        browser.fits("the verdict");
        browser.eval("document.querySelector('a[data-keep]').click()");
        browser.until("location.protocol === 'blob:' && !!document.querySelector('h1') && !document.querySelector('#live-head')");
        browser.fits("the report");
    }
    drop(deaf);
}

#[test]
fn without_a_script_the_page_asks_again_by_itself() {
    let place = Place::new("browser-plain");
    let Some(mut browser) = Browser::start(&place) else { return };
    place.write("well.yaml", "fuzz: 1\ntarget: embedded\ncluster: {shards: 3, replicas: 1}\nload: {clients: 3, rate: 60/s, keys: 8}\ndraw: {events: 2..4, over: 3s..4s, from: [pause, slow]}\nchecks: default\n");
    let (mut child, address) =
        serve(&place, &["campaign", "--spec", "well.yaml", "--budget", "60s", "--seed", "3", "--serve"]);
    browser.ask("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&address);
    // Asked from outside of the page.
    let runs = "parseInt(document.querySelector('h1')?.textContent)";
    browser.until(&format!("{runs} > 0"));
    let first = browser.number(runs);
    browser.until(&format!("{runs} > {first}"));
    let _ = child.kill();
    let _ = child.wait();
}

/// A campaign whose every text is this.
fn campaign(text: &str) -> Campaign {
    let run = |number: u64| Run {
        number,
        started: 1_773_439_200 + number as i64 * 60,
        origin: text.into(),
        seed: number.to_string(),
        shards: 3,
        replicas: 1,
        verdict: if number == 3 { Verdict::Fail } else { Verdict::Pass },
        why: text.into(),
        finding: (number == 3).then_some(1),
        wall_ms: 9_000,
        first: 10,
        ..Run::default()
    };
    Campaign {
        id: 1,
        is_over: true,
        spent_ms: 600_000,
        seed: "1".into(),
        mode: "guided".into(),
        target: "valkey".into(),
        environment: "exact".into(),
        server: text.into(),
        build: "0fc1".into(),
        command: Some(text.into()),
        runs: (0..10).map(run).collect(),
        findings: vec![Finding {
            id: 1,
            new: true,
            check: text.into(),
            reason: text.into(),
            server: text.into(),
            small: Some(Small { shape: text.into(), token: Some(text.into()), ..Small::default() }),
            repro: text.into(),
            replay: text.into(),
            upstream: Some(text.into()),
            ..Finding::default()
        }],
        marks: Some(vec![Mark { name: "promotion".into(), line: "a replica won".into(), runs: 0 }]),
        ..Campaign::default()
    }
}

#[test]
fn names_from_outside_neither_act_nor_burst_a_page() {
    let place = Place::new("browser-hostile");
    let Some(mut browser) = Browser::start(&place) else { return };
    // A drawing leaves out a label for which there is no room.
    let elements = "document.querySelectorAll('*:not(text)').length";
    let open = |browser: &mut Browser, text: &str| {
        let path = place.path.join("page.html");
        fs::write(&path, seedfault::page::campaign::page(&campaign(text))).expect("there is room");
        browser.open(&format!("file://{}", Path::new(&path).display()));
        browser.until("document.readyState === 'complete' && !!document.querySelector('h1')");
    };
    open(&mut browser, "plain");
    let plain = browser.number(elements);
    for hostile in [
        "<script>window.hit=1</script><img src=x onerror=window.hit=1>".to_string(),
        "\" onmouseover=\"window.hit=1\" x='".into(),
        "]]></style></script></svg></title><svg onload=window.hit=1>".into(),
        "w".repeat(500),
        "\u{0}\u{1b}[2J\u{202e}\r\n".into(),
    ] {
        open(&mut browser, &hostile);
        assert_eq!(browser.number(elements).to_bits(), plain.to_bits(), "{hostile:?}");
        assert_eq!(browser.eval("typeof window.hit"), json!("undefined"), "{hostile:?}");
        browser.fits(&hostile);
    }
}
