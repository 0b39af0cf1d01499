//! Subresources that are more than a half of their object: scale, binding and eviction.

use serde_json::{Value, json};

use super::delete::check_preconditions;
use super::update::{Modification, Part, Seen};
use super::{Call, DeleteOptions, PatchBody, Registry, Target, metadata};
use crate::admission::Operation;
use crate::negotiate::PatchType;
use crate::patch;
use crate::schema::{self, FieldValidation};
use crate::select::LabelSelector;
use crate::status::{Cause, Status};

/// Where a kind keeps what `Scale` shows.
struct ScalePaths {
    spec_replicas: String,
    status_replicas: String,
    /// The selector as text in custom resources; built-in kinds have a `LabelSelector` or a map in `spec.selector`.
    selector: Option<String>,
}

/// A `Scale` as admission sees it.
struct ScalePart<'a> {
    target: &'a Target,
    paths: &'a ScalePaths,
}

impl Part for ScalePart<'_> {
    fn show(&self, object: &Value) -> Value {
        scale_of(object, self.paths)
    }

    fn set(&self, object: &mut Value, shown: &Value) -> Result<(), Status> {
        let replicas = json!(replicas_of(self.target, shown)?);
        set_path(object, &self.paths.spec_replicas, replicas);
        Ok(())
    }
}

impl Registry {
    /// The `Scale` of an object.
    ///
    /// # Errors
    /// 404 if there is no such object or its kind has no scale, 500 if a custom one does not say how many replicas it wants.
    pub async fn scale(&self, target: &Target) -> Result<Value, Status> {
        let parent = Target {
            subresource: String::new(),
            ..target.clone()
        };
        let parent = self.get(&parent).await?.into_value();
        let paths = scale_paths(target)?;
        if target.resource.custom.is_some() && get_path(&parent, &paths.spec_replicas).is_null() {
            let why = format!(
                "the spec replicas field \".{}\" does not exist",
                paths.spec_replicas
            );
            return Err(Status::internal(&why).with_details(json!({"causes": [{"message": why}]})));
        }
        Ok(scale_of(&parent, &paths))
    }

    /// Sets the replicas of an object through its `Scale`.
    ///
    /// # Errors
    /// 422 for negative replicas, 409 if the `Scale` is older than the object.
    pub async fn update_scale(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        scale: &Value,
    ) -> Result<Value, Status> {
        self.change_scale(call, target, &|_| Ok(scale.clone()))
            .await
    }

    /// Patches the `Scale` of an object.
    ///
    /// # Errors
    /// As [`Registry::update_scale`], and for patches that do not fit.
    pub async fn patch_scale(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        body: &PatchBody<'_>,
    ) -> Result<Value, Status> {
        if body.kind == PatchType::Apply {
            return self.apply_scale(call, target, body).await;
        }
        let document = body.document()?;
        self.change_scale(call, target, &|old| match body.kind {
            PatchType::Json => patch::json(old, body.bytes),
            _ => Ok(patch::merge(old, &document)),
        })
        .await
    }

    /// Server-side apply of a `Scale`: what it says of the replicas is applied to the object's own field, which the
    /// manager then owns through the subresource.
    async fn apply_scale(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        body: &PatchBody<'_>,
    ) -> Result<Value, Status> {
        let config = schema::decode_document(body.bytes)?;
        let said = |member: &str| config[member].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (said("apiVersion"), said("kind"));
        if (&*api_version, &*kind) != ("autoscaling/v1", "Scale") {
            return Err(Status::bad_request(format!(
                "the {api_version} {kind} in the data is not an autoscaling/v1 Scale"
            )));
        }
        let paths = scale_paths(target)?;
        let resource = &target.resource;
        let mut applied = json!({
            "apiVersion": target.api_version, "kind": resource.kind, "metadata": {"name": target.name},
        });
        if !config["spec"]["replicas"].is_null() {
            let replicas = replicas_of(target, &config)?;
            set_path(&mut applied, &paths.spec_replicas, json!(replicas));
        }
        let parent = Target {
            subresource: String::new(),
            ..target.clone()
        };
        let name = call.manager.clone();
        let now = self.now();
        let next = |old: &Value| {
            let manager = patch::Manager {
                name: &name,
                api_version: &target.api_version,
                subresource: "scale",
                has_status: resource.strategy.has_status,
                now,
                versions: self,
            };
            let new = patch::apply(Some(old), &applied, &resource.schema, &manager, body.force)?;
            schema::decode_value(resource, new, FieldValidation::Ignore).map(|d| d.value)
        };
        let modification = Modification {
            next: &next,
            revision: metadata::revision(&config).filter(|revision| *revision != 0),
            is_applied: true,
            subresource: "scale",
            seen: Seen::Part(&ScalePart {
                target,
                paths: &paths,
            }),
        };
        let changed = self.modify(call, &parent, &modification).await?;
        Ok(scale_of(&changed.into_value(), &paths))
    }

