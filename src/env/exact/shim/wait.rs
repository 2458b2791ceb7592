//! Waiting: the only place where a turn ends. What a process waits on is an epoll descriptor that the scheduler
//! holds too: the server's own, or one that we fill for `poll` and for blocking reads and writes.

use crate::clock::Seconds;
use crate::slot::*;
use crate::sys::*;
use crate::{ask, park, real, send_descriptor, slot, sys};
use core::ffi::c_void;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// The server's epoll descriptor, once the scheduler has it, and our own.
static MAIN_FD: AtomicI32 = AtomicI32::new(-1);
static AUX_FD: AtomicI32 = AtomicI32::new(-1);

/// After a fork: the descriptors belong to the parent, whose interests they show.
pub fn forget() {
    MAIN_FD.store(-1, Relaxed);
    AUX_FD.store(-1, Relaxed);
}

fn now(slot: &Slot) -> u64 {
    slot.clock.load(Relaxed) + slot.reads.load(Relaxed)
}

/// A deadline of so many microseconds from now; negative: never.
fn after(slot: &Slot, micros: i64) -> u64 {
    if micros < 0 { u64::MAX } else { now(slot).saturating_add(micros as u64) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(fd: i32, events: *mut u8, most: i32, timeout: i32) -> i32 {
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_EPOLL_WAIT, fd, events, most, timeout)) as i32 };
        if MAIN_FD.load(Relaxed) != fd {
            send_descriptor(fd);
            ask(slot, TELL_EPOLL, [i64::from(MAIN), 0]);
            MAIN_FD.store(fd, Relaxed);
        }
        slot.deadline.store(after(slot, i64::from(timeout) * 1000), Relaxed);
        slot.waits_on.store(MAIN, Relaxed);
        park(slot, EPOLL);
        answer(sys!(SYS_EPOLL_WAIT, fd, events, most, 0)) as i32
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Poll {
    pub fd: i32,
    pub events: i16,
    pub found: i16,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut Poll, count: u64, timeout: i32) -> i32 {
    unsafe {
        let Some(slot) = slot() else { return answer(sys!(SYS_POLL, fds, count, timeout)) as i32 };
        let deadline = after(slot, i64::from(timeout) * 1000);
        loop {
            let ready = sys!(SYS_POLL, fds, count, 0);
            if ready != 0 || now(slot) >= deadline {
                return answer(ready) as i32;
            }
            wait_for(slot, core::slice::from_raw_parts(fds, count as usize), deadline);
        }
    }
}

/// Parks until one of them is ready or the deadline has come.
pub unsafe fn wait_for(slot: &Slot, fds: &[Poll], deadline: u64) {
    const ADD: i32 = 1;
    const DELETE: i32 = 2;
    #[repr(C, packed)]
    struct Interest {
        events: u32,
        data: u64,
    }
    unsafe {
        if AUX_FD.load(Relaxed) < 0 {
            const F_DUPFD_CLOEXEC: i32 = 1030;
            let low = sys!(SYS_EPOLL_CREATE1, 0);
            let fd = sys!(SYS_FCNTL, low, F_DUPFD_CLOEXEC, FD_OWN);
            sys!(SYS_CLOSE, low);
            if fd < 0 {
                give_up("seedfault: the shim cannot make a descriptor\n");
            }
            send_descriptor(fd as i32);
            ask(slot, TELL_EPOLL, [i64::from(AUX), 0]);
            AUX_FD.store(fd as i32, Relaxed);
        }
        let aux = AUX_FD.load(Relaxed);
        for poll in fds {
            let interest = Interest { events: poll.events as u16 as u32, data: 0 };
            sys!(SYS_EPOLL_CTL, aux, ADD, poll.fd, &raw const interest);
        }
        slot.deadline.store(deadline, Relaxed);
        slot.waits_on.store(AUX, Relaxed);
        park(slot, WAIT);
        for poll in fds {
            let interest = Interest { events: 0, data: 0 };
            sys!(SYS_EPOLL_CTL, aux, DELETE, poll.fd, &raw const interest);
        }
    }
}

pub unsafe fn sleep_micros(slot: &Slot, micros: i64) {
    slot.deadline.store(after(slot, micros), Relaxed);
    slot.waits_on.store(NOTHING, Relaxed);
    unsafe { park(slot, SLEEP) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nanosleep(wish: *const Seconds, left: *mut Seconds) -> i32 {
    unsafe {
        if let Some(slot) = slot() {
            sleep_micros(slot, (*wish).seconds * 1_000_000 + (*wish).rest / 1000);
        }
        if !left.is_null() {
            *left = Seconds { seconds: 0, rest: 0 };
        }
        0
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn usleep(micros: u32) -> i32 {
    if let Some(slot) = slot() {
        unsafe { sleep_micros(slot, i64::from(micros)) };
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sleep(seconds: u32) -> u32 {
    if let Some(slot) = slot() {
        unsafe { sleep_micros(slot, i64::from(seconds) * 1_000_000) };
    }
    0
}

/// As the servers use it: to sleep.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    count: i32,
    reads: *mut c_void,
    writes: *mut c_void,
    others: *mut c_void,
    wish: *mut Seconds,
) -> i32 {
    unsafe {
        let Some(slot) = slot() else {
            return real!(
                c"select" as fn(i32, *mut c_void, *mut c_void, *mut c_void, *mut Seconds) -> i32
            )(count, reads, writes, others, wish);
        };
        if count != 0 || wish.is_null() {
            give_up("seedfault: the server waits for descriptors by `select`, which cannot be followed\n");
        }
        sleep_micros(slot, (*wish).seconds * 1_000_000 + (*wish).rest);
        0
    }
}
