//! HTTP/1.1 as etcd's JSON gateway speaks it (RFC 9112): a request as bytes, and answers out of bytes that have come.

use httparse::{Header, Status};

/// The most headers that an answer may have; the gateway sends about eight.
const HEADERS_MAX: usize = 32;
/// Longer answers are no answers to what is asked here.
const BODY_MAX: usize = 64 << 20;

/// An answer, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
}

/// `POST` of a JSON text. A connection is kept for the next one.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

/// The status, how the body ends, and how many bytes all that took.
fn head(bytes: &[u8]) -> Result<Option<(u16, Framing, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let used = match response.parse(bytes) {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("no HTTP: {error}")),
    };
    let status = response.code.unwrap_or_default();
    let value = |name: &str| {
        let is = |header: &&Header<'_>| header.name.eq_ignore_ascii_case(name);
        response.headers.iter().find(is).and_then(|header| std::str::from_utf8(header.value).ok())
    };
    let framing = if value("transfer-encoding").is_some_and(|text| text.eq_ignore_ascii_case("chunked")) {
        Framing::Chunked
    } else {
        let length = value("content-length").unwrap_or("0").trim();
        Framing::Length(length.parse().map_err(|_| format!("a Content-Length of `{length}`"))?)
    };
    Ok(Some((status, framing, used)))
}

/// One chunk: what it holds, nothing at the end of the body, and how many bytes it took.
fn chunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (begin, size) = match httparse::parse_chunk_size(bytes) {
        Ok(Status::Complete((begin, size))) => (begin, usize::try_from(size).unwrap_or(usize::MAX)),
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err("a chunk without a length".into()),
    };
    if size > BODY_MAX {
        return Err(format!("a chunk of {size} bytes"));
    }
    if size == 0 {
        // Trailers, each a line, and an empty one.
        let rest = &bytes[begin..];
        let end = if rest.starts_with(b"\r\n") {
            Some(2)
        } else {
            rest.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
        };
        return Ok(end.map(|end| (Vec::new(), begin + end)));
    }
    let whole = begin + size + 2;
    Ok((bytes.len() >= whole).then(|| (bytes[begin..begin + size].to_vec(), whole)))
}

/// An answer, once all of it has come, and how many bytes it took.
pub fn response(bytes: &[u8]) -> Result<Option<(Response, usize)>, String> {
    let Some((status, framing, mut used)) = head(bytes)? else { return Ok(None) };
    match framing {
        Framing::Length(length) if length > BODY_MAX => Err(format!("an answer of {length} bytes")),
        Framing::Length(length) => {
            let body = bytes.get(used..used + length).map(<[u8]>::to_vec);
            Ok(body.map(|body| (Response { status, body }, used + length)))
        }
        Framing::Chunked => {
            let mut body = Vec::new();
            loop {
                let Some((part, length)) = chunk(&bytes[used..])? else { return Ok(None) };
                used += length;
                if part.is_empty() {
                    return Ok(Some((Response { status, body }, used)));
                }
                body.extend_from_slice(&part);
            }
        }
    }
}

/// What comes of an answer that has no end yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It begins, with this status.
    Head(u16),
    /// One of its chunks.
    Chunk(Vec<u8>),
    /// It is over.
    End,
}

/// The next part of an answer that comes in chunks; the head first where `begun` is not yet true.
pub fn part(begun: bool, bytes: &[u8]) -> Result<Option<(Part, usize)>, String> {
    if begun {
        let read = chunk(bytes)?;
        return Ok(
            read.map(|(body, used)| (if body.is_empty() { Part::End } else { Part::Chunk(body) }, used))
        );
    }
    match head(bytes)? {
        None => Ok(None),
        Some((status, Framing::Chunked, used)) => Ok(Some((Part::Head(status), used))),
        Some((status, Framing::Length(_), _)) => Err(format!("status {status} where a stream was to begin")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_once_all_of_it_has_come() {
        let text =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1";
        for cut in 0..text.len() - 8 {
            assert_eq!(response(&text[..cut]), Ok(None), "{cut}");
        }
        let whole = Response { status: 200, body: b"{}".to_vec() };
        assert_eq!(response(text), Ok(Some((whole, text.len() - 8))));
    }

    #[test]
    fn an_error_comes_in_chunks_with_a_trailer() {
        let text = b"HTTP/1.1 400 Bad Request\r\nTrailer: Grpc-Trailer-Content-Type\r\nTransfer-Encoding: chunked\r\n\r\n\
                     3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n";
        for cut in 0..text.len() {
            assert_eq!(response(&text[..cut]), Ok(None), "{cut}");
        }
        let whole = Response { status: 400, body: b"{\"a\":1}".to_vec() };
        assert_eq!(response(text), Ok(Some((whole, text.len()))));
    }

    #[test]
    fn a_stream_is_read_part_by_part() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\"}\r\n0\r\n\r\n";
        let (first, used) = part(false, text).expect("HTTP").expect("a head");
        assert_eq!(first, Part::Head(200));
        let (second, more) = part(true, &text[used..]).expect("a chunk").expect("whole");
        assert_eq!(second, Part::Chunk(b"{\"a\"}".to_vec()));
        assert_eq!(part(true, &text[used + more..]), Ok(Some((Part::End, 5))));
    }

    #[test]
    fn what_is_no_http_is_refused() {
        assert!(response(b"-ERR unknown command\r\n").is_err());
        assert!(response(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n").is_err());
    }
}
