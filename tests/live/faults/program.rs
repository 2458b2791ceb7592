//! The programs that faults are measured on, none of which was written for it: a server in C, one in Go that is linked
//! statically and makes its calls itself, and a JVM. What is measured is the traffic of their own clients.

use seedfault::env::NodeSpec;
use seedfault::env::processes::doctor;
use seedfault::run::resp::{self, Reply};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Valkey, or Redis where that is not installed.
    Valkey,
    Etcd,
    Jvm,
}

/// What a client asks. A value is on the disk before its writer has an answer.
#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Ping,
    Put(&'a [u8]),
    Get,
    Time,
    /// To be answered, and then left alone: the program ends the connection.
    Leave,
    /// For the address of the node's own name; of the JVM alone.
    Resolve,
}

/// What came back, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it says of itself if it is an error.
    pub error: Option<String>,
    pub body: Vec<u8>,
    /// The time of day that it tells, in microseconds, if that was asked for.
    pub time: Option<i64>,
}

const STORE: &str = include_str!("Store.java");
const ETCD: [&str; 6] = [
    "--data-dir={dir}/data",
    "--listen-client-urls=http://{address}:{port}",
    "--advertise-client-urls=http://{address}:{port}",
    "--listen-peer-urls=http://{address}:2380",
    "--initial-advertise-peer-urls=http://{address}:2380",
    "--initial-cluster=default=http://{address}:2380",
];

impl Program {
    pub const ALL: [Self; 3] = [Self::Valkey, Self::Etcd, Self::Jvm];

    /// As the page calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Valkey => "valkey",
            Self::Etcd => "etcd",
            Self::Jvm => "JVM",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|program| program.name() == name)
    }

    /// Where it is installed.
    pub fn binary(self) -> Option<String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names: &[&str] = match self {
            Self::Valkey => &["valkey-server", "redis-server"],
            Self::Etcd => &["etcd"],
            Self::Jvm => &["java"],
        };
        let found = names.iter().find_map(|name| doctor::find(&path, name))?;
        Some(found.to_string_lossy().into_owned())
    }

    /// What it says of its version, in one line.
    pub fn version(self) -> Option<String> {
        let output = std::process::Command::new(self.binary()?).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let words: Vec<&str> = text.lines().next()?.split_whitespace().collect();
        Some(match self {
            Self::Valkey => {
                let version = words.iter().find_map(|word| word.strip_prefix("v=")).unwrap_or("?");
                let redis = words.iter().any(|word| word.contains("edis"));
                format!("{} {version}", if redis { "redis" } else { "valkey" })
            }
            Self::Etcd => format!("etcd {}", words.last().unwrap_or(&"?")),
            Self::Jvm => words.iter().take(2).copied().collect::<Vec<_>>().join(" "),
        })
    }

    pub fn node(self, binary: String) -> NodeSpec {
        let (arguments, files, data): (Vec<&str>, BTreeMap<String, String>, &[&str]) = match self {
            Self::Valkey => {
                let line = "--port {port} --bind {address} --dir {dir} --protected-mode no --appendonly yes \
                            --appendfsync always --enable-debug-command yes --save";
                let arguments = line.split(' ').filter(|word| !word.is_empty()).chain([""]).collect();
                (arguments, BTreeMap::new(), &["appendonlydir", "dump.rdb"])
            }
            Self::Etcd => (ETCD.to_vec(), BTreeMap::new(), &["data"]),
            Self::Jvm => {
                let files = BTreeMap::from([("Store.java".to_string(), STORE.to_string())]);
                // Without it an answer waits for the acknowledgement of its header.
                let line = "-Xshare:auto -Dsun.net.httpserver.nodelay=true Store.java {address} {port}";
                (line.split(' ').collect(), files, &["data"])
            }
        };
        let argv = std::iter::once(binary).chain(arguments.into_iter().map(String::from)).collect();
        let data_files = data.iter().map(ToString::to_string).collect();
        NodeSpec { argv, files, config_files: Vec::new(), data_files }
    }

    /// The executor's question for the time of day, of which it verifies a clock.
    pub fn asks_time(self) -> Option<&'static [&'static str]> {
        (self == Self::Valkey).then_some(&["TIME"])
    }

    /// How exactly it tells the time of day, in microseconds.
    pub fn grain(self) -> i64 {
        match self {
            Self::Valkey => 1,
            Self::Etcd => 1_000_000,
            Self::Jvm => 1000,
        }
    }

    pub fn request(self, ask: Ask) -> Vec<u8> {
        let http = |method: &str, path: &str, body: &[u8]| {
            let length = body.len();
            let head = format!("{method} {path} HTTP/1.1\r\nHost: node\r\nContent-Length: {length}\r\n\r\n");
            [head.as_bytes(), body].concat()
        };
        let leave = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        };
        let mut bytes = Vec::new();
        match (self, ask) {
            (Self::Valkey, Ask::Leave) => resp::encode(&["QUIT"], &mut bytes),
            (Self::Etcd, Ask::Leave) => return leave("/health"),
            (Self::Jvm, Ask::Leave) => return leave("/ping"),
            (Self::Valkey, Ask::Ping) => resp::encode(&["PING"], &mut bytes),
            (Self::Valkey, Ask::Put(value)) => resp::encode(&[&b"SET"[..], b"key", value], &mut bytes),
            (Self::Valkey, Ask::Get) => resp::encode(&["GET", "key"], &mut bytes),
            (Self::Valkey, Ask::Time) => resp::encode(&["TIME"], &mut bytes),
            // Its header tells the date of every answer.
            (Self::Etcd, Ask::Ping | Ask::Time) => return http("GET", "/health", b""),
            (Self::Etcd, Ask::Put(value)) => {
                let body = format!("{{\"key\": \"a2V5\", \"value\": \"{}\"}}", base64(value));
                return http("POST", "/v3/kv/put", body.as_bytes());
            }
            (Self::Etcd, Ask::Get) => return http("POST", "/v3/kv/range", b"{\"key\": \"a2V5\"}"),
            (Self::Jvm, Ask::Ping) => return http("GET", "/ping", b""),
            (Self::Jvm, Ask::Put(value)) => return http("POST", "/put", value),
            (Self::Jvm, Ask::Get) => return http("GET", "/get", b""),
            (Self::Jvm, Ask::Time) => return http("GET", "/time", b""),
            (Self::Jvm, Ask::Resolve) => return http("GET", "/resolve", b""),
            (_, Ask::Resolve) => unreachable!("others are not asked"),
        }
        bytes
    }

    /// The answer, once it is whole; an error for bytes that are none.
    pub fn answer(self, bytes: &[u8]) -> Result<Option<Answer>, String> {
        if self != Self::Valkey {
            return http(bytes).map(|answer| answer.map(|answer| self.read(answer)));
        }
        let Some((reply, _)) = resp::decode(bytes)? else { return Ok(None) };
        let time = match &reply {
            Reply::Array(items) => {
                let number = |place: usize| items.get(place)?.text()?.parse::<i64>().ok();
                number(0).zip(number(1)).map(|(seconds, micros)| seconds * 1_000_000 + micros)
            }
            _ => None,
        };
        let error = reply.error().map(String::from);
        let body = match reply {
            Reply::Bulk(body) => body,
            Reply::Simple(text) => text.into_bytes(),
            _ => Vec::new(),
        };
        Ok(Some(Answer { error, body, time }))
    }

    /// What an answer over HTTP means.
    fn read(self, Http { status, date, body }: Http) -> Answer {
        let text = String::from_utf8_lossy(&body).into_owned();
        let error = (status != 200).then(|| format!("{status} {}", text.trim()));
        let time = match self {
            Self::Jvm => text.split(' ').next().and_then(|word| word.parse().ok()),
            _ => date,
        };
        let quoted =
            text.split_once("\"value\":\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_string()));
        let body = match self {
            Self::Etcd => quoted.map_or_else(Vec::new, |word| unbase64(&word)),
            _ => body,
        };
        Answer { error, body, time }
    }
}

