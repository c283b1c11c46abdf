//! The messages and clients of CRI v1, made from upstream's `api.proto` by `cargo xtask cri`.

#![allow(clippy::all, dead_code, missing_docs, rustdoc::all, unreachable_pub)]

include!("generated/runtime.v1.rs");
