//! The server's certificate, read anew when its files change: whoever issues it renews it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// How often the files are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(10);

/// A certificate and its key, in two files as PEM.
#[derive(Debug)]
pub struct Certificates {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the file that cannot be read or used.
    pub fn read(certificate: &Path, key: &Path) -> Result<Arc<Self>> {
        let current = RwLock::new(read(certificate, key)?);
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            current,
        }))
    }

    /// TLS with it.
    ///
    /// # Errors
    /// If the process has no way to speak TLS.
    pub(super) fn config(self: &Arc<Self>) -> Result<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth();
        let mut config = config.with_cert_resolver(Arc::new(Current(Arc::clone(self))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Follows the files for ever. While they are unusable, the last certificate stays.
    pub(super) async fn follow(&self) {
        loop {
            tokio::time::sleep(LOOK_PERIOD).await;
            match read(&self.certificate, &self.key) {
                Ok(found) => {
                    let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                    *current = found;
                }
                Err(error) => tracing::warn!("the certificate stays as it was: {error:#}"),
            }
        }
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<CertifiedKey>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| format!("reading {}", certificate.display()))?
        .collect();
    let chain = chain.with_context(|| format!("reading {}", certificate.display()))?;
    anyhow::ensure!(
        !chain.is_empty(),
        "{} has no certificate: PEM with the server's first is wanted",
        certificate.display()
    );
    let private =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))?;
    let found = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())
        .with_context(|| format!("{} and {}", certificate.display(), key.display()))?;
    Ok(Arc::new(found))
}

#[derive(Debug)]
struct Current(Arc<Certificates>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.current.read();
        Some(Arc::clone(&current.unwrap_or_else(PoisonError::into_inner)))
    }
}
