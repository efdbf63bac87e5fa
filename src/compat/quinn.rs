//! quinn 0.11 on this loop: [`Runtime`] provides tasks, timers and UDP sockets. Called by quinn
//! only.

use std::io::{self, ErrorKind, IoSliceMut};
use std::task::{Context, Poll, ready};
use std::{net::SocketAddr, panic::Location, pin::Pin, sync::Arc, time::Instant};

use mio::Interest;
use quinn::{AsyncTimer, AsyncUdpSocket, UdpPoller};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

use crate::fmt::debug_struct;
use crate::reactor::{Direction, Wait};
use crate::time::{Sleep, sleep_until};
use crate::{door::Door, io::readiness::HasSource, net::UdpSocket, task};

/// quinn's runtime on the loop that runs here: pass it to [`Endpoint::new`](quinn::Endpoint::new).
/// (`Endpoint::server` and `Endpoint::client` know only the runtimes that quinn includes.)
///
/// Its sockets send and receive many datagrams with one system call, where the kernel can (GSO, GRO
/// and recvmmsg, by quinn-udp), set and read ECN, and forbid fragmentation. Its timers are those of
/// the loop, a virtual clock included.
///
/// This crate enables none of quinn's features. A program needs `quinn` in its own `Cargo.toml`,
/// with one of the cryptography providers:
///
/// ```toml
/// headwaiter = { version = "0.1", features = ["quinn"] }
/// quinn = { version = "0.11", default-features = false, features = ["rustls-ring"] }
/// ```
///
/// ```
/// use headwaiter::compat::quinn::Runtime;
/// use quinn::{Endpoint, EndpointConfig, ServerConfig};
/// use std::io;
/// use std::net::UdpSocket;
/// use std::sync::Arc;
///
/// /// Call it inside a loop. With quinn's feature `rustls-ring`, `config` can be
/// /// `EndpointConfig::default()`.
/// fn serve_at(
///     address: &str,
///     config: EndpointConfig,
///     server: ServerConfig,
/// ) -> io::Result<Endpoint> {
///     Endpoint::new(config, Some(server), UdpSocket::bind(address)?, Arc::new(Runtime))
/// }
/// ```
///
/// # Tasks
///
/// quinn spawns a task for each endpoint and one for each connection, with the name "quinn". They
/// end by themselves: that of a connection some time after its close, that of an endpoint when its
/// last handle and its last connection are gone. To notify the peers of the close before the loop
/// ends, await [`Endpoint::wait_idle`](quinn::Endpoint::wait_idle).
///
/// # Threads
///
/// Endpoints, connections and streams can be sent to other threads, because quinn requires that.
/// Reading, writing, closing and dropping work there. Connecting and accepting spawn a task, so
/// they need the thread of the loop: elsewhere they panic, and the endpoint is unusable after that.
///
/// # Errors
///
/// [`Endpoint::new`](quinn::Endpoint::new) fails if the kernel cannot watch the socket, or refuses
/// an option that QUIC needs. Later errors of the socket end the endpoint, except those about an
/// earlier datagram: a peer that is gone is noticed by a timeout of the connection, and an ICMP
/// message that says so can be forged.
///
/// # Panics
///
/// If quinn needs the loop (see Threads), outside any event loop, or on the thread of another loop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runtime;

impl quinn::Runtime for Runtime {
    fn new_timer(&self, deadline: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(sleep_until(deadline)))
    }

    #[track_caller]
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(task::Builder::new().name("quinn").spawn(future));
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Arc::new(Socket { io: UdpSocket::from_std(socket)?, state }))
    }

    /// A connection that is dropped asks for the time too, on any thread, also after the loop has
    /// ended.
    fn now(&self) -> Instant {
        Door::open().map_or_else(Instant::now, |door| door.clock.now())
    }
}

/// A timer of the loop as one of quinn.
#[derive(Debug)]
struct Timer(Sleep);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.0.reset(deadline);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A UDP socket of the loop as one of quinn.
#[derive(Debug)]
struct Socket {
    io: UdpSocket,
    /// The abilities of the kernel, as quinn-udp has found them out.
    state: UdpSocketState,
}

/// How many errors in a row are skipped. An error about an earlier datagram is reported once; one
/// about the socket itself is reported by each call.
const MOST_ERRORS: usize = 32;

