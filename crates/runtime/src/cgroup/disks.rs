//! Counts a cgroup's reads from and writes to block devices.

use std::collections::BTreeMap;
use std::path::Path;

use crate::api::DiskUsage;

/// A device's name; its number where it has none.
fn device(number: &str) -> String {
    let link = std::fs::read_link(Path::new("/sys/dev/block").join(number));
    let name = link.ok().and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    name.map_or_else(|| number.to_owned(), |name| format!("/dev/{name}"))
}

/// Reads `io.stat` of version 2, or the two files of version 1.
pub(super) fn disks(directory: &Path) -> Option<Vec<DiskUsage>> {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).ok();
    let found = match read("io.stat") {
        Some(text) => of_v2(&text),
        None => of_v1(
            &read("blkio.throttle.io_service_bytes")?,
            &read("blkio.throttle.io_serviced").unwrap_or_default(),
        ),
    };
    Some(
        found
            .into_iter()
            .map(|(number, disk)| DiskUsage { device: device(&number), ..disk })
            .collect(),
    )
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`
fn of_v2(text: &str) -> BTreeMap<String, DiskUsage> {
    let mut disks = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(number) = words.next() else { continue };
        let mut disk = DiskUsage::default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match key {
                "rbytes" => disk.read_bytes = value,
                "wbytes" => disk.write_bytes = value,
                "rios" => disk.reads = value,
                "wios" => disk.writes = value,
                _ => {}
            }
        }
        disks.insert(number.to_owned(), disk);
    }
    disks
}

/// `8:0 Read 1` and so on, one file for bytes and one for numbers.
fn of_v1(bytes: &str, numbers: &str) -> BTreeMap<String, DiskUsage> {
    let mut disks: BTreeMap<String, DiskUsage> = BTreeMap::new();
    let rows = bytes.lines().map(|line| (true, line));
    for (is_bytes, line) in rows.chain(numbers.lines().map(|line| (false, line))) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, kind, value] = words[..] else { continue };
        let Ok(value) = value.parse() else { continue };
        let disk = disks.entry(number.to_owned()).or_default();
        match (kind, is_bytes) {
            ("Read", true) => disk.read_bytes = value,
            ("Write", true) => disk.write_bytes = value,
            ("Read", false) => disk.reads = value,
            ("Write", false) => disk.writes = value,
            _ => {}
        }
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let v2 = of_v2("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:1\n");
        let v1 = of_v1(
            "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n",
            "8:0 Read 3\n8:0 Write 4\nTotal 7\n",
        );
        let want =
            DiskUsage { device: String::new(), read_bytes: 1, write_bytes: 2, reads: 3, writes: 4 };
        assert_eq!((v2.get("8:0"), v1.get("8:0")), (Some(&want), Some(&want)));
        assert_eq!(v1.len(), 1);
        assert_eq!(device("0:0"), "0:0", "there is no such device");
    }
}
