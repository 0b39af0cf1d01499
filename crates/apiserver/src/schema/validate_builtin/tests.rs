mod flowcontrol;
mod jobs;

use super::*;
use crate::schema::{default, prepare};
use expect_test::{Expect, expect};

/// Checks an object written in YAML, after preparation and defaults, as a create or as an update of `old`.
fn check(plural: &str, yaml: &str, old: Option<&str>, expected: Expect) {
    let resource = crate::resource::builtin()
        .iter()
        .find(|r| &*r.plural == plural)
        .unwrap();
    let read = |yaml: &str| {
        let mut value: Value = serde_saphyr::from_str(yaml).unwrap();
        value["metadata"] = match &value["metadata"] {
            Value::Null => serde_json::json!({"name": "a"}),
            metadata => metadata.clone(),
        };
        value
    };
    let old = old.map(|old| {
        let mut value = read(old);
        default(resource, &mut value);
        value
    });
    let mut value = read(yaml);
    default(resource, &mut value);
    prepare(resource, &mut value, old.as_ref());
    let causes = validate(resource, "", &value, old.as_ref());
    let shown: Vec<String> = causes
        .iter()
        .map(|c| format!("{}: {}", c.field, c.message))
        .collect();
    expected.assert_eq(&shown.join("\n"));
}

const POD: &str = "spec: {containers: [{name: a, image: b}]}";

