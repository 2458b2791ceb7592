//! A file system that passes every request on to the node's folder, and notes what was not synced.
//!
//! A file is known to the kernel by the number that it has in the folder, and held by a descriptor, so that it stays the
//! same file when it is renamed, or removed while it is open. The kernel is told to ask again each time (no entry and no
//! attribute is kept), since the run changes the folder too. A sync reaches no disk of the machine's: what it promises is
//! about the loss of power that this file system plays.

use super::journal::Journal;
use crate::env::processes::folder::is_ours;
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, SessionACL,
    TimeOrNow, WriteFlags,
};
use nix::fcntl::{AtFlags, OFlag, RenameFlags as Rename, openat, readlinkat, renameat2};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::statvfs::fstatvfs;
use nix::sys::time::TimeSpec;
use nix::unistd::linkat;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// How long the kernel may believe what it was told.
const TRUST: Duration = Duration::ZERO;

/// What is known of a node's folder, whoever has it mounted.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By the number that the kernel knows them by.
    files: BTreeMap<u64, Known>,
    handles: BTreeMap<u64, Handle>,
    next: u64,
    /// The power has failed: nothing that is still asked for is done.
    off: bool,
}

/// A file or folder that the kernel knows, or of which not all is durable.
#[derive(Debug)]
struct Known {
    /// For its place alone (`O_PATH`).
    place: File,
    lookups: u64,
    journal: Journal,
}

#[derive(Debug)]
enum Handle {
    File(File),
    Folder(Vec<(u64, FileType, OsString)>),
}

/// What a loss of power took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub files: u32,
    pub bytes: u64,
}

type Answer<T> = Result<T, Errno>;

impl Known {
    /// A name for it that leads to the very file.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.place.as_raw_fd()).into()
    }

    fn attributes(&self, number: u64) -> Answer<FileAttr> {
        let meta = self.place.metadata()?;
        let time = |seconds: i64, nanos: i64| {
            let span = Duration::new(seconds.unsigned_abs(), nanos as u32);
            if seconds < 0 { SystemTime::UNIX_EPOCH - span } else { SystemTime::UNIX_EPOCH + span }
        };
        Ok(FileAttr {
            ino: INodeNo(number),
            size: meta.len(),
            blocks: meta.blocks(),
            atime: time(meta.atime(), meta.atime_nsec()),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
            crtime: SystemTime::UNIX_EPOCH,
            kind: kind_of(meta.file_type()),
            perm: (meta.mode() & 0o7777) as u16,
            nlink: meta.nlink() as u32,
            uid: meta.uid(),
            gid: meta.gid(),
            rdev: meta.rdev() as u32,
            blksize: meta.blksize() as u32,
            flags: 0,
        })
    }

    fn open(&self, write: bool) -> io::Result<File> {
        // What stands in the place of a write is read before it.
        OpenOptions::new().read(true).write(write).open(self.path())
    }
}

