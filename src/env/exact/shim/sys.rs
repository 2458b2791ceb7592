//! System calls, made here and not through the C library, which the shim stands in front of.

use core::arch::asm;
use core::ffi::{c_char, c_void};
use core::sync::atomic::AtomicU32;

pub const SYS_READ: usize = 0;
pub const SYS_WRITE: usize = 1;
pub const SYS_OPEN: usize = 2;
pub const SYS_CLOSE: usize = 3;
pub const SYS_STAT: usize = 4;
pub const SYS_FSTAT: usize = 5;
pub const SYS_POLL: usize = 7;
pub const SYS_MMAP: usize = 9;
pub const SYS_WRITEV: usize = 20;
pub const SYS_SCHED_YIELD: usize = 24;
pub const SYS_GETPID: usize = 39;
pub const SYS_SOCKET: usize = 41;
pub const SYS_CONNECT: usize = 42;
pub const SYS_SENDTO: usize = 44;
pub const SYS_RECVFROM: usize = 45;
pub const SYS_SENDMSG: usize = 46;
pub const SYS_BIND: usize = 49;
pub const SYS_GETSOCKNAME: usize = 51;
pub const SYS_GETPEERNAME: usize = 52;
pub const SYS_SETSOCKOPT: usize = 54;
pub const SYS_WAIT4: usize = 61;
pub const SYS_KILL: usize = 62;
pub const SYS_UNAME: usize = 63;
pub const SYS_FCNTL: usize = 72;
pub const SYS_TRUNCATE: usize = 76;
pub const SYS_FTRUNCATE: usize = 77;
pub const SYS_RENAME: usize = 82;
pub const SYS_PRCTL: usize = 157;
pub const SYS_GETTID: usize = 186;
pub const SYS_FUTEX: usize = 202;
pub const SYS_CLOCK_GETTIME: usize = 228;
pub const SYS_EXIT_GROUP: usize = 231;
pub const SYS_EPOLL_WAIT: usize = 232;
pub const SYS_EPOLL_CTL: usize = 233;
pub const SYS_TGKILL: usize = 234;
pub const SYS_ACCEPT4: usize = 288;
pub const SYS_EPOLL_CREATE1: usize = 291;
pub const SYS_GETRANDOM: usize = 318;

pub const EINTR: i32 = 4;
pub const EAGAIN: i32 = 11;
pub const EPERM: i32 = 1;

unsafe extern "C" {
    pub fn __errno_location() -> *mut i32;
    pub fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub fn dlvsym(handle: *mut c_void, name: *const c_char, version: *const c_char) -> *mut c_void;
    pub fn getauxval(kind: u64) -> u64;
}

/// `RTLD_NEXT`.
pub const NEXT: *mut c_void = -1isize as *mut c_void;

#[inline(always)]
pub unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize {
    let answer: isize;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

#[macro_export]
macro_rules! sys {
    ($n:expr) => { $crate::sys::call($n, 0, 0, 0, 0, 0, 0) };
    ($n:expr, $a:expr) => { $crate::sys::call($n, $a as usize, 0, 0, 0, 0, 0) };
    ($n:expr, $a:expr, $b:expr) => { $crate::sys::call($n, $a as usize, $b as usize, 0, 0, 0, 0) };
    ($n:expr, $a:expr, $b:expr, $c:expr) => {
        $crate::sys::call($n, $a as usize, $b as usize, $c as usize, 0, 0, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr, $d:expr) => {
        $crate::sys::call($n, $a as usize, $b as usize, $c as usize, $d as usize, 0, 0)
    };
    ($n:expr, $a:expr, $b:expr, $c:expr, $d:expr, $e:expr) => {
        $crate::sys::call($n, $a as usize, $b as usize, $c as usize, $d as usize, $e as usize, 0)
    };
}

/// The kernel's answer as the C library gives it.
pub unsafe fn answer(value: isize) -> isize {
    if (-4095..0).contains(&value) {
        unsafe { fail(-value as i32) }
    } else {
        value
    }
}

pub unsafe fn fail(errno: i32) -> isize {
    unsafe { *__errno_location() = errno };
    -1
}

const FUTEX_WAIT: usize = 0;
const FUTEX_WAKE: usize = 1;

pub unsafe fn futex_wait(word: &AtomicU32, value: u32) {
    unsafe { sys!(SYS_FUTEX, word.as_ptr(), FUTEX_WAIT, value, 0) };
}

/// As `futex_wait`, for so long at most.
pub unsafe fn futex_sleep(word: &AtomicU32, value: u32, time: &[i64; 2]) {
    unsafe { sys!(SYS_FUTEX, word.as_ptr(), FUTEX_WAIT, value, time.as_ptr()) };
}

pub unsafe fn futex_wake(word: &AtomicU32) {
    unsafe { sys!(SYS_FUTEX, word.as_ptr(), FUTEX_WAKE, i32::MAX) };
}

/// Ends the process with a word on standard error, which is the node's log.
pub unsafe fn give_up(words: &str) -> ! {
    unsafe {
        sys!(SYS_WRITE, 2, words.as_ptr(), words.len());
        loop {
            sys!(SYS_EXIT_GROUP, 70);
        }
    }
}
