//! What a cluster should be made of: its parts, from class, topology and variables. Pure.

use std::cell::RefCell;
use std::sync::Arc;

use api::cluster::cluster_class::{ClassNaming, ClassTemplate, MachineDeploymentClass};
use api::cluster::topology::{MachineDeploymentTopology, Topology, Variable, VariableOverrides};
use api::cluster::{Cluster, ClusterClass, MachineDeployment, WorkersKind};
use api::meta::{ContractRef, TemplateRef, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::World;
use super::external::Item;
use super::gather::{contract_ref, is_named_by, reference_to};
use super::group::{deployment_of, group_of};
use super::parts::{self, Texts, put, texts};
use super::patches::{self, Place, Role};
use super::templates::{Part, copy, metadata_of};
use super::upgrade::{Progress, Step, Upgrade};
use super::versions;
use crate::{names, object, template};

const DEPLOYMENT: WorkersKind = WorkersKind::MachineDeployment;

/// What a cluster should be made of.
#[derive(Debug)]
pub(super) struct Parts {
    /// Copies of templates.
    pub copies: Vec<DynamicObject>,
    pub infrastructure: DynamicObject,
    /// Reference to the control plane.
    pub control_plane_ref: ContractRef,
    /// `None` if it has to stay as it is for now.
    pub control_plane: Option<DynamicObject>,
    pub deployments: Vec<DynamicObject>,
    /// MachinePools, each after what it refers to.
    pub pools: Vec<DynamicObject>,
    pub checks: Vec<DynamicObject>,
}

/// What parts are built from.
pub(super) struct Builder<'a> {
    pub world: &'a World,
    pub class: &'a ClusterClass,
    /// With the defaults of variables.
    pub topology: &'a Topology,
    pub upgrade: &'a Upgrade,
    pub builtin: Value,
    pub stage: Stage<'a>,
}

/// How far templates are rendered.
#[derive(Clone, Copy)]
pub(super) enum Stage<'a> {
    /// By all patches.
    Whole,
    /// By those before one of them, or by all of them, and collected.
    Until {
        patch: Option<&'a str>,
        items: &'a RefCell<Vec<Item>>,
    },
}

/// Collects what templates are rendered to.
///
/// # Errors
/// As [`build`].
pub(super) fn collect(
    world: &World,
    class: &ClusterClass,
    topology: &Topology,
    upgrade: &Upgrade,
    stage: Stage<'_>,
) -> Result<(), String> {
    build_to(world, class, topology, upgrade, stage).map(|_| ())
}

/// Builds all parts.
///
/// # Errors
/// What is wrong with the class or its templates.
pub(super) fn build(
    world: &World,
    class: &ClusterClass,
    topology: &Topology,
    upgrade: &Upgrade,
) -> Result<Parts, String> {
    build_to(world, class, topology, upgrade, Stage::Whole)
}

