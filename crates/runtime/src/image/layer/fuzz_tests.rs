//! Layers of a hostile registry: they unpack or do not, and never reach out of their directory.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, symlink};

use super::unpack;

const BLOCK: usize = 512;

fn seed() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, path: &str, target: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    use tar::EntryType as Type;
    add(Type::Directory, "etc", "", b"");
    add(Type::Regular, "etc/passwd", "", b"root");
    add(Type::Symlink, "etc/link", "../../outside", b"");
    add(Type::Regular, "etc/link/file", "", b"x");
    add(Type::Link, "etc/hard", "etc/passwd", b"");
    add(Type::Regular, "low/.wh.file", "", b"");
    add(Type::Regular, "low/.wh..wh..opq", "", b"");
    add(Type::Regular, "out/file", "", b"x");
    add(Type::Fifo, "pipe", "", b"");
    add(Type::Char, "null", "", b"");
    tar.append_pax_extensions([("path", b"long/name".as_slice()), ("SCHILY.xattr.user.a", b"b")])
        .unwrap();
    tar.into_inner().unwrap()
}

/// Gives the headers their checksums, without which nothing behind them is looked at.
fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for block in bytes.chunks_exact_mut(BLOCK).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

/// A sparse file may say that it has any size, and then has it: the disk of a test is not for that.
fn is_sparse(bytes: &[u8]) -> bool {
    let sparse = b"GNU.sparse";
    bytes.chunks_exact(BLOCK).any(|block| block[156] == b'S')
        || bytes.windows(sparse.len()).any(|part| part == sparse)
}

#[test]
fn layers_stay_in_their_directory() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("outside")).unwrap();
    fs::write(at("outside/secret"), b"kept").unwrap();
    fs::create_dir_all(at("lower/low")).unwrap();
    fs::write(at("lower/low/file"), b"low").unwrap();
    symlink("../outside", at("lower/out")).unwrap();
    symlink(at("outside"), at("lower/low/absolute")).unwrap();
    let state = || {
        let of = |path: &str| {
            let found = fs::symlink_metadata(at(path)).unwrap();
            (found.mode(), found.uid(), found.gid(), found.nlink(), found.mtime_nsec())
        };
        let names = fs::read_dir(at("outside")).unwrap().count();
        (of("outside"), of("outside/secret"), names, of("lower"), of("lower/low/file"))
    };
    let before = state();
    let words: &[&[u8]] = &[
        b"../",
        b"/",
        b"../../outside/secret",
        b"out/",
        b"low/absolute/secret",
        b".wh.",
        b".wh..",
        b"etc/link",
        b"0000000000",
        b"77777777777",
        b"2",
        b"1",
        b"L",
        b"x",
        b"5",
        b"./",
        b"\0",
    ];
    fuzz::bytes(&[&seed()], words, |bytes| {
        let bytes = signed(bytes);
        if is_sparse(&bytes) {
            return false;
        }
        let mut file = tempfile::tempfile_in(dir.path()).unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let target = at("target");
        let unpacked = unpack(file, &target, &[at("lower")]);
        assert_eq!(state(), before);
        crate::tree::remove_all(&target).unwrap();
        unpacked.is_ok()
    });
}
