//! Groups that parts of the process serve.

use std::sync::Arc;

use apiserver::aggregation::{Api, ApiAnswer, ApiRequest, declare};
use apiserver::auth::User;
use apiserver::resource::Resource;
use apiserver::status::Status;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::aggregation::{aggregated, event, raw};
use crate::custom::definition;
use crate::extension::APIS;
use crate::isolation::two;
use crate::world::World;

const THERMOMETERS: &str = "/apis/weather.example.com/v1/namespaces/default/thermometers";

/// Serves two thermometers, and one that answers when it is told to.
struct Thermometers {
    resources: Vec<Arc<Resource>>,
    /// Somebody has asked the slow one.
    asked: Notify,
    answer: Notify,
    is_stand_in: bool,
}

impl Thermometers {
    fn new() -> Arc<Self> {
        Self::which(false)
    }

    /// `is_stand_in` says whether it stands in for a server that somebody installs.
    fn which(is_stand_in: bool) -> Arc<Self> {
        let mut definition = definition();
        definition["spec"]["group"] = "weather.example.com".into();
        definition["spec"]["names"] = json!({"plural": "thermometers", "kind": "Thermometer"});
        let version = &mut definition["spec"]["versions"][0];
        version["subresources"] = json!({});
        version["additionalPrinterColumns"] =
            json!([{"name": "Degrees", "type": "integer", "jsonPath": ".degrees"}]);
        version["schema"]["openAPIV3Schema"]["properties"] =
            json!({"degrees": {"type": "integer"}});
        Arc::new(Self {
            resources: declare(&definition, &["get", "list"]).unwrap(),
            asked: Notify::new(),
            answer: Notify::new(),
            is_stand_in,
        })
    }
}

#[async_trait::async_trait]
impl Api for Thermometers {
    fn resources(&self) -> &[Arc<Resource>] {
        &self.resources
    }

    fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    async fn answer(&self, request: ApiRequest) -> Result<ApiAnswer, Status> {
        assert!(!request.headers.contains_key("authorization"));
        let one = |name: &str| {
            json!({"apiVersion": "weather.example.com/v1", "kind": "Thermometer", "degrees": 21,
                "metadata": {"name": name, "namespace": request.namespace,
                    "annotations": {"for": request.user.name, "in": request.cluster}}})
        };
        let value = match request.name.as_str() {
            "" => json!({"apiVersion": "weather.example.com/v1", "kind": "ThermometerList",
                "items": [one("a"), one("b")]}),
            name @ ("a" | "b") => one(name),
            "slow" => {
                self.asked.notify_one();
                self.answer.notified().await;
                one("slow")
            }
            name => {
                return Err(Status::not_found(
                    "weather.example.com",
                    "thermometers",
                    name,
                ));
            }
        };
        Ok(ApiAnswer::Object(StatusCode::OK, value))
    }
}

