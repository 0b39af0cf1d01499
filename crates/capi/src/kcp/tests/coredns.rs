//! CoreDNS goes with what the control plane says of it, step by step.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use runtime::Change;
use serde_json::json;

use super::super::coredns::{self, BACKUP, COREFILE, CoreDns, Step};
use super::super::{Act, World, plan};
use super::{INITIALIZED, certified, machine, machines};
use crate::testing::now;

const MEMBERS: &str = "workload: {configuration: {dns: {}}}";
const NOW: &str =
    "{image: 'registry.k8s.io/coredns/coredns:v1.12.4', corefile: '.:53 { }', key: Corefile}";

/// A control plane at rest that says this of its cluster, and CoreDNS.
fn at_rest(cluster_configuration: &str, core_dns: &str, more: &str) -> World {
    let said = format!(
        "control_plane: {{spec: {{kubeadmConfigSpec: {{clusterConfiguration: {cluster_configuration}}}}}}}"
    );
    let dns = format!("workload: {{core_dns: {core_dns}}}");
    let one = machines(&[machine("n1", "{}")]);
    certified(&[INITIALIZED, MEMBERS, &one, &said, &dns, more])
}

/// What is planned but for what is planned in any case.
fn planned(world: &World) -> String {
    let plan = plan::plan(world, now()).to_string();
    let lines = plan.lines().filter(|line| !line.contains("apply Machine"));
    lines.collect::<Vec<_>>().join("\n")
}

fn check(cluster_configuration: &str, core_dns: &str, more: &str, expected: &Expect) {
    expected.assert_eq(&planned(&at_rest(cluster_configuration, core_dns, more)));
}

/// What a step makes of the workload cluster.
fn take(world: &mut World, step: &Step) {
    let record = world
        .workload
        .as_ref()
        .and_then(|w| w.configuration.clone());
    let recorded = record.map(|record| coredns::recorded(world, &record));
    let workload = world.workload.as_mut().unwrap();
    let found: &mut CoreDns = workload.core_dns.as_mut().unwrap();
    let mut use_key = |key: &str| {
        if found.key.is_some() {
            found.key = Some(key.to_owned());
        }
    };
    match step {
        Step::Record => workload.configuration = recorded,
        Step::BackUp(text) => found.backup = Some(text.clone()),
        Step::UseBackup => use_key(BACKUP),
        Step::Migrate(text) => found.corefile.clone_from(text),
        Step::Finish(image) => {
            use_key(COREFILE);
            found.image.clone_from(image);
        }
    }
}

/// All steps, one pass after the other.
fn steps(mut world: World) -> String {
    let mut told = String::new();
    for _ in 0..10 {
        let plan = plan::plan(&world, now());
        let step = plan.changes.iter().find_map(|change| match change {
            Change::Act(Act::UpgradeCoreDns(step)) => Some(step.clone()),
            _ => None,
        });
        let Some(step) = step else {
            let found = world.workload.unwrap().core_dns.unwrap();
            writeln!(told, "{found:?}").unwrap();
            return told;
        };
        writeln!(told, "{step:?}").unwrap();
        take(&mut world, &step);
    }
    panic!("it never ends: {told}");
}

