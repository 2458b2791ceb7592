//! The disk of a node: rules under which its calls fail, last or are where the process ends, and a journal of what
//! `fsync` made durable.
//!
//! A call counts if it is about a regular file that is not the server's own log: the node's data, its
//! `nodes.conf` and the temporary files of both. Rules and counts are the node's, not the process's: a forked
//! child (a save, a rewrite of the append-only file) goes on counting where its parent was. Without a rule a call
//! costs one look at a word more; what became durable is always noted.
//!
//! The C library writes the buffer of a `FILE` by itself, behind the shim. The calls that would make it do so
//! (`fwrite` into a buffer that is full then, `fflush`, `fclose`) count as the write in its place.

use crate::slot::*;
use crate::sys::*;
use crate::wait::sleep_micros;
use crate::{ask, net, real, slot, slot_at, sys};
use core::ffi::{c_char, c_void};
use core::sync::atomic::Ordering::Relaxed;

const ENOSPC: i32 = 28;
/// What a `FILE` buffers before its first write has shown how much it really does.
const BUFFER: usize = 4096;

unsafe extern "C" {
    fn __fpending(stream: *mut c_void) -> usize;
    fn __fbufsize(stream: *mut c_void) -> usize;
    fn __fpurge(stream: *mut c_void);
    fn fileno(stream: *mut c_void) -> i32;
}

/// What becomes of a call.
#[derive(Clone, Copy)]
pub enum Fate {
    Done,
    /// Only so many bytes are written.
    Short(usize),
    Error(i32),
}

fn disk(slot: &Slot) -> &'static Disk {
    let home = slot.home.load(Relaxed) as usize;
    unsafe { &(*slot_at(home)).disk }
}

/// Inode and length of a regular file that counts.
unsafe fn file_of(fd: i32) -> Option<(u64, u64)> {
    const KIND: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const STDOUT: i32 = 1;
    unsafe {
        let (mut file, mut log) = ([0u64; 18], [0u64; 18]);
        if sys!(SYS_FSTAT, fd, &raw mut file) != 0 || file[3] as u32 & KIND != REGULAR {
            return None;
        }
        let is_log = sys!(SYS_FSTAT, STDOUT, &raw mut log) == 0 && file[..2] == log[..2];
        (!is_log).then_some((file[1], file[6]))
    }
}

/// Applies the rules to a call of this kind, on a write of so many bytes. `store` writes that many of them, for a
/// write that is torn by the end of the process.
#[inline(always)]
pub unsafe fn weigh(fd: i32, call: u32, length: usize, store: impl FnMut(usize)) -> Fate {
    match slot() {
        Some(slot) if disk(slot).armed.load(Relaxed) != 0 => unsafe { judge(slot, fd, call, length, store) },
        _ => Fate::Done,
    }
}

#[cold]
unsafe fn judge(slot: &Slot, fd: i32, call: u32, length: usize, mut store: impl FnMut(usize)) -> Fate {
    unsafe {
        if call != RENAME && file_of(fd).is_none() {
            return Fate::Done;
        }
        let (mut fate, mut delay) = (Fate::Done, 0);
        for (number, rule) in disk(slot).rules.iter().enumerate() {
            if rule.calls.load(Relaxed) & call == 0 {
                continue;
            }
            let amount = rule.amount.load(Relaxed);
            match rule.does.load(Relaxed) {
                SLOWS => {
                    delay += amount;
                    let rate = rule.times.load(Relaxed);
                    if rate > 0 && call == WRITE {
                        delay += length as u64 * 1000 / rate;
                    }
                    rule.countdown.store(rule.countdown.load(Relaxed) + 1, Relaxed);
                }
                // Where another rule let the call fail nothing is written.
                FILLS if matches!(fate, Fate::Done) => {
                    let fits = amount.min(length as u64);
                    rule.amount.store(amount - fits, Relaxed);
                    if fits < length as u64 {
                        ask(slot, STRUCK, [number as i64, i64::from(call)]);
                        fate = if fits == 0 { Fate::Error(ENOSPC) } else { Fate::Short(fits as usize) };
                    }
                }
                what @ (FAILS | STRIKES | TEARS) if strikes(rule) => {
                    if what == TEARS && length > 0 {
                        store((amount % length as u64) as usize);
                    }
                    let answer = ask(slot, STRUCK, [number as i64, i64::from(call)]);
                    if what == FAILS {
                        fate = Fate::Error(amount as i32);
                    } else if answer == HALT {
                        sleep_micros(slot, 0);
                    }
                }
                _ => {}
            }
        }
        // What a thread in the background does is done before the server goes on: to slow it would slow the server,
        // for which it exists in order not to be slowed.
        if delay > 0 && sys!(SYS_GETTID) == sys!(SYS_GETPID) {
            sleep_micros(slot, delay as i64);
        }
        fate
    }
}

