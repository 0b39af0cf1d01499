//! The management cluster: the store, the API server, the control planes of the whole fleet, and the platform's
//! controllers over them. `apiary up` serves it; tests run the same on virtual time and in memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use api::meta::Endpoint;
use apiserver::admission::Admission;
use apiserver::auth::ClusterKeys;
use apiserver::store::Storage;
use apiserver::{ClusterSpec, Config, Security, Server};
use async_trait::async_trait;
use capi::hook::Extensions;
use controlplane::{ControlPlane, ControlPlanes, InProcessConnector};
use kube::Client;
use runtime::{
    CacheLimits, Clock, ClusterOptions, Clusters, ConnectError, Connector, Controllers, Options,
    RemoteOptions, Tasks,
};
use serde_json::{Value, json};

use crate::admission::ClusterApi;
use crate::config::KUBERNETES_VERSION;
use crate::conversion;
use crate::host::LocalHost;

/// Id of the management cluster in the server; workload clusters are `<namespace>/<name>`.
pub const MANAGEMENT: &str = "management";
/// The service range of the management cluster.
const SERVICE_CIDR: &str = "10.112.0.0/12";
/// Where the Clusters of the fleet are.
const CLUSTERS: &str = "/apis/cluster.x-k8s.io/v1beta2/clusters";
/// Field manager of what start-up applies.
const FIELD_MANAGER: &str = "apiary-install";
/// Lifetime of the administrator's certificate; a start renews it.
const ADMIN_LIFETIME: jiff::SignedDuration = jiff::SignedDuration::from_hours(365 * 24);

/// The management cluster has the platform's kinds, and so their admission.
fn admission(cluster: &str) -> Vec<Arc<dyn Admission>> {
    if cluster == MANAGEMENT {
        vec![Arc::new(ClusterApi)]
    } else {
        vec![]
    }
}

/// What the platform's controllers reach a cluster through, made of the client that they would have otherwise.
pub type Through = Arc<dyn Fn(Client) -> Client + Send + Sync>;

/// How a management cluster differs from the usual one.
#[derive(Default)]
pub struct Variation {
    /// What guards the clusters beyond what all of them have.
    pub security: Security,
    /// Where uids and generated names come from; without one they are random. For worlds that can be played again.
    pub seed: Option<u64>,
    /// Runtime extensions that are parts of this process.
    pub extensions: Extensions,
    /// What stands between controllers and clusters: where tests put what goes wrong on the way.
    pub through: Option<Through>,
}

/// Reaches workload clusters through something.
struct ConnectorThrough {
    connector: InProcessConnector,
    through: Through,
}

#[async_trait]
impl Connector for ConnectorThrough {
    async fn connect(&self, config: kube::Config) -> Result<Client, ConnectError> {
        let client = self.connector.connect(config).await?;
        Ok((self.through)(client))
    }

    fn options(&self, config: &kube::Config, others: ClusterOptions) -> ClusterOptions {
        self.connector.options(config, others)
    }
}

/// A running management cluster with its fleet.
pub struct Management {
    pub planes: ControlPlanes,
    pub plane: Arc<ControlPlane>,
    tasks: Tasks,
}

impl Management {
    /// Opens the store and starts everything that is in it; an empty one becomes a new management cluster.
    ///
    /// # Errors
    /// When the store cannot be read, or the first objects cannot be written.
    pub async fn start(storage: impl Storage, clock: Clock, port: u16) -> Result<Self> {
        Self::start_varied(storage, clock, port, Variation::default()).await
    }

