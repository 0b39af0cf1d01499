//! What the bootstrap data of a machine says, in whichever format. Pure.

use api::bootstrap::KubeadmConfigSpec;
use api::bootstrap::kubeadm::{FileDiscovery, KubeConfigUser};
use api::bootstrap::kubeadm_config::File;
use api::cluster::{Cluster, Machine};
use api::meta::SecretKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{World, cloudinit, ignition, kubeadm};
use crate::pki::Purpose;

/// What kubeadm does on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Init,
    JoinControlPlane,
    JoinWorker,
}

impl Role {
    /// The command of kubeadm.
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::JoinControlPlane | Self::JoinWorker => "join",
        }
    }
}

/// Where certificates are if the user doesn't say.
const CERTIFICATES_DIR: &str = "/etc/kubernetes/pki";

/// The most that a template may expand to. What a Secret can hold is the same for a whole document.
const EXPANDED_MAX: usize = 1 << 20;

/// What the bootstrap data says beside the spec of its config.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) role: Role,
    /// Certificates, then the user's files, then the kubeconfig for discovery.
    pub(super) files: Vec<Written>,
    /// kubeadm's configuration file.
    pub(super) kubeadm: String,
    /// Hashes of passwords, one for each of the users in the spec.
    pub(super) passwords: Vec<Option<String>>,
}

/// A file on the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) path: String,
    /// As in `root:root`.
    pub(super) owner: Option<String>,
    /// Octal, as in `0640`.
    pub(super) permissions: Option<String>,
    /// How `content` is encoded: base64, gzip or gzip+base64.
    pub(super) encoding: Option<String>,
    pub(super) append: bool,
    pub(super) content: String,
}

impl Written {
    /// A file of root's.
    pub(super) fn new(path: &str, permissions: &str, content: String) -> Self {
        Self {
            path: path.to_owned(),
            owner: Some("root:root".to_owned()),
            permissions: Some(permissions.to_owned()),
            content,
            ..Self::default()
        }
    }
}

pub(super) fn is_etcd_external(spec: &KubeadmConfigSpec) -> bool {
    let etcd = spec
        .cluster_configuration
        .as_ref()
        .and_then(|c| c.etcd.as_ref());
    etcd.is_some_and(|e| e.external.is_some())
}

/// The document in the format that the config asks for, and that format's name.
///
/// # Errors
/// What in the config can't be carried out.
pub(super) fn render(
    world: &World,
    machine: &Machine,
    cluster: &Cluster,
    role: Role,
) -> Result<(String, &'static str), String> {
    let spec = &world.config.spec;
    let contents = contents(world, machine, cluster, role)?;
    match spec.format.as_deref() {
        Some("ignition") => Ok((ignition::render(spec, &contents)?, "ignition")),
        _ => Ok((cloudinit::render(spec, contents), "cloud-config")),
    }
}

fn contents(
    world: &World,
    machine: &Machine,
    cluster: &Cluster,
    role: Role,
) -> Result<Contents, String> {
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
    let kubeadm = match role {
        Role::Init => kubeadm::init(spec, machine, cluster)?,
        Role::JoinControlPlane => kubeadm::join(spec, machine, true)?,
        Role::JoinWorker => kubeadm::join(spec, machine, false)?,
    };
    Ok(Contents {
        role,
        files,
        kubeadm,
        passwords: passwords(world)?,
    })
}

fn certificates(world: &World, files: &mut Vec<Written>) {
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
            files.push(Written::new(&external.ca_file, "0640", pair.cert.clone()));
            continue;
        }
        let (cert, key) = purpose.files();
        files.push(Written::new(
            &format!("{dir}/{cert}"),
            "0640",
            pair.cert.clone(),
        ));
        files.push(Written::new(
            &format!("{dir}/{key}"),
            "0600",
            pair.key.clone(),
        ));
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

fn user_file(world: &World, wish: &File) -> Result<Written, String> {
    let wrong = |why: String| format!("file {}: {why}", wish.path);
    let content = match (&wish.content, &wish.content_from) {
        (Some(content), _) => content.clone(),
        (None, Some(from)) => from_secret(world, &from.secret).map_err(wrong)?.to_owned(),
        (None, None) => String::new(),
    };
    let content = if wish.content_format.as_deref() == Some("Template") {
        expand(world, &content, wish.content.is_none()).map_err(wrong)?
    } else {
        content
    };
    Ok(Written {
        path: wish.path.clone(),
        owner: wish.owner.clone(),
        permissions: wish.permissions.clone(),
        encoding: wish.encoding.clone(),
        append: wish.append == Some(true),
        content,
    })
}

/// Expands a Go template. It sees the version of the cluster's control plane, if there is one that has a version.
fn expand(world: &World, template: &str, is_secret: bool) -> Result<String, String> {
    let data = match &world.control_plane_version {
        Some(text) => {
            let version = text.strip_prefix('v').unwrap_or(text);
            json!({"controlPlane": {"version": format!("v{version}")}})
        }
        None => json!({}),
    };
    let expanded = render::expand(template, &data).map_err(|why| {
        // What is wrong with a template is told with a piece of it.
        if is_secret {
            "the template cannot be expanded; what is wrong is not shown, because it comes from a Secret"
                .to_owned()
        } else {
            why
        }
    })?;
    if expanded.len() > EXPANDED_MAX {
        return Err(format!(
            "the template expands to {} bytes, more than {EXPANDED_MAX}",
            expanded.len()
        ));
    }
    Ok(expanded)
}

fn passwords(world: &World) -> Result<Vec<Option<String>>, String> {
    let users = world.config.spec.users.iter().flatten();
    let hashes = users.map(|user| match (&user.passwd, &user.passwd_from) {
        (Some(passwd), _) => Ok(Some(passwd.clone())),
        (None, Some(from)) => from_secret(world, &from.secret)
            .map(|hash| Some(hash.to_owned()))
            .map_err(|why| format!("user {}: {why}", user.name)),
        (None, None) => Ok(None),
    });
    hashes.collect()
}

/// The kubeconfig for discovery, if the user wants one written.
fn discovery_file(world: &World, cluster: &Cluster) -> Option<Written> {
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
    Some(Written::new(
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
