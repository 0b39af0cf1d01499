//! Clusters, node pools and machines as rows: what an operator wants to know of each at a glance. Pure.

use api::meta::labels;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::table::Cell;
use super::world::is_control_plane;
use crate::object::{self, age, condition, count, first_reason, kind, label, name, namespace};
use crate::ui::Role;

/// A kind of row.
pub trait Row: Serialize {
    const HEADS: &'static [&'static str];

    fn name(&self) -> &str;
    fn organization(&self) -> &str;
    fn cells(&self, now: Timestamp) -> Vec<Cell>;
}

/// How many of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replicas {
    pub desired: i64,
    pub ready: i64,
    pub available: i64,
    pub up_to_date: i64,
}

impl Replicas {
    /// What a status counts, where `desired` is its field of that name.
    fn of(status: &Value, desired: i64) -> Self {
        Self {
            desired,
            ready: count(&status["readyReplicas"]),
            available: count(&status["availableReplicas"]),
            up_to_date: count(&status["upToDateReplicas"]),
        }
    }
}

/// One cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRow {
    pub name: String,
    pub organization: String,
    /// Versions of its control plane's machines, oldest first: several while it is upgraded.
    pub versions: Vec<String>,
    pub control_plane: Replicas,
    pub workers: Replicas,
    /// `True`, `False` or `Unknown`.
    pub available: String,
    pub phase: String,
    pub created: Option<Timestamp>,
    /// Why it is not available; empty if it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// One node pool: a MachineDeployment or MachinePool.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRow {
    pub name: String,
    pub kind: String,
    pub cluster: String,
    pub organization: String,
    pub replicas: Replicas,
    pub version: String,
    pub phase: String,
    pub created: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// One machine.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRow {
    pub name: String,
    pub cluster: String,
    pub organization: String,
    /// `control plane` or `worker`.
    pub role: &'static str,
    /// Its node pool, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pool: String,
    pub node: String,
    pub phase: String,
    pub version: String,
    pub provider_id: String,
    pub created: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// Rows of clusters, by organization and name.
#[must_use]
pub fn clusters(objects: &[Value]) -> Vec<ClusterRow> {
    let mut rows: Vec<ClusterRow> = objects.iter().map(cluster).collect();
    rows.sort_by_key(|row| (row.organization.clone(), row.name.clone()));
    rows
}

/// Rows of node pools, by organization, cluster and name.
#[must_use]
pub fn pools(objects: &[Value]) -> Vec<PoolRow> {
    let mut rows: Vec<PoolRow> = objects.iter().map(pool).collect();
    rows.sort_by_key(|r| (r.organization.clone(), r.cluster.clone(), r.name.clone()));
    rows
}

/// Rows of machines, by organization, cluster and name, the control plane's first.
#[must_use]
pub fn machines(objects: &[Value]) -> Vec<MachineRow> {
    let mut rows: Vec<MachineRow> = objects.iter().map(machine).collect();
    rows.sort_by_key(|row| {
        (
            row.organization.clone(),
            row.cluster.clone(),
            row.role,
            row.name.clone(),
        )
    });
    rows
}

fn cluster(object: &Value) -> ClusterRow {
    let status = &object["status"];
    let replicas = |part: &Value| Replicas::of(part, count(&part["desiredReplicas"]));
    let counted = status["controlPlane"]["versions"].as_array();
    let mut versions: Vec<String> = counted
        .into_iter()
        .flatten()
        .filter_map(|v| v["version"].as_str())
        .map(str::to_owned)
        .collect();
    if versions.is_empty() {
        versions.extend(text(&object["spec"]["topology"]["version"]));
    }
    versions.sort_by_key(|version| api::cluster::rules::Version::parse(version));
    ClusterRow {
        name: name(object).to_owned(),
        organization: place(object),
        versions,
        control_plane: replicas(&status["controlPlane"]),
        workers: replicas(&status["workers"]),
        available: truth(object, "Available"),
        phase: phase(object),
        created: created(object),
        why: why(object, "Available"),
    }
}

fn pool(object: &Value) -> PoolRow {
    let spec = &object["spec"];
    let desired = spec["replicas"].as_i64().unwrap_or(1);
    PoolRow {
        name: name(object).to_owned(),
        kind: kind(object).to_owned(),
        cluster: text(&spec["clusterName"]).unwrap_or_default(),
        organization: place(object),
        replicas: Replicas::of(&object["status"], desired),
        version: text(&spec["template"]["spec"]["version"]).unwrap_or_default(),
        phase: phase(object),
        created: created(object),
        why: why(object, "Available"),
    }
}

fn machine(object: &Value) -> MachineRow {
    let spec = &object["spec"];
    let is_control_plane = is_control_plane(object);
    let pool = label(object, labels::DEPLOYMENT_NAME).or_else(|| label(object, labels::POOL_NAME));
    MachineRow {
        name: name(object).to_owned(),
        cluster: text(&spec["clusterName"]).unwrap_or_default(),
        organization: place(object),
        role: if is_control_plane {
            "control plane"
        } else {
            "worker"
        },
        pool: pool.unwrap_or_default().to_owned(),
        node: text(&object["status"]["nodeRef"]["name"]).unwrap_or_default(),
        phase: phase(object),
        version: text(&spec["version"]).unwrap_or_default(),
        provider_id: text(&spec["providerID"]).unwrap_or_default(),
        created: created(object),
        why: why(object, "Ready"),
    }
}

