//! v1beta1 of the core kinds: what it calls differently.

pub mod cluster;
pub mod cluster_class;
pub mod health;
pub mod machine;
pub mod machine_deployment;
pub mod machine_drain_rule;
pub mod machine_health_check;
pub mod machine_pool;
pub mod machine_set;
pub mod part;
