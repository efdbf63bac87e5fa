//! The connector: TCP for `http`, TLS on it for `https`, with HTTP/2 where the server speaks it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use futures_util::future::Either;
use headwaiter::compat::hyper::{Connector as TcpConnector, Io};
use headwaiter::net::TcpStream;
use headwaiter::time::timeout;
use hyper::Uri;
use log::warn;
use tower_service::Service;

/// The limit for the handshake.
const TIMEOUT: Duration = Duration::from_secs(10);

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

#[derive(Clone)]
pub struct Connector {
    tcp: TcpConnector,
    tls: TlsConnector,
}

impl Connector {
    /// Trusts the certificates of the system and those in `ca`, which is in PEM format.
    pub fn new(ca: Option<&[u8]>) -> Result<Self, Box<dyn std::error::Error>> {
        let mut roots = RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(native.certs);
        for certificate in ca.map(CertificateDer::pem_slice_iter).into_iter().flatten() {
            roots.add(certificate.map_err(|error| format!("--ca: {error}"))?)?;
        }
        if roots.is_empty() {
            warn!("no certificates to trust: every https call will fail; name some with --ca");
        }
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tcp = TcpConnector::new().enforce_http(false);
        Ok(Connector { tcp, tls: Arc::new(config).into() })
    }
}

impl Service<Uri> for Connector {
    type Response = Io<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Io<Stream>>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_ready(cx)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let (tls, connecting) = (self.tls.clone(), self.tcp.call(url.clone()));
        Box::pin(async move {
            let stream = connecting.await?.into_inner();
            if url.scheme_str() != Some("https") {
                return Ok(Io::new(Either::Left(stream)));
            }
            let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
            let about =
                |why: &dyn std::fmt::Display| io::Error::other(format!("TLS with {host}: {why}"));
            let name = ServerName::try_from(host.to_owned()).map_err(|error| about(&error))?;
            let shaken = timeout(TIMEOUT, tls.connect(name, stream)).await;
            let stream =
                shaken.map_err(|_| about(&"no handshake"))?.map_err(|error| about(&error))?;
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok(Io::new(Either::Right(Box::new(stream))).negotiated_http2(is_http2))
        })
    }
}
