//! Groups that others serve: their APIServices, requests that are passed on, and documents that are merged.

use apiserver::ClusterSpec;
use apiserver::auth::{ClusterKeys, User};
use bytes::Bytes;
use expect_test::expect;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::SignedDuration;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::custom::{DEFINITIONS, definition};
use crate::extension::{APIS, Extension, GROUP, NAME, WIDGETS, published, settled};
use crate::world::{World, now};

pub(crate) const SERVICES: &str = "/api/v1/namespaces/default/services";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";

/// Waits until there is an event like this about the APIService.
pub(crate) async fn event(world: &World, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let path = format!("{APIS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut watch = world.watch(&path).await;
    loop {
        let event = watch.next().await.unwrap();
        if is_it(&event) {
            return event["object"].clone();
        }
    }
}

/// An answer that need not be JSON.
pub(crate) async fn raw(
    world: &World,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, HeaderMap, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let response = world.service.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    (parts.status.as_u16(), parts.headers, text)
}

/// The groups of aggregated discovery, each with its versions and how fresh they are.
pub(crate) async fn aggregated(world: &World) -> Vec<String> {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let (_, _, text) = raw(world, "/apis", &[("accept", accept)]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    let groups = list["items"].as_array().unwrap().iter();
    groups
        .flat_map(|group| {
            let name = group["metadata"]["name"].as_str().unwrap();
            group["versions"].as_array().unwrap().iter().map(move |v| {
                let resources: Vec<&str> = v["resources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|r| r["resource"].as_str().unwrap())
                    .collect();
                format!(
                    "{name} {} {} {resources:?}",
                    v["version"].as_str().unwrap(),
                    v["freshness"].as_str().unwrap()
                )
            })
        })
        .filter(|line| !line.contains("k8s.io"))
        .collect()
}

#[tokio::test]
async fn everything_that_is_served_here_has_an_api_service() {
    let world = World::new().await;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let (_, _, text) = raw(&world, APIS, &[("accept", accept)]).await;
    let table: Value = serde_json::from_str(&text).unwrap();
    let rows = table["rows"].as_array().unwrap().iter();
    let lines: Vec<String> = rows
        .map(|row| {
            let cells = row["cells"].as_array().unwrap();
            format!("{} {} {}", cells[0].as_str().unwrap(), cells[1], cells[2])
        })
        .collect();
    expect![[r#"
        v1. "Local" "True"
        v1.admissionregistration.k8s.io "Local" "True"
        v1.apiextensions.k8s.io "Local" "True"
        v1.apps "Local" "True"
        v1.authentication.k8s.io "Local" "True"
        v1.authorization.k8s.io "Local" "True"
        v1.autoscaling "Local" "True"
        v1.batch "Local" "True"
        v1.certificates.k8s.io "Local" "True"
        v1.coordination.k8s.io "Local" "True"
        v1.discovery.k8s.io "Local" "True"
        v1.events.k8s.io "Local" "True"
        v1.flowcontrol.apiserver.k8s.io "Local" "True"
        v1.networking.k8s.io "Local" "True"
        v1.node.k8s.io "Local" "True"
        v1.policy "Local" "True"
        v1.rbac.authorization.k8s.io "Local" "True"
        v1.resource.k8s.io "Local" "True"
        v1.scheduling.k8s.io "Local" "True"
        v1.storage.k8s.io "Local" "True"
        v2.autoscaling "Local" "True""#]]
    .assert_eq(&lines.join("\n"));
    let apps = world.get(&format!("{APIS}/v1.apps")).await.ok();
    assert_eq!(
        apps["spec"],
        json!({"group": "apps", "version": "v1", "groupPriorityMinimum": 17_800, "versionPriority": 15})
    );
    let label = "kube-aggregator.kubernetes.io/automanaged";
    assert_eq!(apps["metadata"]["labels"][label], "onstart");
}

#[tokio::test]
async fn the_api_service_of_a_definition_comes_and_goes_with_it_and_stays_as_it_is() {
    let world = World::new().await;
    let name = "v1.example.com";
    let path = format!("{APIS}/{name}");
    world.post(DEFINITIONS, definition()).await.ok();
    let made = event(&world, name, |event| event["type"] == "ADDED").await;
    assert_eq!(
        made["spec"],
        json!({"group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100})
    );
    let label = "kube-aggregator.kubernetes.io/automanaged";
    assert_eq!(made["metadata"]["labels"][label], "true");
    assert_eq!(made["status"]["conditions"][0]["reason"], "Local");
    world
        .merge(&path, json!({"spec": {"versionPriority": 7}}))
        .await
        .ok();
    event(&world, name, |e| {
        e["object"]["spec"]["versionPriority"] == 100
    })
    .await;
    let uid = world.get(&path).await.ok()["metadata"]["uid"].clone();
    world.delete(&path).await.ok();
    event(&world, name, |e| {
        e["type"] == "ADDED" && e["object"]["metadata"]["uid"] != uid
    })
    .await;
    // Without the label it is somebody else's.
    let mine = json!({"metadata": {"labels": {label: null}}, "spec": {"versionPriority": 7}});
    world.merge(&path, mine).await.ok();
    let mut watch = world
        .watch(&format!("{APIS}?watch=true&resourceVersion=0"))
        .await;
    let mut second = definition();
    second["metadata"]["name"] = "ants.second.com".into();
    second["spec"]["group"] = "second.com".into();
    second["spec"]["names"] = json!({"plural": "ants", "kind": "Ant"});
    world.post(DEFINITIONS, second).await.ok();
    while watch.line().await != "ADDED v1.second.com" {}
    assert_eq!(world.get(&path).await.ok()["spec"]["versionPriority"], 7);
    world
        .delete(&format!("{DEFINITIONS}/ants.second.com"))
        .await
        .ok();
    while watch.line().await != "DELETED v1.second.com" {}
}

#[tokio::test]
async fn why_an_extension_server_is_not_available_is_told() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    let mut said = vec![];
    world.post(APIS, extension.api_service()).await.ok();
    said.push(settled(&world, NAME, "ServiceNotFound").await);
    world.post(SERVICES, Extension::service(444)).await.ok();
    said.push(settled(&world, NAME, "ServicePortError").await);
    let port = json!({"spec": {"ports": [{"name": "https", "port": 443}]}});
    world.merge(&format!("{SERVICES}/server"), port).await.ok();
    said.push(settled(&world, NAME, "EndpointsNotFound").await);
    world
        .post(SLICES, Extension::slice(extension.port, "other"))
        .await
        .ok();
    said.push(settled(&world, NAME, "MissingEndpoints").await);
    let (code, headers, text) = raw(&world, WIDGETS, &[]).await;
    assert_eq!((code, text.as_str()), (503, "service unavailable\n"));
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "ext.example.com v1 Stale []"
    );
    (extension.behaviour.lock().unwrap().answers)
        .insert("/apis/ext.example.com/v1", (500, json!({})));
    let slice = format!("{SLICES}/server-1");
    let ports = json!({"ports": [{"name": "https", "port": extension.port}]});
    world.merge(&slice, ports).await.ok();
    said.push(settled(&world, NAME, "FailedDiscoveryCheck").await);
    extension.behaviour.lock().unwrap().answers.clear();
    world
        .merge(&slice, json!({"metadata": {"labels": {"again": "1"}}}))
        .await
        .ok();
    said.push(settled(&world, NAME, "Passed").await);
    let port = extension.port.to_string();
    expect![[r#"
        False ServiceNotFound: service/server in "default" is not present
        False ServicePortError: service/server in "default" is not listening on port 443
        False EndpointsNotFound: cannot find endpointslices for service/server in "default"
        False MissingEndpoints: endpointslices for service/server in "default" have no addresses with port name "https"
        False FailedDiscoveryCheck: failing or missing response from https://127.0.0.1:PORT/apis/ext.example.com/v1: bad status from https://127.0.0.1:PORT/apis/ext.example.com/v1: 500
        True Passed: all checks passed"#]]
    .assert_eq(&said.join("\n").replace(&port, "PORT"));
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "ext.example.com v1 Current [\"widgets\"]"
    );
    // Who becomes local is available at once.
    let local = json!({"spec": {"service": null, "caBundle": null}});
    world.merge(&format!("{APIS}/{NAME}"), local).await.ok();
    said.push(settled(&world, NAME, "Local").await);
    assert_eq!(world.get(WIDGETS).await.code, 404);
}

#[tokio::test]
async fn requests_are_passed_on_with_the_user_and_without_the_credentials() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    let mut user = User::authenticated("ada", ["system:masters".to_owned()]);
    user.uid = "u1".into();
    user.extra
        .insert("example.com/team".into(), vec!["x".into()]);
    let ada = world.seen_by(user);
    let path = format!("{WIDGETS}?limit=5&labelSelector=a%3Db");
    let headers = [
        ("authorization", "Bearer secret"),
        ("x-remote-user", "root"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a", "b"),
        ("accept", "application/json"),
    ];
    let (code, answered, text) = raw(&ada, &path, &headers).await;
    assert_eq!(
        (code, answered["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    let id = answered["audit-id"].clone();
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap()["kind"],
        "WidgetList"
    );
    let widget =
        json!({"apiVersion": "ext.example.com/v1", "kind": "Widget", "metadata": {"name": "a"}});
    let made = world.post(WIDGETS, widget.clone()).await;
    assert_eq!((made.code, &made.body), (201, &widget));
    let asked = extension.widgets();
    assert_eq!(asked[0].line, format!("GET {path}"));
    let told: Vec<String> = asked[0]
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .map(|line| line.replace(id.to_str().unwrap(), "ID"))
        .collect();
    expect![[r#"
        accept: application/json
        host: server.default.svc:443
        audit-id: ID
        x-remote-user: ada
        x-remote-uid: u1
        x-remote-group: system:masters
        x-remote-group: system:authenticated
        x-remote-extra-example.com%2fteam: x"#]]
    .assert_eq(&told.join("\n"));
    assert_eq!(
        (
            asked[1].line.as_str(),
            serde_json::from_slice::<Value>(&asked[1].body).unwrap()
        ),
        (format!("POST {WIDGETS}").as_str(), widget)
    );
    // Who may not does not get so far.
    let nobody = world.seen_by(User::authenticated("nobody", []));
    assert_eq!(nobody.get(WIDGETS).await.code, 403);
    assert_eq!(extension.widgets().len(), 2);
    let ambiguous = world
        .get("/apis/ext.example.com/v1/namespaces/default/widgets%2Fa")
        .await;
    assert_eq!(ambiguous.code, 400);
    (extension.behaviour.lock().unwrap().answers).insert(WIDGETS, (302, json!({})));
    let (code, _, text) = raw(&world, WIDGETS, &[]).await;
    assert_eq!(
        (code, text.as_str()),
        (
            502,
            "the backend attempted to redirect this request, which is not permitted\n"
        )
    );
}

/// A connection to the server, which may become something else.
pub(crate) async fn connected(world: &World) -> SendRequest<Full<Bytes>> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let service = TowerToHyperService::new(world.service.clone());
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), service)
        .with_upgrades();
    tokio::spawn(server);
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

#[tokio::test]
async fn watches_and_other_protocols_are_passed_through() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    let mut watch = world.watch(&format!("{WIDGETS}?watch=true")).await;
    for name in ["a", "b"] {
        let event = json!({"type": "ADDED", "object": {"metadata": {"name": name}}});
        extension
            .send
            .send(format!("{event}\n").into())
            .await
            .unwrap();
        assert_eq!(watch.line().await, format!("ADDED {name}"));
    }
    let mut sender = connected(&world).await;
    let request = Request::post(format!("{WIDGETS}/a/shell"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .body(Full::new(Bytes::new()))
        .unwrap();
    let mut response = sender.send_request(request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["upgrade"]),
        (101, &"SPDY/3.1".parse().unwrap())
    );
    let mut io = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    let mut said = String::new();
    io.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "you said hello");
    // Whoever watches hears when the cluster goes.
    world.server.drop_cluster("test").await.unwrap();
    assert!(matches!(watch.frame().await, None | Some(Err(_))));
}

/// The OpenAPI document with that of the extension server, which is asked for it when it is available already.
async fn open_api(world: &World) -> Value {
    loop {
        let document = world.get("/openapi/v2").await.ok();
        if document["definitions"]["com.example.Widget"].is_object() {
            return document;
        }
        // Reading it takes much longer than what is waited for needs, on the one thread that there is.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn documents_tell_of_extension_servers() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    world.post(DEFINITIONS, definition()).await.ok();
    event(&world, "v1.example.com", |event| event["type"] == "ADDED").await;
    extension.register(&world).await;
    let lines = aggregated(&world).await;
    assert_eq!(
        lines[lines.len() - 2..],
        [
            "ext.example.com v1 Current [\"widgets\"]",
            "example.com v1 Current [\"bees\"]"
        ]
    );
    let groups = world.get("/apis").await.ok();
    let names: Vec<&str> = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    assert_eq!(names[names.len() - 2..], [GROUP, "example.com"]);
    let group = world.get("/apis/ext.example.com").await.ok();
    assert_eq!(
        group["preferredVersion"]["groupVersion"],
        "ext.example.com/v1"
    );
    let kinds = world.get("/apis/ext.example.com/v1").await.ok();
    assert_eq!(kinds["resources"][0]["name"], "widgets");
    let paths = world.get("/").await.ok()["paths"].clone();
    assert!(
        paths
            .as_array()
            .unwrap()
            .contains(&json!("/apis/ext.example.com/v1"))
    );
    let document = open_api(&world).await;
    assert_eq!(
        document["definitions"]["com.example.Widget"]["properties"]["size"]["type"],
        "integer"
    );
    assert!(document["paths"][WIDGETS].is_object());
    assert!(document["paths"]["/healthz/"].is_null());
    assert!(document["definitions"]["com.example.Unused"].is_null());
    let index = world.get("/openapi/v3").await.ok();
    let url = &index["paths"]["apis/ext.example.com/v1"]["serverRelativeURL"];
    assert_eq!(url, "/openapi/v3/apis/ext.example.com/v1?hash=ABC");
    assert!(index["paths"]["version"].is_null());
    let document = world.get(url.as_str().unwrap()).await.ok();
    assert_eq!(document["info"]["title"], "of the extension");
    // One that goes takes everything with it.
    world.delete(&format!("{APIS}/{NAME}")).await.ok();
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "example.com v1 Current [\"bees\"]"
    );
    assert!(world.get("/openapi/v2").await.ok()["definitions"]["com.example.Widget"].is_null());
    assert_eq!(world.get("/apis/ext.example.com/v1").await.code, 404);
}

#[tokio::test]
async fn servers_with_the_old_form_of_discovery_are_told_of_as_well() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.behaviour.lock().unwrap().is_old = true;
    extension.register(&world).await;
    assert_eq!(
        aggregated(&world).await.last().unwrap(),
        "ext.example.com v1 Current [\"widgets\"]"
    );
}

#[tokio::test]
async fn an_extension_server_knows_the_cluster_that_it_belongs_to() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    let spec = ClusterSpec {
        id: "other".into(),
        server_names: vec!["other.example.com".into()],
        keys: ClusterKeys::generate("other", now()).unwrap(),
        service_cidr: "10.96.0.0/12".into(),
        version: "v1.36.0".into(),
    };
    let cluster = world.server.create_cluster(spec).await.unwrap();
    let admin = User::authenticated("admin", ["system:masters".to_owned()]);
    let other = World {
        service: cluster.service(admin),
        cluster,
        ..world.seen_by(User::anonymous())
    };
    // Its Service leads to the server of the first cluster, which does not let it in.
    other.post(SERVICES, Extension::service(443)).await.ok();
    other
        .post(SLICES, Extension::slice(extension.port, "https"))
        .await
        .ok();
    other.post(APIS, extension.api_service()).await.ok();
    let said = settled(&other, NAME, "FailedDiscoveryCheck").await;
    assert!(
        said.starts_with("False FailedDiscoveryCheck: failing or missing response from"),
        "{said}"
    );
    assert!(extension.asked.lock().unwrap().is_empty());
    assert_eq!(raw(&other, WIDGETS, &[]).await.0, 503);
}

#[tokio::test]
async fn only_a_server_that_is_known_is_asked_unless_anybody_will_do() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    world.post(SERVICES, Extension::service(443)).await.ok();
    world
        .post(SLICES, Extension::slice(extension.port, "https"))
        .await
        .ok();
    let mut api_service = extension.api_service();
    api_service["spec"]["caBundle"] = json!(null);
    world.post(APIS, api_service).await.ok();
    let said = settled(&world, NAME, "FailedDiscoveryCheck").await;
    assert!(
        said.contains("x509: certificate signed by unknown authority"),
        "{said}"
    );
    assert!(extension.asked.lock().unwrap().is_empty());
    let anybody = json!({"spec": {"insecureSkipTLSVerify": true}});
    world.merge(&format!("{APIS}/{NAME}"), anybody).await.ok();
    settled(&world, NAME, "Passed").await;
    assert_eq!(world.get(WIDGETS).await.ok()["kind"], "WidgetList");
}

#[tokio::test]
async fn a_service_that_leads_back_here_is_not_asked() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    world.post(SERVICES, Extension::service(443)).await.ok();
    world
        .post(SLICES, Extension::slice(world.server.port(), "https"))
        .await
        .ok();
    world.post(APIS, extension.api_service()).await.ok();
    expect![[r#"False FailedDiscoveryCheck: failing or missing response from https://server.default.svc:443/apis/ext.example.com/v1: service "server" leads back to this API server"#]]
        .assert_eq(&settled(&world, NAME, "FailedDiscoveryCheck").await);
}

#[tokio::test]
async fn kubernetes_own_groups_are_always_answered_here() {
    let world = World::new().await;
    let extension = Extension::start(&world).await;
    extension.register(&world).await;
    let spec = json!({"caBundle": extension.api_service()["spec"]["caBundle"],
        "service": {"namespace": "default", "name": "server"}});
    world
        .merge(&format!("{APIS}/v1.apps"), json!({"spec": spec}))
        .await
        .ok();
    let list = world.get("/apis/apps/v1/deployments").await.ok();
    assert_eq!(list["kind"], "DeploymentList");
    // Nor does anybody add a version to them.
    let mut api_service = extension.api_service();
    api_service["metadata"]["name"] = "v9.apps".into();
    (api_service["spec"]["group"], api_service["spec"]["version"]) = ("apps".into(), "v9".into());
    world.post(APIS, api_service).await.ok();
    expect![
        "False GroupServedHere: this group is Kubernetes' own: all versions of it are answered here"
    ]
    .assert_eq(&settled(&world, "v9.apps", "GroupServedHere").await);
    assert_eq!(world.get("/apis/apps/v9").await.code, 404);
    let versions = world.get("/apis/apps").await.ok()["versions"].clone();
    assert_eq!(
        versions,
        json!([{"groupVersion": "apps/v1", "version": "v1"}])
    );
}

#[tokio::test]
async fn proxies_of_the_cluster_say_for_whom_they_ask() {
    let world = World::new().await;
    let data = published(&world).await;
    let keys = &world.cluster.spec().keys;
    assert_eq!(data["client-ca-file"], keys.ca_cert_pem);
    let lines: Vec<String> = data
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| !key.ends_with("file"))
        .map(|(key, value)| format!("{key}: {}", value.as_str().unwrap()))
        .collect();
    expect![[r#"
        requestheader-allowed-names: ["front-proxy-client"]
        requestheader-extra-headers-prefix: ["X-Remote-Extra-"]
        requestheader-group-headers: ["X-Remote-Group"]
        requestheader-uid-headers: ["X-Remote-Uid"]
        requestheader-username-headers: ["X-Remote-User"]"#]]
    .assert_eq(&lines.join("\n"));
    let certificate = |authority: &str, name: &str| {
        let authority = match authority {
            "proxies" => keys.front_proxy_authority(),
            _ => keys.authority(),
        };
        let hour = SignedDuration::from_hours(1);
        let issued = authority
            .unwrap()
            .issue_client(name, &[], now(), hour)
            .unwrap();
        CertificateDer::from_pem_slice(issued.cert_pem.as_bytes())
            .unwrap()
            .to_vec()
    };
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let mut said = vec![];
    for (authority, name, user) in [
        ("proxies", "front-proxy-client", "ada"),
        ("proxies", "front-proxy-client", "system:anonymous"),
        ("proxies", "front-proxy-client", ""),
        ("proxies", "somebody", "ada"),
        ("clients", "front-proxy-client", "ada"),
    ] {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .header("x-remote-user", user)
            .header("x-remote-group", "a")
            .header("x-remote-uid", "u1")
            .header("x-remote-extra-example.com%2Fteam", "x")
            .body(Full::new(Bytes::from(review.to_string())))
            .unwrap();
        let service = world
            .cluster
            .network_service(Some(certificate(authority, name)));
        let response = service.oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        let mut user = body["status"]["userInfo"].clone();
        if let Some(extra) = user.get_mut("extra").and_then(Value::as_object_mut) {
            extra.remove("authentication.kubernetes.io/credential-id");
        }
        said.push(format!("{code} {user}"));
    }
    expect![[r#"
        201 {"extra":{"example.com/team":["x"]},"groups":["a","system:authenticated"],"uid":"u1","username":"ada"}
        403 null
        401 null
        401 null
        201 {"extra":{},"groups":["system:authenticated"],"username":"front-proxy-client"}"#]]
    .assert_eq(&said.join("\n"));
    // What extension servers rely on comes back.
    let path = "/api/v1/namespaces/kube-system/configmaps";
    let mut watch = world
        .watch(&format!("{path}?watch=true&resourceVersion=0"))
        .await;
    let name = "extension-apiserver-authentication";
    while watch.line().await != format!("ADDED {name}") {}
    world.delete(&format!("{path}/{name}")).await.ok();
    while watch.line().await != format!("ADDED {name}") {}
    assert_eq!(published(&world).await, data);
}
