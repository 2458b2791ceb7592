//! A node of these tests: a server that answers lines, and that on request is a client of another node and tells
//! what it saw. This program itself, started again.

use nix::libc;
use nix::time::{ClockId, clock_gettime};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

const DIAL_MAX: Duration = Duration::from_secs(3);
/// How long a forked child waits before it looks at the clocks.
pub const FORKED: Duration = Duration::from_millis(300);

pub fn serve(address: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening at {address}");
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::Builder::new().spawn(move || drop(answer(&stream)))?;
    }
    Ok(())
}

/// `ping ID` is answered by `pong ID`, `take N` and N bytes by their sum, `time` by its clocks, `forked` by those of a
/// child of its own; the others are asked of a client.
fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    let mut out = stream;
    let mut peer: Option<TcpStream> = None;
    let (mut files, mut memory) = (Vec::new(), Vec::new());
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let said = match words.as_slice() {
            ["ping", id] => format!("pong {id}"),
            ["take", count] => {
                let mut bytes = vec![0; count.parse().unwrap_or(0)];
                lines.read_exact(&mut bytes)?;
                format!("sum {}", sum(&bytes))
            }
            ["time"] => clocks(),
            ["forked"] => forked()?,
            ["dial", to] => match dial(to) {
                Ok(stream) => {
                    peer = Some(stream);
                    "open".into()
                }
                Err(why) => why,
            },
            ["echo", id, patience] => match &peer {
                Some(peer) => echo(peer, id, Duration::from_millis(patience.parse().unwrap_or(0))),
                None => "alone".into(),
            },
            ["bulk", count] => match &peer {
                Some(peer) => bulk(peer, count.parse().unwrap_or(0)),
                None => "alone".into(),
            },
            ["leave"] => match peer.take() {
                Some(peer) => leave(&peer),
                None => "alone".into(),
            },
            ["disk", what @ ..] => disk(what),
            ["open", count] => {
                let more = (0..count.parse().unwrap_or(0)).map(|_| File::open("/dev/null"));
                match more.collect::<std::io::Result<Vec<File>>>() {
                    Ok(more) => {
                        files.extend(more);
                        "open".into()
                    }
                    Err(error) => error.raw_os_error().unwrap_or(0).to_string(),
                }
            }
            ["have", megabytes] => {
                // Written to, so that it is there.
                memory.push(vec![1u8; megabytes.parse::<usize>().unwrap_or(0) << 20]);
                memory.len().to_string()
            }
            ["burn", time] => burn(Duration::from_millis(time.parse().unwrap_or(0))),
            _ => "what?".into(),
        };
        // At once: a write that is cut in two comes as two.
        out.write_all(format!("{said}\n").as_bytes())?;
    }
}

/// In microseconds: the wall clock by each of the functions that tell it, and the one that counts from the boot.
fn clocks() -> String {
    let micros = |clock: ClockId| {
        clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000)
    };
    let mut day = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut second = 0;
    // In this order, so that none is less than the one before.
    #[expect(unsafe_code, reason = "both fill in what they are given")]
    unsafe {
        libc::gettimeofday(&raw mut day, std::ptr::null_mut());
    }
    let wall = micros(ClockId::CLOCK_REALTIME);
    let boot = micros(ClockId::CLOCK_MONOTONIC);
    #[expect(unsafe_code, reason = "both fill in what they are given")]
    unsafe {
        libc::time(&raw mut second);
    }
    let coarse = micros(ClockId::CLOCK_REALTIME_COARSE);
    format!("{} {wall} {coarse} {} {boot}", day.tv_sec * 1_000_000 + day.tv_usec, second * 1_000_000)
}

/// What a child tells that shares nothing with us but what a fork gives it. It lives until it is asked.
fn forked() -> std::io::Result<String> {
    let (reader, writer) = nix::unistd::pipe()?;
    #[expect(unsafe_code, reason = "the child reads clocks, writes to a pipe and ends")]
    let child = match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            // Long enough that the parent's clock is set meanwhile.
            std::thread::sleep(FORKED);
            let _ = nix::unistd::write(&writer, clocks().as_bytes());
            #[expect(unsafe_code, reason = "_exit takes a number and does not return")]
            unsafe {
                libc::_exit(0)
            }
        }
        nix::unistd::ForkResult::Parent { child } => child,
    };
    drop(writer);
    let said = std::io::read_to_string(std::fs::File::from(reader))?;
    nix::sys::wait::waitpid(child, None)?;
    Ok(said)
}

/// Writes by a mapping, and syncs that.
fn sync_map(file: &File) -> std::io::Result<usize> {
    use std::os::fd::AsRawFd;
    let (protection, length) = (libc::PROT_READ | libc::PROT_WRITE, 4096);
    #[expect(unsafe_code, reason = "a mapping of a file that is open, used before it is given back")]
    let synced = unsafe {
        let map = libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(map, libc::MAP_FAILED);
        map.cast::<u8>().write(b'm');
        let synced = libc::msync(map, length, libc::MS_SYNC);
        let error = std::io::Error::last_os_error();
        libc::munmap(map, length);
        if synced == 0 { Ok(()) } else { Err(error) }
    };
    synced.map(|()| 0)
}

