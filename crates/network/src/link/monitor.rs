//! Notices of what happens to one link and its addresses.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use tokio::io::unix::AsyncFd;

use super::LinkSocket;
use crate::netlink::{Attributes, Reply, Socket};
use crate::{Error, Result};

/// `RTNLGRP_LINK` and `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// Bytes of `struct ifinfomsg`, which its attributes follow.
const LINK_HEADER: usize = 16;

/// Watches one link of a network namespace. The kernel tells of every link: a pod that comes makes
/// a dozen notices, of which none is of interest here.
#[derive(Debug)]
pub struct LinkMonitor {
    socket: AsyncFd<Subscribed>,
    watched: Watched,
}

#[derive(Debug)]
struct Subscribed(Socket);

impl AsRawFd for Subscribed {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// The link that is watched, by the name that it must have and the number that it has.
#[derive(Debug)]
struct Watched {
    name: String,
    index: Option<u32>,
}

impl LinkMonitor {
    /// Subscribes to the link of this name in the calling thread's network namespace. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    /// The kernel refuses the subscription.
    pub fn open(name: &str) -> Result<Self> {
        let socket = Socket::open(libc::NETLINK_ROUTE)?;
        for group in GROUPS {
            socket.join(group)?;
        }
        // SAFETY: the socket is owned by the AsyncFd and keeps its descriptor for life.
        let socket = unsafe { AsyncFd::register(Subscribed(socket)) }
            .map_err(|error| Error::io("watch links")(error.into()))?;
        // Asked after subscribing: what happens to it from now on is told.
        let index = LinkSocket::open()?.link(name)?.map(|link| link.index);
        Ok(Self { socket, watched: Watched { name: name.to_owned(), index } })
    }

    /// Waits until the link or one of its addresses is gone, or it was taken down or renamed.
    ///
    /// # Errors
    /// The socket fails.
    pub async fn disturbed(&mut self) -> Result<()> {
        loop {
            let mut guard = self.socket.readable_mut().await.map_err(Error::io("watch links"))?;
            let replies = match guard.get_inner_mut().0.receive_ready() {
                // Notices were lost: something may have happened.
                Err(error) if error.errno() == Some(libc::ENOBUFS) => return Ok(()),
                result => result?,
            };
            if replies.is_empty() {
                guard.clear_ready();
                continue;
            }
            let mut suffered = false;
            for reply in &replies {
                // Each is looked at: one may tell of a new number.
                suffered |= self.watched.suffers(reply);
            }
            if suffered {
                return Ok(());
            }
        }
    }
}

impl Watched {
    /// Returns true if a notice tells of something that was done to the link.
    fn suffers(&mut self, notice: &Reply) -> bool {
        let word = |at: usize| {
            let bytes = notice.payload.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_ne_bytes(*bytes))
        };
        // Links and addresses have their number at the same place.
        let Some(index) = word(4) else { return false };
        let known = self.index == Some(index);
        match notice.kind {
            libc::RTM_DELADDR => known,
            libc::RTM_DELLINK => known,
            libc::RTM_NEWLINK => {
                let attributes = notice.payload.get(LINK_HEADER..).unwrap_or_default();
                let name = Attributes(attributes).find(libc::IFLA_IFNAME);
                let named = name.is_some_and(|name| name.str() == self.name);
                if named {
                    self.index = Some(index);
                }
                let up = word(8).is_some_and(|flags| flags & libc::IFF_UP as u32 != 0);
                // One that was made anew has no address yet.
                if known { !named || !up } else { named }
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Message;

    fn notice(kind: u16, index: u32, up: bool, name: &str) -> Reply {
        let flags = if up { libc::IFF_UP as u32 } else { 0 };
        let header = [0, index, flags, 0].map(u32::to_ne_bytes).concat();
        let message = Message::new(kind, 0).raw(&header).str(libc::IFLA_IFNAME, name);
        Reply { kind, sequence: 0, port: 0, payload: message.finish(0)[16..].to_vec() }
    }

    #[test]
    fn only_what_is_done_to_the_watched_link_counts() {
        use libc::{RTM_DELADDR, RTM_DELLINK, RTM_NEWADDR, RTM_NEWLINK};
        for (kind, index, up, name, suffers) in [
            (RTM_NEWLINK, 7, true, "bridge", false),
            (RTM_NEWLINK, 7, false, "bridge", true),
            (RTM_NEWLINK, 7, true, "renamed", true),
            (RTM_DELLINK, 7, true, "bridge", true),
            (RTM_DELADDR, 7, true, "", true),
            (RTM_NEWADDR, 7, true, "", false),
            (RTM_NEWLINK, 8, true, "bridge", true),
            (RTM_NEWLINK, 8, false, "veth", false),
            (RTM_DELLINK, 8, true, "veth", false),
            (RTM_DELADDR, 8, true, "", false),
        ] {
            let mut watched = Watched { name: "bridge".to_owned(), index: Some(7) };
            let told = watched.suffers(&notice(kind, index, up, name));
            assert_eq!(told, suffers, "{kind} {index} {up} {name}");
        }
    }

    #[test]
    fn a_link_that_is_made_anew_is_known_by_its_new_number() {
        let mut watched = Watched { name: "bridge".to_owned(), index: Some(7) };
        assert!(watched.suffers(&notice(libc::RTM_DELLINK, 7, false, "bridge")));
        assert!(watched.suffers(&notice(libc::RTM_NEWLINK, 9, true, "bridge")));
        assert!(!watched.suffers(&notice(libc::RTM_NEWLINK, 9, true, "bridge")));
        assert!(watched.suffers(&notice(libc::RTM_DELADDR, 9, true, "")));
    }

    #[test]
    fn a_notice_that_is_cut_off_is_none() {
        let mut watched = Watched { name: "bridge".to_owned(), index: Some(0) };
        for kind in [libc::RTM_NEWLINK, libc::RTM_DELLINK, libc::RTM_DELADDR] {
            let notice = Reply { kind, sequence: 0, port: 0, payload: vec![0; 6] };
            assert!(!watched.suffers(&notice));
        }
    }
}
