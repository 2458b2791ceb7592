//! The guard: a call of the system that would tell of the real world and does not come from the shim ends the
//! process with its name, instead of making a run that cannot be repeated.
//!
//! A seccomp filter looks at the instruction pointer: the shim makes its calls itself, so that all others come
//! from elsewhere. What the vdso answers is no system call; its functions are overwritten by system calls, which
//! the filter then sees. The processor's own clock (`rdtsc`) is switched off and answers with `SIGSEGV`.

use crate::sys::*;
use crate::sys;
use core::arch::naked_asm;
use core::ffi::{CStr, c_char};

/// What is not to be called around the shim (numbers of x86_64).
const FORBIDDEN: [(u32, &str); 24] = [
    (7, "poll"),
    (23, "select"),
    (34, "pause"),
    (35, "nanosleep"),
    (37, "alarm"),
    (38, "setitimer"),
    (42, "connect"),
    (96, "gettimeofday"),
    (98, "getrusage"),
    (100, "times"),
    (128, "rt_sigtimedwait"),
    (201, "time"),
    (222, "timer_create"),
    (228, "clock_gettime"),
    (230, "clock_nanosleep"),
    (232, "epoll_wait"),
    (270, "pselect6"),
    (271, "ppoll"),
    (281, "epoll_pwait"),
    (283, "timerfd_create"),
    (318, "getrandom"),
    (424, "pidfd_send_signal"),
    (434, "pidfd_open"),
    (441, "epoll_pwait2"),
];

#[repr(C)]
struct Header {
    identity: [u8; 16],
    kind: u16,
    machine: u16,
    version: u32,
    entry: u64,
    segments: u64,
    sections: u64,
    flags: u32,
    size: u16,
    segment_size: u16,
    segment_count: u16,
    section_size: u16,
    section_count: u16,
    names: u16,
}

#[repr(C)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub physical: u64,
    pub in_file: u64,
    pub in_memory: u64,
    pub align: u64,
}

#[repr(C)]
struct Section {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
}

#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

unsafe extern "C" {
    /// The beginning of this shared object, which the linker knows.
    #[link_name = "__ehdr_start"]
    static OWN: Header;
    fn malloc(size: usize) -> *mut u8;
    fn free(memory: *mut u8);
}

/// Where the shim's own code lies.
unsafe fn own_code() -> (u64, u64) {
    const LOAD: u32 = 1;
    const EXECUTABLE: u32 = 1;
    unsafe {
        let begin = &raw const OWN as u64;
        let header = &*(begin as *const Header);
        for n in 0..header.segment_count {
            let segment = &*((begin + header.segments) as *const Segment).add(usize::from(n));
            if segment.kind == LOAD && segment.flags & EXECUTABLE != 0 {
                let from = begin + segment.address;
                return (from, from + segment.in_memory);
            }
        }
    }
    (0, 0)
}

/// Lets the vdso's functions make system calls.
unsafe fn open_vdso() {
    const AT_SYSINFO_EHDR: u64 = 33;
    const DYNSYM: u32 = 11;
    const SYS_MPROTECT: usize = 10;
    const PAGE: u64 = 4096;
    const CALLS: [(&CStr, u8); 3] =
        [(c"__vdso_clock_gettime", 228), (c"__vdso_gettimeofday", 96), (c"__vdso_time", 201)];
    unsafe {
        let begin = getauxval(AT_SYSINFO_EHDR);
        if begin == 0 {
            return;
        }
        let header = &*(begin as *const Header);
        let sections = (begin + header.sections) as *const Section;
        // The section headers are the image's end, and the mapping is changed as a whole or not at all.
        let length = header.sections + u64::from(header.section_size) * u64::from(header.section_count);
        let length = length.next_multiple_of(PAGE);
        if sys!(SYS_MPROTECT, begin, length, 7) != 0 {
            give_up("seedfault: the vdso cannot be written to\n");
        }
        for n in 0..usize::from(header.section_count) {
            let table = &*sections.add(n);
            if table.kind != DYNSYM {
                continue;
            }
            let names = begin + (*sections.add(table.link as usize)).offset;
            let symbols = (begin + table.offset) as *const Symbol;
            for m in 0..(table.size / size_of::<Symbol>() as u64) as usize {
                let symbol = &*symbols.add(m);
                let name = CStr::from_ptr((names + u64::from(symbol.name)) as *const c_char);
                let Some((_, number)) = CALLS.iter().find(|(call, _)| *call == name) else { continue };
                // mov eax, number; syscall; ret
                let code = [0xb8, *number, 0, 0, 0, 0x0f, 0x05, 0xc3];
                let place = begin + symbol.value;
                core::ptr::copy_nonoverlapping(code.as_ptr(), place as *mut u8, code.len());
            }
        }
        sys!(SYS_MPROTECT, begin, length, 5);
    }
}

/// An instruction of the filter (`linux/filter.h`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Step {
    code: u16,
    then: u8,
    or: u8,
    value: u32,
}

