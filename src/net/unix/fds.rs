//! File descriptors that are passed with the bytes of a Unix socket (SCM_RIGHTS, unix(7); Linux):
//! the futures [`SendFds`] and [`RecvFds`].
//!
//! A descriptor that the kernel has made is never leaked: it is returned or closed.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use std::{fmt, mem::MaybeUninit, panic::Location, pin::Pin};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{datagram::UnixDatagram, stream::UnixStream};
use crate::fmt::debug_struct;
use crate::reactor::{Direction, Wait};
use crate::{io::readiness::HasSource, io::syscall::is_short};

/// The most descriptors that the kernel takes in one message: SCM_MAX_FD, unix(7).
const MOST: usize = 253;

/// The size of the control buffer, in bytes: room for all descriptors of a message, so that none is
/// cut off, and for the credentials that come before them if another crate has set SO_PASSCRED.
const ROOM: usize = rustix::cmsg_space!(ScmRights(MOST), ScmCredentials(1));

/// A Unix socket that can pass descriptors, beneath its public type.
pub(crate) trait PassesFds: HasSource<Io: AsFd> {
    /// Whether it is a stream, without boundaries between messages. Descriptors then need at least
    /// one byte to be sent with.
    const IS_STREAM: bool;
}

impl PassesFds for UnixStream {
    const IS_STREAM: bool = true;
}

impl PassesFds for UnixDatagram {
    const IS_STREAM: bool = false;
}

/// File descriptors (Linux).
impl UnixStream {
    /// Writes some of `bytes`, at least one, and passes file descriptors with them (SCM_RIGHTS).
    /// Returns how many bytes were written.
    ///
    /// The receiver gets descriptors of its own for the same open files. They are sent with the
    /// first byte: even if fewer than all bytes were written, all descriptors are sent, and the
    /// other bytes are left to [`write_all`](Self::write_all). At most 253 fit in one message.
    /// Without any, it is a plain [`write`](Self::write).
    ///
    /// ```
    /// use std::io::Read;
    /// use std::os::fd::AsFd;
    ///
    /// use headwaiter::net::UnixStream;
    ///
    /// headwaiter::block_on(async {
    ///     let (waiter, kitchen) = UnixStream::pair()?;
    ///     let menu = std::fs::File::open("Cargo.toml")?;
    ///     waiter.send_fds(b"menu", &[menu.as_fd()]).await?;
    ///
    ///     let (mut word, mut fds) = ([0; 4], Vec::new());
    ///     let n = kitchen.recv_fds(&mut word, &mut fds).await?;
    ///     assert_eq!((&word[..n], fds.len()), (&b"menu"[..], 1));
    ///     let mut text = String::new();
    ///     std::fs::File::from(fds.remove(0)).read_to_string(&mut text)?;
    ///     assert!(text.contains("headwaiter"));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// Cancel-safe: if the future is dropped before it is ready, neither bytes nor descriptors were
    /// sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for descriptors without a byte, and for more than 253. Otherwise those of
    /// sendmsg(2): for instance `BrokenPipe`, or "too many references" (ETOOMANYREFS) if as many
    /// descriptors are in flight as the process may have open.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the stream belongs to.
    #[track_caller]
    pub fn send_fds<'a>(&'a self, bytes: &'a [u8], fds: &'a [BorrowedFd<'a>]) -> SendFds<'a> {
        SendFds::new(self, bytes, fds)
    }

    /// Reads some bytes, at least one, and receives the file descriptors that were passed with
    /// them, which are added to `fds`. Returns how many bytes were read. 0 means EOF, or that `buf`
    /// is empty.
    ///
    /// Descriptors arrive with the first byte that they were sent with. Bytes from before may
    /// arrive in the same call, but none of a later message, so the descriptors of two messages
    /// never arrive in one call. They are closed in child processes (CLOEXEC). An example is at
    /// [`send_fds`](Self::send_fds).
    ///
    /// A peer may pass descriptors without being asked, and many of them: close those that you do
    /// not need.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, neither bytes nor descriptors were
    /// taken.
    ///
    /// # Errors
    ///
    /// If not all descriptors of a message can be received (MSG_CTRUNC), because the process would
    /// have too many open files. The others are closed then, and the bytes are lost: `fds` is
    /// unchanged, and the stream goes on after them. Otherwise those of recvmsg(2), for instance
    /// `ConnectionReset`.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the stream belongs to.
    #[track_caller]
    pub fn recv_fds<'a>(&'a self, buf: &'a mut [u8], fds: &'a mut Vec<OwnedFd>) -> RecvFds<'a> {
        RecvFds::new(self, buf, fds)
    }
}

