//! A server and its client in one loop.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};
use headwaiter::task::CancelToken;
use http::{Method, StatusCode, Uri};
use log::info;
use rustls::RootCertStore;

use crate::certificate::Certificate;
use crate::client::Client;
use crate::quic::{self, about};
use crate::server::{self, Limits};

pub async fn run() -> io::Result<()> {
    let certificate = Certificate::for_address(Ipv4Addr::LOCALHOST.into())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.certificate.clone()).map_err(io::Error::other)?;
    let limits = Limits::default();
    let endpoint = quic::server((Ipv4Addr::LOCALHOST, 0).into(), certificate, &limits)?;
    let address = endpoint.local_addr()?;
    info!("listening on {address}");
    let closing = CancelToken::new();
    let server = headwaiter::spawn(server::serve(endpoint, limits, closing.clone()));

    let url = |path: &str| format!("https://{address}{path}").parse::<Uri>().map_err(about(path));
    let config = quic::client_config(roots, Duration::from_secs(10))?;
    let client = Client::connect(&url("/")?, &config, Duration::from_secs(10)).await?;
    let (status, page) = client.request(Method::GET, &url("/")?, Bytes::new()).await?;
    info!("GET /: {status}, {} bytes", page.len());

    let megabyte: Bytes = (0..1 << 18).flat_map(u32::to_le_bytes).collect();
    let (status, echo) = client.request(Method::POST, &url("/echo")?, megabyte.clone()).await?;
    if echo != megabyte {
        return Err(io::Error::other("other bytes came back than were sent"));
    }
    info!("POST /echo: {status}, {} bytes came back unchanged", echo.len());

    // A slow answer does not delay the others, although all use one connection.
    let (slow, page) = (url("/slow?seconds=0.5")?, url("/")?);
    let slow = async {
        let (status, _) = client.request(Method::GET, &slow, Bytes::new()).await?;
        info!("GET /slow: {status}");
        Ok(())
    };
    let many = async {
        let requests = (0..100).map(|_| client.request(Method::GET, &page, Bytes::new()));
        let answers = try_join_all(requests).await?;
        let good = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
        info!("GET /: {good} of 100 concurrent requests were answered");
        Ok::<_, io::Error>(())
    };
    try_join(slow, many).await?;

    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    for length in 1..100 {
        stranger.send_to(&[0xc5; 1200][..12 * length], address)?;
    }
    let (status, _) = client.request(Method::GET, &url("/cake")?, Bytes::new()).await?;
    info!("GET /cake, after 99 datagrams that are not QUIC: {status}");

    // A closing server answers the requests that it has accepted, and no further ones.
    closing.cancel();
    if let Err(error) = client.request(Method::GET, &page, Bytes::new()).await {
        info!("after the server began to close: {error}");
    }
    client.close().await;
    server.await?
}
