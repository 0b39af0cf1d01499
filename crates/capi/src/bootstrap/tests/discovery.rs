//! How machines find their cluster: tokens, and what users say themselves.

use expect_test::expect;
use runtime::{Outcome, Reconciler};

use super::super::{KubeadmConfigController, plan};
use super::{INITIALIZED, TOKEN, certified, check};
use crate::testing::now;

#[test]
fn machines_that_join_get_a_token() {
    check(
        &[INITIALIZED],
        &expect![[r#"
            act MakeToken { missing: Object {"apiServerEndpoint": String("127.0.0.1:6443"), "caCertHashes": Array [String("sha256:5021ef637508cccb364d6f37247e2b4e1e56f034c8777d36a4a9a7414ae7dc59")]} }
            wait NotAvailable: Making a bootstrap token
        "#]],
    );
    check(
        &[INITIALIZED, "link: NotYet"],
        &expect![[r#"
        wait NotAvailable: Remote connection not established yet
    "#]],
    );
    check(
        &[INITIALIZED, TOKEN],
        &expect![[r#"
        apply Secret acme/m
    "#]],
    );
}

#[test]
fn tokens_are_prolonged_until_the_machine_has_joined() {
    let done = "config: {status: {initialization: {dataSecretCreated: true}, dataSecretName: m}}";
    check(
        &[INITIALIZED, TOKEN, done],
        &expect![[r#"
        act ProlongToken
        again in 300s
    "#]],
    );
    check(
        &[
            INITIALIZED,
            TOKEN,
            done,
            "token_expires: '2026-01-02T03:19:00Z'",
        ],
        &expect![[r#"
        again in 300s
    "#]],
    );
    check(
        &[
            INITIALIZED,
            TOKEN,
            done,
            "token_expires: '2026-01-02T03:10:00Z'",
        ],
        &expect![[r#"
        act ProlongToken
        again in 300s
    "#]],
    );
    check(
        &[
            INITIALIZED,
            TOKEN,
            done,
            "machine: {status: {nodeRef: {name: m}}}",
        ],
        &expect![[""]],
    );
}

#[test]
fn data_of_a_pool_is_written_anew_with_another_token() {
    const POOL: &str = "
is_for_pool: true
is_token_there: true
config: {status: {initialization: {dataSecretCreated: true}, dataSecretName: m}}
machine: {spec: {bootstrap: {dataSecretName: m}}}
";
    let plan = |more: &str| {
        let world = certified(&[INITIALIZED, TOKEN, POOL, more]);
        plan::plan(&world, now()).to_string()
    };
    let plans = [
        plan("token_expires: '2026-01-02T03:14:00Z'"),
        plan("token_expires: '2026-01-02T03:10:00Z'"),
        plan("{link: NotYet}"),
        plan("{}"),
        plan("is_token_there: false"),
        plan("machine: {metadata: {deletionTimestamp: '2026-01-02T03:04:00Z'}}"),
    ];
    expect![[r#"
        apply Secret acme/m
        again in 300s
        ---
        act MakeToken { missing: Object {} }
        wait NotAvailable: Making a bootstrap token
        again in 300s
        ---
        apply Secret acme/m
        again in 300s
        ---
        apply Secret acme/m
        again in 300s
        ---
        act ProlongToken
        apply Secret acme/m
        again in 300s
        ---
        again in 300s
    "#]]
    .assert_eq(&plans.join("---\n"));
}

#[test]
fn what_users_say_of_the_discovery_stays() {
    let planned = |said: &str| {
        let said = format!(
            "config: {{spec: {{joinConfiguration: {{discovery: {{bootstrapToken: {said}}}}}}}}}"
        );
        let plan = plan::plan(&certified(&[INITIALIZED, &said]), now()).to_string();
        let lines = plan
            .lines()
            .filter(|line| line.contains("iscovery") || line.contains("MakeToken"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    expect![[r#"
        act MakeToken { missing: Object {"caCertHashes": Array [String("sha256:5021ef637508cccb364d6f37247e2b4e1e56f034c8777d36a4a9a7414ae7dc59")]} }
    "#]]
    .assert_eq(&planned("{apiServerEndpoint: 'proxy:443'}"));
    expect![[r#"
        act MakeToken { missing: Object {"apiServerEndpoint": String("127.0.0.1:6443")} }
    "#]]
    .assert_eq(&planned("{caCertHashes: ['sha256:00']}"));
    expect![[r#"
        act MakeToken { missing: Object {"apiServerEndpoint": String("127.0.0.1:6443")} }
    "#]]
    .assert_eq(&planned("{unsafeSkipCAVerification: true}"));
    expect![[r#"
        patch KubeadmConfig acme/m {"metadata":{"resourceVersion":null},"spec":{"joinConfiguration":{"discovery":{"bootstrapToken":{"apiServerEndpoint":"127.0.0.1:6443","caCertHashes":["sha256:5021ef637508cccb364d6f37247e2b4e1e56f034c8777d36a4a9a7414ae7dc59"]}}}}}
        wait NotAvailable: Completing the discovery
    "#]]
    .assert_eq(&planned("{token: abcdef.0123456789abcdef}"));
}

#[test]
fn data_of_a_pool_is_there_when_its_own_config_has_written_it() {
    // The pool boots from what another config wrote.
    const POOL: &str = "{is_for_pool: true, machine: {spec: {bootstrap: {dataSecretName: other}}}}";
    let name = |layers: &[&str]| {
        let world = certified(&[&[INITIALIZED, POOL], layers].concat());
        let plan = plan::plan(&world, now());
        let status = KubeadmConfigController::status(&world, &plan, &Outcome::default(), now());
        status.unwrap()["dataSecretName"].clone()
    };
    assert_eq!(name(&[]), serde_json::Value::Null);
    assert_eq!(name(&[TOKEN, "is_token_there: true"]), "m");
}
