//! Programs that checks and tests need and a machine may lack: found, or installed below `target/tools` by the clients
//! of the package registries. What is there already costs a moment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The oldest kubectl that the tests are written for, as minor version of 1.
const KUBECTL_MINOR: u32 = 32;
/// What is built where the machine has none: the version in `xtask/kubectl/go.mod`.
const KUBECTL_BUILT: &str = "v1.36.0";
/// The version of clusterctl in `xtask/clusterctl/go.mod`.
const CLUSTERCTL_BUILT: &str = "v1.13.6";
/// Real Helm, as a Python package.
const HELM_PACKAGE: &str = "helm-python-sdk";
const HELM_VERSION: &str = "0.2.2";
/// Kubernetes' own Python client.
const PYTHON_CLIENT: &str = "kubernetes";
const PYTHON_CLIENT_VERSION: &str = "37.0.2";
const CARGO_DENY_VERSION: &str = "0.20.2";
/// Go modules that hold Helm charts: a name, the module, and the chart within it. Well known charts of many styles, some
/// with definitions of their own, some with hooks.
const CHARTS: &[(&str, &str, &str)] = &[
    (
        "argo-rollouts",
        "github.com/argoproj/argo-helm@v0.0.0-20260904222229-3bbb4305eea9",
        "charts/argo-rollouts",
    ),
    (
        "argo-workflows",
        "github.com/argoproj/argo-helm@v0.0.0-20260904222229-3bbb4305eea9",
        "charts/argo-workflows",
    ),
    (
        "cert-manager",
        "github.com/cert-manager/cert-manager@v1.21.2",
        "deploy/charts/cert-manager",
    ),
    (
        "descheduler",
        "sigs.k8s.io/descheduler@v0.36.0",
        "charts/descheduler",
    ),
    (
        "ingress-nginx",
        "k8s.io/ingress-nginx@v0.0.0-20240708192948-52c50467d67d",
        "charts/ingress-nginx",
    ),
    (
        "kube-state-metrics",
        "github.com/prometheus-community/helm-charts@v0.0.0-20260828105119-ed5d7d9b5933",
        "charts/kube-state-metrics",
    ),
    (
        "metrics-server",
        "sigs.k8s.io/metrics-server@v0.9.0",
        "charts/metrics-server",
    ),
    (
        "node-exporter",
        "github.com/prometheus-community/helm-charts@v0.0.0-20260828105119-ed5d7d9b5933",
        "charts/prometheus-node-exporter",
    ),
    (
        "sealed-secrets",
        "github.com/bitnami-labs/sealed-secrets@v0.40.0",
        "helm/sealed-secrets",
    ),
    (
        "traefik",
        "github.com/traefik/traefik-helm-chart@v41.6.0+incompatible",
        "traefik",
    ),
    ("vault", "github.com/hashicorp/vault-helm@v0.34.1", "."),
];

/// Where things are.
pub(crate) struct Places {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is a folder of the workspace")?
            .to_owned();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
            || root.join("target"),
            |given| {
                std::path::absolute(PathBuf::from(given)).unwrap_or_else(|_| root.join("target"))
            },
        );
        Ok(Self { root, target })
    }

    fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// `cargo`, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }
}

/// Runs a command and fails unless it succeeds.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Standard output of a command, if it runs and succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// What is free on the disk that holds a folder, in GiB.
pub(crate) fn free_gib(folder: &Path) -> Result<f64> {
    let said = output(Command::new("df").args(["-Pk"]).arg(folder)).context("asking df")?;
    let free = said
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().nth(3));
    let kilobytes: f64 = free
        .and_then(|free| free.parse().ok())
        .with_context(|| format!("what is free is not in what df said: {said}"))?;
    Ok(kilobytes / f64::from(1 << 20))
}

/// A kubectl that is new enough: the one `APIARY_KUBECTL` names, the machine's, or one built from its Go module.
pub(crate) fn kubectl(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_KUBECTL") {
        return Ok(given.into());
    }
    let built = places.tools().join("kubectl");
    for candidate in [Path::new("kubectl"), &built] {
        if kubectl_minor(candidate).is_some_and(|minor| minor >= KUBECTL_MINOR) {
            return Ok(candidate.to_owned());
        }
    }
    println!("no kubectl 1.{KUBECTL_MINOR} or newer here: building {KUBECTL_BUILT}");
    let minor = KUBECTL_BUILT.split('.').nth(1).unwrap_or_default();
    let package = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {package}.gitVersion={KUBECTL_BUILT} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
    );
    let mut go = go();
    go.args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(places.root.join("xtask/kubectl"));
    run(&mut go).context(
        "building kubectl needs Go; or install kubectl, or name one with APIARY_KUBECTL",
    )?;
    Ok(built)
}

fn kubectl_minor(path: &Path) -> Option<u32> {
    let text = output(Command::new(path).args(["version", "--client", "-o", "json"]))?;
    let version: serde_json::Value = serde_json::from_str(&text).ok()?;
    let version = &version["clientVersion"];
    // Some builds append a plus.
    let minor = version["minor"]
        .as_str()?
        .trim_end_matches('+')
        .parse()
        .ok()?;
    (version["major"] == "1").then_some(minor)
}

