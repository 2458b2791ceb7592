//! The filter that a node lives under: it gives calls to the disk to the supervisor before they are made.
//!
//! It is put on between fork and exec, holds for all that the process starts, and cannot be taken off or changed
//! (`seccomp(2)`, `seccomp_unotify(2)`); any binary is under it, as it stands between the process and the kernel. It looks
//! at a call's number alone, so that what is watched is watched for sockets too: the supervisor tells them apart. Ways
//! around it are refused as by a kernel that does not have them: `io_uring`, `io_submit`, calls of another
//! architecture.

use crate::fault::disk::Calls;
use nix::libc::{self, c_long, sock_filter};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;
/// Calls of the x32 interface have this bit, and the numbers of others are far below it.
const X32: u32 = 0x4000_0000;
/// Where `seccomp_data` holds the number and the architecture.
const NUMBER_AT: u32 = 0;
const ARCHITECTURE_AT: u32 = 4;

/// They would write and sync without any call that can be watched.
const REFUSED: [c_long; 2] = [libc::SYS_io_uring_setup, libc::SYS_io_setup];
const SYNCS: &[c_long] = &[libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_msync];
const WRITES: &[c_long] = &[
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_fallocate,
    libc::SYS_sendfile,
    libc::SYS_copy_file_range,
    libc::SYS_splice,
];
#[cfg(target_arch = "x86_64")]
const RENAMES: &[c_long] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
#[cfg(not(target_arch = "x86_64"))]
const RENAMES: &[c_long] = &[libc::SYS_renameat, libc::SYS_renameat2];

const READS: &[c_long] =
    &[libc::SYS_read, libc::SYS_pread64, libc::SYS_readv, libc::SYS_preadv, libc::SYS_preadv2];

/// The kind of a call that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Write,
    Sync,
    Rename,
    Read,
}

impl From<Kind> for Calls {
    fn from(kind: Kind) -> Self {
        let none = Self::default();
        match kind {
            Kind::Write => Self { write: true, ..none },
            Kind::Sync => Self { sync: true, ..none },
            Kind::Rename => Self { rename: true, ..none },
            Kind::Read => Self { read: true, ..none },
        }
    }
}

/// Of what kind a call is, if it is watched.
pub fn kind(number: c_long) -> Option<Kind> {
    let kinds = [(SYNCS, Kind::Sync), (WRITES, Kind::Write), (RENAMES, Kind::Rename), (READS, Kind::Read)];
    kinds.into_iter().find(|(numbers, _)| numbers.contains(&number)).map(|(_, kind)| kind)
}

/// A program for the kernel's packet filter, made before the fork.
#[derive(Clone, Debug)]
pub struct Filter(Vec<sock_filter>);

