//! The methods that the owned and the borrowed halves share: [`read_half_methods!`],
//! [`write_half_methods!`] and [`peek_methods!`]. Each passes its call on to the stream.
//!
//! The argument says how a half reaches its stream, of the type `S`.

/// The methods of a reading half.
macro_rules! read_half_methods {
    (|$half:ident| $stream:expr) => {
        /// As [`TcpStream::read`](crate::net::TcpStream::read).
        #[track_caller]
        pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> $crate::io::futures::Read<'a, S> {
            let $half = &*self;
            $crate::io::futures::Read::new($stream, buf)
        }

        /// As [`TcpStream::read_exact`](crate::net::TcpStream::read_exact).
        #[track_caller]
        pub fn read_exact<'a>(
            &'a mut self,
            buf: &'a mut [u8],
        ) -> $crate::io::futures::ReadExact<'a, S> {
            let $half = &*self;
            $crate::io::futures::ReadExact::new($stream, buf)
        }

        /// As [`TcpStream::readable`](crate::net::TcpStream::readable).
        #[track_caller]
        pub fn readable(&self) -> $crate::io::readiness::Readiness<'_, S> {
            let $half = self;
            $crate::io::readiness::Readiness::new($stream, $crate::reactor::Direction::Read)
        }

        /// As [`TcpStream::try_read`](crate::net::TcpStream::try_read).
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is nothing to read (and `buf` is not empty); otherwise as
        /// [`read`](Self::read).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_read(&self, buf: &mut [u8]) -> ::std::io::Result<usize> {
            let $half = self;
            $crate::net::stream::try_read(
                $crate::io::readiness::HasSource::registered($stream),
                buf,
            )
        }

        /// As [`TcpStream::try_read_vectored`](crate::net::TcpStream::try_read_vectored).
        ///
        /// # Errors
        ///
        /// As [`try_read`](Self::try_read).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_read_vectored(
            &self,
            bufs: &mut [::std::io::IoSliceMut<'_>],
        ) -> ::std::io::Result<usize> {
            let $half = self;
            $crate::net::stream::try_read_vectored(
                $crate::io::readiness::HasSource::registered($stream),
                bufs,
            )
        }

        #[cfg(feature = "bytes")]
        $crate::io::buffers::read_buf_methods!(S, |$half| $stream);
        #[cfg(feature = "bytes")]
        $crate::io::buffers::try_read_buf_methods!();

        $crate::net::split::methods::any_half_methods!(|$half| $stream);
    };
}
pub(super) use read_half_methods;

/// The methods of a writing half.
macro_rules! write_half_methods {
    (|$half:ident| $stream:expr) => {
        /// As [`TcpStream::write`](crate::net::TcpStream::write).
        #[track_caller]
        pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> $crate::io::futures::Write<'a, S> {
            let $half = &*self;
            $crate::io::futures::Write::new($stream, buf)
        }

        /// As [`TcpStream::write_all`](crate::net::TcpStream::write_all).
        #[track_caller]
        pub fn write_all<'a>(&'a mut self, buf: &'a [u8]) -> $crate::io::futures::WriteAll<'a, S> {
            let $half = &*self;
            $crate::io::futures::WriteAll::new($stream, buf)
        }

        /// As [`TcpStream::writable`](crate::net::TcpStream::writable).
        #[track_caller]
        pub fn writable(&self) -> $crate::io::readiness::Readiness<'_, S> {
            let $half = self;
            $crate::io::readiness::Readiness::new($stream, $crate::reactor::Direction::Write)
        }

        /// As [`TcpStream::try_write`](crate::net::TcpStream::try_write).
        ///
        /// # Errors
        ///
        /// `WouldBlock` if there is no room; otherwise as [`write`](Self::write).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_write(&self, buf: &[u8]) -> ::std::io::Result<usize> {
            let $half = self;
            $crate::net::stream::try_write(
                $crate::io::readiness::HasSource::registered($stream),
                buf,
            )
        }

        /// As [`TcpStream::try_write_vectored`](crate::net::TcpStream::try_write_vectored).
        ///
        /// # Errors
        ///
        /// As [`try_write`](Self::try_write).
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn try_write_vectored(
            &self,
            bufs: &[::std::io::IoSlice<'_>],
        ) -> ::std::io::Result<usize> {
            let $half = self;
            $crate::net::stream::try_write_vectored(
                $crate::io::readiness::HasSource::registered($stream),
                bufs,
            )
        }

        /// As [`TcpStream::shutdown`](crate::net::TcpStream::shutdown) of the write direction.
        ///
        /// # Errors
        ///
        /// As [`TcpStream::shutdown`](crate::net::TcpStream::shutdown).
        pub fn shutdown(&self) -> ::std::io::Result<()> {
            let $half = self;
            $crate::net::split::Split::shut($stream, ::std::net::Shutdown::Write)
        }

        #[cfg(feature = "bytes")]
        $crate::io::buffers::write_buf_methods!(S, |$half| $stream);

        $crate::net::split::methods::any_half_methods!(|$half| $stream);
    };
}
pub(super) use write_half_methods;

/// The methods of each half.
macro_rules! any_half_methods {
    (|$half:ident| $stream:expr) => {
        /// As [`TcpStream::ready`](crate::net::TcpStream::ready).
        #[track_caller]
        pub fn ready(&self, interest: $crate::Interest) -> $crate::io::readiness::ReadyFor<'_, S> {
            let $half = self;
            $crate::io::readiness::ReadyFor::new($stream, interest)
        }

        /// The address of the peer.
        ///
        /// # Errors
        ///
        /// As [`TcpStream::peer_addr`](crate::net::TcpStream::peer_addr).
        pub fn peer_addr(&self) -> ::std::io::Result<S::Address> {
            let $half = self;
            $crate::net::split::Split::peer($stream)
        }

        /// The address of this end.
        ///
        /// # Errors
        ///
        /// As [`TcpStream::local_addr`](crate::net::TcpStream::local_addr).
        pub fn local_addr(&self) -> ::std::io::Result<S::Address> {
            let $half = self;
            $crate::net::split::Split::local($stream)
        }
    };
}
pub(super) use any_half_methods;

/// The methods of the reading half of a TCP stream.
macro_rules! peek_methods {
    () => {
        /// As [`TcpStream::peek`].
        #[track_caller]
        pub fn peek<'a>(&'a mut self, buf: &'a mut [u8]) -> $crate::net::tcp::Peek<'a> {
            self.stream.peek(buf)
        }

        /// As [`TcpStream::poll_peek`].
        ///
        /// # Errors
        ///
        /// As [`TcpStream::peek`].
        ///
        /// # Panics
        ///
        /// Outside the loop that the stream belongs to.
        #[track_caller]
        pub fn poll_peek(
            &mut self,
            cx: &mut ::std::task::Context<'_>,
            buf: &mut [u8],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            self.stream.poll_peek(cx, buf)
        }
    };
}
pub(super) use peek_methods;
