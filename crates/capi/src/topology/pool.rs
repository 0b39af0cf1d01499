//! The MachinePools of a topology, with what they refer to. Pure.

use api::cluster::cluster_class::MachinePoolClass;
use api::cluster::topology::MachinePoolTopology;
use api::cluster::{MachinePool, WorkersKind};
use api::meta::{ContractRef, TemplateRef, labels};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::World;
use super::build::{Builder, overrides};
use super::gather::reference_to;
use super::parts::{self, Texts, put, texts};
use super::patches::{self, Role};
use super::templates::Part;
use super::upgrade::Step;
use crate::object;

const KIND: WorkersKind = WorkersKind::MachinePool;

/// What a pool is called, and what it is labelled with.
struct About<'a> {
    name: &'a str,
    version: &'a str,
    labels: &'a Texts,
    annotations: &'a Texts,
}

/// The MachinePool for an entry of the topology, unless it is on its way out.
fn pool_of<'a>(world: &'a World, entry: &str) -> Option<&'a MachinePool> {
    let is_it = |pool: &&std::sync::Arc<MachinePool>| {
        object::label(&pool.metadata, labels::TOPOLOGY_POOL_NAME) == Some(entry)
            && pool.metadata.deletion_timestamp.is_none()
    };
    world.pools.iter().find(is_it).map(|pool| &**pool)
}

/// What class and topology say of a MachinePool.
fn say(class: &MachinePoolClass, entry: &MachinePoolTopology, to: &mut Value) {
    put(to, &["spec", "replicas"], entry.replicas);
    let domains = entry
        .failure_domains
        .as_ref()
        .or(class.failure_domains.as_ref());
    put(to, &["spec", "failureDomains"], domains);
    let machine = |field| ["spec", "template", "spec", field];
    let deletion = parts::deletion(class.deletion.as_ref(), entry.deletion.as_ref());
    put(to, &machine("deletion"), deletion);
    let ready = entry.min_ready_seconds.or(class.min_ready_seconds);
    put(to, &machine("minReadySeconds"), ready);
}

impl Builder<'_> {
    /// A MachinePool, and before it what it refers to.
    pub(super) fn pool(
        &self,
        entry: &MachinePoolTopology,
        version: &str,
    ) -> Result<Vec<DynamicObject>, String> {
        let class = self.class.machine_pool(&entry.class).ok_or_else(|| {
            format!(
                "the ClusterClass has no class {:?} of MachinePools",
                entry.class
            )
        })?;
        let cluster = self.cluster_name();
        let name = self.group_name(class.naming.as_ref(), (KIND, &entry.name));
        let (mut labels, annotations) =
            parts::metadata(class.metadata.as_ref(), entry.metadata.as_ref());
        labels.extend(object::labels([
            (labels::CLUSTER_NAME, &*cluster),
            (labels::TOPOLOGY_OWNED, ""),
            (labels::TOPOLOGY_POOL_NAME, &entry.name),
        ]));
        let about = About {
            name: &name,
            version,
            labels: &labels,
            annotations: &annotations,
        };
        let mut objects = vec![];
        let (bootstrap, infrastructure) = self.pool_parts(class, entry, &about, &mut objects)?;
        let mut template_metadata = json!({});
        put(&mut template_metadata, &["labels"], texts(&labels));
        put(
            &mut template_metadata,
            &["annotations"],
            texts(&annotations),
        );
        let mut data = json!({"spec": {
            "clusterName": cluster,
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
            namespace: self.world.cluster.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|a| !a.is_empty()),
            owner_references: Some(vec![object::owner_ref(&self.world.cluster, false)]),
            ..ObjectMeta::default()
        };
        let api_version = MachinePool::api_version(&());
        objects.push(object::build(&api_version, KIND.name(), metadata, data));
        Ok(objects)
    }

    /// The config and the infrastructure object of a pool. They keep their names and are changed in place. Those of one that waits for its
    /// upgrade stay as they are, so that its machines are replaced once and not twice.
    fn pool_parts(
        &self,
        class: &MachinePoolClass,
        entry: &MachinePoolTopology,
        about: &About<'_>,
        objects: &mut Vec<DynamicObject>,
    ) -> Result<(ContractRef, ContractRef), String> {
        let current = pool_of(self.world, &entry.name).map(|pool| &pool.spec.template.spec);
        let step = self.upgrade.steps.get(&(KIND, entry.name.clone()));
        if let (Some(Step::Wait(_) | Step::Defer(_)), Some(current)) = (step, current)
            && let Some(bootstrap) = &current.bootstrap.config_ref
            && !self.is_collecting()
        {
            return Ok((bootstrap.clone(), current.infrastructure_ref.clone()));
        }
        let mut builtin = self.builtin.clone();
        builtin["machinePool"] = json!({
            "version": about.version,
            "class": entry.class,
            "name": about.name,
            "topologyName": entry.name,
            "metadata": {"labels": about.labels, "annotations": about.annotations},
        });
        put(&mut builtin, &["machinePool", "replicas"], entry.replicas);
        let values = patches::values(self.topology, overrides(entry.variables.as_ref()), builtin);
        let mut made = |reference: &TemplateRef, role, current: Option<&ContractRef>| {
            let from = self.template(reference)?;
            let place = self.in_group(role, (KIND, &entry.name), about.name);
            let rendered = self.render(from, reference, &place, &values)?;
            let part = Part {
                from,
                rendered: &rendered,
                entry: Some((KIND, &entry.name)),
                current,
            };
            let name = current.map_or(about.name, |current| &current.name);
            let mut object = self.object(&part, name.to_owned());
            // The MachinePool becomes its controller.
            let owner = object::owner_ref(&self.world.cluster, false);
            object.metadata.owner_references = Some(vec![owner]);
            let reference = reference_to(&object);
            objects.push(object);
            Ok::<ContractRef, String>(reference)
        };
        let bootstrap = made(
            &class.bootstrap.template_ref,
            Role::Bootstrap(KIND, &entry.class),
            current.and_then(|c| c.bootstrap.config_ref.as_ref()),
        )?;
        let infrastructure = made(
            &class.infrastructure.template_ref,
            Role::Machines(KIND, &entry.class),
            current.map(|c| &c.infrastructure_ref),
        )?;
        Ok((bootstrap, infrastructure))
    }
}
