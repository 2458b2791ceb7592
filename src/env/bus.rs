//! The cluster bus of Redis and Valkey, read from outside: a stream of bytes is cut into messages.
//!
//! Pure. A message begins with a signature, its whole length and its type; the servers of one cluster write them
//! back to back (`clusterMsg` in `cluster.h` of Redis 7.0 and `cluster_legacy.h` of Valkey 8.0, all numbers big-endian).
//! Valkey 8.0 writes a type with the bit `CLUSTERMSG_MODIFIER_MASK` (0x8000) behind a header of 16 bytes in place of
//! 2,256, between nodes that both know of it. Nothing here changes a byte, and what is no message is passed: a stream
//! that has once lost its thread is not read any further.

use crate::catalogue::MessageType;

/// What every message begins with.
const SIGNATURE: &[u8; 4] = b"RCmb";
/// Up to and with the type and the count: all that a light header has.
pub const HEAD: usize = 16;
/// The header in full, behind which a message's own part begins.
pub const HEADER: usize = 2256;
/// The header is light (`CLUSTERMSG_LIGHT` of Valkey 8.0).
const LIGHT: u16 = 0x8000;
/// No message is as long: one holds gossip of every node, 104 bytes each, and extensions.
const LENGTH_MAX: u32 = 64 << 20;
const NAME: usize = 40;
const SENDER: usize = 40;
const FLAGS: usize = 2250;

/// What the beginning of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: MessageType,
    /// The whole message, from its signature.
    pub length: usize,
    pub light: bool,
    pub version: u16,
    pub port: u16,
    /// Sections of gossip, or bytes of the like.
    pub count: u16,
}

/// What a header in full says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub current_epoch: u64,
    pub config_epoch: u64,
    /// The sender's cluster node id.
    pub sender: &'a str,
    /// `CLUSTER_NODE_*`: 1 primary, 2 replica, 4 PFAIL, 8 FAIL.
    pub flags: u16,
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMessage;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Reads how a message begins; `None` where too little of it is there.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, NoMessage> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        return Err(NoMessage);
    }
    let Some(bytes) = bytes.get(..HEAD) else { return Ok(None) };
    let word = |at| u16::from_be_bytes(number(bytes, at).unwrap_or_default());
    let length = u32::from_be_bytes(number(bytes, 4).unwrap_or_default());
    let light = word(12) & LIGHT != 0;
    let kind = MessageType::ALL.get(usize::from(word(12) & !LIGHT)).ok_or(NoMessage)?;
    let least = if light { HEAD } else { HEADER };
    if length > LENGTH_MAX || (length as usize) < least {
        return Err(NoMessage);
    }
    Ok(Some(Head {
        kind: *kind,
        length: length as usize,
        light,
        version: word(8),
        port: word(10),
        count: word(14),
    }))
}

/// Reads the rest of a header in full from a message's bytes; `None` where they are too few or its header is light.
pub fn header(bytes: &[u8]) -> Option<Header<'_>> {
    if head(bytes).ok().flatten()?.light {
        return None;
    }
    let bytes = bytes.get(..HEADER)?;
    Some(Header {
        current_epoch: u64::from_be_bytes(number(bytes, 16)?),
        config_epoch: u64::from_be_bytes(number(bytes, 24)?),
        sender: std::str::from_utf8(bytes.get(SENDER..SENDER + NAME)?).ok()?,
        flags: u16::from_be_bytes(number(bytes, FLAGS)?),
    })
}

/// A message's place in its stream, from its first byte to the one behind its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub kind: MessageType,
    pub from: u64,
    pub to: u64,
    /// The sender's current and configuration epoch, where it told them in the same piece as the head.
    pub epochs: Option<(u64, u64)>,
}

/// Cuts one direction of a bus connection into messages, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Cutter {
    /// How much of the stream has come.
    seen: u64,
    /// Where the next message begins.
    next: u64,
    /// The beginning of a message whose head is not whole yet.
    begun: Vec<u8>,
    lost: bool,
}

impl Cutter {
    /// Whether all that has come so far was messages.
    pub fn is_whole(&self) -> bool {
        !self.lost
    }

