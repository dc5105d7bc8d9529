//! Audit records from the kernel, by the multicast group of netlink(7): no log daemon is needed, and
//! one that runs is not disturbed.
//!
//! Only the initial network namespace has the group (kernel/audit.c), and joining takes
//! CAP_AUDIT_READ. A message is a `struct nlmsghdr` of 16 bytes (linux/netlink.h), whose type is the
//! record's (linux/audit.h), and the record's text, `audit(SECONDS.MILLIS:SERIAL): …`. Its
//! `nlmsg_len` is not to be relied on: the kernel leaves the header out of it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SocketFlags, SocketType, netlink, sockopt};
use tokio::io::unix::AsyncFd;

/// AUDIT_NLGRP_READLOG (linux/audit.h), as a bit.
const READLOG: u32 = 1;
/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;
/// MAX_AUDIT_MESSAGE_LENGTH is 8970 (linux/audit.h).
const MESSAGE_MAX: usize = 16 * 1024;
/// What the kernel may keep for us: a burst of some ten thousand records. It is allocated only as
/// far as it is used.
const QUEUE: usize = 32 << 20;
/// Records that are taken in a row before others get their turn.
const BATCH: usize = 512;

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket can not be had.
    #[error("cannot open an audit socket: is the kernel built with CONFIG_AUDIT?")]
    Open(#[source] io::Error),
    /// The group can not be joined.
    #[error(
        "cannot join the audit multicast group: it takes CAP_AUDIT_READ, and the network namespace \
         of the host (hostNetwork: true)"
    )]
    Join(#[source] io::Error),
    /// Reading failed.
    #[error("cannot read audit records")]
    Read(#[source] io::Error),
}

/// A member of the multicast group.
#[derive(Debug)]
pub struct Socket {
    socket: AsyncFd<OwnedFd>,
    buffer: Vec<u8>,
}

/// What one call of [`Socket::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// Records handed on.
    pub records: usize,
    /// How often the kernel had to drop records, because nobody took them in time. How many is in
    /// the gaps of the serial numbers.
    pub overruns: usize,
}

impl Socket {
    /// Joins. Must be called within a tokio runtime which drives I/O.
    pub fn open() -> Result<Self, Error> {
        Self::with_queue(QUEUE)
    }

    /// Joins, with a queue in the kernel of about so many bytes.
    pub fn with_queue(bytes: usize) -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            flags,
            Some(netlink::AUDIT),
        )
        .map_err(|errno| Error::Open(errno.into()))?;
        // Beyond the usual limit takes CAP_NET_ADMIN: without it, as much as everybody may have.
        if sockopt::set_socket_recv_buffer_size_force(&socket, bytes).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)
                .map_err(|errno| Error::Open(errno.into()))?;
        }
        net::bind(&socket, &netlink::SocketAddrNetlink::new(0, READLOG))
            .map_err(|errno| Error::Join(errno.into()))?;
        #[expect(
            deprecated,
            reason = "`new` is unsound for a type whose descriptor changes or closes early, and its \
                      replacement is unsafe; an OwnedFd keeps its descriptor until it is dropped"
        )]
        let socket = AsyncFd::new(socket).map_err(Error::Open)?;
        Ok(Self {
            socket,
            buffer: vec![0; MESSAGE_MAX],
        })
    }

    /// Waits for records and hands on what is there: the type, and the text without the zero bytes
    /// at its end.
    ///
    /// Cancel-safe: a future which is dropped before it is ready has consumed nothing.
    pub async fn read(&mut self, mut record: impl FnMut(u16, &[u8])) -> Result<Read, Error> {
        let mut read = Read::default();
        loop {
            let mut ready = self.socket.readable().await.map_err(Error::Read)?;
            while read.records < BATCH {
                let received = ready.try_io(|socket| {
                    let received = net::recv(socket, &mut self.buffer[..], RecvFlags::empty());
                    Ok(received.map(|(length, _)| length)?)
                });
                match received {
                    Err(_would_block) => break,
                    Ok(Ok(length)) => {
                        if let Some((kind, text)) = message(&self.buffer[..length]) {
                            read.records += 1;
                            record(kind, text);
                        }
                    }
                    Ok(Err(error))
                        if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) =>
                    {
                        read.overruns += 1;
                    }
                    Ok(Err(error)) => return Err(Error::Read(error)),
                }
            }
            if read != Read::default() {
                return Ok(read);
            }
        }
    }
}

/// The type and the text of a message; `None` if it is too short to be one.
fn message(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (header, text) = bytes.split_at_checked(HEADER)?;
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let end = text
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    Some((kind, &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_type_and_a_text() {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&1326_u16.to_ne_bytes());
        bytes.extend_from_slice(b"audit(1.2:3): a=b\0\0");
        assert_eq!(message(&bytes), Some((1326, &b"audit(1.2:3): a=b"[..])));
        assert_eq!(message(&bytes[..HEADER]), Some((1326, &b""[..])));
        assert_eq!(message(&bytes[..HEADER - 1]), None);
    }
}