struct Http {
    status: u16,
    /// Of its header, in microseconds since 1970.
    date: Option<i64>,
    body: Vec<u8>,
}

/// As much of HTTP/1.1 as these servers speak: a length or chunks.
fn http(bytes: &[u8]) -> Result<Option<Http>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut rest = &bytes[end + 4..];
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("no answer over HTTP: {head}"))?;
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_string())
    };
    let date = field("date").and_then(|date| seconds(&date)).map(|seconds| seconds * 1_000_000);
    if let Some(length) = field("content-length").and_then(|length| length.parse::<usize>().ok()) {
        return Ok((rest.len() >= length).then(|| Http { status, date, body: rest[..length].to_vec() }));
    }
    if field("transfer-encoding").is_none() {
        return Ok(Some(Http { status, date, body: Vec::new() }));
    }
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let size =
            std::str::from_utf8(&rest[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.ok_or_else(|| "a chunk without a size".to_string())?;
        let (from, to) = (line + 2, line + 2 + size);
        if rest.len() < to + 2 {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(Http { status, date, body }));
        }
        body.extend_from_slice(&rest[from..to]);
        rest = &rest[to + 2..];
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970.
fn seconds(date: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = date.split(' ').collect();
    let [_, day, month, year, time, _] = words.as_slice() else { return None };
    let number = |text: &str| text.parse::<i64>().ok();
    let (day, month, year) = (number(day)?, MONTHS.find(month)? as i64 / 3 + 1, number(year)?);
    // Days since 1970 by the proleptic Gregorian calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let clock: Vec<i64> = time.split(':').filter_map(number).collect();
    let [hour, minute, second] = clock.as_slice() else { return None };
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let all = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place > three.len() { '=' } else { digit });
        }
    }
    text
}

/// What is no digit counts as 0: the bytes may have been garbled on their way.
fn unbase64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for four in text.as_bytes().chunks(4) {
        let value = |byte: u8| DIGITS.iter().position(|digit| *digit == byte).unwrap_or(0) as u32;
        let all = four.iter().fold(0, |all, byte| all << 6 | value(*byte)) << (6 * (4 - four.len()));
        let pads = four.iter().filter(|byte| **byte == b'=').count();
        bytes.extend_from_slice(&all.to_be_bytes()[1..4 - pads.min(2)]);
    }
    bytes
}
