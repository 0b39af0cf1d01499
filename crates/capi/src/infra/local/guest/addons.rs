//! What kubeadm puts into a new cluster: roles of machines that join, kube-proxy, CoreDNS.

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::config::text;
use super::network::{create, create_in};
use super::{ControlPlaneDisk, Guest};

/// Group of the tokens that machines join with.
const JOINING: &str = "system:bootstrappers:kubeadm:default-node-token";
const IMAGE_REPOSITORY: &str = "registry.k8s.io";

fn typed<K: DeserializeOwned>(value: Value) -> Result<K, String> {
    serde_json::from_value(value)
        .map_err(|error| format!("an object of kubeadm has the wrong shape: {error}"))
}

fn group(name: &str) -> Value {
    json!([{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name}])
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": name})
}

/// Lets bearers of a bootstrap token find the cluster, and ask for the certificate of a kubelet.
pub(super) async fn bootstrap_tokens(guest: &Guest<'_>, admin: &Client) -> Result<(), String> {
    guest
        .console
        .line("[bootstrap-token] Configuring RBAC for machines that join");
    let bindings = [
        (
            "kubeadm:kubelet-bootstrap",
            "system:node-bootstrapper",
            JOINING,
        ),
        (
            "kubeadm:node-autoapprove-bootstrap",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            JOINING,
        ),
        (
            "kubeadm:node-autoapprove-certificate-rotation",
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            "system:nodes",
        ),
        ("kubeadm:get-nodes", "kubeadm:get-nodes", JOINING),
        (
            "kubeadm:cluster-admins",
            "cluster-admin",
            "kubeadm:cluster-admins",
        ),
    ];
    let get_nodes = json!({"metadata": {"name": "kubeadm:get-nodes"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]});
    create::<ClusterRole>(admin, &typed(get_nodes)?).await?;
    for (name, role, subject) in bindings {
        let binding = json!({"metadata": {"name": name}, "roleRef": reference("ClusterRole", role), "subjects": group(subject)});
        create::<ClusterRoleBinding>(admin, &typed(binding)?).await?;
    }
    let anybody = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:anonymous"}]);
    let machines = json!([group(JOINING)[0], group("system:nodes")[0]]);
    let roles = [
        (
            "kube-public",
            "kubeadm:bootstrap-signer-clusterinfo",
            "cluster-info",
            anybody,
        ),
        (
            "kube-system",
            "kubeadm:nodes-kubeadm-config",
            "kubeadm-config",
            machines.clone(),
        ),
        (
            "kube-system",
            "kubeadm:kubelet-config",
            "kubelet-config",
            machines,
        ),
    ];
    for (namespace, name, object, subjects) in roles {
        let metadata = json!({"name": name, "namespace": namespace});
        let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [object]}]);
        create_in::<Role>(
            admin,
            namespace,
            &typed(json!({"metadata": metadata, "rules": rules}))?,
        )
        .await?;
        let binding =
            json!({"metadata": metadata, "roleRef": reference("Role", name), "subjects": subjects});
        create_in::<RoleBinding>(admin, namespace, &typed(binding)?).await?;
    }
    Ok(())
}

/// Installs kube-proxy and CoreDNS.
pub(super) async fn install(
    guest: &Guest<'_>,
    admin: &Client,
    cluster: &Value,
    disk: &ControlPlaneDisk,
    version: &str,
) -> Result<(), String> {
    let repository = text(cluster, &["imageRepository"]).unwrap_or(IMAGE_REPOSITORY);
    core_dns(admin, cluster, disk, repository).await?;
    guest
        .console
        .line("[addons] Applied essential addon: CoreDNS");
    kube_proxy(admin, disk, repository, version).await?;
    guest
        .console
        .line("[addons] Applied essential addon: kube-proxy");
    Ok(())
}

async fn kube_proxy(
    admin: &Client,
    disk: &ControlPlaneDisk,
    repository: &str,
    version: &str,
) -> Result<(), String> {
    let labels = json!({"k8s-app": "kube-proxy"});
    let account = json!({"metadata": {"name": "kube-proxy", "namespace": "kube-system"}});
    create_in::<ServiceAccount>(admin, "kube-system", &typed(account)?).await?;
    let config = json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "clusterCIDR": disk.pod_cidr});
    let map = json!({
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": {"app": "kube-proxy"}},
        "data": {"config.conf": crate::yaml::render(&config)},
    });
    create_in::<ConfigMap>(admin, "kube-system", &typed(map)?).await?;
    let binding = json!({
        "metadata": {"name": "kubeadm:node-proxier"},
        "roleRef": reference("ClusterRole", "system:node-proxier"),
        "subjects": [{"kind": "ServiceAccount", "name": "kube-proxy", "namespace": "kube-system"}],
    });
    create::<ClusterRoleBinding>(admin, &typed(binding)?).await?;
    let image = format!("{repository}/kube-proxy:{}", version.replace('+', "_"));
    let daemon_set = json!({
        "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "kube-proxy",
                    "hostNetwork": true,
                    "priorityClassName": "system-node-critical",
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{
                        "name": "kube-proxy",
                        "image": image,
                        "command": ["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf"],
                        "volumeMounts": [{"name": "kube-proxy", "mountPath": "/var/lib/kube-proxy"}],
                    }],
                    "volumes": [{"name": "kube-proxy", "configMap": {"name": "kube-proxy"}}],
                },
            },
        },
    });
    create_in::<DaemonSet>(admin, "kube-system", &typed(daemon_set)?).await
}

