//! Ignition documents.

use expect_test::expect;
use serde_json::{Value, json};

use super::super::{BootstrapData, Disk, Failure, Progress, boot, ignition};
use super::{INIT, Shared, authorities, certificate_files, hardware, show};
use crate::testing::now;

const UNIT: &str = "[Unit]\n# Once.\nConditionPathExists=/etc/kubeadm.yml\n[Service]\nExecStart=/bin/bash /etc/kubeadm.sh\n[Install]\nWantedBy=multi-user.target\n";
const SCRIPT: &str = "#!/bin/bash
set -e
hostname
cat <<'EOF' > /etc/motd
kubeadm join --config /nowhere
EOF
kubeadm init \\
  --config /etc/kubeadm.yml --v 5
mkdir -p /run/cluster-api && echo success > /run/cluster-api/bootstrap-success.complete
mv /etc/kubeadm.yml /tmp/
";

fn file(path: &str, mode: u32, content: &str) -> Value {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(content);
    json!({"filesystem": "root", "path": path, "mode": mode, "contents": {"source": format!("data:text/plain;base64,{encoded}")}})
}

/// A document that initializes a cluster.
fn document() -> Value {
    let certificates = certificate_files(&authorities());
    let mut files: Vec<_> = certificates
        .iter()
        .map(|(path, content)| file(path, 0o600, content))
        .collect();
    let configuration = INIT.replace("{{ ds.meta_data.local_hostname }}", "m");
    files.push(file("/etc/kubeadm.yml", 0o600, &configuration));
    files.push(file("/etc/kubeadm.sh", 0o700, SCRIPT));
    json!({
        "ignition": {"version": "2.3.0", "config": {}},
        "passwd": {"users": [{"name": "core"}]},
        "storage": {"files": files, "disks": []},
        "systemd": {"units": [
            {"name": "kubeadm.service", "enabled": true, "contents": UNIT},
            {"name": "ntpd.service", "enabled": true},
            {"name": "update-engine.service", "mask": true},
        ]},
    })
}

async fn start(host: &Shared, format: &str, document: &Value) -> Result<Disk, Failure> {
    let data = BootstrapData {
        format: format.to_owned(),
        document: document.to_string(),
    };
    let progress = Progress::new("m", vec![], None);
    boot(host, &hardware(), &data, &progress, now()).await
}

