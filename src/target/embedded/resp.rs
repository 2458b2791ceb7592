//! The client protocol as far as a server needs it: arrays of bulk strings in, any reply out (RESP2).
//!
//! The codec of `redis-protocol` builds a tree of owned frames per command; a simulated run decodes some ten
//! thousand commands in a few milliseconds, and here ranges of the buffer that the bytes arrived in are enough.
//! Replies are written straight into the connection's output.

/// What the head of a buffer holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole command; its arguments were put into the list given, and it ends at this byte.
    Command(usize),
    /// The command goes on beyond the buffer.
    Partial,
    /// No command: the connection is of no further use.
    Broken(&'static str),
}

/// The most arguments of one command, and the most bytes of one argument.
const ARGUMENTS_MAX: usize = 65_536;
const ARGUMENT_BYTES_MAX: usize = 16 << 20;

/// Reads one command that begins at `start`; its arguments are byte ranges of `buffer`.
pub fn decode(buffer: &[u8], start: usize, arguments: &mut Vec<std::ops::Range<usize>>) -> Decoded {
    arguments.clear();
    let mut at = start;
    let count = match number(buffer, &mut at, b'*', ARGUMENTS_MAX) {
        Ok(Some(count)) => count,
        Ok(None) => return Decoded::Partial,
        Err(why) => return Decoded::Broken(why),
    };
    for _ in 0..count {
        let length = match number(buffer, &mut at, b'$', ARGUMENT_BYTES_MAX) {
            Ok(Some(length)) => length,
            Ok(None) => return Decoded::Partial,
            Err(why) => return Decoded::Broken(why),
        };
        if buffer.len() < at + length + 2 {
            return Decoded::Partial;
        }
        if &buffer[at + length..at + length + 2] != b"\r\n" {
            return Decoded::Broken("a bulk string without its end");
        }
        arguments.push(at..at + length);
        at += length + 2;
    }
    Decoded::Command(at)
}

fn number(buffer: &[u8], at: &mut usize, mark: u8, most: usize) -> Result<Option<usize>, &'static str> {
    match buffer.get(*at) {
        None => return Ok(None),
        Some(found) if *found == mark => {}
        Some(_) => return Err("neither an array nor a bulk string"),
    }
    let mut value = 0usize;
    for (offset, byte) in buffer[*at + 1..].iter().enumerate() {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + usize::from(byte - b'0');
                if value > most {
                    return Err("a length beyond the bound");
                }
            }
            b'\r' => {
                let end = *at + 1 + offset;
                return match buffer.get(end + 1) {
                    None => Ok(None),
                    Some(b'\n') if offset > 0 => {
                        *at = end + 2;
                        Ok(Some(value))
                    }
                    Some(_) => Err("a length without its end"),
                };
            }
            _ => return Err("a length with other bytes than digits"),
        }
    }
    Ok(None)
}

/// Writes `+text`.
pub fn simple(out: &mut Vec<u8>, text: &str) {
    out.push(b'+');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes `-text`.
pub fn error(out: &mut Vec<u8>, text: &str) {
    out.push(b'-');
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

pub fn integer(out: &mut Vec<u8>, value: i64) {
    out.push(b':');
    decimal(out, value);
    out.extend_from_slice(b"\r\n");
}

pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    decimal(out, bytes.len() as i64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The answer for a key that is not there.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

/// The head of an array of this many elements.
pub fn array(out: &mut Vec<u8>, elements: usize) {
    out.push(b'*');
    decimal(out, elements as i64);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal digits.
pub fn decimal(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut left = value.unsigned_abs();
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_whole_or_not_at_all() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\nr:{1}\r\n*1\r\n$4\r\nPING\r\n";
        let mut arguments = Vec::new();
        for cut in 0..24 {
            assert_eq!(decode(&bytes[..cut], 0, &mut arguments), Decoded::Partial, "{cut}");
        }
        let Decoded::Command(end) = decode(bytes, 0, &mut arguments) else { panic!("a whole command") };
        assert_eq!(arguments.iter().map(|r| &bytes[r.clone()]).collect::<Vec<_>>(), [&b"GET"[..], b"r:{1}"]);
        assert_eq!(decode(bytes, end, &mut arguments), Decoded::Command(bytes.len()));
    }

    #[test]
    fn what_is_no_command_breaks_the_connection() {
        let mut arguments = Vec::new();
        for bytes in [&b"GET a\r\n"[..], b"*x\r\n", b"*1\r\n:3\r\n", b"*99999999\r\n", b"*1\r\n$1\r\nabc"] {
            assert!(matches!(decode(bytes, 0, &mut arguments), Decoded::Broken(_)), "{bytes:?}");
        }
    }

    #[test]
    fn numbers_are_written_in_digits() {
        let mut out = Vec::new();
        for value in [0, 7, -1, i64::MIN, i64::MAX] {
            out.clear();
            decimal(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }
}
