//! SPDY/3.1, as far as Kubernetes' streaming protocols use it: streams opened by the client,
//! without flow control, which their implementations do not have either.

mod channel;
mod client;
mod connection;
mod dictionary;
mod frame;
mod headers;
mod session;

#[cfg(test)]
mod fuzz_tests;

pub use channel::{ChannelWriter, reader};
pub use client::Client;
pub use headers::Headers;
pub use session::Session;

use crate::{Reader, Writer};

/// One stream of a connection.
pub struct Stream {
    /// The headers that it was opened with.
    pub headers: Headers,
    /// Bytes from the other side; ends with the stream or the connection.
    pub reader: Reader,
    /// Bytes to the other side; shutting it down closes this half.
    pub writer: Writer,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl Stream {
    /// A header by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