#[test]
fn an_upgrade_goes_over_a_copy_of_the_configuration() {
    let said = "{dns: {imageTag: v1.14.2}}";
    expect![[r#"
        Record
        BackUp(".:53 { }")
        UseBackup
        Finish("registry.k8s.io/coredns/coredns:v1.14.2")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.14.2", corefile: ".:53 { }", backup: Some(".:53 { }"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest(said, NOW, "{}")));
    // Somebody has changed the configuration since the last upgrade.
    let again = "{image: 'registry.k8s.io/coredns/coredns:v1.12.4', corefile: new, backup: old, key: Corefile}";
    expect![[r#"
        Record
        BackUp("new")
        UseBackup
        Finish("registry.k8s.io/coredns/coredns:v1.14.2")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.14.2", corefile: "new", backup: Some("new"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest(said, again, "{}")));
    let called_off = "{image: 'registry.k8s.io/coredns/coredns:v1.14.2', corefile: a, backup: a, key: Corefile-backup}";
    expect![[r#"
        Finish("registry.k8s.io/coredns/coredns:v1.14.2")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.14.2", corefile: "a", backup: Some("a"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest(said, called_off, "{}")));
    // Somebody changes it on the way, or takes back what was said.
    let edited = "{image: 'registry.k8s.io/coredns/coredns:v1.12.4', corefile: newer, backup: old, key: Corefile-backup}";
    expect![[r#"
        Record
        BackUp("newer")
        Finish("registry.k8s.io/coredns/coredns:v1.14.2")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.14.2", corefile: "newer", backup: Some("newer"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest(said, edited, "{}")));
    expect![[r#"
        Finish("registry.k8s.io/coredns/coredns:v1.12.4")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.12.4", corefile: "newer", backup: Some("old"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest("{}", edited, "{}")));
    expect![[r#"
        Finish("registry.k8s.io/coredns/coredns:v1.12.4")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.12.4", corefile: "newer", backup: Some("old"), key: Some("Corefile"), revision: None }
    "#]].assert_eq(&steps(at_rest("{dns: {imageTag: v1.2.0}}", edited, "{}")));
    let migrated = "{image: 'registry.k8s.io/coredns/coredns:v1.12.4', corefile: \"kubernetes {\\nendpoint a b\\n}\"}";
    expect![[r#"
        Record
        BackUp("kubernetes {\nendpoint a b\n}")
        Migrate("kubernetes {\nendpoint a\n}")
        Finish("registry.k8s.io/coredns/coredns:v1.14.2")
        CoreDns { image: "registry.k8s.io/coredns/coredns:v1.14.2", corefile: "kubernetes {\nendpoint a\n}", backup: Some("kubernetes {\nendpoint a b\n}"), key: None, revision: None }
    "#]].assert_eq(&steps(at_rest(said, migrated, "{}")));
}

/// What is said of the cluster, and the image of CoreDNS.
const IMAGES: &[(&str, &str)] = &[
    (
        "{dns: {imageTag: v1.14.2}}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{dns: {imageTag: v1.12.4}}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{dns: {imageTag: v1.8.0}}",
        "registry.k8s.io/coredns:v1.8.0-1",
    ),
    (
        "{dns: {imageRepository: mirror.example.org/dns/}}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{imageRepository: mirror.example.org}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{imageRepository: registry.k8s.io}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{imageRepository: registry.k8s.io, dns: {imageTag: v1.13.0}}",
        "mirror.example.org/coredns:v1.12.4",
    ),
    (
        "{dns: {imageTag: v1.12.0}}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{dns: {imageTag: v1.15.0}}",
        "registry.k8s.io/coredns/coredns:v1.12.4",
    ),
    (
        "{dns: {imageTag: v1.14.2}}",
        "registry.k8s.io/coredns/coredns@sha256:abc",
    ),
    ("{dns: {imageTag: v1.14.2}}", "registry.k8s.io:443/coredns"),
    ("{dns: {imageTag: v1.14.2}}", "coredns:latest"),
    ("{dns: {imageTag: v1.14.2}}", "coredns:1.12.4"),
];

#[test]
fn the_image_follows_what_is_said_of_it() {
    let image = |said: &str, image: &str| {
        let dns = format!("{{image: '{image}', corefile: a, backup: a, key: Corefile-backup}}");
        let mut world = at_rest(said, &dns, "{}");
        let workload = world.workload.as_mut().unwrap();
        workload.configuration = None;
        planned(&world)
    };
    let all = IMAGES
        .iter()
        .map(|(said, from)| format!("{said} {from}\n    {}", image(said, from)));
    expect![[r#"
        {dns: {imageTag: v1.14.2}} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.14.2"))
        note CoreDNSUpgraded: CoreDNS goes from registry.k8s.io/coredns/coredns:v1.12.4 to registry.k8s.io/coredns/coredns:v1.14.2
        {dns: {imageTag: v1.12.4}} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.12.4"))
        {dns: {imageTag: v1.8.0}} registry.k8s.io/coredns:v1.8.0-1
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.8.0"))
        note CoreDNSUpgraded: CoreDNS goes from registry.k8s.io/coredns:v1.8.0-1 to registry.k8s.io/coredns/coredns:v1.8.0
        {dns: {imageRepository: mirror.example.org/dns/}} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("mirror.example.org/dns/coredns:v1.12.4"))
        note CoreDNSUpgraded: CoreDNS goes from registry.k8s.io/coredns/coredns:v1.12.4 to mirror.example.org/dns/coredns:v1.12.4
        {imageRepository: mirror.example.org} registry.k8s.io/coredns/coredns:v1.12.4
            act SetKubeProxyImage("mirror.example.org/kube-proxy:v1.36.0")
        act UpgradeCoreDns(Finish("mirror.example.org/coredns:v1.12.4"))
        note CoreDNSUpgraded: CoreDNS goes from registry.k8s.io/coredns/coredns:v1.12.4 to mirror.example.org/coredns:v1.12.4
        {imageRepository: registry.k8s.io} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.12.4"))
        {imageRepository: registry.k8s.io, dns: {imageTag: v1.13.0}} mirror.example.org/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.13.0"))
        note CoreDNSUpgraded: CoreDNS goes from mirror.example.org/coredns:v1.12.4 to registry.k8s.io/coredns/coredns:v1.13.0
        {dns: {imageTag: v1.12.0}} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.12.4"))
        warn CoreDNSNotUpgraded: CoreDNS stays as it is: cannot go back from 1.12.4 to 1.12.0
        {dns: {imageTag: v1.15.0}} registry.k8s.io/coredns/coredns:v1.12.4
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns:v1.12.4"))
        warn CoreDNSNotUpgraded: CoreDNS stays as it is: cannot go from 1.12.4 to 1.15.0: the configuration of 1.15.0 is not known (1.8 to 1.14 are); upgrade CoreDNS yourself, and say so by the annotation controlplane.cluster.x-k8s.io/skip-coredns
        {dns: {imageTag: v1.14.2}} registry.k8s.io/coredns/coredns@sha256:abc
            act UpgradeCoreDns(Finish("registry.k8s.io/coredns/coredns@sha256:abc"))
        warn CoreDNSNotUpgraded: CoreDNS stays as it is: its image "registry.k8s.io/coredns/coredns@sha256:abc" has no tag that says which version it is
        {dns: {imageTag: v1.14.2}} registry.k8s.io:443/coredns
            act UpgradeCoreDns(Finish("registry.k8s.io:443/coredns"))
        warn CoreDNSNotUpgraded: CoreDNS stays as it is: its image "registry.k8s.io:443/coredns" has no tag that says which version it is
        {dns: {imageTag: v1.14.2}} coredns:latest
            act UpgradeCoreDns(Finish("coredns:latest"))
        warn CoreDNSNotUpgraded: CoreDNS stays as it is: tag "latest" does not begin with a version
        {dns: {imageTag: v1.14.2}} coredns:1.12.4
            act UpgradeCoreDns(Finish("coredns:v1.14.2"))
        note CoreDNSUpgraded: CoreDNS goes from coredns:1.12.4 to coredns:v1.14.2"#]].assert_eq(&all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn coredns_of_somebody_else_is_left_alone() {
    let skipped = "control_plane: {metadata: {annotations: {controlplane.cluster.x-k8s.io/skip-coredns: ''}}}";
    let said = "{dns: {imageTag: v1.14.2}}";
    check(said, NOW, skipped, &expect![""]);
    check("{}", NOW, "{}", &expect![""]);
    check(said, "null", "{}", &expect![""]);
    // Machines come first.
    check(
        said,
        NOW,
        "control_plane: {spec: {replicas: 3}}",
        &expect![[r#"
            create Machine acme/hello-bcz94
            note SuccessfulCreate: Created machine hello-bcz94"#]],
    );
}

#[test]
fn the_record_keeps_what_it_has() {
    let world = at_rest("{dns: {imageTag: v1.14.2}}", NOW, "{}");
    let record = json!({"clusterName": "hello", "dns": {"imageRepository": "old"}});
    expect![[r#"{"clusterName":"hello","dns":{"imageTag":"v1.14.2"}}"#]]
        .assert_eq(&coredns::recorded(&world, &record).to_string());
    // What is no record stays what it is.
    assert_eq!(coredns::recorded(&world, &json!("foo")), json!("foo"));
}
