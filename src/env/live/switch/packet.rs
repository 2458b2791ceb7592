//! IPv4 and TCP as bytes: reading a packet, cutting a super-packet into segments, completing what the kernel left
//! for the hardware to do, and making a reset. Pure functions.
//!
//! Between two devices with segmentation offload a "packet" is up to 64 KiB of one TCP stream with one header, and
//! its checksum covers the pseudo header alone; [`Offload`] says so (`struct virtio_net_hdr` in `linux/virtio_net.h`).
//! On a link without a fault it goes through as it is. Where each segment has a fate of its own, [`cut`] makes real
//! packets of it.

/// The length of [`Offload`] as the kernel writes it in front of a packet.
pub const OFFLOAD: usize = 10;
/// The checksum covers the pseudo header alone (`VIRTIO_NET_HDR_F_NEEDS_CSUM`).
const NEEDS_CHECKSUM: u8 = 1;
/// To be cut into TCP segments (`VIRTIO_NET_HDR_GSO_TCPV4`); the flag for congestion marks stands beside it.
const CUT_TCP: u8 = 1;
const CUT_ECN: u8 = 0x80;

const IP: usize = 20;
const TCP: usize = 20;
const TCP_PROTOCOL: u8 = 6;
const HOPS: u8 = 64;

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
const CWR: u8 = 0x80;

/// What the kernel left undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    pub flags: u8,
    pub cut: u8,
    pub headers: u16,
    pub segment: u16,
    pub checksum_start: u16,
    pub checksum_offset: u16,
}

impl Offload {
    /// From the bytes in front of a packet, in the machine's own order.
    pub fn read(bytes: [u8; OFFLOAD]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            cut: bytes[1],
            headers: word(2),
            segment: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        }
    }
}

/// What a TCP segment says. Addresses and ports of both ends stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub from: (u32, u16),
    pub to: (u32, u16),
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    /// Where the TCP header begins, and the payload.
    tcp: usize,
    payload: usize,
    end: usize,
}

impl Segment {
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number after it: a SYN and a FIN count as one byte each.
    pub fn next(&self) -> u32 {
        let bytes = (self.end - self.payload) as u32;
        let marks = u32::from(self.has(SYN)) + u32::from(self.has(FIN));
        self.seq.wrapping_add(bytes).wrapping_add(marks)
    }
}