async fn core_dns(
    admin: &Client,
    cluster: &Value,
    disk: &ControlPlaneDisk,
    repository: &str,
) -> Result<(), String> {
    let account = json!({"metadata": {"name": "coredns", "namespace": "kube-system"}});
    create_in::<ServiceAccount>(admin, "kube-system", &typed(account)?).await?;
    let role = json!({
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"verbs": ["list", "watch"], "apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"]},
            {"verbs": ["list", "watch"], "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"]},
        ],
    });
    create::<ClusterRole>(admin, &typed(role)?).await?;
    let binding = json!({
        "metadata": {"name": "system:coredns"},
        "roleRef": reference("ClusterRole", "system:coredns"),
        "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
    });
    create::<ClusterRoleBinding>(admin, &typed(binding)?).await?;
    let corefile = format!(
        ".:53 {{\n    errors\n    health\n    ready\n    kubernetes {} in-addr.arpa ip6.arpa\n    prometheus :9153\n    forward . /etc/resolv.conf\n    cache 30\n    loop\n    reload\n    loadbalance\n}}\n",
        disk.dns_domain
    );
    let map = json!({"metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": corefile}});
    create_in::<ConfigMap>(admin, "kube-system", &typed(map)?).await?;
    let image = dns_image(cluster, repository);
    create_in::<Deployment>(admin, "kube-system", &typed(dns_deployment(&image))?).await?;
    let service = dns_service(&tenth_address(&disk.service_cidr)?);
    create_in::<Service>(admin, "kube-system", &typed(service)?).await
}

/// The image of CoreDNS: where the user says, or below the repository of all images.
fn dns_image(cluster: &Value, repository: &str) -> String {
    let dns_repository = text(cluster, &["dns", "imageRepository"]);
    let tag = text(cluster, &["dns", "imageTag"]).unwrap_or("v1.12.4");
    match dns_repository {
        Some(own) => format!("{own}/coredns:{tag}"),
        None if repository == IMAGE_REPOSITORY => format!("{repository}/coredns/coredns:{tag}"),
        None => format!("{repository}/coredns:{tag}"),
    }
}

fn dns_deployment(image: &str) -> Value {
    let labels = json!({"k8s-app": "kube-dns"});
    json!({
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels},
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "coredns",
                    "priorityClassName": "system-cluster-critical",
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [
                        {"key": "CriticalAddonsOnly", "operator": "Exists"},
                        {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                    ],
                    "containers": [{
                        "name": "coredns",
                        "image": image,
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "ports": [
                            {"containerPort": 53, "name": "dns", "protocol": "UDP"},
                            {"containerPort": 53, "name": "dns-tcp", "protocol": "TCP"},
                        ],
                        "volumeMounts": [{"name": "config-volume", "mountPath": "/etc/coredns", "readOnly": true}],
                    }],
                    "volumes": [{"name": "config-volume", "configMap": {"name": "coredns", "items": [{"key": "Corefile", "path": "Corefile"}]}}],
                },
            },
        },
    })
}

fn dns_service(address: &str) -> Value {
    let labels = json!({"k8s-app": "kube-dns"});
    json!({
        "metadata": {
            "name": "kube-dns", "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {
            "clusterIP": address,
            "selector": labels,
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        },
    })
}

/// The address of the DNS service: the tenth of the first range of services.
pub(super) fn tenth_address(cidr: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "networking.serviceSubnet {cidr:?} is no address range such as {}",
            "10.96.0.0/12"
        )
    };
    let first = cidr.split(',').next().unwrap_or_default();
    let (address, bits) = first.split_once('/').ok_or_else(wrong)?;
    let (address, bits) = (
        address.parse::<IpAddr>().map_err(|_| wrong())?,
        bits.parse::<u32>().map_err(|_| wrong())?,
    );
    match address {
        IpAddr::V4(address) if bits <= 28 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Ok(std::net::Ipv4Addr::from((u32::from(address) & mask) + 10).to_string())
        }
        IpAddr::V6(address) if bits <= 124 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Ok(std::net::Ipv6Addr::from((u128::from(address) & mask) + 10).to_string())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Err(format!(
            "networking.serviceSubnet {cidr:?} has no room for ten addresses"
        )),
    }
}
