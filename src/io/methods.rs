//! The inherent methods that every byte stream has, written once: [`read_methods!`] and
//! [`write_methods!`]. The arguments are the parts of the documentation that differ.
//!
//! Used by sockets, pipes, standard streams and files. The futures are those of `futures.rs`.

/// `read` and `read_exact`.
macro_rules! read_methods {
    (
        $stream:ty,
        eof: $eof:literal,
        cancelled: $cancelled:literal,
        errors: $errors:literal,
        panics: $panics:literal $(,)?
    ) => {
        /// Reads some bytes into `buf`, at least one, and returns how many.
        ///
        #[doc = concat!("0 means ", $eof, ", or that `buf` is empty.")]
        ///
        #[doc = concat!("Cancel-safe: if the future is dropped before it is ready, ", $cancelled)]
        ///
        /// # Errors
        ///
        #[doc = $errors]
        ///
        /// # Panics
        ///
        #[doc = $panics]
        #[track_caller]
        pub fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> $crate::io::futures::Read<'a, $stream> {
            $crate::io::futures::Read::new(self, buf)
        }

        /// Reads until `buf` is full.
        ///
        /// Not cancel-safe: if the future is dropped before it is ready, the start of `buf` may
        /// hold bytes that were read, and their number is lost.
        ///
        /// # Errors
        ///
        /// `UnexpectedEof` if the end comes first; otherwise as [`read`](Self::read).
        ///
        /// # Panics
        ///
        /// As [`read`](Self::read).
        #[track_caller]
        pub fn read_exact<'a>(
            &'a mut self,
            buf: &'a mut [u8],
        ) -> $crate::io::futures::ReadExact<'a, $stream> {
            $crate::io::futures::ReadExact::new(self, buf)
        }
    };
}
pub(crate) use read_methods;

/// `write` and `write_all`. Attributes in front of the type are added to the documentation of
/// `write`.
macro_rules! write_methods {
    (
        $(#[$more:meta])*
        $stream:ty,
        cancelled: $cancelled:literal,
        errors: $errors:literal,
        panics: $panics:literal $(,)?
    ) => {
        /// Writes some of `buf`, at least one byte unless it is empty, and returns how many.
        $(#[$more])*
        ///
        #[doc = $cancelled]
        ///
        /// # Errors
        ///
        #[doc = $errors]
        ///
        /// # Panics
        ///
        #[doc = $panics]
        #[track_caller]
        pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> $crate::io::futures::Write<'a, $stream> {
            $crate::io::futures::Write::new(self, buf)
        }

        /// Writes all of `buf`.
        ///
        /// Not cancel-safe: if the future is dropped before it is ready, a part of `buf` may have
        /// been written, and its length is lost.
        ///
        /// # Errors
        ///
        /// As [`write`](Self::write); `WriteZero` if the stream accepts no more bytes.
        ///
        /// # Panics
        ///
        /// As [`write`](Self::write).
        #[track_caller]
        pub fn write_all<'a>(
            &'a mut self,
            buf: &'a [u8],
        ) -> $crate::io::futures::WriteAll<'a, $stream> {
            $crate::io::futures::WriteAll::new(self, buf)
        }
    };
}
pub(crate) use write_methods;
