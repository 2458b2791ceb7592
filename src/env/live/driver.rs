//! The thread that moves packets between the devices, as the [`Switch`] says.
//!
//! It is a thread because packets must cross while the run is busy with something else. The run changes rules under
//! the same lock under which packets are carried, and what a change delivers is given to the devices before it
//! returns: when a cut is answered, it is in force. The thread holds the lock for one turn over the devices that have
//! something, of each at most [`BATCH`] packets.
//!
//! Packets that a device would not take are counted: a loss of the switch itself is no fault that anybody asked for.

use super::alarm::Alarm;
use super::capture::Capture;
use super::device::Device;
use super::switch::{Counts, Delivery, Fate, OFFLOAD, Offload, Port, Switch};
use crate::catalogue::MessageType;
use crate::env::{Hold, LinkRules, LinkStrike};
use crate::fault::traffic::Traffic;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Packets taken of one device before the next has its turn.
const BATCH: usize = 64;
/// The longest that a device gives at once: 64 KiB and the headers before it.
const FRAME_MAX: usize = 65_536 + 64;
/// What epoll says of the two descriptors that are no device.
const STOP: u64 = 1 << 32;
const TIMER: u64 = 1 << 33;
/// Descriptors told of at once.
const EVENTS: usize = 64;

/// What the thread and the run have in common.
#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    epoll: Epoll,
    stop: EventFd,
    /// Readable when the switch has messages to tell of.
    told: EventFd,
    began: Instant,
}

#[derive(Debug)]
struct Inner {
    switch: Switch,
    devices: BTreeMap<Port, Device>,
    /// Packets that a device would not take.
    refused: u64,
    /// Packets for a device that is not there.
    absent: u64,
    /// Goes off when the next segment is due.
    alarm: Alarm,
    capture: Option<Capture>,
    /// When the clock of the switch was at zero, since the epoch.
    epoch: Duration,
}

