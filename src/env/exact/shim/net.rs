//! The network. A TCP socket is a Unix socket underneath: the kernel's TCP has timers of real time (Nagle's
//! algorithm, delayed acknowledgement) and hands bulk data over in pieces of its own choice. Names of sockets
//! carry the address and port that the server believes in: `\0sf`, the run's token, eight digits of address, four
//! of port, and behind them whatever makes the name unique.

use crate::slot::*;
use crate::sys::*;
use crate::{AREA, ask, send_descriptor, slot, sys};
use core::sync::atomic::Ordering::Acquire;

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const EAFNOSUPPORT: i32 = 97;

#[repr(C)]
pub struct Inet {
    family: u16,
    /// Big-endian, as is the address.
    port: [u8; 2],
    address: [u8; 4],
    zero: [u8; 8],
}

#[repr(C)]
struct Unix {
    family: u16,
    name: [u8; 108],
}

/// Bytes of a name up to the port's last digit.
const NAME: usize = 3 + 16 + 8 + 4;

fn hex(out: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
        pair[1] = b"0123456789abcdef"[usize::from(byte & 15)];
    }
}

fn unhex(out: &mut [u8], digits: &[u8]) {
    let value = |digit: u8| if digit <= b'9' { digit.wrapping_sub(b'0') } else { digit.wrapping_sub(b'a' - 10) };
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0]) << 4 | value(pair[1]) & 15;
    }
}

unsafe fn named(inet: &Inet) -> Unix {
    let mut unix = Unix { family: AF_UNIX, name: [0; 108] };
    unix.name[1..3].copy_from_slice(b"sf");
    let header = unsafe { &*AREA.load(Acquire).cast::<Header>() };
    unix.name[3..19].copy_from_slice(&header.token);
    hex(&mut unix.name[19..27], &inet.address);
    hex(&mut unix.name[27..31], &inet.port);
    unix
}

