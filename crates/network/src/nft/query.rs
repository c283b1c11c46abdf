//! The nf_tables socket: committing transactions and reading back.

use super::Family;
use super::batch::Batch;
use super::consts::*;
use crate::netlink::{Attributes, Message, Socket, check};
use crate::{Error, Result};

const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const DUMP: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;

/// Changes and reads the tables of the namespace it was opened in.
#[derive(Debug)]
pub struct NftSocket(Socket);

impl NftSocket {
    /// Opens it in the calling thread's network namespace.
    ///
    /// # Errors
    /// Fails as socket(2) does.
    pub fn open() -> Result<Self> {
        Socket::open(libc::NETLINK_NETFILTER).map(Self)
    }

    /// The number by which a [`super::Monitor`] tells this socket's changes from others'.
    ///
    /// # Errors
    /// Fails as getsockname(2) does.
    pub fn port(&self) -> Result<u32> {
        self.0.port()
    }

    /// Applies a transaction as a whole.
    ///
    /// # Errors
    /// [`Error::Kernel`] with the change that was refused; nothing was changed then.
    pub fn commit(&mut self, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (names, changes): (Vec<_>, Vec<_>) = batch.messages.into_iter().unzip();
        let edge = |kind, flags| Message::new(kind, flags).raw(&header(0, SUBSYSTEM));
        let mut messages = vec![edge(BATCH_BEGIN, REQUEST | ACK)];
        messages.extend(changes);
        messages.push(edge(BATCH_END, REQUEST));
        let first = self.0.send_all(messages)?;
        // The kernel has done the whole transaction when send returns: every answer is there.
        let mut answered = false;
        loop {
            let replies = self.0.receive_ready()?;
            if replies.is_empty() {
                break;
            }
            for reply in replies.iter().filter(|reply| i32::from(reply.kind) == libc::NLMSG_ERROR) {
                if reply.sequence < first {
                    continue;
                }
                answered = true;
                let position = (reply.sequence - first) as usize;
                let name = position.checked_sub(1).and_then(|at| names.get(at));
                check(name.map_or("nf_tables transaction", String::as_str), reply)?;
            }
        }
        if answered { Ok(()) } else { Err(Error::Invalid("nf_tables did not answer".to_owned())) }
    }

    /// Returns true if the table exists.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn has_table(&mut self, family: Family, table: &str) -> Result<bool> {
        let message = Message::new(kind(GETTABLE), DUMP).raw(&header(family.number(), 0));
        let replies = self.0.dump("list tables", message)?;
        Ok(replies.iter().any(|reply| table_of(&reply.payload) == Some(table)))
    }

    /// Names of the table's chains.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn chains(&mut self, family: Family, table: &str) -> Result<Vec<String>> {
        let message = Message::new(kind(GETCHAIN), DUMP).raw(&header(family.number(), 0));
        let replies = self.0.dump("list chains", message)?;
        Ok(replies
            .iter()
            .filter(|reply| table_of(&reply.payload) == Some(table))
            .filter_map(|reply| Attributes(reply.payload.get(4..)?).find(CHAIN_NAME))
            .map(|name| name.str().to_owned())
            .collect())
    }

    /// Keys of a set's or map's elements with their values; a verdict's value is empty.
    ///
    /// # Errors
    /// The kernel refuses, as for a set that does not exist.
    pub fn elements(
        &mut self,
        family: Family,
        table: &str,
        set: &str,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let message = Message::new(kind(GETSETELEM), DUMP)
            .raw(&header(family.number(), 0))
            .str(1, table)
            .str(SET_ELEM_LIST_SET, set);
        let replies = self.0.dump(&format!("list elements of {set}"), message)?;
        let mut found = Vec::new();
        for reply in &replies {
            let Some(list) = reply
                .payload
                .get(4..)
                .and_then(|bytes| Attributes(bytes).find(SET_ELEM_LIST_ELEMENTS))
            else {
                continue;
            };
            for element in list.nested() {
                let part = |kind| {
                    let attribute = element.nested().find(kind)?;
                    attribute.nested().find(DATA_VALUE).map(|value| value.value.to_vec())
                };
                if let Some(key) = part(SET_ELEM_KEY) {
                    found.push((key, part(SET_ELEM_DATA).unwrap_or_default()));
                }
            }
        }
        Ok(found)
    }
}

/// The table's name, attribute 1 of every object.
pub(super) fn table_of(payload: &[u8]) -> Option<&str> {
    Attributes(payload.get(4..)?).find(1).map(|name| name.str())
}
