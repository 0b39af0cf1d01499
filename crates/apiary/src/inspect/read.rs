//! Reads clusters and what belongs to them from the management cluster.

use std::collections::{BTreeMap, BTreeSet};

use api::application::labels as app_labels;
use api::meta::labels;
use kube::Client;
use kube::core::Status;
use serde_json::{Value, json};

use super::world::{CLUSTER_GROUP, Key, Missing, World, references};
use crate::object::{self, kind, name, namespace};

/// The version of Cluster API's own kinds that is read.
const CLUSTER_VERSION: &str = "v1beta2";
/// Objects of one list that are read at once.
const PAGE: usize = 500;
/// Cluster API's kinds that belong to a cluster, with their plurals.
const PARTS: &[(&str, &str)] = &[
    ("Machine", "machines"),
    ("MachineDeployment", "machinedeployments"),
    ("MachineSet", "machinesets"),
    ("MachinePool", "machinepools"),
    ("MachineHealthCheck", "machinehealthchecks"),
];

/// Who is said to have changed objects.
const FIELD_MANAGER: &str = "apiary-cli";

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere that one may see.
    All,
    Namespace(String),
}

/// A reader of the management cluster, which remembers the kinds it asked for.
pub struct Reader {
    client: Client,
    /// By group and kind: the path of its version, and its plural; `None` if it isn't served.
    kinds: BTreeMap<(String, String), Option<(String, String)>>,
}

type Result<T> = std::result::Result<T, kube::Error>;