/// A Python that has real Helm and Kubernetes' client: the one `APIARY_HELM_PYTHON` names, or a virtual environment of
/// our own.
pub(crate) fn helm_python(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_HELM_PYTHON") {
        return Ok(given.into());
    }
    let folder = places.tools().join("helm-python");
    let python = folder.join("bin/python");
    let packages = [
        (HELM_PACKAGE, HELM_VERSION),
        (PYTHON_CLIENT, PYTHON_CLIENT_VERSION),
    ];
    let probe = format!(
        "import helm_python, kubernetes, importlib.metadata as m; print(m.version('{HELM_PACKAGE}'), m.version('{PYTHON_CLIENT}'))"
    );
    let wanted = packages.map(|(_, version)| version).join(" ");
    let installed = output(Command::new(&python).args(["-c", &probe]));
    if installed.as_deref().map(str::trim) != Some(&wanted) {
        let packages = packages.map(|(name, version)| format!("{name}=={version}"));
        println!("installing {}", packages.join(", "));
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))
            .context("tests against real Helm need Python 3 with venv; or name one that has it with APIARY_HELM_PYTHON")?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .arg("--disable-pip-version-check")
            .args(packages))?;
    }
    Ok(python)
}

/// The stories of Go clients in `crates/apiary/tests/clients/go`, as one program: the one `APIARY_GO_CLIENTS` names, or
/// built. What was built before is built again in a moment.
pub(crate) fn go_clients(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_GO_CLIENTS") {
        return Ok(given.into());
    }
    let built = places.tools().join("go-clients");
    let mut go = go();
    go.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(places.root.join("crates/apiary/tests/clients/go"));
    run(&mut go).context(
        "building the Go clients needs Go 1.26; or name the program with APIARY_GO_CLIENTS",
    )?;
    Ok(built)
}

/// Cluster API's own client: the one `APIARY_CLUSTERCTL` names, or one built from the Go module in `xtask/clusterctl`.
pub(crate) fn clusterctl(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_CLUSTERCTL") {
        return Ok(given.into());
    }
    let built = places.tools().join("clusterctl");
    let package = "sigs.k8s.io/cluster-api/version";
    let minor = CLUSTERCTL_BUILT.split('.').nth(1).unwrap_or_default();
    let flags = format!(
        "-s -w -X {package}.gitVersion={CLUSTERCTL_BUILT} -X {package}.gitMajor=1 -X {package}.gitMinor={minor}"
    );
    let mut go = go();
    go.args(["build", "-trimpath", "-ldflags", &flags, "-o"])
        .arg(&built)
        .arg(".")
        .current_dir(places.root.join("xtask/clusterctl"));
    run(&mut go)
        .context("building clusterctl needs Go 1.26; or name one with APIARY_CLUSTERCTL")?;
    Ok(built)
}

fn go() -> Command {
    let mut go = Command::new("go");
    go.env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .env("CGO_ENABLED", "0");
    go
}

/// A folder with real Helm charts, each under its name: the one `APIARY_CHARTS` names, or links into Go's module cache.
pub(crate) fn charts(places: &Places) -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("APIARY_CHARTS") {
        return Ok(given.into());
    }
    let folder = places.tools().join("charts");
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (name, module, within) in CHARTS {
        let link = folder.join(name);
        if link.join("Chart.yaml").exists() {
            continue;
        }
        println!("downloading the chart {name} from {module}");
        let mut go = go();
        // Outside of any module, so that nothing but the archive itself is asked for.
        go.args(["mod", "download", "-json", module])
            .current_dir(&folder);
        let text = output(&mut go).with_context(|| {
            format!("downloading {module} needs Go; or name a folder of charts with APIARY_CHARTS")
        })?;
        let answer: serde_json::Value =
            serde_json::from_str(&text).context("reading the answer of go mod download")?;
        let cache = answer["Dir"]
            .as_str()
            .with_context(|| format!("go mod download {module} names no folder"))?;
        if link.is_symlink() {
            std::fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
        }
        std::os::unix::fs::symlink(Path::new(cache).join(within), &link)
            .with_context(|| format!("linking {}", link.display()))?;
    }
    Ok(folder)
}

/// The folder of cargo-deny, for the search path.
pub(crate) fn cargo_deny(places: &Places) -> Result<PathBuf> {
    let folder = places.tools().join("bin");
    let installed = output(Command::new(folder.join("cargo-deny")).arg("--version"));
    if installed.is_none_or(|text| !text.trim().ends_with(CARGO_DENY_VERSION)) {
        println!("building cargo-deny {CARGO_DENY_VERSION}");
        let build = places.tools().join("build");
        let version = format!("cargo-deny@{CARGO_DENY_VERSION}");
        // Without optimization it is built in a fraction of the time, and still done in two seconds.
        run(places
            .cargo()
            .args([
                "install",
                "--locked",
                "--quiet",
                "--force",
                "--profile",
                "dev",
                "--config",
                "profile.dev.debug=0",
            ])
            .args([&version, "--root"])
            .arg(places.tools())
            .arg("--target-dir")
            .arg(&build)
            .env_remove("CARGO_TARGET_DIR"))?;
        std::fs::remove_dir_all(&build).with_context(|| format!("removing {}", build.display()))?;
    }
    Ok(folder)
}
