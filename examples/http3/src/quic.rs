//! QUIC endpoints: the configuration of quinn and rustls, and the UDP sockets.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwaiter::compat::quinn::Runtime;
use log::warn;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, IdleTimeout, ServerConfig,
    TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;

use crate::certificate::Certificate;
use crate::server::Limits;

/// The name of HTTP/3 in ALPN.
const H3: &[u8] = b"h3";

/// H3_NO_ERROR, the code with which both sides close a connection if there was no error.
pub const NO_ERROR: VarInt = VarInt::from_u32(0x100);

/// How many bytes a peer may send before they are read, per stream and per connection. This limits
/// the memory of a connection.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;

/// Named explicitly, because `builder()` of rustls panics if another crate of the program enables
/// its other provider, aws-lc-rs.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub fn server(
    address: SocketAddr,
    certificate: Certificate,
    limits: &Limits,
) -> io::Result<Endpoint> {
    let configure = about("configure the server");
    let tls =
        rustls::ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let tls = tls.map_err(&configure)?.with_no_client_auth();
    let mut tls =
        tls.with_single_cert(vec![certificate.certificate], certificate.key).map_err(&configure)?;
    tls.alpn_protocols = vec![H3.to_vec()];
    let tls = QuicServerConfig::try_from(tls).map_err(about("configure the server"))?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport(limits.idle, limits.streams)?));
    // Connections that were started and are not accepted yet.
    config.max_incoming(limits.connections);
    endpoint(address, Some(config))
}

/// Creates the endpoint for a connection to this address.
pub fn client(address: SocketAddr) -> io::Result<Endpoint> {
    let any = if address.is_ipv4() {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    endpoint((any, 0).into(), None)
}

fn endpoint(address: SocketAddr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("bind to {address}: {error}"));
    let socket = UdpSocket::bind(address).map_err(named)?;
    Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(Runtime))
}

pub fn client_config(roots: RootCertStore, idle: Duration) -> io::Result<ClientConfig> {
    let tls =
        rustls::ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]);
    let mut tls = tls
        .map_err(about("configure the client"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![H3.to_vec()];
    let tls = QuicClientConfig::try_from(tls).map_err(about("configure the client"))?;
    let mut transport = transport(idle, 0)?;
    // Otherwise a server that needs long for an answer would run into the idle timeout.
    transport.keep_alive_interval(Some(idle / 3));
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn transport(idle: Duration, streams: u32) -> io::Result<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(
        IdleTimeout::try_from(idle).map_err(about("configure the idle timeout"))?,
    ));
    transport.max_concurrent_bidi_streams(streams.into());
    // HTTP/3 has three per direction, and a peer may open more to test whether they are ignored.
    transport.max_concurrent_uni_streams(16_u32.into());
    transport.stream_receive_window(STREAM_WINDOW.into());
    transport.receive_window(CONNECTION_WINDOW.into());
    transport.send_window(CONNECTION_WINDOW.into());
    Ok(transport)
}

/// Reads the certificates in a PEM file.
pub fn roots_of_file(path: &Path) -> io::Result<RootCertStore> {
    let what = format!("read certificates from {}", path.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(about(&what))? {
        roots.add(certificate.map_err(about(&what))?).map_err(about(&what))?;
    }
    if roots.is_empty() { Err(about(&what)("there is none in it")) } else { Ok(roots) }
}

/// Reads the certificates that the system trusts.
pub fn roots_of_system() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        warn!("read the certificates of the system: {error}");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// Returns why a connection has ended, or `Ok` if one side has closed it without an error.
pub fn end_of(connection: &Connection) -> Result<(), String> {
    match connection.close_reason() {
        None | Some(ConnectionError::LocallyClosed) => Ok(()),
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == NO_ERROR => Ok(()),
        Some(error) => Err(explain(&error)),
    }
}

pub fn explain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "it sent nothing within the idle timeout".to_owned(),
        // 0x100 plus the number of the TLS alert: unknown_ca, bad_certificate, certificate_unknown,
        // decrypt_error.
        ConnectionError::TransportError(error) if is_distrust(error.code) => {
            format!(
                "its certificate is not trusted here: name its file, or that of its issuer, with --ca ({error})"
            )
        }
        ConnectionError::ConnectionClosed(close) if is_distrust(close.error_code) => {
            format!("it does not trust our certificate ({close})")
        }
        error => error.to_string(),
    }
}

fn is_distrust(code: quinn::TransportErrorCode) -> bool {
    [48, 42, 46, 51].into_iter().any(|alert| code == quinn::TransportErrorCode::crypto(alert))
}

/// Creates an error that names the operation.
pub fn about<E: Display>(what: &str) -> impl Fn(E) -> io::Error {
    move |error| io::Error::other(format!("{what}: {error}"))
}
