use std::collections::BTreeMap;

use expect_test::expect;

use super::*;
use crate::resource::builtin;
use crate::schema::{Field, ListType, Object, Rules, Schema, Type};
use crate::testing::custom_resource;

/// A custom resource whose schema uses what only such schemas use.
fn shirts() -> Arc<Resource> {
    let of = |ty| Schema {
        ty,
        ..Schema::default()
    };
    let field = |schema, required| Field {
        schema: Arc::new(schema),
        required,
        proto: None,
    };
    let object = |fields: Vec<(&str, Field)>| {
        let fields = fields
            .into_iter()
            .map(|(name, field)| (name.into(), field))
            .collect();
        Type::Object(Object {
            fields,
            additional: None,
        })
    };
    let color = Schema {
        description: Some("What it looks like.".into()),
        default: Some("blue".into()),
        rules: Some(Box::new(Rules {
            enumeration: vec!["blue".into(), "red".into()],
            ..Rules::default()
        })),
        ..of(Type::String)
    };
    let size = Schema {
        nullable: true,
        rules: Some(Box::new(Rules {
            minimum: Some(1.0),
            multiple_of: Some(0.5),
            any_of: vec![of(Type::Integer), of(Type::String)],
            ..Rules::default()
        })),
        ..of(Type::IntOrString)
    };
    let tags = Schema {
        list_type: ListType::Set,
        ..of(Type::Array(Arc::new(of(Type::String))))
    };
    let washed = Schema {
        rules: Some(Box::new(Rules {
            format: Some("date-time".into()),
            ..Rules::default()
        })),
        ..of(Type::String)
    };
    let spec = of(object(vec![
        ("color", field(color, true)),
        ("size", field(size, false)),
        ("tags", field(tags, false)),
        ("washed", field(washed, false)),
        (
            "any",
            field(
                Schema {
                    preserve_unknown: true,
                    ..Schema::default()
                },
                false,
            ),
        ),
    ]));
    let mut resource = custom_resource("stable.example.com", "v1", "shirts", "Shirt", &[]);
    resource.schema = Arc::new(of(object(vec![("spec", field(spec, true))])));
    Arc::new(resource)
}

fn read(packed: &Packed) -> Value {
    let (body, is_gzip) = packed.body(None).expect("bytes");
    assert!(!is_gzip);
    serde_json::from_slice(&body).expect("JSON")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

/// Every `$ref` below `value`.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.push(target.clone());
            }
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// No property may say nothing at all: `kubectl explain` stumbles over it.
fn check_properties(value: &Value) {
    match value {
        Value::Object(fields) => {
            let properties = fields.get("properties").and_then(Value::as_object);
            for (name, property) in properties.into_iter().flatten() {
                assert_ne!(*property, json!({}), "{name} says nothing");
            }
            fields.values().for_each(check_properties);
        }
        Value::Array(items) => items.iter().for_each(check_properties),
        _ => {}
    }
}

fn check_document(document: &Value) {
    check_properties(document);
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').expect("a local reference");
        assert!(
            document.pointer(pointer).is_some(),
            "{target} leads nowhere"
        );
    }
    let mut ids = BTreeMap::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            if method == "parameters" {
                continue;
            }
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            let earlier = ids.insert(id.clone(), path.clone());
            assert_eq!(earlier, None, "{id} is also the id of {path}");
            if method == "patch" && operation["x-kubernetes-action"] == "patch" {
                let parameters = operation["parameters"].to_string();
                for name in ["fieldValidation", "dryRun", "fieldManager", "force"] {
                    assert!(parameters.contains(name), "PATCH {path} has no {name}");
                }
            }
        }
    }
}

