//! The guest of a simulated machine: works through its bootstrap data, cloud-init's or Ignition's, and does what the `kubeadm` commands in it would do.
//!
//! What a real guest does with an operating system is left out and said so on the console: packages, users, mounts, commands other than kubeadm.
//! What makes it a node of a cluster is real: files, kubeadm's configuration, certificates, discovery, tokens, signing requests, and the
//! objects that kubeadm writes.

mod addons;
mod cloudinit;
mod config;
mod console;
mod document;
mod ignition;
mod init;
mod join;
mod kubelet;
mod network;
mod progress;
mod register;
mod settings;

use std::fmt;
use std::time::Duration;

use api::infrastructure::local_machine::BootPhase;
use api::meta::labels;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClusterId, ControlPlaneSpec, Host, KubeletSettings, KubeletSpec};
use crate::pki::Pair;
use console::Console;
pub use document::BootstrapData;
use document::{Command, Files};
pub use progress::Progress;

/// Lines of the console that a failure shows.
const TAIL_LINES: usize = 12;
/// How often `kubeadm join` is tried before a boot has failed.
const JOIN_ATTEMPTS: u32 = 5;
/// Pause after the first attempt; doubled after each.
const JOIN_PAUSE: Duration = Duration::from_secs(10);

/// The machine that the guest finds itself on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    pub name: String,
    pub cluster: ClusterId,
    pub provider_id: String,
    pub address: String,
    /// The name under which the network leads to this machine's cluster.
    pub tls_server_name: String,
    pub cpus: i32,
    pub memory_mib: i32,
    /// The Kubernetes version of the image that the machine runs.
    pub kubernetes_version: Option<String>,
    /// The cluster's control plane runs on another host: machines of it take part in it from here, but it is not started here.
    pub is_away: bool,
    /// Makes the boot fail with this message.
    pub boot_fault: Option<String>,
}

/// What a guest has on its disk after it has booted: enough to go on after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    pub node_name: String,
    pub server: String,
    pub ca_cert: String,
    pub kubelet_cert: String,
    pub kubelet_key: String,
    /// The control plane on this machine.
    pub control_plane: Option<ControlPlaneDisk>,
    pub kubernetes_version: String,
    /// What the kubelet follows of its configuration.
    #[serde(default)]
    pub settings: KubeletSettings,
    pub console: String,
}

/// What a control plane machine has on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneDisk {
    pub service_cidr: String,
    pub pod_cidr: String,
    pub dns_domain: String,
    pub cert_sans: Vec<String>,
    /// Certificate and key of: the cluster's authority, the front proxy's, service accounts, and etcd's if it is local.
    pub ca: (String, String),
    pub front_proxy_ca: (String, String),
    pub service_account: (String, String),
    pub etcd_ca: Option<(String, String)>,
}

impl Disk {
    /// Reads what [`Disk::render`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As text.
    #[must_use]
    pub fn render(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Why a boot failed, and what the console showed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    pub console: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        let lines: Vec<_> = self.console.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if !tail.is_empty() {
            write!(f, "\nConsole:\n{}", tail.join("\n"))?;
        }
        Ok(())
    }
}

/// A guest while it boots.
pub(crate) struct Guest<'a> {
    host: &'a dyn Host,
    hardware: &'a Hardware,
    files: Files,
    console: &'a Console,
    progress: &'a Progress,
    now: Timestamp,
}

/// Boots a machine from its bootstrap data. Others see in `progress` how far it is.
///
/// # Errors
/// What went wrong, with the end of the console.
pub async fn boot(
    host: &dyn Host,
    hardware: &Hardware,
    data: &BootstrapData,
    progress: &Progress,
    now: Timestamp,
) -> Result<Disk, Failure> {
    let mut guest = Guest {
        host,
        hardware,
        files: Files::default(),
        console: &progress.console,
        progress,
        now,
    };
    match guest.run(data).await {
        Ok(mut disk) => {
            disk.console = guest.console.text();
            Ok(disk)
        }
        Err(message) => {
            let message = guest.console.redact(&message);
            guest.console.line(format_args!("error: {message}"));
            Err(Failure {
                message,
                console: guest.console.text(),
            })
        }
    }
}

/// Starts again what runs on a machine that has booted before, with or without its kubelet.
///
/// # Errors
/// What went wrong.
pub async fn resume(
    host: &dyn Host,
    hardware: &Hardware,
    disk: &Disk,
    has_kubelet: bool,
) -> Result<(), String> {
    if let Some(control_plane) = disk.control_plane.as_ref().filter(|_| !hardware.is_away) {
        host.start_control_plane(control_plane.spec(hardware, disk))
            .await?;
    }
    if has_kubelet {
        host.start_kubelet(disk.kubelet(hardware)).await?;
    }
    Ok(())
}

