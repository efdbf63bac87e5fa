//! A self-signed certificate, generated at each start: enough for trying TLS, and for tests. A real
//! server reads the files from its certificate authority with `CertificateDer::pem_file_iter` and
//! `PrivateKeyDer::from_pem_file` of `futures_rustls::pki_types`.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, process};

use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
use log::warn;
use rcgen::{CertificateParams, DnType, KeyPair};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub struct Certificate {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    pem: String,
}

impl Certificate {
    /// Creates a certificate for a server on this address. For a loopback address, it includes the
    /// usual names.
    pub fn for_address(ip: IpAddr) -> io::Result<Certificate> {
        let mut names = BTreeSet::from(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        if !ip.is_unspecified() {
            names.insert(ip.to_string());
        }
        let make = || {
            let mut params = CertificateParams::new(Vec::from_iter(names))?;
            params.distinguished_name.push(DnType::CommonName, "tls_echo");
            let now = SystemTime::now();
            params.not_before = (now - DAY).into(); // The clock of a client may be slow.
            params.not_after = (now + 30 * DAY).into();
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            Ok(Certificate {
                pem: certificate.pem(),
                certificate: certificate.into(),
                key: key.into(),
            })
        };
        make()
            .map_err(|error: rcgen::Error| io::Error::other(format!("make a certificate: {error}")))
    }

    /// Writes the certificate, without its key, so that clients can trust it: to this file, or to a
    /// new temporary file.
    pub fn write(&self, file: Option<PathBuf>) -> io::Result<CertificateFile> {
        let named = |path: &Path, error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("write the certificate to {}: {error}", path.display()),
            )
        };
        if let Some(path) = file {
            fs::write(&path, &self.pem).map_err(|error| named(&path, error))?;
            return Ok(CertificateFile { path, temporary: false });
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let path =
            env::temp_dir().join(format!("tls_echo-{}-{}.pem", process::id(), now.as_nanos()));
        // Other users may write to that directory too, so an existing file or link must not be
        // used.
        let create = OpenOptions::new().write(true).create_new(true).open(&path);
        create
            .and_then(|mut file| file.write_all(self.pem.as_bytes()))
            .map_err(|error| named(&path, error))?;
        Ok(CertificateFile { path, temporary: true })
    }
}

/// Removes the file when it is dropped, if it is a temporary one.
pub struct CertificateFile {
    path: PathBuf,
    temporary: bool,
}

impl CertificateFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CertificateFile {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!("remove {}: {error}", self.path.display());
        }
    }
}
