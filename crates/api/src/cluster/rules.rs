//! Defaults and checks that several kinds share.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta as Metadata};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::cluster::NetworkRanges;
use super::machine::MachineSpec;
use super::machine_set::{MachineNaming, MachineTemplateSpec};
use crate::meta::{FieldError, MachineTaint, ObjectMeta, labels};

/// A Kubernetes version with its leading `v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    /// What follows the numbers, e.g. `-rc.1` or `+build`.
    pub suffix: String,
}

impl Version {
    /// Parses `v1.36.0`; the `v` may be missing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (numbers, suffix) = text.split_at(end);
        let is_suffix = suffix.is_empty()
            || (suffix.starts_with(['-', '+'])
                && suffix.len() > 1
                && suffix
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-+._".contains(c)));
        let mut parts = numbers.split('.').map(|n| {
            let is_plain = n == "0" || !n.starts_with('0');
            n.parse::<u64>().ok().filter(|_| is_plain)
        });
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
            suffix: suffix.to_owned(),
        };
        (is_suffix && parts.next().is_none()).then_some(version)
    }
}

impl Version {
    /// What comes before the release, e.g. `rc.1`; empty for the release itself.
    fn pre_release(&self) -> &str {
        let suffix = self.suffix.split('+').next().unwrap_or_default();
        suffix.trim_start_matches('-')
    }

    /// Major, minor and patch version, which decide what is newer whatever follows them.
    #[must_use]
    pub fn numbers(&self) -> (u64, u64, u64) {
        (self.major, self.minor, self.patch)
    }
}

/// As semantic versions are: what comes before a release is older than it, numbers count as numbers. Builds of one version are in the order
/// of their text, so that only equal ones are equal.
impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let part = |text: &str| match text.parse::<u64>() {
            Ok(number) => (0, number, String::new()),
            Err(_) => (1, 0, text.to_owned()),
        };
        let parts = |version: &Self| -> (bool, Vec<_>) {
            let text = version.pre_release();
            (text.is_empty(), text.split('.').map(part).collect())
        };
        self.numbers()
            .cmp(&other.numbers())
            .then_with(|| parts(self).cmp(&parts(other)))
            .then_with(|| self.suffix.cmp(&other.suffix))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Adds the leading `v` that people forget.
pub fn default_version(version: &mut String) {
    if version.starts_with(|c: char| c.is_ascii_digit()) {
        version.insert(0, 'v');
    }
}

/// Adds the leading `v` to a machine template's version.
pub fn default_template_version(spec: &mut MachineSpec) {
    if let Some(version) = &mut spec.version {
        default_version(version);
    }
}

/// What a Machine gets if its user says nothing.
pub fn default_machine_spec(spec: &mut MachineSpec) {
    default_template_version(spec);
    spec.deletion
        .get_or_insert_default()
        .node_deletion_timeout_seconds
        .get_or_insert(10);
}

/// Sets a label unless it has that value already.
pub fn default_label(metadata: &mut Metadata, key: &str, value: &str) {
    metadata
        .labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}

/// Replicas where the user gave none. With both of the autoscaler's annotations: the smallest size on creation, on update the old value
/// within the bounds. Otherwise 1.
#[must_use]
pub fn default_replicas(
    new: Option<i32>,
    old: Option<i32>,
    annotations: Option<&BTreeMap<String, String>>,
) -> Option<i32> {
    if new.is_some() {
        return new;
    }
    let size = |key: &str| annotations?.get(key)?.parse::<i32>().ok();
    let bounds = (
        size(labels::AUTOSCALER_MIN_SIZE),
        size(labels::AUTOSCALER_MAX_SIZE),
    );
    Some(match (bounds, old) {
        ((Some(min), Some(max)), Some(old)) if min <= max => old.clamp(min, max),
        ((Some(min), Some(_)), _) => min,
        _ => 1,
    })
}

/// Whether a selector selects by nothing.
#[must_use]
pub fn is_empty_selector(selector: &LabelSelector) -> bool {
    selector
        .match_labels
        .as_ref()
        .is_none_or(BTreeMap::is_empty)
        && selector
            .match_expressions
            .as_ref()
            .is_none_or(Vec::is_empty)
}

/// Adds a label to a selector.
pub fn add_selector(selector: &mut LabelSelector, key: &str, value: &str) {
    selector
        .match_labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}

/// Adds a label to a template's metadata.
pub fn add_template_label(metadata: &mut Option<ObjectMeta>, key: &str, value: &str) {
    metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default()
        .insert(key.to_owned(), value.to_owned());
}