impl ControlPlaneDisk {
    fn spec(&self, hardware: &Hardware, disk: &Disk) -> ControlPlaneSpec {
        let pair = |(cert, key): &(String, String)| Pair {
            cert: cert.clone(),
            key: key.clone(),
        };
        ControlPlaneSpec {
            cluster: hardware.cluster.clone(),
            tls_server_name: hardware.tls_server_name.clone(),
            pki: super::Pki {
                ca: pair(&self.ca),
                front_proxy_ca: pair(&self.front_proxy_ca),
                etcd_ca: self.etcd_ca.as_ref().map(pair),
                service_account: pair(&self.service_account),
            },
            service_cidr: self.service_cidr.clone(),
            pod_cidr: self.pod_cidr.clone(),
            dns_domain: self.dns_domain.clone(),
            kubernetes_version: disk.kubernetes_version.clone(),
            advertise_address: hardware.address.clone(),
            cert_sans: self.cert_sans.clone(),
        }
    }
}

impl Disk {
    /// The kubelet without what it only needs when it registers for the first time: the Node has that already.
    fn kubelet(&self, hardware: &Hardware) -> KubeletSpec {
        KubeletSpec {
            cluster: hardware.cluster.clone(),
            node_name: self.node_name.clone(),
            server: self.server.clone(),
            tls_server_name: hardware.tls_server_name.clone(),
            ca_cert: self.ca_cert.clone(),
            credentials: Pair {
                cert: self.kubelet_cert.clone(),
                key: self.kubelet_key.clone(),
            },
            labels: std::collections::BTreeMap::new(),
            taints: vec![],
            provider_id: hardware.provider_id.clone(),
            internal_ip: hardware.address.clone(),
            kubernetes_version: self.kubernetes_version.clone(),
            cpus: hardware.cpus,
            memory_mib: hardware.memory_mib,
            settings: self.settings.clone(),
        }
    }
}

impl Guest<'_> {
    async fn run(&mut self, data: &BootstrapData) -> Result<Disk, String> {
        self.console.line(format_args!(
            "simulated machine {} booting, address {}",
            self.hardware.name, self.hardware.address
        ));
        self.progress.enter(BootPhase::PowerOn).await?;
        let document = data.parse(self.hardware)?;
        self.console.hide(document.files.secrets());
        self.console.line(format_args!(
            "{}: {} files, {} commands",
            document.tool,
            document.files.len(),
            document.commands.len()
        ));
        self.files = document.files;
        self.progress.enter(BootPhase::CloudInit).await?;
        for skipped in &document.skipped {
            self.console
                .line(format_args!("{}: {skipped}", document.tool));
        }
        if let Some(fault) = &self.hardware.boot_fault {
            return Err(format!("injected fault: {fault}"));
        }
        let mut disk = None;
        for command in &document.commands {
            match command {
                Command::Kubeadm { verb, config } => {
                    self.console
                        .line(format_args!("+ kubeadm {verb} --config {config}"));
                    disk = Some(self.persistently(verb, config).await?);
                }
                Command::Echo { text, path } => {
                    self.files.write(path, text.clone());
                }
                Command::Other(text) => self
                    .console
                    .line(format_args!("+ {text}   (skipped: simulated)")),
            }
        }
        let disk = disk.ok_or_else(|| {
            let place = match document.tool {
                "ignition" => "a unit that is started",
                _ => "runcmd",
            };
            format!("the bootstrap data has no kubeadm command in {place}")
        })?;
        if self.files.text(labels::SENTINEL_FILE).is_none() {
            return Err(format!(
                "the bootstrap data did not write {}",
                labels::SENTINEL_FILE
            ));
        }
        self.console.line("boot finished");
        Ok(disk)
    }

    /// Runs kubeadm. A join that failed is tried again after a while, as by a unit that restarts on failure; an init is not, because it leaves things
    /// behind that only a reset removes.
    async fn persistently(&self, verb: &str, path: &str) -> Result<Disk, String> {
        let attempts = if verb == "join" { JOIN_ATTEMPTS } else { 1 };
        let mut pause = JOIN_PAUSE;
        let mut attempt = 1;
        loop {
            match self.kubeadm(verb, path).await {
                Err(why) if attempt < attempts => {
                    let next = format!(
                        "Attempt {attempt} of {attempts} failed, the next one begins in {}s",
                        pause.as_secs()
                    );
                    self.console.line(format_args!("error: {why}\n{next}"));
                    let failure = Failure {
                        message: format!("{why}\n{next}"),
                        console: self.console.text(),
                    };
                    self.progress.set_trouble(failure.to_string());
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    attempt += 1;
                    self.console.line(format_args!(
                        "+ kubeadm {verb}, attempt {attempt} of {attempts}"
                    ));
                }
                ended => return ended,
            }
        }
    }

    async fn kubeadm(&self, verb: &str, path: &str) -> Result<Disk, String> {
        let text = self.files.text(path).ok_or_else(|| {
            format!("kubeadm {verb}: unable to read config from {path}: no such file")
        })?;
        let configuration =
            config::parse(text).map_err(|why| format!("kubeadm {verb}: {path}: {why}"))?;
        let result = match verb {
            "init" => self.init(&configuration).await,
            "join" => self.join(&configuration).await,
            other => Err(format!(
                "unknown command {other:?}: a simulated machine knows init and join"
            )),
        };
        result.map_err(|why| format!("kubeadm {verb}: {why}"))
    }
}

#[cfg(test)]
mod tests;