/// Counts a call that a rule is about; whether it strikes.
fn strikes(rule: &Rule) -> bool {
    let left = rule.countdown.load(Relaxed);
    if left > 1 {
        rule.countdown.store(left - 1, Relaxed);
        return false;
    }
    let times = rule.times.load(Relaxed);
    rule.times.store(times.saturating_sub(1), Relaxed);
    times > 0
}

/// Notes how much of a file is durable.
unsafe fn note(slot: &Slot, inode: u64, length: u64) {
    let disk = disk(slot);
    if disk.noted.load(Relaxed) as usize == NOTES {
        unsafe { ask(slot, NOTED, [0, 0]) };
    }
    let place = disk.noted.load(Relaxed) as usize;
    disk.journal[place].inode.store(inode, Relaxed);
    disk.journal[place].length.store(length, Relaxed);
    disk.noted.store(place as u32 + 1, Relaxed);
}

/// A file was opened in a way that may have made or emptied it: then nothing of it is durable. (Its number may have
/// been that of a file that is gone.)
pub unsafe fn opened(fd: i32) {
    unsafe {
        if let Some(slot) = slot()
            && fd >= 0
            && let Some((inode, 0)) = file_of(fd)
        {
            note(slot, inode, 0);
        }
    }
}

pub unsafe fn written(fd: i32, bytes: *const u8, length: usize) -> isize {
    unsafe {
        let write = |most: usize| answer(net::of_stream(fd, sys!(SYS_WRITE, fd, bytes, most)));
        match weigh(fd, WRITE, length, |part| _ = write(part)) {
            Fate::Done => write(length),
            Fate::Short(part) => write(part),
            Fate::Error(errno) => fail(errno),
        }
    }
}

