//! The server as its clients see it, without a socket.

mod bad_input;
mod conformance;
mod harness;
mod resize;
mod samples;
