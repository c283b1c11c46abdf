//! Writes the Rust messages and clients of CRI, given upstream's `api.proto` and the directory to
//! write to. It parses the file itself (`protox`), so that no protoc is needed.

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut args = std::env::args_os().skip(1);
    let mut next = || args.next().context("usage: cri-codegen API_PROTO OUT_DIR");
    let (proto, out) = (next()?, next()?);
    let dir = Path::new(&proto).parent().context("api.proto is in no directory")?;
    let descriptors = protox::compile([&proto], [dir])?;
    let mut messages = prost_build::Config::new();
    // Upstream's comments are in upstream's file.
    messages.btree_map(["."]).disable_comments(["."]);
    tonic_prost_build::configure()
        .build_server(false)
        // The connection is made by `cri::connection`.
        .build_transport(false)
        .out_dir(&out)
        .compile_fds_with_config(descriptors, messages)?;
    Ok(())
}
