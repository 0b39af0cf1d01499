//! The Ignition document of a machine, in version 2.3 of its spec, which Flatcar reads. Pure.
//!
//! Ignition runs no commands: it writes a script, and a systemd unit that runs it. The unit runs while kubeadm's configuration is where Ignition
//! put it; the script moves that away when kubeadm has succeeded, so that a reboot does not run it again.

use api::bootstrap::KubeadmConfigSpec;
use api::bootstrap::kubeadm_config::{DiskSetup, Ntp, User};
use api::meta::labels;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cloudinit::present;
use super::container_linux;
use super::contents::{Contents, Written};

/// Where kubeadm's configuration is. Ignition cannot write below /run, which does not exist yet.
const CONFIGURATION: &str = "/etc/kubeadm.yml";
/// What the unit runs.
const SCRIPT: &str = "/etc/kubeadm.sh";
/// Where the field is that holds a Container Linux config.
const ADDITIONAL: &str = "spec.ignition.containerLinuxConfig.additionalConfig";

/// The document.
///
/// # Errors
/// What in the config can't be carried out.
pub(super) fn render(spec: &KubeadmConfigSpec, contents: &Contents) -> Result<String, String> {
    let mut document = json!({
        "ignition": {"version": "2.3.0"},
        "storage": {"files": files(spec, contents)?},
        "systemd": {"units": units(spec)?},
    });
    if let Some(users) = &spec.users {
        let users = users.iter().zip(&contents.passwords);
        let users: Vec<_> = users
            .map(|(user, hash)| account(user, hash.as_deref()))
            .collect();
        document["passwd"] = json!({"users": users});
    }
    if let Some(setup) = &spec.disk_setup {
        if setup.partitions.is_some() {
            document["storage"]["disks"] = disks(setup)?;
        }
        if setup.filesystems.is_some() {
            document["storage"]["filesystems"] = filesystems(setup);
        }
    }
    let given = spec
        .ignition
        .as_ref()
        .and_then(|i| i.container_linux_config.as_ref());
    if let Some(config) = given
        && let Some(text) = &config.additional_config
    {
        let addition = container_linux::translate(text, config.strict == Some(true))
            .map_err(|why| format!("{ADDITIONAL}: {why}"))?;
        let files = addition["storage"]["files"].as_array();
        // What is added to them comes after what runs kubeadm.
        let whole = files.into_iter().flatten().filter(|f| f["append"] != true);
        let mut paths = whole.filter_map(|f| f["path"].as_str());
        if let Some(taken) = paths.find(|path| is_taken(path)) {
            return Err(format!("{ADDITIONAL}: {}", why_taken(taken)));
        }
        container_linux::merge(&mut document, addition);
    }
    Ok(document.to_string())
}

/// Whether a machine could not join if a file were another one.
fn is_taken(path: &str) -> bool {
    path == CONFIGURATION || path == SCRIPT
}

fn why_taken(path: &str) -> String {
    format!("file {path}: the path is that of a file that runs kubeadm; choose another one")
}

fn files(spec: &KubeadmConfigSpec, contents: &Contents) -> Result<Vec<Value>, String> {
    if let Some(taken) = contents.files.iter().find(|f| is_taken(&f.path)) {
        return Err(why_taken(&taken.path));
    }
    // A file that the user brings takes the place of one that would be made from other fields.
    let is_free = |made: &Written| {
        let mut own = contents.files.iter();
        !own.any(|f| f.path == made.path && !f.append)
    };
    let users = spec.users.iter().flatten();
    let made = users
        .clone()
        .filter_map(sudo_rule)
        .chain(logins(users))
        .filter(is_free);
    let ntp = spec.ntp.as_ref().and_then(time_servers).filter(is_free);
    let kubeadm = [
        Written {
            owner: None,
            ..Written::new(SCRIPT, "0700", script(spec, contents))
        },
        Written {
            owner: None,
            ..Written::new(CONFIGURATION, "0600", contents.kubeadm.clone())
        },
    ];
    let all = made
        .chain(ntp)
        .chain(contents.files.iter().cloned())
        .chain(kubeadm);
    all.map(|f| file(&f).map_err(|why| format!("file {}: {why}", f.path)))
        .collect()
}

