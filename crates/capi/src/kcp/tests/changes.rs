//! What changes about a control plane that runs, and what must not stop for it.

use super::*;

const THREE: &str = "control_plane: {spec: {replicas: 3}}";

fn sick(name: &str, more: &str) -> String {
    let base: serde_json::Value = serde_json::from_str(&machine(name, more)).unwrap();
    let mut base = base;
    base["status"]["conditions"] = serde_json::json!([]);
    base.to_string()
}

fn changed(overrides: &[&str]) -> String {
    let plan = plan::plan(&certified(overrides), now()).to_string();
    let lines = plan
        .lines()
        .filter(|line| !line.starts_with("apply Machine"));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_sick_machine_that_is_too_many_is_what_goes() {
    let members = etcd(&["n1", "n2", "n3"]);
    let three = |second: String| machines(&[machine("n1", "{}"), second, machine("n3", "{}")]);
    // One is wanted.
    let marked = "{metadata: {annotations: {cluster.x-k8s.io/delete-machine: ''}}}";
    for more in ["{}", marked] {
        expect![[r#"
            delete Machine acme/n2
            note SuccessfulDelete: Deleted machine n2
        "#]]
        .assert_eq(&changed(&[INITIALIZED, &three(sick("n2", more)), &members]));
    }
    // A rollout without surge begins with the outdated machine that does not work.
    let newer = "control_plane: {spec: {replicas: 3, version: v1.36.1, rollout: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0}}}}}";
    expect![[r#"
        act WriteClusterConfiguration
        delete Machine acme/n2
        note SuccessfulDelete: Deleted machine n2
    "#]]
    .assert_eq(&changed(&[
        INITIALIZED,
        newer,
        &three(sick("n2", "{}")),
        &members,
    ]));
    // With another sick one the majority would be lost.
    let two = machines(&[machine("n1", "{}"), sick("n2", marked), sick("n3", "{}")]);
    expect![[r#"
        wait ControlPlaneUnhealthy: * Machine n3: APIServerPodHealthy, ControllerManagerPodHealthy, SchedulerPodHealthy, EtcdPodHealthy, EtcdMemberHealthy not true
        again in 15s
    "#]]
    .assert_eq(&changed(&[INITIALIZED, &two, &members]));
}

#[test]
fn a_missing_certificate_holds_up_only_new_machines() {
    let without_proxy = |overrides: &[&str]| {
        let mut world = certified(overrides);
        let kept = Purpose::ALL
            .into_iter()
            .filter(|p| *p != Purpose::FrontProxy);
        world.authorities = Authorities::of(kept.map(|p| (p, pair())));
        world
    };
    let two = machines(&[machine("n1", AT_HOOK), machine("n2", "{}")]);
    let members = "workload: {etcd: {n1: null, n2: {id: b, peerURL: x}}}";
    let world = without_proxy(&[INITIALIZED, &two, members]);
    expect![[r#"
        apply Machine acme/n2
        patch Machine acme/n1 {"metadata":{"annotations":{"pre-terminate.delete.hook.machine.cluster.x-k8s.io/kcp-cleanup":null}}}
        wait NotAvailable: Secrets hello-proxy are missing; new ones would not fit the running cluster
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]]
    .assert_eq(&plan::plan(&world, now()).to_string());
    let shown = show::<KubeadmControlPlaneController>(&world);
    let mut lines = shown
        .lines()
        .filter(|l| l.starts_with("CertificatesAvailable"));
    expect!["CertificatesAvailable=False NotAvailable Secrets hello-proxy are missing; new ones would not fit the running cluster"]
        .assert_eq(lines.next().unwrap_or_default());
    // Neither a first step of a rollout nor a further machine.
    let one = machines(&[machine("n1", "{}")]);
    for wish in [THREE, "control_plane: {spec: {version: v1.36.1}}"] {
        expect![[r#"
            apply Machine acme/n1
            wait NotAvailable: Secrets hello-proxy are missing; new ones would not fit the running cluster
        "#]]
        .assert_eq(&plan::plan(&without_proxy(&[INITIALIZED, wish, &one]), now()).to_string());
    }
}

#[test]
fn machines_on_their_way_out_still_get_other_times() {
    let leaving = machine(
        "n1",
        "{metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}",
    );
    let two = machines(&[leaving, machine("n2", "{}")]);
    let shorter = "control_plane: {spec: {machineTemplate: {spec: {deletion: {nodeDrainTimeoutSeconds: 60}}}}}";
    expect![[r#"
        patch Machine acme/n1 {"spec":{"deletion":{"nodeDrainTimeoutSeconds":60}}}
        wait ControlPlaneUnhealthy: Waiting for the deletion of Machine n1
        again in 15s
    "#]]
    .assert_eq(&changed(&[
        INITIALIZED,
        shorter,
        &two,
        &etcd(&["n1", "n2"]),
    ]));
}

#[test]
fn machines_are_replaced_before_their_certificates_expire() {
    let before = "control_plane: {spec: {rollout: {before: {certificatesExpiryDays: 10}}}}";
    let expiring = |date: &str| {
        let more = format!("{{status: {{certificatesExpiryDate: '{date}'}}}}");
        changed(&[INITIALIZED, before, &machines(&[machine("n1", &more)])])
    };
    expect![[r#"
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
        note RolloutStarted: Machine hello-bcz94 takes the place of another one: Certificates will expire soon, rollout.before expired
    "#]]
    .assert_eq(&expiring("2026-01-12T00:00:00Z"));
    expect![[r#"
        again in 100s
    "#]]
    .assert_eq(&expiring("2026-01-12T03:05:45Z"));
}

#[test]
fn what_machines_join_by_is_written_before_the_first_of_them() {
    let changed_args = "control_plane: {spec: {kubeadmConfigSpec: {clusterConfiguration: {apiServer: {extraArgs: [{name: v, value: '3'}]}}}}}";
    let old = machine(
        "n1",
        "{metadata: {annotations: {apiary.io/kubeadm-config-hash: other}}}",
    );
    let one = machines(&[old]);
    expect![[r#"
        act WriteClusterConfiguration
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
        note RolloutStarted: Machine hello-bcz94 takes the place of another one: KubeadmConfig is not up-to-date
    "#]]
    .assert_eq(&changed(&[INITIALIZED, changed_args, &one]));
    // Also before one that only makes the control plane larger, and not again.
    let same = machines(&[machine("n1", "{}")]);
    let written = "workload: {configuration: {apiServer: {extraArgs: [{name: v, value: '3'}]}}}";
    expect![[r#"
        act WriteClusterConfiguration
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
    "#]]
    .assert_eq(&changed(&[INITIALIZED, changed_args, THREE, &same]));
    expect![[r#"
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
    "#]]
    .assert_eq(&changed(&[
        INITIALIZED,
        changed_args,
        THREE,
        &same,
        written,
    ]));
}

#[test]
fn an_outdated_machine_goes_where_most_of_them_are() {
    let new = |name: &str| machine(name, "{spec: {version: v1.36.1}}");
    let old =
        |name: &str, domain: &str| machine(name, &format!("{{spec: {{failureDomain: {domain}}}}}"));
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let five = machines(&[
        new("n1"),
        new("n2"),
        old("n3", "a"),
        old("n4", "b"),
        old("n5", "b"),
    ]);
    let wish = "control_plane: {spec: {replicas: 5, version: v1.36.1, rollout: {strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0}}}}}";
    let followed = "workload: {configuration: {kubernetesVersion: v1.36.1}}";
    expect![[r#"
        delete Machine acme/n4
        note SuccessfulDelete: Deleted machine n4
    "#]]
    .assert_eq(&changed(&[
        INITIALIZED,
        wish,
        followed,
        &five,
        &etcd(&names),
    ]));
}

#[test]
fn a_cluster_that_goes_with_its_only_machine_is_not_initialized() {
    let shown = |more: &str, known: &str| {
        let one = machines(&[machine("n1", more)]);
        let text = show::<KubeadmControlPlaneController>(&certified(&[INITIALIZED, &one, known]));
        let mut lines = text.lines().filter(|l| l.starts_with("Initialized"));
        format!("{}\n", lines.next().unwrap_or_default())
    };
    let deleted = "{metadata: {deletionTimestamp: '2026-01-02T00:00:00Z'}}";
    let known = "control_plane: {status: {initialization: {controlPlaneInitialized: true}}}";
    let text = shown("{}", "{}") + &shown(deleted, "{}") + &shown(deleted, known);
    expect![[r#"
        Initialized=True Initialized
        Initialized=False NotInitialized
        Initialized=True Initialized
    "#]]
    .assert_eq(&text);
}

#[test]
fn labels_and_annotations_go_on_to_the_parts() {
    let template =
        "control_plane: {spec: {machineTemplate: {metadata: {annotations: {note: seen}}}}}";
    let one = machines(&[machine("n1", "{metadata: {labels: {team: a}}}")]);
    let parts = "parts: {n1: {bootstrap: {apiVersion: b/v1beta2, kind: KubeadmConfig, metadata: {name: n1, namespace: acme}}}}";
    expect![[r#"
        patch KubeadmConfig acme/n1 {"metadata":{"annotations":{"note":"seen"},"labels":{"cluster.x-k8s.io/control-plane":"","team":"a"}}}
    "#]]
    .assert_eq(&changed(&[INITIALIZED, template, &one, parts]));
    // Those of a new machine have them from the beginning.
    let new = machines(&[machine("n1", "{status: null}")]);
    let plan = plan::plan(&certified(&[template, &new]), now());
    let made = plan.changes.iter().filter_map(|change| match change {
        runtime::Change::Create(part) => part.metadata.annotations.clone(),
        _ => None,
    });
    let notes: Vec<_> = made
        .map(|annotations| annotations["note"].clone())
        .collect();
    assert_eq!(notes, ["seen", "seen"]);
}