fn text(field: &Value) -> Option<String> {
    field.as_str().map(str::to_owned)
}

fn created(object: &Value) -> Option<Timestamp> {
    object::time(&object["metadata"]["creationTimestamp"])
}

/// The organization; a namespace that belongs to none in brackets.
fn place(object: &Value) -> String {
    let namespace = namespace(object);
    object::organization(namespace).map_or_else(|| format!("({namespace})"), str::to_owned)
}

fn truth(object: &Value, ty: &str) -> String {
    condition(object, ty)
        .map_or("Unknown", |c| c.status)
        .to_owned()
}

fn phase(object: &Value) -> String {
    let phase = object["status"]["phase"].as_str().unwrap_or("Pending");
    if object::is_true(object, "Paused") {
        format!("{phase}, paused")
    } else {
        phase.to_owned()
    }
}

/// Why a condition is not true, in a line; while the object is being deleted, what that waits for.
fn why(object: &Value, ty: &str) -> String {
    let deleting = condition(object, "Deleting").filter(|_| object::is_deleting(object));
    let found = match deleting.or_else(|| condition(object, ty)) {
        None => return "its controller has not looked at it yet".to_owned(),
        Some(found) if found.ty == ty && found.is_true() => return String::new(),
        Some(found) => found,
    };
    let message = first_reason(found.message);
    if message.is_empty() {
        found.reason.to_owned()
    } else {
        message
    }
}

/// The longest reason that stands in a row, in characters.
const WHY_MAX: usize = 80;

fn why_cell(why: &str) -> Cell {
    let mut text: String = why.chars().take(WHY_MAX).collect();
    if text.len() < why.len() {
        text.push('…');
    }
    Cell::from(text)
}

/// Good if as many as wanted are there.
fn ratio(have: i64, wanted: i64) -> Cell {
    let cell = Cell::from(format!("{have}/{wanted}"));
    cell.in_role(if have == wanted {
        Role::Good
    } else {
        Role::Waiting
    })
}

fn truth_cell(truth: &str) -> Cell {
    Cell::from(truth).in_role(match truth {
        "True" => Role::Good,
        "False" => Role::Bad,
        _ => Role::Waiting,
    })
}

impl Row for ClusterRow {
    const HEADS: &'static [&'static str] = &[
        "NAME",
        "ORGANIZATION",
        "VERSION",
        "CONTROL PLANE",
        "WORKERS",
        "AVAILABLE",
        "PHASE",
        "AGE",
        "WHY",
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn organization(&self) -> &str {
        &self.organization
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::from(&self.name),
            Cell::from(&self.organization),
            Cell::from(self.versions.join(", ")),
            ratio(self.control_plane.ready, self.control_plane.desired),
            ratio(self.workers.ready, self.workers.desired),
            truth_cell(&self.available),
            Cell::from(&self.phase),
            Cell::from(age(self.created, now)),
            why_cell(&self.why),
        ]
    }
}

impl Row for PoolRow {
    const HEADS: &'static [&'static str] = &[
        "NAME",
        "CLUSTER",
        "ORGANIZATION",
        "KIND",
        "DESIRED",
        "READY",
        "AVAILABLE",
        "UP TO DATE",
        "VERSION",
        "PHASE",
        "AGE",
        "WHY",
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn organization(&self) -> &str {
        &self.organization
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let Replicas {
            desired,
            ready,
            available,
            up_to_date,
        } = self.replicas;
        // The usual kind needs no saying.
        let kind = (self.kind != "MachineDeployment").then_some(&*self.kind);
        vec![
            Cell::from(&self.name),
            Cell::from(&self.cluster),
            Cell::from(&self.organization),
            Cell::from(kind.unwrap_or_default()),
            Cell::from(desired.to_string()),
            Cell::from(ready.to_string()),
            Cell::from(available.to_string()),
            Cell::from(up_to_date.to_string()),
            Cell::from(&self.version),
            Cell::from(&self.phase),
            Cell::from(age(self.created, now)),
            why_cell(&self.why),
        ]
    }
}