/// The kernel keeps what it was given whatever becomes of the process; only the loss of power asks what was synced.
/// So none of these reaches the machine's own disk.
unsafe fn sync(slot: &Slot, fd: i32) -> i32 {
    unsafe {
        if let Fate::Error(errno) = weigh(fd, SYNC, 0, |_| ()) {
            return fail(errno) as i32;
        }
        if let Some((inode, length)) = file_of(fd) {
            note(slot, inode, length);
        }
        0
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(fd: i32) -> i32 {
    match slot() {
        Some(slot) => unsafe { sync(slot, fd) },
        None => unsafe { real!(c"fsync" as fn(i32) -> i32)(fd) },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(fd: i32) -> i32 {
    match slot() {
        Some(slot) => unsafe { sync(slot, fd) },
        None => unsafe { real!(c"fdatasync" as fn(i32) -> i32)(fd) },
    }
}

/// It begins to write and makes nothing durable: the metadata is left out (`sync_file_range(2)`, "Warning").
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sync_file_range(fd: i32, from: i64, count: i64, flags: u32) -> i32 {
    match slot() {
        Some(_) => 0,
        None => unsafe { real!(c"sync_file_range" as fn(i32, i64, i64, u32) -> i32)(fd, from, count, flags) },
    }
}

/// Inode and length of the file of this name.
unsafe fn stat(path: *const c_char) -> Option<(u64, u64)> {
    let mut file = [0u64; 18];
    unsafe { (sys!(SYS_STAT, path, &raw mut file) == 0).then_some((file[1], file[6])) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(old: *const c_char, new: *const c_char) -> i32 {
    unsafe {
        if let Fate::Error(errno) = weigh(-1, RENAME, 0, |_| ()) {
            return fail(errno) as i32;
        }
        let replaces = slot().filter(|_| stat(new).is_some());
        let done = answer(sys!(SYS_RENAME, old, new)) as i32;
        if let Some(slot) = replaces.filter(|_| done == 0)
            && let Some((inode, length)) = stat(new)
        {
            note(slot, inode, length | REPLACED);
        }
        done
    }
}

pub unsafe fn number_of(stream: *mut c_void) -> i32 {
    unsafe { fileno(stream) }
}

/// Whether the rules may have a say in this stream.
unsafe fn is_armed() -> bool {
    slot().is_some_and(|slot| disk(slot).armed.load(Relaxed) != 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fwrite(bytes: *const u8, size: usize, count: usize, stream: *mut c_void) -> usize {
    unsafe {
        let real = real!(c"fwrite" as fn(*const u8, usize, usize, *mut c_void) -> usize);
        if !is_armed() {
            return real(bytes, size, count, stream);
        }
        let length = size.saturating_mul(count);
        let waiting = __fpending(stream);
        let buffer = __fbufsize(stream).max(BUFFER);
        if waiting + length < buffer {
            return real(bytes, size, count, stream);
        }
        // Whole buffers are written, the rest stays in it.
        let goes = (waiting + length) / buffer * buffer;
        let store = |part: usize| {
            real(bytes, 1, part.saturating_sub(waiting), stream);
            flush(stream);
        };
        match weigh(fileno(stream), WRITE, goes, store) {
            Fate::Done => real(bytes, size, count, stream),
            Fate::Short(part) => {
                store(part);
                fail(ENOSPC);
                0
            }
            Fate::Error(errno) => {
                fail(errno);
                0
            }
        }
    }
}

unsafe fn flush(stream: *mut c_void) -> i32 {
    unsafe { real!(c"fflush" as fn(*mut c_void) -> i32)(stream) }
}

/// What waits in a stream's buffer is about to be written: the errno with which that fails.
unsafe fn flushed(stream: *mut c_void) -> Option<i32> {
    unsafe {
        let waiting = if stream.is_null() || !is_armed() { 0 } else { __fpending(stream) };
        if waiting == 0 {
            return None;
        }
        match weigh(fileno(stream), WRITE, waiting, |_| ()) {
            Fate::Done => None,
            Fate::Short(_) => Some(ENOSPC),
            Fate::Error(errno) => Some(errno),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fflush(stream: *mut c_void) -> i32 {
    unsafe {
        match flushed(stream) {
            Some(errno) => fail(errno) as i32,
            None => flush(stream),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut c_void) -> i32 {
    unsafe {
        let failed = flushed(stream);
        if failed.is_some() {
            __fpurge(stream);
        }
        let done = real!(c"fclose" as fn(*mut c_void) -> i32)(stream);
        failed.map_or(done, |errno| fail(errno) as i32)
    }
}

/// A file was made shorter: no more of it is durable than there is.
unsafe fn shortened(file: Option<(u64, u64)>) {
    if let (Some(slot), Some((inode, length))) = (slot(), file) {
        unsafe { note(slot, inode, length | AT_MOST) };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(fd: i32, length: i64) -> i32 {
    unsafe {
        let done = answer(sys!(SYS_FTRUNCATE, fd, length)) as i32;
        if done == 0 {
            shortened(file_of(fd));
        }
        done
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn truncate64(path: *const c_char, length: i64) -> i32 {
    unsafe {
        let done = answer(sys!(SYS_TRUNCATE, path, length)) as i32;
        if done == 0 {
            shortened(stat(path));
        }
        done
    }
}
