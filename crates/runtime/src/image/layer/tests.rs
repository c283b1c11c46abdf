use super::*;

enum Item<'a> {
    Dir(&'a str, u32),
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Pax(&'a str, &'a str, &'a [u8]),
}

fn layer(items: &[Item<'_>]) -> File {
    let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
    for item in items {
        let mut header = tar::Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_mode(0o644);
        header.set_size(0);
        match item {
            Item::Dir(path, mode) => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(*mode);
                tar.append_data(&mut header, path, io::empty()).unwrap();
            }
            Item::File(path, text) => {
                header.set_size(text.len() as u64);
                // The path goes in as it is: a hostile one must be caught on unpacking.
                header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
                header.set_cksum();
                tar.append(&header, text.as_bytes()).unwrap();
            }
            Item::Link(path, target) => {
                header.set_entry_type(EntryType::Symlink);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Item::Hard(path, target) => {
                header.set_entry_type(EntryType::Link);
                tar.append_link(&mut header, path, target).unwrap();
            }
            Item::Pax(path, key, value) => {
                tar.append_pax_extensions([(*key, *value)]).unwrap();
                tar.append_data(&mut header, path, io::empty()).unwrap();
            }
        }
    }
    let mut file = tar.into_inner().unwrap();
    file.rewind().unwrap();
    file
}

fn unpacked(root: &Path, lower: &[PathBuf], items: &[Item<'_>]) -> io::Result<()> {
    unpack(layer(items), root, lower).map(drop)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn the_diff_id_is_the_hash_of_the_whole_tar() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = layer(&[Item::Dir("a", 0o700)]);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    file.rewind().unwrap();
    if is_root() {
        assert_eq!(
            unpack(file, &dir.path().join("x"), &[]).unwrap(),
            crate::image::digest_of(&bytes)
        );
        let mut packed = flate2::write::GzEncoder::new(
            tempfile::tempfile().unwrap(),
            flate2::Compression::fast(),
        );
        io::Write::write_all(&mut packed, &bytes).unwrap();
        let mut file = packed.finish().unwrap();
        file.rewind().unwrap();
        assert_eq!(
            unpack(file, &dir.path().join("y"), &[]).unwrap(),
            crate::image::digest_of(&bytes)
        );
    }
}

#[test]
fn links_of_lower_layers_are_followed_inside_the_image() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    unpacked(
        &one,
        &[],
        &[
            Item::Dir("usr", 0o755),
            Item::Dir("usr/lib", 0o711),
            Item::File("usr/lib/old", "old"),
            Item::Link("lib", "/usr/lib"),
            Item::Link("up", "../../../../../../../../usr"),
        ],
    )
    .unwrap();
    unpacked(
        &two,
        std::slice::from_ref(&one),
        &[
            Item::File("lib/new", "new"),
            Item::File("up/escape", "inside"),
            Item::Hard("usr/lib/same", "lib/old"),
        ],
    )
    .unwrap();
    assert_eq!(fs::read_to_string(two.join("usr/lib/new")).unwrap(), "new");
    assert!(two.join("lib").symlink_metadata().is_err());
    assert_eq!(fs::read_to_string(two.join("usr/escape")).unwrap(), "inside");
    assert_eq!(fs::read_to_string(two.join("usr/lib/same")).unwrap(), "old");
    assert_eq!(fs::metadata(two.join("usr/lib")).unwrap().mode() & 0o777, 0o711);
}

#[test]
fn a_layer_cannot_write_outside() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = outside.to_str().unwrap();
    unpacked(
        &root,
        &[],
        &[
            Item::Link("door", target),
            Item::File("door/file", "x"),
            Item::File("../../up", "x"),
            Item::File("/absolute", "x"),
        ],
    )
    .unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert!(root.join("up").exists() && root.join("absolute").exists());
    assert!(!dir.path().join("up").exists());

    let looping = [Item::Link("a", "b"), Item::Link("b", "a"), Item::File("a/x", "x")];
    let error = unpacked(&dir.path().join("loop"), &[], &looping).unwrap_err();
    assert!(error.to_string().starts_with("unpack a/x"), "{error}");
}

#[test]
fn whiteouts_and_attributes_become_overlayfs_marks() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    unpacked(
        &root,
        &[],
        &[
            Item::Dir("d", 0o755),
            Item::File("d/.wh..wh..opq", ""),
            Item::File("d/.wh.gone", ""),
            Item::Pax("f", "SCHILY.xattr.trusted.note", b"hello"),
        ],
    )
    .unwrap();
    let gone = root.join("d/gone").symlink_metadata().unwrap();
    assert_eq!((gone.mode() & libc::S_IFMT, gone.rdev()), (libc::S_IFCHR, 0));
    let mut value = [0; 16];
    let path = std::ffi::CString::new(root.join("f").to_str().unwrap()).unwrap();
    // SAFETY: path, name and buffer live through the call.
    let length = unsafe {
        libc::getxattr(path.as_ptr(), c"trusted.note".as_ptr(), value.as_mut_ptr().cast(), 16)
    };
    assert!(length == 5 && value.starts_with(b"hello"), "{length}");
}
