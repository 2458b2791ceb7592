//! All that is carried, as a capture that Wireshark and tcpdump open: TCP over IPv4, in virtual time.
//!
//! A packet stands in it when it arrives, so that the file shows in which order things reached a node. Every node has
//! an address of its own, 127.0.0.1 for node 0, 127.0.0.2 for node 1 and so on, with the ports that the servers believe
//! in; the tool's clients are at 127.1.0.1. (The servers believe that all are at 127.0.0.1, where two connections of
//! different nodes may have the same ports.) The time is the servers' wall clock where no fault moves it. Each segment
//! acknowledges what its sender has received by then; acknowledgements by themselves are left out, but for those that
//! open and close a connection, and so is what a cut swallowed.

use super::connection::OUTSIDE;
use crate::env::exact::node::WALL_US;
use etherparse::PacketBuilder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;

/// Its name in a run folder.
pub const FILE: &str = "traffic.pcap";

/// The header of a file: magic number for microseconds, version 2.4, longest packet, packets begin with an IP header
/// (`pcap-savefile(5)`, `LINKTYPE_RAW`).
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
const LINKTYPE_RAW: u32 = 101;
/// The longest IPv4 packet, and what is left of it behind both headers.
const PACKET_MAX: u32 = 65_535;
const SEGMENT_MAX: usize = 65_535 - 40;
/// What a receiver says that it has room for: the most without scaling.
const ROOM: u16 = u16::MAX;
const HOPS: u8 = 64;

/// One end of a connection, and the sequence number that it sends next.
#[derive(Clone, Copy, Debug)]
struct Side {
    address: Ipv4Addr,
    port: u16,
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Syn,
    SynAck,
    Ack,
    Push,
    Fin,
    Reset,
}

#[derive(Debug)]
pub struct Pcap {
    /// Gone once it could not be written: a file that is cut short shows where the disk was full.
    file: Option<BufWriter<File>>,
    streams: BTreeMap<u64, [Side; 2]>,
    packet: Vec<u8>,
}