impl AsyncUdpSocket for Socket {
    /// All connections of an endpoint share the socket, and each waits for room by itself.
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self, wait: Wait::at(Location::caller()) })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        // Not `UdpSocketState::try_send`, whose errors would end the connection. This logs and
        // drops what cannot be sent, as a network does; an MTU probe that is too large is such a
        // datagram.
        let send = || self.state.send((&self.io).into(), transmit);
        if !self.io.registered().is_at_home() {
            // A connection that is refused or dropped on another thread sends too, while it holds a
            // lock of the endpoint, which a panic would poison. Readiness can be cleared only in
            // the loop, so a datagram without room is lost, as on a network.
            return send();
        }
        self.io.try_io(Interest::WRITABLE, send)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut errors = 0;
        loop {
            // This keeps one waker, which is enough: only the task of the endpoint receives.
            ready!(self.io.poll_readable(cx))?;
            match self
                .io
                .try_io(Interest::READABLE, || self.state.recv((&self.io).into(), bufs, meta))
            {
                Ok(n) => return Poll::Ready(Ok(n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if errors == MOST_ERRORS => return Poll::Ready(Err(error)),
                Err(_) => errors += 1,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Waits for room in the socket, for one connection. It has a place of its own among the waiters,
/// whereas `UdpSocket::poll_writable` keeps one waker for all.
struct Poller {
    socket: Arc<Socket>,
    wait: Wait,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.socket.io.registered().poll_ready(&mut this.wait, cx, Direction::Write)
    }
}

debug_struct!(impl[] for Poller as "Poller", |this| socket: this.socket, ..);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{now, timeout};
    use crate::{Clock, EventLoop, block_on, spawn, stats};
    use std::future::poll_fn;
    use std::time::Duration;

    type Wrapped = Arc<dyn AsyncUdpSocket>;

    fn wrap(socket: std::net::UdpSocket) -> Wrapped {
        quinn::Runtime::wrap_udp_socket(&Runtime, socket).unwrap()
    }

    fn bind() -> Wrapped {
        wrap(std::net::UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    fn send(
        from: &Wrapped,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> io::Result<()> {
        from.try_send(&Transmit { destination, ecn: None, contents, segment_size, src_ip: None })
    }

    /// All datagrams that one call gives, and their sender.
    async fn recv(socket: &Wrapped) -> io::Result<(Vec<Vec<u8>>, SocketAddr)> {
        let mut buf = vec![0; 64 * 1024];
        let mut meta = [RecvMeta::default()];
        let recv = poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buf)], &mut meta));
        let n = timeout(Duration::from_secs(10), recv).await??;
        assert_eq!(n, 1);
        let [RecvMeta { addr, len, stride, .. }] = meta;
        Ok((buf[..len].chunks(stride).map(<[u8]>::to_vec).collect(), addr))
    }

    #[test]
    fn a_receiver_that_waits_is_woken_by_a_datagram_and_does_not_spin() {
        block_on(async {
            let (one, other) = (bind(), bind());
            let (from, to) = (one.local_addr()?, other.local_addr()?);
            let receiver = spawn(async move { recv(&other).await });
            crate::time::sleep(Duration::from_millis(20)).await;
            assert!(stats().turns < 20, "{}", stats());
            send(&one, to, b"soup", None)?;
            assert_eq!(receiver.await??, (vec![b"soup".to_vec()], from));
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    #[test]
    fn many_datagrams_are_sent_by_one_call_where_the_kernel_can() {
        block_on(async {
            let (one, other) = (bind(), bind());
            let most = one.max_transmit_segments();
            if cfg!(target_os = "linux") {
                assert!(most > 1, "Linux has had UDP_SEGMENT since 4.18");
            }
            let segments: Vec<_> = (0..most.min(10)).map(|n| vec![n as u8; 1200]).collect();
            send(&one, other.local_addr()?, &segments.concat(), Some(1200))?;
            let mut received = Vec::new();
            while received.len() < segments.len() {
                received.extend(recv(&other).await?.0);
            }
            assert_eq!(received, segments);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    #[test]
    fn each_poller_of_a_socket_that_is_full_wakes_its_own_task() {
        block_on(async {
            let io = UdpSocket::bind("127.0.0.1:0").await?;
            let state = UdpSocketState::new((&io).into())?;
            let socket = Arc::new(Socket { io, state });
            // As if the kernel had reported it. It reports the room again as soon as something
            // waits for it.
            let full = || Err::<(), _>(ErrorKind::WouldBlock.into());
            assert!(socket.io.try_io(Interest::WRITABLE, full).is_err());

            let tasks: Vec<_> = (0..3)
                .map(|_| {
                    let mut poller = Arc::clone(&socket).create_io_poller();
                    spawn(async move {
                        let mut polls = 0;
                        let writable = poll_fn(|cx| {
                            polls += 1;
                            poller.as_mut().poll_writable(cx)
                        });
                        writable.await.map(|()| polls)
                    })
                })
                .collect();
            for task in tasks {
                // Around the handle: a timer in the task would wake it, and it would find the room.
                assert_eq!(timeout(Duration::from_secs(10), task).await???, 2);
            }
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    #[test]
    fn errors_about_earlier_datagrams_and_datagrams_that_cannot_be_sent_do_not_end_the_endpoint() {
        block_on(async {
            let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
            let to = peer.local_addr()?;
            drop(peer);
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(to)?; // Only then Linux tells that the datagram was refused.
            let socket = wrap(socket);
            send(&socket, to, b"is there soup?", None)?;
            // A probe for the MTU is larger than what the interface takes.
            send(&socket, to, &[0; 66_000], None)?;

            let receiver = {
                let socket = Arc::clone(&socket);
                spawn(async move { recv(&socket).await })
            };
            task::yield_now().await;
            assert!(!receiver.is_finished());
            let peer = std::net::UdpSocket::bind(to)?;
            peer.send_to(b"soup", socket.local_addr()?)?;
            assert_eq!(receiver.await??, (vec![b"soup".to_vec()], to));
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    #[test]
    fn timers_and_the_time_are_those_of_a_virtual_clock() {
        let mut virtual_loop = EventLoop::builder().clock(Clock::Virtual).build().unwrap();
        virtual_loop.block_on(async {
            let hour = Duration::from_secs(3600);
            let begin = quinn::Runtime::now(&Runtime);
            assert_eq!(begin, now());
            let mut timer = quinn::Runtime::new_timer(&Runtime, begin + hour);
            poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(quinn::Runtime::now(&Runtime), begin + hour);
            timer.as_mut().reset(begin + 3 * hour);
            poll_fn(|cx| timer.as_mut().poll(cx)).await;
            assert_eq!(now(), begin + 3 * hour);
        });
    }

    #[test]
    fn a_connection_may_ask_for_the_time_outside_any_loop() {
        let before = Instant::now();
        assert!(quinn::Runtime::now(&Runtime) >= before);
    }
}