#[tokio::test(start_paused = true)]
async fn a_machine_boots_from_the_unit_that_runs_kubeadm() {
    let host = Shared::default();
    let booted = start(&host, "ignition", &document()).await;
    show(
        &host,
        &booted,
        &expect![[r#"
            control plane acme/hello v1.36.0 services 10.96.0.0/12 domain cluster.local
            connect to hello.acme.test checked as certificate
            kubelet m of acme/hello at https://127.0.0.1:6443 labels {"a": "b", "c": "d"} taints 0
            --- console
            simulated machine m booting, address 10.64.0.1
            ignition: 10 files, 6 commands
            ignition: unit ntpd.service skipped, there is nothing to do on a simulated machine
            ignition: unit update-engine.service skipped: it is masked
            ignition: users and groups skipped, there is nothing to do on a simulated machine
            ignition: storage.disks skipped, there is nothing to do on a simulated machine
            + hostname   (skipped: simulated)
            + cat <<'EOF' > /etc/motd   (skipped: simulated)
            + kubeadm init --config /etc/kubeadm.yml
            [init] Using Kubernetes version: v1.36.0
            [certs] Using existing ca
            [certs] Using existing front-proxy-ca
            [certs] Using existing etcd/ca
            [certs] Using existing sa
            [control-plane] Starting the control plane
            [control-plane-check] kube-apiserver is healthy
            [upload-config] Storing the configuration in ConfigMap kubeadm-config in kube-system
            [bootstrap-token] Configuring RBAC for machines that join
            [kubelet-start] Starting the kubelet (simulated)
            [mark-control-plane] Marking the node m as control-plane
            [etcd] Adding member m (simulated)
            [addons] Applied essential addon: CoreDNS
            [addons] Applied essential addon: kube-proxy
            Your Kubernetes control-plane has initialized successfully!
            + mkdir -p /run/cluster-api   (skipped: simulated)
            + mv /etc/kubeadm.yml /tmp/   (skipped: simulated)
            boot finished
        "#]],
    );
}

#[tokio::test(start_paused = true)]
async fn units_that_do_not_run_kubeadm_say_why() {
    let unit = |more: Value| {
        let mut unit = json!({"name": "kubeadm.service", "enabled": true, "contents": UNIT});
        for (field, value) in more.as_object().unwrap() {
            unit[field.as_str()] = value.clone();
        }
        json!([unit])
    };
    let contents = |from: &str, to: &str| unit(json!({"contents": UNIT.replace(from, to)}));
    let dropin = |text: &str| unit(json!({"dropins": [{"name": "a.conf", "contents": text}]}));
    let condition = "ConditionPathExists=/etc/kubeadm.yml";
    let units = [
        json!([]),
        unit(json!({"enabled": false})),
        unit(json!({"mask": true})),
        contents("WantedBy", "Alias"),
        contents(condition, "ConditionPathExists=/etc/other.yml"),
        dropin("[Unit]\nConditionPathExists=!/etc/kubeadm.sh\n"),
        contents("kubeadm.sh", "other.sh"),
        contents("/bin/bash /etc/kubeadm.sh", "/etc/kubeadm.yml"),
        dropin("[Service]\nExecStart=\nExecStart=-/usr/bin/kubeadm init --config /etc/other.yml\n"),
        json!([{"enabled": true}]),
        json!({}),
    ];
    let mut text = String::new();
    for units in units {
        let mut document = document();
        document["systemd"]["units"] = units;
        let failure = start(&Shared::default(), "ignition", &document)
            .await
            .unwrap_err();
        let skipped = failure
            .console
            .lines()
            .filter(|l| l.starts_with("ignition: unit"));
        for line in [failure.message.as_str()].into_iter().chain(skipped) {
            text += &format!("{line}\n");
        }
    }
    expect![[r#"
        the bootstrap data has no kubeadm command in a unit that is started
        the bootstrap data has no kubeadm command in a unit that is started
        ignition: unit kubeadm.service skipped: it is not enabled
        the bootstrap data has no kubeadm command in a unit that is started
        ignition: unit kubeadm.service skipped: it is masked
        the bootstrap data has no kubeadm command in a unit that is started
        ignition: unit kubeadm.service skipped: its [Install] has no WantedBy
        the bootstrap data has no kubeadm command in a unit that is started
        ignition: unit kubeadm.service skipped: ConditionPathExists=/etc/other.yml is not met
        the bootstrap data has no kubeadm command in a unit that is started
        ignition: unit kubeadm.service skipped: ConditionPathExists=!/etc/kubeadm.sh is not met
        unit kubeadm.service: /etc/other.sh: no such file
        unit kubeadm.service: /etc/kubeadm.yml: permission denied, its mode is 0600
        kubeadm init: unable to read config from /etc/other.yml: no such file
        systemd.units[0] has no name
        systemd.units is no list
    "#]]
    .assert_eq(&text);
}

#[tokio::test(start_paused = true)]
async fn broken_documents_say_what_is_wrong() {
    let document = |more: Value| {
        let mut document = more;
        document["ignition"]["version"] = json!("2.2.0");
        document
    };
    let files = |files: Value| document(json!({"storage": {"files": files}}));
    let contents = |contents: Value| files(json!([{"path": "/a", "contents": contents}]));
    let source = |source: &str| contents(json!({"source": source}));
    let other = json!({"replace": {"source": "https://example.org/other.ign"}});
    let documents = [
        json!({}),
        json!({"ignition": {"version": "3.4.0"}}),
        document(json!({"ignition": {"config": other}})),
        files(json!({})),
        files(json!([{"path": "a"}])),
        files(json!([{"path": "/a", "mode": "0644"}])),
        source("https://example.org/a"),
        source("nothing"),
        source("data:text/plain"),
        source("data:,%4"),
        source("data:;base64,!"),
        contents(json!({"source": "data:,a", "compression": "gzip"})),
        contents(json!({"source": "data:,a", "compression": "xz"})),
    ];
    let mut text = String::new();
    for document in documents {
        let failed = start(&Shared::default(), "ignition", &document).await;
        text += &format!("{}\n", failed.unwrap_err().message);
    }
    let failed = start(&Shared::default(), "combustion", &json!({})).await;
    text += &format!("{}\n", failed.unwrap_err().message);
    text += &format!("{}\n", ignition::parse("#cloud-config\n").unwrap_err());
    expect![[r#"
        the bootstrap data is no Ignition document: it has no ignition.version
        ignition.version "3.4.0" is not supported: a simulated machine reads 2.0.0 to 2.3.0
        ignition.config.replace names another document: a simulated machine fetches nothing
        storage.files is no list
        storage.files[0] has no absolute path
        storage.files[0] (/a): the mode is no number of permissions
        storage.files[0] (/a): the source is a URL of https: a simulated machine fetches nothing, only data URLs are read
        storage.files[0] (/a): the source is no URL
        storage.files[0] (/a): the data URL has no comma before its data
        storage.files[0] (/a): the data URL has a % without two hexadecimal digits
        storage.files[0] (/a): the data URL is not base64
        storage.files[0] (/a): the content is not gzip
        storage.files[0] (/a): the compression "xz" is unknown
        the bootstrap data has the format "combustion": a simulated machine reads cloud-config and ignition
        the bootstrap data is not JSON, see line 1
    "#]].assert_eq(&text);
}

#[test]
fn files_are_read_as_ignition_reads_them() {
    let gzip = "data:;base64,H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==";
    let document = json!({"ignition": {"version": "2.0.0"}, "storage": {"files": [
        {"path": "/plain", "mode": 384, "contents": {"source": "data:,a%20b%0A"}},
        {"path": "/gzip", "contents": {"source": gzip, "compression": "gzip"}},
        {"path": "/plain", "append": true, "contents": {"source": "data:text/plain;charset=utf-8,more"}},
        {"path": "/empty", "contents": {"source": ""}},
    ]}});
    let document = ignition::parse(&document.to_string()).unwrap();
    let shown = ["/plain", "/gzip", "/empty", "/missing"].map(|path| {
        let mode = document.files.permissions(path);
        format!("{path} {mode:?} {:?}\n", document.files.text(path))
    });
    expect![[r#"
        /plain Some("0600") Some("a b\nmore")
        /gzip Some("0644") Some("hello")
        /empty Some("0644") Some("")
        /missing None None
    "#]]
    .assert_eq(&shown.concat());
}

/// A document with one unit, which runs a script with this content at this path.
fn running(path: &str, script: &str) -> Value {
    let contents = UNIT
        .replace("/etc/kubeadm.sh", path)
        .replace("ConditionPathExists=/etc/kubeadm.yml", "");
    json!({
        "ignition": {"version": "2.3.0"},
        "storage": {"files": [file(path, 0o700, script)]},
        "systemd": {"units": [{"name": "a.service", "enabled": true, "contents": contents}]},
    })
}

#[test]
fn what_a_document_comes_to_has_limits() {
    use std::io::Write as _;
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    packed.write_all(&vec![b'0'; 12 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let files = (0..3).map(|i| {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&packed);
        json!({"path": format!("/{i}"), "contents": {"compression": "gzip", "source": format!("data:;base64,{encoded}")}})
    });
    let large =
        json!({"ignition": {"version": "2.3.0"}, "storage": {"files": files.collect::<Vec<_>>()}});
    let long = running("/etc/kubeadm.sh", &"a\n".repeat(20_000));
    let script = "a\n".repeat(3_000);
    let start = "ExecStart=/bin/sh /etc/kubeadm.sh\n".repeat(4);
    let mut often = running("/etc/kubeadm.sh", &script);
    often["systemd"]["units"][0]["contents"] =
        json!(format!("[Service]\n{start}[Install]\nWantedBy=a\n"));
    let mut many = running("/etc/kubeadm.sh", &script);
    let unit = many["systemd"]["units"][0].clone();
    many["systemd"]["units"] = vec![unit; 4].into();
    let errors = [large, long, often, many].map(|d| ignition::parse(&d.to_string()).unwrap_err());
    expect![[r#"
        the files are larger than 33554432 bytes together when unpacked
        unit a.service: /etc/kubeadm.sh has more than 10000 commands
        unit a.service runs more than 10000 commands
        the units run more than 10000 commands"#]]
    .assert_eq(&errors.join("\n"));
}

#[test]
fn a_shift_begins_no_document() {
    let script = "echo $((1 << 20))\nkubeadm join --config /a\n";
    let found = ignition::parse(&running("/etc/kubeadm.sh", script).to_string()).unwrap();
    expect![[r#"[Other("echo $((1 << 20))"), Kubeadm { verb: "join", config: "/a" }]"#]]
        .assert_eq(&format!("{:?}", found.commands));
}

#[test]
fn scripts_of_others_are_not_shown() {
    let script = "curl -u me:0f3a9c https://a\nkubeadm join --config /a\n";
    let found = ignition::parse(&running("/opt/fetch", script).to_string()).unwrap();
    expect![[r#"[Other("a command of /opt/fetch"), Kubeadm { verb: "join", config: "/a" }]"#]]
        .assert_eq(&format!("{:?}", found.commands));
}
