//! The memory that the scheduler and the processes under it have in common, and the hand-over of the turn.

#[path = "shim/slot.rs"]
pub mod slot;

use nix::libc;
use slot::{ENDING, Header, PARKED, RUNNING, SLOT_BYTES, SLOTS, Slot};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

#[derive(Debug)]
pub struct Area {
    memory: *mut u8,
    fd: OwnedFd,
}

/// How a process that had the turn stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// It gave the turn back.
    Parked,
    /// It is on its way out.
    Ending,
    /// Neither, within the time given.
    Running,
}

impl Area {
    pub fn new(token: [u8; 16]) -> io::Result<Self> {
        let fd = memory_file("seedfault", &[])?;
        nix::unistd::ftruncate(&fd, (SLOTS * SLOT_BYTES) as i64)?;
        #[expect(unsafe_code, reason = "a fresh mapping of a file that is as long as the mapping")]
        let memory = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let length = SLOTS * SLOT_BYTES;
            libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let area = Self { memory: memory.cast(), fd };
        #[expect(unsafe_code, reason = "the area begins with a header, and nobody else has it yet")]
        unsafe {
            area.memory.cast::<Header>().write(Header { token });
        }
        Ok(area)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The slot of this number, 1 to `SLOTS` - 1.
    pub fn slot(&self, number: usize) -> &Slot {
        assert!((1..SLOTS).contains(&number), "there is no slot {number}");
        #[expect(
            unsafe_code,
            clippy::cast_ptr_alignment,
            reason = "in bounds, aligned to a page, all atomics, for which all bytes are values"
        )]
        unsafe {
            &*self.memory.add(number * SLOT_BYTES).cast::<Slot>()
        }
    }

    /// Lets the process of this slot run.
    pub fn hand_over(&self, number: usize) {
        let state = &self.slot(number).state;
        state.store(RUNNING, Release);
        wake(state);
    }

    /// Waits until it stops, at most so long.
    pub fn take_back(&self, number: usize, at_most: Duration) -> Hand {
        let state = &self.slot(number).state;
        if state.load(Acquire) == RUNNING {
            wait(state, RUNNING, at_most);
        }
        match state.load(Acquire) {
            PARKED => Hand::Parked,
            ENDING => Hand::Ending,
            _ => Hand::Running,
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "our own mapping; slots are borrowed from `self`")]
        unsafe {
            libc::munmap(self.memory.cast(), SLOTS * SLOT_BYTES);
        }
    }
}

fn wake(word: &AtomicU32) {
    #[expect(unsafe_code, reason = "FUTEX_WAKE takes the address of a living word")]
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
    }
}

fn wait(word: &AtomicU32, value: u32, at_most: Duration) {
    let time =
        libc::timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    #[expect(unsafe_code, reason = "FUTEX_WAIT takes the addresses of a living word and a time")]
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const time);
    }
}

/// A file that lives in memory alone, with this content.
pub fn memory_file(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let name = std::ffi::CString::new(name)?;
    #[expect(unsafe_code, reason = "memfd_create takes a name and gives a descriptor that is ours alone")]
    let fd = unsafe {
        let fd = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let mut file = std::fs::File::from(fd);
    io::Write::write_all(&mut file, content)?;
    Ok(file.into())
}
