//! Files that would tell of the real world, randomness, and the pipes of a forked child, which block.

use crate::slot::{FD_RANDOM, FD_SETTING, FD_SMAPS, FD_STAT, Slot};
use crate::sys::*;
use crate::wait::{Poll, wait_for};
use crate::{IS_CHILD, disk, net, real, slot, sys};
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::Ordering::Relaxed;

const _: () = assert!(FD_RANDOM == 902 && FD_STAT == 903 && FD_SMAPS == 904 && FD_SETTING == 906);

/// The file to open in place of this one.
unsafe fn instead(path: *const c_char) -> *const c_char {
    let Some(slot) = slot() else { return path };
    slot.touched.store(1, Relaxed);
    if path.is_null() {
        return path;
    }
    let name = unsafe { CStr::from_ptr(path) }.to_bytes();
    let of_a_process = name.starts_with(b"/proc/") && name != b"/proc/stat";
    if name.starts_with(b"/proc/sys/") || name.starts_with(b"/sys/") {
        // How the kernel is set up: servers warn of it.
        c"/proc/self/fd/906".as_ptr()
    } else if name == b"/dev/urandom" || name == b"/dev/random" {
        c"/proc/self/fd/902".as_ptr()
    } else if of_a_process && name.ends_with(b"/stat") {
        c"/proc/self/fd/903".as_ptr()
    } else if of_a_process && (name.ends_with(b"/smaps") || name.ends_with(b"/smaps_rollup")) {
        c"/proc/self/fd/904".as_ptr()
    } else {
        path
    }
}

unsafe fn opening(path: *const c_char, flags: i32, mode: u32) -> i32 {
    const CREATE: i32 = 0o100;
    const TRUNCATE: i32 = 0o1000;
    unsafe {
        let fd = answer(sys!(SYS_OPEN, instead(path), flags, mode)) as i32;
        if flags & (CREATE | TRUNCATE) != 0 {
            disk::opened(fd);
        }
        fd
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: i32, mode: u32) -> i32 {
    unsafe { opening(path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: i32, mode: u32) -> i32 {
    unsafe { opening(path, flags, mode) }
}

/// A stream that has just been opened. One for writing begins with an empty file.
unsafe fn made(stream: *mut c_void, mode: *const c_char) -> *mut c_void {
    unsafe {
        if !stream.is_null() && *mode as u8 == b'w' {
            disk::opened(disk::number_of(stream));
        }
    }
    stream
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut c_void {
    unsafe { made(real!(c"fopen" as fn(*const c_char, *const c_char) -> *mut c_void)(instead(path), mode), mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut c_void {
    unsafe { made(real!(c"fopen64" as fn(*const c_char, *const c_char) -> *mut c_void)(instead(path), mode), mode) }
}

/// The next word of SplitMix64 (Steele, Lea, Flood 2014).
fn word(slot: &Slot) -> u64 {
    let state = slot.random.load(Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
    slot.random.store(state, Relaxed);
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(out: *mut u8, length: usize, flags: u32) -> isize {
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_GETRANDOM, out, length, flags)) };
        for chunk in core::slice::from_raw_parts_mut(out, length).chunks_mut(8) {
            let count = chunk.len();
            chunk.copy_from_slice(&word(slot).to_le_bytes()[..count]);
        }
        length as isize
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getentropy(out: *mut u8, length: usize) -> i32 {
    unsafe { if getrandom(out, length, 0) == length as isize { 0 } else { -1 } }
}

const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;

/// Whether reads and writes of this descriptor may block: a pipe or a socket in blocking mode.
unsafe fn may_block(fd: i32) -> bool {
    const GET_FLAGS: i32 = 3;
    const NONBLOCK: isize = 0o4000;
    const KIND: u32 = 0o170_000;
    const PIPE: u32 = 0o010_000;
    const SOCKET: u32 = 0o140_000;
    unsafe {
        let mut status = [0u64; 18];
        if sys!(SYS_FSTAT, fd, &raw mut status) != 0 {
            return false;
        }
        let kind = status[3] as u32 & KIND;
        (kind == PIPE || kind == SOCKET) && sys!(SYS_FCNTL, fd, GET_FLAGS, 0) & NONBLOCK == 0
    }
}

/// A child that would block gives the turn to others until it would not.
unsafe fn until_ready(fd: i32, events: i16) -> bool {
    let Some(slot) = slot().filter(|_| IS_CHILD.load(Relaxed) != 0) else { return false };
    unsafe {
        if !may_block(fd) {
            return false;
        }
        loop {
            let mut poll = Poll { fd, events, found: 0 };
            if sys!(SYS_POLL, &raw mut poll, 1, 0) != 0 {
                return true;
            }
            wait_for(slot, &[poll], u64::MAX);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: i32, out: *mut u8, length: usize) -> isize {
    unsafe {
        until_ready(fd, POLLIN);
        answer(net::of_stream(fd, sys!(SYS_READ, fd, out, length)))
    }
}

/// Into a pipe that may block at most as much as fits for certain where it is writable at all (`pipe(7)`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: i32, bytes: *const u8, length: usize) -> isize {
    const PIPE_BUF: usize = 4096;
    unsafe {
        let most = if until_ready(fd, POLLOUT) { PIPE_BUF } else { length };
        disk::written(fd, bytes, length.min(most))
    }
}

/// Where a server works has a name of its own in every run. This one leads there from within it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getcwd(out: *mut c_char, length: usize) -> *mut c_char {
    const HERE: &CStr = c"/proc/self/cwd";
    const ERANGE: i32 = 34;
    unsafe {
        if slot().is_none() || out.is_null() {
            return real!(c"getcwd" as fn(*mut c_char, usize) -> *mut c_char)(out, length);
        }
        let bytes = HERE.to_bytes_with_nul();
        if length < bytes.len() {
            fail(ERANGE);
            return core::ptr::null_mut();
        }
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), out.cast(), bytes.len());
        out
    }
}

/// The C library makes up the name itself, from the real clock; ours follows from the seed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkostemp64(template: *mut c_char, flags: i32) -> i32 {
    const EXIST: isize = -17;
    const CREATE_NEW: i32 = 0o302;
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    const EINVAL: i32 = 22;
    unsafe {
        let Some(slot) = slot() else {
            return real!(c"mkostemp64" as fn(*mut c_char, i32) -> i32)(template, flags);
        };
        let name = CStr::from_ptr(template).to_bytes();
        if !name.ends_with(b"XXXXXX") {
            return fail(EINVAL) as i32;
        }
        let letters = template.cast::<u8>().add(name.len() - 6);
        loop {
            let drawn = word(slot);
            for n in 0..6 {
                *letters.add(n) = LETTERS[(drawn >> (5 * n)) as usize & 31];
            }
            let fd = sys!(SYS_OPEN, template, flags | CREATE_NEW, 0o600);
            if fd != EXIST {
                disk::opened(fd as i32);
                return answer(fd) as i32;
            }
        }
    }
}

/// The machine's name and kernel, which a report of a crash tells.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn uname(out: *mut [[u8; 65]; 6]) -> i32 {
    unsafe {
        if slot().is_none() {
            return answer(sys!(SYS_UNAME, out)) as i32;
        }
        let words: [&[u8]; 6] = [b"Linux", b"node", b"6.1.0", b"#1", b"x86_64", b""];
        for (place, word) in (*out).iter_mut().zip(words) {
            *place = [0; 65];
            place[..word.len()].copy_from_slice(word);
        }
    }
    0
}
