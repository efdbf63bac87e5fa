//! The client: sends its standard input to the server, and writes what comes back to its standard
//! output.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::ServerName;
use futures_rustls::rustls;
use headwaiter::io::{stdin, stdout};
use headwaiter::net::TcpStream;
use headwaiter::time::{sleep, timeout};
use log::info;

use crate::tls;

/// How long connecting and the handshake may take together, and how long the client waits for more
/// bytes after the end of its input.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn run(address: &str, ca: Option<&Path>) -> io::Result<()> {
    let roots = match ca {
        Some(path) => tls::roots_of_file(path)?,
        None => tls::roots_of_system(),
    };
    let tls = tls::connector(roots, rustls::ALL_VERSIONS)?;
    let stream = connect(address, &tls).await?;
    info!("connected to {address}: {}", tls::negotiated(stream.get_ref().1));
    let (sent, received) = exchange(stream).await.map_err(|error| about(address, error))?;
    info!("sent {sent} bytes to {address}, received {received}");
    Ok(())
}

pub async fn connect(address: &str, tls: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    // The name that the certificate must have, without the brackets of an IPv6 address.
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name =
        ServerName::try_from(host).map_err(|error| about(address, io::Error::other(error)))?;
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        tls.connect(name, stream)
            .await
            .map_err(|error| about(address, tls::explain_handshake(error)))
    };
    match timeout(PATIENCE, connect).await {
        Ok(result) => result,
        Err(_) => {
            Err(about(address, io::Error::other(format!("no TLS connection within {PATIENCE:?}"))))
        }
    }
}

/// Returns how many bytes were sent and received.
async fn exchange(stream: TlsStream<TcpStream>) -> io::Result<(u64, u64)> {
    // Runs both directions concurrently, because a server that cannot send stops reading. Both
    // halves stay in one task, because they share the state of TLS, for which each may have to read
    // and write.
    let (mut from_server, mut to_server) = futures_lite::io::split(stream);
    let (sent, received, complete) = (Cell::new(0), Cell::new(0), Cell::new(false));
    let send = async {
        let (mut input, mut bytes) = (stdin(), [0; 16 * 1024]);
        loop {
            let n = input.read(&mut bytes).await?;
            if n == 0 {
                break;
            }
            to_server.write_all(&bytes[..n]).await.map_err(tls::explain)?;
            to_server.flush().await.map_err(tls::explain)?;
            sent.set(sent.get() + n as u64);
        }
        to_server.close().await.map_err(tls::explain)?; // Sends close_notify, so that the server knows that the data is complete.
        complete.set(true);
        loop {
            let before = received.get();
            sleep(PATIENCE).await;
            if received.get() == before {
                let text = format!("received nothing for {PATIENCE:?}");
                return Err::<Infallible, _>(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    };
    let receive = async {
        let (mut output, mut bytes) = (stdout(), [0; 16 * 1024]);
        loop {
            let n = from_server.read(&mut bytes).await.map_err(tls::explain)?;
            if n == 0 {
                return Ok(());
            }
            output.write_all(&bytes[..n]).await?;
            received.set(received.get() + n as u64);
        }
    };
    // Once the server has closed the connection, nothing more can be sent.
    or(receive, async { send.await.map(|never| match never {}) }).await?;
    match (complete.get(), sent.get(), received.get()) {
        (true, sent, received) if sent == received => Ok((sent, received)),
        (_, sent, received) => {
            let text = format!(
                "the server has closed the connection: {received} of {sent} bytes came back"
            );
            Err(io::Error::new(io::ErrorKind::ConnectionAborted, text))
        }
    }
}

fn about(address: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
