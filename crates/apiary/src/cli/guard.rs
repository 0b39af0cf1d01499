//! Options of `apiary up` about who may do what, and who sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::Security;
use apiserver::audit::{Audit, Log, LogConfig, Policy};
use apiserver::auth::Authentication;
use clap::Args;

/// Larger files are not read.
const FILE_BYTES_MAX: u64 = 4 << 20;

#[derive(Debug, Args)]
pub(super) struct Guard {
    /// Audit policy (audit.k8s.io/v1, in YAML): what is written down of requests to all clusters
    #[arg(long, value_name = "FILE", requires = "audit_log")]
    audit_policy: Option<PathBuf>,
    /// Where audit events are written, one JSON document a line
    #[arg(long, value_name = "FILE", requires = "audit_policy")]
    audit_log: Option<PathBuf>,
    /// MiB after which an audit log is put aside and a new one begun
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_048_576))]
    audit_log_maxsize: u64,
    /// Audit logs that are kept beside the one that is written
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    audit_log_maxbackup: usize,
    /// Days for which audit logs are kept
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=36_500))]
    audit_log_maxage: u64,
    /// Whose tokens are believed by all clusters (AuthenticationConfiguration of apiserver.config.k8s.io/v1, in YAML);
    /// changes of the file hold within seconds
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
}

/// How often the authentication configuration is looked at.
const RELOAD_PERIOD: Duration = Duration::from_secs(10);

/// A file that is followed while the server runs.
pub(super) struct Reloading {
    path: PathBuf,
    authentication: Arc<Authentication>,
}

impl Guard {
    /// What the options say; files are read and opened.
    pub(super) fn security(&self) -> Result<(Security, Option<Reloading>)> {
        let mut security = Security::default();
        let mut reloading = None;
        if let Some(path) = &self.authentication_config {
            let text = read(path).context("--authentication-config")?;
            let authentication = Authentication::new(&text);
            let authentication = authentication.with_context(|| path.display().to_string())?;
            let authentication = Arc::new(authentication);
            reloading = Some(Reloading {
                path: path.clone(),
                authentication: authentication.clone(),
            });
            security.authentication = Some(Arc::new(move |_| Some(authentication.clone())));
        }
        if let (Some(policy), Some(path)) = (&self.audit_policy, &self.audit_log) {
            let text = read(policy).context("--audit-policy")?;
            let policy = Policy::parse(&text).with_context(|| policy.display().to_string())?;
            let policy = Arc::new(policy);
            let log = Log::open(LogConfig {
                max_bytes: self.audit_log_maxsize << 20,
                max_backups: self.audit_log_maxbackup,
                max_age: Duration::from_secs(self.audit_log_maxage * 24 * 3600),
                ..LogConfig::new(path)
            })?;
            security.audit = Some(Arc::new(move |cluster| {
                Some(Audit::new(policy.clone(), log.clone(), cluster))
            }));
        }
        Ok((security, reloading))
    }
}

impl Reloading {
    /// Follows the file for ever. What cannot be used is said, and the last good one stays.
    pub(super) async fn run(self) {
        let mut ticks = tokio::time::interval(RELOAD_PERIOD);
        let mut last_wrong = String::new();
        loop {
            ticks.tick().await;
            match self.reload() {
                Ok(is_new) => {
                    if is_new {
                        tracing::info!(path = %self.path.display(), "the authentication configuration was replaced");
                    }
                    last_wrong.clear();
                }
                Err(error) => {
                    let wrong = format!("{error:#}");
                    if wrong != last_wrong {
                        tracing::error!(error = wrong, path = %self.path.display(), "the authentication configuration stays as it was");
                        last_wrong = wrong;
                    }
                }
            }
        }
    }

    /// Reads the file again; whether it has changed.
    fn reload(&self) -> Result<bool> {
        Ok(self.authentication.replace(&read(&self.path)?)?)
    }
}

fn read(path: &Path) -> Result<String> {
    let size = std::fs::metadata(path).map(|found| found.len());
    let size = size.with_context(|| format!("reading {}", path.display()))?;
    anyhow::ensure!(
        size <= FILE_BYTES_MAX,
        "{} is larger than {FILE_BYTES_MAX} bytes",
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        guard: Guard,
    }

    fn guard(args: &[&str]) -> Result<Security> {
        let args = ["test"].iter().chain(args);
        Ok(Cli::try_parse_from(args)?.guard.security()?.0)
    }

    #[test]
    fn an_authentication_file_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.yaml");
        let text = |enabled: bool| {
            format!(
                "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {{enabled: {enabled}}}\n"
            )
        };
        std::fs::write(&path, text(true)).unwrap();
        let args = ["test", "--authentication-config", path.to_str().unwrap()];
        let guard = Cli::try_parse_from(args).unwrap().guard;
        let (security, reloading) = guard.security().unwrap();
        assert!(security.authentication.unwrap()("any").is_some());
        let reloading = reloading.unwrap();
        assert!(!reloading.reload().unwrap());
        std::fs::write(&path, text(false)).unwrap();
        assert!(reloading.reload().unwrap());
        std::fs::write(&path, "nonsense").unwrap();
        assert!(reloading.reload().is_err());
        assert!(guard.security().is_err());
    }

    #[test]
    fn audit_needs_a_policy_and_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (policy, log) = (file("policy.yaml"), file("audit.log"));
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]";
        std::fs::write(&policy, text).unwrap();
        assert!(guard(&[]).unwrap().audit.is_none());
        assert!(guard(&["--audit-policy", &policy]).is_err());
        assert!(guard(&["--audit-log", &log]).is_err());
        let both = ["--audit-policy", &policy, "--audit-log", &log];
        let audit = guard(&both).unwrap().audit.unwrap();
        assert!(audit("management").is_some());
        assert!(Path::new(&log).exists());
        std::fs::write(&policy, text.replace("Metadata", "Much")).unwrap();
        let wrong = format!("{:#}", guard(&both).err().unwrap());
        assert!(
            wrong.contains("policy.yaml") && wrong.contains("rules[0].level"),
            "{wrong}"
        );
    }
}
