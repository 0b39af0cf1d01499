//! Worlds with machines of the control plane that nobody, or somebody else, controls.

use super::*;

const ORPHAN: &str = "metadata: {ownerReferences: null}";

fn planned(overrides: &[&str]) -> String {
    plan::plan(&certified(overrides), now()).to_string()
}

#[test]
fn machines_without_owner_are_adopted_and_stay() {
    let one = |more: &str| {
        let orphan: serde_json::Value = world(&machine("n1", ORPHAN), more);
        machines(&[orphan.to_string()])
    };
    // Nothing is known of what it was made from: that is no reason to replace it.
    expect![[r#"
        apply Machine acme/n1
    "#]]
    .assert_eq(&planned(&[INITIALIZED, &one("{}")]));
    let refused = |more: &str| planned(&[INITIALIZED, &one(more)]);
    expect![[r#"
        apply Machine acme/n1
        create Machine acme/hello-bcz94
        note SuccessfulCreate: Created machine hello-bcz94
        note RolloutStarted: Machine hello-bcz94 takes the place of another one: Version v1.35.3, v1.36.0 required
    "#]]
    .assert_eq(&refused("{spec: {version: v1.35.3}}"));
    expect![[r#"
        wait AdoptionFailed: Machine n1 cannot be adopted: its version "v1.34.0" must be at most one minor version from v1.36.0
    "#]]
    .assert_eq(&refused("{spec: {version: v1.34.0}}"));
    expect![[r#"
        wait AdoptionFailed: Machine n1 cannot be adopted: its version "" must be at most one minor version from v1.36.0
    "#]]
    .assert_eq(&refused("{spec: {version: null}}"));
    expect![[r#"
        wait AdoptionFailed: Machine n1 cannot be adopted: its bootstrap.configRef must name a KubeadmConfig, and not OtherConfig
    "#]]
    .assert_eq(&refused("{spec: {bootstrap: {configRef: {kind: OtherConfig}}}}"));
    expect![[r#"
        wait AdoptionFailed: Machine n1 cannot be adopted: its bootstrap.configRef must name a KubeadmConfig, and not nothing
    "#]]
    .assert_eq(&refused("{spec: {bootstrap: {configRef: null, dataSecretName: x}}}"));
}

#[test]
fn nothing_is_changed_while_machines_belong_to_somebody_else() {
    let one = machines(&[machine("n1", "{}")]);
    let wish = "control_plane: {spec: {version: v1.36.1}}";
    expect![[r#"
        wait AdoptionFailed: Machines n8, n9 of the cluster's control plane belong to somebody else: hello changes nothing while there are such machines
    "#]]
    .assert_eq(&planned(&[INITIALIZED, wish, &one, "foreign: [n8, n9]"]));
}

#[test]
fn an_authority_that_the_user_brings_stays() {
    let mut world: World = layers(BASE, &[]);
    world.authorities = Authorities::of([(Purpose::Cluster, pair())]);
    expect![[r#"
        act GenerateCertificate(Etcd)
        act GenerateCertificate(FrontProxy)
        act GenerateCertificate(ServiceAccount)
        wait NotAvailable: Making Secrets hello-etcd, hello-proxy, hello-sa
    "#]]
    .assert_eq(&plan::plan(&world, now()).to_string());
}