impl Filter {
    /// Lets the supervisor see these calls. An error where the architecture's numbers are not known.
    pub fn new(calls: Calls) -> io::Result<Self> {
        let architecture =
            ARCHITECTURE.ok_or_else(|| io::Error::other("calls of this architecture are not known"))?;
        let mut watched = Vec::new();
        let kinds =
            [(SYNCS, calls.sync), (WRITES, calls.write), (RENAMES, calls.rename), (READS, calls.read)];
        for (numbers, wanted) in kinds {
            watched.extend_from_slice(if wanted { numbers } else { &[] });
        }
        let load = |at| statement((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, at);
        let answer = |word| statement((libc::BPF_RET | libc::BPF_K) as u16, word);
        // The three answers stand at the end, in this order: go on, ask, refuse.
        let tests = 1 + REFUSED.len() + watched.len();
        let mut program = vec![
            load(ARCHITECTURE_AT),
            jump(libc::BPF_JEQ, architecture, 0, tests + 3),
            load(NUMBER_AT),
            jump(libc::BPF_JGE, X32, tests + 1, 0),
        ];
        for (at, number) in REFUSED.iter().enumerate() {
            program.push(jump(libc::BPF_JEQ, *number as u32, tests - at, 0));
        }
        for (at, number) in watched.iter().enumerate() {
            program.push(jump(libc::BPF_JEQ, *number as u32, watched.len() - at, 0));
        }
        program.push(answer(libc::SECCOMP_RET_ALLOW));
        program.push(answer(libc::SECCOMP_RET_USER_NOTIF));
        program.push(answer(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
        Ok(Self(program))
    }

    /// Puts it on this thread and all that it will start, and sends the descriptor by which its calls are answered,
    /// with a greeting. To be called between fork and exec: it allocates nothing. From then on every call that is
    /// watched waits for the supervisor.
    pub fn put_on(&self, supervisor: RawFd, greeting: [u8; 8]) -> io::Result<()> {
        // Once it was taken up, only what ends the process interrupts a call that waits; else signals would let it be
        // made again and again (kernels before 5.19 cannot do so).
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
        let program = libc::sock_fprog { len: self.0.len() as u16, filter: self.0.as_ptr().cast_mut() };
        #[expect(
            unsafe_code,
            reason = "two system calls; the kernel reads a program that lives until they return"
        )]
        let listener = unsafe {
            // Without it only root may have a filter.
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return Err(io::Error::last_os_error());
            }
            let mode = libc::SECCOMP_SET_MODE_FILTER;
            let fd = libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd as RawFd)
        };
        send(supervisor, listener.as_raw_fd(), greeting)
    }
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

/// Skips so many statements if the test holds, or if it does not.
fn jump(test: u32, k: u32, holds: usize, fails: usize) -> sock_filter {
    let far = |count| u8::try_from(count).expect("the program is shorter");
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: far(holds), jf: far(fails), k }
}

/// Room for one descriptor beside the message (`cmsg(3)`), with the alignment that it needs.
#[repr(C, align(8))]
struct Room([u8; 32]);

fn send(to: RawFd, fd: RawFd, mut greeting: [u8; 8]) -> io::Result<()> {
    let mut room = Room([0; 32]);
    #[expect(unsafe_code, reason = "a message is put together from locals that live until it is sent")]
    let sent = unsafe {
        let mut part = libc::iovec { iov_base: greeting.as_mut_ptr().cast(), iov_len: greeting.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = room.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = libc::SOL_SOCKET;
        (*head).cmsg_type = libc::SCM_RIGHTS;
        (*head).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        libc::CMSG_DATA(head).cast::<RawFd>().write_unaligned(fd);
        libc::sendmsg(to, &raw const message, libc::MSG_NOSIGNAL)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers: as `bpf(4)` says a machine of one register does.
    fn run(program: &[sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut register) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) & 7 {
                libc::BPF_LD => register = if step.k == NUMBER_AT { number } else { architecture },
                libc::BPF_JMP => {
                    let test = u32::from(step.code) & 0xf0;
                    let holds = if test == libc::BPF_JGE { register >= step.k } else { register == step.k };
                    at += usize::from(if holds { step.jt } else { step.jf });
                }
                libc::BPF_RET => return step.k,
                other => unreachable!("{other}"),
            }
        }
    }

    #[test]
    fn the_watched_are_asked_about_the_ways_around_are_refused_and_all_else_goes_on() {
        let own = ARCHITECTURE.expect("tests run where it is known");
        let refused = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        for calls in [Calls::ALL, Kind::Sync.into(), Kind::Write.into(), Kind::Read.into()] {
            let Filter(program) = Filter::new(calls).expect("known");
            for number in 0..600 {
                let watched = kind(number).is_some_and(|kind| calls.hold(kind.into()));
                let expected = match number {
                    number if REFUSED.contains(&number) => refused,
                    _ if watched => libc::SECCOMP_RET_USER_NOTIF,
                    _ => libc::SECCOMP_RET_ALLOW,
                };
                assert_eq!(run(&program, own, number as u32), expected, "{number} under {calls:?}");
                assert_eq!(run(&program, 0x4000_0003, number as u32), refused, "32 bits");
                assert_eq!(run(&program, own, number as u32 | X32), refused, "x32");
            }
        }
    }
}
