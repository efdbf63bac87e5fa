//! Copying between two streams in both directions: [`copy_bidirectional`], with chosen sizes of its
//! buffers ([`copy_bidirectional_with_sizes`]), and with a limit on a half that stays open.
//!
//! Each direction is a `Pump` of `io/copy.rs`.

use std::task::{Context, Poll, ready};
use std::{io, panic::Location, pin::Pin, time::Duration};

use futures_io::{AsyncRead, AsyncWrite};

use super::{FIRST, MOST, Pump};
use crate::fmt::debug_struct;
use crate::time::{Sleep, deadline_after};

/// Copies between two streams in both directions at once, until both are at EOF. Returns the number
/// of bytes from `a`, and of those from `b`.
///
/// When one stream is at EOF, the other is closed ([`AsyncWrite::poll_close`]: a TCP stream shuts
/// its write direction down, so that the peer reads EOF), and the other direction goes on. Each
/// direction works as [`copy`](super::copy()).
///
/// A peer that is silent keeps the future pending, also when the other has ended:
/// [`half_closed_timeout`](CopyBidirectional::half_closed_timeout) limits that.
///
/// Not cancel-safe: as [`copy`](super::copy()), for each direction.
///
/// ```
/// use headwaiter::io::copy_bidirectional;
/// use headwaiter::net::{TcpListener, TcpStream};
///
/// headwaiter::block_on(async {
///     let outside = TcpListener::bind("127.0.0.1:0").await?;
///     let inside = TcpListener::bind("127.0.0.1:0").await?;
///     let (front, back) = (outside.local_addr()?, inside.local_addr()?);
///
///     let proxy = headwaiter::spawn(async move {
///         let (mut client, _) = outside.accept().await?;
///         let mut server = TcpStream::connect(back).await?;
///         copy_bidirectional(&mut client, &mut server).await
///     });
///
///     let mut client = TcpStream::connect(front).await?;
///     client.write_all(b"soup?").await?;
///     let (mut server, _) = inside.accept().await?;
///     server.read_exact(&mut [0; 5]).await?;
///     server.write_all(b"yes").await?;
///     drop((client, server));
///     assert_eq!(proxy.await.expect("no panic")?, (5, 3));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// The first error of either direction, which ends both. The message says which stream failed, and
/// how it was used. Otherwise as [`copy`](super::copy()).
/// [`transferred`](CopyBidirectional::transferred) returns the numbers of bytes also after an error.
#[track_caller]
pub fn copy_bidirectional<'a, A, B>(a: &'a mut A, b: &'a mut B) -> CopyBidirectional<'a, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    CopyBidirectional::new(a, b, |from, to| Pump::new(from, to, FIRST, MOST))
}

/// As [`copy_bidirectional`], with buffers of these sizes, in bytes, that do not grow.
///
/// Without sizes, each direction begins with 8 KiB, and has up to 64 KiB while it is busy.
///
/// # Errors
///
/// As [`copy_bidirectional`].
///
/// # Panics
///
/// If one of the sizes is 0.
#[track_caller]
pub fn copy_bidirectional_with_sizes<'a, A, B>(
    a: &'a mut A,
    b: &'a mut B,
    a_to_b_buf_size: usize,
    b_to_a_buf_size: usize,
) -> CopyBidirectional<'a, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    assert!(
        a_to_b_buf_size > 0 && b_to_a_buf_size > 0,
        "headwaiter: `copy_bidirectional_with_sizes` cannot copy through a buffer of 0 bytes: pass two sizes of 1 or more"
    );
    let mut sizes = [a_to_b_buf_size, b_to_a_buf_size].into_iter();
    CopyBidirectional::new(a, b, |from, to| {
        let size = sizes.next().expect("there are two directions");
        Pump::new(from, to, size, size)
    })
}

/// The future of [`copy_bidirectional`] and [`copy_bidirectional_with_sizes`].
#[must_use = "futures do nothing unless awaited"]
pub struct CopyBidirectional<'a, A: ?Sized, B: ?Sized> {
    a: &'a mut A,
    b: &'a mut B,
    from_a: Pump,
    from_b: Pump,
    half_closed: HalfClosed,
}

