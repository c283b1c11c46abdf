//! Frames and header blocks of a hostile client.

use bytes::{Bytes, BytesMut};

use super::frame::{FrameReader, Incoming, Outgoing};
use super::headers::{Decoder, Encoder, Headers};

fn frame(out: &mut BytesMut, frame: Outgoing, encoder: &mut Encoder) {
    let block = match &frame {
        Outgoing::Open { headers, .. } => encoder.encode(headers).unwrap(),
        _ => Vec::new(),
    };
    frame.encode(&block, out);
}

/// The frames that a client sends to run a command.
fn conversation() -> Vec<u8> {
    let (mut out, mut encoder) = (BytesMut::new(), Encoder::new().unwrap());
    for (stream, kind) in [(1, "error"), (3, "stdin"), (5, "stdout")] {
        let headers = vec![("streamtype".to_owned(), kind.to_owned())];
        frame(&mut out, Outgoing::Open { stream, headers }, &mut encoder);
    }
    let bytes = Bytes::from_static(b"hello");
    frame(&mut out, Outgoing::Data { stream: 3, fin: true, bytes }, &mut encoder);
    frame(&mut out, Outgoing::Ping { id: 7 }, &mut encoder);
    frame(&mut out, Outgoing::Accept { stream: 2 }, &mut encoder);
    frame(&mut out, Outgoing::Reset { stream: 5 }, &mut encoder);
    frame(&mut out, Outgoing::GoAway { last_stream: 0 }, &mut encoder);
    out.to_vec()
}

/// All frames as far as they can be read, and the headers in them.
async fn read(input: &[u8]) -> (Vec<Incoming>, Vec<Headers>) {
    let (mut reader, mut decoder) = (FrameReader::new(input), Decoder::default());
    let (mut frames, mut blocks) = (Vec::new(), Vec::new());
    while let Ok(Some(frame)) = reader.next().await {
        if let Incoming::Open { headers: block, .. } | Incoming::Headers { block, .. } = &frame {
            let Ok(headers) = decoder.decode(block) else { break };
            blocks.push(headers);
        }
        frames.push(frame);
    }
    (frames, blocks)
}

#[test]
fn frames_are_read_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let heads: &[&[u8]] = &[
        b"\x80\x03\0\x01",
        b"\x80\x03\0\x02",
        b"\x80\x03\0\x08",
        b"\x80\x03\0\x04",
        b"\0\0\0\x03\x01\xff\xff\xff",
        b"\0\0\0\0",
        b"\x78\xbb",
        b"\0\0\xff\xff",
    ];
    fuzz::bytes(&[&conversation()], heads, |input| {
        let (frames, blocks) = runtime.block_on(read(input));
        let data = frames.iter().map(|frame| match frame {
            Incoming::Data { bytes, .. } => bytes.len(),
            _ => 0,
        });
        assert!(data.sum::<usize>() <= input.len());
        // Decoded headers encode, and decode to the same again.
        let (mut out, mut encoder) = (BytesMut::new(), Encoder::new().unwrap());
        for headers in &blocks {
            let headers = headers.clone();
            frame(&mut out, Outgoing::Open { stream: 1, headers }, &mut encoder);
        }
        if out.len() < 60_000 {
            assert_eq!(runtime.block_on(read(&out)).1, blocks);
        }
        !frames.is_empty()
    });
}
