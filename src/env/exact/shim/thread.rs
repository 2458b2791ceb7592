//! Helper threads (the server's background jobs). A job handed to one is finished before its submitter goes on:
//! after a signal to a parked helper, the next unlock of the same mutex waits until the helper is parked again.
//! So what a helper does (close a file, and with it the number of a descriptor) always falls into the same place.
//!
//! This is about the server's own threads. The allocator has one too, which waits for real time now and then; it
//! is told apart by where the calls come from.

use crate::sys::*;
use crate::{IS_CHILD, is_own_code, real, slot, sys};
use core::arch::naked_asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::*};

/// Condition variables that helpers wait on.
struct Helper {
    condition: AtomicUsize,
    mutex: AtomicUsize,
    /// How many wait there.
    parked: AtomicU32,
}

const NONE: Helper = Helper { condition: AtomicUsize::new(0), mutex: AtomicUsize::new(0), parked: AtomicU32::new(0) };
static HELPERS: [Helper; 32] = [NONE; 32];
/// How often any helper has parked.
static PARKS: AtomicU32 = AtomicU32::new(0);
/// The mutex whose unlock is to wait for the helper of this index plus one.
static PENDING_MUTEX: AtomicUsize = AtomicUsize::new(0);
static PENDING_HELPER: AtomicUsize = AtomicUsize::new(0);
/// Looks, with the processor given away in between, before a wait for a helper sleeps.
const LOOKS: u32 = 1_000;
/// Sleeps before a helper counts as stuck: two minutes of real time, for the machine may have none for it.
const SLEEPS_MAX: u32 = 1_200;
const SLEEP: [i64; 2] = [0, 100_000_000];

/// Waits until a word is no longer this.
unsafe fn until_changed(word: &AtomicU32, value: u32, else_words: &str) {
    unsafe {
        for _ in 0..LOOKS {
            if word.load(Acquire) != value {
                return;
            }
            sys!(SYS_SCHED_YIELD);
        }
        for _ in 0..SLEEPS_MAX {
            if word.load(Acquire) != value {
                return;
            }
            futex_sleep(word, value, &SLEEP);
        }
        give_up(else_words)
    }
}

fn helper(condition: usize, claim: bool) -> Option<usize> {
    for (index, helper) in HELPERS.iter().enumerate() {
        let known = helper.condition.load(Acquire);
        if known == condition {
            return Some(index);
        }
        if known == 0 {
            if !claim {
                return None;
            }
            if helper.condition.compare_exchange(0, condition, AcqRel, Acquire).is_ok() {
                return Some(index);
            }
        }
    }
    None
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_wait(condition: *mut c_void, mutex: *mut c_void) -> i32 {
    naked_asm!("mov rdx, [rsp]", "jmp {}", sym cond_wait_from)
}

unsafe extern "C" fn cond_wait_from(condition: *mut c_void, mutex: *mut c_void, from: usize) -> i32 {
    unsafe {
        let real = real!(c"pthread_cond_wait" as fn(*mut c_void, *mut c_void) -> i32, c"GLIBC_2.3.2");
        let own = slot().filter(|_| is_own_code(from));
        let Some(index) = own.and_then(|_| helper(condition as usize, true)) else {
            return real(condition, mutex);
        };
        let helper = &HELPERS[index];
        helper.mutex.store(mutex as usize, Relaxed);
        helper.parked.store(1, Release);
        PARKS.fetch_add(1, AcqRel);
        futex_wake(&helper.parked);
        futex_wake(&PARKS);
        let done = real(condition, mutex);
        helper.parked.store(0, Release);
        done
    }
}

unsafe fn signalled(condition: *mut c_void, from: usize) {
    if slot().is_none() || !is_own_code(from) || IS_CHILD.load(Relaxed) != 0 {
        return;
    }
    if let Some(index) = helper(condition as usize, false)
        && HELPERS[index].parked.swap(0, AcqRel) == 1
    {
        PENDING_HELPER.store(index + 1, Relaxed);
        PENDING_MUTEX.store(HELPERS[index].mutex.load(Relaxed), Release);
    }
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_signal(condition: *mut c_void) -> i32 {
    naked_asm!("mov rsi, [rsp]", "jmp {}", sym cond_signal_from)
}

unsafe extern "C" fn cond_signal_from(condition: *mut c_void, from: usize) -> i32 {
    unsafe {
        signalled(condition, from);
        real!(c"pthread_cond_signal" as fn(*mut c_void) -> i32, c"GLIBC_2.3.2")(condition)
    }
}

#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_broadcast(condition: *mut c_void) -> i32 {
    naked_asm!("mov rsi, [rsp]", "jmp {}", sym cond_broadcast_from)
}

unsafe extern "C" fn cond_broadcast_from(condition: *mut c_void, from: usize) -> i32 {
    unsafe {
        signalled(condition, from);
        real!(c"pthread_cond_broadcast" as fn(*mut c_void) -> i32, c"GLIBC_2.3.2")(condition)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut c_void) -> i32 {
    unsafe {
        // Claimed while the mutex is held: the helper unlocks it too, as soon as it has it.
        let claimed = PENDING_MUTEX.load(Acquire) == mutex as usize
            && PENDING_MUTEX.compare_exchange(mutex as usize, 0, AcqRel, Relaxed).is_ok();
        let pending = PENDING_HELPER.load(Relaxed);
        let done = real!(c"pthread_mutex_unlock" as fn(*mut c_void) -> i32)(mutex);
        if claimed {
            let helper = &HELPERS[pending - 1];
            until_changed(&helper.parked, 0, "seedfault: a background thread does not finish its job\n");
        }
        done
    }
}

/// Returns when the new thread waits for its first job.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut c_void,
    attributes: *const c_void,
    start: *const c_void,
    argument: *mut c_void,
) -> i32 {
    unsafe {
        let before = PARKS.load(Acquire);
        let real = real!(c"pthread_create" as fn(*mut c_void, *const c_void, *const c_void, *mut c_void) -> i32);
        let done = real(thread, attributes, start, argument);
        if done == 0 && slot().is_some() {
            until_changed(&PARKS, before, "seedfault: a thread of the server never waits for a job\n");
        }
        done
    }
}

/// The allocator's thread gives memory back to the kernel now and then; here it does so when it is asked to. (It
/// makes its deadline from our clock, which lies in the past of the kernel's: it would never sleep.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_cond_timedwait(
    condition: *mut c_void,
    mutex: *mut c_void,
    until: *const c_void,
) -> i32 {
    unsafe {
        if slot().is_none() {
            return real!(
                c"pthread_cond_timedwait" as fn(*mut c_void, *mut c_void, *const c_void) -> i32,
                c"GLIBC_2.3.2"
            )(condition, mutex, until);
        }
        real!(c"pthread_cond_wait" as fn(*mut c_void, *mut c_void) -> i32, c"GLIBC_2.3.2")(condition, mutex)
    }
}