/// The limit on the direction that goes on alone.
struct HalfClosed {
    /// How long it may move nothing.
    limit: Option<Duration>,
    /// The timer, from the first poll on in which one direction has ended.
    sleep: Option<Sleep>,
    /// How many bytes it had moved when the time last began to run.
    seen: u64,
    place: &'static Location<'static>,
}

impl HalfClosed {
    /// Returns whether the open direction, which has moved so many bytes, was silent for too long.
    fn poll_silent(&mut self, cx: &mut Context<'_>, moved: u64) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let deadline = || deadline_after(limit);
        let sleep = self.sleep.get_or_insert_with(|| {
            self.seen = moved;
            Sleep::new(deadline(), self.place)
        });
        if self.seen != moved {
            self.seen = moved;
            sleep.reset(deadline());
        }
        Pin::new(sleep).poll(cx)
    }
}

impl<'a, A: ?Sized, B: ?Sized> CopyBidirectional<'a, A, B> {
    #[track_caller]
    fn new(
        a: &'a mut A,
        b: &'a mut B,
        mut pump: impl FnMut(&'static str, &'static str) -> Pump,
    ) -> Self {
        let (first, second) = ("the first stream", "the second stream");
        let half_closed =
            HalfClosed { limit: None, sleep: None, seen: 0, place: Location::caller() };
        CopyBidirectional {
            a,
            b,
            from_a: pump(first, second),
            from_b: pump(second, first),
            half_closed,
        }
    }

    /// Limits how long the direction that is still open may move nothing, once the other has ended.
    /// The default is no limit.
    ///
    /// For a proxy: a client that has sent its request and shut its write direction down may wait
    /// long for an answer, and a download may take hours. But a peer that has vanished in this state
    /// would keep both connections for ever. So this is not the time of the whole rest: it begins
    /// when the first direction has ended, and again with all bytes that are written in the other.
    /// (HAProxy calls it `timeout client-fin`.)
    ///
    /// When the time is over, the future fails with `TimedOut`, and neither stream is closed: to
    /// drop them would look like a proper end to the peer that still reads. Abort that connection
    /// (`set_zero_linger` of a TCP stream), unless your protocol tells where a message ends.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use headwaiter::io::copy_bidirectional;
    /// use headwaiter::net::UnixStream;
    ///
    /// headwaiter::block_on(async {
    ///     let (mut guest, mut front) = UnixStream::pair()?;
    ///     let (mut back, _kitchen) = UnixStream::pair()?; // It never answers.
    ///     guest.write_all(b"soup?").await?;
    ///     guest.shutdown(std::net::Shutdown::Write)?;
    ///
    ///     let mut proxy = copy_bidirectional(&mut front, &mut back)
    ///         .half_closed_timeout(Duration::from_millis(5));
    ///     let error = (&mut proxy).await.unwrap_err();
    ///     assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    ///     assert_eq!(proxy.transferred(), (5, 0));
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// With a limit, polling the future outside any event loop panics once one direction has ended.
    pub fn half_closed_timeout(mut self, limit: Duration) -> Self {
        self.half_closed.limit = Some(limit);
        self
    }

    /// How many bytes were written so far: those from `a`, and those from `b`. To ask after an error,
    /// await `&mut` of the future.
    pub fn transferred(&self) -> (u64, u64) {
        (self.from_a.written, self.from_b.written)
    }
}

impl<A, B> Future for CopyBidirectional<'_, A, B>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    type Output = io::Result<(u64, u64)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        // Both are polled each time: neither direction may keep the other from moving.
        let there = this.from_a.poll_and_close(cx, this.a, this.b)?;
        let back = this.from_b.poll_and_close(cx, this.b, this.a)?;
        let open = match (there, back) {
            (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok(this.transferred())),
            (Poll::Pending, Poll::Pending) => return Poll::Pending,
            (Poll::Pending, Poll::Ready(())) => &this.from_a,
            (Poll::Ready(()), Poll::Pending) => &this.from_b,
        };
        ready!(this.half_closed.poll_silent(cx, open.written));
        let message = format!(
            "nothing was moved from {} to {} for {:?} after the other direction had ended",
            open.from,
            open.to,
            this.half_closed.limit.unwrap_or_default(),
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, message)))
    }
}

debug_struct!(impl[A: ?Sized, B: ?Sized] for CopyBidirectional<'_, A, B> as "CopyBidirectional",
    |this| from_a: this.from_a.written, from_b: this.from_b.written, ..);
