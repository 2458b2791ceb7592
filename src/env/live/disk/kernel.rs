//! What the supervisor asks of the kernel: calls that wait, their answers, and the memory and files of who made them.

use nix::errno::Errno;
use nix::libc::{self, c_long};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub id: u64,
    /// The thread that made it.
    pub thread: i32,
    pub number: c_long,
    pub arguments: [u64; 6],
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The kernel makes the call.
    Make,
    /// It has been made, and came to this.
    Done(u64),
    Error(Errno),
}

/// The next call that waits. Also an error if the caller has died meanwhile.
pub fn receive(listener: &OwnedFd) -> io::Result<Waiting> {
    #[expect(unsafe_code, reason = "the kernel fills in a plain structure, which must be zero before")]
    let told = unsafe {
        let mut told: libc::seccomp_notif = std::mem::zeroed();
        if libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) != 0 {
            return Err(io::Error::last_os_error());
        }
        told
    };
    let libc::seccomp_notif { id, pid, data, .. } = told;
    Ok(Waiting { id, thread: pid as i32, number: c_long::from(data.nr), arguments: data.args })
}

/// Answers a call. An error is of no account: who made it is dead then.
pub fn answer(listener: &OwnedFd, id: u64, answer: Answer) {
    let (val, error, flags) = match answer {
        Answer::Make => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        Answer::Done(value) => (value as i64, 0, 0),
        Answer::Error(errno) => (0, -(errno as i32), 0),
    };
    let mut response = libc::seccomp_notif_resp { id, val, error, flags };
    #[expect(unsafe_code, reason = "the kernel reads a plain structure")]
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }
}

/// Whether who made the call still waits: what was read by its number in between was its own, then.
pub fn waits(listener: &OwnedFd, id: u64) -> bool {
    #[expect(unsafe_code, reason = "the kernel reads one number")]
    let answer =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) };
    answer == 0
}

/// Lets who makes a call be followed by the supervisor on the same processor, which is quicker. From Linux 6.6 on.
pub fn hand_over(listener: &OwnedFd) {
    const SYNC_WAKE_UP: u64 = 1;
    #[expect(unsafe_code, reason = "the kernel takes a number")]
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP);
    }
}

/// A descriptor of another process, as if it had been inherited: both have one position in the file.
pub fn share(process: i32, fd: RawFd) -> io::Result<File> {
    #[expect(unsafe_code, reason = "two system calls, each of which gives a descriptor that is ours alone")]
    unsafe {
        let pidfd = libc::syscall(libc::SYS_pidfd_open, process, 0);
        if pidfd < 0 {
            return Err(io::Error::last_os_error());
        }
        let pidfd = OwnedFd::from_raw_fd(pidfd as RawFd);
        let shared = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0);
        if shared < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(shared as RawFd))
    }
}

/// Reads the memory of another process. All of it, or an error.
pub fn read_memory(process: i32, address: u64, out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        let rest = &mut out[done..];
        let ours = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
        let theirs =
            libc::iovec { iov_base: (address + done as u64) as *mut libc::c_void, iov_len: rest.len() };
        #[expect(unsafe_code, reason = "the kernel checks their addresses; ours is a slice that lives")]
        let read = unsafe { libc::process_vm_readv(process, &raw const ours, 1, &raw const theirs, 1, 0) };
        match read {
            ..0 => return Err(io::Error::last_os_error()),
            0 => return Err(Errno::EFAULT.into()),
            read => done += read as usize,
        }
    }
    Ok(())
}

impl Waiting {
    /// The descriptor that it writes to or syncs; none where it names memory.
    pub fn file(&self) -> Option<RawFd> {
        match self.number {
            libc::SYS_msync => None,
            libc::SYS_copy_file_range | libc::SYS_splice => Some(self.arguments[2] as RawFd),
            _ => Some(self.arguments[0] as RawFd),
        }
    }

    /// How many bytes it writes, and whether fewer can be written in its place. What the kernel copies by itself and
    /// what it reserves is done whole or not at all.
    pub fn length(&self) -> io::Result<(u64, bool)> {
        match self.number {
            libc::SYS_fallocate | libc::SYS_sendfile => Ok((self.arguments[3], false)),
            libc::SYS_copy_file_range | libc::SYS_splice => Ok((self.arguments[4], false)),
            _ => parts(self).map(|parts| (parts.iter().map(|(_, length)| length).sum(), true)),
        }
    }
}

/// Where the bytes of a write lie, as address and length.
fn parts(waiting: &Waiting) -> io::Result<Vec<(u64, u64)>> {
    /// `IOV_MAX` of Linux.
    const PARTS_MAX: u64 = 1024;
    let [_, address, count, ..] = waiting.arguments;
    match waiting.number {
        libc::SYS_write | libc::SYS_pwrite64 => Ok(vec![(address, count)]),
        libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
            let mut bytes = vec![0; count.min(PARTS_MAX) as usize * 16];
            read_memory(waiting.thread, address, &mut bytes)?;
            let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight"));
            Ok(bytes.chunks_exact(16).map(|part| (word(&part[..8]), word(&part[8..]))).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Writes the first so many bytes of a write in the place of who asked for it. Answers how many.
pub fn write_part(process: i32, waiting: &Waiting, part: u64) -> io::Result<u64> {
    const CHUNK: u64 = 1 << 16;
    let file = share(process, waiting.arguments[0] as RawFd)?;
    // `pwritev2` means the file's own position by -1.
    let offset = match waiting.number {
        libc::SYS_pwrite64 | libc::SYS_pwritev | libc::SYS_pwritev2 => Some(waiting.arguments[3]),
        _ => None,
    };
    let offset = offset.filter(|offset| *offset != u64::MAX);
    let mut done = 0;
    for (address, length) in parts(waiting)? {
        let mut at = 0;
        while at < length && done < part {
            let count = (length - at).min(part - done).min(CHUNK);
            let mut bytes = vec![0; count as usize];
            read_memory(process, address + at, &mut bytes)?;
            match offset {
                Some(offset) => file.write_all_at(&bytes, offset + done)?,
                None => io::Write::write_all(&mut &file, &bytes)?,
            }
            at += count;
            done += count;
        }
    }
    Ok(done)
}
