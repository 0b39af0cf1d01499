//! Helm charts and Go templates to Kubernetes objects. Pure: bytes in, objects out; no network, no files, no clock and no
//! randomness but what the caller hands in ([`ReleaseContext`]). Templates are input from outside and run within [`Limits`].
//!
//! ```
//! use render::{Capabilities, Chart, NoCluster, ReleaseContext, template};
//!
//! let files = [
//!     ("Chart.yaml", "apiVersion: v2\nname: hello\nversion: 1.0.0\n"),
//!     ("values.yaml", "greeting: hi\n"),
//!     ("templates/cm.yaml", "kind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  say: {{ .Values.greeting | quote }}\n"),
//! ];
//! let chart = Chart::from_files(files.map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())))?;
//! let release = ReleaseContext {
//!     name: "demo".into(),
//!     namespace: "default".into(),
//!     revision: 1,
//!     is_install: true,
//!     is_upgrade: false,
//!     now: jiff::Timestamp::UNIX_EPOCH,
//!     seed: [0; 32],
//! };
//! let values = serde_json::json!({ "greeting": "hello" });
//! let rendered = template(&chart, &release, &values, &Capabilities::default(), &NoCluster)?;
//! assert_eq!(rendered.objects[0].value["data"]["say"], "hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chart;
mod dependencies;
mod expand;
pub mod gotemplate;
pub mod helm;
mod json;
pub mod release;
mod schema;
pub mod semver;
mod sprig;
pub mod values;
pub mod yaml;

pub use chart::{Chart, LoadError};
pub use expand::{check, expand};
pub use gotemplate::{Limits, Lookup, NoCluster};
pub use helm::{
    Capabilities, Error, Hook, HookEvent, Object, ReleaseContext, Rendered, install_order,
    template, template_within, uninstall_order,
};
