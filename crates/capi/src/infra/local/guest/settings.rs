//! What kubeadm and the components of a control plane make of their configuration: the arguments they are started with, and the files these
//! name. A component that would not start on a real machine does not start here. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::config::args;
use super::document::Files;

/// Folders of the machine that kubeadm shows the API server anyway.
const MOUNTED: [&str; 5] = [
    "/etc/kubernetes/pki",
    "/etc/ssl/certs",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
];

/// Says what is wrong with what a file holds.
type Check = fn(&Value) -> Result<(), String>;

/// Arguments of the API server that name a file, with the kind of object in it and what is checked of it.
const FILES: [(&str, &str, Check); 4] = [
    (
        "admission-control-config-file",
        "AdmissionConfiguration",
        plugins,
    ),
    ("audit-policy-file", "Policy", levels),
    (
        "authentication-config",
        "AuthenticationConfiguration",
        issuers,
    ),
    (
        "encryption-provider-config",
        "EncryptionConfiguration",
        providers,
    ),
];

/// The arguments of a component, with those that kubeadm gives it.
pub(super) fn arguments(cluster: &Value, component: &str, address: &str) -> Vec<String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut own = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    let section = match component {
        "kube-apiserver" => {
            own("advertise-address", address);
            own("authorization-mode", "Node,RBAC");
            own("enable-admission-plugins", "NodeRestriction");
            own("enable-bootstrap-token-auth", "true");
            &cluster["apiServer"]
        }
        "kube-controller-manager" => {
            own("bind-address", "127.0.0.1");
            own("leader-elect", "true");
            own("use-service-account-credentials", "true");
            &cluster["controllerManager"]
        }
        "kube-scheduler" => {
            own("bind-address", "127.0.0.1");
            own("leader-elect", "true");
            &cluster["scheduler"]
        }
        _ => {
            own("client-cert-auth", "true");
            own("peer-client-cert-auth", "true");
            &cluster["etcd"]["local"]
        }
    };
    all.extend(args(&section["extraArgs"]));
    let shown = all.iter().map(|(name, value)| format!("--{name}={value}"));
    shown.collect()
}

/// Whether an API server would start with this configuration.
///
/// # Errors
/// Which argument or file is wrong, and what would be right.
pub(super) fn check_api_server(cluster: &Value, files: &Files) -> Result<(), String> {
    let arguments = args(&cluster["apiServer"]["extraArgs"]);
    for (name, kind, check) in FILES {
        let Some(path) = arguments.get(name) else {
            continue;
        };
        let wrong = |why: &str| format!("[control-plane] kube-apiserver: --{name} {path}: {why}");
        let host_path = on_machine(&cluster["apiServer"]["extraVolumes"], path)
            .ok_or_else(|| wrong("no extraVolumes of apiServer mount it"))?;
        let text = files
            .text(&host_path)
            .ok_or_else(|| wrong(&format!("there is no file {host_path} on the machine")))?;
        let parsed = crate::yaml::parse(text).map_err(|why| wrong(&format!("it is {why}")))?;
        if parsed["kind"] != kind {
            return Err(wrong(&format!("its kind must be {kind}")));
        }
        check(&parsed).map_err(|why| wrong(&why))?;
    }
    let is_structured = arguments.contains_key("authentication-config");
    let flag = arguments
        .keys()
        .find(|name| name.starts_with("oidc-") || *name == "anonymous-auth");
    if let Some(flag) = flag.filter(|_| is_structured) {
        return Err(format!(
            "[control-plane] kube-apiserver: --{flag} must not be set beside --authentication-config, which says the same"
        ));
    }
    Ok(())
}

/// Where a path that the API server sees is on the machine.
fn on_machine(volumes: &Value, path: &str) -> Option<String> {
    let below = |folder: &str| {
        let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    };
    let own = volumes.as_array().into_iter().flatten().find_map(|volume| {
        let rest = below(volume["mountPath"].as_str()?)?;
        let host = volume["hostPath"].as_str()?.trim_end_matches('/');
        Some(format!("{host}{rest}"))
    });
    own.or_else(|| {
        let is_mounted = MOUNTED.iter().any(|folder| below(folder).is_some());
        is_mounted.then(|| path.to_owned())
    })
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn plugins(file: &Value) -> Result<(), String> {
    let nameless = list(file, "plugins").any(|p| p["name"].as_str().unwrap_or_default().is_empty());
    if nameless {
        return Err("each of plugins must have a name".to_owned());
    }
    Ok(())
}

fn levels(file: &Value) -> Result<(), String> {
    let known = ["None", "Metadata", "Request", "RequestResponse"];
    if list(file, "rules").next().is_none() {
        return Err("rules must not be empty".to_owned());
    }
    for (i, rule) in list(file, "rules").enumerate() {
        let level = rule["level"].as_str().unwrap_or_default();
        if !known.contains(&level) {
            return Err(format!(
                "rules[{i}].level is {level:?}: it must be one of {}",
                known.join(", ")
            ));
        }
    }
    Ok(())
}

fn issuers(file: &Value) -> Result<(), String> {
    for (i, jwt) in list(file, "jwt").enumerate() {
        let url = jwt["issuer"]["url"].as_str().unwrap_or_default();
        if !url.starts_with("https://") {
            return Err(format!("jwt[{i}].issuer.url must begin with https://"));
        }
        if list(&jwt["issuer"], "audiences").next().is_none() {
            return Err(format!("jwt[{i}].issuer.audiences must not be empty"));
        }
    }
    Ok(())
}

/// Says nothing of keys but how long they are.
fn providers(file: &Value) -> Result<(), String> {
    if list(file, "resources").next().is_none() {
        return Err("resources must not be empty".to_owned());
    }
    for (i, resource) in list(file, "resources").enumerate() {
        let at = format!("resources[{i}]");
        if list(resource, "resources").next().is_none() {
            return Err(format!("{at}.resources must not be empty"));
        }
        if list(resource, "providers").next().is_none() {
            return Err(format!("{at}.providers must not be empty"));
        }
        for (j, provider) in list(resource, "providers").enumerate() {
            let members = provider.as_object().into_iter().flatten();
            for (kind, settings) in members {
                let lengths: &[usize] = match kind.as_str() {
                    "aescbc" | "aesgcm" => &[16, 24, 32],
                    "secretbox" => &[32],
                    "identity" | "kms" => continue,
                    other => return Err(format!("{at}.providers[{j}]: {other:?} is no provider")),
                };
                let mut keys = list(settings, "keys").peekable();
                if keys.peek().is_none() {
                    return Err(format!("{at}.providers[{j}].{kind}.keys must not be empty"));
                }
                for (k, key) in keys.enumerate() {
                    let bytes = STANDARD.decode(key["secret"].as_str().unwrap_or_default());
                    if !bytes.is_ok_and(|b| lengths.contains(&b.len())) {
                        let lengths: Vec<_> = lengths.iter().map(usize::to_string).collect();
                        return Err(format!(
                            "{at}.providers[{j}].{kind}.keys[{k}].secret must be {} bytes in base64",
                            lengths.join(", ")
                        ));
                    }
                }
            }
        }
    }
    Ok(())
}
