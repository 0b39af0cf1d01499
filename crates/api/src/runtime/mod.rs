//! What lets programs elsewhere take part in the life of clusters.

pub mod extension_config;

pub use extension_config::{ExtensionConfig, ExtensionConfigSpec, ExtensionConfigStatus};
