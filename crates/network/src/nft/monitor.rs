//! Notices of changes that others make to our tables.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use tokio::io::unix::AsyncFd;

use super::consts::*;
use super::query::table_of;
use crate::netlink::{Reply, Socket};
use crate::{Error, Result};

/// Watches one table.
#[derive(Debug)]
pub struct Monitor {
    socket: AsyncFd<Subscribed>,
    table: String,
    own: u32,
}

#[derive(Debug)]
struct Subscribed(Socket);

impl AsRawFd for Subscribed {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Monitor {
    /// Subscribes in the calling thread's network namespace; changes by the socket with port `own`
    /// ([`super::NftSocket::port`]) are not noticed. Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses the subscription.
    pub fn open(table: &str, own: u32) -> Result<Self> {
        const NFNLGRP_NFTABLES: u32 = 7;
        let socket = Socket::open(libc::NETLINK_NETFILTER)?;
        socket.join(NFNLGRP_NFTABLES)?;
        // SAFETY: the socket is owned by the AsyncFd and keeps its descriptor for life.
        let socket = unsafe { AsyncFd::register(Subscribed(socket)) }
            .map_err(|error| Error::io("watch nf_tables")(error.into()))?;
        Ok(Self { socket, table: table.to_owned(), own })
    }

    /// Waits until another process has removed something from the table.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn disturbed(&mut self) -> Result<()> {
        loop {
            let mut guard =
                self.socket.readable_mut().await.map_err(Error::io("watch nf_tables"))?;
            let replies = match guard.get_inner_mut().0.receive_ready() {
                // Notices were lost: something may have happened.
                Err(error) if error.errno() == Some(libc::ENOBUFS) => return Ok(()),
                result => result?,
            };
            if replies.is_empty() {
                guard.clear_ready();
                continue;
            }
            for reply in &replies {
                if self.concerns(reply) {
                    return Ok(());
                }
            }
        }
    }

    fn concerns(&self, reply: &Reply) -> bool {
        let removal =
            matches!(reply.kind & 0xff, DELTABLE | DELCHAIN | DELRULE | DELSET | DELSETELEM);
        reply.kind >> 8 == SUBSYSTEM
            && removal
            && reply.port != self.own
            // Elements that expire have no author.
            && reply.port != 0
            && table_of(&reply.payload) == Some(&self.table)
    }
}
