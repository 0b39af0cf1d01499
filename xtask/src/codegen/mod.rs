//! `cargo xtask codegen`: writes the table of Kubernetes' built-in types,
//! `crates/apiserver/src/schema/builtin/*.txt`, from the type declarations of the published Go modules. Only facts go into
//! the table: names, numbers, types, markers.

mod golang;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// The Kubernetes release whose types are tabled, as the version of its Go modules.
const VERSION: &str = "v0.36.0";

/// Module, folder of the package in it, first words of its type names in OpenAPI.
const PACKAGES: &[(&str, &str, &str)] = &[
    (
        "k8s.io/api",
        "admissionregistration/v1",
        "io.k8s.api.admissionregistration.v1",
    ),
    ("k8s.io/api", "apps/v1", "io.k8s.api.apps.v1"),
    (
        "k8s.io/api",
        "authentication/v1",
        "io.k8s.api.authentication.v1",
    ),
    (
        "k8s.io/api",
        "authorization/v1",
        "io.k8s.api.authorization.v1",
    ),
    ("k8s.io/api", "autoscaling/v1", "io.k8s.api.autoscaling.v1"),
    ("k8s.io/api", "autoscaling/v2", "io.k8s.api.autoscaling.v2"),
    ("k8s.io/api", "batch/v1", "io.k8s.api.batch.v1"),
    (
        "k8s.io/api",
        "certificates/v1",
        "io.k8s.api.certificates.v1",
    ),
    (
        "k8s.io/api",
        "coordination/v1",
        "io.k8s.api.coordination.v1",
    ),
    ("k8s.io/api", "core/v1", "io.k8s.api.core.v1"),
    ("k8s.io/api", "discovery/v1", "io.k8s.api.discovery.v1"),
    ("k8s.io/api", "events/v1", "io.k8s.api.events.v1"),
    ("k8s.io/api", "flowcontrol/v1", "io.k8s.api.flowcontrol.v1"),
    ("k8s.io/api", "networking/v1", "io.k8s.api.networking.v1"),
    ("k8s.io/api", "node/v1", "io.k8s.api.node.v1"),
    ("k8s.io/api", "policy/v1", "io.k8s.api.policy.v1"),
    ("k8s.io/api", "rbac/v1", "io.k8s.api.rbac.v1"),
    ("k8s.io/api", "resource/v1", "io.k8s.api.resource.v1"),
    ("k8s.io/api", "scheduling/v1", "io.k8s.api.scheduling.v1"),
    ("k8s.io/api", "storage/v1", "io.k8s.api.storage.v1"),
    (
        "k8s.io/apimachinery",
        "pkg/apis/meta/v1",
        "io.k8s.apimachinery.pkg.apis.meta.v1",
    ),
    (
        "k8s.io/apiextensions-apiserver",
        "pkg/apis/apiextensions/v1",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1",
    ),
    (
        "k8s.io/kube-aggregator",
        "pkg/apis/apiregistration/v1",
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1",
    ),
];

/// Where the tables live, from the root of the workspace.
const OUTPUT: &str = "crates/apiserver/src/schema/builtin";

/// Arguments of `cargo xtask codegen`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a table differs from what would be written. Passes with a note when the Go modules
    /// cannot be had.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the tables.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("finding the root of the workspace")?;
    let modules = match modules() {
        Err(error) if args.check => {
            println!("codegen: not checked, the Go modules cannot be had: {error:#}");
            return Ok(());
        }
        other => other?,
    };
    let mut packages = Vec::new();
    for (module, folder, name) in PACKAGES {
        let dir = modules
            .iter()
            .find(|(m, _)| m == module)
            .map(|(_, dir)| dir.join(folder))
            .context("finding a downloaded module")?;
        let path = format!("{module}/{folder}");
        packages.push(
            golang::Package::read(&dir, &path, name)
                .with_context(|| format!("reading {}", dir.display()))?,
        );
    }
    let mut stale = Vec::new();
    for package in &packages {
        let text = table::render(package, &packages, VERSION)
            .with_context(|| format!("rendering {}", package.name))?;
        let file = root.join(OUTPUT).join(file_name(&package.name));
        if args.check {
            if std::fs::read_to_string(&file).unwrap_or_default() != text {
                stale.push(file.display().to_string());
            }
        } else {
            std::fs::create_dir_all(root.join(OUTPUT))?;
            std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    if !stale.is_empty() {
        bail!(
            "stale tables, run `cargo xtask codegen`: {}",
            stale.join(", ")
        );
    }
    Ok(())
}

/// `io.k8s.api.core.v1` is in `core.v1.txt`.
fn file_name(package: &str) -> String {
    let parts: Vec<&str> = package.rsplit('.').take(2).collect();
    format!("{}.{}.txt", parts[1], parts[0])
}

/// Folders of the modules, downloaded when they are not there yet.
fn modules() -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    let mut found: Vec<(&'static str, PathBuf)> = Vec::new();
    for (module, _, _) in PACKAGES {
        if found.iter().any(|(m, _)| m == module) {
            continue;
        }
        let output = Command::new("go")
            .args(["mod", "download", "-json", &format!("{module}@{VERSION}")])
            .output()
            .context("running go")?;
        if !output.status.success() {
            bail!(
                "go mod download {module}: {}{}",
                String::from_utf8_lossy(&output.stdout).trim(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let dir = answer["Dir"]
            .as_str()
            .with_context(|| format!("go mod download {module} named no folder"))?;
        found.push((module, dir.into()));
    }
    Ok(found)
}
