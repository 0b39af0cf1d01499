//! Jobs: new ones, changed ones, and their statuses.

use super::*;

const JOB: &str = "metadata: {name: a, uid: u}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: b}]}}}";

/// A job with these members of its spec.
fn job(members: &str) -> String {
    JOB.replace("spec: {template", &format!("spec: {{{members}, template"))
}

/// Checks a status that replaces `old`, both of a job with these members of its spec.
fn check_status(members: &str, old: &str, new: &str, expected: Expect) {
    let resource = crate::resource::builtin()
        .iter()
        .find(|r| &*r.plural == "jobs")
        .unwrap();
    let read = |status: &str| {
        let mut value: Value = serde_saphyr::from_str(&job(members)).unwrap();
        default(resource, &mut value);
        value["status"] = serde_saphyr::from_str(status).unwrap();
        value
    };
    let causes = validate(resource, "status", &read(new), Some(&read(old)));
    let shown = causes.iter().map(|c| format!("{}: {}", c.field, c.message));
    expected.assert_eq(&shown.collect::<Vec<_>>().join("\n"));
}

#[test]
fn jobs_come_to_an_end() {
    check("jobs", JOB, None, expect![[""]]);
    check(
        "jobs",
        &JOB.replace("Never", "Always"),
        None,
        expect![[
            r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#
        ]],
    );
    check(
        "jobs",
        &job("completionMode: Indexed, completions: 5, parallelism: 100001, maxFailedIndexes: 6"),
        None,
        expect![[r#"
            spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified
            spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed
            spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"#]],
    );
    check(
        "jobs",
        &job(
            "completionMode: Indexed, completions: 100001, parallelism: 10001, backoffLimitPerIndex: 1",
        ),
        None,
        expect![[r#"
            spec.maxFailedIndexes: Required value: must be specified when completions is above 100000
            spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"#]],
    );
    check(
        "jobs",
        &job(
            "backoffLimitPerIndex: 1, maxFailedIndexes: 1, successPolicy: {rules: []}, completions: -1",
        ),
        None,
        expect![[r#"
            spec.completions: Invalid value: -1: must be greater than or equal to 0
            spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode
            spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode
            spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode"#]],
    );
    for manager in ["foo", "''", "a_b/c", "a.b/c d"] {
        check(
            "jobs",
            &job(&format!("managedBy: {manager}")),
            None,
            match manager {
                "foo" => expect![[
                    r#"spec.managedBy: Invalid value: "foo": must be a domain-prefixed path (such as "acme.io/foo")"#
                ]],
                "''" => expect!["spec.managedBy: Required value"],
                "a_b/c" => expect![[
                    r#"spec.managedBy: Invalid value: "a_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
                ]],
                _ => expect![[
                    r#"spec.managedBy: Invalid value: "c d": Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')"#
                ]],
            },
        );
    }
    let long = "a".repeat(62);
    check(
        "jobs",
        &job("completionMode: Indexed, completions: 3")
            .replace("name: a", &format!("name: {long}")),
        None,
        expect![[
            r#"metadata.name: Invalid value: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa": will not able to create pod with invalid DNS label: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-2"#
        ]],
    );
}

#[test]
fn selectors_and_labels_are_the_servers() {
    check(
        "jobs",
        &job("selector: {matchLabels: {a: b}}").replace(
            "template: {",
            "template: {metadata: {labels: {job-name: q}}, ",
        ),
        None,
        expect![[r#"
            spec.template.metadata.labels[job-name]: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u","job-name":"q"}: must be 'a'
            spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u"}}: `selector` not auto-generated
            spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"a","controller-uid":"u","job-name":"q"}: `selector` does not match template `labels`"#]],
    );
    check(
        "jobs",
        &job("manualSelector: true"),
        None,
        expect![[r#"
        spec.selector: Required value
        spec.template.metadata.labels: Invalid value: {}: `selector` does not match template `labels`"#]],
    );
    check(
        "jobs",
        &job("manualSelector: true, selector: {matchLabels: {x: q}}")
            .replace("template: {", "template: {metadata: {labels: {x: q}}, "),
        None,
        expect![[""]],
    );
}

#[test]
fn failure_policies_make_sense() {
    check(
        "jobs",
        &job("podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: [{action: FailIndex}, \
              {action: FailJob, onExitCodes: {containerName: x, operator: In, values: [0, 2, 2, 1]}, onPodConditions: [{type: X y, status: Foo}]}, \
              {action: Bar, onExitCodes: {operator: Baz, values: []}}]}")
            .replace("Never", "OnFailure"),
        None,
        expect![[r#"
            spec.podFailurePolicy.rules[2].action: Unsupported value: "Bar": supported values: "Count", "FailIndex", "FailJob", "Ignore"
            spec.podFailurePolicy.rules[2].onExitCodes.operator: Unsupported value: "Baz": supported values: "In", "NotIn"
            spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set
            spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required
            spec.podFailurePolicy.rules[1].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template
            spec.podFailurePolicy.rules[1].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator
            spec.podFailurePolicy.rules[1].onExitCodes.values[2]: Duplicate value: 2
            spec.podFailurePolicy.rules[1].onExitCodes.values: Invalid value: [0,2,2,1]: must be ordered
            spec.podFailurePolicy.rules[1].onPodConditions[0].type: Invalid value: "X y": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')
            spec.podFailurePolicy.rules[1].onPodConditions[0].status: Unsupported value: "Foo": supported values: "False", "True", "Unknown"
            spec.podFailurePolicy.rules[1]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported
            spec.podFailurePolicy.rules[2].onExitCodes.values: Invalid value: []: at least one value is required
            spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"
            spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified"#]],
    );
    check(
        "jobs",
        &job(
            "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}, {action: FailJob, onExitCodes: {containerName: c, operator: NotIn, values: [0, 1]}}]}",
        ),
        None,
        expect![[""]],
    );
}

#[test]
fn success_policies_make_sense() {
    check(
        "jobs",
        &job(
            "completionMode: Indexed, completions: 5, successPolicy: {rules: [{}, {succeededIndexes: '1-3,7', succeededCount: 6}, \
              {succeededIndexes: '3,1'}, {succeededIndexes: 1-x}, {succeededIndexes: '1', succeededCount: 2}, {succeededIndexes: 1-2-3}, {succeededIndexes: 2-1}]}",
        ),
        None,
        expect![[r#"
            spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified
            spec.successPolicy.rules[1].succeededIndexes: Invalid value: "1-3,7": error parsing succeededIndexes: too large index: "7"
            spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)
            spec.successPolicy.rules[1].succeededCount: Invalid value: 6: must be less than or equal to 0 (the number of indexes in the specified succeededIndexes field)
            spec.successPolicy.rules[2].succeededIndexes: Invalid value: "3,1": error parsing succeededIndexes: non-increasing order, previous: 3, current: 1
            spec.successPolicy.rules[3].succeededIndexes: Invalid value: "1-x": error parsing succeededIndexes: cannot convert string to integer for index: "x"
            spec.successPolicy.rules[4].succeededCount: Invalid value: 2: must be less than or equal to 1 (the number of indexes in the specified succeededIndexes field)
            spec.successPolicy.rules[5].succeededIndexes: Invalid value: "1-2-3": error parsing succeededIndexes: the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'
            spec.successPolicy.rules[6].succeededIndexes: Invalid value: "2-1": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1"#]],
    );
    check(
        "jobs",
        &job(
            "completionMode: Indexed, completions: 5, successPolicy: {rules: [{succeededIndexes: '0,2-4', succeededCount: 2}]}",
        ),
        None,
        expect![[""]],
    );
}

/// A job as it is stored, with these members of its spec.
fn stored(members: &str) -> String {
    job(&format!(
        "{members}, manualSelector: true, selector: {{matchLabels: {{x: q}}}}"
    ))
    .replace("template: {", "template: {metadata: {labels: {x: q}}, ")
}

fn update(new: &str, old: &str, expected: Expect) {
    check("jobs", new, Some(old), expected);
}

#[test]
fn of_a_job_little_may_change() {
    let old = stored("suspend: false");
    update(
        &old.replace("image: b", "image: c"),
        &old,
        expect![[
            r#"spec.template: Invalid value: {"metadata":{"labels":{"x":"q"}},"spec":{"containers":[{"image":"c","imagePullPolicy":"Always","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Never",…: field is immutable"#
        ]],
    );
    update(
        &stored("parallelism: 3, completions: 1, suspend: true, backoffLimit: 2"),
        &old,
        expect![[""]],
    );
    update(
        &stored("completions: 3"),
        &old,
        expect!["spec.completions: Invalid value: 3: field is immutable"],
    );
    update(
        &stored(
            "managedBy: a.b/c, completionMode: Indexed, completions: 1, backoffLimitPerIndex: 1",
        ),
        &old,
        expect![[r#"
            spec.completionMode: Invalid value: "Indexed": field is immutable
            spec.backoffLimitPerIndex: Invalid value: 1: field is immutable
            spec.managedBy: Invalid value: "a.b/c": field is immutable"#]],
    );
    let indexed = |n: i32, m: i32| {
        stored(&format!(
            "completionMode: Indexed, completions: {n}, parallelism: {m}"
        ))
    };
    update(&indexed(3, 3), &indexed(2, 2), expect![[""]]);
    update(
        &indexed(3, 2),
        &indexed(2, 2),
        expect![
            "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
        ],
    );
}

#[test]
fn at_rest_the_pods_of_a_job_may_be_sent_elsewhere() {
    let moved = |suspend: &str| {
        stored(suspend)
            .replace("labels: {x: q}", "labels: {x: q, y: z}")
            .replace("image: b", "image: b, resources: {limits: {cpu: '1'}}")
            .replace(
                "restartPolicy",
                "nodeSelector: {a: b}, affinity: {nodeAffinity: {}}, restartPolicy",
            )
    };
    let (rests, runs) = (stored("suspend: true"), stored("suspend: false"));
    update(&moved("suspend: false"), &rests, expect![[""]]);
    update(&rests, &moved("suspend: true"), expect![[""]]);
    update(
        &moved("suspend: true"),
        &runs,
        expect![[
            r#"spec.template: Invalid value: {"metadata":{"labels":{"x":"q","y":"z"}},"spec":{"affinity":{"nodeAffinity":{}},"containers":[{"image":"b","imagePullPolicy":"Always","name":"c","resources":{"limits":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"…: field is immutable"#
        ]],
    );
    let with = |status: &str| format!("{rests}\nstatus: {status}");
    let began = "startTime: '2020-01-01T00:00:00Z'";
    let suspended = "conditions: [{type: Suspended, status: 'True'}]";
    let moved = moved("suspend: true");
    let active = with("{active: 1}");
    update(
        &moved,
        &active,
        expect![[
            r#"spec.template: Invalid value: {"metadata":{"labels":{"x":"q","y":"z"}},"spec":{"affinity":{"nodeAffinity":{}},"containers":[{"image":"b","imagePullPolicy":"Always","name":"c","resources":{"limits":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"…: field is immutable"#
        ]],
    );
    let begun = with(&format!("{{{began}}}"));
    update(
        &moved,
        &begun,
        expect![[
            r#"spec.template: Invalid value: {"metadata":{"labels":{"x":"q","y":"z"}},"spec":{"affinity":{"nodeAffinity":{}},"containers":[{"image":"b","imagePullPolicy":"Always","name":"c","resources":{"limits":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"…: field is immutable"#
        ]],
    );
    let stopped = with(&format!("{{{began}, {suspended}}}"));
    update(&moved, &stopped, expect![[""]]);
    update(
        &rests.replace("Never", "OnFailure"),
        &rests,
        expect![[
            r#"spec.template.spec: Invalid value: {"containers":[{"image":"b","imagePullPolicy":"Always","name":"c","resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"OnFailure","schedulerName":"default-scheduler",…: field is immutable"#
        ]],
    );
    let other_name = rests.replace("name: c,", "name: d, resources: {limits: {cpu: '1'}},");
    update(
        &other_name,
        &rests,
        expect![[
            r#"spec.template.spec: Invalid value: {"containers":[{"image":"b","imagePullPolicy":"Always","name":"d","resources":{"limits":{"cpu":"1"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Never","schedulerName":"def…: field is immutable"#
        ]],
    );
}

#[test]
fn statuses_hold_together() {
    check_status(
        "suspend: false",
        "{}",
        "{ready: 3, active: -1, failed: -2, uncountedTerminatedPods: {failed: ['', a, a]}}",
        expect![[r#"
            status.active: Invalid value: -1: must be greater than or equal to 0
            status.failed: Invalid value: -2: must be greater than or equal to 0
            status.uncountedTerminatedPods.failed[0]: Invalid value: "": must not be empty
            status.uncountedTerminatedPods.failed[2]: Duplicate value: "a"
            status.ready: Invalid value: 3: cannot set more ready pods than active
            status.failed: Invalid value: -2: cannot decrease the failed counter"#]],
    );
    check_status(
        "suspend: true",
        "{}",
        "{conditions: [{type: Complete, status: 'True'}, {type: Failed, status: 'True'}], active: 1, terminating: 1, \
         completedIndexes: '1', failedIndexes: '2', uncountedTerminatedPods: {failed: [a]}}",
        expect![[r#"
            status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions
            status.completionTime: Required value: completionTime is required for Complete jobs
            status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition
            status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition
            status.active: Invalid value: 1: active>0 is invalid for finished job
            status.startTime: Required value: startTime is required for finished job
            status.uncountedTerminatedPods: Invalid value: {"failed":["a"]}: must be empty for finished job
            status.completedIndexes: Invalid value: "1": error parsing completedIndexes: too large index: "1"
            status.completedIndexes: Invalid value: "1": cannot set non-empty completedIndexes when non-indexed completion mode
            status.failedIndexes: Invalid value: "2": cannot set non-null failedIndexes when backoffLimitPerIndex is null
            status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"#]],
    );
    check_status(
        "suspend: true",
        "{}",
        "{completionTime: '2020-01-01T00:00:00Z', startTime: '2021-01-01T00:00:00Z'}",
        expect![[r#"
            status.completionTime: Invalid value: "2020-01-01T00:00:00Z": cannot set completionTime when there is no Complete=True condition
            status.completionTime: Invalid value: "2020-01-01T00:00:00Z": must be equal to or after `startTime`"#]],
    );
    check_status(
        "suspend: false",
        "{}",
        "{conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: FailureTarget, status: 'True'}], failed: 3}",
        expect![
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"
        ],
    );
    check_status(
        "completionMode: Indexed, completions: 9, backoffLimitPerIndex: 1",
        "{}",
        "{completedIndexes: '1,3-5', failedIndexes: '0,2,5-7'}",
        expect![[
            r#"status.failedIndexes: Invalid value: "0,2,5-7": failedIndexes and completedIndexes overlap at index: 5"#
        ]],
    );
}

#[test]
fn statuses_do_not_go_back() {
    let over = "{startTime: '2020-01-01T00:00:00Z', completionTime: '2020-01-01T00:00:09Z', succeeded: 2, failed: 1, \
                conditions: [{type: SuccessCriteriaMet, status: 'True'}, {type: Complete, status: 'True'}]}";
    check_status("suspend: false", over, over, expect![[""]]);
    check_status(
        "suspend: false",
        over,
        "{}",
        expect![[r#"
        status.conditions: Invalid value: cannot disable the terminal Complete=True condition
        status.failed: Invalid value: 0: cannot decrease the failed counter
        status.succeeded: Invalid value: 0: cannot decrease the succeeded counter
        status.startTime: Invalid value: null: field is immutable for unsuspended job once set
        status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"#]],
    );
    check_status(
        "suspend: false",
        over,
        &over.replace("00:00:09", "00:00:08"),
        expect![[
            r#"status.completionTime: Invalid value: "2020-01-01T00:00:08Z": field is immutable"#
        ]],
    );
    // A job that is resumed begins anew.
    let at = |time: &str, is: &str| {
        format!("{{startTime: '{time}', conditions: [{{type: Suspended, status: '{is}'}}]}}")
    };
    let (first, second) = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    check_status(
        "suspend: false",
        &at(first, "True"),
        &at(second, "False"),
        expect![[""]],
    );
    check_status(
        "suspend: false",
        &at(first, "False"),
        &at(second, "False"),
        expect![[
            r#"status.startTime: Invalid value: "2020-01-02T00:00:00Z": field is immutable for unsuspended job once set"#
        ]],
    );
}
