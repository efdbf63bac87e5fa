//! [`Handshake`]: what [`serve`](super::serve()) does with a connection before HTTP, for instance
//! TLS.
//!
//! Users pass a function to [`Serve::handshake`](super::Serve::handshake); the default is
//! [`NoHandshake`].

use std::io;

use futures_io::{AsyncRead, AsyncWrite};

/// What is done with a connection before HTTP.
pub trait Handshake<S>: 'static {
    #[doc(hidden)]
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    #[doc(hidden)]
    fn shake(&self, stream: S) -> impl Future<Output = io::Result<Self::Stream>>;
}

/// No handshake: HTTP starts at once.
#[derive(Clone, Copy, Debug)]
pub struct NoHandshake;

impl<S> Handshake<S> for NoHandshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = S;

    async fn shake(&self, stream: S) -> io::Result<S> {
        Ok(stream)
    }
}

/// A function that takes the connection, and returns the stream for HTTP.
pub struct HandshakeBy<F>(pub(super) F);

impl<S, F, Fut, T> Handshake<S> for HandshakeBy<F>
where
    F: Fn(S) -> Fut + 'static,
    Fut: Future<Output = io::Result<T>>,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = T;

    fn shake(&self, stream: S) -> impl Future<Output = io::Result<T>> {
        self.0(stream)
    }
}
