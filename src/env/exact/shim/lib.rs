//! The shim: preloaded into every server process of the environment `exact`, it stands between the server and
//! whatever would let the real world in: clocks, waiting, randomness, process ids, the network.
//!
//! A process has a page of memory in common with the scheduler (`slot.rs`). Where the server would wait it
//! writes down for what, parks on a futex, and goes on when the scheduler says so. Between two waits it runs
//! undisturbed: a clock answers the time at which its turn began plus one microsecond per read.
//!
//! It is a crate of its own without the standard library, built by `build.rs` into one shared object that the
//! tool carries inside. Nothing here allocates, and after a fork nothing but system calls happens until the
//! child has parked. All functions that are exported keep the C library's contracts.

#![no_std]
#![allow(clippy::missing_safety_doc)]

mod clock;
mod disk;
mod file;
mod guard;
mod net;
mod process;
mod slot;
mod sys;
mod thread;
mod wait;

use core::ffi::c_char;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};
use guard::Segment;
use slot::*;
use sys::*;

/// The area, null until the constructor has run; then this process's slot.
pub static AREA: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static SLOT: AtomicPtr<Slot> = AtomicPtr::new(core::ptr::null_mut());
/// Whether this process came of a fork.
pub static IS_CHILD: AtomicU32 = AtomicU32::new(0);
/// Where the server's own code lies: reads of a clock move time only from there (jemalloc reads it too, and how
/// often depends on which thread gets a lock first).
pub static CODE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { give_up("seedfault: the shim has a bug\n") }
}

/// The precompiled `core` names it in its tables; without unwinding nobody calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[used]
#[unsafe(link_section = ".init_array")]
static BEGIN: unsafe extern "C" fn(i32, *const *const c_char, *const *const c_char) = begin;

unsafe extern "C" fn begin(_: i32, _: *const *const c_char, environment: *const *const c_char) {
    unsafe {
        let Some(number) = number(environment) else { return };
        let length = SLOTS * SLOT_BYTES;
        let area = call(SYS_MMAP, 0, length, 3, 1, FD_AREA as usize, 0);
        if area < 0 {
            give_up("seedfault: the shim cannot map its memory\n");
        }
        find_code();
        AREA.store(area as *mut u8, Release);
        SLOT.store(slot_at(number), Release);
        (*slot_at(number)).loaded.store(1, Release);
        guard::put_up();
    }
}

/// The number in our variable.
unsafe fn number(mut environment: *const *const c_char) -> Option<usize> {
    unsafe {
        while !(*environment).is_null() {
            let mut text = (*environment).cast::<u8>();
            let mut left = VARIABLE.as_bytes();
            while let [first, rest @ ..] = left {
                if *text != *first {
                    break;
                }
                text = text.add(1);
                left = rest;
            }
            if left.is_empty() && *text == b'=' {
                let mut number = 0;
                text = text.add(1);
                while (*text).is_ascii_digit() {
                    number = number * 10 + usize::from(*text - b'0');
                    text = text.add(1);
                }
                return (number > 0 && number < SLOTS).then_some(number);
            }
            environment = environment.add(1);
        }
        None
    }
}

/// Where the program's segments lie, from its own program headers.
unsafe fn find_code() {
    const AT_PHDR: u64 = 3;
    const AT_PHNUM: u64 = 5;
    const LOAD: u32 = 1;
    const HEADERS: u32 = 6;
    unsafe {
        let headers = getauxval(AT_PHDR) as *const Segment;
        let count = getauxval(AT_PHNUM) as usize;
        if headers.is_null() {
            return;
        }
        let (mut bias, mut low, mut high) = (0, u64::MAX, 0);
        for n in 0..count {
            let segment = &*headers.add(n);
            if segment.kind == HEADERS {
                bias = headers as u64 - segment.address;
            } else if segment.kind == LOAD {
                low = low.min(segment.address);
                high = high.max(segment.address + segment.in_memory);
            }
        }
        CODE[0].store((bias + low) as usize, Relaxed);
        CODE[1].store((bias + high) as usize, Relaxed);
    }
}

