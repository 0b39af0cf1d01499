//! The chart of hardened clusters by real Helm on a management cluster: installed, upgraded in place, rolled back and removed.

use std::process::Command;

use expect_test::expect;
use serde_json::Value;

use super::helm;
use super::world::{Kubectl, Server, finish, kubectl};
use crate::source::root;

/// One step of a release called `prod`.
const SCRIPT: &str = r#"
import sys, json, helm_python
kubeconfig, chart, step, values = sys.argv[1:]
helm = helm_python.Config(kubeconfig_path=kubeconfig, namespace="org-acme")
if step == "install":
    r = helm.install(chart, "prod", json.loads(values))
elif step == "upgrade":
    r = helm.upgrade(chart, "prod", json.loads(values))
elif step == "rollback":
    helm.rollback("prod", version=1)
    r = helm.history("prod")[-1]
elif step == "uninstall":
    helm.uninstall("prod")
    r = {"revision": 0, "status": "uninstalled"}
print(r["revision"], r["status"])
"#;

struct Release<'a> {
    python: &'a std::path::Path,
    management: Kubectl,
}

impl Release<'_> {
    fn step(&self, step: &str, values: &str) -> String {
        let mut command = Command::new(self.python);
        command
            .args(["-c", SCRIPT])
            .arg(&self.management.kubeconfig)
            .arg(root().join("charts/cluster-local"))
            .args([step, values]);
        let output = finish(&mut command, "");
        assert_eq!(output.code, Some(0), "{step}: {output:?}");
        output.stdout
    }

    /// Waits for the pool's machines, all of them as the release wants them, and shows where they boot from.
    fn rolled_out(&self) -> (Value, Value) {
        let wanted = self.management.field(
            "machinedeployment/prod-def00",
            "/spec/template/spec/bootstrap/configRef/name",
        );
        for condition in ["Available", "MachinesUpToDate"] {
            self.until("machinedeployment/prod-def00", condition);
        }
        let replicas = self
            .management
            .field("machinedeployment/prod-def00", "/status/upToDateReplicas");
        (wanted, replicas)
    }

    /// Waits until a condition is true; longer than one kubectl may.
    fn until(&self, what: &str, condition: &str) {
        let wanted = format!("--for=condition={condition}");
        let wait = ["wait", what, &wanted, "--timeout=50s"];
        let is_there = (0..3).any(|_| self.management.run(&wait).code == Some(0));
        assert!(
            is_there,
            "{}",
            self.management.ok(&["get", what, "-o", "yaml"])
        );
    }
}

#[test]
fn helm_keeps_a_hardened_cluster() {
    let (Some(python), Some(_)) = (helm::python(), kubectl()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::ready(&folder.path().join("data"), &[]);
    server.wait_for("fleet", "ready");
    let management = server.kubectl().within("org-acme");
    let release = Release { python, management };
    assert_eq!(release.step("install", "{}"), "1 deployed\n");
    release.until("cluster/prod", "Available");
    let (first, replicas) = release.rolled_out();
    assert_eq!(replicas, 3);
    let key = || {
        let secret = "secret/prod-encryption-provider-config";
        let key = release.management.field(secret, "/data/encryption");
        assert!(key.is_string(), "{key}");
        key
    };
    let before = key();

    let values = r#"{"internal": {"nodePools": {"def00": {"customNodeLabels": ["tier=web"]}}}}"#;
    assert_eq!(release.step("upgrade", values), "2 deployed\n");
    let (second, replicas) = release.rolled_out();
    assert_ne!(first, second);
    assert_eq!(replicas, 3);
    let config = format!("kubeadmconfigtemplate/{}", first.as_str().unwrap());
    assert!(
        release
            .management
            .refused(&["get", &config])
            .contains("not found")
    );
    assert_eq!(key(), before, "the key must stay");

    assert_eq!(release.step("rollback", "{}"), "3 deployed\n");
    let (third, _) = release.rolled_out();
    assert_eq!(first, third);

    assert_eq!(release.step("uninstall", "{}"), "0 uninstalled\n");
    let gone = ["wait", "cluster/prod", "--for=delete", "--timeout=55s"];
    assert!((0..3).any(|_| release.management.run(&gone).code == Some(0)));
    let kinds = "clusters,localclusters,kubeadmcontrolplanes,machinedeployments,machines,localmachines,kubeadmconfigtemplates,localmachinetemplates,secrets";
    let left = release.management.ok(&[
        "get",
        kinds,
        "-l",
        "cluster.x-k8s.io/cluster-name=prod",
        "-o",
        "name",
    ]);
    expect![[""]].assert_eq(&left);
}
