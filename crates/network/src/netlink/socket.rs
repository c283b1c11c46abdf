//! A blocking netlink socket: requests, dumps, transactions and multicast groups.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{NetlinkAddr, bind, getsockname};

use super::Message;
use crate::{Error, Result};

const HEADER: usize = 16;

/// A netlink socket. It belongs for good to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One received message: its type and what follows the header.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    /// Port of the socket that asked for it.
    pub(crate) port: u32,
    pub(crate) payload: Vec<u8>,
}

impl Socket {
    /// Opens a socket of this protocol (`NETLINK_ROUTE`, `NETLINK_NETFILTER`).
    ///
    /// # Errors
    /// Fails as socket(2) does.
    pub fn open(protocol: i32) -> Result<Self> {
        // SAFETY: plain socket(2); the descriptor is owned at once.
        let fd = unsafe {
            let raw = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol);
            if raw < 0 {
                return Err(Error::io("open netlink socket")(io::Error::last_os_error()));
            }
            OwnedFd::from_raw_fd(raw)
        };
        let socket = Self { fd, sequence: 0, buffer: vec![0; 1 << 16] };
        // A large transaction is one datagram; its acknowledgements must fit as well.
        for option in [libc::SO_SNDBUFFORCE, libc::SO_RCVBUFFORCE] {
            socket.set(libc::SOL_SOCKET, option, 64 << 20).ok();
        }
        socket.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1).ok();
        // Without a port of its own it would get no multicast: port 0 is the kernel's.
        bind(socket.fd.as_raw_fd(), &NetlinkAddr::new(0, 0))
            .map_err(|error| Error::io("bind netlink socket")(error.into()))?;
        Ok(socket)
    }

    /// The number by which the kernel knows this socket.
    ///
    /// # Errors
    /// Fails as getsockname(2) does.
    pub(crate) fn port(&self) -> Result<u32> {
        getsockname(self.fd.as_raw_fd())
            .map(|address: NetlinkAddr| address.pid())
            .map_err(|error| Error::io("netlink port")(error.into()))
    }

    fn set(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        // SAFETY: the option value is a C int that lives through the call.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                (&raw const value).cast(),
                size_of::<i32>() as u32,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Subscribes to a multicast group.
    ///
    /// # Errors
    /// Fails as setsockopt(2) does.
    pub fn join(&self, group: u32) -> Result<()> {
        self.set(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group as i32)
            .map_err(Error::io(format!("join netlink group {group}")))
    }

    /// Sends a request and waits for its acknowledgement.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `what` where the kernel refuses.
    pub fn request(&mut self, what: &str, message: Message) -> Result<()> {
        self.send_all(vec![message])?;
        let last = self.sequence;
        loop {
            for reply in self.receive()? {
                if reply.sequence == last && i32::from(reply.kind) == libc::NLMSG_ERROR {
                    return check(what, &reply);
                }
            }
        }
    }

    /// Sends a request, of a dump or of one object, and collects its answers.
    ///
    /// # Errors
    /// [`Error::Kernel`] with `what` where the kernel refuses.
    pub(crate) fn dump(&mut self, what: &str, message: Message) -> Result<Vec<Reply>> {
        self.send_all(vec![message])?;
        let last = self.sequence;
        let mut replies = Vec::new();
        loop {
            for reply in self.receive()? {
                if reply.sequence != last {
                    continue;
                }
                match i32::from(reply.kind) {
                    libc::NLMSG_ERROR => {
                        check(what, &reply)?;
                        return Ok(replies);
                    }
                    libc::NLMSG_DONE => return Ok(replies),
                    _ => replies.push(reply),
                }
            }
        }
    }

    /// Sends all messages in one datagram and numbers them upwards; returns the first number.
    pub(crate) fn send_all(&mut self, messages: Vec<Message>) -> Result<u32> {
        let first = self.sequence + 1;
        let mut bytes = Vec::new();
        for message in messages {
            self.sequence += 1;
            bytes.extend(message.finish(self.sequence));
        }
        // SAFETY: the buffer is valid for its length; the kernel is the default peer.
        let sent =
            unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            return Err(Error::io("send netlink request")(io::Error::last_os_error()));
        }
        Ok(first)
    }

    /// Reads the messages that have arrived, without waiting.
    pub(crate) fn receive_ready(&mut self) -> Result<Vec<Reply>> {
        self.read(libc::MSG_DONTWAIT)
    }

    /// Waits for one datagram and splits it into messages.
    pub(crate) fn receive(&mut self) -> Result<Vec<Reply>> {
        self.read(0)
    }

    fn read(&mut self, flags: i32) -> Result<Vec<Reply>> {
        let length = loop {
            // SAFETY: the buffer is valid for its length.
            let length = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    flags,
                )
            };
            if length >= 0 {
                break length as usize;
            }
            let error = io::Error::last_os_error();
            if flags & libc::MSG_DONTWAIT != 0 && error.kind() == io::ErrorKind::WouldBlock {
                return Ok(Vec::new());
            }
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(Error::io("receive netlink reply")(error));
            }
        };
        let mut rest = &self.buffer[..length];
        let mut replies = Vec::new();
        while rest.len() >= HEADER {
            let word = |at: usize| {
                u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let size = word(0) as usize;
            if size < HEADER || size > rest.len() {
                break;
            }
            replies.push(Reply {
                kind: u16::from_ne_bytes([rest[4], rest[5]]),
                sequence: word(8),
                port: word(12),
                payload: rest[HEADER..size].to_vec(),
            });
            rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(replies)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

/// Reads the code of an `NLMSG_ERROR`; zero is an acknowledgement.
pub(crate) fn check(what: &str, reply: &Reply) -> Result<()> {
    let code = reply.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 {
        return Ok(());
    }
    Err(Error::Kernel { what: what.to_owned(), source: io::Error::from_raw_os_error(-code) })
}