    /// Takes the next piece of the stream and appends the messages whose head ends in it. `false`: this piece is the
    /// first that is no message, or belongs to none.
    pub fn take(&mut self, piece: &[u8], marks: &mut Vec<Mark>) -> bool {
        let base = self.seen;
        self.seen += piece.len() as u64;
        if self.lost {
            return false;
        }
        loop {
            if self.next >= self.seen {
                return true;
            }
            // What of the piece belongs to the message that begins next, or has begun in an earlier piece.
            let joined;
            let bytes = if self.begun.is_empty() {
                &piece[(self.next - base) as usize..]
            } else {
                let room = HEAD - self.begun.len();
                self.begun.extend_from_slice(&piece[..room.min(piece.len())]);
                joined = std::mem::take(&mut self.begun);
                &joined
            };
            match head(bytes) {
                Ok(Some(head)) => {
                    let epochs = header(bytes).map(|header| (header.current_epoch, header.config_epoch));
                    let to = self.next + head.length as u64;
                    marks.push(Mark { kind: head.kind, from: self.next, to, epochs });
                    self.next = to;
                }
                Ok(None) => {
                    self.begun = bytes.to_vec();
                    return true;
                }
                Err(NoMessage) => {
                    self.lost = true;
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the servers write it.
    fn message(kind: u16, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(SIGNATURE);
        bytes[4..8].copy_from_slice(&(length as u32).to_be_bytes());
        bytes[9] = 1;
        bytes[10..12].copy_from_slice(&7000u16.to_be_bytes());
        bytes[12..14].copy_from_slice(&kind.to_be_bytes());
        if length >= HEADER {
            bytes[16..24].copy_from_slice(&7u64.to_be_bytes());
            bytes[24..32].copy_from_slice(&3u64.to_be_bytes());
            bytes[SENDER..SENDER + NAME].copy_from_slice(&[b'a'; NAME]);
        }
        bytes
    }

    #[test]
    fn a_stream_is_cut_the_same_in_whatever_pieces_it_comes() {
        let stream = [message(0, 2464), message(0x8004, 40), message(6, HEADER), message(3, 2296)].concat();
        let ends = [2464, 2504, 4760, 7056];
        for piece in [1, 7, 15, 16, 17, 2256, 2464, 2470, 100_000] {
            let (mut cutter, mut marks) = (Cutter::default(), Vec::new());
            assert!(stream.chunks(piece).all(|piece| cutter.take(piece, &mut marks)), "{piece}");
            let kinds: Vec<&str> = marks.iter().map(|mark| mark.kind.as_str()).collect();
            assert_eq!(kinds, ["PING", "PUBLISH", "FAILOVER_AUTH_ACK", "FAIL"], "{piece}");
            assert_eq!(marks.iter().map(|mark| mark.to).collect::<Vec<_>>(), ends, "{piece}");
            assert!(marks.windows(2).all(|two| two[0].to == two[1].from), "{piece}");
        }
    }

    #[test]
    fn what_is_no_message_is_passed_and_so_is_all_behind_it() {
        let mut short = message(0x8000, HEAD);
        short[7] = 15;
        for wrong in [&b"PSYNC"[..], b"RCmx", &message(11, HEADER), &message(0, HEADER - 1), &short] {
            let (mut cutter, mut marks) = (Cutter::default(), Vec::new());
            assert!(cutter.take(&message(1, HEADER), &mut marks));
            assert!(!cutter.take(wrong, &mut marks), "{wrong:?}");
            assert!(!cutter.take(&message(1, HEADER), &mut marks));
            assert_eq!(marks.len(), 1);
        }
    }

    /// What each server sent to a port that it was told to meet, as it came.
    #[test]
    fn the_messages_of_real_servers_are_read() {
        const MASTER_MYSELF: u16 = 0x11;
        let redis: &[u8] = include_bytes!("meet-redis-7.0.15.bin");
        let valkey: &[u8] = include_bytes!("meet-valkey-8.0.1.bin");
        for (bytes, name) in [
            (redis, "a750b4d5e762ae551248250e63bddffb7a770b90"),
            (valkey, "6cbf1bfcf78654a1a6090b36a2cffafb02dd1417"),
        ] {
            let meet = Head {
                kind: MessageType::Meet,
                length: bytes.len(),
                light: false,
                version: 1,
                port: 21_711,
                count: 0,
            };
            assert_eq!(head(bytes), Ok(Some(meet)));
            let header = header(bytes).expect("it is whole");
            assert_eq!((header.sender, header.current_epoch, header.config_epoch), (name, 0, 0));
            assert_eq!(header.flags & 0x1f, MASTER_MYSELF);
        }
    }
}
