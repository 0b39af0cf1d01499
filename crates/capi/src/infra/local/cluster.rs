//! LocalClusters: an endpoint, a TLS server name and failure domains for a cluster on this host.
//!
//! Reads the LocalCluster, its Cluster and LocalMachines. Writes its endpoint and status. Deletion waits for the machines, and then
//! makes sure that no control plane is left on the host.

use std::sync::Arc;

use api::cluster::Cluster;
use api::infrastructure::local_cluster::{BastionStatus, HOST, bastion_name, conditions, reasons};
use api::infrastructure::local_machine::{self, BASTION, LocalMachineSpec};
use api::infrastructure::{LocalCluster, LocalMachine};
use api::meta::{Endpoint, FailureDomain, labels};
use jiff::Timestamp;
use kube::ResourceExt;
use runtime::{Change, ConditionStyle, Cx, GatherError, Outcome, Plan, Reconciler, Selector, Wait};
use serde_json::{Value, json};

use super::{ClusterId, Host, home};
use crate::condition::{self, Condition};
use crate::{object, pause};

/// The domain below which every cluster of this host has a name.
const DOMAIN: &str = "clusters.apiary.internal";
/// The failure domain of clusters that don't choose their own.
const FAILURE_DOMAIN: &str = "local-a";

/// The controller.
pub struct LocalClusterController {
    pub host: Arc<dyn Host>,
    /// Where the API servers of all clusters answer.
    pub endpoint: Endpoint,
}

/// All that planning needs.
#[derive(Debug)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct World {
    pub local: LocalCluster,
    #[cfg_attr(test, serde(default))]
    pub cluster: Option<Arc<Cluster>>,
    /// Names of the cluster's machines.
    #[cfg_attr(test, serde(default))]
    pub machines: Vec<String>,
    /// The machine that is the bastion, if it is there.
    #[cfg_attr(test, serde(default))]
    pub bastion: Option<Arc<LocalMachine>>,
    /// Where the API servers of all clusters answer.
    pub endpoint: Endpoint,
    /// The name of this management cluster.
    #[cfg_attr(test, serde(default))]
    pub own: Option<String>,
    /// A control plane of this name runs on the host.
    #[cfg_attr(test, serde(default))]
    pub has_control_plane: bool,
}

/// What happens on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Removes the control plane, if one is left.
    RemoveControlPlane(ClusterId),
}

/// The name by which clients ask for a cluster of this host.
#[must_use]
pub fn tls_server_name(namespace: &str, cluster: &str) -> String {
    format!("{cluster}.{namespace}.{DOMAIN}")
}

impl Reconciler for LocalClusterController {
    const NAME: &'static str = "localcluster";
    const FINALIZER: Option<&'static str> = Some("localcluster.infrastructure.cluster.x-k8s.io");
    const CONDITIONS: ConditionStyle = ConditionStyle::Standard;
    type Object = LocalCluster;
    type World = World;
    type Act = Act;

