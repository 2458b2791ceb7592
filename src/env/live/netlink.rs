//! What no ioctl can do for an ordinary user in a namespace of his own: make a veth pair whose ends lie in two
//! namespaces, and give a device a longer queue (`rtnetlink(7)`; `SIOCSIFTXQLEN` wants the machine's root).

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `IFLA_INFO_KIND`, `IFLA_INFO_DATA` (`linux/if_link.h`) and `VETH_INFO_PEER` (`linux/veth.h`).
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const PEER: u16 = 1;
/// Headers of a message and of what concerns a device.
const HEADER: usize = 16;
const ABOUT_DEVICE: usize = 16;

/// The name of a veth end, and its hardware address.
type End<'a> = (&'a str, [u8; 6]);

/// Makes a veth pair: one end here, the other in another namespace.
pub fn make_veth(near: End<'_>, far: End<'_>, far_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let mut peer = vec![0; ABOUT_DEVICE];
    attribute(&mut peer, libc::IFLA_IFNAME, &text(far.0));
    attribute(&mut peer, libc::IFLA_ADDRESS, &far.1);
    attribute(&mut peer, libc::IFLA_NET_NS_FD, &far_namespace.as_raw_fd().to_ne_bytes());
    let mut data = Vec::new();
    attribute(&mut data, PEER, &peer);
    let mut info = Vec::new();
    attribute(&mut info, INFO_KIND, b"veth");
    attribute(&mut info, INFO_DATA, &data);
    let mut body = vec![0; ABOUT_DEVICE];
    attribute(&mut body, libc::IFLA_IFNAME, &text(near.0));
    attribute(&mut body, libc::IFLA_ADDRESS, &near.1);
    attribute(&mut body, libc::IFLA_LINKINFO, &info);
    ask(libc::RTM_NEWLINK, libc::NLM_F_CREATE | libc::NLM_F_EXCL, &body)
}

/// Gives a device that is there a queue of this length.
pub fn lengthen(name: &str, packets: u32) -> io::Result<()> {
    let mut body = vec![0; ABOUT_DEVICE];
    attribute(&mut body, libc::IFLA_IFNAME, &text(name));
    attribute(&mut body, libc::IFLA_TXQLEN, &packets.to_ne_bytes());
    ask(libc::RTM_NEWLINK, 0, &body)
}

fn text(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// Length, kind, value, and zeros up to a multiple of four.
fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Sends a request and hears what came of it.
fn ask(kind: u16, how: i32, body: &[u8]) -> io::Result<()> {
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | how;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(flags as u16).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(body);
    let flags = SockFlag::SOCK_CLOEXEC;
    let route = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(route.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    send(route.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0; 4096];
    let length = recv(route.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // An answer of the kind "error" holds the errno, negative, or 0.
    let code = answer.get(HEADER..HEADER + 4).filter(|_| length >= HEADER + 4);
    match code.and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code)),
        None => Err(io::Error::other("an answer of the kernel that is none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_their_length_is_not() {
        let mut out = Vec::new();
        attribute(&mut out, 3, b"eth0\0");
        attribute(&mut out, 1, &[1, 2, 3, 4]);
        let mut expected = [9u16.to_ne_bytes(), 3u16.to_ne_bytes()].concat();
        expected.extend_from_slice(b"eth0\0\0\0\0");
        expected.extend_from_slice(&[8u16.to_ne_bytes(), 1u16.to_ne_bytes()].concat());
        expected.extend_from_slice(&[1, 2, 3, 4]);
        assert_eq!(out, expected);
    }
}
