//! Worlds with members of etcd whose machine is gone.

use super::*;

const THREE: &str = "control_plane: {spec: {replicas: 3}}";

fn sick(name: &str) -> String {
    machine(name, "{status: {conditions: []}}")
}

#[test]
fn a_member_whose_machine_is_gone_is_removed() {
    let two = machines(&[machine("a", "{}"), machine("b", "{}")]);
    let members = etcd(&["a", "b", "ghost"]);
    let without_first = "workload: {etcd: {n1: null}}";
    check(
        &[INITIALIZED, THREE, &two, &members, without_first],
        &expect![[r#"
            apply Machine acme/a
            apply Machine acme/b
            act RemoveEtcdMember("ghost")
            wait ControlPlaneUnhealthy: Removing etcd member ghost, whose Machine is gone
            again in 1s
        "#]],
    );
    // The rest must be able to decide.
    let sick = machines(&[machine("a", "{}"), sick("b")]);
    check(
        &[INITIALIZED, THREE, &sick, &members, without_first],
        &expect![[r#"
            apply Machine acme/a
            apply Machine acme/b
            wait ControlPlaneUnhealthy: etcd member ghost has no Machine, and removing it would leave no healthy majority
            wait ControlPlaneUnhealthy: * Machine b: APIServerPodHealthy, ControllerManagerPodHealthy, SchedulerPodHealthy, EtcdPodHealthy, EtcdMemberHealthy not true
            again in 15s
        "#]],
    );
    // It may be that of a machine that comes.
    let coming = machines(&[
        machine("a", "{}"),
        machine("b", "{status: {nodeRef: null}}"),
    ]);
    check(
        &[INITIALIZED, THREE, &coming, &members, without_first],
        &expect![[r#"
            apply Machine acme/a
            apply Machine acme/b
            wait ControlPlaneUnhealthy: * Machine b: no node yet
            again in 15s
        "#]],
    );
}

#[test]
fn a_member_whose_machine_is_gone_is_told() {
    let shown = |names: &[&str]| {
        let two = machines(&[machine("a", "{}"), machine("b", "{}")]);
        let without_first = "workload: {etcd: {n1: null}}";
        let layers = [INITIALIZED, THREE, &two, &etcd(names), without_first];
        let text = show::<KubeadmControlPlaneController>(&certified(&layers));
        let mut lines = text.lines().filter(|l| l.starts_with("EtcdClusterHealthy"));
        format!("{}\n", lines.next().unwrap_or_default())
    };
    expect![[r#"
        EtcdClusterHealthy=True Healthy
        EtcdClusterHealthy=False NotHealthy * Etcd member ghost has no Machine
    "#]]
    .assert_eq(&(shown(&["a", "b"]) + &shown(&["a", "b", "ghost"])));
}
