//! `.Capabilities`: what the cluster can do.

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    /// The whole version with its `v`.
    pub version: String,
    /// First number.
    pub major: String,
    /// Second number.
    pub minor: String,
}

impl KubeVersion {
    /// From a version with or without `v`; missing numbers count as 0.
    pub fn new(version: &str) -> Self {
        let bare = version.strip_prefix('v').unwrap_or(version);
        let mut numbers = bare
            .split(['.', '-', '+'])
            .map(|n| n.trim_matches(|c: char| !c.is_ascii_digit()).to_string());
        let mut next = || {
            numbers
                .next()
                .filter(|n| !n.is_empty())
                .unwrap_or_else(|| "0".into())
        };
        let (major, minor) = (next(), next());
        Self {
            version: format!("v{bare}"),
            major,
            minor,
        }
    }

    /// Without what follows the three numbers.
    pub(super) fn normalized(&self) -> String {
        self.version
            .split(['-', '+'])
            .next()
            .unwrap_or_default()
            .to_string()
    }
}

/// The build that renders, as charts may ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmVersion {
    /// The version of Helm whose behaviour this engine has.
    pub version: String,
    /// Empty: this engine is no build of Helm.
    pub git_commit: String,
    /// Empty, as above.
    pub git_tree_state: String,
    /// Empty, as above.
    pub go_version: String,
    /// The Kubernetes client library's version.
    pub kube_client_version: String,
}

/// What the cluster can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Its version.
    pub kube_version: KubeVersion,
    /// Group versions (`apps/v1`) and kinds in them (`apps/v1/Deployment`).
    pub api_versions: Vec<String>,
    /// The build that renders.
    pub helm_version: HelmVersion,
}

impl Capabilities {
    /// A cluster of this version that serves these group versions and kinds.
    pub fn new(kube_version: &str, api_versions: Vec<String>) -> Self {
        Self {
            kube_version: KubeVersion::new(kube_version),
            api_versions,
            helm_version: HelmVersion {
                version: "v4.2".into(),
                git_commit: String::new(),
                git_tree_state: String::new(),
                go_version: String::new(),
                kube_client_version: "v1.36".into(),
            },
        }
    }
}

impl Default for Capabilities {
    /// Without a cluster: Kubernetes 1.36 with every group version of its client library, as `helm template` assumes.
    fn default() -> Self {
        Self::new("v1.36.0", KNOWN.iter().map(|v| (*v).to_string()).collect())
    }
}

/// What the Kubernetes client library of Helm knows, in its order.
const KNOWN: [&str; 55] = [
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha2",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];
