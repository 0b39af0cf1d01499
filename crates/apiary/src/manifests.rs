//! Manifests from files: read, put in order, and applied with what the server says about each.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use api::organization::organization::NAMESPACE_PREFIX;
use kube::Client;
use serde_json::Value;

use crate::management;

/// A file larger than this is no manifest.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// Files that are read at most.
const MAX_FILES: usize = 10_000;
/// Directories inside directories.
const MAX_DEPTH: usize = 8;

/// Objects with the place they came from.
#[derive(Debug, Default)]
pub struct Manifests {
    objects: Vec<(String, Value)>,
}

/// Reads a file, or all `.yaml`, `.yml` and `.json` files of a directory in the order of their names. Directories that
/// hold charts (a `Chart.yaml`) are not manifests.
///
/// # Errors
/// When something cannot be read, is no YAML, or is no object; the error names file and document.
pub fn read(path: &Path) -> Result<Manifests> {
    let mut files = vec![];
    find(path, 0, &mut files)?;
    if files.is_empty() {
        bail!(
            "{} has no manifests: want files that end in .yaml, .yml or .json",
            path.display()
        );
    }
    let mut manifests = Manifests::default();
    for file in files {
        read_file(&file, &mut manifests)?;
    }
    Ok(manifests)
}

fn find(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let meta = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if meta.is_file() {
        if meta.len() > MAX_FILE {
            bail!(
                "{} has {} bytes: a file of manifests has at most {MAX_FILE}",
                path.display(),
                meta.len()
            );
        }
        files.push(path.to_owned());
        return Ok(());
    }
    if path.join("Chart.yaml").exists() {
        return Ok(());
    }
    if depth > MAX_DEPTH {
        bail!(
            "{} is too deep: directories are followed {MAX_DEPTH} levels down",
            path.display()
        );
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(|| format!("reading {}", path.display()))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .with_context(|| format!("reading {}", path.display()))?;
    entries.sort();
    for entry in entries {
        let is_manifest = entry
            .extension()
            .is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if entry.is_dir() || is_manifest {
            find(&entry, depth + 1, files)?;
        }
        if files.len() > MAX_FILES {
            bail!("more than {MAX_FILES} files of manifests");
        }
    }
    Ok(())
}

fn read_file(path: &Path, manifests: &mut Manifests) -> Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    read_text(&path.display().to_string(), folder, &text, manifests)
}

/// Reads manifests that are not in a file; `name` is what errors call them.
///
/// # Errors
/// As [`read`].
pub fn parse(name: &str, text: &str) -> Result<Manifests> {
    let mut manifests = Manifests::default();
    read_text(name, Path::new(""), text, &mut manifests)?;
    Ok(manifests)
}

fn read_text(name: &str, folder: &Path, text: &str, manifests: &mut Manifests) -> Result<()> {
    let documents =
        render::yaml::from_str_multi(text).map_err(|error| anyhow!("{name}: {error}"))?;
    for (at, document) in documents.into_iter().enumerate() {
        let place = format!("{name}, document {}", at + 1);
        let objects = match document {
            Value::Null => continue,
            Value::Object(mut list) if list.get("kind").is_some_and(|k| k == "List") => {
                match list.remove("items") {
                    Some(Value::Array(items)) => items,
                    _ => vec![],
                }
            }
            object @ Value::Object(_) => vec![object],
            _ => bail!("{place} is not an object: it must have apiVersion, kind and metadata"),
        };
        for mut object in objects {
            for field in ["apiVersion", "kind"] {
                if object[field].as_str().unwrap_or_default().is_empty() {
                    bail!("{place}: {field} is missing");
                }
            }
            if object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
            {
                bail!("{place}: metadata.name is missing");
            }
            resolve_directories(&mut object, folder);
            manifests.objects.push((place.clone(), object));
        }
    }
    Ok(())
}

/// A Catalog may name a directory relative to its own manifest (`file:charts`); the server has no such place, so the path
/// is made absolute here.
fn resolve_directories(object: &mut Value, base: &Path) {
    if object["kind"] != "Catalog" {
        return;
    }
    let resolve = |url: &mut Value| {
        let Some(relative) = url
            .as_str()
            .and_then(|u| u.strip_prefix("file:"))
            .filter(|p| !p.starts_with('/'))
        else {
            return;
        };
        let path = base.join(relative);
        let path = path.canonicalize().unwrap_or(path);
        *url = format!("file://{}", path.display()).into();
    };
    if let Some(url) = object["spec"]["storage"].get_mut("URL") {
        resolve(url);
    }
    for repository in object["spec"]["repositories"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if let Some(url) = repository.get_mut("URL") {
            resolve(url);
        }
    }
}