fn file(file: &Written) -> Result<Value, String> {
    let content = match file.encoding.as_deref() {
        None => file.content.as_bytes().to_vec(),
        Some("base64") => {
            let plain: String = file.content.split_whitespace().collect();
            let decoded = STANDARD.decode(plain);
            decoded.map_err(|_| "the content is not base64".to_owned())?
        }
        Some(other) => return Err(format!("encoding {other} cannot be used with ignition")),
    };
    let mode =
        match &file.permissions {
            Some(text) => Some(octal(text).ok_or_else(|| {
                format!("permissions {text:?} must be octal digits, as in \"0640\"")
            })?),
            None => None,
        };
    let (user, group) = match file
        .owner
        .as_deref()
        .map(|o| o.split_once(':').unwrap_or((o, "")))
    {
        Some((user, group)) => (identity(user), identity(group)),
        None => (Value::Null, Value::Null),
    };
    Ok(present([
        ("filesystem", json!("root")),
        ("path", json!(file.path)),
        ("contents", json!({"source": data_url(&content)})),
        ("mode", json!(mode)),
        ("user", user),
        ("group", group),
        ("append", json!(file.append.then_some(true))),
    ]))
}

fn octal(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok()?;
    (is_plain && mode <= 0o7777).then_some(mode)
}

fn identity(text: &str) -> Value {
    match (text.trim(), text.trim().parse::<u32>()) {
        ("", _) => Value::Null,
        (_, Ok(id)) => json!({"id": id}),
        (name, Err(_)) => json!({"name": name}),
    }
}

