//! Header blocks: pairs of strings, compressed with one zlib stream per direction.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary;

/// Most bytes a block may have when it is unpacked.
const MAX_BLOCK: usize = 64 * 1024;

/// Names (lower case) and values.
pub type Headers = Vec<(String, String)>;

/// Unpacks the blocks of one direction, in their order.
pub(super) struct Decoder {
    zlib: Decompress,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { zlib: Decompress::new(true) }
    }
}

fn broken(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY header block: {message}"))
}

impl Decoder {
    pub(super) fn decode(&mut self, block: &[u8]) -> io::Result<Headers> {
        let mut out = Vec::with_capacity(1024);
        let mut input = block;
        loop {
            if out.len() == out.capacity() {
                if out.len() >= MAX_BLOCK {
                    return Err(broken("too large"));
                }
                out.reserve(out.len());
            }
            let (before_in, before_out) = (self.zlib.total_in(), out.len());
            let result = self.zlib.decompress_vec(input, &mut out, FlushDecompress::Sync);
            input = &input[(self.zlib.total_in() - before_in) as usize..];
            match result {
                Ok(Status::StreamEnd) => break,
                Ok(_) => {
                    let full = out.len() == out.capacity();
                    let stuck = out.len() == before_out && !full;
                    if input.is_empty() && !full || stuck {
                        break;
                    }
                }
                Err(error) if error.needs_dictionary().is_some() => {
                    self.zlib
                        .set_dictionary(&dictionary::bytes())
                        .map_err(|error| broken(&error.to_string()))?;
                }
                Err(error) => return Err(broken(&error.to_string())),
            }
        }
        parse(&out)
    }
}

fn parse(mut block: &[u8]) -> io::Result<Headers> {
    let count = number(&mut block)?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = string(&mut block)?;
        let value = string(&mut block)?;
        headers.push((name.to_ascii_lowercase(), value));
    }
    Ok(headers)
}

fn number(block: &mut &[u8]) -> io::Result<u32> {
    let (bytes, rest) = block.split_first_chunk::<4>().ok_or_else(|| broken("too short"))?;
    *block = rest;
    Ok(u32::from_be_bytes(*bytes))
}

fn string(block: &mut &[u8]) -> io::Result<String> {
    let length = number(block)? as usize;
    let (bytes, rest) = block.split_at_checked(length).ok_or_else(|| broken("too short"))?;
    *block = rest;
    String::from_utf8(bytes.to_vec()).map_err(|_| broken("not UTF-8"))
}

/// Packs the blocks of one direction, in their order.
pub(super) struct Encoder {
    zlib: Compress,
}

impl Encoder {
    pub(super) fn new() -> io::Result<Self> {
        let mut zlib = Compress::new(Compression::fast(), true);
        zlib.set_dictionary(&dictionary::bytes()).map_err(io::Error::other)?;
        Ok(Self { zlib })
    }

    pub(super) fn encode(&mut self, headers: &Headers) -> io::Result<Vec<u8>> {
        let mut block = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        let mut out = Vec::with_capacity(block.len() + 64);
        let mut input = &block[..];
        loop {
            let before = self.zlib.total_in();
            self.zlib
                .compress_vec(input, &mut out, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            input = &input[(self.zlib.total_in() - before) as usize..];
            if input.is_empty() && out.len() < out.capacity() {
                return Ok(out);
            }
            out.reserve(out.capacity());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_both_ways_and_share_their_history() {
        let mut encoder = Encoder::new().unwrap();
        let mut decoder = Decoder::default();
        let long = "x".repeat(5000);
        for values in [vec!["stdin"], vec!["stdout", "0"], vec![], vec![long.as_str()]] {
            let headers: Headers =
                values.iter().map(|v| ("streamtype".to_owned(), (*v).to_owned())).collect();
            let block = encoder.encode(&headers).unwrap();
            assert_eq!(decoder.decode(&block).unwrap(), headers);
        }
    }

    #[test]
    fn nonsense_and_bombs_are_refused() {
        assert!(Decoder::default().decode(b"nonsense").is_err());
        assert!(Decoder::default().decode(b"").is_err());
        let bomb: Headers = vec![("a".to_owned(), "x".repeat(10 * MAX_BLOCK))];
        let block = Encoder::new().unwrap().encode(&bomb).unwrap();
        assert!(Decoder::default().decode(&block).is_err());
        let names = parse(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]);
        assert!(names.is_err());
    }
}
