//! Network devices whose packets come to the switch: TUN where the device node may be opened, else one end of a
//! veth pair with a packet socket on the other, which needs no device node.
//!
//! Both give and take packets behind a [`switch::Offload`](super::switch::Offload), so that up to 64 KiB of a stream
//! cross as one. Both have an Ethernet or IP header after it; how many bytes lie between is [`Kind::link_header`].

use super::namespace::Namespace;
use super::netlink;
use super::switch::{Frame, MASK, OFFLOAD};
use nix::errno::Errno;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// The name of the device in every namespace.
pub const NAME: &str = "eth0";
const BRIDGE: &str = "br0";
const TUN: &str = "/dev/net/tun";
/// Packets that a device holds for the switch. Linux's own 500 are few for a switch that shares its processor.
const QUEUE: u32 = 5000;
/// What a packet socket holds, where the kernel allows as much (`net.core.rmem_max`); its default of 208 KiB loses
/// packets under load.
const BUFFER: i32 = 4 << 20;
const ETHERNET: usize = 14;
/// Requests of `linux/sockios.h` that the C library's bindings lack: make a bridge, give it a port.
const SIOCBRADDBR: libc::Ioctl = 0x89a0;
const SIOCBRADDIF: libc::Ioctl = 0x89a2;
/// The one address of all veth ends: each takes every frame for its own, and nobody need ask for addresses.
pub const MAC: [u8; 6] = [0x02, 0, 0, 0x4d, 0, 1];
const IPV4: u16 = libc::ETH_P_IP as u16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tun,
    Packet,
}

impl Kind {
    /// The cheaper first.
    pub const ALL: [Self; 2] = [Self::Tun, Self::Packet];

    /// Bytes between the offload header and the IP header.
    pub fn link_header(self) -> usize {
        match self {
            Self::Tun => 0,
            Self::Packet => ETHERNET,
        }
    }

    /// What is used to make them.
    pub fn told(self) -> &'static str {
        match self {
            Self::Tun => "TUN devices",
            Self::Packet => "packet sockets on veth devices",
        }
    }
}

/// The switch's end of a device.
#[derive(Debug)]
pub struct Device {
    file: File,
    kind: Kind,
}

/// Makes the device of the namespace that this thread is in, with this address. `far` is where the switch's end of
/// a veth device lies, and `number` names it there; `home` is the namespace to come back to.
pub fn make(kind: Kind, address: u32, number: u16, far: &Namespace) -> io::Result<Device> {
    up("lo", 0).map_err(said("lo"))?;
    let device = match kind {
        Kind::Tun => make_tun(),
        Kind::Packet => make_veth(number, far),
    }?;
    configure(address, libc::IFF_NOARP).map_err(said("configuring the device"))?;
    Ok(device)
}

/// Makes the device of the namespace that this thread is in as one end of a veth pair, whose other end, of this name,
/// is a port of the bridge in `far`.
pub fn make_bridged(address: u32, number: u16, far: &Namespace) -> io::Result<()> {
    up("lo", 0).map_err(said("lo"))?;
    let (home, far_name) = (Namespace::own()?, far_name(number));
    // A bridge goes by hardware addresses, so each end has its own.
    let [high, low] = number.to_be_bytes();
    let [near_mac, far_mac] = [0x4d, 0x4e].map(|side| [0x02, 0, 0, side, high, low]);
    netlink::make_veth((NAME, near_mac), (&far_name, far_mac), far.0.as_fd())
        .map_err(said("making the veth pair"))?;
    home.visit(far, || {
        let mut request = request(BRIDGE);
        request.ifr_ifru.ifru_ifindex = nix::net::if_::if_nametoindex(far_name.as_str())? as i32;
        let socket = datagram_socket()?;
        control(socket.as_fd(), SIOCBRADDIF, &raw mut request).map_err(said("a port of the bridge"))?;
        up(&far_name, 0)
    })?;
    configure(address, 0).map_err(said("configuring the device"))
}

/// Makes a bridge in the namespace that this thread is in.
pub fn make_bridge() -> io::Result<()> {
    let mut name = request(BRIDGE).ifr_name;
    let socket = datagram_socket()?;
    control(socket.as_fd(), SIOCBRADDBR, &raw mut name).map_err(said("making a bridge"))?;
    up(BRIDGE, 0)
}