#[test]
fn documents_of_all_built_in_kinds_are_whole() {
    let openapi = OpenApi::new("v1.36.0");
    let index = openapi.index(builtin(), &[]).expect("an index");
    let index: Value = serde_json::from_slice(&index.body).expect("JSON");
    let mut keys = Vec::new();
    for (key, entry) in index["paths"].as_object().expect("paths") {
        let parts: Vec<&str> = key.split('/').collect();
        let (group, version) = match *parts.as_slice() {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => unreachable!("{key}"),
        };
        let document = openapi
            .v3_document(builtin(), group, version)
            .expect("written")
            .expect("served");
        let url = entry["serverRelativeURL"].as_str().expect("a url");
        assert_eq!(url, format!("/openapi/v3/{key}?hash={}", document.hash));
        check_document(&read(&document));
        keys.push(key.as_str());
    }
    assert!(
        openapi
            .v3_document(builtin(), "none", "v1")
            .expect("no error")
            .is_none()
    );
    expect!["api/v1 apis/admissionregistration.k8s.io/v1 apis/apiextensions.k8s.io/v1 apis/apiregistration.k8s.io/v1 apis/apps/v1 apis/authentication.k8s.io/v1 apis/authorization.k8s.io/v1 apis/autoscaling/v1 apis/autoscaling/v2 apis/batch/v1 apis/certificates.k8s.io/v1 apis/coordination.k8s.io/v1 apis/discovery.k8s.io/v1 apis/events.k8s.io/v1 apis/flowcontrol.apiserver.k8s.io/v1 apis/networking.k8s.io/v1 apis/node.k8s.io/v1 apis/policy/v1 apis/rbac.authorization.k8s.io/v1 apis/resource.k8s.io/v1 apis/scheduling.k8s.io/v1 apis/storage.k8s.io/v1"].assert_eq(&keys.join(" "));
}

