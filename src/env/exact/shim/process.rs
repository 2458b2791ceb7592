//! Processes. Their ids are the scheduler's, so that they are the same in every run; a forked child is one more
//! process under it, and its end is seen when it is really gone.

use crate::slot::*;
use crate::sys::*;
use crate::{AREA, ask, become_slot, park, real, slot, slot_at, sys, wait};
use core::ffi::{CStr, c_char, c_void};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};

const WNOHANG: i32 = 1;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpid() -> i32 {
    match slot() {
        Some(slot) => slot.pid.load(Relaxed),
        None => unsafe { sys!(SYS_GETPID) as i32 },
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fork() -> i32 {
    unsafe {
        let real = real!(c"fork" as fn() -> i32);
        let Some(slot) = slot() else { return real() };
        let number = ask(slot, FORK, [0, 0]);
        if number < 0 {
            return fail(EAGAIN) as i32;
        }
        let pid = real();
        if pid == 0 {
            const SET_DEATH_SIGNAL: i32 = 1;
            const SIGKILL: i32 = 9;
            sys!(SYS_PRCTL, SET_DEATH_SIGNAL, SIGKILL);
            become_slot(number as usize);
            park(&*slot_at(number as usize), BORN);
            return 0;
        }
        let known = ask(slot, FORKED, [number, i64::from(pid)]);
        if pid < 0 { pid } else { known as i32 }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32 {
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_WAIT4, pid, status, options, 0)) as i32 };
        loop {
            let ended = ask(slot, WAITPID, [i64::from(pid), 0]);
            if ended > 0 {
                let kernel_pid = slot.arguments[0].load(Relaxed);
                sys!(SYS_WAIT4, kernel_pid, status, 0, 0);
                return ended as i32;
            }
            if ended < 0 {
                return fail(-ended as i32) as i32;
            }
            if options & WNOHANG != 0 {
                return 0;
            }
            wait::sleep_micros(slot, 1000);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn kill(pid: i32, signal: i32) -> i32 {
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_KILL, pid, signal)) as i32 };
        if pid == slot.pid.load(Relaxed) {
            return answer(sys!(SYS_KILL, sys!(SYS_GETPID), signal)) as i32;
        }
        match ask(slot, KILL, [i64::from(pid), i64::from(signal)]) {
            0 => 0,
            error => fail(-error as i32) as i32,
        }
    }
}

unsafe fn ending() {
    if let Some(slot) = slot()
        && !AREA.load(Relaxed).is_null()
    {
        slot.state.store(ENDING, Release);
        unsafe { futex_wake(&slot.state) };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn _exit(code: i32) -> ! {
    unsafe {
        ending();
        loop {
            sys!(SYS_EXIT_GROUP, code);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn exit(code: i32) -> ! {
    unsafe {
        ending();
        real!(c"exit" as fn(i32) -> i32)(code);
        loop {
            sys!(SYS_EXIT_GROUP, code);
        }
    }
}

/// When the allocator may sum up its statistics again, on the server's monotonic clock.
static SUM_AT: AtomicU64 = AtomicU64::new(0);
/// Servers ask for it ten times a second, which was a tenth of all that they did, and nothing but `INFO memory` and the
/// report of a crash shows it.
const SUM_EVERY_US: u64 = 1_000_000;

/// The allocator's thread is not to be had, also where a server asks for it; its statistics are as old as a second.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mallctl(
    name: *const c_char,
    old: *mut c_void,
    old_length: *mut usize,
    new: *mut c_void,
    new_length: usize,
) -> i32 {
    unsafe {
        if let Some(slot) = slot() {
            let name = CStr::from_ptr(name);
            if name == c"background_thread" {
                return 0;
            }
            if name == c"epoch" && !new.is_null() {
                let now = slot.clock.load(Relaxed);
                if now < SUM_AT.load(Relaxed) {
                    return 0;
                }
                SUM_AT.store(now + SUM_EVERY_US, Relaxed);
            }
        }
        real!(c"mallctl" as fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> i32)(
            name, old, old_length, new, new_length,
        )
    }
}