#[tokio::test]
async fn a_part_of_the_process_serves_a_group() {
    let world = World::new().await;
    let path = THERMOMETERS;
    assert_eq!(world.get(path).await.code, 404);
    serve(&world).await;
    let one = world.get(&format!("{path}/a")).await.ok();
    assert_eq!(
        one["metadata"]["annotations"],
        json!({"for": "admin", "in": "test"})
    );
    assert_eq!(
        world.get(&format!("{path}/c")).await.refused(),
        "404 NotFound: thermometers.weather.example.com \"c\" not found"
    );
    assert_eq!(world.delete(&format!("{path}/a")).await.code, 405);
    assert_eq!(
        world
            .get(&path.replace("thermometers", "others"))
            .await
            .code,
        404
    );
    let nobody = world.seen_by(User::authenticated("nobody", []));
    assert_eq!(nobody.get(path).await.code, 403);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let (_, _, text) = raw(
        &world,
        path,
        &[("accept", table), ("authorization", "Bearer x")],
    )
    .await;
    let table: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(table["columnDefinitions"][1]["name"], "Degrees");
    assert_eq!(table["rows"][1]["cells"], json!(["b", 21]));
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "weather.example.com v1 Current [\"thermometers\"]"
    );
    let kinds = world.get("/apis/weather.example.com/v1").await.ok();
    assert_eq!(kinds["resources"][0]["verbs"], json!(["get", "list"]));
    let group = world.get("/apis/weather.example.com").await.ok();
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let v2 = world.get("/openapi/v2").await.ok();
    assert!(
        v2["paths"]["/apis/weather.example.com/v1/namespaces/{namespace}/thermometers"]["get"]
            .is_object()
    );
    let v3 = world
        .get("/openapi/v3/apis/weather.example.com/v1")
        .await
        .ok();
    assert!(v3["components"]["schemas"]["com.example.weather.v1.Thermometer"].is_object());
    let api_service = world
        .get(&format!("{APIS}/v1.weather.example.com"))
        .await
        .ok();
    assert_eq!(api_service["spec"]["groupPriorityMinimum"], 100);
    let answer = world
        .send(Method::POST, path, "application/json", "{}")
        .await;
    assert_eq!(answer.code, 405);
}

/// Serves thermometers in the cluster of `world`.
async fn serve(world: &World) -> Arc<Thermometers> {
    let thermometers = Thermometers::new();
    world.cluster.serve_api(thermometers.clone());
    event(world, "v1.weather.example.com", |event| {
        event["type"] == "ADDED"
    })
    .await;
    thermometers
}

/// Requests that are answered now, that for the numbers among them.
async fn executing(world: &World) -> u64 {
    let metrics = world.get("/metrics").await.body;
    let lines = metrics.as_str().unwrap().lines();
    let seats = lines.filter(|l| l.starts_with("apiserver_flowcontrol_current_executing_seats{"));
    seats
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test]
async fn a_part_of_the_process_takes_a_seat() {
    let world = World::new().await;
    let thermometers = serve(&world).await;
    assert_eq!(executing(&world).await, 1);
    let slow = world.seen_by(User::authenticated("admin", ["system:masters".to_owned()]));
    let asking = tokio::spawn(async move { slow.get(&format!("{THERMOMETERS}/slow")).await.code });
    thermometers.asked.notified().await;
    assert_eq!(executing(&world).await, 2);
    thermometers.answer.notify_one();
    assert_eq!(asking.await.unwrap(), 200);
    assert_eq!(executing(&world).await, 1);
}

#[tokio::test]
async fn a_part_of_the_process_serves_its_cluster_alone() {
    let (world, other) = two().await;
    serve(&world).await;
    world.get(THERMOMETERS).await.ok();
    assert_eq!(other.get(THERMOMETERS).await.code, 404);
    let groups = other.get("/apis").await.ok()["groups"].to_string();
    assert!(!groups.contains("weather.example.com"), "{groups}");
}

#[tokio::test]
async fn a_stand_in_answers_whatever_is_installed_beside_it() {
    let world = World::new().await;
    world.cluster.serve_api(Thermometers::which(true));
    world.get(THERMOMETERS).await.ok();
    let service = format!("{APIS}/v1.weather.example.com");
    assert_eq!(
        world.get(&service).await.code,
        404,
        "there is none to be in the way"
    );
    let groups = world.get("/apis").await.ok()["groups"].to_string();
    assert!(groups.contains("weather.example.com"), "{groups}");
    let spec = json!({
        "group": "weather.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
        "service": {"namespace": "default", "name": "weather"}, "insecureSkipTLSVerify": true,
    });
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.weather.example.com"}, "spec": spec,
    });
    world.post(APIS, object).await.ok();
    event(&world, "v1.weather.example.com", |event| {
        event["object"]["status"]["conditions"][0]["reason"] == "Local"
    })
    .await;
    world.get(THERMOMETERS).await.ok();
    world.delete(&service).await.ok();
    world.get(THERMOMETERS).await.ok();
}