    async fn gather(&self, cx: &Cx, local: &LocalCluster) -> Result<World, GatherError> {
        let namespace = local.namespace().unwrap_or_default();
        let cluster = match cluster_name(local) {
            Some(name) => cx.get::<Cluster>(&namespace, name).await?,
            None => None,
        };
        let machines: Vec<Arc<LocalMachine>> = match cluster_name(local) {
            Some(name) => {
                cx.list(
                    Some(&namespace),
                    &Selector::label(labels::CLUSTER_NAME, name),
                )
                .await?
            }
            None => vec![],
        };
        let id = cluster_name(local).map(|name| ClusterId {
            namespace: namespace.clone(),
            name: name.to_owned(),
        });
        Ok(World {
            has_control_plane: id.is_some_and(|id| self.host.has_control_plane(&id)),
            local: local.clone(),
            cluster,
            machines: machines.iter().map(|m| m.name_any()).collect(),
            bastion: machines.iter().find(|m| is_bastion_of(m, local)).cloned(),
            endpoint: self.endpoint.clone(),
            own: home::own(cx).await?,
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Act> {
        plan(world)
    }

    async fn act(&self, _cx: &Cx, _world: &World, act: &Act) -> Result<(), Wait> {
        match act {
            Act::RemoveControlPlane(id) => {
                self.host
                    .stop_control_plane(id)
                    .await
                    .map_err(|message| Wait {
                        reason: "InternalError",
                        message: format!("removing the control plane: {message}"),
                    })
            }
        }
    }

    fn status(
        world: &World,
        plan: &Plan<Act>,
        outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        Some(status(world, plan, outcome))
    }
}

/// The Cluster that the object belongs to: its owner, or before that the one in its label.
fn cluster_name(local: &LocalCluster) -> Option<&str> {
    let mut owners = local.metadata.owner_references.iter().flatten();
    let owner = owners
        .find(|o| o.kind == "Cluster")
        .map(|o| o.name.as_str());
    owner.or_else(|| object::label(&local.metadata, labels::CLUSTER_NAME))
}

fn is_bastion_of(machine: &LocalMachine, local: &LocalCluster) -> bool {
    object::label(&machine.metadata, BASTION).is_some()
        && object::is_controlled_by(&machine.metadata, local.metadata.uid.as_deref())
}

impl World {
    fn wants_bastion(&self) -> bool {
        let bastion = self.local.spec.bastion.as_ref();
        bastion.is_some_and(|b| b.enabled == Some(true))
            && self.local.metadata.deletion_timestamp.is_none()
    }

    /// The machine that is to be the bastion.
    fn bastion_wanted(&self) -> Option<LocalMachine> {
        let id = self.id()?;
        let mut machine = LocalMachine::new(
            &bastion_name(&self.local.name_any()),
            LocalMachineSpec {
                cpus: Some(1),
                memory_mib: Some(1024),
                ..LocalMachineSpec::default()
            },
        );
        machine.metadata.namespace = Some(id.namespace);
        machine.metadata.labels = Some(object::labels([
            (labels::CLUSTER_NAME, id.name.as_str()),
            (BASTION, ""),
        ]));
        machine.metadata.owner_references = Some(vec![object::owner_ref(&self.local, true)]);
        Some(machine)
    }

    fn is_paused(&self) -> bool {
        pause::is_paused(self.cluster.as_deref(), &self.local.metadata)
    }

    fn id(&self) -> Option<ClusterId> {
        Some(ClusterId {
            namespace: self.local.namespace().unwrap_or_default(),
            name: cluster_name(&self.local)?.to_owned(),
        })
    }

    fn is_away(&self) -> bool {
        home::is_away(&self.local, self.own.as_deref())
    }

    /// Whether nothing has been started for this object, but a control plane of its name runs: that of a cluster that was moved away.
    fn is_name_in_use(&self) -> bool {
        let status = self.local.status.as_ref();
        let initialization = status.and_then(|s| s.initialization.as_ref());
        let was_provisioned = initialization.is_some_and(|i| i.provisioned == Some(true));
        let is_placed = object::annotation(&self.local.metadata, HOST).is_some();
        self.has_control_plane && !is_placed && !was_provisioned
    }

    fn is_managed_elsewhere(&self) -> bool {
        object::annotation(&self.local.metadata, labels::MANAGED_BY).is_some()
    }
}

fn plan(world: &World) -> Plan<Act> {
    if world.is_paused() || world.is_managed_elsewhere() {
        return pause::plan();
    }
    let mut plan = Plan::default();
    let unwanted = world.bastion.as_ref().filter(|_| !world.wants_bastion());
    let unwanted = unwanted.filter(|b| b.metadata.deletion_timestamp.is_none());
    plan.changes
        .extend(unwanted.map(|bastion| object::delete(&**bastion)));
    if world.local.metadata.deletion_timestamp.is_some() {
        if world.machines.is_empty() {
            // One that runs elsewhere, or is another cluster's, stays.
            let own = world
                .id()
                .filter(|_| !world.is_away() && !world.is_name_in_use());
            plan.changes
                .extend(own.map(|id| Change::Act(Act::RemoveControlPlane(id))));
            plan.is_finished = true;
        } else {
            let names: Vec<_> = world.machines.iter().map(String::as_str).collect();
            let message = format!(
                "Waiting for the deletion of {}",
                condition::named("LocalMachine", &names)
            );
            plan.wait(reasons::WAITING_FOR_MACHINE_DELETION, message);
        }
        return plan;
    }
    if world.cluster.is_none() {
        plan.wait(
            reasons::WAITING_FOR_OWNER,
            "Waiting for a Cluster to own this object",
        );
        return plan;
    }
    if let Some(id) = world.id().filter(|_| world.is_name_in_use()) {
        plan.wait(
            reasons::NAME_IN_USE,
            format!("The control plane of another cluster {id} still runs here: it was moved to another management cluster. Choose another name, or move it back"),
        );
        return plan;
    }
    plan.changes.extend(place(world));
    if let Some(bastion) = world.bastion_wanted().filter(|_| world.wants_bastion()) {
        let bastion = object::dynamic(&bastion);
        plan.changes.push(Change::Apply(Box::new(bastion)));
    }
    plan
}

/// Says where the cluster is: its endpoint, and in whose process its control plane runs.
fn place(world: &World) -> Option<Change<Act>> {
    let local = &world.local;
    let endpoint = local.spec.control_plane_endpoint.as_ref();
    let mut patch = json!({});
    if endpoint.and_then(Endpoint::known).is_none() {
        patch["spec"] = json!({"controlPlaneEndpoint": world.endpoint});
    }
    if let Some(own) = &world.own
        && object::annotation(&local.metadata, HOST).is_none()
    {
        patch["metadata"]["annotations"] = json!({ (HOST): own });
    }
    if patch == json!({}) {
        return None;
    }
    patch["metadata"]["resourceVersion"] = json!(local.metadata.resource_version);
    Some(Change::Patch {
        target: object::target(local),
        subresource: "",
        patch,
    })
}

/// The bastion that is there, as the status shows it.
fn bastion_status(bastion: &LocalMachine) -> BastionStatus {
    let status = bastion.status.as_ref();
    let addresses = status.and_then(|s| s.addresses.as_ref());
    let mut addresses = addresses.into_iter().flatten();
    let ready = status.and_then(|s| s.conditions.as_ref());
    let mut ready = ready.into_iter().flatten();
    BastionStatus {
        name: bastion.name_any(),
        ip: addresses
            .find(|a| a.type_ == "InternalIP")
            .map(|a| a.address.clone()),
        ready: ready.any(|c| c.type_ == local_machine::conditions::READY && c.status == "True"),
    }
}

fn status(world: &World, plan: &Plan<Act>, outcome: &Outcome) -> Value {
    let mut status = object::status_of(world.local.status.as_ref());
    if world.is_paused() {
        return condition::paused_status(status);
    }
    if world.is_managed_elsewhere() {
        return status;
    }
    let problem = outcome.failure.as_ref().or(plan.waits.first());
    let ready = match problem {
        Some(problem) => Condition::no(conditions::READY, problem.reason, problem.message.clone()),
        None => Condition::yes(conditions::READY, "Ready"),
    };
    if problem.is_none()
        && let Some(id) = world.id()
    {
        status["initialization"] = json!({"provisioned": true});
        status["tlsServerName"] = json!(tls_server_name(&id.namespace, &id.name));
        let own = FailureDomain {
            name: FAILURE_DOMAIN.to_owned(),
            control_plane: Some(true),
            attributes: None,
        };
        let domains = world
            .local
            .spec
            .failure_domains
            .clone()
            .unwrap_or_else(|| vec![own]);
        status["failureDomains"] = json!(domains);
    }
    status["bastion"] = json!(world.bastion.as_deref().map(bastion_status));
    let mut all = vec![ready, condition::paused(false)];
    if world.is_away() {
        all.push(Condition::no(
            conditions::HOSTED,
            reasons::HOSTED_ELSEWHERE,
            "The control plane goes on running in the process of the management cluster that made it: that one must run, and keeps it when this object is deleted",
        ));
    }
    status["conditions"] = condition::to_json(&all);
    if let Some(status) = status.as_object_mut() {
        status.retain(|_, value| !value.is_null());
        status.remove("observedGeneration");
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{show, world};
    use expect_test::{Expect, expect};

    const BASE: &str = "
local: {metadata: {name: hello, namespace: acme, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, name: hello, uid: c1}]}, spec: {}}
cluster: {metadata: {name: hello, namespace: acme}, spec: {}}
endpoint: {host: 127.0.0.1, port: 6443}
";

    fn check(overrides: &str, expect: &Expect) {
        expect.assert_eq(&show::<LocalClusterController>(&world::<World>(
            BASE, overrides,
        )));
    }

    #[test]
    fn gets_endpoint_name_and_failure_domain() {
        check(
            "{}",
            &expect![[r#"
            patch LocalCluster acme/hello {"metadata":{"resourceVersion":null},"spec":{"controlPlaneEndpoint":{"host":"127.0.0.1","port":6443}}}
            Ready=True Ready
            Paused=False NotPaused
            failureDomains:
            - controlPlane: true
              name: local-a
            initialization:
              provisioned: true
            tlsServerName: hello.acme.clusters.apiary.internal
        "#]],
        );
    }

    #[test]
    fn says_in_whose_process_it_is() {
        let own = "{own: u1, local: {spec: {controlPlaneEndpoint: {host: h, port: 1}}}}";
        check(
            own,
            &expect![[r#"
            patch LocalCluster acme/hello {"metadata":{"annotations":{"infrastructure.cluster.x-k8s.io/host":"u1"},"resourceVersion":null}}
            Ready=True Ready
            Paused=False NotPaused
            failureDomains:
            - controlPlane: true
              name: local-a
            initialization:
              provisioned: true
            tlsServerName: hello.acme.clusters.apiary.internal
        "#]],
        );
        check(
            "{own: u1, local: {metadata: {annotations: {infrastructure.cluster.x-k8s.io/host: u2}}, spec: {controlPlaneEndpoint: {host: h, port: 1}}}}",
            &expect![[r#"
                Ready=True Ready
                Paused=False NotPaused
                Hosted=False HostedElsewhere The control plane goes on running in the process of the management cluster that made it: that one must run, and keeps it when this object is deleted
                failureDomains:
                - controlPlane: true
                  name: local-a
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
    }

    #[test]
    fn leaves_a_moved_cluster_of_its_name_alone() {
        check(
            "{own: u1, has_control_plane: true}",
            &expect![[r#"
            wait NameInUse: The control plane of another cluster acme/hello still runs here: it was moved to another management cluster. Choose another name, or move it back
            Ready=False NameInUse The control plane of another cluster acme/hello still runs here: it was moved to another management cluster. Choose another name, or move it back
            Paused=False NotPaused
        "#]],
        );
        let deleting = "local: {metadata: {deletionTimestamp: '2026-01-02T03:04:00Z'}}";
        let plan = |more: &str| {
            let world: World = crate::testing::layers(BASE, &[deleting, more]);
            LocalClusterController::plan(&world, crate::testing::now()).to_string()
        };
        let away = "{own: u1, has_control_plane: true, local: {metadata: {annotations: {infrastructure.cluster.x-k8s.io/host: u2}}}}";
        let home = away.replace("u2", "u1");
        let plans = [plan("has_control_plane: true"), plan(away), plan(&home)];
        expect![[r#"
            finished
            ---
            finished
            ---
            act RemoveControlPlane(ClusterId { namespace: "acme", name: "hello" })
            finished
        "#]]
        .assert_eq(&plans.join("---\n"));
    }

    #[test]
    fn keeps_what_the_user_chose() {
        check(
            "local: {spec: {controlPlaneEndpoint: {host: 10.0.0.1, port: 443}, failureDomains: [{name: a, controlPlane: true}, {name: b}]}}",
            &expect![[r#"
                Ready=True Ready
                Paused=False NotPaused
                failureDomains:
                - controlPlane: true
                  name: a
                - name: b
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
    }

    #[test]
    fn waits_for_its_cluster() {
        check(
            "cluster: null",
            &expect![[r#"
            wait WaitingForOwner: Waiting for a Cluster to own this object
            Ready=False WaitingForOwner Waiting for a Cluster to own this object
            Paused=False NotPaused
        "#]],
        );
    }

    #[test]
    fn is_deleted_after_its_machines() {
        check(
            "{local: {metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}}, machines: [a, b]}",
            &expect![[r#"
                wait WaitingForMachineDeletion: Waiting for the deletion of LocalMachines a, b
                Ready=False WaitingForMachineDeletion Waiting for the deletion of LocalMachines a, b
                Paused=False NotPaused
            "#]],
        );
        check(
            "{local: {metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}}}",
            &expect![[r#"
                act RemoveControlPlane(ClusterId { namespace: "acme", name: "hello" })
                finished
                Ready=True Ready
                Paused=False NotPaused
                failureDomains:
                - controlPlane: true
                  name: local-a
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
    }

    #[test]
    fn is_left_alone_when_paused_or_managed_elsewhere() {
        check(
            "cluster: {spec: {paused: true}}",
            &expect![[r#"
            wait Paused: Reconciliation is paused
            Paused=True Paused
        "#]],
        );
        check(
            "local: {metadata: {annotations: {cluster.x-k8s.io/managed-by: other}}}",
            &expect![[r#"
                wait Paused: Reconciliation is paused

            "#]],
        );
    }

    #[test]
    fn keeps_a_bastion_while_one_is_wanted() {
        const OWNED: &str = "{metadata: {name: hello-bastion, namespace: acme, uid: b1, labels: {infrastructure.cluster.x-k8s.io/bastion: ''}, ownerReferences: [{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: LocalCluster, name: hello, uid: l1, controller: true}]}, spec: {}, status: {addresses: [{type: InternalIP, address: 10.64.0.9}], conditions: [{type: Ready, status: 'True', reason: Ready, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}]}}";
        check(
            "local: {metadata: {uid: l1}, spec: {bastion: {enabled: true}}}",
            &expect![[r#"
                patch LocalCluster acme/hello {"metadata":{"resourceVersion":null},"spec":{"controlPlaneEndpoint":{"host":"127.0.0.1","port":6443}}}
                apply LocalMachine acme/hello-bastion
                Ready=True Ready
                Paused=False NotPaused
                failureDomains:
                - controlPlane: true
                  name: local-a
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
        check(
            &format!(
                "{{local: {{metadata: {{uid: l1}}, spec: {{bastion: {{enabled: true}}}}}}, bastion: {OWNED}}}"
            ),
            &expect![[r#"
                patch LocalCluster acme/hello {"metadata":{"resourceVersion":null},"spec":{"controlPlaneEndpoint":{"host":"127.0.0.1","port":6443}}}
                apply LocalMachine acme/hello-bastion
                Ready=True Ready
                Paused=False NotPaused
                bastion:
                  ip: "10.64.0.9"
                  name: hello-bastion
                  ready: true
                failureDomains:
                - controlPlane: true
                  name: local-a
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
        check(
            &format!("{{local: {{metadata: {{uid: l1}}}}, bastion: {OWNED}}}"),
            &expect![[r#"
                delete LocalMachine acme/hello-bastion
                patch LocalCluster acme/hello {"metadata":{"resourceVersion":null},"spec":{"controlPlaneEndpoint":{"host":"127.0.0.1","port":6443}}}
                Ready=True Ready
                Paused=False NotPaused
                bastion:
                  ip: "10.64.0.9"
                  name: hello-bastion
                  ready: true
                failureDomains:
                - controlPlane: true
                  name: local-a
                initialization:
                  provisioned: true
                tlsServerName: hello.acme.clusters.apiary.internal
            "#]],
        );
    }
}