fn kind_of(kind: fs::FileType) -> FileType {
    match kind {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_symlink() => FileType::Symlink,
        kind if kind.is_fifo() => FileType::NamedPipe,
        kind if kind.is_socket() => FileType::Socket,
        kind if kind.is_char_device() => FileType::CharDevice,
        kind if kind.is_block_device() => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

impl Inner {
    fn known(&self, number: INodeNo) -> Answer<&Known> {
        self.files.get(&number.0).ok_or(Errno::ESTALE)
    }

    fn child(&self, parent: INodeNo, name: &OsStr) -> Answer<PathBuf> {
        Ok(self.known(parent)?.path().join(name))
    }

    /// The file of this name, which the kernel knows from now on.
    fn enter(&mut self, parent: INodeNo, name: &OsStr) -> Answer<(u64, FileAttr)> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let place = openat(&self.known(parent)?.place, name, flags, Mode::empty()).map_err(from_nix)?;
        let place = File::from(place);
        let number = place.metadata()?.ino();
        let journal = Journal::default();
        let known = self.files.entry(number).or_insert(Known { place, lookups: 0, journal });
        known.lookups += 1;
        Ok((number, known.attributes(number)?))
    }

    fn keep(&mut self, handle: Handle) -> FileHandle {
        self.next += 1;
        self.handles.insert(self.next, handle);
        FileHandle(self.next)
    }

    fn file(&mut self, number: INodeNo, handle: FileHandle) -> Answer<(&File, &mut Journal)> {
        let Some(Handle::File(file)) = self.handles.get(&handle.0) else { return Err(Errno::EBADF) };
        let known = self.files.get_mut(&number.0).ok_or(Errno::ESTALE)?;
        Ok((file, &mut known.journal))
    }

    fn resize(&mut self, number: INodeNo, to: u64) -> Answer<()> {
        let known = self.files.get_mut(&number.0).ok_or(Errno::ESTALE)?;
        let file = known.open(true)?;
        let from = file.metadata()?.len();
        file.set_len(to)?;
        known.journal.resized(from, to);
        Ok(())
    }

    fn forget(&mut self, number: u64, count: u64) {
        let Some(known) = self.files.get_mut(&number) else { return };
        known.lookups = known.lookups.saturating_sub(count);
        // The root is never forgotten.
        if known.lookups == 0 && known.journal.is_empty() && number != INodeNo::ROOT.0 {
            self.files.remove(&number);
        }
    }
}

impl Store {
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        let place =
            OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(&folder)?;
        let root = Known { place, lookups: 1, journal: Journal::default() };
        let files = BTreeMap::from([(INodeNo::ROOT.0, root)]);
        Ok(Self { folder, inner: Mutex::new(Inner { files, ..Inner::default() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something, unless the power has failed.
    fn on<T>(&self, act: impl FnOnce(&mut Inner) -> Answer<T>) -> Answer<T> {
        let mut inner = self.lock();
        if inner.off { Err(Errno::EIO) } else { act(&mut inner) }
    }

    /// Whether what is asked for is done.
    pub fn is_on(&self) -> bool {
        !self.lock().off
    }

    /// Nothing is done any more.
    pub fn switch_off(&self) {
        self.lock().off = true;
    }

    /// The power fails: takes back what it takes. `word` decides for each file how much was written out by itself.
    pub fn lose(&self, flushed: bool, word: &dyn Fn(&str) -> u64) -> io::Result<Lost> {
        let mut inner = self.lock();
        inner.off = true;
        let mut lost = Lost::default();
        for known in inner.files.values_mut().filter(|known| !known.journal.is_empty()) {
            // Of a file that was removed nothing is left to lose.
            if known.place.metadata()?.nlink() == 0 {
                continue;
            }
            let path = fs::read_link(known.path())?;
            let name = path.strip_prefix(&self.folder).unwrap_or(&path).to_string_lossy().into_owned();
            if is_ours(&name) {
                continue;
            }
            let bytes = known.journal.lose(&known.open(true)?, flushed, word(&name))?;
            lost.files += u32::from(bytes > 0);
            lost.bytes += bytes;
        }
        Ok(lost)
    }
}

/// The node's folder, as the kernel asks for it.
#[derive(Debug)]
pub struct Pass(pub Arc<Store>);

/// How it is served.
pub fn config() -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.mount_options = vec![MountOption::DefaultPermissions];
    config
}

fn from_nix(error: nix::errno::Errno) -> Errno {
    io::Error::from(error).into()
}

impl Pass {
    fn made(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        make: impl FnOnce(&Path) -> io::Result<()>,
        reply: ReplyEntry,
    ) {
        let made = self.0.on(|inner| {
            let path = inner.child(parent, name)?;
            make(&path)?;
            give(request, &path)?;
            inner.enter(parent, name)
        });
        entered(made, reply);
    }

    fn done(&self, reply: ReplyEmpty, act: impl FnOnce(&mut Inner) -> Answer<()>) {
        match self.0.on(act) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }
}

fn entered(came: Answer<(u64, FileAttr)>, reply: ReplyEntry) {
    match came {
        Ok((_, attributes)) => reply.entry(&TRUST, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn told(came: Answer<FileAttr>, reply: ReplyAttr) {
    match came {
        Ok(attributes) => reply.attr(&TRUST, &attributes),
        Err(error) => reply.error(error),
    }
}

/// What another user than ours has made is theirs.
fn give(request: &Request, path: &Path) -> io::Result<()> {
    let (user, group) = (request.uid(), request.gid());
    if user == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(user), Some(group))
}

fn seconds(time: TimeOrNow) -> TimeSpec {
    match time {
        TimeOrNow::Now => TimeSpec::UTIME_NOW,
        TimeOrNow::SpecificTime(time) => {
            TimeSpec::from_duration(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
        }
    }
}

impl Filesystem for Pass {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // What is read again after the run has changed it is not what was read before.
        let _ = config.add_capabilities(InitFlags::FUSE_AUTO_INVAL_DATA);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entered(self.0.on(|inner| inner.enter(parent, name)), reply);
    }

    fn forget(&self, _: &Request, number: INodeNo, count: u64) {
        self.0.lock().forget(number.0, count);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        told(self.0.on(|inner| inner.known(number)?.attributes(number.0)), reply);
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let came = self.0.on(|inner| {
            let path = inner.known(number)?.path();
            if let Some(mode) = mode {
                fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
            }
            if uid.is_some() || gid.is_some() {
                std::os::unix::fs::chown(&path, uid, gid)?;
            }
            if let Some(size) = size {
                inner.resize(number, size)?;
            }
            if atime.is_some() || mtime.is_some() {
                let time = |time: Option<TimeOrNow>| time.map_or(TimeSpec::UTIME_OMIT, seconds);
                let follow = UtimensatFlags::FollowSymlink;
                utimensat(nix::fcntl::AT_FDCWD, &path, &time(atime), &time(mtime), follow)
                    .map_err(from_nix)?;
            }
            inner.known(number)?.attributes(number.0)
        });
        told(came, reply);
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.0.on(|inner| readlinkat(&inner.known(number)?.place, "").map_err(from_nix)) {
            Ok(target) => reply.data(target.as_encoded_bytes()),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let make = |path: &Path| {
            let kind = SFlag::from_bits_truncate(mode & libc::S_IFMT);
            Ok(mknod(path, kind, Mode::from_bits_truncate(mode & 0o7777), device.into())?)
        };
        self.made(request, parent, name, make, reply);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let make = |path: &Path| fs::DirBuilder::new().mode(mode & 0o7777).create(path);
        self.made(request, parent, name, make, reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, |inner| Ok(fs::remove_file(inner.child(parent, name)?)?));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, |inner| Ok(fs::remove_dir(inner.child(parent, name)?)?));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        self.made(request, parent, name, |path| std::os::unix::fs::symlink(target, path), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.done(reply, |inner| {
            let (from, to) = (inner.child(parent, name)?, inner.child(new_parent, new_name)?);
            let replaces = fs::symlink_metadata(&to).is_ok();
            let number = fs::symlink_metadata(&from)?.ino();
            let cwd = nix::fcntl::AT_FDCWD;
            renameat2(cwd, &from, cwd, &to, Rename::from_bits_truncate(flags.bits())).map_err(from_nix)?;
            if let Some(known) = inner.files.get_mut(&number).filter(|_| replaces) {
                known.journal.replaces();
            }
            Ok(())
        });
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let made = self.0.on(|inner| {
            let (from, to) = (inner.known(number)?.path(), inner.child(parent, name)?);
            let cwd = nix::fcntl::AT_FDCWD;
            linkat(cwd, &from, cwd, &to, AtFlags::AT_SYMLINK_FOLLOW).map_err(from_nix)?;
            inner.enter(parent, name)
        });
        entered(made, reply);
    }

    fn open(&self, _: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let opened = self.0.on(|inner| {
            if flags.0 & libc::O_TRUNC != 0 {
                inner.resize(number, 0)?;
            }
            let file = inner.known(number)?.open(flags.0 & libc::O_ACCMODE != libc::O_RDONLY)?;
            Ok(inner.keep(Handle::File(file)))
        });
        match opened {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let created = self.0.on(|inner| {
            let path = inner.child(parent, name)?;
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).create_new(flags & libc::O_EXCL != 0);
            let is_new = fs::symlink_metadata(&path).is_err();
            let file = options.mode(mode & 0o7777).open(&path)?;
            if is_new {
                give(request, &path)?;
            }
            let (number, _) = inner.enter(parent, name)?;
            if flags & libc::O_TRUNC != 0 {
                inner.resize(INodeNo(number), 0)?;
            }
            let attributes = inner.known(INodeNo(number))?.attributes(number)?;
            Ok((attributes, inner.keep(Handle::File(file))))
        });
        match created {
            Ok((attributes, handle)) => {
                reply.created(&TRUST, &attributes, Generation(0), handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let came = self.0.on(|inner| {
            let (file, _) = inner.file(number, handle)?;
            let mut bytes = vec![0; size as usize];
            let mut done = 0;
            while done < bytes.len() {
                match file.read_at(&mut bytes[done..], offset + done as u64)? {
                    0 => break,
                    count => done += count,
                }
            }
            bytes.truncate(done);
            Ok(bytes)
        });
        match came {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        how: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let came = self.0.on(|inner| {
            let (file, journal) = inner.file(number, handle)?;
            let size = file.metadata()?.len();
            // A page of a mapping has its place; another write is where the end is by now.
            let appends = flags.0 & libc::O_APPEND != 0 && !how.contains(WriteFlags::FUSE_WRITE_CACHE);
            let at = if appends { size } else { offset };
            journal.write(file, at, bytes.len() as u64, size)?;
            file.write_all_at(bytes, at)?;
            if flags.0 & libc::O_DSYNC != 0 {
                journal.synced();
            }
            Ok(())
        });
        match came {
            Ok(()) => reply.written(bytes.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.lock().handles.remove(&handle.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(reply, |inner| {
            inner.files.get_mut(&number.0).ok_or(Errno::ESTALE)?.journal.synced();
            Ok(())
        });
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(reply, |_| Ok(()));
    }

    fn fallocate(
        &self,
        _: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        self.done(reply, |inner| {
            use nix::fcntl::{FallocateFlags, fallocate};
            let mode = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
            let zeros = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE;
            let moves = FallocateFlags::FALLOC_FL_COLLAPSE_RANGE | FallocateFlags::FALLOC_FL_INSERT_RANGE;
            if mode.intersects(moves) {
                return Err(Errno::EOPNOTSUPP);
            }
            let (file, journal) = inner.file(number, handle)?;
            let size = file.metadata()?.len();
            if mode.intersects(zeros) && offset < size {
                journal.write(file, offset, length.min(size - offset), size)?;
            }
            fallocate(file, mode, offset as i64, length as i64).map_err(from_nix)?;
            journal.resized(size, file.metadata()?.len());
            Ok(())
        });
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.0.on(|inner| {
            let known = inner.known(number)?;
            let mut entries = vec![
                (number.0, FileType::Directory, OsString::from(".")),
                (number.0, FileType::Directory, OsString::from("..")),
            ];
            for entry in fs::read_dir(known.path())? {
                let entry = entry?;
                entries.push((entry.ino(), kind_of(entry.file_type()?), entry.file_name()));
            }
            Ok(inner.keep(Handle::Folder(entries)))
        });
        match opened {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let came = self.0.on(|inner| {
            let Some(Handle::Folder(entries)) = inner.handles.get(&handle.0) else {
                return Err(Errno::EBADF);
            };
            for (at, (number, kind, name)) in entries.iter().enumerate().skip(offset as usize) {
                if reply.add(INodeNo(*number), at as u64 + 1, *kind, name) {
                    break;
                }
            }
            Ok(())
        });
        match came {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.0.lock().handles.remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, number: INodeNo, reply: ReplyStatfs) {
        match self.0.on(|inner| fstatvfs(&inner.known(number)?.place).map_err(from_nix)) {
            Ok(told) => reply.statfs(
                told.blocks(),
                told.blocks_free(),
                told.blocks_available(),
                told.files(),
                told.files_free(),
                told.block_size() as u32,
                told.name_max() as u32,
                told.fragment_size() as u32,
            ),
            Err(error) => reply.error(error),
        }
    }
}
