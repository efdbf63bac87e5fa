//! What the tests of `compat::hyper` share: loops with a virtual clock, servers, and clients that write and read bytes. All of a test is in
//! one loop, so it takes the same course every time.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::sync::Once;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use headwaiter::compat::hyper::{Body, Io, Serve};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::{CancelToken, JoinHandle};
use headwaiter::time::{now, sleep, timeout};
use headwaiter::{Clock, EventLoop};

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// On a busy machine even the loopback device takes its time. So the clock jumps rarely: a test should sleep some dozens of times, not
/// thousands.
const IO_GRACE: Duration = Duration::from_millis(50);

/// Runs a test on a virtual clock. One that hangs fails: the clock jumps to the end of a day.
pub fn run(test: impl Future<Output = Result<(), Error>>) {
    static LOGGER: Once = Once::new();
    LOGGER.call_once(|| {
        log::set_logger(&Lines).unwrap();
        log::set_max_level(log::LevelFilter::Debug);
    });
    let builder = EventLoop::builder().clock(Clock::Virtual).io_grace(IO_GRACE);
    let mut event_loop = builder.build().unwrap();
    let ended = event_loop.block_on(async { timeout(seconds(24 * 3600), test).await });
    match ended {
        Ok(result) => result.unwrap(),
        Err(_) => panic!("it hangs"),
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what is logged on each thread, which is that of one test.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("headwaiter")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {} {}", record.level(), record.target(), record.args());
            LINES.with_borrow_mut(|lines| lines.push(line));
        }
    }

    fn flush(&self) {}
}

/// Asserts that a line with all these parts was logged in this test.
#[track_caller]
pub fn assert_logged(parts: &[&str]) {
    LINES.with_borrow(|lines| {
        let is_there = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(is_there, "{parts:?} is not in {lines:#?}");
    });
}

#[track_caller]
pub fn assert_not_logged(part: &str) {
    LINES.with_borrow(|lines| {
        assert!(!lines.iter().any(|line| line.contains(part)), "{part:?} is in {lines:#?}");
    });
}

/// Asserts that so much time has passed, to a second.
#[track_caller]
pub fn assert_passed(since: Instant, expected: Duration) {
    let passed = now() - since;
    assert!(
        passed >= expected && passed < expected + seconds(1),
        "{passed:?} instead of {expected:?}"
    );
}

/// How many tasks and sources the loop has.
pub fn counts() -> String {
    let dump = headwaiter::dump().to_string();
    dump.split(", ").take(2).collect::<Vec<_>>().join(", ")
}

pub async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// A server that runs.
pub struct Server {
    pub closing: CancelToken,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    /// With so much grace.
    pub fn start<L, S, H>(server: Serve<L, S, H>, grace: Duration) -> Server
    where
        L: headwaiter::compat::hyper::Listener,
        Serve<L, S, H>: IntoFuture<Output = io::Result<()>, IntoFuture: 'static>,
    {
        let closing = CancelToken::new();
        let task = headwaiter::spawn(server.graceful(closing.clone(), grace).into_future());
        Server { closing, task }
    }

    /// Ends it.
    pub async fn close(self) -> io::Result<()> {
        self.closing.cancel();
        self.task.await?
    }
}

/// Accepts the upgrade that `request` asks for, and sends each four bytes of that connection back.
pub fn echo_upgraded(request: &mut hyper::Request<Body>) {
    let upgrade = hyper::upgrade::on(request);
    let echo = async move {
        let mut stream = Io::new(upgrade.await?);
        let mut word = [0; 4];
        while stream.read_exact(&mut word).await.is_ok() {
            stream.write_all(&word).await?;
        }
        Ok::<(), Error>(())
    };
    headwaiter::spawn(echo).log_error();
}

/// The answer of HTTP/1.1 to a request for an upgrade to this protocol.
pub fn switching_protocols(protocol: &str) -> hyper::http::Result<hyper::Response<String>> {
    hyper::Response::builder()
        .status(hyper::StatusCode::SWITCHING_PROTOCOLS)
        .header("connection", "upgrade")
        .header("upgrade", protocol)
        .body(String::new())
}

/// A client of HTTP/1.1 that does as it is told.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, received: Vec::new() })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends a request without a body, and reads the answer.
    pub async fn get(&mut self, path: impl Display) -> io::Result<Answer> {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await?;
        self.answer().await
    }

    /// Reads an answer whose length is declared.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|end| end == b"\r\n\r\n") {
                break at + 4;
            }
            self.receive().await?;
        };
        let head = String::from_utf8_lossy(&self.received[..end]).to_lowercase();
        let number =
            |text: Option<&str>| text.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let length = number(head.split("content-length: ").nth(1)).unwrap_or(0);
        let status = number(head.strip_prefix("http/1.1 ")).unwrap_or(0) as u16;
        while self.received.len() < end + length {
            self.receive().await?;
        }
        let body = String::from_utf8_lossy(&self.received[end..end + length]).into_owned();
        self.received.drain(..end + length);
        Ok(Answer { status, head, body })
    }

    /// Reads so many bytes.
    pub async fn take(&mut self, bytes: usize) -> io::Result<String> {
        while self.received.len() < bytes {
            self.receive().await?;
        }
        Ok(String::from_utf8_lossy(&self.received.drain(..bytes).collect::<Vec<_>>()).into_owned())
    }

    async fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes).await? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it was closed after {:?}", String::from_utf8_lossy(&self.received)),
            )),
            n => {
                self.received.extend_from_slice(&bytes[..n]);
                Ok(())
            }
        }
    }

    /// Closes the connection, and gives the server time to take note of it.
    pub async fn close(self) -> io::Result<()> {
        drop(self);
        sleep(Duration::from_millis(1)).await;
        Ok(())
    }

    /// Asserts that the server closes the connection, sends nothing before that, and does not reset it.
    pub async fn must_end(&mut self) {
        let error = self.receive().await.unwrap_err();
        assert_eq!(
            (error.kind(), &*self.received),
            (io::ErrorKind::UnexpectedEof, &b""[..]),
            "{error}"
        );
    }

    /// Waits until the server has closed the connection, and returns what came before that.
    pub async fn rest(&mut self) -> String {
        while self.receive().await.is_ok() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }
}
