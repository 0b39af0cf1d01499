//! Every namespace has a ConfigMap `kube-root-ca.crt`, by which pods know the API server.
//!
//! Reads namespaces; applies ConfigMaps, and so repairs what others change in `ca.crt`.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::core::{ApiResource, DynamicObject};
use runtime::{Cx, GatherError, Outcome, Plan, Reconciler};
use serde_json::{Value, json};

const NAME: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/// Publishes the cluster's certificate authority in every namespace.
#[derive(Clone, Debug)]
pub struct RootCaController {
    authority_pem: Arc<str>,
}

/// One namespace.
#[derive(Debug)]
pub struct World {
    namespace: String,
    is_deleting: bool,
    authority_pem: Arc<str>,
}

impl RootCaController {
    /// Publishes these certificates (PEM).
    #[must_use]
    pub fn new(authority_pem: &str) -> Self {
        Self {
            authority_pem: authority_pem.into(),
        }
    }
}

impl Reconciler for RootCaController {
    const NAME: &'static str = "root-ca-certificate-publisher";
    type Object = Namespace;
    type World = World;
    type Act = Infallible;

    async fn gather(&self, _cx: &Cx, namespace: &Namespace) -> Result<World, GatherError> {
        Ok(World {
            namespace: namespace.metadata.name.clone().unwrap_or_default(),
            is_deleting: namespace.metadata.deletion_timestamp.is_some(),
            authority_pem: Arc::clone(&self.authority_pem),
        })
    }

    fn plan(world: &World, _now: Timestamp) -> Plan<Infallible> {
        let mut plan = Plan::default();
        if !world.is_deleting {
            let kind = ApiResource::erase::<ConfigMap>(&());
            let mut map = DynamicObject::new(NAME, &kind).within(&world.namespace);
            let description = (
                "kubernetes.io/description".to_owned(),
                DESCRIPTION.to_owned(),
            );
            map.metadata.annotations = Some([description].into());
            map.data = json!({"data": {"ca.crt": &*world.authority_pem}});
            plan.apply(map);
        }
        plan
    }

    fn status(
        _world: &World,
        _plan: &Plan<Infallible>,
        _outcome: &Outcome,
        _now: Timestamp,
    ) -> Option<Value> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(is_deleting: bool, expect: &Expect) {
        let world = World {
            namespace: "team".to_owned(),
            is_deleting,
            authority_pem: "PEM".into(),
        };
        expect.assert_eq(&RootCaController::plan(&world, Timestamp::UNIX_EPOCH).to_string());
    }

    #[test]
    fn a_living_namespace_gets_one() {
        check(
            false,
            &expect![[r#"
            apply ConfigMap team/kube-root-ca.crt
        "#]],
        );
        check(true, &expect![[""]]);
    }
}