/// Gives a name of ours to the caller as an address of the Internet; every other as it is.
unsafe fn give(unix: &Unix, length: u32, out: *mut u8, out_length: *mut u32) {
    unsafe {
        if out.is_null() || out_length.is_null() {
            return;
        }
        let of_a_file = unix.family == AF_UNIX && length > 2 && unix.name[0] != 0;
        if of_a_file || unix.family != AF_UNIX {
            let count = length.min(*out_length) as usize;
            core::ptr::copy_nonoverlapping((&raw const *unix).cast::<u8>(), out, count);
            *out_length = length;
            return;
        }
        let mut inet = Inet { family: AF_INET, port: [0; 2], address: [0; 4], zero: [0; 8] };
        if length as usize >= 2 + NAME && &unix.name[1..3] == b"sf" {
            unhex(&mut inet.address, &unix.name[19..27]);
            unhex(&mut inet.port, &unix.name[27..31]);
        }
        let size = size_of::<Inet>() as u32;
        core::ptr::copy_nonoverlapping((&raw const inet).cast::<u8>(), out, size.min(*out_length) as usize);
        *out_length = size;
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn socket(domain: i32, kind: i32, protocol: i32) -> i32 {
    const SOCK_STREAM: i32 = 1;
    unsafe {
        if slot().is_none() || !(domain == i32::from(AF_INET) || domain == i32::from(AF_INET6)) {
            return answer(sys!(SYS_SOCKET, domain, kind, protocol)) as i32;
        }
        if domain == i32::from(AF_INET6) || kind & 15 != SOCK_STREAM {
            return fail(EAFNOSUPPORT) as i32;
        }
        answer(sys!(SYS_SOCKET, AF_UNIX, kind, 0)) as i32
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn bind(fd: i32, address: *const Inet, length: u32) -> i32 {
    unsafe {
        if slot().is_none() || (*address).family != AF_INET {
            return answer(sys!(SYS_BIND, fd, address, length)) as i32;
        }
        let unix = named(&*address);
        answer(sys!(SYS_BIND, fd, &raw const unix, 2 + NAME)) as i32
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn connect(fd: i32, address: *const Inet, length: u32) -> i32 {
    unsafe {
        let Some(slot) = slot().filter(|_| (*address).family == AF_INET) else {
            return answer(sys!(SYS_CONNECT, fd, address, length)) as i32;
        };
        send_descriptor(fd);
        let (ip, port) = (u32::from_be_bytes((*address).address), u16::from_be_bytes((*address).port));
        match ask(slot, CONNECT, [i64::from(ip), i64::from(port)]) {
            0 => 0,
            error => fail(-error as i32) as i32,
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(fd: i32, address: *mut u8, length: *mut u32, flags: i32) -> i32 {
    unsafe {
        if slot().is_none() {
            return answer(sys!(SYS_ACCEPT4, fd, address, length, flags)) as i32;
        }
        let mut unix = Unix { family: 0, name: [0; 108] };
        let mut size = size_of::<Unix>() as u32;
        let done = sys!(SYS_ACCEPT4, fd, &raw mut unix, &raw mut size, flags);
        if done >= 0 {
            give(&unix, size, address, length);
        }
        answer(done) as i32
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(fd: i32, address: *mut u8, length: *mut u32) -> i32 {
    unsafe { accept4(fd, address, length, 0) }
}

unsafe fn name_of(which: usize, fd: i32, address: *mut u8, length: *mut u32) -> i32 {
    unsafe {
        if slot().is_none() {
            return answer(sys!(which, fd, address, length)) as i32;
        }
        let mut unix = Unix { family: 0, name: [0; 108] };
        let mut size = size_of::<Unix>() as u32;
        let done = sys!(which, fd, &raw mut unix, &raw mut size);
        if done >= 0 {
            give(&unix, size, address, length);
        }
        answer(done) as i32
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getsockname(fd: i32, address: *mut u8, length: *mut u32) -> i32 {
    unsafe { name_of(SYS_GETSOCKNAME, fd, address, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(fd: i32, address: *mut u8, length: *mut u32) -> i32 {
    unsafe { name_of(SYS_GETPEERNAME, fd, address, length) }
}

/// What is set of TCP and IP has no meaning for what lies underneath.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setsockopt(fd: i32, level: i32, name: i32, value: *const u8, length: u32) -> i32 {
    const SOL_SOCKET: i32 = 1;
    unsafe {
        if slot().is_some() && level != SOL_SOCKET {
            return 0;
        }
        answer(sys!(SYS_SETSOCKOPT, fd, level, name, value, length)) as i32
    }
}

/// The connection and the side that a socket is, from the name of its other end: a full stop, the number, and an `f`
/// for the side that was connected to.
unsafe fn connection_of(fd: i32) -> Option<[i64; 2]> {
    unsafe {
        let mut unix = Unix { family: 0, name: [0; 108] };
        let mut size = size_of::<Unix>() as u32;
        if sys!(SYS_GETPEERNAME, fd, &raw mut unix, &raw mut size) != 0 || &unix.name[1..3] != b"sf" {
            return None;
        }
        let (stop, digits) = unix.name.get(NAME..size as usize - 2)?.split_first()?;
        let number = digits.iter().take_while(|digit| digit.is_ascii_digit());
        let number = number.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        (*stop == b'.').then_some([number, i64::from(digits.last() == Some(&b'f'))])
    }
}

// `recv` and `send` hand no address over: the fifth and sixth arguments of the calls underneath are zero.

/// What came of a read or a write, where a socket has ended: a Unix socket tells of an end, and never of the reset
/// that TCP would tell of once.
pub unsafe fn of_stream(fd: i32, done: isize) -> isize {
    const EPIPE: isize = -32;
    const ECONNRESET: isize = -104;
    if done != 0 && done != EPIPE {
        return done;
    }
    unsafe {
        match (slot(), connection_of(fd)) {
            (Some(slot), Some(connection)) if ask(slot, ENDED, connection) == 1 => ECONNRESET,
            _ => done,
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: i32, parts: *const u8, count: i32) -> isize {
    unsafe { answer(of_stream(fd, sys!(SYS_WRITEV, fd, parts, count))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: i32, out: *mut u8, length: usize, flags: i32) -> isize {
    unsafe { answer(of_stream(fd, sys!(SYS_RECVFROM, fd, out, length, flags))) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: i32, bytes: *const u8, length: usize, flags: i32) -> isize {
    unsafe { answer(of_stream(fd, sys!(SYS_SENDTO, fd, bytes, length, flags))) }
}