/// Whether a call that returns to this place came from the server itself, and not from a library.
pub fn is_own_code(place: usize) -> bool {
    (CODE[0].load(Relaxed)..CODE[1].load(Relaxed)).contains(&place)
}

pub unsafe fn slot_at(number: usize) -> *mut Slot {
    unsafe { AREA.load(Acquire).add(number * SLOT_BYTES).cast() }
}

/// This process's slot; none in a process that is not under a scheduler, which then behaves as if we were not
/// there.
#[inline(always)]
pub fn slot() -> Option<&'static Slot> {
    unsafe { SLOT.load(Acquire).as_ref() }
}

pub unsafe fn become_slot(number: usize) {
    unsafe {
        SLOT.store(slot_at(number), Release);
        IS_CHILD.store(1, Relaxed);
        wait::forget();
    }
}

/// Gives the turn back, and returns when the scheduler gives the next one. A signal that was meant for this
/// process is taken first.
pub unsafe fn park(slot: &Slot, cause: u32) {
    unsafe {
        slot.cause.store(cause, Relaxed);
        slot.state.store(PARKED, Release);
        futex_wake(&slot.state);
        while slot.state.load(Acquire) != RUNNING {
            futex_wait(&slot.state, PARKED);
        }
        let signal = slot.signal.swap(0, Relaxed);
        if signal != 0 {
            let (pid, thread) = (sys!(SYS_GETPID), sys!(SYS_GETTID));
            sys!(SYS_TGKILL, pid, thread, signal);
        }
    }
}

/// Asks the scheduler for something that is answered within the turn.
pub unsafe fn ask(slot: &Slot, what: u32, arguments: [i64; 2]) -> i64 {
    slot.arguments[0].store(arguments[0], Relaxed);
    slot.arguments[1].store(arguments[1], Relaxed);
    unsafe { park(slot, what) };
    slot.answer.load(Relaxed)
}

/// Sends a descriptor to the scheduler, ahead of a question about it.
pub unsafe fn send_descriptor(fd: i32) {
    #[repr(C)]
    struct Rights {
        length: usize,
        level: i32,
        kind: i32,
        fd: i32,
        padding: i32,
    }
    #[repr(C)]
    struct Message {
        name: usize,
        name_length: usize,
        parts: *const [usize; 2],
        parts_count: usize,
        control: *const Rights,
        control_length: usize,
        flags: usize,
    }
    const SOL_SOCKET: i32 = 1;
    const SCM_RIGHTS: i32 = 1;
    unsafe {
        let byte = 0u8;
        let part = [&raw const byte as usize, 1];
        let rights = Rights { length: 20, level: SOL_SOCKET, kind: SCM_RIGHTS, fd, padding: 0 };
        let message = Message {
            name: 0,
            name_length: 0,
            parts: &raw const part,
            parts_count: 1,
            control: &raw const rights,
            control_length: size_of::<Rights>(),
            flags: 0,
        };
        if sys!(SYS_SENDMSG, FD_CONTROL, &raw const message, 0) != 1 {
            give_up("seedfault: the shim cannot reach its scheduler\n");
        }
    }
}

/// The C library's function of this name, looked up once.
pub unsafe fn real(cell: &AtomicUsize, name: &core::ffi::CStr, version: Option<&core::ffi::CStr>) -> usize {
    let known = cell.load(Relaxed);
    if known != 0 {
        return known;
    }
    let found = unsafe {
        match version {
            None => dlsym(NEXT, name.as_ptr()),
            Some(version) => dlvsym(NEXT, name.as_ptr(), version.as_ptr()),
        }
    } as usize;
    if found == 0 {
        unsafe { give_up("seedfault: the C library lacks a function that the shim stands in front of\n") };
    }
    cell.store(found, Relaxed);
    found
}

/// A call of the C library's own function.
#[macro_export]
macro_rules! real {
    ($name:literal as fn($($kind:ty),*) -> $out:ty $(, $version:literal)?) => {{
        static CELL: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);
        #[allow(unused_mut, unused_assignments)]
        let mut version: Option<&core::ffi::CStr> = None;
        $( version = Some($version); )?
        let found = $crate::real(&CELL, $name, version);
        core::mem::transmute::<usize, unsafe extern "C" fn($($kind),*) -> $out>(found)
    }};
}
