//! Code shared by the server and the client: the configuration of rustls, and the meaning of its
//! errors.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_rustls::pki_types::CertificateDer;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::rustls::crypto::{CryptoProvider, ring};
use futures_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, CommonState, RootCertStore,
    ServerConfig, SupportedProtocolVersion,
};
use futures_rustls::{TlsAcceptor, TlsConnector};
use log::warn;

use crate::certificate::Certificate;

/// The protocol of this program, for ALPN. A client that offers only other protocols is refused in
/// the handshake; one that offers none is served.
const PROTOCOL: &[u8] = b"echo";

/// Named explicitly, because `ServerConfig::builder()` panics if another crate of the program
/// enables rustls's other provider, aws-lc-rs.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub fn acceptor(certificate: Certificate) -> io::Result<TlsAcceptor> {
    let make = || {
        let config = ServerConfig::builder_with_provider(provider());
        let config = config.with_protocol_versions(rustls::ALL_VERSIONS)?.with_no_client_auth();
        config.with_single_cert(vec![certificate.certificate], certificate.key)
    };
    let mut config =
        make().map_err(|error| io::Error::other(format!("configure the server: {error}")))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config).into())
}

pub fn connector(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions);
    let config =
        config.map_err(|error| io::Error::other(format!("configure the client: {error}")))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config).into())
}

/// Reads the certificates in a PEM file.
pub fn roots_of_file(path: &Path) -> io::Result<RootCertStore> {
    let wrong =
        |why: String| io::Error::other(format!("read certificates from {}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?
    {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("there is none in it".to_owned())) } else { Ok(roots) }
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

/// Returns, for example, "TLSv1_3, TLS13_AES_256_GCM_SHA384, ALPN echo".
pub fn negotiated(connection: &CommonState) -> String {
    let version =
        connection.protocol_version().map_or("?", |version| version.as_str().unwrap_or("?"));
    let suite = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or("?");
    let protocol = connection
        .alpn_protocol()
        .map_or("no ALPN".into(), |protocol| format!("ALPN {}", String::from_utf8_lossy(protocol)));
    format!("{version}, {suite}, {protocol}")
}

/// Explains an error of [`TlsAcceptor::accept`] or [`TlsConnector::connect`].
pub fn explain_handshake(error: io::Error) -> io::Error {
    explain_with(error, "it closed the connection")
}

/// Explains an error of an established stream.
pub fn explain(error: io::Error) -> io::Error {
    // An attacker in the network can end a TCP connection but cannot forge a close_notify.
    explain_with(
        error,
        "it closed the connection without close_notify: the end of what it sent may be missing",
    )
}

fn explain_with(error: io::Error, eof: &str) -> io::Error {
    // An error of rustls is inside the io::Error. Other errors are those of the TCP stream.
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        let is_eof = error.kind() == io::ErrorKind::UnexpectedEof;
        return if is_eof { io::Error::new(error.kind(), eof) } else { error };
    };
    let meaning = match tls {
        rustls::Error::InvalidMessage(_) => "what it sent is not TLS",
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => "its certificate is not trusted here: name its file, or that of its issuer, with --ca",
        rustls::Error::InvalidCertificate(_) => "its certificate is not valid",
        rustls::Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            // The peer trusts a certificate with the same name and another key, so the signature is
            // wrong.
            | AlertDescription::DecryptError,
        ) => "it does not trust our certificate",
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | rustls::Error::NoApplicationProtocol => "it wants another protocol than \"echo\" (ALPN)",
        rustls::Error::PeerIncompatible(_) => "it has no version or cipher in common with us",
        _ => "TLS failed",
    };
    io::Error::new(error.kind(), format!("{meaning} ({tls})"))
}
