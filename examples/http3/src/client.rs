//! The client: one connection with many concurrent requests.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use futures_util::stream::{FuturesUnordered, StreamExt};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, StreamError};
use h3_quinn::OpenStreams;
use headwaiter::fs;
use headwaiter::io::stdout;
use headwaiter::net::lookup_host;
use headwaiter::task::{self, JoinHandle};
use headwaiter::time::{now, sleep, timeout};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, StatusCode, Uri};
use log::info;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};

use crate::quic::{self, about};

/// The delay before the next address of a server is tried in parallel.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// How long a peer may delay an acknowledgement: RFC 9000, section 18.2.
const MAX_ACK_DELAY: Duration = Duration::from_millis(25);

/// The arguments of the command line.
pub struct Order {
    pub url: Uri,
    pub ca: Option<PathBuf>,
    pub post: Option<PathBuf>,
    /// How many times to make the same request concurrently.
    pub requests: usize,
    pub idle: Duration,
    /// The limit for connecting and for each request.
    pub timeout: Duration,
}

impl Default for Order {
    fn default() -> Self {
        let [idle, timeout] = [10, 60].map(Duration::from_secs);
        Order { url: Uri::default(), ca: None, post: None, requests: 1, idle, timeout }
    }
}

pub async fn run(order: Order) -> io::Result<()> {
    let roots = match &order.ca {
        Some(path) => quic::roots_of_file(path)?,
        None => quic::roots_of_system(),
    };
    let (method, body) = match &order.post {
        Some(path) => (Method::POST, Bytes::from(fs::read(path).await?)),
        None => (Method::GET, Bytes::new()),
    };
    let config = quic::client_config(roots, order.idle)?;
    let client = Client::connect(&order.url, &config, order.timeout).await?;
    info!("connected to {}", client.connection.remote_address());

    let result = ask(&client, &order, &method, &body).await;
    client.close().await;
    result
}

async fn ask(client: &Client, order: &Order, method: &Method, body: &Bytes) -> io::Result<()> {
    let begin = now();
    let requests =
        (0..order.requests).map(|_| client.request(method.clone(), &order.url, body.clone()));
    let mut requests: FuturesUnordered<_> = requests.collect();
    let mut bytes = 0;
    while let Some(answer) = requests.next().await {
        let (status, body) = answer?;
        if order.requests == 1 {
            stdout().write_all(&body).await?;
        }
        if !status.is_success() {
            return Err(about(&order.url.to_string())(status));
        }
        bytes += body.len();
    }
    let (took, sent) = (now() - begin, client.connection.stats().udp_tx);
    info!("{} answers with {bytes} bytes arrived within {took:?}", order.requests);
    info!("for them, {} datagrams were sent by {} system calls", sent.datagrams, sent.ios);
    Ok(())
}

/// A connection to a server.
pub struct Client {
    endpoint: Endpoint,
    pub connection: Connection,
    requests: SendRequest<OpenStreams, Bytes>,
    /// Returns the driver at the end of the connection. It must be kept, because dropping it closes
    /// the connection again, and then the reason for its end is lost.
    _driver: JoinHandle<h3::client::Connection<h3_quinn::Connection, Bytes>>,
    timeout: Duration,
}

impl Client {
    pub async fn connect(url: &Uri, config: &ClientConfig, limit: Duration) -> io::Result<Client> {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_u16().unwrap_or(443);
        let connect = async {
            let (endpoint, connection) = connect(host, port, config).await?;
            let transport = h3_quinn::Connection::new(connection.clone());
            let (mut driver, requests) =
                h3::client::new(transport).await.map_err(io::Error::other)?;
            // The driver processes everything that the server sends besides answers.
            let drive = async move {
                driver.wait_idle().await;
                driver
            };
            let driver = task::Builder::new().name("HTTP/3 client").spawn(drive);
            Ok(Client { endpoint, connection, requests, _driver: driver, timeout: limit })
        };
        match timeout(limit, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(about(&format!("connect to {host}:{port}"))(format!(
                "no answer within {limit:?}"
            ))),
        }
    }

