//! `apiary webhook serve|manifests`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;

use crate::admission::webhook::manifests::{Place, manifests};
use crate::admission::webhook::{Certificates, serve};
use crate::ui::Ui;

/// The rules of Cluster API's kinds, for a management cluster whose API server is another one
///
/// `apiary up` needs none of this: its API server knows the rules. Elsewhere `apiary webhook manifests` prints the definitions of the kinds
/// and what leads requests to the server that `apiary webhook serve` is.
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    Serve(Serve),
    Manifests(Manifests),
}

/// Answer the API server's questions: fill, check and convert objects
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Where to answer
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:9443")]
    listen: SocketAddr,
    /// The server's certificate, PEM; read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert_file: PathBuf,
    /// Its key, PEM
    #[arg(long, value_name = "FILE")]
    tls_private_key_file: PathBuf,
    /// The management cluster, to read what rules are about [default: KUBECONFIG, or the cluster that this runs in]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Print the definitions of all kinds and the webhooks, for `kubectl apply --server-side -f -`
#[derive(Debug, Args)]
pub(super) struct Manifests {
    #[command(flatten)]
    place: To,
    /// Who issued the server's certificate, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: PathBuf,
}

/// How the API server reaches the webhooks.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct To {
    /// By an address, e.g. https://10.0.0.1:9443
    #[arg(long, value_parser = Place::parse_url)]
    url: Option<Place>,
    /// By a Service
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", value_parser = Place::parse_service)]
    service: Option<Place>,
}

impl Webhook {
    pub(super) async fn run(&self, ui: &Ui) -> Result<ExitCode> {
        match self {
            Self::Serve(serve) => serve.run(ui).await,
            Self::Manifests(manifests) => manifests.run(ui),
        }
    }
}

impl Serve {
    async fn run(&self, ui: &Ui) -> Result<ExitCode> {
        let certificates = Certificates::read(&self.tls_cert_file, &self.tls_private_key_file)?;
        let client = self.client().await?;
        let listener = TcpListener::bind(self.listen).await;
        let listener = listener.with_context(|| format!("listening on {}", self.listen))?;
        ui.note(&format!("Serving webhooks on {}.", listener.local_addr()?));
        match serve(listener, certificates, client).await? {}
    }

    async fn client(&self) -> Result<Client> {
        let Some(path) = &self.kubeconfig else {
            let client = Client::try_default().await;
            return client
                .context("--kubeconfig is missing, and there is no KUBECONFIG or cluster");
        };
        let config = Kubeconfig::read_from(path);
        let config = config.with_context(|| format!("reading {}", path.display()))?;
        let options = KubeConfigOptions::default();
        Ok(Client::try_from(
            kube::Config::from_custom_kubeconfig(config, &options).await?,
        )?)
    }
}

impl Manifests {
    fn run(&self, ui: &Ui) -> Result<ExitCode> {
        let authority = std::fs::read_to_string(&self.ca_file);
        let authority = authority.with_context(|| format!("reading {}", self.ca_file.display()))?;
        anyhow::ensure!(
            authority.contains("-----BEGIN CERTIFICATE-----"),
            "{} has no certificate in PEM",
            self.ca_file.display()
        );
        let place = self.place.url.as_ref().or(self.place.service.as_ref());
        let place = place.context("--url or --service is needed")?;
        for manifest in manifests(place, &authority) {
            ui.line(&format!(
                "---\n{}",
                render::yaml::to_string(&manifest).trim_end()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}