impl Reader {
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: BTreeMap::new(),
        }
    }

    /// Objects of one of Cluster API's own kinds. Kinds that are not served have none.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn list(&mut self, kind: &str, scope: &Scope) -> Result<Vec<Value>> {
        let plural = PARTS.iter().find(|(of, _)| *of == kind);
        let plural = plural.map_or("clusters", |(_, plural)| plural);
        let root = format!("/apis/{CLUSTER_GROUP}/{CLUSTER_VERSION}");
        match self.list_at(&root, kind, plural, scope).await {
            Err(error) if kind == "MachinePool" => no_pools(&self.client, error).await,
            other => other,
        }
    }

    /// Objects of any kind, by its group. Kinds that are not served have none.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn list_kind(
        &mut self,
        group: &str,
        kind: &str,
        scope: &Scope,
    ) -> Result<Vec<Value>> {
        match self.resolve(group, kind).await? {
            Some((root, plural)) => self.list_at(&root, kind, &plural, scope).await,
            None => Ok(vec![]),
        }
    }

    async fn list_at(
        &mut self,
        root: &str,
        kind: &str,
        plural: &str,
        scope: &Scope,
    ) -> Result<Vec<Value>> {
        match scope {
            Scope::Namespace(namespace) => {
                let path = format!("{root}/namespaces/{namespace}/{plural}");
                self.pages(&path, kind, "").await
            }
            Scope::All => match self.pages(&format!("{root}/{plural}"), kind, "").await {
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    self.list_by_organization(root, kind, plural, status).await
                }
                other => other,
            },
        }
    }

    /// What somebody sees who may not look everywhere: organization by organization.
    async fn list_by_organization(
        &self,
        root: &str,
        kind: &str,
        plural: &str,
        refusal: Box<Status>,
    ) -> Result<Vec<Value>> {
        let path = "/apis/security.giantswarm.io/v1alpha1/organizations";
        let Ok(organizations) = self.pages(path, "Organization", "").await else {
            return Err(kube::Error::Api(refusal));
        };
        let mut all = vec![];
        let mut may_any = false;
        for organization in &organizations {
            let namespace = object::namespace_of(name(organization));
            let path = format!("{root}/namespaces/{namespace}/{plural}");
            match self.pages(&path, kind, "").await {
                Ok(items) => {
                    may_any = true;
                    all.extend(items);
                }
                Err(kube::Error::Api(status)) if status.code == 403 => {}
                Err(error) => return Err(error),
            }
        }
        if may_any {
            Ok(all)
        } else {
            Err(kube::Error::Api(refusal))
        }
    }

    /// All objects of a collection, page by page.
    async fn pages(&self, path: &str, kind: &str, query: &str) -> Result<Vec<Value>> {
        let mut all = vec![];
        let mut more = String::new();
        loop {
            let page = format!("{path}?limit={PAGE}{query}{more}");
            let mut list = match get(&self.client, &page).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(all),
                Err(error) => return Err(error),
            };
            let version = list["apiVersion"].take();
            if let Value::Array(items) = list["items"].take() {
                all.extend(items.into_iter().map(|item| typed(item, &version, kind)));
            }
            match list["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => more = format!("&continue={token}"),
                _ => return Ok(all),
            }
        }
    }

    /// Where a kind is served: the path of its version, and its plural.
    async fn resolve(&mut self, group: &str, kind: &str) -> Result<Option<(String, String)>> {
        let key = (group.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let found = self.discover(group, kind).await?;
        self.kinds.insert(key, found.clone());
        Ok(found)
    }

    async fn discover(&self, group: &str, kind: &str) -> Result<Option<(String, String)>> {
        let mut ours = PARTS.iter().chain(&[("Cluster", "clusters")]);
        if group == CLUSTER_GROUP
            && let Some((_, plural)) = ours.find(|(of, _)| *of == kind)
        {
            let root = format!("/apis/{CLUSTER_GROUP}/{CLUSTER_VERSION}");
            return Ok(Some((root, (*plural).to_owned())));
        }
        let Some(about) = self.get(&format!("/apis/{group}")).await? else {
            return Ok(None);
        };
        let mut versions: Vec<&str> = vec![];
        versions.extend(about["preferredVersion"]["groupVersion"].as_str());
        let all = about["versions"].as_array().into_iter().flatten();
        versions.extend(all.filter_map(|v| v["groupVersion"].as_str()));
        for version in versions {
            let root = format!("/apis/{version}");
            let Some(list) = self.get(&root).await? else {
                continue;
            };
            let resources = list["resources"].as_array().into_iter().flatten();
            let mut names = resources
                .filter(|r| r["kind"] == kind)
                .filter_map(|r| r["name"].as_str())
                .filter(|name| !name.contains('/'));
            if let Some(plural) = names.next() {
                return Ok(Some((root, plural.to_owned())));
            }
        }
        Ok(None)
    }

    /// `None` if it is not there.
    async fn get(&self, path: &str) -> Result<Option<Value>> {
        match get(&self.client, path).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A cluster with all that belongs to it.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn cluster(&mut self, cluster: Value) -> Result<World> {
        let scope = Scope::Namespace(namespace(&cluster).to_owned());
        let mut world = World::default();
        for (kind, _) in PARTS {
            let found = self.list(kind, &scope).await?;
            let mine = found
                .into_iter()
                .filter(|part| part["spec"]["clusterName"] == name(&cluster));
            world
                .objects
                .extend(mine.map(|part| (Key::of(&part), part)));
        }
        world.cluster = cluster;
        self.follow(&mut world).await?;
        Ok(world)
    }

    /// The cluster that an object belongs to or, if it is an App, is installed on, with all that belongs to that.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn around(&mut self, subject: &Value) -> Result<World> {
        let is_app = kind(subject) == "App";
        let of = if is_app {
            let target = subject["spec"]["kubeConfig"]["context"]["name"].as_str();
            target.or_else(|| object::label(subject, app_labels::CLUSTER))
        } else {
            let field = subject["spec"]["clusterName"].as_str();
            field.or_else(|| object::label(subject, labels::CLUSTER_NAME))
        };
        let mut world = match of {
            _ if kind(subject) == "Cluster" => self.cluster(subject.clone()).await?,
            None => World::default(),
            Some(of) => {
                let scope = Scope::Namespace(namespace(subject).to_owned());
                let clusters = self.list("Cluster", &scope).await?;
                match clusters.into_iter().find(|cluster| name(cluster) == of) {
                    Some(cluster) => self.cluster(cluster).await?,
                    None => World::default(),
                }
            }
        };
        if is_app {
            // Who may not see catalogs hears of the app alone.
            let all = self.list_kind(object::group(subject), "Catalog", &Scope::All);
            let catalogs = all.await.unwrap_or_default().into_iter();
            world.objects.extend(catalogs.map(|c| (Key::of(&c), c)));
        }
        if world.get(&Key::of(subject)).is_none() {
            world.objects.insert(Key::of(subject), subject.clone());
        }
        Ok(world)
    }

    /// Says so if the management cluster knows nothing of clusters.
    ///
    /// # Errors
    /// When the API does not answer or refuses, and when it does not serve the version that is read here.
    pub async fn check_served(&self) -> anyhow::Result<()> {
        let path = format!("/apis/{CLUSTER_GROUP}");
        let served = self.get(&path).await.map_err(in_words)?;
        let versions = served
            .as_ref()
            .and_then(|about| about["versions"].as_array());
        let versions: Vec<&str> = versions
            .into_iter()
            .flatten()
            .filter_map(|version| version["version"].as_str())
            .collect();
        anyhow::ensure!(
            versions.contains(&CLUSTER_VERSION),
            "the management cluster does not serve {CLUSTER_GROUP}/{CLUSTER_VERSION} (it serves: {}): Cluster API v1.11 or later is needed",
            if versions.is_empty() {
                "nothing of that group".to_owned()
            } else {
                versions.join(", ")
            }
        );
        Ok(())
    }

    /// Reads what is referred to, and what that refers to.
    async fn follow(&mut self, world: &mut World) -> Result<()> {
        let place = namespace(&world.cluster).to_owned();
        let mut listed: BTreeSet<(String, String)> = BTreeSet::new();
        loop {
            let all = world.objects.values().chain([&world.cluster]);
            let wanted: Vec<_> = all
                .flat_map(references)
                .filter(|r| world.get(&r.to).is_none() && !world.missing.contains_key(&r.to))
                .collect();
            let Some(first) = wanted.first() else {
                return Ok(());
            };
            let (group, of) = (first.to.group.clone(), first.to.kind.clone());
            let Some((root, plural)) = self.resolve(&group, &of).await? else {
                let unserved = wanted
                    .iter()
                    .filter(|r| r.to.group == group && r.to.kind == of);
                let unserved = unserved.map(|r| (r.to.clone(), Missing::Kind));
                world.missing.extend(unserved);
                continue;
            };
            let several = wanted
                .iter()
                .filter(|r| r.to.group == group && r.to.kind == of);
            // Objects that were made for a cluster carry its name: one request for all.
            if several.count() > 2 && listed.insert((group, of.clone())) {
                let path = format!("{root}/namespaces/{place}/{plural}");
                let label = labels::CLUSTER_NAME.replace('/', "%2F");
                let query = format!("&labelSelector={label}%3D{}", name(&world.cluster));
                let found = self.pages(&path, &of, &query).await?;
                world
                    .objects
                    .extend(found.into_iter().map(|o| (Key::of(&o), o)));
                continue;
            }
            let place = first.namespace.as_deref().unwrap_or(&place);
            let path = format!("{root}/namespaces/{place}/{plural}/{}", first.to.name);
            match self.get(&path).await? {
                Some(found) => world.objects.insert(first.to.clone(), found).is_some(),
                None => world
                    .missing
                    .insert(first.to.clone(), Missing::Object)
                    .is_some(),
            };
        }
    }

    /// Where an object is.
    async fn path(&mut self, key: &Key, namespace: &str) -> Result<Option<String>> {
        let found = self.resolve(&key.group, &key.kind).await?;
        Ok(found
            .map(|(root, plural)| format!("{root}/namespaces/{namespace}/{plural}/{}", key.name)))
    }

    /// The object as it is now; `None` if it is gone.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn again(&mut self, object: &Value) -> Result<Option<Value>> {
        match self.path(&Key::of(object), namespace(object)).await? {
            Some(path) => self.get(&path).await,
            None => Ok(None),
        }
    }

    /// Changes an object by a JSON merge patch.
    ///
    /// # Errors
    /// What the server answers, in its own words.
    pub async fn patch(&mut self, key: &Key, namespace: &str, patch: &Value) -> anyhow::Result<()> {
        let Some(path) = self.path(key, namespace).await? else {
            anyhow::bail!("kind {} of {} is not served", key.kind, key.group);
        };
        let request = http::Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}"))
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())?;
        let answer: Result<Value> = self.client.request(request).await;
        answer.map(drop).map_err(in_words)
    }

    /// Deletes exactly this object.
    ///
    /// # Errors
    /// What the server answers, in its own words.
    pub async fn delete(&mut self, object: &Value) -> anyhow::Result<()> {
        let key = Key::of(object);
        let Some(path) = self.path(&key, namespace(object)).await? else {
            anyhow::bail!("kind {} of {} is not served", key.kind, key.group);
        };
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background",
            "preconditions": {"uid": object["metadata"]["uid"]},
        });
        let request = http::Request::delete(path)
            .header("content-type", "application/json")
            .body(options.to_string().into_bytes())?;
        let answer: Result<Value> = self.client.request(request).await;
        answer.map(drop).map_err(in_words)
    }

    /// The newest warnings about an object, newest first.
    ///
    /// # Errors
    /// When the API does not answer or refuses.
    pub async fn warnings(&self, about: &Value, most: usize) -> Result<Vec<Value>> {
        let path = format!("/api/v1/namespaces/{}/events", namespace(about));
        let query = format!("&fieldSelector=involvedObject.name%3D{}", name(about));
        let mut found = self.pages(&path, "Event", &query).await?;
        found.retain(|event| {
            event["type"] == "Warning"
                && event["involvedObject"]["kind"] == kind(about)
                && event["involvedObject"]["name"] == name(about)
        });
        found.sort_by_key(|event| std::cmp::Reverse(when(event)));
        found.truncate(most);
        Ok(found)
    }
}