const LOAD: u16 = 0x20;
const IS: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ANSWER: u16 = 0x06;
const ALLOW: Step = Step { code: ANSWER, then: 0, or: 0, value: 0x7fff_0000 };
const TRAP: Step = Step { code: ANSWER, then: 0, or: 0, value: 0x0003_0000 };
/// Offsets in what a filter sees (`struct seccomp_data`).
const NUMBER: u32 = 0;
const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;

const COUNT: usize = FORBIDDEN.len();
const STEPS: usize = COUNT + 10;

const fn step(code: u16, value: u32, then: u8, or: u8) -> Step {
    Step { code, then, or, value }
}

fn filter(from: u64, to: u64) -> [Step; STEPS] {
    let mut steps = [ALLOW; STEPS];
    steps[0] = step(LOAD, NUMBER, 0, 0);
    // Numbers of the x32 kind are names for the same calls.
    steps[1] = step(AT_LEAST, 0x4000_0000, (STEPS - 4) as u8, 0);
    for (n, (number, _)) in FORBIDDEN.iter().enumerate() {
        steps[2 + n] = step(IS, *number, (COUNT - n) as u8, 0);
    }
    // None of them.
    steps[2 + COUNT] = ALLOW;
    steps[3 + COUNT] = step(LOAD, POINTER_HIGH, 0, 0);
    steps[4 + COUNT] = step(IS, (from >> 32) as u32, 0, 3);
    steps[5 + COUNT] = step(LOAD, POINTER_LOW, 0, 0);
    steps[6 + COUNT] = step(AT_LEAST, from as u32, 0, 1);
    steps[7 + COUNT] = step(AT_LEAST, to as u32, 0, 1);
    // Behind the trap comes what our own code may do.
    steps[8 + COUNT] = TRAP;
    steps
}

/// Puts the guard up. Where the kernel refuses, it says so in the node's log and the server runs without.
pub unsafe fn put_up() {
    const SYS_RT_SIGACTION: usize = 13;
    const SET_NO_NEW_PRIVS: i32 = 38;
    const SET_SECCOMP: i32 = 22;
    const MODE_FILTER: i32 = 2;
    const SET_TSC: i32 = 26;
    const TSC_SIGSEGV: i32 = 2;
    const SIGSYS: i32 = 31;
    const SA_SIGINFO: u64 = 4;
    const SA_RESTORER: u64 = 0x0400_0000;
    #[repr(C)]
    struct Action {
        handler: usize,
        flags: u64,
        restorer: usize,
        mask: u64,
    }
    #[repr(C)]
    struct Program {
        length: u16,
        steps: *const Step,
    }
    unsafe {
        let (from, to) = own_code();
        if from >> 32 != to >> 32 {
            give_up("seedfault: the shim lies across a boundary of 4 GiB; start again\n");
        }
        let action =
            Action { handler: caught as *const () as usize, flags: SA_SIGINFO | SA_RESTORER, restorer: back as *const () as usize, mask: 0 };
        sys!(SYS_RT_SIGACTION, SIGSYS, &raw const action, 0, 8);
        // The C library's allocator draws a key against double frees with its first piece. Nobody sees it.
        free(core::hint::black_box(malloc(1)));
        let steps = filter(from, to);
        let program = Program { length: STEPS as u16, steps: steps.as_ptr() };
        open_vdso();
        if sys!(SYS_PRCTL, SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || sys!(SYS_PRCTL, SET_SECCOMP, MODE_FILTER, &raw const program) != 0
        {
            let words = "seedfault: there is no guard: the kernel refuses seccomp\n";
            sys!(SYS_WRITE, 2, words.as_ptr(), words.len());
        }
        sys!(SYS_PRCTL, SET_TSC, TSC_SIGSEGV);
    }
}

#[unsafe(naked)]
unsafe extern "C" fn back() {
    naked_asm!("mov eax, 15", "syscall")
}

/// `SIGSYS`: names the call and where it came from.
unsafe extern "C" fn caught(_: i32, information: *const u64, _: *const u8) {
    unsafe {
        let place = *information.add(2);
        let number = *information.add(3) as u32;
        let name = FORBIDDEN.iter().find(|(known, _)| *known == number).map_or("an x32 call", |(_, name)| name);
        let mut digits = *b"0x0000000000000000";
        for (n, digit) in digits[2..].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(place >> (60 - 4 * n)) as usize & 15];
        }
        let parts = [
            "seedfault: the server called `",
            name,
            "` around the shim, at ",
            core::str::from_utf8_unchecked(&digits),
            ": what it does from here on is not determined by the seed\n",
        ];
        let mut line = [0; 256];
        let mut length = 0;
        for part in parts {
            line[length..length + part.len()].copy_from_slice(part.as_bytes());
            length += part.len();
        }
        give_up(core::str::from_utf8_unchecked(&line[..length]));
    }
}
