//! IPv4 and TCP as bytes: reading a packet, taking some segments out of a super-packet, completing what the kernel left
//! for the hardware to do, and making a reset. Pure functions.
//!
//! Between two devices with segmentation offload a "packet" is up to 64 KiB of one TCP stream with one header, and
//! its checksum covers the pseudo header alone; [`Offload`] says so (`struct virtio_net_hdr` in `linux/virtio_net.h`).
//! Where its segments have different fates, [`part`] makes a packet of those that stay together: again one for the
//! receiving kernel to cut, so that no payload is ever summed up here.

use std::ops::Range;

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
/// Kinds of TCP options (RFC 9293, RFC 2018): the end, a filler, and ranges that were received out of order.
const OPTIONS_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_SELECTIVE: u8 = 5;

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

    /// The bytes in front of a packet that has so many of a link header before it.
    pub fn write(self, link: u16) -> [u8; OFFLOAD] {
        let mut bytes = [0; OFFLOAD];
        (bytes[0], bytes[1]) = (self.flags, self.cut);
        let mut put = |at: usize, value: u16| bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        put(2, if self.cut == 0 { 0 } else { self.headers + link });
        put(4, self.segment);
        if self.flags & NEEDS_CHECKSUM != 0 {
            put(6, self.checksum_start + link);
            put(8, self.checksum_offset);
        }
        bytes
    }
}

/// A packet, and what is still to be done to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    pub offload: Offload,
    pub bytes: Vec<u8>,
}

impl From<Vec<u8>> for Frame {
    /// A packet that is complete.
    fn from(bytes: Vec<u8>) -> Self {
        Self { offload: Offload::default(), bytes }
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

    /// Its payload, of the packet that it was read from.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        &packet[self.payload..self.end]
    }

    /// Bytes of payload.
    pub fn length(&self) -> usize {
        self.end - self.payload
    }