/// A call to the disk: what it came to, and the microseconds that it took.
fn disk(what: &[&str]) -> String {
    let open = |name: &str| OpenOptions::new().create(true).append(true).open(name);
    let number = |text: &str| text.parse().unwrap_or(0);
    #[expect(clippy::disallowed_methods, reason = "it measures how long a real call takes")]
    let began = Instant::now();
    let came = match what {
        ["write", name, count] => open(name).and_then(|mut file| file.write(&vec![b'x'; number(count)])),
        // Where it writes is not where the file's end is.
        ["place", name, count, at] => {
            File::create(name).and_then(|file| file.write_at(&vec![b'y'; number(count)], number(at) as u64))
        }
        // Two parts in one call, from where the last write ended.
        ["parts", name, count] => File::create(name).and_then(|mut file| {
            let half = vec![b'z'; number(count) / 2];
            let first = file.write_vectored(&[IoSlice::new(&half), IoSlice::new(&half)])?;
            Ok(first + file.write(b"end")?)
        }),
        ["map", name] => File::options().read(true).write(true).open(name).and_then(|file| sync_map(&file)),
        ["copy", from, to] => fs::copy(from, to).map(|count| count as usize),
        ["read", name] => fs::read(name).map(|bytes| bytes.len()),
        ["sync", name] => open(name).and_then(|file| file.sync_all()).map(|()| 0),
        ["rename", from, to] => fs::rename(from, to).map(|()| 0),
        ["child", script] => {
            let status = Command::new("sh").args(["-c", &script.replace('_', " ")]).status();
            status.map(|status| status.code().unwrap_or(-1) as usize)
        }
        _ => Err(ErrorKind::Unsupported.into()),
    };
    let took = began.elapsed().as_micros();
    match came {
        Ok(count) => format!("{count} {took}"),
        Err(error) => format!("{} {took}", error.raw_os_error().map_or(0, |errno| -errno)),
    }
}

/// Wants a core for so long. Answers the microseconds that it had one, and the longest time for which it had none.
fn burn(time: Duration) -> String {
    let used = || {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .map_or(0, |time| time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000)
    };
    #[expect(clippy::disallowed_methods, reason = "it measures how long it really waits")]
    let began = Instant::now();
    let (first, mut last, mut longest) = (used(), Duration::ZERO, Duration::ZERO);
    while began.elapsed() < time {
        let now = began.elapsed();
        longest = longest.max(now.saturating_sub(last));
        last = now;
    }
    format!("{} {}", used() - first, longest.as_micros())
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

fn dial(to: &str) -> Result<TcpStream, String> {
    let to: SocketAddr = to.parse().map_err(|_| "no address".to_string())?;
    let stream = TcpStream::connect_timeout(&to, DIAL_MAX).map_err(|error| said(&error))?;
    stream.set_nodelay(true).map_err(|error| said(&error))?;
    Ok(stream)
}

fn said(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused".into(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".into(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock => "silent".into(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => "unreachable".into(),
        _ => error.to_string().replace(' ', "-"),
    }
}

/// Sends a ping and waits for its answer. Answers of earlier ones that came late are passed over.
fn echo(peer: &TcpStream, id: &str, patience: Duration) -> String {
    #[expect(clippy::disallowed_methods, reason = "it measures how long a real answer takes")]
    let began = Instant::now();
    let try_it = || -> std::io::Result<()> {
        let mut out = peer;
        peer.set_read_timeout(Some(patience))?;
        out.write_all(format!("ping {id}\n").as_bytes())?;
        let mut lines = BufReader::with_capacity(1, peer);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if line.trim() == format!("pong {id}") {
                return Ok(());
            }
        }
    };
    try_it().map_or_else(|error| said(&error), |()| began.elapsed().as_micros().to_string())
}

/// Says that nothing more comes, and how long it took until the other end, which then closes, had heard it.
fn leave(mut peer: &TcpStream) -> String {
    #[expect(clippy::disallowed_methods, reason = "it measures how long a real answer takes")]
    let began = Instant::now();
    let mut try_it = || -> std::io::Result<usize> {
        peer.shutdown(std::net::Shutdown::Write)?;
        peer.set_read_timeout(Some(Duration::from_secs(10)))?;
        peer.read(&mut [0])
    };
    match try_it() {
        Ok(0) => began.elapsed().as_micros().to_string(),
        Ok(_) => "more".into(),
        Err(error) => said(&error),
    }
}

fn bulk(mut peer: &TcpStream, count: usize) -> String {
    let bytes: Vec<u8> = (0..count).map(|n| (n * 7 % 251) as u8).collect();
    let mut try_it = || -> std::io::Result<String> {
        peer.set_read_timeout(Some(Duration::from_secs(30)))?;
        peer.write_all(format!("take {count}\n").as_bytes())?;
        peer.write_all(&bytes)?;
        let mut line = String::new();
        BufReader::new(peer).read_line(&mut line)?;
        Ok(line)
    };
    match try_it() {
        Ok(line) if line.trim() == format!("sum {}", sum(&bytes)) => "same".into(),
        Ok(_) => "different".into(),
        Err(error) => said(&error),
    }
}