#[test]
fn pods_need_containers_that_make_sense() {
    check("pods", POD, None, expect![[""]]);
    check(
        "pods",
        "spec: {}",
        None,
        expect!["spec.containers: Required value"],
    );
    check(
        "pods",
        "spec: {restartPolicy: Sometimes, containers: [{name: A_, image: ' x'}, {name: a}, {name: a, image: b}]}",
        None,
        expect![[r#"
            spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"
            spec.containers[0].name: Invalid value: "A_": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace
            spec.containers[1].image: Required value
            spec.containers[2].name: Duplicate value: "a""#]],
    );
    check(
        "pods",
        "spec: {containers: [{name: a, image: b, ports: [{containerPort: 0}, {containerPort: 70000, name: UPPER, protocol: ICMP}], env: [{name: 'a=b'}, {name: ok, value: x, valueFrom: {secretKeyRef: {name: x}}}], volumeMounts: [{name: gone, mountPath: /a}, {name: v, mountPath: /a}, {name: v}]}], volumes: [{name: v}, {name: v, secret: {}}, {name: w, emptyDir: {}, hostPath: {path: /}}]}",
        None,
        expect![[r#"
            spec.containers[0].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"
            spec.volumes[1].name: Duplicate value: "v"
            spec.volumes[1].secret.secretName: Required value
            spec.volumes[2].hostPath: Forbidden: may not specify more than 1 volume type
            spec.containers[0].ports[0].containerPort: Required value
            spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.containers[0].ports[1].name: Invalid value: "UPPER": must contain at least one letter (a-z)
            spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive
            spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='
            spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty
            spec.containers[0].env[1].valueFrom.secretKeyRef.key: Required value
            spec.containers[0].volumeMounts[0].name: Not found: "gone"
            spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique
            spec.containers[0].volumeMounts[2].mountPath: Required value"#]],
    );
    check(
        "pods",
        "spec: {containers: [{name: a, image: b, resources: {requests: {cpu: 2, memory: -1}, limits: {cpu: 1}}, livenessProbe: {}, readinessProbe: {exec: {command: [a]}, tcpSocket: {port: x_}}}]}",
        None,
        expect![[r#"
            spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0
            spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1
            spec.containers[0].livenessProbe: Required value: must specify a handler type
            spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type
            spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: "x_": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"#]],
    );
}

#[test]
fn pods_stay_as_they_were_made() {
    check(
        "pods",
        "spec: {containers: [{name: a, image: c}], tolerations: [{key: a, operator: Exists}]}",
        Some(POD),
        expect![[""]],
    );
    check(
        "pods",
        "spec: {containers: [{name: a, image: b, command: [x]}]}",
        Some(POD),
        expect![
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        ],
    );
    check(
        "pods",
        "spec: {nodeName: n, containers: [{name: a, image: b}]}",
        Some(POD),
        expect![
            "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        ],
    );
}

const DEPLOYMENT: &str = "spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}";

#[test]
fn workloads_select_their_own_pods() {
    for plural in ["deployments", "replicasets", "daemonsets", "statefulsets"] {
        check(plural, DEPLOYMENT, None, expect![[""]]);
    }
    check(
        "deployments",
        "spec: {template: {spec: {containers: []}}}",
        None,
        expect![[r#"
            spec.selector: Required value
            spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`
            spec.template.spec.containers: Required value"#]],
    );
    check(
        "deployments",
        "spec: {replicas: -1, selector: {}, strategy: {type: Recreate, rollingUpdate: {}}, template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}",
        None,
        expect![[r#"
            spec.replicas: Invalid value: -1: must be greater than or equal to 0
            spec.selector: Invalid value: {}: empty selector is invalid for deployment
            spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"
            spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"#]],
    );
    check(
        "deployments",
        "spec: {selector: {matchLabels: {a: c}, matchExpressions: [{key: x, operator: In}, {key: z, operator: Near}]}, strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}",
        None,
        expect![[r#"
            spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'
            spec.selector.matchExpressions[1].operator: Invalid value: "Near": not a valid selector operator
            spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`
            spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#]],
    );
    let changed = DEPLOYMENT.replace("a: b}", "a: c}");
    check(
        "deployments",
        &changed,
        Some(DEPLOYMENT),
        expect![[r#"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#]],
    );
    check(
        "statefulsets",
        &changed,
        Some(DEPLOYMENT),
        expect![
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ],
    );
}

#[test]
fn pods_of_stateful_sets_mount_what_they_claim() {
    let mounts = "volumeMounts: [{name: data, mountPath: /d}, {name: gone, mountPath: /e}]";
    let template = DEPLOYMENT.replace("image: b", &format!("image: b, {mounts}"));
    let claims = "volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]";
    check(
        "statefulsets",
        &template.replace("spec: {selector", &format!("spec: {{{claims}, selector")),
        None,
        expect![[r#"spec.template.spec.containers[0].volumeMounts[1].name: Not found: "gone""#]],
    );
}

#[test]
fn schedules_are_read() {
    check(
        "cronjobs",
        "spec: {schedule: '*/5 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}",
        None,
        expect![[
            r#"spec.schedule: Invalid value: "*/5 * * *": expected exactly 5 fields, found 4: [*/5 * * *]"#
        ]],
    );
    check(
        "cronjobs",
        "spec: {schedule: '*/5 0-6 1,15 jan mon', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}}}}",
        None,
        expect![[""]],
    );
}

#[test]
fn time_zones_of_schedules_are_known() {
    for (zone, expected) in [
        ("Europe/Berlin", expect![[""]]),
        (
            "''",
            expect![[
                r#"spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string"#
            ]],
        ),
        (
            "local",
            expect![[
                r#"spec.timeZone: Invalid value: "local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"#
            ]],
        ),
        (
            "Moon/Crater",
            expect![[
                r#"spec.timeZone: Invalid value: "Moon/Crater": unknown time zone Moon/Crater"#
            ]],
        ),
        (
            "europe/berlin",
            expect![[
                r#"spec.timeZone: Invalid value: "europe/berlin": unknown time zone europe/berlin"#
            ]],
        ),
        (
            "../Berlin",
            expect![[r#"spec.timeZone: Invalid value: "../Berlin": unknown time zone ../Berlin"#]],
        ),
    ] {
        let template = "{restartPolicy: Never, containers: [{name: a, image: b}]}";
        let spec = format!(
            "spec: {{schedule: '@daily', timeZone: {zone}, jobTemplate: {{spec: {{template: {{spec: {template}}}}}}}}}"
        );
        check("cronjobs", &spec, None, expected);
    }
}

#[test]
fn services_and_ingresses_have_ports() {
    check(
        "services",
        "spec: {}",
        None,
        expect!["spec.ports: Required value"],
    );
    check("services", "spec: {clusterIP: None}", None, expect![[""]]);
    check(
        "services",
        "spec: {ports: [{port: 80}, {port: 80, name: a}, {port: 0, name: a, nodePort: 30000, targetPort: TooLongForAPortName}], type: ClusterIP}",
        None,
        expect![[r#"
            spec.ports[0].name: Required value
            spec.ports[1]: Duplicate value: {"port":80,"protocol":"TCP"}
            spec.ports[2].name: Duplicate value: "a"
            spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive
            spec.ports[2].targetPort: Invalid value: "TooLongForAPortName": must be no more than 15 bytes
            spec.ports[2].targetPort: Invalid value: "TooLongForAPortName": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)
            spec.ports[2].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"#]],
    );
    check(
        "services",
        "spec: {ports: [{port: 80}], clusterIP: 10.0.0.2}",
        Some("spec: {ports: [{port: 80}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]}"),
        expect![[r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.1"]: may not change once set"#]],
    );
    check(
        "services",
        "spec: {ports: [{port: 80}]}",
        Some("spec: {ports: [{port: 80}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]}"),
        expect![[""]],
    );
    check(
        "services",
        "spec: {type: ExternalName, ports: [{port: 80}]}",
        None,
        expect!["spec.externalName: Required value"],
    );
    check(
        "ingresses",
        "spec: {}",
        None,
        expect!["spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified"],
    );
    check(
        "ingresses",
        "spec: {rules: [{host: '*.a.b', http: {paths: [{path: a, pathType: Prefix, backend: {service: {name: s}}}, {path: /, backend: {service: {name: s, port: {number: 80}}}}]}}]}",
        None,
        expect![[r#"
            spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path
            spec.rules[0].http.paths[0].backend: Required value: port name or number is required
            spec.rules[0].http.paths[1].pathType: Required value: pathType must be specified"#]],
    );
}

#[test]
fn configuration_can_be_frozen() {
    check(
        "configmaps",
        "data: {'a b': x, ok: y}\nbinaryData: {ok: YQ==}",
        None,
        expect![[r#"
            data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
            data[ok]: Invalid value: "ok": duplicate of key present in binaryData"#]],
    );
    check(
        "configmaps",
        "data: {a: y}",
        Some("immutable: true\ndata: {a: x}"),
        expect![[r#"
            immutable: Forbidden: field is immutable when `immutable` is set
            data: Forbidden: field is immutable when `immutable` is set"#]],
    );
    check(
        "secrets",
        "type: kubernetes.io/tls\ndata: {tls.crt: YQ==}",
        None,
        expect!["data[tls.key]: Required value"],
    );
    check(
        "secrets",
        "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: 'not json'}",
        None,
        expect![[
            r#"data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character in JSON"#
        ]],
    );
    check(
        "secrets",
        "type: Other\nstringData: {a: b}",
        Some("data: {a: YQ==}"),
        expect![[r#"type: Invalid value: "Other": field is immutable"#]],
    );
}

#[test]
fn access_is_well_formed() {
    check(
        "roles",
        "rules: [{verbs: [get]}, {nonResourceURLs: [/a], verbs: [get]}, {apiGroups: [''], resources: [pods]}]",
        None,
        expect![[r#"
            rules[0].apiGroups: Required value: resource rules must supply at least one api group
            rules[0].resources: Required value: resource rules must supply at least one resource
            rules[1].nonResourceURLs: Invalid value: ["/a"]: namespaced rules cannot apply to non-resource URLs
            rules[2].verbs: Required value: verbs must contain at least one value"#]],
    );
    check(
        "clusterroles",
        "rules: [{nonResourceURLs: [/a], verbs: [get]}]",
        None,
        expect![[""]],
    );
    check(
        "rolebindings",
        "roleRef: {kind: Thing}\nsubjects: [{kind: User, name: a}, {kind: Robot, name: r}, {kind: ServiceAccount, name: s}]",
        None,
        expect![[r#"
            roleRef.kind: Unsupported value: "Thing": supported values: "Role", "ClusterRole"
            roleRef.name: Required value
            subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group""#]],
    );
    check(
        "clusterrolebindings",
        "roleRef: {kind: ClusterRole, name: b}\nsubjects: [{kind: ServiceAccount, name: s}]",
        Some("roleRef: {kind: ClusterRole, name: a}"),
        expect![[r#"
            subjects[0].namespace: Required value
            roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"b"}: cannot change roleRef"#]],
    );
    check(
        "certificatesigningrequests",
        "spec: {request: YQ==, signerName: x, expirationSeconds: 5}",
        None,
        expect![[r#"
            spec.request: Invalid value: "YQ==": PEM block type must be CERTIFICATE REQUEST
            spec.usages: Required value: usages must contain at least one value
            spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form 'example.com/signer-name'
            spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 600 seconds (10 minutes)"#]],
    );
    check(
        "leases",
        "spec: {leaseDurationSeconds: 0}",
        None,
        expect!["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"],
    );
}

#[test]
fn storage_and_priorities_are_checked() {
    let claim = "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
    check(
        "persistentvolumeclaims",
        "spec: {accessModes: [Write]}",
        None,
        expect![[r#"
            spec.accessModes[0]: Unsupported value: "Write": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"
            spec.resources[storage]: Required value"#]],
    );
    check(
        "persistentvolumeclaims",
        &claim.replace("Once", "Many"),
        Some(claim),
        expect![
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        ],
    );
    check(
        "persistentvolumes",
        "spec: {}",
        None,
        expect![[r#"
        spec.accessModes: Required value
        spec.capacity: Required value
        spec: Required value: must specify a volume type"#]],
    );
    check(
        "storageclasses",
        "provisioner: b",
        Some("provisioner: a"),
        expect!["provisioner: Forbidden: updates to provisioner are forbidden."],
    );
    check(
        "priorityclasses",
        "value: 2",
        Some("value: 1"),
        expect!["value: Forbidden: may not be changed in an update."],
    );
}

#[test]
fn webhooks_say_whom_they_are_asked_about_and_where_they_are() {
    let webhook = |rest: &str| {
        format!(
            "webhooks: [{{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1, v1], {rest}}}]"
        )
    };
    check(
        "mutatingwebhookconfigurations",
        &webhook(
            "clientConfig: {service: {path: //x, port: 0}}, timeoutSeconds: 31, rules: [{}, {operations: ['*', CREATE], \
             apiGroups: ['*', apps], apiVersions: [''], resources: ['pods/*', pods/status, '*/*']}]",
        ),
        None,
        expect![[r#"
            webhooks[0].rules[0].operations: Required value
            webhooks[0].rules[0].apiGroups: Required value
            webhooks[0].rules[0].apiVersions: Required value
            webhooks[0].rules[0].resources: Required value
            webhooks[0].rules[1].operations: Invalid value: ["*","CREATE"]: if '*' is present, must not specify other operations
            webhooks[0].rules[1].apiGroups: Invalid value: ["*","apps"]: if '*' is present, must not specify other API groups
            webhooks[0].rules[1].apiVersions[0]: Required value
            webhooks[0].rules[1].resources[1]: Invalid value: "pods/status": if 'pods/*' is present, must not specify pods/status
            webhooks[0].rules[1].resources: Invalid value: ["pods/*","pods/status","*/*"]: if '*/*' is present, must not specify other resources
            webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds
            webhooks[0].clientConfig.service.name: Required value
            webhooks[0].clientConfig.service.namespace: Required value
            webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive
            webhooks[0].clientConfig.service.path: Invalid value: "//x": segment[0] may not be empty
            webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version"#]],
    );
    check(
        "mutatingwebhookconfigurations",
        &webhook(
            "clientConfig: {url: 'https://me:secret@x/y?z#f'}, matchConditions: [{name: a, expression: 'true'}, {name: a}]",
        ),
        None,
        expect![[r#"
            webhooks[0].clientConfig.url: Invalid value: "me": user information is not permitted in the URL
            webhooks[0].clientConfig.url: Invalid value: "f": fragments are not permitted in the URL
            webhooks[0].clientConfig.url: Invalid value: "z": query parameters are not permitted in the URL
            webhooks[0].matchConditions[1].expression: Required value
            webhooks[0].matchConditions[1].name: Duplicate value: "a"
            webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version"#]],
    );
    // What is there may stay as it is.
    check(
        "validatingwebhookconfigurations",
        "webhooks: [{name: a.b.c, clientConfig: {url: 'https://x'}, sideEffects: Some, admissionReviewVersions: [v2]}]",
        Some("webhooks: [{name: a.b.c, sideEffects: Unknown, admissionReviewVersions: [v9]}]"),
        expect![[r#""#]],
    );
}

#[test]
fn policies_and_cluster_kinds_are_checked() {
    check(
        "horizontalpodautoscalers",
        "spec: {minReplicas: 3, maxReplicas: 2, scaleTargetRef: {}}",
        None,
        expect![[r#"
            spec.scaleTargetRef.kind: Required value
            spec.scaleTargetRef.name: Required value
            spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"#]],
    );
    check(
        "poddisruptionbudgets",
        "spec: {minAvailable: 1, maxUnavailable: x}",
        None,
        expect![[r#"
            spec: Invalid value: {"maxUnavailable":"x","minAvailable":1}: minAvailable and maxUnavailable cannot be both set
            spec.maxUnavailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#]],
    );
    check(
        "networkpolicies",
        "spec: {podSelector: {}, ingress: [{from: [{}, {ipBlock: {cidr: x}}], ports: [{port: 0}]}]}",
        None,
        expect![[r#"
            spec.ingress[0].from[0]: Required value: must specify a peer
            spec.ingress[0].from[1].ipBlock.cidr: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)
            spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"#]],
    );
    check(
        "validatingwebhookconfigurations",
        "webhooks: [{name: a, clientConfig: {}}, {name: a.b.c, clientConfig: {url: 'http://x'}, sideEffects: Some, admissionReviewVersions: [v2]}]",
        None,
        expect![[r#"
            webhooks[0].name: Invalid value: "a": should be a domain with at least three segments separated by dots
            webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun
            webhooks[0].clientConfig: Required value: exactly one of url or service is required
            webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1
            webhooks[1].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"
            webhooks[1].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]
            webhooks[1].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#]],
    );
    check(
        "resourcequotas",
        "spec: {hard: {pods: -1}}",
        None,
        expect![[r#"spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0"#]],
    );
    check(
        "endpointslices",
        "endpoints: [{addresses: []}]",
        None,
        expect![[r#"
            addressType: Required value
            endpoints[0].addresses: Required value: must contain at least 1 address"#]],
    );
    check(
        "customresourcedefinitions",
        "spec: {group: x, names: {kind: A, plural: as}, scope: Namespaced, versions: []}",
        None,
        expect![[r#"
            metadata.name: Invalid value: "a": must be spec.names.plural+"."+spec.group
            spec.group: Invalid value: "x": should be a domain with at least one dot
            spec.versions: Invalid value: []: must have exactly one version marked as storage version"#]],
    );
}

#[test]
fn api_services_are_checked() {
    check(
        "apiservices",
        "spec: {group: a.b, version: v1}",
        None,
        expect![[r#"
            metadata.name: Invalid value: "a": must be `spec.version+"."+spec.group`: "v1.a.b"
            spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000
            spec.versionPriority: Invalid value: 0: must be positive and less than 1000"#]],
    );
    let rest = "groupPriorityMinimum: 1, versionPriority: 1";
    check(
        "apiservices",
        &format!("{{metadata: {{name: v2.}}, spec: {{version: v2, {rest}}}}}"),
        None,
        expect![
            "spec.group: Required value: only v1 may have an empty group and it better be legacy kube"
        ],
    );
    check(
        "apiservices",
        &format!("{{metadata: {{name: v1.b.A_b}}, spec: {{version: v1.b, group: A_b, {rest}}}}}"),
        None,
        expect![[r#"
            spec.group: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.version: Invalid value: "v1.b": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#]],
    );
    check(
        "apiservices",
        &format!("{{metadata: {{name: v1.}}, spec: {{version: v1, {rest}}}}}"),
        None,
        expect![[r#""#]],
    );
}

#[test]
fn quotas_limit_what_can_be_counted() {
    let quota = |spec: &str, expected: Expect| {
        check("resourcequotas", &format!("spec: {spec}"), None, expected);
    };
    quota(
        "{hard: {pods: 2, requests.cpu: 1500m, count/jobs.batch: 3, requests.example.com/gpu: 1, requests.hugepages-2Mi: 4Mi}}",
        expect![[""]],
    );
    quota(
        "{hard: {deployments: 1, 'a b': 1, pods: 1500m, example.com/gpu: 500m}}",
        expect![[r#"
            spec.hard[a b]: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.hard[deployments]: Invalid value: "deployments": must be a standard resource for quota
            spec.hard[example.com/gpu]: Invalid value: "500m": must be an integer
            spec.hard[pods]: Invalid value: "1500m": must be an integer"#]],
    );
    quota(
        "{hard: {pods: 1, secrets: 1}, scopes: [BestEffort, NotBestEffort, Sometimes]}",
        expect![[r#"
            spec.scopes[2]: Unsupported value: "Sometimes": supported values: "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating", "VolumeAttributesClass"
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Sometimes"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Sometimes"]: unsupported scope applied to resource
            spec.scopes: Invalid value: ["BestEffort","NotBestEffort","Sometimes"]: conflicting scopes"#]],
    );
    quota(
        "{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}, {scopeName: Terminating, operator: NotIn, values: [a]}, {scopeName: PriorityClass, operator: Exists, values: [a]}, {scopeName: X, operator: Maybe}]}}",
        expect![[r#"
            spec.scopeSelector.matchExpressions[3].operator: Unsupported value: "Maybe": supported values: "DoesNotExist", "Exists", "In", "NotIn"
            spec.scopeSelector.matchExpressions[3].scopeName: Unsupported value: "X": supported values: "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating", "VolumeAttributesClass"
            spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector
            spec.scopeSelector.matchExpressions.operator: Invalid value: "NotIn": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity
            spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector
            spec.scopeSelector.matchExpressions.operator: Invalid value: "Maybe": not a valid selector operator"#]],
    );
    check(
        "resourcequotas",
        "spec: {hard: {pods: 1}, scopes: [Terminating]}",
        Some("spec: {hard: {pods: 2}, scopes: [NotTerminating]}"),
        expect![[r#"spec.scopes: Invalid value: ["Terminating"]: field is immutable"#]],
    );
}

#[test]
fn limits_are_in_order() {
    let range = |limits: &str, expected: Expect| {
        check(
            "limitranges",
            &format!("spec: {{limits: [{limits}]}}"),
            None,
            expected,
        );
    };
    range(
        "{type: Container, min: {cpu: 100m}, max: {cpu: 1}, default: {cpu: 500m}, defaultRequest: {cpu: 200m}, maxLimitRequestRatio: {cpu: 5}}, {type: Pod, max: {memory: 1Gi}}, {type: PersistentVolumeClaim, max: {storage: 1Gi}}",
        expect![[""]],
    );
    range(
        "{type: Container, min: {cpu: 2}, max: {cpu: 1}, default: {cpu: 3}, defaultRequest: {cpu: 4}, maxLimitRequestRatio: {cpu: 500m}}",
        expect![[r#"
            spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
            spec.limits[0].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than max value 1
            spec.limits[0].defaultRequest[cpu]: Invalid value: "4": default request value 4 is greater than default limit value 3
            spec.limits[0].default[cpu]: Invalid value: "1": default value 3 is greater than max value 1
            spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1"#]],
    );
    range(
        "{type: Container, min: {cpu: 1}, default: {cpu: 500m}, defaultRequest: {cpu: 400m}}",
        expect![[r#"
            spec.limits[0].defaultRequest[cpu]: Invalid value: "400m": min value 1 is greater than default request value 400m
            spec.limits[0].default[cpu]: Invalid value: "1": min value 1 is greater than default value 500m"#]],
    );
    range(
        "{type: Container, min: {cpu: 1}, max: {cpu: 2}, maxLimitRequestRatio: {cpu: 3}}",
        expect![[
            r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#
        ]],
    );
    range(
        "{type: Pod, default: {cpu: 1}, defaultRequest: {cpu: 1}}, {type: Pod}, {type: Node}, {type: PersistentVolumeClaim}",
        expect![[r#"
            spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'
            spec.limits[1].type: Duplicate value: "Pod"
            spec.limits[2].type: Invalid value: "Node": must be a standard limit type or fully qualified
            spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided"#]],
    );
    range(
        "{type: Container, max: {storage: 1, bricks: 1, requests.a.b/c: 1, hugepages-2Mi: 1}, default: {example.com/gpu: 2}, defaultRequest: {example.com/gpu: 1}}",
        expect![[r#"
            spec.limits[0].max[bricks]: Invalid value: "bricks": must be a standard resource type or fully qualified
            spec.limits[0].max[bricks]: Invalid value: "bricks": must be a standard resource for containers
            spec.limits[0].max[requests.a.b/c]: Invalid value: "requests.a.b/c": doesn't follow extended resource name standard
            spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers
            spec.limits[0].default[bricks]: Invalid value: "bricks": must be a standard resource type or fully qualified
            spec.limits[0].default[bricks]: Invalid value: "bricks": must be a standard resource for containers
            spec.limits[0].default[requests.a.b/c]: Invalid value: "requests.a.b/c": doesn't follow extended resource name standard
            spec.limits[0].default[storage]: Invalid value: "storage": must be a standard resource for containers
            spec.limits[0].defaultRequest[bricks]: Invalid value: "bricks": must be a standard resource type or fully qualified
            spec.limits[0].defaultRequest[bricks]: Invalid value: "bricks": must be a standard resource for containers
            spec.limits[0].defaultRequest[requests.a.b/c]: Invalid value: "requests.a.b/c": doesn't follow extended resource name standard
            spec.limits[0].defaultRequest[storage]: Invalid value: "storage": must be a standard resource for containers
            spec.limits[0].defaultRequest[example.com/gpu]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in example.com/gpu"#]],
    );
}