/// Whether `labels` match `selector`. An unknown operator matches nothing.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_labels = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    by_labels
        && selector.match_expressions.iter().flatten().all(|e| {
            let value = labels.get(&e.key);
            let is_listed = value.is_some_and(|v| e.values.iter().flatten().any(|x| x == v));
            match e.operator.as_str() {
                "In" => is_listed,
                "NotIn" => !is_listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A selector must be one that can match: a known operator, and values where they mean something.
pub fn check_selector(path: &str, selector: &LabelSelector, errors: &mut Vec<FieldError>) {
    for (index, e) in selector.match_expressions.iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let has_values = e.values.as_ref().is_some_and(|v| !v.is_empty());
        match e.operator.as_str() {
            "In" | "NotIn" if !has_values => errors.push(FieldError::required(
                format!("{path}.values"),
                format!("must name at least one value if operator is {}", e.operator),
            )),
            "Exists" | "DoesNotExist" if has_values => errors.push(FieldError::forbidden(
                format!("{path}.values"),
                format!("must not be set if operator is {}", e.operator),
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{path}.operator"),
                format!("{other:?} must be one of In, NotIn, Exists, DoesNotExist"),
            )),
        }
        if e.key.is_empty() {
            errors.push(FieldError::required(
                format!("{path}.key"),
                "must name a label",
            ));
        }
    }
}

/// A number, or a percentage of `total` rounded up or down; `None` if it is neither or negative.
#[must_use]
pub fn scaled(value: &IntOrString, total: i32, is_up: bool) -> Option<i32> {
    let number = match value {
        IntOrString::Int(number) => i64::from(*number),
        IntOrString::String(text) => {
            let percent = i64::from(text.strip_suffix('%')?.parse::<u16>().ok()?);
            let parts = percent * i64::from(total);
            if is_up {
                (parts + 99) / 100
            } else {
                parts / 100
            }
        }
    };
    i32::try_from(number).ok().filter(|n| *n >= 0)
}

/// A number or percentage must be readable.
pub fn check_scaled(path: &str, value: Option<&IntOrString>, errors: &mut Vec<FieldError>) {
    if value.is_some_and(|v| scaled(v, 100, true).is_none()) {
        errors.push(FieldError::invalid(
            path,
            "must be a number of 0 or more, or a percentage such as \"25%\"",
        ));
    }
}

/// Whether a name is a DNS label.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len())
        && name.chars().all(is_inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A cluster's name becomes label values and host names.
pub fn check_cluster_name(name: &str, errors: &mut Vec<FieldError>) {
    if !is_label(name) {
        errors.push(FieldError::invalid(
            "metadata.name",
            format!("{name:?} must consist of at most 63 lower-case letters, digits and '-', and start and end with a letter or digit"),
        ));
    }
}

/// A version must be `vMAJOR.MINOR.PATCH`.
pub fn check_version(path: &str, version: &str, errors: &mut Vec<FieldError>) {
    if !version.starts_with('v') || Version::parse(version).is_none() {
        errors.push(FieldError::invalid(
            path,
            format!("{version:?} must be a version such as v1.36.0"),
        ));
    }
}

/// CIDR blocks must parse.
pub fn check_ranges(path: &str, ranges: Option<&NetworkRanges>, errors: &mut Vec<FieldError>) {
    for (i, block) in ranges.iter().flat_map(|r| &r.cidr_blocks).enumerate() {
        if !is_cidr(block) {
            errors.push(FieldError::invalid(
                format!("{path}.cidrBlocks[{i}]"),
                format!("{block:?} must be an address range such as 10.128.0.0/12"),
            ));
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

/// Checks on machines that hold for templates too.
pub fn check_machine_spec(
    path: &str,
    spec: &MachineSpec,
    may_lack_bootstrap: bool,
    errors: &mut Vec<FieldError>,
) {
    let bootstrap = &spec.bootstrap;
    if bootstrap.config_ref.is_none() && bootstrap.data_secret_name.is_none() && !may_lack_bootstrap
    {
        errors.push(FieldError::required(
            format!("{path}.bootstrap"),
            "either configRef or dataSecretName must be set",
        ));
    }
    if let Some(version) = &spec.version {
        check_version(&format!("{path}.version"), version, errors);
    }
}

/// Taints that nodes may not get from machines.
pub fn check_taints(
    path: &str,
    taints: Option<&[MachineTaint]>,
    is_control_plane: bool,
    errors: &mut Vec<FieldError>,
) {
    for (i, taint) in taints.iter().copied().flatten().enumerate() {
        let key = taint.key.as_str();
        let why = if key == labels::UNINITIALIZED_TAINT || key == labels::OUTDATED_REVISION_TAINT {
            "is set by Cluster API itself"
        } else if key.starts_with("node.kubernetes.io/")
            && key != "node.kubernetes.io/out-of-service"
        {
            "is set by Kubernetes itself"
        } else if key.starts_with("node.cloudprovider.kubernetes.io/") {
            "is set by the cloud provider"
        } else if key == "node-role.kubernetes.io/master" {
            "is obsolete; use node-role.kubernetes.io/control-plane"
        } else if key == "node-role.kubernetes.io/control-plane" && !is_control_plane {
            "is for control plane machines only"
        } else {
            continue;
        };
        errors.push(FieldError::invalid(
            format!("{path}[{i}].key"),
            format!("{key} {why}"),
        ));
    }
}

/// A machine never moves to another cluster.
pub fn check_cluster_unchanged(new: &str, old: &str, errors: &mut Vec<FieldError>) {
    if new != old {
        errors.push(FieldError::forbidden(
            "spec.clusterName",
            format!("cannot be changed from {old:?}"),
        ));
    }
}

/// Labels and annotations that objects will get must be such that the API server takes them.
pub fn check_metadata(path: &str, metadata: Option<&ObjectMeta>, errors: &mut Vec<FieldError>) {
    let labels = metadata.and_then(|m| m.labels.as_ref());
    for (key, value) in labels.into_iter().flatten() {
        check_key(&format!("{path}.labels"), key, errors);
        if !is_name(value, 63, true) {
            errors.push(FieldError::invalid(
                format!("{path}.labels[{key}]"),
                format!("{value:?} must consist of at most 63 letters, digits, '-', '_' and '.', and start and end with a letter or digit"),
            ));
        }
    }
    let annotations = metadata.and_then(|m| m.annotations.as_ref());
    for key in annotations.into_iter().flatten().map(|(key, _)| key) {
        check_key(&format!("{path}.annotations"), key, errors);
    }
}

/// A key of a label or an annotation: a name, with a domain before it if it is not the user's own.
fn check_key(path: &str, key: &str, errors: &mut Vec<FieldError>) {
    let (domain, name) = key
        .split_once('/')
        .map_or((None, key), |(domain, name)| (Some(domain), name));
    let is_domain = |domain: &str| {
        domain.len() <= 253
            && domain.split('.').all(|part| {
                is_name(part, 63, false)
                    && !part.contains(['_', '.'])
                    && part.to_ascii_lowercase() == part
            })
    };
    if !is_name(name, 63, false) || domain.is_some_and(|domain| !is_domain(domain)) {
        errors.push(FieldError::invalid(
            path,
            format!("{key:?} must be a name such as \"team\" or \"example.com/team\""),
        ));
    }
}

/// Letters, digits, `-`, `_` and `.`, with a letter or digit at both ends.
fn is_name(text: &str, len_max: usize, may_be_empty: bool) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (may_be_empty && text.is_empty())
        || (text.len() <= len_max
            && text.chars().all(is_inner)
            && is_end(text.chars().next())
            && is_end(text.chars().next_back()))
}

/// Checks before new machines that may be left out.
const PREFLIGHT_CHECKS: [&str; 5] = [
    "All",
    "KubeadmVersionSkew",
    "KubernetesVersionSkew",
    "ControlPlaneIsStable",
    "ControlPlaneVersionSkew",
];

/// The annotation that leaves checks out must name checks.
pub fn check_skipped_checks(metadata: &Metadata, errors: &mut Vec<FieldError>) {
    let annotations = metadata.annotations.as_ref();
    let Some(list) = annotations.and_then(|a| a.get(labels::SKIP_PREFLIGHT_CHECKS)) else {
        return;
    };
    let mut unknown = list
        .split(',')
        .map(str::trim)
        .filter(|check| !PREFLIGHT_CHECKS.contains(check));
    if let Some(unknown) = unknown.next() {
        errors.push(FieldError::invalid(
            format!("metadata.annotations[{}]", labels::SKIP_PREFLIGHT_CHECKS),
            format!("{unknown:?} must be one of {}", PREFLIGHT_CHECKS.join(", ")),
        ));
    }
}

/// The selector, the template and the cluster must fit together.
pub fn check_template(
    cluster: &str,
    selector: &LabelSelector,
    template: &MachineTemplateSpec,
    errors: &mut Vec<FieldError>,
) {
    let labels = template
        .metadata
        .as_ref()
        .and_then(|m| m.labels.clone())
        .unwrap_or_default();
    let known = errors.len();
    check_selector("spec.selector", selector, errors);
    check_metadata("spec.template.metadata", template.metadata.as_ref(), errors);
    // A selector that is wrong itself matches nothing.
    if errors.len() == known && !selects(selector, &labels) {
        errors.push(FieldError::invalid(
            "spec.template.metadata.labels",
            "must match spec.selector",
        ));
    }
    if template.spec.cluster_name != cluster {
        errors.push(FieldError::invalid(
            "spec.template.spec.clusterName",
            format!("must be {cluster:?}, as spec.clusterName"),
        ));
    }
    check_machine_spec("spec.template.spec", &template.spec, false, errors);
    check_taints(
        "spec.template.spec.taints",
        template.spec.taints.as_deref(),
        false,
        errors,
    );
}

/// Without a random part, names of machines would collide.
pub fn check_naming(path: &str, naming: Option<&MachineNaming>, errors: &mut Vec<FieldError>) {
    let Some(template) = naming.and_then(|n| n.template.as_deref()) else {
        return;
    };
    // Read as names are made: what follows a "{{" up to the next "}}" is one variable.
    let (mut rest, mut has_random) = (template, false);
    while let Some((variable, after)) = rest
        .split_once("{{")
        .and_then(|(_, after)| after.split_once("}}"))
    {
        has_random |= variable.trim() == ".random";
        rest = after;
    }
    if !has_random {
        errors.push(FieldError::invalid(path, "must contain {{ .random }}"));
    }
}
