use super::*;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

enum Item<'a> {
    Dir(&'a str, u32),
    File(&'a str, &'a str),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Pax(&'a str, &'a str, &'a [u8]),
    Fifo(&'a str),
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
            Item::Fifo(path) => {
                header.set_entry_type(EntryType::Fifo);
                header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
                // Device numbers as blanks, which some programs write.
                header.as_mut_bytes()[329..345].fill(b' ');
                header.set_cksum();
                tar.append(&header, io::empty()).unwrap();
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

/// Owners, devices and overlayfs' attributes need it, as the runtime does.
fn need_root() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root");
}

#[test]
fn the_diff_id_is_the_hash_of_the_whole_tar() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = layer(&[Item::Dir("a", 0o700)]);
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    file.rewind().unwrap();
    need_root();
    let digest = crate::image::digest_of(&bytes);
    assert_eq!(unpack(file, &dir.path().join("x"), &[]).unwrap(), digest);
    let file = tempfile::tempfile().unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    io::Write::write_all(&mut packed, &bytes).unwrap();
    let mut file = packed.finish().unwrap();
    file.rewind().unwrap();
    assert_eq!(unpack(file, &dir.path().join("y"), &[]).unwrap(), digest);
}

#[test]
fn links_of_lower_layers_are_followed_inside_the_image() {
    need_root();
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
    need_root();
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
    need_root();
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

/// A file outside of all layers that no layer may read, change or reach.
struct Host {
    dir: tempfile::TempDir,
    secret: PathBuf,
}

impl Host {
    fn new() -> Self {
        need_root();
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("host");
        fs::create_dir(&host).unwrap();
        let secret = host.join("shadow");
        fs::write(&secret, "root:hash").unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        Self { dir, secret }
    }

    fn layer(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn check(&self) {
        let found = fs::metadata(&self.secret).unwrap();
        let state = (found.mode() & 0o7777, found.uid(), found.nlink());
        assert_eq!(state, (0o600, 0, 1), "the host's file was changed");
        assert_eq!(fs::read_to_string(&self.secret).unwrap(), "root:hash");
        let names = fs::read_dir(self.secret.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "something was made beside the host's file");
        let attributes = xattr::list(&self.secret).unwrap().count();
        assert_eq!(attributes, 0, "the host's file got an attribute");
    }
}

#[test]
fn a_hard_link_to_a_link_of_a_lower_layer_is_that_link() {
    let host = Host::new();
    let (one, two) = (host.layer("one"), host.layer("two"));
    let secret = host.secret.to_str().unwrap();
    unpacked(&one, &[], &[Item::Link("s", secret)]).unwrap();
    unpacked(&two, std::slice::from_ref(&one), &[Item::Hard("hl", "s")]).unwrap();
    assert!(two.join("hl").symlink_metadata().unwrap().is_symlink());
    assert_eq!(fs::read_link(two.join("hl")).unwrap(), host.secret);
    host.check();
}

#[test]
fn links_among_the_parents_of_lower_layers_lead_nowhere() {
    let host = Host::new();
    let directory = host.secret.parent().unwrap().to_str().unwrap();
    let layers = [host.layer("one"), host.layer("two"), host.layer("three")];
    unpacked(&layers[0], &[], &[Item::Link("a", directory)]).unwrap();
    // Hides the link by a directory, so that the merged image has none at `a`.
    unpacked(&layers[1], &layers[..1], &[Item::Dir("a", 0o755), Item::File("a/own", "x")]).unwrap();
    let lower = [layers[1].clone(), layers[0].clone()];
    let error = unpacked(&layers[2], &lower, &[Item::Hard("stolen", "a/shadow")]).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
    unpacked(&layers[2], &lower, &[Item::File("a/shadow", "mine"), Item::Dir("a/new", 0o777)])
        .unwrap();
    assert_eq!(fs::read_to_string(layers[2].join("a/shadow")).unwrap(), "mine");
    host.check();
}

#[test]
fn modes_owners_attributes_and_whiteouts_stay_inside() {
    let host = Host::new();
    let secret = host.secret.to_str().unwrap();
    let directory = host.secret.parent().unwrap().to_str().unwrap();
    let one = host.layer("one");
    let items = [
        Item::Link("link", secret),
        Item::Link("dir", directory),
        // An entry for what an earlier one made a link to the host.
        Item::Dir("link", 0o777),
        Item::Pax("dir/shadow", "SCHILY.xattr.user.note", b"x"),
        Item::File("dir/.wh.shadow", ""),
        Item::File("dir/.wh..wh..opq", ""),
        Item::Link("again", secret),
        Item::Pax("again", "SCHILY.xattr.trusted.note", b"x"),
        Item::File("x/.wh...", ""),
    ];
    let error = unpacked(&one, &[], &items).unwrap_err();
    assert!(error.to_string().contains("invalid whiteout name"), "{error}");
    host.check();
    assert!(one.join("link").symlink_metadata().unwrap().is_dir());

    // A link that was put there behind our back is refused by the kernel.
    let planted = host.layer("planted");
    fs::create_dir(&planted).unwrap();
    let mut layer = Layer {
        merged: Merged::new(vec![Tree::open(&planted).unwrap()]),
        directories: HashMap::from([("dir".into(), vec![TARGET])]),
        times: Vec::new(),
    };
    symlink(directory, planted.join("dir")).unwrap();
    assert!(layer.clear(Path::new("dir/shadow"), false).is_ok_and(|hidden| !hidden));
    assert!(layer.target().create(Path::new("dir/new")).is_err());
    assert!(layer.hard_link(Path::new("dir/shadow"), Path::new("stolen")).is_err());
    host.check();
}

#[test]
fn whiteouts_and_entries_of_one_layer_come_in_any_order() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    unpacked(&one, &[], &[Item::File("d/old", "1"), Item::File("e/old", "1")]).unwrap();
    let items = [
        Item::File(".wh.d", ""),
        Item::Dir("d", 0o755),
        Item::File("d/new", "2"),
        Item::File("e/new", "2"),
        Item::File(".wh.e", ""),
    ];
    unpacked(&two, std::slice::from_ref(&one), &items).unwrap();
    for name in ["d", "e"] {
        let mark = xattr::get(two.join(name), "trusted.overlay.opaque").unwrap();
        assert_eq!(mark.as_deref(), Some(&b"y"[..]), "{name} still shows what is below");
        assert_eq!(fs::read_to_string(two.join(name).join("new")).unwrap(), "2");
    }
    // A hidden file cannot be linked to either.
    let three = dir.path().join("three");
    let error = unpacked(&three, &[two, one], &[Item::Hard("x", "d/old")]).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn a_fifo_needs_no_device_numbers() {
    need_root();
    let dir = tempfile::tempdir().unwrap();
    unpacked(dir.path(), &[], &[Item::Fifo("pipe")]).unwrap();
    assert!(dir.path().join("pipe").symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn what_is_no_archive_is_not_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, &b"password=hunter2 ".repeat(100)).unwrap();
    file.rewind().unwrap();
    let error = unpack(file, dir.path(), &[]).unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("not a tar archive"), "{error}");
}
