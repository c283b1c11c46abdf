//! Snapshots: the whole state at a revision, so that older segments can go.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::BytesMut;
use imbl::OrdMap;

use super::disk::Disk;
use super::manifest::snapshot_path;
use super::record::{self, Frame};
use crate::{Event, Key, OpenError, Record, Revision};

/// Key of the closing record, whose created revision is the number of records before it.
const CLOSING: &str = "";

/// Writes and syncs the snapshot of `records` at `revision`.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    revision: Revision,
    records: &OrdMap<Key, Record>,
) -> io::Result<()> {
    let path = snapshot_path(dir, revision);
    let tmp = path.with_extension("tmp");
    let mut out = BufWriter::with_capacity(256 << 10, super::disk::create(&tmp)?);
    let mut frame = BytesMut::new();
    let mut put = |key: Key, record: Record| {
        frame.clear();
        let event = Event { revision: record.modified, key, record: Some(record) };
        record::encode(&mut frame, &event, 0);
        out.write_all(&frame)
    };
    for (key, record) in records {
        put(key.clone(), record.clone())?;
    }
    let count = records.len() as u64;
    let closing =
        Record { bytes: Default::default(), revision_at: 0, created: count, modified: revision };
    put(CLOSING.into(), closing)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    disk.sync(&file)?;
    std::fs::rename(&tmp, &path)?;
    disk.sync_dir(dir)
}

/// Reads the snapshot at `revision`, verifying every record and their number.
pub(crate) fn read(dir: &Path, revision: Revision) -> Result<OrdMap<Key, Record>, OpenError> {
    let path = snapshot_path(dir, revision);
    let file = path.display().to_string();
    let bytes =
        std::fs::read(&path).map_err(|source| OpenError::Io { path: file.clone(), source })?;
    let corrupt = |offset: usize, what: &str| OpenError::Corrupt {
        file: file.clone(),
        offset: offset as u64,
        what: what.into(),
    };
    let mut records = OrdMap::new();
    let mut at = 0;
    loop {
        match record::decode(&bytes[at..]) {
            Frame::Record(decoded) => {
                let event = decoded.event;
                let Some(record) = event.record else {
                    return Err(corrupt(at, "a deletion in a snapshot"));
                };
                if &*event.key == CLOSING {
                    return if record.created == records.len() as u64 && event.revision == revision {
                        Ok(records)
                    } else {
                        Err(corrupt(at, "the number of records is wrong"))
                    };
                }
                records.insert(event.key, record);
                at += decoded.len;
            }
            Frame::End => return Err(corrupt(at, "the snapshot is cut short")),
            Frame::Bad(what) => return Err(corrupt(at, what)),
        }
    }
}