fn word(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn long(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

fn put_word(packet: &mut [u8], at: usize, value: u16) {
    packet[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

fn put_long(packet: &mut [u8], at: usize, value: u32) {
    packet[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Where an IPv4 packet comes from; none for anything else.
pub fn source(packet: &[u8]) -> Option<u32> {
    destination(packet).map(|_| long(packet, 12))
}

/// Where an IPv4 packet is to go; none for anything else.
pub fn destination(packet: &[u8]) -> Option<u32> {
    (packet.len() >= IP && packet[0] >> 4 == 4).then(|| long(packet, 16))
}

/// Reads a whole TCP segment over IPv4; none for anything else, and for fragments, which the nodes' kernels do not
/// make (they find the path's MTU and set "don't fragment").
pub fn read(packet: &[u8]) -> Option<Segment> {
    destination(packet)?;
    let tcp = usize::from(packet[0] & 0x0f) * 4;
    let fragment = word(packet, 6) & 0x3fff;
    // A super-packet of exactly 64 KiB and more has no room for its length and says 0.
    let end = match usize::from(word(packet, 2)) {
        0 => packet.len(),
        length => length.min(packet.len()),
    };
    if packet[9] != TCP_PROTOCOL || fragment != 0 || tcp < IP || end < tcp + TCP {
        return None;
    }
    let payload = tcp + usize::from(packet[tcp + 12] >> 4) * 4;
    if payload < tcp + TCP || payload > end {
        return None;
    }
    Some(Segment {
        from: (long(packet, 12), word(packet, tcp)),
        to: (long(packet, 16), word(packet, tcp + 2)),
        seq: long(packet, tcp + 4),
        ack: long(packet, tcp + 8),
        flags: packet[tcp + 13],
        tcp,
        payload,
        end,
    })
}

/// The sum of 16-bit words, not yet folded.
fn sum(bytes: &[u8]) -> u64 {
    let mut sum = 0u64;
    let mut chunks = bytes.chunks_exact(4);
    for four in &mut chunks {
        sum += u64::from(u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
    }
    // What is left counts as if zeros followed.
    let mut last = [0u8; 4];
    let rest = chunks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Computes both checksums of a TCP segment over IPv4.
fn sign(packet: &mut [u8], tcp: usize) {
    put_word(packet, 10, 0);
    let header = fold(sum(&packet[..tcp]));
    put_word(packet, 10, header);
    put_word(packet, tcp + 16, 0);
    let length = (packet.len() - tcp) as u64;
    let pseudo = sum(&packet[12..20]) + u64::from(TCP_PROTOCOL) + length;
    let whole = fold(pseudo + sum(&packet[tcp..]));
    put_word(packet, tcp + 16, whole);
}

/// Whether both checksums are right.
#[cfg(test)]
pub fn is_signed(packet: &[u8]) -> bool {
    let mut again = packet.to_vec();
    sign(&mut again, usize::from(packet[0] & 0x0f) * 4);
    again == packet
}

/// Makes packets that need no offload out of what a device gave: one, or the segments of a super-packet.
pub fn cut(packet: &[u8], offload: Offload, out: &mut Vec<Vec<u8>>) {
    let size = usize::from(offload.segment);
    let segment = read(packet).filter(|_| offload.cut & !CUT_ECN == CUT_TCP && size > 0);
    match segment {
        Some(whole) if whole.end - whole.payload > size => {
            let bytes = &packet[whole.payload..whole.end];
            let count = bytes.len().div_ceil(size);
            for (number, part) in bytes.chunks(size).enumerate() {
                let mut piece = Vec::with_capacity(whole.payload + part.len());
                piece.extend_from_slice(&packet[..whole.payload]);
                piece.extend_from_slice(part);
                let length = piece.len() as u16;
                put_word(&mut piece, 2, length);
                let id = word(packet, 4).wrapping_add(number as u16);
                put_word(&mut piece, 4, id);
                put_long(&mut piece, whole.tcp + 4, whole.seq.wrapping_add((number * size) as u32));
                // What ends the stream or hurries it stands in the last, what answers congestion in the first.
                let mut flags = whole.flags;
                if number + 1 < count {
                    flags &= !(FIN | PSH);
                }
                if number > 0 {
                    flags &= !CWR;
                }
                piece[whole.tcp + 13] = flags;
                sign(&mut piece, whole.tcp);
                out.push(piece);
            }
        }
        _ => {
            let mut one = packet.to_vec();
            complete(&mut one, offload);
            out.push(one);
        }
    }
}

/// Completes a checksum that covers the pseudo header alone.
fn complete(packet: &mut [u8], offload: Offload) {
    let start = usize::from(offload.checksum_start);
    let place = start + usize::from(offload.checksum_offset);
    if offload.flags & NEEDS_CHECKSUM == 0 || place + 2 > packet.len() {
        return;
    }
    let value = fold(sum(&packet[start..]));
    put_word(packet, place, value);
}

/// Flips one bit behind the IP header: of whatever is there, or, with the checksum made right again, of the payload.
/// Answers whether there was anything.
pub fn spoil(packet: &mut Vec<u8>, word: u64, mended: bool) -> bool {
    let Some(segment) = read(packet) else { return false };
    let from = if mended { segment.payload } else { segment.tcp };
    let bytes = (segment.end - from) as u64;
    if bytes == 0 {
        return false;
    }
    // The lower half chooses the byte, three of the upper bits the bit.
    let at = from + (((word & 0xffff_ffff) * bytes) >> 32) as usize;
    packet[at] ^= 1 << (word >> 61);
    if mended {
        packet.truncate(segment.end);
        sign(packet, segment.tcp);
    }
    true
}

/// A reset, as if one end had sent it: without an acknowledgement, or, as the answer to a SYN, with one.
pub fn reset(from: (u32, u16), to: (u32, u16), seq: u32, ack: Option<u32>) -> Vec<u8> {
    let mut packet = vec![0; IP + TCP];
    packet[0] = 0x45;
    put_word(&mut packet, 2, (IP + TCP) as u16);
    // Don't fragment.
    put_word(&mut packet, 6, 0x4000);
    packet[8] = HOPS;
    packet[9] = TCP_PROTOCOL;
    put_long(&mut packet, 12, from.0);
    put_long(&mut packet, 16, to.0);
    put_word(&mut packet, IP, from.1);
    put_word(&mut packet, IP + 2, to.1);
    put_long(&mut packet, IP + 4, seq);
    put_long(&mut packet, IP + 8, ack.unwrap_or(0));
    packet[IP + 12] = (TCP as u8 / 4) << 4;
    packet[IP + 13] = if ack.is_some() { RST | ACK } else { RST };
    sign(&mut packet, IP);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let builder =
            PacketBuilder::ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64).tcp(4000, 6379, 100, 512).ack(7).psh();
        let mut bytes = Vec::new();
        builder.write(&mut bytes, payload).expect("it fits");
        bytes
    }

    /// As a device with offload gives it: the checksum covers the pseudo header alone.
    fn super_packet(payload: &[u8], size: u16) -> (Vec<u8>, Offload) {
        let mut bytes = packet(payload);
        let length = (bytes.len() - IP) as u64;
        let pseudo = !fold(sum(&bytes[12..20]) + u64::from(TCP_PROTOCOL) + length);
        put_word(&mut bytes, IP + 16, pseudo);
        let cut = if usize::from(size) < payload.len() { CUT_TCP } else { 0 };
        let offload = Offload {
            flags: NEEDS_CHECKSUM,
            cut,
            headers: 40,
            segment: size,
            checksum_start: IP as u16,
            checksum_offset: 16,
        };
        (bytes, offload)
    }

    #[test]
    fn a_segment_is_read_as_it_was_written() {
        let bytes = packet(b"hello");
        let segment = read(&bytes).expect("TCP over IPv4");
        assert_eq!((segment.from, segment.to), ((0x0a4d_0001, 4000), (0x0a4d_0002, 6379)));
        assert_eq!((segment.seq, segment.ack, segment.next()), (100, 7, 105));
        assert!(segment.has(ACK) && segment.has(PSH) && !segment.has(SYN));
        assert!(is_signed(&bytes));
    }

    #[test]
    fn what_is_short_or_something_else_is_no_segment() {
        let whole = packet(b"hello");
        for length in 0..40 {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
        let mut other = whole.clone();
        other[9] = 17;
        assert_eq!(read(&other), None, "UDP");
        let mut fragment = whole.clone();
        fragment[7] = 5;
        assert_eq!(read(&fragment), None, "a fragment");
        let mut six = whole;
        six[0] = 0x65;
        assert_eq!((read(&six), destination(&six)), (None, None), "IPv6");
    }

    #[test]
    fn an_unfinished_checksum_is_finished() {
        for payload in [&b"hello"[..], b"even", b"", &[0xff; 1201]] {
            let (bytes, offload) = super_packet(payload, 1460);
            let mut out = Vec::new();
            cut(&bytes, offload, &mut out);
            assert_eq!(out, [packet(payload)]);
        }
    }

    #[test]
    fn a_super_packet_is_cut_into_segments_that_hold_the_same_bytes() {
        let payload: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
        let (bytes, offload) = super_packet(&payload, 1460);
        let mut out = Vec::new();
        cut(&bytes, offload, &mut out);
        assert_eq!(out.iter().map(Vec::len).collect::<Vec<_>>(), [1500, 1500, 1500, 660]);
        let mut seq = 100;
        let mut joined = Vec::new();
        for (number, piece) in out.iter().enumerate() {
            let segment = read(piece).expect("a segment");
            assert!(is_signed(piece), "segment {number}");
            assert_eq!(segment.seq, seq, "segment {number}");
            assert_eq!(segment.has(PSH), number == 3, "segment {number}");
            seq = segment.next();
            joined.extend_from_slice(&piece[40..]);
        }
        assert_eq!(joined, payload);
    }

    #[test]
    fn a_flipped_bit_is_told_by_the_checksum_or_not_as_asked() {
        let whole = packet(b"hello");
        for n in 0..200u64 {
            let word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for mended in [false, true] {
                let mut bytes = whole.clone();
                assert!(spoil(&mut bytes, word, mended));
                assert_eq!(is_signed(&bytes), mended, "{word:x}");
                assert_eq!(bytes[..IP], whole[..IP], "it still finds its way");
                if mended {
                    let bits: u32 = bytes[40..].iter().zip(b"hello").map(|(a, b)| (a ^ b).count_ones()).sum();
                    assert_eq!(bits, 1, "{word:x}");
                }
            }
        }
        assert!(!spoil(&mut packet(b""), 7, true), "nothing that an application would see");
    }

    #[test]
    fn a_reset_is_what_etherparse_would_make() {
        let ours = reset((0x0a4d_0002, 6379), (0x0a4d_0001, 4000), 77, None);
        let builder = PacketBuilder::ipv4([10, 77, 0, 2], [10, 77, 0, 1], 64).tcp(6379, 4000, 77, 0).rst();
        let mut theirs = Vec::new();
        builder.write(&mut theirs, &[]).expect("it fits");
        assert_eq!(ours, theirs);
        assert!(
            read(&reset((1, 2), (3, 4), 0, Some(9)))
                .is_some_and(|segment| segment.has(ACK) && segment.ack == 9)
        );
    }
}