impl Manifests {
    /// Objects that come from `place`.
    #[must_use]
    pub fn of(objects: Vec<Value>, place: &str) -> Self {
        let objects = objects.into_iter();
        Self {
            objects: objects.map(|object| (place.to_owned(), object)).collect(),
        }
    }
}

/// Applies all objects: definitions and namespaces first, then organizations, then the rest in the order they were read.
/// Namespaces of organizations are waited for.
///
/// # Errors
/// The first object that the server refuses, with its place and the server's words.
pub async fn apply_all(client: &Client, manifests: &Manifests) -> Result<()> {
    let mut objects: Vec<&(String, Value)> = manifests.objects.iter().collect();
    objects.sort_by_key(|(_, object)| match object["kind"].as_str() {
        Some("CustomResourceDefinition") => 0,
        Some("Namespace") => 1,
        Some("Organization") => 2,
        _ => 3,
    });
    for (place, object) in objects {
        let what = format!(
            "{} {}",
            object["kind"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        );
        apply_one(client, object)
            .await
            .with_context(|| format!("{place}: applying {what}"))?;
    }
    Ok(())
}

async fn apply_one(client: &Client, object: &Value) -> Result<()> {
    let (api_version, kind) = (
        object["apiVersion"].as_str().unwrap_or_default(),
        object["kind"].as_str().unwrap_or_default(),
    );
    let (plural, is_namespaced) = find_kind(client, api_version, kind).await?;
    let root = if api_version.contains('/') {
        format!("/apis/{api_version}")
    } else {
        format!("/api/{api_version}")
    };
    let namespace = object["metadata"]["namespace"]
        .as_str()
        .unwrap_or("default");
    let path = if is_namespaced {
        wait_for_namespace(client, namespace).await?;
        format!("{root}/namespaces/{namespace}/{plural}")
    } else {
        format!("{root}/{plural}")
    };
    management::apply(client, &path, object).await?;
    Ok(())
}

async fn find_kind(client: &Client, api_version: &str, kind: &str) -> Result<(String, bool)> {
    let root = if api_version.contains('/') {
        format!("/apis/{api_version}")
    } else {
        format!("/api/{api_version}")
    };
    let request = http::Request::get(root).body(vec![])?;
    let list: Value = client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) if status.code == 404 => {
            anyhow!("no API {api_version} is served here")
        }
        other => other.into(),
    })?;
    let resources = list["resources"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let found = resources
        .iter()
        .find(|r| r["kind"] == kind && !r["name"].as_str().unwrap_or_default().contains('/'));
    let Some(found) = found else {
        bail!("{api_version} has no kind {kind}")
    };
    Ok((
        found["name"].as_str().unwrap_or_default().to_owned(),
        found["namespaced"] == true,
    ))
}

/// The namespace of an organization appears a moment after the organization.
async fn wait_for_namespace(client: &Client, namespace: &str) -> Result<()> {
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::{Api, WatchEvent, WatchParams};
    let namespaces: Api<Namespace> = Api::all(client.clone());
    if !namespace.starts_with(NAMESPACE_PREFIX) || namespaces.get_opt(namespace).await?.is_some() {
        return Ok(());
    }
    let params = WatchParams::default()
        .fields(&format!("metadata.name={namespace}"))
        .timeout(30);
    let mut events = namespaces.watch(&params, "0").await?.boxed();
    while let Some(event) = events.next().await {
        if let WatchEvent::Added(_) | WatchEvent::Modified(_) = event? {
            return Ok(());
        }
    }
    let organization = namespace
        .strip_prefix(NAMESPACE_PREFIX)
        .unwrap_or(namespace);
    bail!("namespace {namespace} did not appear: is there an Organization {organization}?")
}

/// Writes the example of this build to `directory/hello`, so that it can be read and its chart catalog be served.
///
/// # Errors
/// When files cannot be written.
pub fn unpack_hello(directory: &Path) -> Result<()> {
    for (name, text) in HELLO {
        let path = directory.join("hello").join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("making {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

include!(concat!(env!("OUT_DIR"), "/hello.rs"));
