//! Jute, in which ZooKeeper's messages are written: big-endian numbers, and texts, buffers and lists behind their
//! length. A message on the wire is a frame: its length in four bytes, then its fields in order, without names.
//!
//! Written here because no crate offers the format by itself: `zookeeper-client`, `zookeeper-async`, `zookeeper` and
//! `tokio-zookeeper` own their sockets, threads and reconnects, which a run must see.

/// The longest frame that is read: a server sends more than `jute.maxbuffer` (1 MiB) only to list children.
const FRAME_MAX: usize = 64 << 20;

/// Begins a frame; [`end`] fills its length in.
#[must_use]
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Ends the frame that was begun there.
pub fn end(out: &mut [u8], began: usize) {
    let length = u32::try_from(out.len() - began).expect("a frame is far below 4 GiB");
    out[began - 4..began].copy_from_slice(&length.to_be_bytes());
}

/// The first frame of a stream and how many bytes it took; `None` while it is not complete.
pub fn frame(stream: &[u8]) -> Result<Option<(&[u8], usize)>, String> {
    let Some((head, rest)) = stream.split_first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*head);
    let length = usize::try_from(length).map_err(|_| format!("a frame of {length} bytes"))?;
    if length > FRAME_MAX {
        return Err(format!("a frame of {length} bytes"));
    }
    Ok(rest.get(..length).map(|body| (body, 4 + length)))
}

pub fn int(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn long(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub fn buffer(out: &mut Vec<u8>, value: &[u8]) {
    int(out, i32::try_from(value.len()).expect("a buffer is far below 2 GiB"));
    out.extend_from_slice(value);
}

pub fn text(out: &mut Vec<u8>, value: &str) {
    buffer(out, value.as_bytes());
}

/// A text that may be missing, which is written as a length of -1.
pub fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => text(out, value),
        None => int(out, -1),
    }
}

pub fn texts(out: &mut Vec<u8>, values: &[String]) {
    int(out, i32::try_from(values.len()).expect("a list is far below 2 G entries"));
    for value in values {
        text(out, value);
    }
}

/// Takes fields off a frame; the caller knows their order.
#[derive(Debug)]
pub struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn new(frame: &'a [u8]) -> Self {
        Self(frame)
    }
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or("a frame that ends too early")?;
        self.0 = rest;
        Ok(*head)
    }
    pub fn int(&mut self) -> Result<i32, String> {
        self.take().map(i32::from_be_bytes)
    }
    pub fn long(&mut self) -> Result<i64, String> {
        self.take().map(i64::from_be_bytes)
    }
    pub fn boolean(&mut self) -> Result<bool, String> {
        self.take::<1>().map(|byte| byte[0] != 0)
    }
    /// A buffer; `None` where the server has none, which is not the same as an empty one.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, String> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| format!("a buffer of {length} bytes"))?;
        let (value, rest) = self.0.split_at_checked(length).ok_or("a buffer that ends too early")?;
        self.0 = rest;
        Ok(Some(value))
    }
    pub fn text(&mut self) -> Result<String, String> {
        let bytes = self.buffer()?.unwrap_or_default();
        std::str::from_utf8(bytes).map(str::to_string).map_err(|_| "a text that is not UTF-8".to_string())
    }
    /// A list, whose entries `read` takes off.
    pub fn list<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        let length = self.int()?;
        // A list that is missing is as good as an empty one.
        let length = if length == -1 { 0 } else { length };
        let length = usize::try_from(length).map_err(|_| format!("a list of {length} entries"))?;
        if length > self.0.len() {
            return Err(format!("a list of {length} entries in {} bytes", self.0.len()));
        }
        (0..length).map(|_| read(self)).collect()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The frame must have ended.
    pub fn done(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes too many in a frame", self.0.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_before_it_is_complete() {
        let mut out = Vec::new();
        let began = begin(&mut out);
        int(&mut out, -4);
        long(&mut out, 1 << 40);
        boolean(&mut out, true);
        buffer(&mut out, b"ab");
        optional(&mut out, None);
        texts(&mut out, &["x".into(), "é".into()]);
        end(&mut out, began);
        for short in 0..out.len() {
            assert_eq!(frame(&out[..short]), Ok(None), "{short} bytes are no frame");
        }
        let (body, used) = frame(&out).expect("sound").expect("complete");
        assert_eq!(used, out.len());
        let mut fields = Fields::new(body);
        assert_eq!(fields.int(), Ok(-4));
        assert_eq!(fields.long(), Ok(1 << 40));
        assert_eq!(fields.boolean(), Ok(true));
        assert_eq!(fields.buffer(), Ok(Some(&b"ab"[..])));
        assert_eq!(fields.buffer(), Ok(None));
        assert_eq!(fields.list(Fields::text), Ok(vec!["x".to_string(), "é".to_string()]));
        assert_eq!(fields.done(), Ok(()));
        assert!(fields.int().is_err(), "there is nothing left");
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_reserved() {
        assert!(frame(&[0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(frame(&[0x7f, 0, 0, 0]).is_err());
        assert!(Fields::new(&[0x7f, 0xff, 0xff, 0xff]).list(Fields::int).is_err());
        assert!(Fields::new(&[0x7f, 0xff, 0xff, 0xff]).buffer().is_err());
        assert!(Fields::new(&[0xff, 0xff, 0xff, 0xfe]).buffer().is_err());
        assert!(Fields::new(&[0, 0, 0, 1, 0xff]).text().is_err(), "not UTF-8");
    }
}