/// See the module's page.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Driver {
    pub fn start(switch: Switch, capture: Option<Capture>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let told = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let alarm = Alarm::new()?;
        epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        epoll.add(&alarm, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        #[expect(clippy::disallowed_methods, reason = "the driver is the border: it owns the switch's clock")]
        let (began, epoch) = (Instant::now(), SystemTime::now());
        let inner = Inner {
            switch,
            devices: BTreeMap::new(),
            refused: 0,
            absent: 0,
            alarm,
            capture,
            epoch: epoch.duration_since(UNIX_EPOCH).unwrap_or_default(),
        };
        let shared = Arc::new(Shared { inner: Mutex::new(inner), epoll, stop, told, began });
        let builder = std::thread::Builder::new().name("switch".into());
        let thread = builder.spawn({
            let shared = shared.clone();
            move || shared.run()
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Plugs a device in.
    pub fn plug(&self, port: Port, device: Device) -> io::Result<()> {
        let mut inner = self.shared.lock();
        self.shared.epoll.add(&device, EpollEvent::new(EpollFlags::EPOLLIN, u64::from(port.0)))?;
        inner.devices.insert(port, device);
        Ok(())
    }

    /// Whether packets are still moved.
    pub fn works(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Puts rules on a link, and answers what was struck on it so far and how many connections were woken up.
    pub fn set_rules(&self, from: Port, to: Port, rules: LinkRules) -> super::switch::Change {
        let mut inner = self.shared.lock();
        let mut out = Vec::new();
        if let Some(capture) = &mut inner.capture {
            capture.comment(format!(
                "{} to {}: {}",
                super::name(from),
                super::name(to),
                super::spelled(&rules)
            ));
        }
        let change = inner.switch.set_rules(from, to, rules, &mut out);
        inner.deliver(self.shared.now(), &mut out);
        change
    }

    /// Resets the established connections of a class between two devices.
    pub fn reset(&self, one: Port, other: Port, traffic: Traffic) -> u64 {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let mut out = Vec::new();
        let count = inner.switch.reset(now, (one, other), traffic, &mut out);
        if let Some(capture) = &mut inner.capture {
            let (one, other) = (super::name(one), super::name(other));
            capture.comment(format!("{count} connections between {one} and {other} are reset"));
        }
        inner.deliver(now, &mut out);
        count
    }

    /// Lets a device forget its connections of a class with another.
    pub fn forget(&self, one: Port, other: Port, traffic: Traffic, silent: bool) -> u64 {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let mut out = Vec::new();
        let count = inner.switch.forget((one, other), traffic, silent, &mut out);
        if let Some(capture) = &mut inner.capture {
            let (one, other) = (super::name(one), super::name(other));
            capture.comment(format!("{one} forgets {count} connections with {other}"));
        }
        inner.deliver(now, &mut out);
        count
    }

    /// Lets the other hear of it.
    pub fn recall(&self, one: Port, other: Port) -> u64 {
        self.shared.lock().switch.recall(one, other)
    }

    /// Holds messages under an event's name, or lets go what it held, and answers how that ended.
    pub fn hold(&self, event: String, hold: Option<Hold>) -> Option<String> {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        if let Some(hold) = hold {
            inner.switch.hold(now, event, &hold);
            return None;
        }
        let mut out = Vec::new();
        let told = inner.switch.let_go(now, &event, &mut out);
        inner.deliver(now, &mut out);
        Some(told)
    }

    /// Lies in wait under an event's name, or ends that, and answers what came of it.
    pub fn strike(&self, event: String, strike: Option<LinkStrike>) -> Option<String> {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let Some(strike) = strike else { return Some(inner.switch.end_strike(&event)) };
        inner.switch.strike(now, event, strike);
        None
    }

    /// Which messages it tells of from now on.
    pub fn watch(&self, kinds: &[MessageType]) {
        self.shared.lock().switch.watch(kinds);
    }

    /// Lets those messages go on of which the run was told.
    pub fn answered(&self) {
        let now = self.shared.now();
        let mut inner = self.shared.lock();
        let mut out = Vec::new();
        inner.switch.answered(now, &mut out);
        inner.deliver(now, &mut out);
        let next = inner.switch.next_due();
        inner.alarm.set(next, now);
    }

    /// Messages that were sent since the last call: what was sent, from where, to where.
    pub fn take_told(&self) -> Vec<(MessageType, Port, Port)> {
        // Nothing to read: it was read before.
        let _ = self.shared.told.read();
        self.shared.lock().switch.take_told()
    }

    /// Readable when there are some.
    pub fn told(&self) -> BorrowedFd<'_> {
        self.shared.told.as_fd()
    }

    /// What each link has carried.
    pub fn counts(&self) -> Vec<(Port, Port, Counts)> {
        self.shared.lock().switch.counts().collect()
    }

    /// Packets that were lost without anybody having asked for it: which no device took, and which a packet socket
    /// had no room for.
    pub fn lost(&self) -> u64 {
        let inner = self.shared.lock();
        inner.refused + inner.devices.values().map(Device::missed).sum::<u64>()
    }

    /// Packets that were for nobody: no such address, or no such node.
    pub fn nowhere(&self) -> u64 {
        let inner = self.shared.lock();
        inner.absent + inner.switch.nowhere()
    }

    /// Ends the thread. Answers whether the capture is whole, if one was asked for.
    pub fn stop(&mut self) -> bool {
        if let Some(thread) = self.thread.take() {
            let _ = self.shared.stop.write(1);
            let _ = thread.join();
        }
        self.shared.lock().capture.as_mut().is_none_or(Capture::close)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    fn run(&self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut buffer = vec![0; FRAME_MAX];
        let mut out = Vec::new();
        loop {
            // Interrupted by a signal: the next turn asks again.
            let count = self.epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
            let mut inner = self.lock();
            for event in &events[..count] {
                match event.data() {
                    STOP => return,
                    TIMER => inner.alarm.rang(),
                    port => self.drain(&mut inner, Port(port as u16), &mut buffer, &mut out),
                }
            }
            let now = self.now();
            inner.switch.due(now, &mut out);
            inner.deliver(now, &mut out);
            let next = inner.switch.next_due();
            inner.alarm.set(next, self.now());
            if inner.switch.has_told() {
                let _ = self.told.write(1);
            }
        }
    }

    /// Takes what a device has.
    fn drain(&self, inner: &mut Inner, port: Port, buffer: &mut [u8], out: &mut Vec<Delivery>) {
        for _ in 0..BATCH {
            let Some(device) = inner.devices.get(&port) else { return };
            let head = OFFLOAD + device.kind().link_header();
            // Nothing more, or a device that is going away.
            let Ok(length) = device.take(buffer) else { return };
            if length <= head {
                continue;
            }
            let mut offload = Offload::read(buffer[..OFFLOAD].try_into().expect("of this length"));
            // The kernel counts from the frame, the switch from the packet.
            let link = device.kind().link_header() as u16;
            offload.checksum_start = offload.checksum_start.saturating_sub(link);
            offload.headers = offload.headers.saturating_sub(link);
            let (now, packet) = (self.now(), &buffer[head..length]);
            let fate = inner.switch.carry(now, port, offload, packet, out);
            if let Fate::Through(to) = fate {
                inner.capture(now, packet);
                inner.give(to, |device| device.pass_on(&buffer[..length]));
            }
            inner.deliver(now, out);
        }
    }
}

impl Inner {
    fn capture(&mut self, now: u64, packet: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.packet(self.epoch + Duration::from_micros(now), packet);
        }
    }

    fn deliver(&mut self, now: u64, out: &mut Vec<Delivery>) {
        for Delivery { to, frame } in out.drain(..) {
            self.capture(now, &frame.bytes);
            self.give(to, |device| device.give(&frame));
        }
    }

    fn give(&mut self, to: Port, act: impl FnOnce(&Device) -> io::Result<usize>) {
        match self.devices.get(&to.device()) {
            None => self.absent += 1,
            Some(device) => self.refused += u64::from(act(device).is_err()),
        }
    }
}