fn build_to(
    world: &World,
    class: &ClusterClass,
    topology: &Topology,
    upgrade: &Upgrade,
    stage: Stage<'_>,
) -> Result<Parts, String> {
    let builder = Builder {
        world,
        class,
        topology,
        upgrade,
        builtin: patches::builtin(&world.cluster, topology),
        stage,
    };
    let mut copies = vec![];
    let infrastructure = builder.infrastructure()?;
    let name = builder.control_plane_name();
    let from = builder.template(&class.spec.control_plane.template_ref)?;
    let kind = from.types.clone().unwrap_or_default().kind;
    let control_plane_ref = ContractRef {
        name: name.clone(),
        kind: template::object_kind(&kind).to_owned(),
        ..reference_to(from)
    };
    let control_plane = match upgrade.control_plane {
        Progress::Waiting if !builder.is_collecting() => None,
        _ => Some(builder.control_plane(from, &name, &mut copies)?),
    };
    let (mut deployments, mut checks) = (vec![], vec![]);
    let own = topology.control_plane.as_ref();
    if let Some(health) = parts::control_plane_health(&class.spec.control_plane, own) {
        let selector = object::labels([(labels::CONTROL_PLANE, "")]);
        checks.push(builder.check(&name, None, &json!(selector), &health));
    }
    for entry in topology.machine_deployments() {
        let Some(class) = class.machine_deployment(&entry.class) else {
            return Err(format!(
                "the ClusterClass has no class {:?} of MachineDeployments",
                entry.class
            ));
        };
        let Some(version) = builder.version_for(DEPLOYMENT, &entry.name) else {
            continue;
        };
        let deployment = builder.deployment(class, entry, version, &mut copies)?;
        if let Some(health) = parts::worker_health(class, entry) {
            let selector = object::labels([
                (labels::TOPOLOGY_OWNED, ""),
                (labels::TOPOLOGY_DEPLOYMENT_NAME, &entry.name),
            ]);
            let name = deployment.name_any();
            checks.push(builder.check(&name, Some(&entry.name), &json!(selector), &health));
        }
        deployments.push(deployment);
    }
    let mut pools = vec![];
    for entry in topology.machine_pools() {
        if let Some(version) = builder.version_for(WorkersKind::MachinePool, &entry.name) {
            pools.extend(builder.pool(entry, version)?);
        }
    }
    Ok(Parts {
        copies,
        infrastructure,
        control_plane_ref,
        control_plane,
        deployments,
        pools,
        checks,
    })
}

pub(super) fn overrides(variables: Option<&VariableOverrides>) -> Option<&[Variable]> {
    variables.and_then(|v| v.overrides.as_deref())
}

/// What class and topology say of a MachineDeployment.
fn say(class: &MachineDeploymentClass, entry: &MachineDeploymentTopology, to: &mut Value) {
    put(to, &["spec", "replicas"], entry.replicas);
    put(to, &["spec", "rollout"], parts::rollout(class, entry));
    put(
        to,
        &["spec", "deletion", "order"],
        parts::order(class, entry),
    );
    let in_flight = parts::max_in_flight(class, entry);
    put(to, &["spec", "remediation", "maxInFlight"], in_flight);
    let machine = |field| ["spec", "template", "spec", field];
    let domain = entry
        .failure_domain
        .as_ref()
        .or(class.failure_domain.as_ref());
    put(to, &machine("failureDomain"), domain);
    let deletion = parts::deletion(
        class.deletion.as_ref().map(|d| &d.timeouts),
        entry.deletion.as_ref().map(|d| &d.timeouts),
    );
    put(to, &machine("deletion"), deletion);
    let ready = entry.min_ready_seconds.or(class.min_ready_seconds);
    put(to, &machine("minReadySeconds"), ready);
    let gates = entry
        .readiness_gates
        .as_ref()
        .or(class.readiness_gates.as_ref());
    put(to, &machine("readinessGates"), gates);
    let taints = entry.taints.as_ref().or(class.taints.as_ref());
    put(to, &machine("taints"), taints);
}