    /// As [`Management::start`], with a difference.
    ///
    /// # Errors
    /// As [`Management::start`].
    pub async fn start_varied(
        storage: impl Storage,
        clock: Clock,
        port: u16,
        variation: Variation,
    ) -> Result<Self> {
        let through = variation
            .through
            .unwrap_or_else(|| Arc::new(|client| client));
        let time = clock.clone();
        let handlers = apiserver::webhook::Handlers::default();
        conversion::register(&handlers, MANAGEMENT);
        let config = Config {
            clock: Arc::new(move || time.now()),
            admission: Arc::new(admission),
            handlers,
            apis: vec![],
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            security: variation.security,
            seed: variation.seed,
        };
        let server = Server::open(storage, config)
            .await
            .context("opening the store")?;
        let planes = ControlPlanes::new(server.clone(), clock.clone());
        let plane = match server.cluster(MANAGEMENT) {
            Some(cluster) => {
                let spec = cluster.spec().clone();
                planes.start_within(spec, CacheLimits::default()).await?
            }
            None => {
                let keys = ClusterKeys::generate("apiary-management", clock.now())
                    .context("making the keys of the management cluster")?;
                let spec = ClusterSpec {
                    id: MANAGEMENT.into(),
                    server_names: vec!["*".into()],
                    keys,
                    service_cidr: SERVICE_CIDR.into(),
                    version: KUBERNETES_VERSION.into(),
                };
                planes.start_within(spec, CacheLimits::default()).await?
            }
        };
        check_port(&plane.client, (&server.address().to_string(), port)).await?;
        for cluster in server.clusters() {
            planes.start(cluster.spec().clone()).await?;
        }
        install(&plane.client)
            .await
            .context("installing the platform's kinds")?;
        let tasks = Tasks::new();
        let connector = Arc::new(ConnectorThrough {
            connector: planes.connector(),
            through: Arc::clone(&through),
        });
        let clusters = Clusters::new(connector, clock.clone(), RemoteOptions::default());
        let client = through(plane.client.clone());
        let options = Options {
            cluster: controlplane::in_process(&plane.cluster, ClusterOptions::default()),
            ..Options::default()
        };
        let controllers = Controllers::new(client, clock, options).with_clusters(clusters);
        let host = Arc::new(LocalHost::new(planes.clone()));
        let endpoint = Endpoint {
            host: Some(server.address().to_string()),
            port: Some(port.into()),
        };
        let controllers = capi::controllers(controllers, host, endpoint, variation.extensions);
        let controllers = platform::add_controllers(controllers);
        plane.show_metrics("platform", controllers.gauge());
        tasks.spawn("platform", controllers.run(std::future::pending()));
        Ok(Self {
            planes,
            plane,
            tasks,
        })
    }

    /// A client that acts as the administrator.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.plane.client
    }

    /// A kubeconfig for the administrator.
    ///
    /// # Errors
    /// When the cluster's keys cannot be used.
    pub fn kubeconfig(&self) -> Result<String> {
        let server = self.planes.server();
        let keys = &self.plane.cluster.spec().keys;
        let now = self.planes.clock().now();
        let issued = keys.authority()?.issue_client(
            "apiary-admin",
            &["system:masters"],
            now,
            ADMIN_LIFETIME,
        )?;
        let base64 = |text: &str| {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.encode(text)
        };
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "apiary",
            "clusters": [{"name": "apiary", "cluster": {
                "server": format!("https://{}:{}", server.address(), server.port()),
                "certificate-authority-data": base64(&keys.ca_cert_pem),
            }}],
            "users": [{"name": "apiary-admin", "user": {
                "client-certificate-data": base64(&issued.cert_pem), "client-key-data": base64(&issued.key_pem),
            }}],
            "contexts": [{"name": "apiary", "context": {"cluster": "apiary", "user": "apiary-admin"}}],
        });
        Ok(render::yaml::to_string(&config))
    }

    /// Stops all controllers, ends all connections, and commits what is queued.
    pub async fn shut_down(&self) {
        self.tasks.shutdown().await;
        self.planes.shut_down().await;
    }
}

/// A workload cluster here answers where it always did: its kubeconfigs and its machines name that port.
async fn check_port(client: &Client, (address, port): (&str, u16)) -> Result<()> {
    let request = http::Request::get(CLUSTERS).body(vec![])?;
    let list: Value = match client.request(request).await {
        Ok(list) => list,
        // The first start: no kind is installed yet.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(error).context("reading the clusters"),
    };
    for cluster in list["items"].as_array().into_iter().flatten() {
        let endpoint = &cluster["spec"]["controlPlaneEndpoint"];
        // Another address is one that the user chose, in front of this server.
        let is_here = cluster["spec"]["infrastructureRef"]["kind"] == "LocalCluster"
            && endpoint["host"] == address;
        let known = endpoint["port"].as_u64().filter(|known| *known > 0);
        if let Some(known) = known.filter(|known| is_here && *known != u64::from(port)) {
            let text = |key: &str| {
                cluster["metadata"][key]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            bail!(
                "cluster {}/{} answers on port {known}, which its kubeconfigs and machines name: start with --port {known}",
                text("namespace"),
                text("name")
            );
        }
    }
    Ok(())
}

/// Makes sure that the management cluster serves the platform's kinds.
async fn install(client: &Client) -> Result<()> {
    for definition in api::crds() {
        let name = definition["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        apply(
            client,
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await
        .with_context(|| format!("applying the definition {name}"))?;
    }
    Ok(())
}

/// Server-side apply of one object into the collection at `path`.
///
/// # Errors
/// What the server answers, in its own words.
pub async fn apply(client: &Client, path: &str, object: &Value) -> Result<Value> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let request = http::Request::patch(format!(
        "{path}/{name}?fieldManager={FIELD_MANAGER}&force=true"
    ))
    .header("content-type", "application/apply-patch+yaml")
    .body(object.to_string().into_bytes())?;
    client.request(request).await.map_err(|error| match error {
        kube::Error::Api(status) => anyhow!(status.message),
        other => other.into(),
    })
}
