//! Notices of changes to links and their addresses.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use tokio::io::unix::AsyncFd;

use crate::netlink::Socket;
use crate::{Error, Result};

/// `RTNLGRP_LINK` and `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];

/// Watches the links of a network namespace.
#[derive(Debug)]
pub struct LinkMonitor(AsyncFd<Subscribed>);

#[derive(Debug)]
struct Subscribed(Socket);

impl AsRawFd for Subscribed {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl LinkMonitor {
    /// Subscribes in the calling thread's network namespace. Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses the subscription.
    pub fn open() -> Result<Self> {
        let socket = Socket::open(libc::NETLINK_ROUTE)?;
        for group in GROUPS {
            socket.join(group)?;
        }
        // SAFETY: the socket is owned by the AsyncFd and keeps its descriptor for life.
        let socket = unsafe { AsyncFd::register(Subscribed(socket)) }
            .map_err(|error| Error::io("watch links")(error.into()))?;
        Ok(Self(socket))
    }

    /// Waits until a link or an address is gone, or a link was changed, such as taken down.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn disturbed(&mut self) -> Result<()> {
        loop {
            let mut guard = self.0.readable_mut().await.map_err(Error::io("watch links"))?;
            let replies = match guard.get_inner_mut().0.receive_ready() {
                // Notices were lost: something may have happened.
                Err(error) if error.errno() == Some(libc::ENOBUFS) => return Ok(()),
                result => result?,
            };
            if replies.is_empty() {
                guard.clear_ready();
                continue;
            }
            let matters = [libc::RTM_NEWLINK, libc::RTM_DELLINK, libc::RTM_DELADDR];
            if replies.iter().any(|reply| matters.contains(&reply.kind)) {
                return Ok(());
            }
        }
    }
}
