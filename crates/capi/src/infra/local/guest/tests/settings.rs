//! Settings of components: what a machine makes of them, and what it refuses as the components would.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::super::document::Files;
use super::super::{config, kubelet, settings};
use super::{INIT, Shared, authorities, certificate_files, document, start};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

fn disk(files: &[(&str, &str)]) -> Files {
    let mut disk = Files::default();
    for (path, content) in files {
        disk.write(path, (*content).to_owned());
    }
    disk
}

const CLUSTER: &str = "
apiServer:
  extraArgs: [{name: NAME, value: /etc/x/f.yaml}]
  extraVolumes: [{name: x, hostPath: /opt/x, mountPath: /etc/x}]
";

/// What an API server says to a file that an argument names.
fn refusal(argument: &str, content: &str) -> String {
    let cluster = yaml(&CLUSTER.replace("NAME", argument));
    let checked = settings::check_api_server(&cluster, &disk(&[("/opt/x/f.yaml", content)]));
    checked.err().unwrap_or_else(|| "fine".to_owned()) + "\n"
}

#[test]
fn files_of_the_api_server_are_read_as_it_reads_them() {
    let key = |bytes: usize| {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(vec![7; bytes])
    };
    let encryption = |kind: &str, bytes: usize| {
        let resources = json!([{"resources": ["secrets"], "providers": [{kind: {"keys": [{"name": "k", "secret": key(bytes)}]}}]}]);
        json!({"kind": "EncryptionConfiguration", "resources": resources}).to_string()
    };
    let said = [
        refusal(
            "audit-policy-file",
            "kind: Policy\nrules: [{level: Metadata}]",
        ),
        refusal(
            "audit-policy-file",
            "kind: Policy\nrules: [{level: Everything}]",
        ),
        refusal("audit-policy-file", "kind: Policy"),
        refusal("audit-policy-file", "kind: Other"),
        refusal("audit-policy-file", "{{"),
        refusal("encryption-provider-config", &encryption("secretbox", 32)),
        refusal("encryption-provider-config", &encryption("secretbox", 31)),
        refusal("encryption-provider-config", &encryption("aescbc", 16)),
        refusal("encryption-provider-config", &encryption("rot13", 16)),
        refusal(
            "authentication-config",
            "kind: AuthenticationConfiguration\njwt: [{issuer: {url: 'http://a'}}]",
        ),
        refusal(
            "admission-control-config-file",
            "kind: AdmissionConfiguration\nplugins: [{name: PodSecurity}]",
        ),
    ]
    .concat();
    expect![[r#"
        fine
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/f.yaml: rules[0].level is "Everything": it must be one of None, Metadata, Request, RequestResponse
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/f.yaml: rules must not be empty
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/f.yaml: its kind must be Policy
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/f.yaml: it is not YAML, see line 1
        fine
        [control-plane] kube-apiserver: --encryption-provider-config /etc/x/f.yaml: resources[0].providers[0].secretbox.keys[0].secret must be 32 bytes in base64
        fine
        [control-plane] kube-apiserver: --encryption-provider-config /etc/x/f.yaml: resources[0].providers[0]: "rot13" is no provider
        [control-plane] kube-apiserver: --authentication-config /etc/x/f.yaml: jwt[0].issuer.url must begin with https://
        fine
    "#]].assert_eq(&said);
}

#[test]
fn files_of_the_api_server_must_be_there_and_mounted() {
    let check = |volumes: &str, files: &[(&str, &str)]| {
        let cluster = yaml(&format!(
            "apiServer: {{extraArgs: [{{name: audit-policy-file, value: /etc/x/p.yaml}}], extraVolumes: {volumes}}}"
        ));
        settings::check_api_server(&cluster, &disk(files)).unwrap_err() + "\n"
    };
    let mounted = "[{name: x, hostPath: /etc/x, mountPath: /etc/x/}]";
    let said = [
        check("[]", &[("/etc/x/p.yaml", "kind: Policy")]),
        check("[{name: x, hostPath: /etc/xy, mountPath: /etc/xy}]", &[]),
        check(mounted, &[]),
    ]
    .concat();
    expect![[r#"
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/p.yaml: no extraVolumes of apiServer mount it
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/p.yaml: no extraVolumes of apiServer mount it
        [control-plane] kube-apiserver: --audit-policy-file /etc/x/p.yaml: there is no file /etc/x/p.yaml on the machine
    "#]].assert_eq(&said);
    let cluster = yaml(
        "apiServer: {extraArgs: {authentication-config: /etc/kubernetes/pki/a.yaml, anonymous-auth: 'false'}}",
    );
    let file = [(
        "/etc/kubernetes/pki/a.yaml",
        "kind: AuthenticationConfiguration",
    )];
    let said = settings::check_api_server(&cluster, &disk(&file)).unwrap_err();
    assert_eq!(
        said,
        "[control-plane] kube-apiserver: --anonymous-auth must not be set beside --authentication-config, which says the same"
    );
}

/// The settings that come of patches and arguments, on a machine with two processors and 4 GiB.
fn configured(patches: &[(&str, &str)], registration: &str) -> Result<String, String> {
    let base = json!({"kind": "KubeletConfiguration", "maxPods": 200});
    let files: Vec<_> = patches
        .iter()
        .map(|(name, text)| (format!("/patches/{name}"), *text))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    let done = kubelet::patched(base, Some("/patches/"), &disk(&files))?;
    let registration = config::registration(&yaml(registration));
    let settings = kubelet::settings(&done.configuration, &registration, (2, 4096))?;
    let taints = kubelet::taints(&done.configuration, &registration)?;
    Ok(format!("{settings:?} {} taints", taints.len()))
}

fn check(patches: &[(&str, &str)], registration: &str, expect: &Expect) {
    let said = match configured(patches, registration) {
        Ok(said) => said,
        Err(why) => format!("refused: {why}"),
    };
    expect.assert_eq(&said);
}

#[test]
fn the_kubelet_follows_its_configuration() {
    check(
        &[],
        "{}",
        &expect![
            "KubeletSettings { lease_seconds: 0, max_pods: 200, reserved_millicpus: 0, reserved_memory_mib: 0 } 0 taints"
        ],
    );
    check(
        &[
            (
                "kubeletconfiguration0+merge.yaml",
                "{maxPods: 30, nodeLeaseDurationSeconds: 20, kubeReserved: {cpu: 250m, memory: 512Mi}}",
            ),
            (
                "kubeletconfiguration1.json",
                "{\"maxPods\": 50, \"systemReserved\": {\"cpu\": \"0.25\"}, \"evictionHard\": {\"memory.available\": \"10%\"}}",
            ),
            ("kube-apiserver0+merge.yaml", "{}"),
        ],
        "{}",
        &expect![
            "KubeletSettings { lease_seconds: 20, max_pods: 50, reserved_millicpus: 500, reserved_memory_mib: 922 } 0 taints"
        ],
    );
    check(
        &[(
            "kubeletconfiguration.yaml",
            "{registerWithTaints: [{key: a, effect: NoSchedule}]}",
        )],
        "{nodeRegistration: {kubeletExtraArgs: [{name: max-pods, value: '40'}, {name: register-with-taints, value: 'b=c:NoExecute,d:NoSchedule'}]}}",
        &expect![
            "KubeletSettings { lease_seconds: 0, max_pods: 40, reserved_millicpus: 0, reserved_memory_mib: 0 } 3 taints"
        ],
    );
}

#[test]
fn a_kubelet_that_would_not_start_does_not() {
    let patch = "kubeletconfiguration0+merge.yaml";
    check(
        &[(patch, "{maxPods: many}")],
        "{}",
        &expect!["refused: [kubelet-start] maxPods must be a positive number"],
    );
    check(
        &[(patch, "{kubeReserved: {cpu: lots}}")],
        "{}",
        &expect![
            "refused: [kubelet-start] kubeReserved.cpu must be a quantity such as 500m or 1Gi"
        ],
    );
    check(
        &[(patch, "{kubeReserved: {memory: 4Gi}}")],
        "{}",
        &expect![
            "refused: [kubelet-start] kubeReserved, systemReserved and evictionHard come to 0m of cpu and 4096Mi of memory: they must leave some of the machine's 2 and 4096Mi"
        ],
    );
    check(
        &[(patch, "{evictionHard: {memory.available: 200%}}")],
        "{}",
        &expect![
            "refused: [kubelet-start] evictionHard.memory.available must be a quantity such as 200Mi, or a share such as 5%"
        ],
    );
    check(
        &[(patch, "[")],
        "{}",
        &expect![
            "refused: [patches] /patches/kubeletconfiguration0+merge.yaml is not YAML, see line 1"
        ],
    );
    check(
        &[("kubeletconfiguration0+json.yaml", "[]")],
        "{}",
        &expect![[
            r#"refused: [patches] /patches/kubeletconfiguration0+json.yaml: a simulated machine knows patches of the kinds merge and strategic, not "json""#
        ]],
    );
    check(
        &[("kubelet.yaml", "{}")],
        "{}",
        &expect![
            "refused: [patches] /patches/kubelet.yaml: the name must begin with kubeletconfiguration or kube-apiserver, kube-controller-manager, kube-scheduler, etcd, corednsdeployment"
        ],
    );
    check(
        &[("kubeletconfiguration.txt", "{}")],
        "{}",
        &expect![
            "refused: [patches] /patches/kubeletconfiguration.txt: the name must end in .yaml or .json"
        ],
    );
    check(
        &[],
        "{nodeRegistration: {kubeletExtraArgs: [{name: register-with-taints, value: 'a=b'}]}}",
        &expect![[
            r#"refused: [kubelet-start] --register-with-taints has "a=b": a taint looks like key=value:NoSchedule"#
        ]],
    );
}

#[tokio::test(start_paused = true)]
async fn settings_arrive_where_they_belong() {
    let certificates = certificate_files(&authorities());
    let configuration = INIT
        .replace(
            "networking:",
            "apiServer: {extraArgs: [{name: audit-policy-file, value: /etc/a/p.yaml}, {name: profiling, value: 'false'}], extraVolumes: [{name: a, hostPath: /etc/a, mountPath: /etc/a}]}\nnetworking:",
        )
        .replace("nodeRegistration:", "patches: {directory: /etc/patches}\nnodeRegistration:");
    let mut files: Vec<(&str, String)> = certificates
        .iter()
        .map(|(path, content)| (path.as_str(), content.clone()))
        .collect();
    files.push(("/run/kubeadm/kubeadm.yaml", configuration));
    files.push((
        "/etc/a/p.yaml",
        "kind: Policy\nrules: [{level: None}]".to_owned(),
    ));
    files.push((
        "/etc/patches/kubeletconfiguration.yaml",
        "{maxPods: 30}".to_owned(),
    ));
    let host = Shared::default();
    let disk = start(&host, &document(&files, &super::INIT_COMMANDS))
        .await
        .unwrap();
    assert_eq!(disk.settings.max_pods, 30);
    assert!(
        disk.console
            .contains("[patches] Applied /etc/patches/kubeletconfiguration.yaml"),
        "{}",
        disk.console
    );
    let pod = host
        .0
        .object("/api/v1/namespaces/kube-system/pods/kube-apiserver-m");
    expect![[r#"
        - kube-apiserver
        - --advertise-address=10.64.0.1
        - --audit-policy-file=/etc/a/p.yaml
        - --authorization-mode=Node,RBAC
        - --enable-admission-plugins=NodeRestriction
        - --enable-bootstrap-token-auth=true
        - --profiling=false
    "#]]
    .assert_eq(&crate::yaml::render(
        &pod["spec"]["containers"][0]["command"],
    ));
}
