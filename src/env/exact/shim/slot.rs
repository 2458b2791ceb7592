//! What the scheduler and a process under it share: one page of memory per process. This file is compiled into
//! both. Only one of the two runs at a time and the hand-over goes through `state`, so that relaxed accesses of
//! everything else are enough; they are atomics because two processes see the memory.

use core::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64};

/// Descriptors that every process inherits, above all that a server opens by itself.
pub const FD_AREA: i32 = 900;
pub const FD_CONTROL: i32 = 901;
pub const FD_RANDOM: i32 = 902;
pub const FD_STAT: i32 = 903;
pub const FD_SMAPS: i32 = 904;
pub const FD_SHIM: i32 = 905;
pub const FD_SETTING: i32 = 906;
/// The first number tried for a descriptor that the shim opens for itself.
pub const FD_OWN: i32 = 950;

/// The variable that names the number of a process's slot.
pub const VARIABLE: &str = "SEEDFAULT_EXACT";

/// Values of `state`. A process that may run sets anything else when it stops.
pub const PARKED: u32 = 1;
pub const RUNNING: u32 = 2;
/// It is on its way out; nothing it does from here on counts.
pub const ENDING: u32 = 3;

/// Values of `cause`: why it stopped. From [`ASKS`] on it asks the scheduler for something and goes on at once.
pub const BORN: u32 = 1;
pub const EPOLL: u32 = 2;
pub const WAIT: u32 = 3;
pub const SLEEP: u32 = 4;
pub const ASKS: u32 = 10;
/// Its epoll descriptor follows on the control socket; argument 0 says which ([`MAIN`] or [`AUX`]).
pub const TELL_EPOLL: u32 = 10;
/// A socket follows on the control socket; connect it to address (0) and port (1).
pub const CONNECT: u32 = 11;
/// Answered by the number of the slot for the child.
pub const FORK: u32 = 12;
/// The child of slot (0) has this process id (1), or the fork failed (-1).
pub const FORKED: u32 = 13;
/// Which child has ended: id or -1 (0). Answered by the id, with the kernel's id in argument 0; 0: none has.
pub const WAITPID: u32 = 14;
/// Signal (1) to a child (0).
pub const KILL: u32 = 15;

/// Rule (0) of the disk strikes at a call of kind (1). Answered by what the process is to do: [`GO_ON`] or [`HALT`].
pub const STRUCK: u32 = 30;
/// The journal of the disk is full.
pub const NOTED: u32 = 31;

/// Answers to [`STRUCK`].
pub const GO_ON: i64 = 0;
/// It is stopped, and parks before the call.
pub const HALT: i64 = 1;

/// Kinds of calls to the disk, as a set of bits.
pub const WRITE: u32 = 1;
pub const SYNC: u32 = 2;
pub const RENAME: u32 = 4;

/// Values of `does`.
pub const NO_RULE: u32 = 0;
/// The call fails with the errno in `amount`, as often as `times` says.
pub const FAILS: u32 = 1;
/// Writes fail once as many bytes were written as `amount` says.
pub const FILLS: u32 = 2;
/// The call takes `amount` microseconds, a write also a thousand for every `times` bytes unless that is 0; `countdown`
/// counts those that did.
pub const SLOWS: u32 = 3;
/// The scheduler is asked, and ends or stops the process before the call.
pub const STRIKES: u32 = 4;
/// As before, but of a write of n bytes `amount` modulo n are stored.
pub const TEARS: u32 = 5;

/// In a note's length: no more than this is durable, and perhaps less.
pub const AT_MOST: u64 = 1 << 63;

/// In a note's length: the file was renamed over another when it was so long.
pub const REPLACED: u64 = 1 << 62;

/// Rules that a disk may have at a time, and notes that its journal holds.
pub const RULES: usize = 8;
pub const NOTES: usize = 64;
/// A socket has ended: side (1) of connection (0). Answered by 1 if it was reset and nobody was told yet, else 0.
pub const ENDED: u32 = 16;

/// Values of `waits_on`.
pub const MAIN: u32 = 0;
pub const AUX: u32 = 1;
pub const NOTHING: u32 = 2;

/// Bytes from one slot to the next, and how many there are. Slot 0 is the header.
pub const SLOT_BYTES: usize = 4096;
pub const SLOTS: usize = 512;

/// The beginning of the area.
#[derive(Debug)]
#[repr(C)]
pub struct Header {
    /// Sixteen hexadecimal digits that are in the name of every socket of this run and in no other run's.
    pub token: [u8; 16],
}

#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    pub state: AtomicU32,
    pub cause: AtomicU32,
    pub waits_on: AtomicU32,
    /// A signal to be taken when it next runs.
    pub signal: AtomicU32,
    /// The process id that it believes to have, and the kernel's.
    pub pid: AtomicI32,
    pub kernel_pid: AtomicI32,
    /// Files were opened since the scheduler last looked.
    pub touched: AtomicU32,
    /// The shim is there.
    pub loaded: AtomicU32,
    /// The monotonic clock when its turn began, in microseconds; each read of a clock adds one.
    pub clock: AtomicU64,
    pub reads: AtomicU64,
    /// From the monotonic clock to the wall clock.
    pub wall: AtomicI64,
    /// When it wants to run again, on its own monotonic clock.
    pub deadline: AtomicU64,
    /// State of the generator behind `getrandom`.
    pub random: AtomicU64,
    pub answer: AtomicI64,
    pub arguments: [AtomicI64; 4],
    /// The slot in which the rules and the journal of its node's disk are: the server's, for its children too.
    pub home: AtomicU32,
    pub disk: Disk,
}

/// What is done to calls that the processes of a node make to its disk, and what they made durable.
#[derive(Debug)]
#[repr(C)]
pub struct Disk {
    /// How many rules there are. Without one the calls pass as they are.
    pub armed: AtomicU32,
    pub noted: AtomicU32,
    pub rules: [Rule; RULES],
    pub journal: [Note; NOTES],
}

#[derive(Debug)]
#[repr(C)]
pub struct Rule {
    pub does: AtomicU32,
    /// The kinds of calls that it is about.
    pub calls: AtomicU32,
    /// Such calls up to the one that it first strikes, that one included.
    pub countdown: AtomicU64,
    /// How often it strikes.
    pub times: AtomicU64,
    pub amount: AtomicU64,
}

/// From now on so many bytes of a file are durable.
#[derive(Debug)]
#[repr(C)]
pub struct Note {
    pub inode: AtomicU64,
    pub length: AtomicU64,
}