impl Row for MachineRow {
    const HEADS: &'static [&'static str] = &[
        "NAME",
        "CLUSTER",
        "ORGANIZATION",
        "ROLE",
        "POOL",
        "NODE",
        "PHASE",
        "VERSION",
        "AGE",
        "PROVIDER ID",
        "WHY",
    ];

    fn name(&self) -> &str {
        &self.name
    }

    fn organization(&self) -> &str {
        &self.organization
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::from(&self.name),
            Cell::from(&self.cluster),
            Cell::from(&self.organization),
            Cell::from(self.role),
            Cell::from(&self.pool),
            Cell::from(&self.node),
            Cell::from(&self.phase),
            Cell::from(&self.version),
            Cell::from(age(self.created, now)),
            Cell::from(&self.provider_id),
            why_cell(&self.why),
        ]
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::testing::{NOW, objects, ui};
    use super::*;

    fn show<R: Row>(rows: &[R]) -> String {
        let now = NOW.parse().unwrap();
        let cells: Vec<_> = rows.iter().map(|row| row.cells(now)).collect();
        super::super::table::text(R::HEADS, &cells, &ui())
    }

    fn check<R: Row>(rows: fn(&[Value]) -> Vec<R>, yaml: &str, expect: &Expect) {
        expect.assert_eq(&show(&rows(&objects(yaml))));
    }

    #[test]
    fn clusters_are_rows() {
        check(
            clusters,
            "
kind: Cluster
metadata: {name: second, namespace: org-acme, creationTimestamp: '2026-01-02T02:00:00Z'}
status:
  phase: Provisioned
  controlPlane: {desiredReplicas: 3, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 1, versions: [{version: v1.36.10, replicas: 1}, {version: v1.36.9, replicas: 2}]}
  workers: {desiredReplicas: 2, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 2}
  conditions: [{type: Available, status: 'True', reason: Available, message: ''}]
---
kind: Cluster
metadata: {name: first, namespace: org-acme, creationTimestamp: '2026-01-02T03:03:55Z'}
status:
  phase: Provisioning
  conditions: [{type: Available, status: 'False', reason: NotAvailable, message: \"* InfrastructureReady:\\n  * Room: there is none\\n* Other: x\"}]
---
kind: Cluster
metadata: {name: new, namespace: default, creationTimestamp: '2026-01-02T03:04:05Z'}
spec: {topology: {version: v1.36.0}}
",
            &expect![[r#"
                NAME    ORGANIZATION  VERSION            CONTROL PLANE  WORKERS  AVAILABLE  PHASE         AGE  WHY
                new     (default)     v1.36.0            0/0            0/0      Unknown    Pending       0s   its controller has not looked at it yet
                first   acme                             0/0            0/0      False      Provisioning  10s  InfrastructureReady: Room: there is none
                second  acme          v1.36.9, v1.36.10  2/3            2/2      True       Provisioned   64m"#]],
        );
    }

    #[test]
    fn node_pools_are_rows() {
        check(
            pools,
            "
kind: MachineDeployment
metadata: {name: hello-workers, namespace: org-acme, creationTimestamp: '2026-01-02T02:00:00Z'}
spec: {clusterName: hello, replicas: 3, template: {spec: {version: v1.36.0}}}
status: {phase: ScalingUp, readyReplicas: 2, availableReplicas: 2, upToDateReplicas: 2, conditions: [{type: Available, status: 'False', reason: NotAvailable, message: '2 available replicas, at least 3 required'}]}
---
kind: MachinePool
metadata: {name: hello-group, namespace: org-acme, creationTimestamp: '2026-01-02T02:00:00Z'}
spec: {clusterName: hello, replicas: 1, template: {spec: {version: v1.36.0}}}
status: {phase: Running, readyReplicas: 1, availableReplicas: 1, upToDateReplicas: 1, conditions: [{type: Available, status: 'True'}, {type: Paused, status: 'True'}]}
",
            &expect![[r#"
                NAME           CLUSTER  ORGANIZATION  KIND         DESIRED  READY  AVAILABLE  UP TO DATE  VERSION  PHASE            AGE  WHY
                hello-group    hello    acme          MachinePool  1        1      1          1           v1.36.0  Running, paused  64m
                hello-workers  hello    acme                       3        2      2          2           v1.36.0  ScalingUp        64m  2 available replicas, at least 3 required"#]],
        );
    }

    #[test]
    fn machines_are_rows() {
        check(
            machines,
            "
kind: Machine
metadata: {name: hello-workers-a, namespace: org-acme, creationTimestamp: '2026-01-02T02:00:00Z', deletionTimestamp: '2026-01-02T03:00:00Z', labels: {cluster.x-k8s.io/deployment-name: hello-workers}}
spec: {clusterName: hello, version: v1.36.0, providerID: 'local:///a'}
status: {phase: Deleting, nodeRef: {name: node-a}, conditions: [{type: Ready, status: 'True'}, {type: Deleting, status: 'True', reason: DrainingNode, message: \"Drain not completed yet:\\n* Pod web: cannot\"}]}
---
kind: Machine
metadata: {name: hello-z, namespace: org-acme, creationTimestamp: '2026-01-02T02:00:00Z', labels: {cluster.x-k8s.io/control-plane: ''}}
spec: {clusterName: hello, version: v1.36.0}
status: {phase: Running, nodeRef: {name: hello-z}, conditions: [{type: Ready, status: 'True'}]}
",
            &expect![[r#"
                NAME             CLUSTER  ORGANIZATION  ROLE           POOL           NODE     PHASE     VERSION  AGE  PROVIDER ID  WHY
                hello-z          hello    acme          control plane                 hello-z  Running   v1.36.0  64m
                hello-workers-a  hello    acme          worker         hello-workers  node-a   Deleting  v1.36.0  64m  local:///a   Drain not completed yet: Pod web: cannot"#]],
        );
    }
}