/// The switch's, or the bridge's, end of a veth pair.
fn far_name(number: u16) -> String {
    format!("port{number}")
}

/// As [`make`], by the first of these kinds that may be made here. What none allows is told of each.
pub fn make_any(kinds: &[Kind], address: u32, number: u16, far: &Namespace) -> io::Result<Device> {
    let mut whys = Vec::new();
    for kind in kinds {
        match make(*kind, address, number, far) {
            Ok(device) => return Ok(device),
            Err(error) => whys.push(format!("with {}: {error}", kind.told())),
        }
    }
    Err(io::Error::other(whys.join("; ")))
}

fn said(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

fn tun() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(TUN)
}

fn make_tun() -> io::Result<Device> {
    let file = tun().map_err(said("opening /dev/net/tun"))?;
    let mut request = request(NAME);
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    request.ifr_ifru.ifru_flags = flags as i16;
    control(file.as_fd(), libc::TUNSETIFF, &raw mut request).map_err(said("making the TUN device"))?;
    let mut size = OFFLOAD as i32;
    control(file.as_fd(), libc::TUNSETVNETHDRSZ, &raw mut size).map_err(said("TUN headers"))?;
    let offload = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO_ECN;
    // By value, not by reference, unlike the others.
    let by_value = offload as usize as *mut u8;
    control(file.as_fd(), libc::TUNSETOFFLOAD, by_value).map_err(said("TUN offload"))?;
    netlink::lengthen(NAME, QUEUE).map_err(said("a longer queue"))?;
    Ok(Device { file, kind: Kind::Tun })
}

fn make_veth(number: u16, far: &Namespace) -> io::Result<Device> {
    let home = Namespace::own()?;
    let far_name = far_name(number);
    netlink::make_veth((NAME, MAC), (&far_name, MAC), far.0.as_fd()).map_err(said("making the veth pair"))?;
    let file = home.visit(far, || {
        up(&far_name, libc::IFF_NOARP).map_err(said("the switch's end"))?;
        packet_socket(&far_name).map_err(said("the packet socket"))
    })?;
    Ok(Device { file, kind: Kind::Packet })
}

fn packet_socket(name: &str) -> io::Result<File> {
    let flags = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    #[expect(unsafe_code, reason = "a new descriptor, ours alone")]
    let socket = unsafe {
        // For nothing until it is bound: one that has to be taken off all devices first waits for every processor.
        let fd = libc::socket(libc::AF_PACKET, flags, 0);
        OwnedFd::from_raw_fd(Errno::result(fd)?)
    };
    set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
    // What we write ourselves would come back. Kernels before 4.20 know no way to say so.
    set(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, BUFFER)?;
    set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, BUFFER)?;
    let index = nix::net::if_::if_nametoindex(name)?;
    let mut address: libc::sockaddr_ll = zeroed();
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = IPV4.to_be();
    address.sll_ifindex = index as i32;
    #[expect(unsafe_code, reason = "the address is of the length given")]
    let bound = unsafe {
        let length = size_of_val(&address) as libc::socklen_t;
        libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length)
    };
    Errno::result(bound)?;
    Ok(File::from(socket))
}

/// Gives the device of the namespace that this thread is in one more address.
pub fn also(number: u8, address: u32) -> io::Result<()> {
    let socket = datagram_socket()?;
    for (what, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, MASK)] {
        let mut request = request(&format!("{NAME}:{number}"));
        request.ifr_ifru.ifru_addr = socket_address(value);
        control(socket.as_fd(), what as libc::Ioctl, &raw mut request).map_err(said("another address"))?;
    }
    Ok(())
}

/// Gives the device its address and starts it. The network's route comes with the address; there is no other.
fn configure(address: u32, flags: i32) -> io::Result<()> {
    let socket = datagram_socket()?;
    for (what, value) in [(libc::SIOCSIFADDR, address), (libc::SIOCSIFNETMASK, MASK)] {
        let mut request = request(NAME);
        request.ifr_ifru.ifru_addr = socket_address(value);
        control(socket.as_fd(), what as libc::Ioctl, &raw mut request)?;
    }
    up(NAME, flags)
}