    /// Sends a request. The body is sent while the answer arrives.
    pub async fn request(
        &self,
        method: Method,
        url: &Uri,
        body: Bytes,
    ) -> io::Result<(StatusCode, Vec<u8>)> {
        let what = format!("{method} {url}");
        let request =
            Request::builder().method(method).uri(url).header(CONTENT_LENGTH, body.len()).body(());
        let request = request.map_err(about(&what))?;
        let mut requests = self.requests.clone();
        let exchange = async {
            let (send, mut receive) = requests.send_request(request).await?.split();
            let upload = Upload { stream: send, complete: false }.send(body);
            let answer = async {
                let status = receive.recv_response().await?.status();
                let mut bytes = Vec::new();
                while let Some(mut part) = receive.recv_data().await? {
                    bytes.extend_from_slice(&part.copy_to_bytes(part.remaining()));
                }
                Ok((status, bytes))
            };
            pin_mut!(upload, answer);
            match select(answer, upload).await {
                // The server may answer before it has read the whole body.
                Either::Left((answer, _)) => answer,
                // If the upload has failed, the answer, or its failure, says why.
                Either::Right((_, answer)) => answer.await,
            }
        };
        match timeout(self.timeout, exchange).await {
            Ok(answer) => answer.map_err(|error| about(&what)(self.explain(error))),
            Err(_) => Err(about(&what)(format!("no answer within {:?}", self.timeout))),
        }
    }

    fn explain(&self, error: StreamError) -> String {
        match self.connection.close_reason() {
            Some(ConnectionError::LocallyClosed) | None => error.to_string(),
            Some(reason) => format!("the connection failed: {}", quic::explain(&reason)),
        }
    }

    /// Closes the connection, and waits until the server has acknowledged that or does not answer
    /// any more.
    pub async fn close(self) {
        // quinn-proto 0.11.19 never sends a close for which the congestion window has no room, as
        // after a cancelled upload (https://github.com/quinn-rs/quinn/issues/2785). So this waits
        // until the data in flight has arrived.
        sleep(2 * self.connection.rtt() + MAX_ACK_DELAY).await;
        self.connection.close(quic::NO_ERROR, b"done");
        self.endpoint.wait_idle().await;
    }
}

/// The body of a request.
struct Upload {
    stream: RequestStream<h3_quinn::SendStream<Bytes>, Bytes>,
    complete: bool,
}

impl Upload {
    async fn send(mut self, body: Bytes) -> Result<(), StreamError> {
        if !body.is_empty() {
            self.stream.send_data(body).await?;
        }
        self.stream.finish().await?;
        self.complete = true;
        Ok(())
    }
}

impl Drop for Upload {
    /// A dropped stream of quinn ends as if it were complete.
    fn drop(&mut self) {
        if !self.complete {
            self.stream.stop_stream(Code::H3_REQUEST_CANCELLED);
        }
    }
}

/// Connects to the address of the host that answers first. If there is no server, that becomes
/// known only late, so the next address is tried while earlier ones may still answer.
async fn connect(
    host: &str,
    port: u16,
    config: &ClientConfig,
) -> io::Result<(Endpoint, Connection)> {
    let attempt = async |(number, address)| {
        sleep(NEXT_ADDRESS * number).await;
        let endpoint = quic::client(address)?;
        let what = format!("connect to {address}");
        let connecting =
            endpoint.connect_with(config.clone(), address, host).map_err(about(&what))?;
        let connection = connecting.await.map_err(|error| about(&what)(quic::explain(&error)))?;
        Ok::<_, io::Error>((endpoint, connection))
    };
    let addresses = lookup_host((host, port)).await?;
    let mut attempts: FuturesUnordered<_> = (0..).zip(addresses).map(attempt).collect();
    let mut failures = Vec::new();
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connected) => return Ok(connected),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Err(io::Error::other(failures.join("; ")))
}
