//! The cloud-init document of a machine. Pure.

use api::bootstrap::KubeadmConfigSpec;
use api::bootstrap::kubeadm::{FileDiscovery, KubeConfigUser};
use api::bootstrap::kubeadm_config::{DiskSetup, File, User};
use api::cluster::{Cluster, Machine};
use api::meta::{SecretKey, labels};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{World, kubeadm};
use crate::pki::Purpose;

/// What kubeadm does on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Init,
    JoinControlPlane,
    JoinWorker,
}

/// Where kubeadm's configuration is for `init`.
const INIT_PATH: &str = "/run/kubeadm/kubeadm.yaml";
/// Where kubeadm's configuration is for `join`.
const JOIN_PATH: &str = "/run/kubeadm/kubeadm-join-config.yaml";
/// Where certificates are if the user doesn't say.
const CERTIFICATES_DIR: &str = "/etc/kubernetes/pki";

pub(super) fn is_etcd_external(spec: &KubeadmConfigSpec) -> bool {
    let etcd = spec
        .cluster_configuration
        .as_ref()
        .and_then(|c| c.etcd.as_ref());
    etcd.is_some_and(|e| e.external.is_some())
}

/// The document.
///
/// # Errors
/// What in the config can't be carried out.
pub(super) fn render(
    world: &World,
    machine: &Machine,
    cluster: &Cluster,
    role: Role,
) -> Result<String, String> {
    let spec = &world.config.spec;
    let wants_control_plane = spec
        .join_configuration
        .as_ref()
        .is_some_and(|j| j.control_plane.is_some());
    if role == Role::JoinWorker && wants_control_plane {
        return Err(
            "spec.joinConfiguration.controlPlane must not be set for a worker machine".to_owned(),
        );
    }
    let mut files = vec![];
    if role != Role::JoinWorker {
        certificates(world, &mut files);
    }
    for file in spec.files.iter().flatten() {
        files.push(user_file(world, file)?);
    }
    if role != Role::Init
        && let Some(file) = discovery_file(world, cluster)
    {
        files.push(file);
    }
    let (path, content) = match role {
        Role::Init => (INIT_PATH, kubeadm::init(spec, machine, cluster)?),
        Role::JoinControlPlane => (JOIN_PATH, kubeadm::join(spec, machine, true)?),
        Role::JoinWorker => (JOIN_PATH, kubeadm::join(spec, machine, false)?),
    };
    files.push(file(path, "0640", content));
    files.push(file(
        "/run/cluster-api/placeholder",
        "0640",
        "This file makes sure that the folder exists.".to_owned(),
    ));
    let mut sections = vec![("write_files", json!(files))];
    if let Some(commands) = &spec.boot_commands {
        sections.push(("bootcmd", json!(commands)));
    }
    sections.push(("runcmd", json!(commands(spec, role, path))));
    if let Some(ntp) = &spec.ntp {
        sections.push(("ntp", json!(ntp)));
    }
    if let Some(list) = &spec.users {
        sections.push(("users", users(world, list)?));
    }
    if let Some(disks) = &spec.disk_setup {
        sections.extend(disk_sections(disks));
    }
    if let Some(mounts) = &spec.mounts {
        sections.push(("mounts", json!(mounts)));
    }
    let body: String = sections
        .into_iter()
        .map(|(name, value)| crate::yaml::render(&json!({name: value})))
        .collect();
    Ok(format!("## template: jinja\n#cloud-config\n\n{body}"))
}

fn file(path: &str, permissions: &str, content: String) -> Value {
    json!({"path": path, "owner": "root:root", "permissions": permissions, "content": content})
}

fn certificates(world: &World, files: &mut Vec<Value>) {
    let config = world.config.spec.cluster_configuration.as_ref();
    let dir = config
        .and_then(|c| c.certificates_dir.as_deref())
        .unwrap_or(CERTIFICATES_DIR);
    let external = config.and_then(|c| c.etcd.as_ref()?.external.as_ref());
    for purpose in Purpose::ALL {
        let Some(pair) = world.authorities.pair(purpose) else {
            continue;
        };
        if let (Purpose::Etcd, Some(external)) = (purpose, external) {
            files.push(file(&external.ca_file, "0640", pair.cert.clone()));
            continue;
        }
        let (cert, key) = purpose.files();
        files.push(file(&format!("{dir}/{cert}"), "0640", pair.cert.clone()));
        files.push(file(&format!("{dir}/{key}"), "0600", pair.key.clone()));
    }
}

fn from_secret<'a>(world: &'a World, key: &SecretKey) -> Result<&'a str, String> {
    let secret = world
        .secrets
        .get(&key.name)
        .ok_or_else(|| format!("Secret {} does not exist", key.name))?;
    let value = secret
        .get(&key.key)
        .ok_or_else(|| format!("Secret {} has no text under key {:?}", key.name, key.key))?;
    Ok(value)
}

fn user_file(world: &World, wish: &File) -> Result<Value, String> {
    if wish.content_format.as_deref() == Some("Template") {
        return Err(format!(
            "file {}: contentFormat Template is not supported",
            wish.path
        ));
    }
    let content = match (&wish.content, &wish.content_from) {
        (Some(content), _) => content.clone(),
        (None, Some(from)) => from_secret(world, &from.secret)
            .map_err(|why| format!("file {}: {why}", wish.path))?
            .to_owned(),
        (None, None) => String::new(),
    };
    let mut file = json!({"path": wish.path, "content": content});
    let options = [
        ("owner", &wish.owner),
        ("permissions", &wish.permissions),
        ("encoding", &wish.encoding),
    ];
    for (field, value) in options {
        if let Some(value) = value {
            file[field] = json!(value);
        }
    }
    if wish.append == Some(true) {
        file["append"] = json!(true);
    }
    Ok(file)
}