/// RFC 2397, with everything escaped that RFC 3986 does not leave alone.
pub(super) fn data_url(content: &[u8]) -> String {
    let mut url = String::from("data:,");
    for &byte in content {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// It ends at the first command that fails, as the commands of a cloud-init document do not; whoever looks at the unit sees that it failed.
fn script(spec: &KubeadmConfigSpec, contents: &Contents) -> String {
    let verbosity = spec
        .verbosity
        .map(|v| format!(" --v {v}"))
        .unwrap_or_default();
    let sentinel = labels::SENTINEL_FILE;
    let folder = sentinel.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let verb = contents.role.verb();
    let own = [
        format!("kubeadm {verb} --config {CONFIGURATION}{verbosity}"),
        format!("mkdir -p {folder} && echo success > {sentinel}"),
        format!("mv {CONFIGURATION} /tmp/"),
    ];
    let head = ["#!/bin/bash", "set -e"].map(str::to_owned);
    let before = spec.pre_kubeadm_commands.iter().flatten().cloned();
    let after = spec.post_kubeadm_commands.iter().flatten().cloned();
    let lines = head.into_iter().chain(before).chain(own).chain(after);
    lines.map(|line| line + "\n").collect()
}

fn account(user: &User, hash: Option<&str>) -> Value {
    let groups = user.groups.as_ref().map(|list| {
        let names = list.split(',').map(str::trim).filter(|g| !g.is_empty());
        names.collect::<Vec<_>>()
    });
    present([
        ("name", json!(user.name)),
        ("passwordHash", json!(hash)),
        ("gecos", json!(user.gecos)),
        ("groups", json!(groups)),
        ("homeDir", json!(user.home_dir)),
        ("shell", json!(user.shell)),
        ("primaryGroup", json!(user.primary_group)),
        ("sshAuthorizedKeys", json!(user.ssh_authorized_keys)),
    ])
}

fn sudo_rule(user: &User) -> Option<Written> {
    let rule = user.sudo.as_ref()?;
    let path = format!("/etc/sudoers.d/{}", user.name);
    let content = format!("{} {rule}\n", user.name);
    Some(Written {
        owner: None,
        ..Written::new(&path, "0600", content)
    })
}

/// Who may log in with a password: nobody may who isn't named.
fn logins<'a>(users: impl Iterator<Item = &'a User>) -> Option<Written> {
    let open = users.filter(|u| u.lock_password == Some(false));
    let names: Vec<_> = open.map(|u| u.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let content = format!(
        "Subsystem sftp internal-sftp\nUsePAM yes\nUseDNS no\nPrintMotd no\nPasswordAuthentication no\n\
         Match User {}\n  PasswordAuthentication yes\n",
        names.join(",")
    );
    Some(Written {
        owner: None,
        ..Written::new("/etc/ssh/sshd_config", "0600", content)
    })
}

fn is_on(ntp: &Ntp) -> bool {
    ntp.enabled != Some(false)
}

fn time_servers(ntp: &Ntp) -> Option<Written> {
    let servers = ntp
        .servers
        .as_ref()
        .filter(|s| is_on(ntp) && !s.is_empty())?;
    let mut content: String = servers.iter().map(|s| format!("server {s}\n")).collect();
    // Others may ask for the time of the machine, and for nothing else.
    content += "restrict default nomodify nopeer noquery notrap limited kod\nrestrict 127.0.0.1\nrestrict [::1]\n";
    Some(Written {
        owner: None,
        ..Written::new("/etc/ntp.conf", "0644", content)
    })
}

fn units(spec: &KubeadmConfigSpec) -> Result<Vec<Value>, String> {
    let kubeadm = format!(
        "[Unit]\nDescription=kubeadm\nConditionPathExists={CONFIGURATION}\nAfter=network.target\n\n\
         [Service]\nType=oneshot\nExecStart=/bin/bash {SCRIPT}\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    let mut units = vec![json!({"name": "kubeadm.service", "enabled": true, "contents": kubeadm})];
    if spec.ntp.as_ref().is_some_and(is_on) {
        units.push(json!({"name": "ntpd.service", "enabled": true}));
    }
    for (i, mount) in spec.mounts.iter().flatten().enumerate() {
        let unit = mount_unit(spec.disk_setup.as_ref(), mount);
        units.push(unit.map_err(|why| format!("spec.mounts[{i}]{why}"))?);
    }
    Ok(units)
}

/// The unit that mounts a filesystem: its device, where it is seen, then options.
fn mount_unit(disks: Option<&DiskSetup>, mount: &[String]) -> Result<Value, String> {
    let (Some(what), Some(place)) = (mount.first(), mount.get(1)) else {
        return Err(": must have a device and a mount point".to_owned());
    };
    if !place.starts_with('/') {
        return Err(format!("[1]: {place:?} must be an absolute path"));
    }
    let what = device(disks, what).ok_or_else(|| {
        format!(
            "[0]: {what:?} must be a path, LABEL=…, UUID=… or the label of one of spec.diskSetup.filesystems"
        )
    })?;
    let options = match &mount[2..] {
        [] => String::new(),
        options => format!("Options={}\n", options.join(",")),
    };
    let contents = format!(
        "[Unit]\nDescription=Mount of {place}\nBefore=kubeadm.service\n\n\
         [Mount]\nWhat={what}\nWhere={place}\n{options}\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    let name = format!("{}.mount", escape(place));
    Ok(json!({"name": name, "enabled": true, "contents": contents}))
}

/// The path of a device that is told as in fstab, or by the label of a filesystem that is made.
fn device(disks: Option<&DiskSetup>, what: &str) -> Option<String> {
    let mut made = disks.iter().flat_map(|d| d.filesystems.iter().flatten());
    if let Some(filesystem) = made.find(|f| f.label.as_deref() == Some(what)) {
        return Some(filesystem.device.clone());
    }
    match what.split_once('=') {
        Some(("LABEL", label)) => Some(format!("/dev/disk/by-label/{label}")),
        Some(("UUID", uuid)) => Some(format!("/dev/disk/by-uuid/{uuid}")),
        _ => what.starts_with('/').then(|| what.to_owned()),
    }
}

/// A path as part of the name of a unit: systemd.unit(5), "String Escaping for Inclusion in Unit Names".
fn escape(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|p| !p.is_empty()).collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut name = String::new();
    for byte in parts.join("/").bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            b':' | b'_' | b'.' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

fn disks(setup: &DiskSetup) -> Result<Value, String> {
    let mut disks = vec![];
    for (i, partition) in setup.partitions.iter().flatten().enumerate() {
        // Ignition knows sizes and the rest of the disk, but no shares of it.
        let whole = match partition.disk_layout.as_deref() {
            None => (partition.layout == Some(true)).then(|| json!([{}])),
            Some([only]) if only.percentage == 100 => {
                let kind = only.partition_type.as_deref().and_then(guid);
                Some(json!([present([("typeGuid", json!(kind))])]))
            }
            Some(_) => {
                return Err(format!(
                    "spec.diskSetup.partitions[{i}].diskLayout: ignition has no partitions by percentage; \
                     use one partition of 100, or layout: true"
                ));
            }
        };
        disks.push(present([
            ("device", json!(partition.device)),
            ("wipeTable", json!(partition.overwrite)),
            ("partitions", json!(whole)),
        ]));
    }
    Ok(json!(disks))
}

/// The type of a partition on a GPT disk.
fn guid(name: &str) -> Option<String> {
    let known = match name {
        "Linux" => "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
        "LinuxSwap" => "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
        "LinuxRAID" => "A19D880F-05FC-4D3B-A006-743F0F84911E",
        "LVM" => "E6D6D379-F507-44C2-A23C-238F2A3DF928",
        "Fat32" | "NTFS" => "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7",
        // A container of MBR's; GPT needs none.
        "LinuxExtended" => return None,
        other => other,
    };
    Some(known.to_owned())
}

fn filesystems(setup: &DiskSetup) -> Value {
    let filesystems = setup.filesystems.iter().flatten().enumerate();
    let list = filesystems.map(|(i, filesystem)| {
        let name = filesystem.label.clone();
        let mount = present([
            ("device", json!(filesystem.device)),
            ("format", json!(filesystem.filesystem)),
            ("wipeFilesystem", json!(filesystem.overwrite)),
            ("label", json!(filesystem.label)),
            ("options", json!(filesystem.extra_opts)),
        ]);
        json!({"name": name.unwrap_or_else(|| format!("filesystem-{i}")), "mount": mount})
    });
    list.collect()
}