impl Builder<'_> {
    pub(super) fn template(&self, reference: &TemplateRef) -> Result<&DynamicObject, String> {
        let wanted = contract_ref(reference);
        let found = self.world.templates.iter();
        let found = found.map(Arc::as_ref).find(|t| is_named_by(t, &wanted));
        found.ok_or_else(|| format!("{} {} does not exist", wanted.kind, wanted.name))
    }

    /// Whether templates are collected: all of them, also of what stays as it is for now.
    pub(super) fn is_collecting(&self) -> bool {
        matches!(self.stage, Stage::Until { .. })
    }

    /// The version of a group of workers; nothing if it is not made now.
    fn version_for(&self, kind: WorkersKind, entry: &str) -> Option<&str> {
        let later = self.is_collecting().then_some(&*self.topology.version);
        self.upgrade.version_for(kind, entry).or(later)
    }

    /// The template in the version that the class names, which its patches are written for.
    fn as_named(&self, from: &DynamicObject, reference: &TemplateRef) -> Result<Value, String> {
        let served = from.types.clone().unwrap_or_default().api_version;
        let metadata = json!({
            "labels": from.metadata.labels.clone().unwrap_or_default(),
            "annotations": from.metadata.annotations.clone().unwrap_or_default(),
        });
        let mut template = json!({
            "apiVersion": served, "kind": reference.kind, "metadata": metadata, "spec": from.data["spec"],
        });
        let named = &reference.api_version;
        if served == *named {
            return Ok(template);
        }
        if versions::is_known(&template) {
            return versions::lower(template, named);
        }
        // Of other providers' kinds only one version is read.
        template["apiVersion"] = json!(named);
        Ok(template)
    }

    /// The template with the patches of the class, in the version that is served.
    pub(super) fn render(
        &self,
        from: &DynamicObject,
        reference: &TemplateRef,
        place: &Place<'_>,
        values: &Value,
    ) -> Result<Value, String> {
        let failed = |why: String| format!("{} {}: {why}", reference.kind, reference.name);
        let mut rendered = self.as_named(from, reference).map_err(failed)?;
        let before = rendered.clone();
        let until = match self.stage {
            Stage::Until { patch, .. } => patch,
            Stage::Whole => None,
        };
        let asked = (&self.world.external, until);
        patches::apply(self.class, place, &mut rendered, values, asked).map_err(failed)?;
        if let Stage::Until { items, .. } = self.stage {
            let namespace = self.world.cluster.namespace().unwrap_or_default();
            items.borrow_mut().push(Item {
                uid: place.uid(),
                holder: place.reference(&namespace),
                object: rendered.clone(),
                values: values.clone(),
            });
        }
        let served = from.types.clone().unwrap_or_default().api_version;
        if versions::is_known(&rendered) {
            return versions::raise(rendered, &served).map_err(failed);
        }
        let named = &reference.api_version;
        if rendered != before && *named != served {
            return Err(failed(format!(
                "the class names {named}, which its patches are written for, and this kind is read as {served}: name that, and write them for it"
            )));
        }
        Ok(rendered)
    }

    /// A place in the Cluster.
    fn in_cluster<'p>(&self, role: Role<'p>) -> Place<'p> {
        Place {
            role,
            holder: ContractRef {
                api_group: Cluster::group(&()).into_owned(),
                kind: Cluster::kind(&()).into_owned(),
                name: self.cluster_name(),
            },
            api_version: Cluster::api_version(&()).into_owned(),
            entry: None,
        }
    }

    /// A place in a group of workers.
    pub(super) fn in_group<'p>(
        &self,
        role: Role<'p>,
        (kind, entry): (WorkersKind, &'p str),
        name: &str,
    ) -> Place<'p> {
        Place {
            holder: ContractRef {
                kind: kind.name().to_owned(),
                name: name.to_owned(),
                ..self.in_cluster(role).holder
            },
            entry: Some((kind, entry)),
            ..self.in_cluster(role)
        }
    }

    /// The name of a part that there is one of: of the one that there is, or one by the class's naming.
    fn single_name(
        &self,
        current: Option<&ContractRef>,
        what: &str,
        naming: Option<&ClassNaming>,
    ) -> String {
        if let Some(current) = current {
            return current.name.clone();
        }
        let suffix = names::suffix(&[&self.world.cluster.uid().unwrap_or_default(), what]);
        self.name(naming, None, &suffix)
    }

    fn name(
        &self,
        naming: Option<&ClassNaming>,
        entry: Option<(WorkersKind, &str)>,
        suffix: &str,
    ) -> String {
        let cluster = self.cluster_name();
        let template = naming.and_then(|n| n.template.as_deref());
        let name = match (template, entry) {
            (Some(template), entry) => {
                let own = entry
                    .map(|(kind, entry)| (format!(".{}.topologyName", kind.variable()), entry));
                let mut known = vec![(".random", suffix), (".cluster.name", &cluster)];
                known.extend(own.iter().map(|(name, entry)| (name.as_str(), *entry)));
                names::expand(template, &known)
            }
            (None, Some((_, entry))) => format!("{cluster}-{entry}-{suffix}"),
            (None, None) => format!("{cluster}-{suffix}"),
        };
        names::cut(name, suffix)
    }

    pub(super) fn cluster_name(&self) -> String {
        self.world.cluster.name_any()
    }

    /// An object made from a rendered template, without what class and topology add.
    pub(super) fn object(&self, part: &Part<'_>, name: String) -> DynamicObject {
        let resource = &part.rendered["spec"]["template"];
        let mut metadata = metadata_of(self.world, part, &resource["metadata"]);
        metadata.name = Some(name);
        // It goes with the Cluster even if that is deleted before it refers to it.
        metadata.owner_references = Some(vec![object::owner_ref(&self.world.cluster, true)]);
        let types = part.from.types.clone().unwrap_or_default();
        let kind = template::object_kind(&types.kind);
        let mut data = json!({});
        if !resource["spec"].is_null() {
            data["spec"] = resource["spec"].clone();
        }
        object::build(&types.api_version, kind, metadata, data)
    }

    fn infrastructure(&self) -> Result<DynamicObject, String> {
        let class = &self.class.spec.infrastructure;
        let from = self.template(&class.template_ref)?;
        let values = patches::values(self.topology, None, self.builtin.clone());
        let rendered = self.render(
            from,
            &class.template_ref,
            &self.in_cluster(Role::Infrastructure),
            &values,
        )?;
        let current = self.world.cluster.spec.infrastructure_ref.as_ref();
        let part = Part {
            from,
            rendered: &rendered,
            entry: None,
            current,
        };
        let name = self.single_name(current, "infrastructure", class.naming.as_ref());
        Ok(self.object(&part, name))
    }

    fn control_plane_name(&self) -> String {
        let current = self.world.cluster.spec.control_plane_ref.as_ref();
        let naming = self.class.spec.control_plane.naming.as_ref();
        self.single_name(current, "control plane", naming)
    }

    fn control_plane(
        &self,
        from: &DynamicObject,
        name: &str,
        copies: &mut Vec<DynamicObject>,
    ) -> Result<DynamicObject, String> {
        let class = &self.class.spec.control_plane;
        let own = self.topology.control_plane.clone().unwrap_or_default();
        let (mut labels, annotations) =
            parts::metadata(class.metadata.as_ref(), own.metadata.as_ref());
        labels.extend(object::labels([
            (labels::CLUSTER_NAME, &self.world.cluster.name_any()),
            (labels::TOPOLOGY_OWNED, ""),
        ]));
        let mut about = json!({
            "name": name,
            "version": self.upgrade.version,
            "metadata": {"labels": labels, "annotations": annotations},
        });
        put(&mut about, &["replicas"], own.replicas);
        let mut builtin = self.builtin.clone();
        builtin["controlPlane"] = about;
        let values = patches::values(self.topology, overrides(own.variables.as_ref()), builtin);
        let rendered = self.render(
            from,
            &class.template_ref,
            &self.in_cluster(Role::ControlPlane),
            &values,
        )?;
        let part = Part {
            from,
            rendered: &rendered,
            entry: None,
            current: None,
        };
        let mut object = self.object(&part, name.to_owned());
        object.labels_mut().extend(labels.clone());
        object.annotations_mut().extend(annotations.clone());
        let data = &mut object.data;
        if let Some(machines) = &class.machine_infrastructure {
            let about = (&labels, &annotations);
            copies.push(self.control_plane_machines(machines, &values, about, data)?);
        }
        let machine = |field| ["spec", "machineTemplate", "spec", field];
        let gates = own
            .readiness_gates
            .or_else(|| class.readiness_gates.clone());
        put(data, &machine("readinessGates"), gates);
        let taints = own.taints.or_else(|| class.taints.clone());
        put(data, &machine("taints"), taints);
        let deletion = parts::deletion(class.deletion.as_ref(), own.deletion.as_ref());
        for (field, value) in deletion.iter().filter_map(Value::as_object).flatten() {
            let path = ["spec", "machineTemplate", "spec", "deletion", field];
            put(data, &path, Some(value));
        }
        put(
            data,
            &["spec", "rollout", "after"],
            own.rollout.and_then(|r| r.after),
        );
        put(data, &["spec", "replicas"], own.replicas);
        put(data, &["spec", "version"], Some(&self.upgrade.version));
        Ok(object)
    }

    /// What the machines of the control plane are made from, and what they are labelled with.
    fn control_plane_machines(
        &self,
        machines: &ClassTemplate,
        values: &Value,
        (labels, annotations): (&Texts, &Texts),
        data: &mut Value,
    ) -> Result<DynamicObject, String> {
        let from = self.template(&machines.template_ref)?;
        let holder = self.template(&self.class.spec.control_plane.template_ref)?;
        let types = holder.types.clone().unwrap_or_default();
        let place = Place {
            holder: ContractRef {
                kind: template::object_kind(&types.kind).to_owned(),
                name: self.control_plane_name(),
                ..reference_to(holder)
            },
            api_version: types.api_version,
            ..self.in_cluster(Role::ControlPlaneMachines)
        };
        let rendered = self.render(from, &machines.template_ref, &place, values)?;
        let current = self.world.control_plane.as_ref().and_then(|c| {
            let at = &c.data["spec"]["machineTemplate"]["spec"]["infrastructureRef"];
            serde_json::from_value(at.clone()).ok()
        });
        let part = Part {
            from,
            rendered: &rendered,
            entry: None,
            current: current.as_ref(),
        };
        let copy = copy(self.world, &part);
        let template = ["spec", "machineTemplate", "spec", "infrastructureRef"];
        put(data, &template, Some(reference_to(&copy)));
        let metadata = data["spec"]["machineTemplate"]["metadata"].clone();
        for (field, texts) in [("labels", labels), ("annotations", annotations)] {
            let mut all: Texts =
                serde_json::from_value(metadata[field].clone()).unwrap_or_default();
            all.extend(texts.clone());
            let path = ["spec", "machineTemplate", "metadata", field];
            put(data, &path, parts::texts(&all));
        }
        Ok(copy)
    }

    /// The name of the group of workers for an entry: of the one that there is, or one that nobody has.
    pub(super) fn group_name(
        &self,
        naming: Option<&ClassNaming>,
        (kind, entry): (WorkersKind, &str),
    ) -> String {
        if let Some(current) = group_of(self.world, kind, entry) {
            return current.name();
        }
        let uid = self.world.cluster.uid().unwrap_or_default();
        let what = match kind {
            WorkersKind::MachineDeployment => "deployment",
            WorkersKind::MachinePool => "pool",
        };
        let taken = self.world.groups(kind);
        let mut count: u32 = 0;
        loop {
            let suffix = names::suffix(&[&uid, what, entry, &count.to_string()]);
            // A template that always gives the same name is left when that is taken by one that goes.
            let naming = naming.filter(|_| count < 16);
            let name = self.name(naming, Some((kind, entry)), &suffix);
            if !taken.iter().any(|group| group.name() == name) {
                return name;
            }
            count += 1;
        }
    }

    fn deployment(
        &self,
        class: &MachineDeploymentClass,
        entry: &MachineDeploymentTopology,
        version: &str,
        copies: &mut Vec<DynamicObject>,
    ) -> Result<DynamicObject, String> {
        let cluster = self.world.cluster.name_any();
        let name = self.group_name(class.naming.as_ref(), (DEPLOYMENT, &entry.name));
        let (mut labels, annotations) =
            parts::metadata(class.metadata.as_ref(), entry.metadata.as_ref());
        let own = object::labels([
            (labels::CLUSTER_NAME, &cluster),
            (labels::TOPOLOGY_OWNED, ""),
            (labels::TOPOLOGY_DEPLOYMENT_NAME, &entry.name),
        ]);
        labels.extend(own.clone());
        let (bootstrap, infrastructure) = self.machines(
            class,
            entry,
            (&name, version),
            (&labels, &annotations),
            copies,
        )?;
        let template_metadata = {
            let mut metadata = json!({});
            put(&mut metadata, &["labels"], texts(&labels));
            put(&mut metadata, &["annotations"], texts(&annotations));
            metadata
        };
        let mut data = json!({"spec": {
            "clusterName": cluster,
            "selector": {"matchLabels": own},
            "template": {
                "metadata": template_metadata,
                "spec": {
                    "clusterName": cluster,
                    "version": version,
                    "bootstrap": {"configRef": bootstrap},
                    "infrastructureRef": infrastructure,
                },
            },
        }});
        say(class, entry, &mut data);
        let metadata = ObjectMeta {
            name: Some(name),
            namespace: self.world.cluster.namespace(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|a| !a.is_empty()),
            owner_references: Some(vec![object::owner_ref(&self.world.cluster, false)]),
            ..ObjectMeta::default()
        };
        let api_version = MachineDeployment::api_version(&());
        Ok(object::build(
            &api_version,
            "MachineDeployment",
            metadata,
            data,
        ))
    }

    /// References to the templates of a MachineDeployment. One that waits for its upgrade keeps those that it has, so that its machines
    /// are replaced once and not twice.
    fn machines(
        &self,
        class: &MachineDeploymentClass,
        entry: &MachineDeploymentTopology,
        (name, version): (&str, &str),
        (labels, annotations): (&Texts, &Texts),
        copies: &mut Vec<DynamicObject>,
    ) -> Result<(ContractRef, ContractRef), String> {
        let current = deployment_of(self.world, &entry.name).map(|d| &d.spec.template.spec);
        let step = self.upgrade.steps.get(&(DEPLOYMENT, entry.name.clone()));
        if let (Some(Step::Wait(_) | Step::Defer(_)), Some(current)) = (step, current)
            && let Some(bootstrap) = &current.bootstrap.config_ref
            && !self.is_collecting()
        {
            return Ok((bootstrap.clone(), current.infrastructure_ref.clone()));
        }
        let mut about = json!({
            "version": version,
            "class": entry.class,
            "name": name,
            "topologyName": entry.name,
            "metadata": {"labels": labels, "annotations": annotations},
        });
        put(&mut about, &["replicas"], entry.replicas);
        let mut builtin = self.builtin.clone();
        builtin["machineDeployment"] = about;
        let values = patches::values(self.topology, overrides(entry.variables.as_ref()), builtin);
        let mut made = |reference: &TemplateRef, role, current: Option<&ContractRef>| {
            let from = self.template(reference)?;
            let place = self.in_group(role, (DEPLOYMENT, &entry.name), name);
            let rendered = self.render(from, reference, &place, &values)?;
            let part = Part {
                from,
                rendered: &rendered,
                entry: Some((DEPLOYMENT, &entry.name)),
                current,
            };
            let copy = copy(self.world, &part);
            let reference = reference_to(&copy);
            copies.push(copy);
            Ok::<ContractRef, String>(reference)
        };
        let bootstrap = made(
            &class.bootstrap.template_ref,
            Role::Bootstrap(DEPLOYMENT, &entry.class),
            current.and_then(|c| c.bootstrap.config_ref.as_ref()),
        )?;
        let infrastructure = made(
            &class.infrastructure.template_ref,
            Role::Machines(DEPLOYMENT, &entry.class),
            current.map(|c| &c.infrastructure_ref),
        )?;
        Ok((bootstrap, infrastructure))
    }

    fn check(
        &self,
        name: &str,
        entry: Option<&str>,
        selector: &Value,
        health: &parts::Health,
    ) -> DynamicObject {
        let cluster = self.world.cluster.name_any();
        let mut labels = object::labels([
            (labels::CLUSTER_NAME, &cluster),
            (labels::TOPOLOGY_OWNED, ""),
        ]);
        if let Some(entry) = entry {
            labels.insert(
                labels::TOPOLOGY_DEPLOYMENT_NAME.to_owned(),
                entry.to_owned(),
            );
        }
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: self.world.cluster.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![object::owner_ref(&self.world.cluster, false)]),
            ..ObjectMeta::default()
        };
        let mut data =
            json!({"spec": {"clusterName": cluster, "selector": {"matchLabels": selector}}});
        let (checks, remediation) = health.to_json();
        put(&mut data, &["spec", "checks"], checks);
        put(&mut data, &["spec", "remediation"], remediation);
        object::build(
            "cluster.x-k8s.io/v1beta2",
            "MachineHealthCheck",
            metadata,
            data,
        )
    }
}