/// The kubeconfig for discovery, if the user wants one written.
fn discovery_file(world: &World, cluster: &Cluster) -> Option<Value> {
    let discovery = world
        .config
        .spec
        .join_configuration
        .as_ref()?
        .discovery
        .as_ref()?;
    let FileDiscovery {
        kube_config_path,
        kube_config,
    } = discovery.file.as_ref()?;
    let kubeconfig = kube_config.as_ref()?;
    let given = kubeconfig.cluster.as_ref();
    let (host, port) = cluster.endpoint().unwrap_or_default();
    let mut endpoint = json!({
        "server": given.and_then(|c| c.server.clone()).unwrap_or_else(|| format!("https://{host}:{port}")),
    });
    let authority = given
        .and_then(|c| c.certificate_authority_data.as_ref())
        .map(|b| STANDARD.encode(&b.0));
    let own = world
        .authorities
        .pair(Purpose::Cluster)
        .map(|ca| STANDARD.encode(&ca.cert));
    if let Some(authority) = authority.or(own) {
        endpoint["certificate-authority-data"] = json!(authority);
    }
    if let Some(given) = given {
        let options = [
            ("tls-server-name", json!(given.tls_server_name)),
            ("proxy-url", json!(given.proxy_url)),
            (
                "insecure-skip-tls-verify",
                json!(given.insecure_skip_tls_verify),
            ),
        ];
        for (field, value) in options.into_iter().filter(|(_, v)| !v.is_null()) {
            endpoint[field] = value;
        }
    }
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": endpoint}],
        "users": [{"name": "default", "user": user(&kubeconfig.user)}],
        "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
        "current-context": "default",
    });
    Some(file(
        kube_config_path,
        "0640",
        crate::yaml::render(&document),
    ))
}

fn user(user: &KubeConfigUser) -> Value {
    if let Some(exec) = &user.exec {
        let mut value = json!({
            "apiVersion": exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1"),
            "command": exec.command,
            "interactiveMode": "Never",
            "provideClusterInfo": exec.provide_cluster_info.unwrap_or_default(),
        });
        if let Some(args) = &exec.args {
            value["args"] = json!(args);
        }
        if let Some(env) = &exec.env {
            value["env"] = json!(env);
        }
        return json!({"exec": value});
    }
    match &user.auth_provider {
        Some(provider) => json!({"auth-provider": provider}),
        None => json!({}),
    }
}

fn commands(spec: &KubeadmConfigSpec, role: Role, path: &str) -> Vec<String> {
    let verb = if role == Role::Init { "init" } else { "join" };
    let verbosity = spec
        .verbosity
        .map(|v| format!(" --v {v}"))
        .unwrap_or_default();
    let kubeadm = format!(
        "kubeadm {verb} --config {path}{verbosity} && echo success > {}",
        labels::SENTINEL_FILE
    );
    let before = spec.pre_kubeadm_commands.iter().flatten().cloned();
    let after = spec.post_kubeadm_commands.iter().flatten().cloned();
    before.chain([kubeadm]).chain(after).collect()
}

fn users(world: &World, users: &[User]) -> Result<Value, String> {
    let mut list = vec![];
    for user in users {
        let passwd = match (&user.passwd, &user.passwd_from) {
            (Some(passwd), _) => Some(passwd.clone()),
            (None, Some(from)) => Some(
                from_secret(world, &from.secret)
                    .map_err(|why| format!("user {}: {why}", user.name))?
                    .to_owned(),
            ),
            (None, None) => None,
        };
        let fields = [
            ("name", json!(user.name)),
            ("passwd", json!(passwd)),
            ("gecos", json!(user.gecos)),
            ("groups", json!(user.groups)),
            ("homedir", json!(user.home_dir)),
            ("inactive", json!(user.inactive)),
            ("lock_passwd", json!(user.lock_password)),
            ("shell", json!(user.shell)),
            ("primary_group", json!(user.primary_group)),
            ("sudo", json!(user.sudo)),
            ("ssh_authorized_keys", json!(user.ssh_authorized_keys)),
        ];
        list.push(present(fields));
    }
    Ok(json!(list))
}

fn present<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let set = fields.into_iter().filter(|(_, v)| !v.is_null());
    Value::Object(set.map(|(k, v)| (k.to_owned(), v)).collect())
}

fn disk_sections(disks: &DiskSetup) -> Vec<(&'static str, Value)> {
    let mut sections = vec![];
    if let Some(partitions) = &disks.partitions {
        let mut devices = Map::new();
        for partition in partitions {
            let layout = match &partition.disk_layout {
                Some(layout) => layout.iter().map(|l| json!(l.percentage)).collect(),
                None => json!(partition.layout),
            };
            let setup = present([
                ("table_type", json!(partition.table_type)),
                ("layout", layout),
                ("overwrite", json!(partition.overwrite)),
            ]);
            devices.insert(partition.device.clone(), setup);
        }
        sections.push(("disk_setup", Value::Object(devices)));
    }
    if let Some(filesystems) = &disks.filesystems {
        let list: Vec<_> = filesystems
            .iter()
            .map(|f| {
                present([
                    ("label", json!(f.label)),
                    ("filesystem", json!(f.filesystem)),
                    ("device", json!(f.device)),
                    ("partition", json!(f.partition)),
                    ("overwrite", json!(f.overwrite)),
                    ("replace_fs", json!(f.replace_fs)),
                    ("extra_opts", json!(f.extra_opts)),
                ])
            })
            .collect();
        sections.push(("fs_setup", json!(list)));
    }
    sections
}
