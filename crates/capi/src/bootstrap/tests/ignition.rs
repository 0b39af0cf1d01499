//! What machines get that read Ignition.

use expect_test::{expect, expect_file};
use serde_json::Value;

use super::super::container_linux;
use super::{CONTROL_PLANE, INITIALIZED, LOCKED, TOKEN, data, document};

const IGNITION: &str = "config: {spec: {format: ignition}}";

/// The document with contents of files in plain text, or why there is none.
fn shown(overrides: &[&str]) -> String {
    let overrides: Vec<_> = [&[IGNITION], overrides].concat();
    let document = document(&overrides);
    let Ok(mut parsed) = serde_json::from_str::<Value>(&document) else {
        return document;
    };
    assert_eq!(data(&overrides, "format"), "ignition");
    let files = parsed["storage"]["files"].as_array_mut();
    for file in files.into_iter().flatten() {
        if let Some(url) = file["contents"]["source"].as_str() {
            file["contents"] = Value::String(plain(url));
        }
    }
    crate::yaml::render(&parsed)
}

fn plain(url: &str) -> String {
    let mut parts = url.strip_prefix("data:,").unwrap().split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn cloud_config_is_the_format_if_none_is_given() {
    assert_eq!(data(&[INITIALIZED, TOKEN], "format"), "cloud-config");
}

#[test]
fn the_first_machine_gets_all_certificates_and_init() {
    expect_file!["golden/ignition-init.yaml"].assert_eq(&shown(&[CONTROL_PLANE, LOCKED]));
}

#[test]
fn control_plane_machines_join_as_such() {
    let document = shown(&[INITIALIZED, TOKEN, CONTROL_PLANE]);
    let lines = document.lines().map(str::trim);
    let paths = lines.filter(|l| l.starts_with("path:"));
    expect![[r#"
        path: /etc/kubernetes/pki/ca.crt
        path: /etc/kubernetes/pki/ca.key
        path: /etc/kubernetes/pki/etcd/ca.crt
        path: /etc/kubernetes/pki/etcd/ca.key
        path: /etc/kubernetes/pki/front-proxy-ca.crt
        path: /etc/kubernetes/pki/front-proxy-ca.key
        path: /etc/kubernetes/pki/sa.pub
        path: /etc/kubernetes/pki/sa.key
        path: /etc/kubeadm.sh
        path: /etc/kubeadm.yml"#]]
    .assert_eq(&paths.collect::<Vec<_>>().join("\n"));
    let (_, end) = document.split_once("content of sa.key").unwrap();
    expect![[r#"

            filesystem: root
            group:
              name: root
            mode: 384
            path: /etc/kubernetes/pki/sa.key
            user:
              name: root
          - contents: |
              #!/bin/bash
              set -e
              kubeadm join --config /etc/kubeadm.yml
              mkdir -p /run/cluster-api && echo success > /run/cluster-api/bootstrap-success.complete
              mv /etc/kubeadm.yml /tmp/
            filesystem: root
            mode: 448
            path: /etc/kubeadm.sh
          - contents: |
              apiVersion: kubeadm.k8s.io/v1beta4
              controlPlane: {}
              discovery:
                bootstrapToken:
                  apiServerEndpoint: 127.0.0.1:6443
                  caCertHashes:
                  - sha256:00
                  token: abcdef.0123456789abcdef
              kind: JoinConfiguration
            filesystem: root
            mode: 384
            path: /etc/kubeadm.yml
        systemd:
          units:
          - contents: |
              [Unit]
              Description=kubeadm
              ConditionPathExists=/etc/kubeadm.yml
              After=network.target

              [Service]
              Type=oneshot
              ExecStart=/bin/bash /etc/kubeadm.sh

              [Install]
              WantedBy=multi-user.target
            enabled: true
            name: kubeadm.service
    "#]].assert_eq(end);
}

#[test]
fn workers_get_no_certificates() {
    expect![[r#"
        ignition:
          version: "2.3.0"
        storage:
          files:
          - contents: |
              #!/bin/bash
              set -e
              kubeadm join --config /etc/kubeadm.yml
              mkdir -p /run/cluster-api && echo success > /run/cluster-api/bootstrap-success.complete
              mv /etc/kubeadm.yml /tmp/
            filesystem: root
            mode: 448
            path: /etc/kubeadm.sh
          - contents: |
              apiVersion: kubeadm.k8s.io/v1beta4
              discovery:
                bootstrapToken:
                  apiServerEndpoint: 127.0.0.1:6443
                  caCertHashes:
                  - sha256:00
                  token: abcdef.0123456789abcdef
              kind: JoinConfiguration
              nodeRegistration:
                taints:
                - effect: NoSchedule
                  key: node.cluster.x-k8s.io/uninitialized
            filesystem: root
            mode: 384
            path: /etc/kubeadm.yml
        systemd:
          units:
          - contents: |
              [Unit]
              Description=kubeadm
              ConditionPathExists=/etc/kubeadm.yml
              After=network.target

              [Service]
              Type=oneshot
              ExecStart=/bin/bash /etc/kubeadm.sh

              [Install]
              WantedBy=multi-user.target
            enabled: true
            name: kubeadm.service
    "#]].assert_eq(&shown(&[INITIALIZED, TOKEN]));
}

#[test]
fn machines_read_data_urls() {
    expect![[r#"{"ignition":{"version":"2.3.0"},"storage":{"files":[{"contents":{"source":"data:,%23%21%2Fbin%2Fbash%0Aset%20-e%0Akubeadm%20join%20--config%20%2Fetc%2Fkubeadm.yml%0Amkdir%20-p%20%2Frun%2Fcluster-api%20%26%26%20echo%20success%20%3E%20%2Frun%2Fcluster-api%2Fbootstrap-success.complete%0Amv%20%2Fetc%2Fkubeadm.yml%20%2Ftmp%2F%0A"},"filesystem":"root","mode":448,"path":"/etc/kubeadm.sh"},{"contents":{"source":"data:,apiVersion%3A%20kubeadm.k8s.io%2Fv1beta4%0Adiscovery%3A%0A%20%20bootstrapToken%3A%0A%20%20%20%20apiServerEndpoint%3A%20127.0.0.1%3A6443%0A%20%20%20%20caCertHashes%3A%0A%20%20%20%20-%20sha256%3A00%0A%20%20%20%20token%3A%20abcdef.0123456789abcdef%0Akind%3A%20JoinConfiguration%0AnodeRegistration%3A%0A%20%20taints%3A%0A%20%20-%20effect%3A%20NoSchedule%0A%20%20%20%20key%3A%20node.cluster.x-k8s.io%2Funinitialized%0A"},"filesystem":"root","mode":384,"path":"/etc/kubeadm.yml"}]},"systemd":{"units":[{"contents":"[Unit]\nDescription=kubeadm\nConditionPathExists=/etc/kubeadm.yml\nAfter=network.target\n\n[Service]\nType=oneshot\nExecStart=/bin/bash /etc/kubeadm.sh\n\n[Install]\nWantedBy=multi-user.target\n","enabled":true,"name":"kubeadm.service"}]}}"#]].assert_eq(&document(&[IGNITION, INITIALIZED, TOKEN]));
}

const MORE: &str = r#"
secrets: {passwords: {admin: hash}, files: {content: from a secret}}
config:
  spec:
    verbosity: 5
    preKubeadmCommands: [before, "cat <<END > /etc/motd\nhello\nEND"]
    postKubeadmCommands: [after]
    files:
    - {path: /a, content: YQ==, encoding: base64, owner: 'root:wheel', permissions: '0600', append: true}
    - {path: /b, owner: '1000', contentFrom: {secret: {name: files, key: content}}}
    - {path: /etc/sudoers.d/ops, permissions: '440', owner: ':0', content: given}
    ntp: {enabled: true, servers: [ntp.example.org]}
    users:
    - {name: admin, gecos: A. D. Min, sudo: ALL, lockPassword: false, homeDir: /home/a, groups: 'wheel, docker,', primaryGroup: admin, shell: /bin/sh,
       passwdFrom: {secret: {name: passwords, key: admin}}, sshAuthorizedKeys: [k]}
    - {name: ops, sudo: ALL, lockPassword: true, passwd: other}
    diskSetup:
      partitions:
      - {device: /dev/sdb, layout: true, overwrite: false, tableType: gpt}
      - {device: /dev/sdc, diskLayout: [{percentage: 100, partitionType: LVM}]}
      - {device: /dev/sdd, layout: false, overwrite: true}
      filesystems:
      - {device: /dev/sdb1, filesystem: ext4, label: data, overwrite: true, extraOpts: [-F]}
      - {device: /dev/sde, filesystem: xfs}
    mounts: [[data, /var/lib/etcd-data, noatime, nodev], [LABEL=logs, /var/log], [UUID=1-2, /.a], [/dev/sdf, /]]
"#;

#[test]
fn everything_else_goes_into_the_document() {
    let document = shown(&[INITIALIZED, TOKEN, MORE]);
    expect_file!["golden/ignition-more.yaml"].assert_eq(&document);
}

#[test]
fn what_ignition_cannot_say_is_told() {
    let wrong = |yaml: &str| shown(&[INITIALIZED, TOKEN, &format!("config: {{spec: {yaml}}}")]);
    let mut text = String::new();
    for spec in [
        "{files: [{path: /etc/kubeadm.yml, content: x}]}",
        "{files: [{path: /a, content: '!', encoding: base64}]}",
        "{files: [{path: /a, content: x, encoding: gzip}]}",
        "{files: [{path: /a, content: x, permissions: rw}]}",
        "{files: [{path: /a, content: x, permissions: '10000'}]}",
        "{mounts: [[/dev/sdb]]}",
        "{mounts: [[/dev/sdb, data]]}",
        "{mounts: [[/dev/sdb, /a], [data, /data]]}",
        "{diskSetup: {partitions: [{device: /dev/sdb, diskLayout: [{percentage: 50}]}]}}",
        "{ignition: {containerLinuxConfig: {additionalConfig: 'storage: {files: [{mode: 1}]}'}}}",
        "{ignition: {containerLinuxConfig: {additionalConfig: 'storage: {files: [{path: /etc/kubeadm.yml}]}'}}}",
        "{ntp: {enabled: false, servers: [a]}, mounts: [[x, /x]]}",
    ] {
        text += &wrong(spec);
    }
    expect![[r#"
        wait InternalError: file /etc/kubeadm.yml: the path is that of a file that runs kubeadm; choose another one
        wait InternalError: file /a: the content is not base64
        wait InternalError: file /a: encoding gzip cannot be used with ignition
        wait InternalError: file /a: permissions "rw" must be octal digits, as in "0640"
        wait InternalError: file /a: permissions "10000" must be octal digits, as in "0640"
        wait InternalError: spec.mounts[0]: must have a device and a mount point
        wait InternalError: spec.mounts[0][1]: "data" must be an absolute path
        wait InternalError: spec.mounts[1][0]: "data" must be a path, LABEL=…, UUID=… or the label of one of spec.diskSetup.filesystems
        wait InternalError: spec.diskSetup.partitions[0].diskLayout: ignition has no partitions by percentage; use one partition of 100, or layout: true
        wait InternalError: spec.ignition.containerLinuxConfig.additionalConfig: storage.files[0].path is missing
        wait InternalError: spec.ignition.containerLinuxConfig.additionalConfig: file /etc/kubeadm.yml: the path is that of a file that runs kubeadm; choose another one
        wait InternalError: spec.mounts[0][0]: "x" must be a path, LABEL=…, UUID=… or the label of one of spec.diskSetup.filesystems
    "#]].assert_eq(&text);
}

const ADDITIONAL: &str = r#"
config:
  spec:
    users: [{name: core, shell: /bin/sh, sshAuthorizedKeys: [a]}]
    files: [{path: /etc/motd, content: ours, owner: 'core:core', permissions: '0600'}]
    ignition:
      containerLinuxConfig:
        strict: true
        additionalConfig: |
          ---
          passwd:
            users:
            - {name: core, ssh_authorized_keys: [b], password_hash: h, home_dir: /home/core, no_create_home: true, uid: 500}
            groups: [{name: ops, gid: 1000, system: true}]
          storage:
            files:
            - {path: /etc/motd, mode: 0644, contents: {inline: theirs}}
            - {path: /etc/kubeadm.sh, mode: 0700, append: true, contents: {inline: "more\n"}}
            - {path: /etc/empty, mode: 0o600, user: {id: 0}, group: {name: ops}}
            directories: [{path: /opt/bin, mode: 0755}]
            links: [{path: /opt/sh, target: /bin/sh, hard: false}]
          systemd:
            units:
            - {name: kubeadm.service, dropins: [{name: 10-wait.conf, contents: "[Unit]\nAfter=containerd.service\n"}]}
            - {name: kubeadm.service, dropins: [{name: 20-more.conf}]}
            - {name: locksmithd.service, mask: true}
            - {name: docker.service, enable: false, enabled: true}
          networkd:
            units: [{name: 00-eth.network, contents: "[Match]\nName=eth0\n"}]
"#;

#[test]
fn a_container_linux_config_is_merged_in() {
    expect_file!["golden/ignition-additional.yaml"].assert_eq(&shown(&[
        INITIALIZED,
        TOKEN,
        ADDITIONAL,
    ]));
}

#[test]
fn container_linux_configs_that_do_not_translate_say_why() {
    let mut text = String::new();
    for config in [
        "a: [",
        "a: 1\n---\nb: 2",
        "- 1",
        "etcd: {version: 3.0.0}",
        "ignition: {config: {}}",
        "storage: {disks: []}",
        "storage: {filesystems: [{name: a}]}",
        "storage: {raid: []}",
        "update: {group: beta}",
        "storage: []",
        "storage: {files: {}}",
        "storage: {files: [{contents: {inline: a}}]}",
        "storage: {files: [{path: a}]}",
        "storage: {files: [{path: /a, mode: '0644'}]}",
        "storage: {files: [{path: /a, contents: {remote: {url: 'https://example.org'}}}]}",
        "storage: {files: [{path: /a, contents: {inline: [a]}}]}",
        "storage: {files: [{path: /a, user: root}]}",
        "storage: {links: [{path: /a}]}",
        "systemd: {units: [{enabled: true}]}",
        "systemd: {units: [{name: a.service, enabled: 1}]}",
        "systemd: {units: [{name: a.service, dropins: [{contents: a}]}]}",
        "passwd: {users: [{name: a, create: {uid: 1}}]}",
        "passwd: {users: [{name: a, groups: [1]}]}",
    ] {
        let why = container_linux::translate(config, false).unwrap_err();
        text += &format!("{why}\n");
    }
    expect![[r#"
        not YAML, see line 1
        must be one YAML document, not 2
        the document must be a mapping
        etcd is not supported: kubeadm runs etcd
        ignition is not supported: a machine reads one document
        storage.disks is not supported: use spec.diskSetup.partitions
        storage.filesystems is not supported: use spec.diskSetup.filesystems
        storage.raid is not supported: use a unit that makes it
        update is not supported: write its files and units instead
        storage must be a mapping
        storage.files must be a list
        storage.files[0].path is missing
        storage.files[0].path must be absolute
        storage.files[0].mode must be a number, modes with a leading 0 as in 0644
        storage.files[0].contents.remote is not supported: use inline
        storage.files[0].contents.inline must be a text
        storage.files[0].user must be a mapping
        storage.links[0].target is missing
        systemd.units[0].name is missing
        systemd.units[0].enabled must be true or false
        systemd.units[0].dropins[0].name is missing
        passwd.users[0].create is not supported: its members belong into the user itself
        passwd.users[0].groups must be a list of texts
    "#]]
    .assert_eq(&text);
    let mut text = String::new();
    for config in [
        "strange: {a: 1}",
        "storage: {files: [{path: /a, mode: 0644, strange: 1}], strange: 1}",
        "storage: {files: [{path: /a}]}",
        "{}",
    ] {
        text += &match container_linux::translate(config, true) {
            Ok(parts) => format!("{parts}\n"),
            Err(why) => format!("{why}; otherwise "),
        };
        text += &format!("{}\n", container_linux::translate(config, false).unwrap());
    }
    expect![[r#"
        strange is unknown, and strict is set; otherwise {}
        storage.files[0].strange is unknown, and strict is set; otherwise {"storage":{"files":[{"filesystem":"root","mode":420,"path":"/a"}]}}
        storage.files[0].mode is missing, and strict is set; otherwise {"storage":{"files":[{"filesystem":"root","path":"/a"}]}}
        {}
        {}
    "#]].assert_eq(&text);
}
