//! A server that lies: etcd behind a proxy which answers what etcd did not say. A run starts it in etcd's place, so that
//! a check is seen to fail for a reason that its author knows.
//!
//! It is this very test binary, started by a script that names one test, with the lie in its environment. etcd listens
//! one port higher, and dies with the liar (`setpriv --pdeathsig`).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Which lie is told.
pub const LIE: &str = "SEEDFAULT_LIE";
/// etcd's configuration file.
const CONFIGURATION: &str = "SEEDFAULT_LIE_CONFIGURATION";
/// How long etcd is waited for before it is spoken for.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Writes the script that a run takes for etcd.
pub fn script(folder: &Path, lie: &str) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder for the script");
    let path = folder.join(format!("etcd-{lie}"));
    let binary = std::env::current_exe().expect("this binary has a path");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec etcd --version\n\
         {LIE}={lie} {CONFIGURATION}=\"$2\" exec '{}' the_server_that_lies --exact --nocapture\n",
        binary.display()
    );
    std::fs::write(&path, text).expect("the script can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
    path
}

/// Whether this process is a liar; then it does not come back.
pub fn lies() {
    let Ok(lie) = std::env::var(LIE) else { return };
    let configuration = PathBuf::from(std::env::var(CONFIGURATION).expect("the script names it"));
    serve(&lie, &configuration).expect("the proxy works");
}

#[expect(clippy::disallowed_methods, reason = "a proxy is a thread per connection")]
fn serve(lie: &str, configuration: &Path) -> io::Result<()> {
    let text = std::fs::read_to_string(configuration)?;
    let line = text.lines().find_map(|line| line.strip_prefix("listen-client-urls: \"http://"));
    let own = line.expect("it says where it listens").trim_end_matches('"').to_string();
    let (address, port) = own.rsplit_once(':').expect("an address and a port");
    let behind = format!("{address}:{}", port.parse::<u16>().expect("a port") + 1);
    let listens = format!("listen-client-urls: \"http://{own}\"");
    let moved = text.replace(&listens, &format!("listen-client-urls: \"http://{behind}\""));
    let other = configuration.with_extension("behind");
    std::fs::write(&other, moved)?;
    let folder = configuration.parent().expect("it lies in a folder");
    let mut etcd = Command::new("setpriv");
    etcd.args(["--pdeathsig", "KILL", "etcd", "--config-file"]).arg(&other);
    let restarted = folder.join("data").exists();
    if lie == "wiped" && restarted {
        std::fs::remove_dir_all(folder.join("data"))?;
    }
    let mut child = etcd.spawn()?;
    std::thread::spawn(move || {
        let ended = child.wait();
        std::process::exit(ended.ok().and_then(|status| status.code()).unwrap_or(1));
    });
    let listener = TcpListener::bind(&own)?;
    // What a member holds is lied about by one of them.
    let one = restarted || address.ends_with(".3");
    let lie: &'static str = Box::leak(lie.to_string().into_boxed_str());
    let behind: &'static str = Box::leak(behind.into_boxed_str());
    for client in listener.incoming().flatten() {
        std::thread::spawn(move || {
            // Whichever side goes away ends the connection.
            let _ = converse(lie, behind, client, one);
        });
    }
    Ok(())
}

/// A head and its body, of a request or an answer. Nothing when the other side has gone.
fn message(from: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut head, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= lower.starts_with("transfer-encoding:");
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    while chunked {
        let mut size = String::new();
        from.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        let mut part = vec![0; size + 2];
        from.read_exact(&mut part)?;
        body.extend(&part[..size]);
        chunked = size > 0;
    }
    Ok(Some((head, body)))
}

fn answer(client: &mut TcpStream, status: &str, body: &[u8]) -> io::Result<()> {
    let head =
        format!("{status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    client.write_all(&[head.as_bytes(), body].concat())
}

static WRITES: AtomicU64 = AtomicU64::new(0);

fn converse(lie: &str, behind: &str, mut client: TcpStream, one: bool) -> io::Result<()> {
    let mut requests = BufReader::new(client.try_clone()?);
    let mut server: Option<BufReader<TcpStream>> = None;
    while let Some((head, body)) = message(&mut requests)? {
        let puts = head.starts_with("POST /v3/kv/put ");
        let done = br#"{"header":{"cluster_id":"1","member_id":"1","revision":"1","raft_term":"1"}}"#;
        if lie == "drops-writes" && puts && WRITES.fetch_add(1, Ordering::Relaxed) % 10 == 9 {
            answer(&mut client, "HTTP/1.1 200 OK", done)?;
            continue;
        }
        let asked_for_all = String::from_utf8_lossy(&body).contains("range_end");
        let mut connection = match server.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(behind)?),
        };
        let request = format!("{}Content-Length: {}\r\n\r\n", without_length(&head), body.len());
        connection.get_mut().write_all(&[request.as_bytes(), &body].concat())?;
        let impatient = lie == "answers-alone" && puts;
        connection.get_ref().set_read_timeout(impatient.then_some(PATIENCE))?;
        match message(&mut connection) {
            Ok(Some((head, mut body))) => {
                let status = head.lines().next().unwrap_or_default().to_string();
                if one && asked_for_all {
                    body = changed(lie, body);
                }
                if impatient && !status.contains(" 200 ") {
                    answer(&mut client, "HTTP/1.1 200 OK", done)?;
                } else {
                    answer(&mut client, &status, &body)?;
                }
                server = Some(connection);
            }
            Ok(None) => return Ok(()),
            // Nobody has said that it is done.
            Err(_) if impatient => answer(&mut client, "HTTP/1.1 200 OK", done)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a member says that it holds: without every fifth key, or with the values of two keys swapped.
fn changed(lie: &str, body: Vec<u8>) -> Vec<u8> {
    let Ok(mut told) = serde_json::from_slice::<serde_json::Value>(&body) else { return body };
    let Some(held) = told["kvs"].as_array_mut() else { return body };
    match lie {
        "thins-out" => {
            let mut place = 0;
            held.retain(|_| {
                place += 1;
                place % 5 != 0
            });
        }
        "swaps" if held.len() > 1 => {
            let first = held[0]["value"].take();
            let second = std::mem::replace(&mut held[1]["value"], first);
            held[0]["value"] = second;
        }
        _ => return body,
    }
    told.to_string().into_bytes()
}

fn without_length(head: &str) -> String {
    let lines = head.split_inclusive("\r\n");
    lines.filter(|line| !line.to_ascii_lowercase().starts_with("content-length:")).collect()
}