fn up(name: &str, flags: i32) -> io::Result<()> {
    let socket = datagram_socket()?;
    let mut request = request(name);
    control(socket.as_fd(), libc::SIOCGIFFLAGS as libc::Ioctl, &raw mut request)?;
    #[expect(unsafe_code, reason = "the kernel has just written this field of the union")]
    let before = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = before | (libc::IFF_UP | flags) as i16;
    control(socket.as_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw mut request)
}

fn datagram_socket() -> io::Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    Ok(socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?)
}

fn request(name: &str) -> libc::ifreq {
    let mut request: libc::ifreq = zeroed();
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(libc::IFNAMSIZ - 1)) {
        *to = from as libc::c_char;
    }
    request
}

fn socket_address(address: u32) -> libc::sockaddr {
    let mut value: libc::sockaddr = zeroed();
    value.sa_family = libc::AF_INET as u16;
    // Behind the port, which has no meaning here.
    for (to, from) in value.sa_data[2..].iter_mut().zip(address.to_be_bytes()) {
        *to = from as libc::c_char;
    }
    value
}

fn zeroed<T: Copy>() -> T {
    #[expect(unsafe_code, reason = "used for plain structures of the C library, for which zeros are a value")]
    unsafe {
        std::mem::zeroed()
    }
}

fn control<T>(fd: BorrowedFd<'_>, what: libc::Ioctl, with: *mut T) -> io::Result<()> {
    #[expect(unsafe_code, reason = "each request above is given what it wants: a structure, or a number")]
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), what, with) };
    Errno::result(done)?;
    Ok(())
}

fn set(socket: &OwnedFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "the option takes an int")]
    let done = unsafe {
        let length = size_of_val(&value) as libc::socklen_t;
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length)
    };
    Errno::result(done)?;
    Ok(())
}

impl Device {
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Takes what the kernel gives as one: offload header, link header, packet.
    pub fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Gives the kernel what another device gave us, as it is.
    pub fn pass_on(&self, frame: &[u8]) -> io::Result<usize> {
        (&self.file).write(frame)
    }

    /// Gives the kernel a packet, and what is left to be done to it.
    pub fn give(&self, packet: &Frame) -> io::Result<usize> {
        let mut head = [0; OFFLOAD + ETHERNET];
        head[..OFFLOAD].copy_from_slice(&packet.offload.write(self.kind.link_header() as u16));
        head[OFFLOAD..OFFLOAD + 6].copy_from_slice(&MAC);
        head[OFFLOAD + 6..OFFLOAD + 12].copy_from_slice(&MAC);
        head[OFFLOAD + 12..].copy_from_slice(&IPV4.to_be_bytes());
        let head = &head[..OFFLOAD + self.kind.link_header()];
        (&self.file).write_vectored(&[IoSlice::new(head), IoSlice::new(&packet.bytes)])
    }

    /// Packets that the kernel had no room for, of those that the packet socket should have got, since the last call.
    pub fn missed(&self) -> u64 {
        if self.kind == Kind::Tun {
            return 0;
        }
        let mut counts: libc::tpacket_stats = zeroed();
        let mut length = size_of_val(&counts) as libc::socklen_t;
        #[expect(unsafe_code, reason = "the option gives a structure of just this length")]
        let asked = unsafe {
            let fd = self.file.as_raw_fd();
            let into = (&raw mut counts).cast();
            libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, into, &raw mut length)
        };
        if asked == 0 { u64::from(counts.tp_drops) } else { 0 }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Packets that the device of the namespace that this thread is in has dropped, in both directions: its queue to the
/// switch was full, or the kernel had no room for what came.
pub fn dropped() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
    // Received: bytes, packets, errors, dropped, and four more; then sent, in the same order.
    let line = text.lines().find_map(|line| line.trim().strip_prefix(NAME)?.strip_prefix(':'));
    let numbers: Vec<u64> = line.unwrap_or("").split_whitespace().filter_map(|n| n.parse().ok()).collect();
    Ok(numbers.get(3).unwrap_or(&0) + numbers.get(11).unwrap_or(&0))
}
