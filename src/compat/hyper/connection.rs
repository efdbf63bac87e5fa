//! The task of one connection: the handshake, HTTP, and the end. Spawned by `server.rs`.
//!
//! hyper does the work; `guard.rs` cuts the connection off if it breaks a limit.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::{convert::Infallible, rc::Rc, sync::Arc, task::Poll};

use log::Level;

use super::guard::{Guard, Verdict};
use super::service::{ConnectionService, HttpService};
use super::watch::{Ended, Watch, Why};
use super::{handshake::Handshake, listener::Listener, server::Server, transport::Transport};
use crate::{sync::OwnedSemaphorePermit, time::timeout_at};

/// Serves one connection, until it ends or is cut off. The permit counts it, if the number of
/// connections is limited.
pub(super) async fn serve_connection<L, S, H>(
    server: Rc<Server<S, H>>,
    stream: L::Stream,
    peer: L::Address,
    label: Rc<str>,
    _permit: Option<OwnedSemaphorePermit>,
) -> Result<(), Infallible>
where
    L: Listener,
    S: HttpService,
    H: Handshake<L::Stream>,
{
    let limits = server.limits;
    let watch = Rc::new(Watch::new(label, limits));
    let mut closes = pin!(server.close.notified());
    let handshake = timeout_at(watch.header_deadline(), server.handshake.shake(stream));
    let stream = match first(handshake, closes.as_mut()).await {
        Some(Ok(Ok(stream))) => stream,
        Some(Ok(Err(error))) => {
            watch.say(Level::Warn, format_args!("the handshake failed: {error}"));
            return Ok(());
        }
        Some(Err(_)) => {
            watch.say(Level::Warn, format_args!("no handshake within {:?}", limits.header));
            return Ok(());
        }
        // The server is ending, and no request has arrived.
        None => return Ok(()),
    };
    let transport = Transport::new(stream, Arc::clone(&watch.traffic));
    let service = ConnectionService::new(Rc::clone(&server.service), peer, Rc::clone(&watch));
    let mut connection = pin!(server.http.serve_connection_with_upgrades(transport, service));
    let mut guard = Guard::new(&watch);
    // The waker of this task stays the same, so it is registered once. `closing` tells why it was
    // woken.
    poll_fn(|cx| Poll::Ready(closes.as_mut().poll(cx).is_ready())).await;
    let mut is_closing = false;
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(if guard.is_closing {
                    Ended::Cut(Why::NoRequest)
                } else {
                    Ended::By(ended)
                });
            }
            // The poll above has read what had arrived, so a request among it is answered.
            if server.closing.get() && !is_closing {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            match guard.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Close) => connection.as_mut().graceful_shutdown(),
                Poll::Ready(Verdict::Cut(why)) => return Poll::Ready(Ended::Cut(why)),
            }
        }
    })
    .await;
    watch.traffic.set_over();
    watch.log_end(ended, is_closing);
    Ok(())
}

/// Returns the output of a future, or `None` if the other is ready first.
async fn first<F: Future>(future: F, mut other: Pin<&mut impl Future>) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => other.as_mut().poll(cx).map(|_| None),
    })
    .await
}
