//! The Redis serialization protocol, version 2 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>):
//! commands out, replies in. Decoding is `redis-protocol`'s; what is kept here is bounded.

use redis_protocol::resp2::decode;
use redis_protocol::resp2::types::OwnedFrame;

/// One reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Simple(String),
    /// An error as sent, with its code: `MOVED 3999 127.0.0.1:6381`.
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Array(Vec<Reply>),
    Nil,
}

/// The largest reply that is waited for: a dump of a large data set comes in pieces smaller than this.
pub const REPLY_BYTES_MAX: usize = 256 << 20;

impl Reply {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Simple(text) => Some(text),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Error(text) => Some(text),
            _ => None,
        }
    }
}

impl From<OwnedFrame> for Reply {
    fn from(frame: OwnedFrame) -> Self {
        match frame {
            OwnedFrame::SimpleString(bytes) => Self::Simple(String::from_utf8_lossy(&bytes).into_owned()),
            OwnedFrame::Error(text) => Self::Error(text),
            OwnedFrame::Integer(number) => Self::Integer(number),
            OwnedFrame::BulkString(bytes) => Self::Bulk(bytes),
            OwnedFrame::Array(frames) => Self::Array(frames.into_iter().map(Into::into).collect()),
            OwnedFrame::Null => Self::Nil,
        }
    }
}

/// Takes one reply off the front of what has arrived. `None`: not all of it is there yet.
pub fn decode(buffer: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    if buffer.len() > REPLY_BYTES_MAX {
        return Err(format!("a reply of more than {REPLY_BYTES_MAX} bytes"));
    }
    if buffer.is_empty() {
        return Ok(None);
    }
    decode::decode(buffer)
        .map(|decoded| decoded.map(|(frame, used)| (frame.into(), used)))
        .map_err(|error| error.to_string())
}

/// Appends a command, as an array of bulk strings.
pub fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    use std::io::Write as _;
    let _ = write!(out, "*{}\r\n", args.len());
    for arg in args {
        let arg = arg.as_ref();
        let _ = write!(out, "${}\r\n", arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// The hash slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it, modulo 16384 (Redis Cluster
/// specification, "Hash tags").
pub fn slot(key: &[u8]) -> u16 {
    let tag = match key.iter().position(|b| *b == b'{') {
        Some(open) => match key[open + 1..].iter().position(|b| *b == b'}') {
            Some(length) if length > 0 => &key[open + 1..open + 1 + length],
            _ => key,
        },
        None => key,
    };
    crc16(tag) % 16384
}

const CRC16: [u16; 256] = {
    let mut table = [0u16; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_off_one_by_one() {
        let wire = b"+OK\r\n:12\r\n$-1\r\n*2\r\n$1\r\na\r\n-ERR no\r\n$3\r\nab";
        let (mut at, mut replies) = (0, Vec::new());
        while let Some((reply, used)) = decode(&wire[at..]).expect("well-formed") {
            replies.push(reply);
            at += used;
        }
        assert_eq!(
            replies,
            [
                Reply::Simple("OK".into()),
                Reply::Integer(12),
                Reply::Nil,
                Reply::Array(vec![Reply::Bulk(b"a".to_vec()), Reply::Error("ERR no".into())]),
            ]
        );
        assert!(decode(b"?what\r\n").is_err());
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // "123456789" has the CRC16 0x31C3 in the cluster specification, appendix A.
        assert_eq!(slot(b"123456789"), 0x31C3, "below 16384 already");
        assert_eq!(slot(b"{user1000}.following"), slot(b"{user1000}.followers"));
        assert_eq!(slot(b"foo{}{bar}"), crc16(b"foo{}{bar}") % 16384);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
        assert_eq!(slot(b"foo"), 12182);
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        encode(&["GET", "k"], &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