    /// The sequence number after it: a SYN and a FIN count as one byte each.
    pub fn next(&self) -> u32 {
        let bytes = self.length() as u32;
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

/// How many bytes of payload each segment of a packet has; all of them where it is not to be cut.
pub fn segment_size(segment: &Segment, offload: Offload) -> usize {
    let size = usize::from(offload.segment);
    if offload.cut & !CUT_ECN == CUT_TCP && size > 0 { size } else { segment.length().max(1) }
}

/// How many segments a packet stands for.
pub fn segments(segment: &Segment, offload: Offload) -> usize {
    segment.length().div_ceil(segment_size(segment, offload)).max(1)
}

/// A packet of its own with this part of a packet's payload. Its checksum is left to the receiving kernel, and so is
/// cutting it into segments where it is longer than one.
pub fn part(packet: &[u8], offload: Offload, whole: &Segment, range: Range<usize>) -> Frame {
    let size = segment_size(whole, offload);
    let (begins, ends) = (range.start == 0, range.end == whole.length());
    let payload = &packet[whole.payload + range.start..whole.payload + range.end];
    let mut frame = like(packet, whole, payload, whole.seq.wrapping_add(range.start as u32));
    let id = word(packet, 4).wrapping_add((range.start / size) as u16);
    put_word(&mut frame.bytes, 4, id);
    // What ends the stream or hurries it stands in the last, what answers congestion in the first.
    let mut flags = whole.flags;
    if !ends {
        flags &= !(FIN | PSH);
    }
    if !begins {
        flags &= !CWR;
    }
    frame.bytes[whole.tcp + 13] = flags;
    if range.len() > size {
        frame.offload.cut = offload.cut;
        frame.offload.segment = offload.segment;
        frame.offload.headers = whole.payload as u16;
    }
    begin_sum(&mut frame, whole.tcp);
    frame
}

/// A packet with the headers of another, and with this payload and number; its sums are to be begun.
fn like(packet: &[u8], whole: &Segment, payload: &[u8], seq: u32) -> Frame {
    let mut bytes = Vec::with_capacity(whole.payload + payload.len());
    bytes.extend_from_slice(&packet[..whole.payload]);
    bytes.extend_from_slice(payload);
    put_long(&mut bytes, whole.tcp + 4, seq);
    bytes.into()
}

/// A single segment of the same connection with another payload.
pub fn other(packet: &[u8], whole: &Segment, payload: &[u8], seq: u32) -> Frame {
    let mut frame = like(packet, whole, payload, seq);
    frame.bytes[whole.tcp + 13] &= !(SYN | FIN | CWR);
    begin_sum(&mut frame, whole.tcp);
    frame
}

/// Gives a packet other numbers: its own, and those that it acknowledges.
pub fn renumber(frame: &mut Frame, seq: u32, acknowledged: impl Fn(u32) -> u32) {
    let Some(segment) = read(&frame.bytes) else { return };
    let packet = &mut frame.bytes;
    put_long(packet, segment.tcp + 4, seq);
    if segment.has(ACK) {
        put_long(packet, segment.tcp + 8, acknowledged(segment.ack));
    }
    let mut at = segment.tcp + TCP;
    while at + 1 < segment.payload && packet[at] != OPTIONS_END {
        if packet[at] == OPTION_NOTHING {
            at += 1;
            continue;
        }
        let length = usize::from(packet[at + 1]);
        if length < 2 || at + length > segment.payload {
            break;
        }
        if packet[at] == OPTION_SELECTIVE {
            for edge in (at + 2..at + length - 3).step_by(4) {
                let value = acknowledged(long(packet, edge));
                put_long(packet, edge, value);
            }
        }
        at += length;
    }
    packet.truncate(segment.end);
    begin_sum(frame, segment.tcp);
}

/// Says how long a packet is, and leaves the rest of its checksum to the receiving kernel.
fn begin_sum(frame: &mut Frame, tcp: usize) {
    let packet = &mut frame.bytes;
    let length = packet.len();
    put_word(packet, 2, length as u16);
    put_word(packet, 10, 0);
    let header = fold(sum(&packet[..tcp]));
    put_word(packet, 10, header);
    let pseudo = !fold(sum(&packet[12..20]) + u64::from(TCP_PROTOCOL) + (length - tcp) as u64);
    put_word(packet, tcp + 16, pseudo);
    frame.offload.flags = NEEDS_CHECKSUM;
    frame.offload.checksum_start = tcp as u16;
    frame.offload.checksum_offset = 16;
}

/// Completes a checksum that covers the pseudo header alone.
fn complete(frame: &mut Frame) {
    let start = usize::from(frame.offload.checksum_start);
    let place = start + usize::from(frame.offload.checksum_offset);
    if frame.offload.flags & NEEDS_CHECKSUM == 0 || place + 2 > frame.bytes.len() {
        return;
    }
    let value = fold(sum(&frame.bytes[start..]));
    put_word(&mut frame.bytes, place, value);
    frame.offload.flags &= !NEEDS_CHECKSUM;
}

/// Flips one bit of a single segment behind the IP header: of whatever is there, or, with a checksum that is right, of
/// the payload. Answers whether there was anything.
pub fn spoil(frame: &mut Frame, word: u64, mended: bool) -> bool {
    let Some(segment) = read(&frame.bytes) else { return false };
    let from = if mended { segment.payload } else { segment.tcp };
    let bytes = (segment.end - from) as u64;
    if bytes == 0 {
        return false;
    }
    if !mended {
        complete(frame);
    }
    // The lower half chooses the byte, three of the upper bits the bit.
    let at = from + (((word & 0xffff_ffff) * bytes) >> 32) as usize;
    frame.bytes[at] ^= 1 << (word >> 61);
    if mended && frame.offload.flags & NEEDS_CHECKSUM == 0 {
        frame.bytes.truncate(segment.end);
        sign(&mut frame.bytes, segment.tcp);
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

    /// As a device with offload would put it on a wire.
    fn sent(frame: &Frame) -> Vec<Vec<u8>> {
        let whole = read(&frame.bytes).expect("TCP");
        let size = segment_size(&whole, frame.offload);
        let cut = |number: usize| {
            let range = number * size..((number + 1) * size).min(whole.length());
            let mut frame = part(&frame.bytes, frame.offload, &whole, range);
            assert_eq!(frame.offload.cut, 0, "it is one segment");
            complete(&mut frame);
            frame.bytes
        };
        (0..segments(&whole, frame.offload)).map(cut).collect()
    }

    #[test]
    fn an_unfinished_checksum_is_finished() {
        for payload in [&b"hello"[..], b"even", b"", &[0xff; 1201]] {
            let (bytes, offload) = super_packet(payload, 1460);
            assert_eq!(sent(&Frame { offload, bytes }), [packet(payload)]);
        }
    }

    #[test]
    fn a_super_packet_is_cut_into_segments_that_hold_the_same_bytes() {
        let payload: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
        let (bytes, offload) = super_packet(&payload, 1460);
        let out = sent(&Frame { offload, bytes });
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
    fn parts_of_a_super_packet_are_the_segments_that_it_would_have_been_cut_into() {
        let payload: Vec<u8> = (0..9000u32).map(|n| (n % 241) as u8).collect();
        let (bytes, offload) = super_packet(&payload, 1460);
        let whole = read(&bytes).expect("TCP");
        let parts = [0..2920, 2920..4380, 4380..9000].map(|range| part(&bytes, offload, &whole, range));
        let apart: Vec<Vec<u8>> = parts.iter().flat_map(sent).collect();
        assert_eq!(apart, sent(&Frame { offload, bytes }));
        assert_eq!(parts.map(|part| part.offload.cut), [CUT_TCP, 0, CUT_TCP]);
    }

    #[test]
    fn what_is_left_undone_is_written_as_it_was_read() {
        for link in [0, 14] {
            let (_, offload) = super_packet(&[7; 3000], 1460);
            let mut read = Offload::read(offload.write(link));
            assert_eq!((read.headers, read.checksum_start), (40 + link, 20 + link));
            (read.headers, read.checksum_start) = (40, 20);
            assert_eq!(read, offload);
            assert_eq!(Offload::default().write(link), [0; OFFLOAD]);
        }
    }

    #[test]
    fn a_flipped_bit_is_told_by_the_checksum_or_not_as_asked() {
        let whole = packet(b"hello");
        let (begun, offload) = super_packet(b"hello", 1460);
        for n in 0..200u64 {
            let word = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for mended in [false, true] {
                for given in [Frame::from(whole.clone()), Frame { offload, bytes: begun.clone() }] {
                    let mut frame = given;
                    assert!(spoil(&mut frame, word, mended));
                    complete(&mut frame);
                    let bytes = frame.bytes;
                    assert_eq!(is_signed(&bytes), mended, "{word:x}");
                    assert_eq!(bytes[..IP], whole[..IP], "it still finds its way");
                    if mended {
                        let bits: u32 =
                            bytes[40..].iter().zip(b"hello").map(|(a, b)| (a ^ b).count_ones()).sum();
                        assert_eq!(bits, 1, "{word:x}");
                    }
                }
            }
        }
        assert!(!spoil(&mut packet(b"").into(), 7, true), "nothing that an application would see");
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
