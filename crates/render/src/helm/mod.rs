//! Rendering a chart the way Helm does: values, templates, manifests, hooks, notes.

mod capabilities;
mod context;
mod errors;
mod files;
mod manifest;

use crate::chart::{Chart, File};
use crate::dependencies;
use crate::gotemplate::{Budget, Limits, Lookup, Runtime, Set};
use crate::sprig::FUNCTIONS;
use crate::values::{self, Nulls, Values};
pub use capabilities::{Capabilities, HelmVersion, KubeVersion};
use context::Renderable;
use jiff::Timestamp;
pub use manifest::{install_order, uninstall_order};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a rendering is for.
#[derive(Debug, Clone)]
pub struct ReleaseContext {
    /// Name of the release.
    pub name: String,
    /// Namespace it is installed in.
    pub namespace: String,
    /// Number of the revision, from 1.
    pub revision: u32,
    /// True for a first installation.
    pub is_install: bool,
    /// True for an upgrade or a rollback.
    pub is_upgrade: bool,
    /// The time of day, for `now` and for certificates.
    pub now: Timestamp,
    /// The only source of randomness: the same seed gives the same passwords. Choose a new one for each rendering that
    /// must not repeat an earlier one's secrets.
    pub seed: [u8; 32],
}

/// A moment at which hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Before the objects are installed.
    PreInstall,
    /// After they are installed.
    PostInstall,
    /// Before they are removed.
    PreDelete,
    /// After they are removed.
    PostDelete,
    /// Before they are upgraded.
    PreUpgrade,
    /// After they are upgraded.
    PostUpgrade,
    /// Before they are rolled back.
    PreRollback,
    /// After they are rolled back.
    PostRollback,
    /// When the release is tested.
    Test,
}

impl HookEvent {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_lowercase().as_str() {
            "pre-install" => Self::PreInstall,
            "post-install" => Self::PostInstall,
            "pre-delete" => Self::PreDelete,
            "post-delete" => Self::PostDelete,
            "pre-upgrade" => Self::PreUpgrade,
            "post-upgrade" => Self::PostUpgrade,
            "pre-rollback" => Self::PreRollback,
            "post-rollback" => Self::PostRollback,
            "test" | "test-success" => Self::Test,
            _ => return None,
        })
    }
}

/// The last run of a hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookExecution {
    /// When it began.
    #[serde(
        deserialize_with = "crate::release::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(
        deserialize_with = "crate::release::time",
        skip_serializing_if = "Option::is_none"
    )]
    pub completed_at: Option<Timestamp>,
    /// `Unknown`, `Running`, `Succeeded`, `Failed`, or empty before the first run.
    pub phase: String,
}

/// An object that exists only around an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// `metadata.name`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `kind`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The template it comes from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Its YAML.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// When it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<HookEvent>,
    /// How its last run went.
    pub last_run: HookExecution,
    /// Hooks of one event run by weight, lowest first.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight: i64,
    /// When it is removed: `before-hook-creation` (also the default), `hook-succeeded`, `hook-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete_policies: Vec<String>,
    /// When its log is shown: `hook-succeeded`, `hook-failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output_log_policies: Vec<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// A rendered object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The template it comes from.
    pub source: String,
    /// The object.
    pub value: Json,
}

/// A rendered chart.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// All objects but hooks and CRDs as one YAML text, as `helm get manifest` prints it.
    pub manifest: String,
    /// The same objects, in the order of installation.
    pub objects: Vec<Object>,
    /// The hooks. [`Rendered::hooks_of`] gives those of an event in the order they run.
    pub hooks: Vec<Hook>,
    /// `NOTES.txt`, rendered.
    pub notes: String,
    /// The files under `crds/`, which are not templates. They are installed first and never upgraded.
    pub crds: Vec<File>,
    /// The chart with its dependencies as they were switched on: what a release stores.
    pub chart: Chart,
}

impl Rendered {
    /// The hooks of an event in the order in which they run: by weight, then by name, then in the order of installation.
    pub fn hooks_of(&self, event: HookEvent) -> Vec<&Hook> {
        let mut hooks: Vec<&Hook> = self
            .hooks
            .iter()
            .filter(|h| h.events.contains(&event))
            .collect();
        hooks.sort_by(|a, b| a.weight.cmp(&b.weight).then_with(|| a.name.cmp(&b.name)));
        hooks
    }
}

/// Why a chart could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The chart's `kubeVersion` doesn't take the cluster's.
    #[error("chart requires kubeVersion: {wanted} which is incompatible with Kubernetes {found}")]
    KubeVersion {
        /// The chart's range.
        wanted: String,
        /// The cluster's version.
        found: String,
    },
    /// The values of a dependency are no map.
    #[error(transparent)]
    Values(#[from] values::Mismatch),
    /// The values are no map.
    #[error("values must be a map, not {0}")]
    NotAMap(&'static str),
    /// The values break the chart's schema.
    #[error(
        "values don't meet the specifications of the schema(s) in the following chart(s):\n{0}"
    )]
    Schema(String),
    /// A template doesn't parse, or fails when it is executed; in Helm's words.
    #[error("{0}")]
    Template(String),
    /// What a template rendered is no YAML object.
    #[error("YAML parse error on {path}: {why}")]
    Manifest {
        /// The template.
        path: String,
        /// The reason.
        why: String,
    },
    /// The system gave no thread to render on.
    #[error("cannot start a thread to render on: {0}")]
    Thread(String),
}

