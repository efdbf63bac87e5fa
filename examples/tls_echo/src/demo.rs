//! A server and its clients in one loop. A client that misbehaves costs the server one log line and
//! nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_lite::future::try_zip;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsConnector;
use futures_rustls::rustls::version::{TLS12, TLS13};
use futures_rustls::rustls::{self, RootCertStore, SupportedProtocolVersion};
use headwaiter::net::{TcpListener, TcpStream};
use headwaiter::task::CancelToken;
use log::info;

use crate::certificate::Certificate;
use crate::server::Limits;
use crate::{client, server, tls};

pub async fn run() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let certificate = Certificate::for_address(address.ip())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.certificate.clone()).map_err(io::Error::other)?;
    let tls = tls::connector(roots.clone(), rustls::ALL_VERSIONS)?;

    let closing = CancelToken::new();
    let limits = Limits { handshake: Duration::from_secs(1), ..Limits::default() };
    info!("listening on {address}");
    let server = headwaiter::spawn(server::serve(
        listener,
        tls::acceptor(certificate)?,
        limits,
        closing.clone(),
    ));

    let echoes = try_zip(echo(address, roots.clone(), &TLS12), echo(address, roots, &TLS13));
    try_zip(echoes, wrong_clients(address, &tls)).await?;

    let mut quiet = client::connect(&address.to_string(), &tls).await?;
    closing.cancel();
    let n = quiet.read(&mut [0; 16]).await.map_err(tls::explain)?;
    assert_eq!(n, 0, "a server that closes sends nothing");
    info!("a client that was connected when the server closed was notified");
    quiet.close().await?;
    drop(quiet);
    server.await?
}

/// Sends a megabyte and receives it again.
async fn echo(
    address: SocketAddr,
    roots: RootCertStore,
    version: &'static SupportedProtocolVersion,
) -> io::Result<()> {
    let tls = tls::connector(roots, &[version])?;
    let stream = client::connect(&address.to_string(), &tls).await?;
    let (mut from_server, mut to_server) = futures_lite::io::split(stream);
    let order = "one soup, please\n".repeat(61_681); // 2^20 bytes and one more.
    let mut served = Vec::new();
    let send = async {
        to_server.write_all(order.as_bytes()).await?;
        to_server.close().await
    };
    try_zip(send, from_server.read_to_end(&mut served)).await.map_err(tls::explain)?;
    if served != order.as_bytes() {
        return Err(io::Error::other(format!(
            "{:?}: the bytes that came back differ from those sent",
            version.version
        )));
    }
    info!("{:?}: {} bytes came back unchanged", version.version, served.len());
    Ok(())
}

async fn wrong_clients(address: SocketAddr, tls: &TlsConnector) -> io::Result<()> {
    let mut plain = TcpStream::connect(address).await?;
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
    AsyncReadExt::read_to_end(&mut plain, &mut Vec::new()).await?;
    info!("a client that did not speak TLS was disconnected");

    let other = Certificate::for_address(address.ip())?;
    let mut roots = RootCertStore::empty();
    roots.add(other.certificate).map_err(io::Error::other)?;
    let distrusting = tls::connector(roots, rustls::ALL_VERSIONS)?;
    if let Err(error) = client::connect(&address.to_string(), &distrusting).await {
        info!("a client that trusted another certificate did not connect: {error}");
    }

    // Closes the TCP connection without close_notify.
    drop(client::connect(&address.to_string(), tls).await?);
    info!("a client closed its connection without close_notify");

    let mut silent = TcpStream::connect(address).await?;
    AsyncReadExt::read_to_end(&mut silent, &mut Vec::new()).await?;
    info!("a silent client was disconnected");
    Ok(())
}
