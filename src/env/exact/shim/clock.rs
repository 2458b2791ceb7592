//! Clocks. Time stands still while a server runs, but for one microsecond per read, so that a loop that waits for
//! a clock ends.

use crate::sys::*;
use crate::{is_own_code, real, slot, sys};
use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::Ordering::Relaxed;

#[repr(C)]
pub struct Seconds {
    pub seconds: i64,
    pub rest: i64,
}

/// The monotonic clock in microseconds, read from this place in the code.
fn monotonic(slot: &crate::slot::Slot, from: usize) -> u64 {
    let own = is_own_code(from);
    let reads = slot.reads.load(Relaxed) + u64::from(own);
    if own {
        slot.reads.store(reads, Relaxed);
    }
    slot.clock.load(Relaxed) + reads
}

fn wall(slot: &crate::slot::Slot, from: usize) -> i64 {
    monotonic(slot, from) as i64 + slot.wall.load(Relaxed)
}

// The return address of the caller lies on top of the stack where the C function begins.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: i32, out: *mut Seconds) -> i32 {
    naked_asm!("mov rdx, [rsp]", "jmp {}", sym clock_gettime_from)
}

unsafe extern "C" fn clock_gettime_from(clock: i32, out: *mut Seconds, from: usize) -> i32 {
    const REALTIME: i32 = 0;
    const REALTIME_COARSE: i32 = 5;
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_CLOCK_GETTIME, clock, out)) as i32 };
        let micros = match clock {
            REALTIME | REALTIME_COARSE => wall(slot, from),
            _ => monotonic(slot, from) as i64,
        };
        *out = Seconds { seconds: micros.div_euclid(1_000_000), rest: micros.rem_euclid(1_000_000) * 1000 };
        0
    }
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(out: *mut Seconds, zone: *mut u8) -> i32 {
    naked_asm!("mov rdx, [rsp]", "jmp {}", sym gettimeofday_from)
}

unsafe extern "C" fn gettimeofday_from(out: *mut Seconds, _: *mut u8, from: usize) -> i32 {
    unsafe {
        let Some(slot) = slot() else {
            let done = sys!(SYS_CLOCK_GETTIME, 0, out);
            (*out).rest /= 1000;
            return done as i32;
        };
        let micros = wall(slot, from);
        *out = Seconds { seconds: micros.div_euclid(1_000_000), rest: micros.rem_euclid(1_000_000) };
        0
    }
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut i64) -> i64 {
    naked_asm!("mov rsi, [rsp]", "jmp {}", sym time_from)
}

unsafe extern "C" fn time_from(out: *mut i64, from: usize) -> i64 {
    unsafe {
        let seconds = match slot() {
            Some(slot) => wall(slot, from).div_euclid(1_000_000),
            None => {
                let mut now = Seconds { seconds: 0, rest: 0 };
                sys!(SYS_CLOCK_GETTIME, 0, &raw mut now);
                now.seconds
            }
        };
        if !out.is_null() {
            *out = seconds;
        }
        seconds
    }
}

/// Processor time is none that a simulation has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock() -> i64 {
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrusage(_: i32, out: *mut [u64; 18]) -> i32 {
    unsafe { *out = [0; 18] };
    0
}

/// The servers' watchdog: it would ring in real time, in the middle of a turn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setitimer(which: i32, new: *const c_void, old: *mut [u64; 4]) -> i32 {
    unsafe {
        if slot().is_none() {
            return real!(c"setitimer" as fn(i32, *const c_void, *mut [u64; 4]) -> i32)(which, new, old);
        }
        if !old.is_null() {
            *old = [0; 4];
        }
    }
    0
}