    /// Sets the replicas of an object to what `next` makes of its newest `Scale`.
    async fn change_scale(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        next: &(dyn Fn(&Value) -> Result<Value, Status> + Send + Sync),
    ) -> Result<Value, Status> {
        let paths = scale_paths(target)?;
        let parent = Target {
            subresource: String::new(),
            ..target.clone()
        };
        let part = ScalePart {
            target,
            paths: &paths,
        };
        let changed = self
            .change(call, &parent, ("scale", Seen::Part(&part)), &|old| {
                let scale = next(&scale_of(old, &paths))?;
                let revision = metadata::text(&scale, "resourceVersion");
                if !revision.is_empty() && revision != metadata::text(old, "resourceVersion") {
                    return Err(target.modified());
                }
                let mut new = old.clone();
                set_path(
                    &mut new,
                    &paths.spec_replicas,
                    json!(replicas_of(target, &scale)?),
                );
                Ok(new)
            })
            .await?;
        Ok(scale_of(&changed.into_value(), &paths))
    }

    /// Binds a pod to the node that `binding` names.
    ///
    /// # Errors
    /// 409 if the pod is bound already or being deleted.
    pub async fn bind(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        binding: &Value,
    ) -> Result<Value, Status> {
        let now = metadata::timestamp(self.now());
        // Binding is its own door into the spec and the status at once.
        let door = Target {
            subresource: "binding".into(),
            ..target.clone()
        };
        // Admission sees the binding, and not what it makes of the pod.
        let binding = &self.admit_subresource(call, &door, binding.clone()).await?;
        let node = binding["target"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if node.is_empty() {
            let cause = Cause::required("target.name", "the name of the node that the pod goes to");
            return Err(Status::invalid("", "Binding", &target.name, vec![cause]));
        }
        let named = |field| metadata::text(binding, field).to_owned();
        let (uid, version) = (named("uid"), named("resourceVersion"));
        let seen = (&*door.subresource, Seen::Nothing);
        let unbindable = |why: &str| Status::conflict("", "pods/binding", &target.name, why);
        self.change(call, &door, seen, &|old| {
            let is_meant =
                |wanted: &str, field| wanted.is_empty() || wanted == metadata::text(old, field);
            if !is_meant(&uid, "uid") || !is_meant(&version, "resourceVersion") {
                return Err(target.modified());
            }
            let bound = old["spec"]["nodeName"].as_str().unwrap_or_default();
            if !bound.is_empty() {
                return Err(unbindable(&format!(
                    "pod {} is already assigned to node {bound:?}",
                    target.name
                )));
            }
            if metadata::is_deleting(old) {
                return Err(unbindable(&format!(
                    "pod {} is being deleted, cannot be assigned to a host",
                    target.name
                )));
            }
            if old["spec"]["schedulingGates"]
                .as_array()
                .is_some_and(|gates| !gates.is_empty())
            {
                return Err(unbindable(&format!(
                    "pod {} has non-empty .spec.schedulingGates",
                    target.name
                )));
            }
            let mut new = old.clone();
            new["spec"]["nodeName"] = node.clone().into();
            for member in ["labels", "annotations"] {
                for (key, value) in binding["metadata"][member]
                    .as_object()
                    .into_iter()
                    .flatten()
                {
                    new["metadata"][member][key] = value.clone();
                }
            }
            set_condition(
                &mut new,
                json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now}),
            );
            Ok(new)
        })
        .await?;
        Ok(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        )
    }

    /// Evicts a pod: a delete that pod disruption budgets may refuse.
    ///
    /// # Errors
    /// 429 while a budget allows no disruption, 500 if several budgets cover the pod.
    pub async fn evict(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        eviction: &Value,
    ) -> Result<Value, Status> {
        let main = Target {
            subresource: String::new(),
            ..target.clone()
        };
        let pod = self.get(&main).await?.into_value();
        self.admit_subresource(call, target, eviction.clone())
            .await?;
        let mut options = DeleteOptions::parse(&eviction["deleteOptions"])?;
        options.dry_run |= call.dry_run;
        let is_done = matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed" | "Pending")
        );
        if !is_done && !metadata::is_deleting(&pod) {
            self.spend_budget(call, target, &pod, options.dry_run)
                .await?;
        }
        if !options.dry_run {
            self.say_evicted(call, &main, &mut options).await?;
        }
        self.delete_by(call, &main, &options, None).await?;
        Ok(
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
        )
    }

    /// Writes into a pod's status that it is being evicted: whoever counts its failures, a Job say, need not count this one.
    async fn say_evicted(
        &self,
        call: &mut Call<'_>,
        pod: &Target,
        options: &mut DeleteOptions,
    ) -> Result<(), Status> {
        let door = Target {
            subresource: "status".into(),
            ..pod.clone()
        };
        let now = metadata::timestamp(self.now());
        let wanted = options.clone();
        let seen = (&*door.subresource, Seen::Nothing);
        let next = |old: &Value| {
            check_preconditions(pod, old, &wanted)?;
            Ok(disrupted(old, &now))
        };
        let written = self.change(call, &door, seen, &next).await?.into_value();
        // The precondition is about the pod as its client saw it, which is the one before this.
        if let Some(revision) = &mut options.resource_version {
            metadata::text(&written, "resourceVersion").clone_into(revision);
        }
        Ok(())
    }

    /// Lets admission look at what is posted to a subresource that stores nothing itself.
    ///
    /// # Errors
    /// Whatever admission says.
    pub async fn admit_subresource(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        mut body: Value,
    ) -> Result<Value, Status> {
        self.admit(call, target, Operation::Create, None, &mut body)
            .await?;
        self.judge(call, target, Operation::Create, None, &body)
            .await?;
        Ok(body)
    }

    /// Lets admission look at a connection that is asked for: `options` say how.
    ///
    /// # Errors
    /// Whatever admission says.
    pub async fn admit_connection(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        mut options: Value,
    ) -> Result<(), Status> {
        self.admit(call, target, Operation::Connect, None, &mut options)
            .await?;
        self.judge(call, target, Operation::Connect, None, &options)
            .await
    }

    async fn spend_budget(
        &self,
        call: &mut Call<'_>,
        target: &Target,
        pod: &Value,
        dry_run: bool,
    ) -> Result<(), Status> {
        let budgets: Vec<Value> = self
            .store
            .list("poddisruptionbudgets.policy", Some(&target.namespace))
            .objects
            .iter()
            .map(|o| o.value())
            .filter(|budget| {
                selects_labels(&budget["spec"]["selector"], &pod["metadata"]["labels"])
            })
            .collect();
        let [budget] = budgets.as_slice() else {
            if budgets.is_empty() {
                return Ok(());
            }
            return Err(Status::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        };
        if !is_ready(pod) && spares_unready_pods(budget) {
            return Ok(());
        }
        let is_stale = budget["status"]["observedGeneration"].as_i64()
            != budget["metadata"]["generation"].as_i64();
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        if is_stale || allowed <= 0 {
            return Err(blocked_by(metadata::text(budget, "name"), is_stale, budget));
        }
        if dry_run {
            return Ok(());
        }
        let Some(resource) = super::find_builtin("policy", "v1", "poddisruptionbudgets") else {
            return Ok(());
        };
        let door = Target::new(
            resource.clone(),
            &target.namespace,
            metadata::text(budget, "name"),
            "status",
        );
        let now = metadata::timestamp(self.now());
        let seen = (&*door.subresource, Seen::Whole);
        self.change(call, &door, seen, &|old| {
            let allowed = old["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
            if allowed <= 0 {
                return Err(blocked_by(metadata::text(old, "name"), false, old));
            }
            let mut new = old.clone();
            new["status"]["disruptionsAllowed"] = json!(allowed - 1);
            new["status"]["disruptedPods"][&target.name] = now.clone().into();
            Ok(new)
        })
        .await
        .map(drop)
    }
}

/// The pod with the condition that says that it is being evicted.
fn disrupted(pod: &Value, now: &str) -> Value {
    let mut pod = pod.clone();
    let status = &mut pod["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else {
        return pod;
    };
    let mut condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": now,
    });
    let known = conditions
        .iter_mut()
        .find(|c| c["type"] == "DisruptionTarget");
    match known {
        Some(known) => {
            if known["status"] == "True" {
                condition["lastTransitionTime"] = known["lastTransitionTime"].take();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
    pod
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let is_ready = |c: &Value| c["type"] == "Ready" && c["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(is_ready))
}

/// Whether pods that are not ready may be evicted whatever the budget has left: they do not serve anybody.
fn spares_unready_pods(budget: &Value) -> bool {
    let number = |field: &str| budget["status"][field].as_i64().unwrap_or(0);
    let (desired, current) = (number("desiredHealthy"), number("currentHealthy"));
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (desired > 0 && current >= desired)
}

fn blocked_by(name: &str, is_stale: bool, budget: &Value) -> Status {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let why = if is_stale {
        format!("The disruption budget {name} is still being processed by the server.")
    } else {
        let status = &budget["status"];
        format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            status["desiredHealthy"], status["currentHealthy"]
        )
    };
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
    // What a budget forbids it may forbid for long: only whoever asks too early is told when to ask again. Clients that are
    // told so wait by themselves, past the time that their user gave them.
    if is_stale {
        details["retryAfterSeconds"] = json!(10);
    }
    Status::new(429, "TooManyRequests", message).with_details(details)
}

/// Whether a `LabelSelector` object selects the labels; an absent one selects nothing.
fn selects_labels(selector: &Value, labels: &Value) -> bool {
    !selector.is_null()
        && LabelSelector::of(selector)
            .is_ok_and(|s| s.matches_labels(|label| labels[label].as_str()))
}

fn scale_paths(target: &Target) -> Result<ScalePaths, Status> {
    if target.resource.subresource("scale").is_none() {
        return Err(Status::no_such_resource());
    }
    let custom = target
        .resource
        .custom
        .as_ref()
        .and_then(|custom| custom.scale.as_ref());
    Ok(match custom {
        Some((spec, status, selector)) => ScalePaths {
            spec_replicas: spec.trim_start_matches('.').to_owned(),
            status_replicas: status.trim_start_matches('.').to_owned(),
            selector: selector
                .as_ref()
                .map(|s| s.trim_start_matches('.').to_owned()),
        },
        None => ScalePaths {
            spec_replicas: "spec.replicas".into(),
            status_replicas: "status.replicas".into(),
            selector: None,
        },
    })
}

fn scale_of(parent: &Value, paths: &ScalePaths) -> Value {
    let selector = match &paths.selector {
        Some(path) => get_path(parent, path)
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        None if parent["kind"] == "ReplicationController" => {
            LabelSelector::of_map(&parent["spec"]["selector"]).to_string()
        }
        None => LabelSelector::of(&parent["spec"]["selector"])
            .map(|selector| selector.to_string())
            .unwrap_or_default(),
    };
    let meta = &parent["metadata"];
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {},
        "status": {"replicas": get_path(parent, &paths.status_replicas).as_i64().unwrap_or(0)},
    });
    if let Some(replicas) = get_path(parent, &paths.spec_replicas)
        .as_i64()
        .filter(|r| *r != 0)
    {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

fn get_path<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, member| &value[member])
}

/// The replicas that a `Scale` asks for.
fn replicas_of(target: &Target, scale: &Value) -> Result<i64, Status> {
    let replicas = &scale["spec"]["replicas"];
    let count = if replicas.is_null() {
        0
    } else {
        replicas.as_i64().unwrap_or(-1)
    };
    if (0..=i64::from(i32::MAX)).contains(&count) {
        return Ok(count);
    }
    let cause = Cause::invalid(
        "spec.replicas",
        replicas,
        "must be greater than or equal to 0",
    );
    Err(Status::invalid(
        "autoscaling",
        "Scale",
        &target.name,
        vec![cause],
    ))
}

fn set_path(value: &mut Value, path: &str, new: Value) {
    let place = path.split('.').fold(value, |value, member| {
        if !value.is_object() {
            *value = json!({});
        }
        &mut value[member]
    });
    *place = new;
}

fn set_condition(value: &mut Value, condition: Value) {
    if !value["status"]["conditions"].is_array() {
        value["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = value["status"]["conditions"].as_array_mut() {
        conditions.retain(|c| c["type"] != condition["type"]);
        conditions.push(condition);
    }
}