/// Stack of the thread that renders. Templates nest by recursion; at the default [`Limits::depth`] they use up to a quarter
/// of this in a debug build. Only what is used takes memory.
const STACK: usize = 256 << 20;

/// Renders a chart with default limits.
///
/// # Errors
/// Says what failed, in which chart and template, with the cause in Helm's words.
pub fn template(
    chart: &Chart,
    release: &ReleaseContext,
    values: &Json,
    capabilities: &Capabilities,
    lookup: &dyn Lookup,
) -> Result<Rendered, Error> {
    template_within(
        Limits::default(),
        chart,
        release,
        values,
        capabilities,
        lookup,
    )
}

/// Renders a chart within limits of one's own.
///
/// # Errors
/// As [`template`].
pub fn template_within(
    limits: Limits,
    chart: &Chart,
    release: &ReleaseContext,
    values: &Json,
    capabilities: &Capabilities,
    lookup: &dyn Lookup,
) -> Result<Rendered, Error> {
    let render = || render(limits, chart, release, values, capabilities, lookup);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("render".into())
            .stack_size(STACK);
        let handle = thread
            .spawn_scoped(scope, render)
            .map_err(|e| Error::Thread(e.to_string()))?;
        match handle.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn render(
    limits: Limits,
    chart: &Chart,
    release: &ReleaseContext,
    values: &Json,
    capabilities: &Capabilities,
    lookup: &dyn Lookup,
) -> Result<Rendered, Error> {
    let user = match values {
        Json::Object(map) => map.clone(),
        Json::Null => Values::new(),
        Json::Array(_) => return Err(Error::NotAMap("a list")),
        Json::String(_) | Json::Bool(_) | Json::Number(_) => {
            return Err(Error::NotAMap("a scalar"));
        }
    };
    let mut chart = chart.clone();
    dependencies::process(&mut chart, &user)?;
    let wanted = &chart.metadata.kube_version;
    let found = &capabilities.kube_version;
    if !wanted.is_empty() && !dependencies::is_compatible(wanted, &found.normalized()) {
        return Err(Error::KubeVersion {
            wanted: wanted.clone(),
            found: found.version.clone(),
        });
    }
    let all = values::coalesce(&chart, user, Nulls::Delete)?;
    crate::schema::validate(&chart, &all).map_err(Error::Schema)?;
    let templates = context::renderables(&chart, release, all, capabilities);
    let rng = StdRng::from_seed(release.seed);
    let runtime = Runtime::new(&FUNCTIONS, Budget::new(limits), release.now, rng, lookup);
    let mut rendered = execute(runtime, templates)?;
    let notes = rendered
        .remove(&format!("{}/templates/NOTES.txt", chart.name()))
        .unwrap_or_default();
    rendered.retain(|path, _| !path.ends_with("NOTES.txt"));
    let (hooks, manifests) = manifest::sort(&rendered)?;
    let manifest: String = manifests
        .iter()
        .map(|m| format!("---\n# Source: {}\n{}\n", m.path, m.content))
        .collect();
    let objects = manifest::objects(manifests);
    Ok(Rendered {
        manifest,
        objects,
        hooks,
        notes,
        crds: chart.crds(),
        chart,
    })
}

/// Parses and executes all templates; text by path.
fn execute(
    mut runtime: Runtime<'_>,
    mut templates: Vec<Renderable>,
) -> Result<BTreeMap<String, String>, Error> {
    // Deep ones first, so that a chart's definitions replace those of its dependencies.
    templates.sort_by_key(|t| Reverse((t.name.matches('/').count(), t.name.clone())));
    let mut set = Set::default();
    for template in &templates {
        set.parse(&template.name, &template.source, &FUNCTIONS)
            .map_err(|e| Error::Template(errors::parse(&template.name, &e)))?;
    }
    runtime.set = Rc::new(set);
    let mut rendered = BTreeMap::new();
    for Renderable {
        name,
        base_path,
        context,
        ..
    } in templates
    {
        if name
            .rsplit('/')
            .next()
            .is_some_and(|file| file.starts_with('_'))
        {
            continue;
        }
        let failed = |e| Error::Template(errors::execution(&name, &e));
        context
            .set("Template", context::template(&name, &base_path))
            .map_err(failed)?;
        let text = runtime
            .execute(&name, crate::gotemplate::Value::Map(context))
            .map_err(failed)?;
        let text = crate::gotemplate::text::lossy(&text.replace("<no value>", "")).into_owned();
        rendered.insert(name, text);
    }
    Ok(rendered)
}
