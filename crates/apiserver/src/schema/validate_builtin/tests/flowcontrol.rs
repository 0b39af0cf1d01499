//! FlowSchemas and PriorityLevelConfigurations.

use super::*;

const RULE: &str = "rules: [{subjects: [{kind: User, user: {name: x}}], resourceRules: [{verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true}]}]";

fn schema(members: &str) -> String {
    format!("spec: {{priorityLevelConfiguration: {{name: system}}, {members}}}")
}

fn check_rule(rule: &str, expected: Expect) {
    check(
        "flowschemas",
        &schema(&format!("matchingPrecedence: 5, rules: [{rule}]")),
        None,
        expected,
    );
}

#[test]
fn schemas_have_a_place_and_a_level() {
    check("flowschemas", &schema(RULE), None, expect![""]);
    let placed = |precedence: &str, expected: Expect| {
        let members =
            format!("matchingPrecedence: {precedence}, distinguisherMethod: {{type: ByIp}}");
        check("flowschemas", &schema(&members), None, expected);
    };
    placed(
        "-1",
        expect![[r#"
        spec.matchingPrecedence: Invalid value: -1: must be a positive value
        spec.distinguisherMethod.type: Unsupported value: "ByIp": supported values: "ByNamespace", "ByUser""#]],
    );
    placed(
        "10001",
        expect![[r#"
        spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000
        spec.distinguisherMethod.type: Unsupported value: "ByIp": supported values: "ByNamespace", "ByUser""#]],
    );
    placed(
        "1",
        expect![[r#"
        spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1
        spec.distinguisherMethod.type: Unsupported value: "ByIp": supported values: "ByNamespace", "ByUser""#]],
    );
    check(
        "flowschemas",
        "spec: {matchingPrecedence: 3}",
        None,
        expect![
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level"
        ],
    );
    check(
        "flowschemas",
        "spec: {matchingPrecedence: 3, priorityLevelConfiguration: {name: A_}}",
        None,
        expect![[
            r#"spec.priorityLevelConfiguration.name: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
        ]],
    );
    check(
        "flowschemas",
        "metadata: {name: catch-all}\nspec: {matchingPrecedence: 3, priorityLevelConfiguration: {name: system}}",
        None,
        expect![[
            r#"spec: Invalid value: {"matchingPrecedence":3,"priorityLevelConfiguration":{"name":"system"}}: spec of 'catch-all' must equal the fixed value"#
        ]],
    );
}

#[test]
fn rules_of_schemas_say_who_and_what() {
    check_rule(
        "{}",
        expect![[r#"
        spec.rules[0].subjects: Required value: subjects must contain at least one value
        spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty"#]],
    );
    check_rule(
        "{subjects: [{kind: Robot}, {kind: User}, {kind: Group, group: {}, user: {name: x}}, \
         {kind: ServiceAccount, serviceAccount: {name: A_}}, {kind: ServiceAccount, serviceAccount: {name: '*', namespace: 'a b'}}], \
         nonResourceRules: [{verbs: [get], nonResourceURLs: ['*']}]}",
        expect![[r#"
            spec.rules[0].subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User"
            spec.rules[0].subjects[1].user: Required value: user is required when subject kind is 'User'
            spec.rules[0].subjects[2].group.name: Required value
            spec.rules[0].subjects[2].user: Forbidden: user is forbidden when subject kind is not 'User'
            spec.rules[0].subjects[3].serviceAccount.name: Invalid value: "A_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')
            spec.rules[0].subjects[3].serviceAccount.namespace: Required value: must specify namespace for service account
            spec.rules[0].subjects[4].serviceAccount.namespace: Invalid value: "a b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"#]],
    );
    check_rule(
        "{subjects: [{kind: User, user: {name: x}}], \
         resourceRules: [{}, {verbs: [fly], apiGroups: ['*', a], resources: ['*', b], namespaces: ['*', c]}, \
         {verbs: ['*', get], apiGroups: [''], resources: [pods], namespaces: [A_]}], \
         nonResourceRules: [{}, {verbs: [get], nonResourceURLs: [a, '/a b', '//', '/a*', '/*/*', '/', '/a/*', '']}, \
         {verbs: [get], nonResourceURLs: ['*', '/']}]}",
        expect![[r#"
            spec.rules[0].resourceRules[0].verbs: Required value: verbs must contain at least one value
            spec.rules[0].resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group
            spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource
            spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace
            spec.rules[0].resourceRules[1].verbs: Unsupported value: ["fly"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"
            spec.rules[0].resourceRules[1].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other api groups
            spec.rules[0].resourceRules[1].resources: Invalid value: ["*","b"]: if '*' is present, must not specify other resources
            spec.rules[0].resourceRules[1].namespaces: Invalid value: ["*","c"]: if '*' is present, must not specify other namespaces
            spec.rules[0].resourceRules[2].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs
            spec.rules[0].resourceRules[2].namespaces[0]: Invalid value: "A_": each member of this list must be '*' or a DNS-1123 label; a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
            spec.rules[0].nonResourceRules[0].verbs: Required value: verbs must contain at least one value
            spec.rules[0].nonResourceRules[0].nonResourceURLs: Required value: nonResourceURLs must contain at least one value
            spec.rules[0].nonResourceRules[1].nonResourceURLs[0]: Invalid value: "a": must start with slash
            spec.rules[0].nonResourceRules[1].nonResourceURLs[1]: Invalid value: "/a b": must not contain white-space
            spec.rules[0].nonResourceRules[1].nonResourceURLs[2]: Invalid value: "//": must not contain double slash
            spec.rules[0].nonResourceRules[1].nonResourceURLs[3]: Invalid value: "/a*": wildcard can only do suffix matching
            spec.rules[0].nonResourceRules[1].nonResourceURLs[4]: Invalid value: "/*/*": wildcard can only do suffix matching
            spec.rules[0].nonResourceRules[1].nonResourceURLs[7]: Invalid value: "": must not be empty
            spec.rules[0].nonResourceRules[2].nonResourceURLs: Invalid value: ["*","/"]: if '*' is present, must not specify other non-resource URLs"#]],
    );
}

#[test]
fn levels_limit_what_they_are_for() {
    let level = |spec: &str, expected: Expect| {
        check(
            "prioritylevelconfigurations",
            &format!("spec: {spec}"),
            None,
            expected,
        );
    };
    level(
        "{type: Limited, limited: {limitResponse: {type: Reject}}}",
        expect![""],
    );
    level(
        "{type: Exempt, limited: {}}",
        expect![[r#"
        spec.type: Invalid value: "Exempt": must be 'Exempt' if and only if `name` is 'exempt'
        spec.limited: Forbidden: must be nil if the type is not Limited"#]],
    );
    level(
        "{type: Odd}",
        expect![[r#"spec.type: Unsupported value: "Odd": supported values: "Exempt", "Limited""#]],
    );
    level(
        "{type: Limited, exempt: {}}",
        expect![[r#"
        spec.exempt: Forbidden: must be nil if the type is Limited
        spec.limited: Required value: must not be empty when type is Limited"#]],
    );
    level(
        "{type: Limited, limited: {nominalConcurrencyShares: -1, lendablePercent: 101, borrowingLimitPercent: -1, \
         limitResponse: {type: Reject, queuing: {queues: 1, handSize: 1, queueLengthLimit: 1}}}}",
        expect![[r#"
            spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer
            spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive
            spec.limited.limitResponse.queuing: Forbidden: must be nil if limited.limitResponse.type is not Limited
            spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer"#]],
    );
    level(
        "{type: Limited, limited: {limitResponse: {type: Wait}}}",
        expect![[
            r#"spec.limited.limitResponse.type: Unsupported value: "Wait": supported values: "Queue", "Reject""#
        ]],
    );
    level(
        "{type: Limited, limited: {limitResponse: {type: Queue}}}",
        expect![
            "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited"
        ],
    );
}

#[test]
fn queues_are_enough_for_their_hands() {
    let queuing = |queuing: &str, expected: Expect| {
        let response = format!("{{type: Queue, queuing: {queuing}}}");
        check(
            "prioritylevelconfigurations",
            &format!("spec: {{type: Limited, limited: {{limitResponse: {response}}}}}"),
            None,
            expected,
        );
    };
    queuing(
        "{queues: -1, handSize: -1, queueLengthLimit: -1}",
        expect![[r#"
            spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive
            spec.limited.limitResponse.queuing.queues: Invalid value: -1: must be positive
            spec.limited.limitResponse.queuing.handSize: Invalid value: -1: must be positive"#]],
    );
    queuing(
        "{queues: 10000001, handSize: 1}",
        expect![
            "spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than 10000000"
        ],
    );
    queuing(
        "{queues: 2, handSize: 3}",
        expect![
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 3: should not be greater than queues (2)"
        ],
    );
    queuing(
        "{queues: 128, handSize: 9}",
        expect![
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 9: required entropy bits of deckSize 128 and handSize 9 should not be greater than 60"
        ],
    );
    queuing("{}", expect![""]);
}

#[test]
fn what_must_be_there_stays_as_it_is() {
    let check_level = |name: &str, spec: &str, expected: Expect| {
        let yaml = format!("metadata: {{name: {name}}}\nspec: {spec}");
        check("prioritylevelconfigurations", &yaml, None, expected);
    };
    let limited = "type: Limited, limited: {lendablePercent: 0, limitResponse: {type: Reject}";
    check_level(
        "exempt",
        "{type: Exempt, exempt: {nominalConcurrencyShares: 5, lendablePercent: 10}}",
        expect![""],
    );
    check_level(
        "exempt",
        "{type: Exempt, exempt: {nominalConcurrencyShares: -5, lendablePercent: -1}}",
        expect![[r#"
            spec.exempt.nominalConcurrencyShares: Invalid value: -5: must be a non-negative integer
            spec.exempt.lendablePercent: Invalid value: -1: must be between 0 and 100, inclusive"#]],
    );
    check_level(
        "catch-all",
        &format!("{{{limited}, nominalConcurrencyShares: 5}}}}"),
        expect![""],
    );
    check_level(
        "catch-all",
        &format!("{{{limited}, nominalConcurrencyShares: 6}}}}"),
        expect![[
            r#"spec: Invalid value: {"limited":{"lendablePercent":0,"limitResponse":{"type":"Reject"},"nominalConcurrencyShares":6},"type":"Limited"}: spec of 'catch-all' must equal the fixed value"#
        ]],
    );
    for (_, object) in crate::flow::bootstrap_objects() {
        let plural = if object["kind"] == "FlowSchema" {
            "flowschemas"
        } else {
            "prioritylevelconfigurations"
        };
        check(plural, &object.to_string(), None, expect![[""]]);
    }
}