#[test]
fn the_old_document_is_whole() {
    let mut resources = builtin().to_vec();
    resources.push(shirts());
    let openapi = OpenApi::new("v1.36.0");
    let document = openapi.document(Version::V2, answer::JSON, resources);
    let document = read(&document.expect("written"));
    check_document(&document);
    assert_eq!(document["swagger"], "2.0");
    let shirt = &document["definitions"]["com.example.stable.v1.Shirt"]["properties"]["spec"];
    expect![[r#"
        {
          "minimum": 1,
          "multipleOf": 0.5,
          "x-kubernetes-int-or-string": true
        }"#]]
    .assert_eq(&pretty(&shirt["properties"]["size"]));
}

/// The bytes are those of the messages of `OpenAPIv2.proto`, field by field.
#[test]
fn the_old_document_is_written_as_protobuf() {
    let check = |document: Value, want: expect_test::Expect| {
        let bytes = protobuf::encode(&document);
        want.assert_eq(&dump(&bytes));
    };
    check(
        json!({"swagger": "2.0", "info": {"title": "T"}, "unknown": 1, "x-a": [1]}),
        expect![[r#"2:{1:"T"} 1:"2.0" 16:{1:"x-a" 2:{2:"[1]"}}"#]],
    );
    let reference = json!({"$ref": "#/definitions/D"});
    check(
        json!({"paths": {"/p": {"post": {
            "parameters": [
                {"in": "body", "name": "body", "schema": reference},
                {"in": "query", "name": "dryRun", "type": "string", "uniqueItems": true},
                {"in": "path", "name": "name", "type": "string", "required": true},
            ],
            "responses": {"200": {"description": "OK", "schema": reference}},
            "consumes": ["a", "b"],
        }}}}),
        expect![[
            r##"8:{2:{1:"/p" 2:{4:{7:"a" 7:"b" 8:{1:{1:{3:"body" 2:"body" 5:{1:"#/definitions/D"}}}} 8:{1:{2:{3:{2:"query" 4:"dryRun" 6:"string" 20:1}}}} 8:{1:{2:{4:{2:"path" 4:"name" 1:1 5:"string"}}}} 9:{1:{1:"200" 2:{1:{1:"OK" 2:{1:{1:"#/definitions/D"}}}}}}}}}}"##
        ]],
    );
    check(
        json!({"definitions": {"D": {
            "type": "object", "required": ["a"], "minProperties": 300, "additionalProperties": {"type": "string"},
            "properties": {"a": {"type": ["string"], "enum": ["x"], "nullable": true}, "b": {"items": {}, "minimum": 0.5}},
        }, "E": {"additionalProperties": true, "allOf": [reference], "uniqueItems": false}}}),
        expect![[
            r##"9:{1:{1:"D" 2:{21:{1:{22:{1:"string"}}} 18:300 25:{1:{1:"a" 2:{20:{2:"\"x\""} 22:{1:"string"}}} 1:{1:"b" 2:{23:{1:""} 9:0.5}}} 19:"a" 22:{1:"object"}}} 1:{1:"E" 2:{21:{2:1} 24:{1:"#/definitions/D"}}}}"##
        ]],
    );
    let openapi = OpenApi::new("v1.36.0");
    let ask = Ask {
        accept: Some("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"),
        ..Ask::default()
    };
    let answer = openapi.v2(builtin(), &ask);
    assert_eq!(answer.content_type, answer::V2_PROTOBUF);
    assert_eq!(
        answer.body,
        protobuf::encode(&read(
            &openapi
                .document(Version::V2, answer::JSON, builtin().to_vec())
                .expect("written"),
        ))
    );
}

/// Protobuf without a schema: fields by number; what reads as a message is one, unless it can be text.
fn dump(bytes: &[u8]) -> String {
    try_dump(bytes).expect("protobuf")
}

fn try_dump(mut bytes: &[u8]) -> Option<String> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
    let mut fields = vec![];
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let value = match tag & 7 {
            0 => varint(&mut bytes)?.to_string(),
            1 => {
                let (number, rest) = bytes.split_first_chunk::<8>()?;
                bytes = rest;
                f64::from_le_bytes(*number).to_string()
            }
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                let text = std::str::from_utf8(content).ok();
                let text = text.filter(|text| !text.contains(|c: char| c.is_control()));
                match text {
                    Some(text) => format!("{text:?}"),
                    None => format!("{{{}}}", try_dump(content)?),
                }
            }
            _ => return None,
        };
        fields.push(format!("{}:{value}", tag >> 3));
    }
    Some(fields.join(" "))
}

/// Takes descriptions out, and says how many there were.
fn silenced(value: &mut Value) -> usize {
    match value {
        Value::Object(members) => {
            let had = members
                .remove("description")
                .is_some_and(|text| text.is_string());
            usize::from(had) + members.values_mut().map(silenced).sum::<usize>()
        }
        Value::Array(items) => items.iter_mut().map(silenced).sum(),
        _ => 0,
    }
}

#[test]
fn built_in_fields_say_how_they_merge() {
    let openapi = OpenApi::new("v1.36.0");
    let core = read(
        &openapi
            .v3_document(builtin(), "", "v1")
            .expect("written")
            .expect("served"),
    );
    let schemas = &core["components"]["schemas"];
    let shown = |message: &str, field: &str| {
        let mut field =
            schemas[format!("io.k8s.api.core.v1.{message}")]["properties"][field].clone();
        assert!(silenced(&mut field) > 0, "{message} {field}");
        format!("{message} {field}\n")
    };
    let text = [
        shown("PodSpec", "containers"),
        shown("PodSpec", "volumes"),
        shown("PodSpec", "nodeSelector"),
        shown("Container", "ports"),
        shown("Probe", "initialDelaySeconds"),
        shown("HTTPGetAction", "port"),
        shown("ResourceRequirements", "limits"),
        shown("Secret", "data"),
        shown("PodStatus", "startTime"),
    ]
    .concat();
    expect![[r##"
        PodSpec {"items":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Container"},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge"}
        PodSpec {"items":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Volume"},"type":"array","x-kubernetes-list-map-keys":["name"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"name","x-kubernetes-patch-strategy":"merge,retainKeys"}
        PodSpec {"additionalProperties":{"type":"string"},"type":"object","x-kubernetes-map-type":"atomic"}
        Container {"items":{"$ref":"#/components/schemas/io.k8s.api.core.v1.ContainerPort"},"type":"array","x-kubernetes-list-map-keys":["containerPort","protocol"],"x-kubernetes-list-type":"map","x-kubernetes-patch-merge-key":"containerPort","x-kubernetes-patch-strategy":"merge"}
        Probe {"format":"int32","type":"integer"}
        HTTPGetAction {"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.util.intstr.IntOrString"}]}
        ResourceRequirements {"additionalProperties":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity"},"type":"object"}
        Secret {"additionalProperties":{"format":"byte","type":"string"},"type":"object"}
        PodStatus {"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Time"}]}
    "##]].assert_eq(&text);
}

#[test]
fn kinds_say_what_they_hold_and_which_kind_they_are() {
    let document = OpenApi::new("v1.36.0").v3_document(builtin(), "", "v1");
    let core = read(&document.expect("written").expect("served"));
    let mut pod = core["components"]["schemas"]["io.k8s.api.core.v1.Pod"].clone();
    silenced(&mut pod);
    expect![[r##"
        {
          "properties": {
            "apiVersion": {
              "type": "string"
            },
            "kind": {
              "type": "string"
            },
            "metadata": {
              "allOf": [
                {
                  "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
                }
              ],
              "default": {}
            },
            "spec": {
              "allOf": [
                {
                  "$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"
                }
              ],
              "default": {}
            },
            "status": {
              "allOf": [
                {
                  "$ref": "#/components/schemas/io.k8s.api.core.v1.PodStatus"
                }
              ],
              "default": {}
            }
          },
          "type": "object",
          "x-kubernetes-group-version-kind": [
            {
              "group": "",
              "kind": "Pod",
              "version": "v1"
            }
          ]
        }"##]]
    .assert_eq(&pretty(&pod));
}

#[test]
fn writes_say_what_they_take_and_answer() {
    let document = OpenApi::new("v1.36.0").v3_document(builtin(), "", "v1");
    let core = read(&document.expect("written").expect("served"));
    let spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
    expect![[r#"["containers"]"#]].assert_eq(&spec["required"].to_string());
    expect![[r##"{"operationId":"patchCoreV1NamespacedPod","parameters":[{"in":"query","name":"dryRun","schema":{"type":"string","uniqueItems":true}},{"in":"query","name":"fieldManager","schema":{"type":"string","uniqueItems":true}},{"in":"query","name":"fieldValidation","schema":{"type":"string","uniqueItems":true}},{"in":"query","name":"force","schema":{"type":"boolean","uniqueItems":true}}],"requestBody":{"content":{"application/apply-patch+yaml":{"schema":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}},"application/json-patch+json":{"schema":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}},"application/merge-patch+json":{"schema":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}},"application/strategic-merge-patch+json":{"schema":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}}},"required":true},"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}},"application/vnd.kubernetes.protobuf":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}},"application/yaml":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}}},"description":"OK"},"201":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}},"application/vnd.kubernetes.protobuf":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}},"application/yaml":{"schema":{"$ref":"#/components/schemas/io.k8s.api.core.v1.Pod"}}},"description":"Created"},"401":{"description":"Unauthorized"}},"tags":["core_v1"],"x-kubernetes-action":"patch","x-kubernetes-group-version-kind":{"group":"","kind":"Pod","version":"v1"}}"##]].assert_eq(
        &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"].to_string(),
    );
}

#[test]
fn connections_and_old_watches_have_paths() {
    let document = OpenApi::new("v1.36.0").v3_document(builtin(), "", "v1");
    let core = read(&document.expect("written").expect("served"));
    let mut text = String::new();
    for path in [
        "/api/v1/namespaces/{namespace}/pods/{name}/exec",
        "/api/v1/namespaces/{namespace}/pods/{name}/log",
        "/api/v1/namespaces/{namespace}/services/{name}/proxy",
        "/api/v1/namespaces/{namespace}/services/{name}/proxy/{path}",
        "/api/v1/watch/pods",
        "/api/v1/watch/namespaces/{namespace}/pods",
        "/api/v1/watch/namespaces/{namespace}/pods/{name}",
    ] {
        text += &format!("{path}\n");
        let operations = core["paths"][path].as_object().expect("a path");
        for (method, operation) in operations.iter().filter(|(key, _)| *key != "parameters") {
            let (id, action) = (&operation["operationId"], &operation["x-kubernetes-action"]);
            text += &format!("  {method} {id} {action}\n");
        }
        let parameters = operations["parameters"].as_array().expect("parameters");
        let names = parameters.iter().map(|p| {
            let name = p["name"].as_str().expect("a name");
            format!("{name}:{}", p["schema"]["type"].as_str().expect("a type"))
        });
        text += &format!("  {}\n", names.collect::<Vec<_>>().join(" "));
    }
    expect![[r#"
        /api/v1/namespaces/{namespace}/pods/{name}/exec
          get "connectCoreV1GetNamespacedPodExec" "connect"
          post "connectCoreV1PostNamespacedPodExec" "connect"
          name:string namespace:string command:string container:string stderr:boolean stdin:boolean stdout:boolean tty:boolean
        /api/v1/namespaces/{namespace}/pods/{name}/log
          get "readCoreV1NamespacedPodLog" "get"
          name:string namespace:string container:string follow:boolean insecureSkipTLSVerifyBackend:boolean limitBytes:integer previous:boolean sinceSeconds:integer sinceTime:string stream:string tailLines:integer timestamps:boolean pretty:string
        /api/v1/namespaces/{namespace}/services/{name}/proxy
          delete "connectCoreV1DeleteNamespacedServiceProxy" "connect"
          get "connectCoreV1GetNamespacedServiceProxy" "connect"
          patch "connectCoreV1PatchNamespacedServiceProxy" "connect"
          post "connectCoreV1PostNamespacedServiceProxy" "connect"
          put "connectCoreV1PutNamespacedServiceProxy" "connect"
          name:string namespace:string path:string
        /api/v1/namespaces/{namespace}/services/{name}/proxy/{path}
          delete "connectCoreV1DeleteNamespacedServiceProxyWithPath" "connect"
          get "connectCoreV1GetNamespacedServiceProxyWithPath" "connect"
          patch "connectCoreV1PatchNamespacedServiceProxyWithPath" "connect"
          post "connectCoreV1PostNamespacedServiceProxyWithPath" "connect"
          put "connectCoreV1PutNamespacedServiceProxyWithPath" "connect"
          name:string namespace:string path:string path:string
        /api/v1/watch/pods
          get "watchCoreV1PodListForAllNamespaces" "watchlist"
          allowWatchBookmarks:boolean continue:string fieldSelector:string labelSelector:string limit:integer pretty:string resourceVersion:string resourceVersionMatch:string sendInitialEvents:boolean timeoutSeconds:integer watch:boolean
        /api/v1/watch/namespaces/{namespace}/pods
          get "watchCoreV1NamespacedPodList" "watchlist"
          namespace:string allowWatchBookmarks:boolean continue:string fieldSelector:string labelSelector:string limit:integer pretty:string resourceVersion:string resourceVersionMatch:string sendInitialEvents:boolean timeoutSeconds:integer watch:boolean
        /api/v1/watch/namespaces/{namespace}/pods/{name}
          get "watchCoreV1NamespacedPod" "watch"
          name:string namespace:string allowWatchBookmarks:boolean continue:string fieldSelector:string labelSelector:string limit:integer pretty:string resourceVersion:string resourceVersionMatch:string sendInitialEvents:boolean timeoutSeconds:integer watch:boolean
    "#]].assert_eq(&text);
}

#[test]
fn custom_resources_say_what_their_definition_says() {
    let openapi = OpenApi::new("v1.36.0");
    let document = openapi.v3_document(&[shirts()], "stable.example.com", "v1");
    let document = read(&document.expect("written").expect("served"));
    check_document(&document);
    let paths: Vec<String> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .map(|(path, operations)| {
            let methods: Vec<&str> = operations
                .as_object()
                .expect("operations")
                .keys()
                .map(String::as_str)
                .collect();
            format!("{path} {}", methods.join(" "))
        })
        .collect();
    expect![[r#"
        /apis/stable.example.com/v1/shirts delete get parameters post
        /apis/stable.example.com/v1/shirts/{name} delete get parameters patch put
        /apis/stable.example.com/v1/shirts/{name}/status get parameters patch put"#]]
    .assert_eq(&paths.join("\n"));
    let shirt = &document["components"]["schemas"]["com.example.stable.v1.Shirt"];
    let spec = &shirt["properties"]["spec"];
    let mut lines: Vec<String> = spec["properties"]
        .as_object()
        .expect("properties")
        .iter()
        .map(|(name, field)| format!("{name} {field}"))
        .collect();
    lines.push(format!(
        "required {} {}",
        shirt["required"], spec["required"]
    ));
    lines.push(format!("metadata {}", shirt["properties"]["metadata"]));
    lines.push(shirt["x-kubernetes-group-version-kind"].to_string());
    expect![[r##"
        any {"x-kubernetes-preserve-unknown-fields":true}
        color {"default":"blue","description":"What it looks like.","enum":["blue","red"],"type":"string"}
        size {"anyOf":[{"type":"integer"},{"type":"string"}],"minimum":1,"multipleOf":0.5,"nullable":true,"x-kubernetes-int-or-string":true}
        tags {"items":{"type":"string"},"type":"array","x-kubernetes-list-type":"set"}
        washed {"format":"date-time","type":"string"}
        required ["spec"] ["color"]
        metadata {"allOf":[{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],"description":"Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"}
        [{"group":"stable.example.com","kind":"Shirt","version":"v1"}]"##]].assert_eq(&lines.join("\n"));
    let patch = &document["paths"]["/apis/stable.example.com/v1/shirts/{name}"]["patch"];
    let types: Vec<&String> = patch["requestBody"]["content"]
        .as_object()
        .expect("types")
        .keys()
        .collect();
    expect![[r#"["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]"#]].assert_eq(&format!("{types:?}"));
}

#[test]
fn equal_documents_are_kept_once() {
    let openapi = OpenApi::new("v1.36.0");
    let document = |resource: Arc<Resource>| {
        let found = openapi.v3_document(&[resource], "stable.example.com", "v1");
        found.expect("written").expect("served")
    };
    let resource = shirts();
    let first = document(Arc::clone(&resource));
    assert!(Arc::ptr_eq(&first, &document(resource)));
    assert!(Arc::ptr_eq(&first, &document(shirts())));
}

#[test]
fn only_so_many_documents_are_kept() {
    let openapi = OpenApi::new("v1.36.0");
    for at in 0..MAX_DOCUMENTS + 10 {
        let group = format!("g{at}.example.com");
        let resource = custom_resource(&group, "v1", "things", "Thing", &[]);
        openapi
            .v3_document(&[Arc::new(resource)], &group, "v1")
            .expect("written");
    }
    assert_eq!(
        openapi.kept.lock().expect("no panic").documents.len(),
        MAX_DOCUMENTS
    );
}

#[test]
fn clients_are_told_what_they_may_keep() {
    let openapi = OpenApi::new("v1.36.0");
    let resources = [shirts()];
    let path = "apis/stable.example.com/v1";
    let hash = openapi
        .v3_document(&resources, "stable.example.com", "v1")
        .expect("written")
        .expect("served")
        .hash
        .clone();
    let etag = format!("\"{hash}\"");
    let known = Ask {
        if_none_match: Some(&etag),
        ..Ask::default()
    };
    let shown = |answer: Answer| {
        let headers: Vec<String> = answer
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.replace(&hash, "HASH")))
            .collect();
        let body = match answer.body.first() {
            None => "empty",
            Some(0x1f) => "gzip",
            Some(_) => "JSON",
        };
        format!("{} {body} {}\n", answer.code, headers.join(", "))
    };
    let accepting = |accept| Ask {
        accept: Some(accept),
        ..Ask::default()
    };
    let v3 = |ask: Ask<'_>| shown(openapi.v3(&resources, path, &ask));
    let text = [
        v3(Ask::default()),
        v3(Ask {
            hash: Some(""),
            accept_encoding: Some("gzip"),
            ..Ask::default()
        }),
        v3(Ask {
            hash: Some(&hash),
            ..Ask::default()
        }),
        v3(Ask {
            hash: Some(&hash),
            ..known
        }),
        v3(known),
        v3(Ask {
            hash: Some("OLD"),
            ..known
        }),
        v3(accepting("application/yaml")),
        // One hash for all encodings.
        v3(Ask {
            accept: Some("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"),
            hash: Some(&hash),
            ..known
        }),
        shown(openapi.v3(&resources, "apis/none/v1", &Ask::default())),
        shown(openapi.v3(&resources, "api", &Ask::default())),
        shown(openapi.v3_index(&resources, &[], &accepting("application/json, */*"))),
        shown(openapi.v2(
            &resources,
            &accepting("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"),
        )),
    ];
    expect![[r#"
        200 JSON ETag: "HASH", Vary: Accept, Accept-Encoding
        200 gzip ETag: "HASH", Vary: Accept, Accept-Encoding, Content-Encoding: gzip
        200 JSON ETag: "HASH", Vary: Accept, Accept-Encoding, Cache-Control: public, immutable, max-age=31536000
        304 empty ETag: "HASH", Vary: Accept, Accept-Encoding, Cache-Control: public, immutable, max-age=31536000
        304 empty ETag: "HASH", Vary: Accept, Accept-Encoding
        301 empty Location: /openapi/v3/apis/stable.example.com/v1?hash=HASH
        406 JSON 
        304 empty ETag: "HASH", Vary: Accept, Accept-Encoding, Cache-Control: public, immutable, max-age=31536000
        404 JSON 
        404 JSON 
        200 JSON ETag: TAG, Vary: Accept
        406 JSON 
    "#]].assert_eq(
        &text
            .concat()
            .replace(&openapi.index(&resources, &[]).expect("an index").etag, "TAG"),
    );
}
