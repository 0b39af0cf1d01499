//! The cloud-init document of a machine. Pure.

use api::bootstrap::KubeadmConfigSpec;
use api::bootstrap::kubeadm_config::DiskSetup;
use api::meta::labels;
use serde_json::{Map, Value, json};

use super::contents::{Contents, Role, Written};

/// Where kubeadm's configuration is for `init`.
const INIT_PATH: &str = "/run/kubeadm/kubeadm.yaml";
/// Where kubeadm's configuration is for `join`.
const JOIN_PATH: &str = "/run/kubeadm/kubeadm-join-config.yaml";

/// The document. cloud-init works through its sections in an order of its own; people read them in this one.
pub(super) fn render(spec: &KubeadmConfigSpec, contents: Contents) -> String {
    let path = match contents.role {
        Role::Init => INIT_PATH,
        Role::JoinControlPlane | Role::JoinWorker => JOIN_PATH,
    };
    let runcmd = commands(spec, contents.role, path);
    let users = users(spec, &contents.passwords);
    let own = [
        Written::new(path, "0640", contents.kubeadm),
        Written::new(
            "/run/cluster-api/placeholder",
            "0640",
            "This file makes sure that the folder exists.".to_owned(),
        ),
    ];
    let files: Vec<_> = contents.files.into_iter().chain(own).map(file).collect();
    let mut sections = vec![("write_files", json!(files))];
    if let Some(commands) = &spec.boot_commands {
        sections.push(("bootcmd", json!(commands)));
    }
    sections.push(("runcmd", json!(runcmd)));
    if let Some(ntp) = &spec.ntp {
        sections.push(("ntp", json!(ntp)));
    }
    if spec.users.is_some() {
        sections.push(("users", users));
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
    format!("## template: jinja\n#cloud-config\n\n{body}")
}

fn file(file: Written) -> Value {
    present([
        ("path", json!(file.path)),
        ("content", json!(file.content)),
        ("owner", json!(file.owner)),
        ("permissions", json!(file.permissions)),
        ("encoding", json!(file.encoding)),
        ("append", json!(file.append.then_some(true))),
    ])
}

fn commands(spec: &KubeadmConfigSpec, role: Role, path: &str) -> Vec<String> {
    let verbosity = spec
        .verbosity
        .map(|v| format!(" --v {v}"))
        .unwrap_or_default();
    let kubeadm = format!(
        "kubeadm {} --config {path}{verbosity} && echo success > {}",
        role.verb(),
        labels::SENTINEL_FILE
    );
    let before = spec.pre_kubeadm_commands.iter().flatten().cloned();
    let after = spec.post_kubeadm_commands.iter().flatten().cloned();
    before.chain([kubeadm]).chain(after).collect()
}

fn users(spec: &KubeadmConfigSpec, passwords: &[Option<String>]) -> Value {
    let users = spec.users.iter().flatten().zip(passwords);
    let list = users.map(|(user, passwd)| {
        present([
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
        ])
    });
    list.collect()
}

pub(super) fn present<const N: usize>(fields: [(&str, Value); N]) -> Value {
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