fn address(node: u16) -> Ipv4Addr {
    if node == OUTSIDE {
        return Ipv4Addr::new(127, 1, 0, 1);
    }
    let [high, low] = (node + 1).to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

impl Pcap {
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&MAGIC.to_le_bytes())?;
        VERSION.iter().try_for_each(|part| file.write_all(&part.to_le_bytes()))?;
        for word in [0, 0, PACKET_MAX, LINKTYPE_RAW] {
            file.write_all(&u32::to_le_bytes(word))?;
        }
        Ok(Self { file: Some(file), streams: BTreeMap::new(), packet: Vec::new() })
    }

    /// A connect arrives.
    pub fn connect(&mut self, at: u64, number: u64, link: (u16, u16), ports: (u16, u16)) {
        let side = |node, port, way: u32| Side {
            address: address(node),
            port,
            // Any beginning will do, and one that differs shows that numbers are relative.
            next: (number as u32).wrapping_mul(0x9e37_79b9) ^ way,
        };
        let sides = [side(link.0, ports.0, 0), side(link.1, ports.1, u32::MAX)];
        self.streams.insert(number, sides);
        self.segment(at, number, 0, Flag::Syn, &[]);
    }

    /// The other side has taken it.
    pub fn accept(&mut self, at: u64, number: u64) {
        self.segment(at, number, 1, Flag::SynAck, &[]);
        self.segment(at, number, 0, Flag::Ack, &[]);
    }

    pub fn bytes(&mut self, at: u64, number: u64, way: usize, bytes: &[u8]) {
        for segment in bytes.chunks(SEGMENT_MAX) {
            self.segment(at, number, way, Flag::Push, segment);
        }
    }

    /// One side has closed; the other has nothing more to say.
    pub fn end(&mut self, at: u64, number: u64, way: usize) {
        self.segment(at, number, way, Flag::Fin, &[]);
        self.segment(at, number, 1 - way, Flag::Fin, &[]);
        self.segment(at, number, way, Flag::Ack, &[]);
        self.streams.remove(&number);
    }

    /// One side knows nothing of it any more.
    pub fn reset(&mut self, at: u64, number: u64, way: usize) {
        self.segment(at, number, way, Flag::Reset, &[]);
        self.streams.remove(&number);
    }

    /// Something between them resets both.
    pub fn break_off(&mut self, at: u64, number: u64) {
        self.segment(at, number, 0, Flag::Reset, &[]);
        self.segment(at, number, 1, Flag::Reset, &[]);
        self.streams.remove(&number);
    }

    pub fn forget(&mut self, number: u64) {
        self.streams.remove(&number);
    }

    fn segment(&mut self, at: u64, number: u64, way: usize, flag: Flag, payload: &[u8]) {
        let (Some(sides), Some(file)) = (self.streams.get_mut(&number), &mut self.file) else { return };
        let (from, to) = (sides[way], sides[1 - way]);
        let tcp = PacketBuilder::ipv4(from.address.octets(), to.address.octets(), HOPS)
            .tcp(from.port, to.port, from.next, ROOM);
        let tcp = match flag {
            Flag::Syn => tcp.syn(),
            Flag::SynAck => tcp.syn().ack(to.next),
            Flag::Ack => tcp.ack(to.next),
            Flag::Push => tcp.psh().ack(to.next),
            Flag::Fin => tcp.fin().ack(to.next),
            Flag::Reset => tcp.rst().ack(to.next),
        };
        let takes_one = matches!(flag, Flag::Syn | Flag::SynAck | Flag::Fin);
        sides[way].next = from.next.wrapping_add(payload.len() as u32 + u32::from(takes_one));
        self.packet.clear();
        let built = tcp.write(&mut self.packet, payload);
        assert!(built.is_ok(), "a segment of at most {SEGMENT_MAX} bytes fits a packet: {built:?}");
        let time = WALL_US + at;
        let length = self.packet.len() as u32;
        let head = [(time / 1_000_000) as u32, (time % 1_000_000) as u32, length, length];
        let written = head
            .iter()
            .try_for_each(|word| file.write_all(&word.to_le_bytes()))
            .and_then(|()| file.write_all(&self.packet));
        if written.is_err() {
            self.file = None;
        }
    }

    pub fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            // As above.
            let _ = file.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    /// The packets of a file: time, source, destination, flags, sequence number, acknowledged, payload.
    type Packet = (u64, String, String, String, u32, u32, Vec<u8>);

    fn packets(bytes: &[u8]) -> Vec<Packet> {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(0), word(20)), (MAGIC, LINKTYPE_RAW));
        let (mut at, mut out) = (24, Vec::new());
        while at < bytes.len() {
            let length = word(at + 8) as usize;
            let time = u64::from(word(at)) * 1_000_000 + u64::from(word(at + 4));
            let sliced = SlicedPacket::from_ip(&bytes[at + 16..at + 16 + length]).expect("a packet");
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (sliced.net, sliced.transport)
            else {
                panic!("TCP over IPv4")
            };
            let head = ip.header();
            assert_eq!(head.to_header().calc_header_checksum(), head.header_checksum());
            let sum = tcp.calc_checksum_ipv4(head.source(), head.destination()).expect("it is short");
            assert_eq!(sum, tcp.checksum());
            let flags =
                [("S", tcp.syn()), ("F", tcp.fin()), ("R", tcp.rst()), ("P", tcp.psh()), (".", tcp.ack())];
            let flags = flags.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
            out.push((
                time - WALL_US,
                format!("{}:{}", head.source_addr(), tcp.source_port()),
                format!("{}:{}", head.destination_addr(), tcp.destination_port()),
                flags,
                tcp.sequence_number(),
                tcp.acknowledgment_number(),
                tcp.payload().to_vec(),
            ));
            at += 16 + length;
        }
        out
    }

    #[test]
    fn a_connection_reads_back_with_its_numbers_and_checksums() {
        let path = std::env::temp_dir().join(format!("seedfault-pcap-{}", std::process::id()));
        let mut pcap = Pcap::create(&path).expect("writable");
        pcap.connect(10, 1, (0, 2), (40_000, 17_002));
        pcap.accept(11, 1);
        let large = vec![7; SEGMENT_MAX + 5];
        pcap.bytes(12, 1, 0, b"hello");
        pcap.bytes(13, 1, 1, &large);
        pcap.end(14, 1, 0);
        pcap.bytes(15, 1, 0, b"after the end");
        pcap.connect(16, 2, (OUTSIDE, 1), (40_001, 7_001));
        pcap.reset(17, 2, 1);
        pcap.flush();
        let read = packets(&std::fs::read(&path).expect("it was written"));
        std::fs::remove_file(&path).expect("it is ours");
        let flags: Vec<(u64, &str)> = read.iter().map(|packet| (packet.0, packet.3.as_str())).collect();
        let expected = [
            (10, "S"),
            (11, "S."),
            (11, "."),
            (12, "P."),
            (13, "P."),
            (13, "P."),
            (14, "F."),
            (14, "F."),
            (14, "."),
            (16, "S"),
            (17, "R."),
        ];
        assert_eq!(flags, expected);
        assert_eq!((read[0].1.as_str(), read[0].2.as_str()), ("127.0.0.1:40000", "127.0.0.3:17002"));
        assert_eq!((read[9].1.as_str(), read[10].1.as_str()), ("127.1.0.1:40001", "127.0.0.2:7001"));
        // Each side's numbers follow one another, and each acknowledges all that the other had sent.
        let mut next: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, from, to, flags, number, acknowledged, payload) in &read[..9] {
            assert_eq!(*next.entry(from).or_insert(*number), *number, "{flags}");
            let one = u32::from(flags.contains(['S', 'F']));
            next.insert(from, number.wrapping_add(payload.len() as u32 + one));
            if flags != "S" {
                assert_eq!(next[to.as_str()], *acknowledged, "{flags}");
            }
        }
        assert_eq!([&read[4].6[..], &read[5].6[..]].concat(), large);
    }
}