/// When an event happened last.
#[must_use]
pub fn when(event: &Value) -> Option<jiff::Timestamp> {
    let fields = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    fields.into_iter().find_map(object::time)
}

/// Refusals of the server are told in its words.
fn in_words(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::anyhow!(status.message),
        other => other.into(),
    }
}

async fn get(client: &Client, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(vec![]);
    client
        .request(request.map_err(kube::Error::HttpError)?)
        .await
}

/// What there is of MachinePools that could not be listed: none if they are not served. Who has no role for them is then refused
/// with 403 all the same, and not told 404.
///
/// # Errors
/// `why` they could not be listed, if they are served.
pub async fn no_pools(client: &Client, why: kube::Error) -> Result<Vec<Value>> {
    if matches!(&why, kube::Error::Api(status) if status.code == 403) {
        let served = get(client, &format!("/apis/{CLUSTER_GROUP}/{CLUSTER_VERSION}")).await?;
        let mut resources = served["resources"].as_array().into_iter().flatten();
        if !resources.any(|r| r["kind"] == "MachinePool") {
            return Ok(vec![]);
        }
    }
    Err(why)
}

/// Items of lists need not say what they are.
fn typed(mut item: Value, list_version: &Value, kind: &str) -> Value {
    if item["kind"].is_null() {
        item["kind"] = json!(kind);
        item["apiVersion"] = list_version.clone();
    }
    item
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use http::{Request, Response};
    use kube::client::Body;

    use super::*;

    /// An API server with these kinds, which lets nobody list anything.
    fn refusing(kinds: &Value) -> Client {
        let kinds = kinds.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = match request.uri().path() {
                "/apis/cluster.x-k8s.io/v1beta2" => {
                    let list = json!({"kind": "APIResourceList", "resources": kinds});
                    Response::new(Body::from(list.to_string().into_bytes()))
                }
                path => {
                    let status = json!({"kind": "Status", "status": "Failure", "code": 403, "message": path});
                    let mut refusal = Response::new(Body::from(status.to_string().into_bytes()));
                    *refusal.status_mut() = http::StatusCode::FORBIDDEN;
                    refusal
                }
            };
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn who_may_not_see_pools_is_told_so_where_there_are_pools() {
        let mut told = vec![];
        for kinds in [
            json!([{"name": "machines", "kind": "Machine"}]),
            json!([{"name": "machinepools", "kind": "MachinePool"}]),
        ] {
            let mut reader = Reader::new(refusing(&kinds));
            for kind in ["MachinePool", "Machine"] {
                let listed = reader.list(kind, &Scope::Namespace("org".to_owned())).await;
                told.push(match listed {
                    Ok(items) => format!("{kind}: {}", items.len()),
                    Err(kube::Error::Api(status)) => format!("{kind}: {}", status.message),
                    Err(other) => format!("{kind}: {other}"),
                });
            }
        }
        expect![[r#"
            MachinePool: 0
            Machine: /apis/cluster.x-k8s.io/v1beta2/namespaces/org/machines
            MachinePool: /apis/cluster.x-k8s.io/v1beta2/namespaces/org/machinepools
            Machine: /apis/cluster.x-k8s.io/v1beta2/namespaces/org/machines"#]]
        .assert_eq(&told.join("\n"));
    }
}