/// File descriptors (Linux).
impl UnixDatagram {
    /// As [`send`](Self::send), and passes file descriptors with the datagram (SCM_RIGHTS), at most
    /// 253. The datagram may be empty. An example is at [`UnixStream::send_fds`].
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing was sent.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for more than 253 descriptors. Otherwise those of sendmsg(2): see
    /// [`send`](Self::send), or "too many references" (ETOOMANYREFS) if as many descriptors are in
    /// flight as the process may have open.
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the socket belongs to.
    #[track_caller]
    pub fn send_fds<'a>(
        &'a self,
        bytes: &'a [u8],
        fds: &'a [BorrowedFd<'a>],
    ) -> SendFds<'a, UnixDatagram> {
        SendFds::new(self, bytes, fds)
    }

    /// As [`recv`](Self::recv), and receives the file descriptors that were passed with the
    /// datagram, which are added to `fds`. They are closed in child processes (CLOEXEC). (With
    /// other methods, the kernel closes them.)
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no datagram was taken.
    ///
    /// # Errors
    ///
    /// If not all descriptors can be received (MSG_CTRUNC), because the process would have too many
    /// open files. The others are closed then, and the datagram is lost. Otherwise those of
    /// recvmsg(2).
    ///
    /// # Panics
    ///
    /// Polling it outside the loop that the socket belongs to.
    #[track_caller]
    pub fn recv_fds<'a>(
        &'a self,
        buf: &'a mut [u8],
        fds: &'a mut Vec<OwnedFd>,
    ) -> RecvFds<'a, UnixDatagram> {
        RecvFds::new(self, buf, fds)
    }
}

/// The future of [`UnixStream::send_fds`] and [`UnixDatagram::send_fds`].
#[must_use = "futures do nothing unless awaited"]
pub struct SendFds<'a, S = UnixStream> {
    socket: &'a S,
    bytes: &'a [u8],
    fds: &'a [BorrowedFd<'a>],
    wait: Wait,
}

/// The future of [`UnixStream::recv_fds`] and [`UnixDatagram::recv_fds`].
#[must_use = "futures do nothing unless awaited"]
pub struct RecvFds<'a, S = UnixStream> {
    socket: &'a S,
    buf: &'a mut [u8],
    fds: &'a mut Vec<OwnedFd>,
    wait: Wait,
}

impl<'a, S> SendFds<'a, S> {
    #[track_caller]
    fn new(socket: &'a S, bytes: &'a [u8], fds: &'a [BorrowedFd<'a>]) -> Self {
        SendFds { socket, bytes, fds, wait: Wait::at(Location::caller()) }
    }
}

impl<'a, S> RecvFds<'a, S> {
    #[track_caller]
    fn new(socket: &'a S, buf: &'a mut [u8], fds: &'a mut Vec<OwnedFd>) -> Self {
        RecvFds { socket, buf, fds, wait: Wait::at(Location::caller()) }
    }
}

impl<S: PassesFds> Future for SendFds<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (bytes, fds) = (this.bytes, this.fds);
        if fds.len() > MOST {
            let message = format!(
                "a message carries at most {MOST} file descriptors, and these are {}",
                fds.len()
            );
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidInput, message)));
        }
        if S::IS_STREAM && bytes.is_empty() {
            // The kernel would silently send nothing.
            return Poll::Ready(match fds {
                [] => Ok(0),
                _ => Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "on a stream, file descriptors travel with bytes: send at least one byte with them",
                )),
            });
        }
        // A datagram is sent whole, so it is never short.
        let exhausted = |sent: &usize| S::IS_STREAM && is_short(*sent, bytes.len());
        let op = |io: &S::Io| send(io, bytes, fds);
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Write, op, exhausted)
    }
}

impl<S: PassesFds> Future for RecvFds<'_, S> {
    type Output = io::Result<usize>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // As for `read`, a transfer of no bytes does not wait.
        if S::IS_STREAM && this.buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let op = |io: &S::Io| receive(io, this.buf, this.fds);
        // A short read proves nothing: a read also ends where descriptors are.
        this.socket.registered().poll_io(&mut this.wait, cx, Direction::Read, op, |_| false)
    }
}

/// Sends bytes and descriptors in one message.
fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut control = SendAncillaryBuffer::new(&mut room);
    // The kernel refuses an empty list of descriptors.
    if !fds.is_empty() {
        assert!(
            control.push(SendAncillaryMessage::ScmRights(fds)),
            "there is room for as many as are let through"
        );
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// Receives bytes and descriptors. Afterwards, each descriptor that the kernel has made is in
/// `fds`, or closed.
fn receive(socket: impl AsFd, buf: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let message =
        recvmsg(socket, &mut [IoSliceMut::new(buf)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if message.flags.contains(ReturnFlags::CTRUNC) {
        // The descriptors that did arrive are useless without the others, and are closed with
        // `control`.
        return Err(io::Error::other(format!(
            "what came along with {} bytes was cut off (MSG_CTRUNC), and the file descriptors among it are closed: \
             see this process's limit of open files",
            message.bytes
        )));
    }
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    Ok(message.bytes)
}

debug_struct!(impl[S: fmt::Debug] for SendFds<'_, S> as "SendFds",
    |this| socket: this.socket, bytes: this.bytes.len(), fds: this.fds.len(), ..);

debug_struct!(impl[S: fmt::Debug] for RecvFds<'_, S> as "RecvFds",
    |this| socket: this.socket, room: this.buf.len(), ..);
