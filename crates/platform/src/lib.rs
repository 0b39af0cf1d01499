//! What makes clusters a platform: organizations, catalogs, apps.
//!
//! Controllers in the shape of [`runtime::Reconciler`], one folder each. They work on the management cluster; an App's act
//! also works on the cluster that the App is for, through its kubeconfig.

pub mod app;
pub mod catalog;
pub mod chart;
pub mod organization;
pub mod repository;

use std::sync::Arc;

use crate::repository::Repositories;

/// Adds all controllers of the platform.
#[must_use]
pub fn add_controllers(controllers: runtime::Controllers) -> runtime::Controllers {
    let repositories = Arc::new(Repositories::new());
    controllers
        .add(organization::OrganizationController)
        .add(catalog::CatalogController::new(Arc::clone(&repositories)))
        .add(app::AppController::new(repositories))
}

/// A JSON object as one of the API; what is no object becomes one without a name, which the server refuses.
pub(crate) fn dynamic(value: serde_json::Value) -> kube::core::DynamicObject {
    serde_json::from_value(value).unwrap_or_else(|_| kube::core::DynamicObject {
        types: None,
        metadata: kube::core::ObjectMeta::default(),
        data: serde_json::Value::Null,
    })
}
