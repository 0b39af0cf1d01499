//! Two machines that could initialize a cluster.

use expect_test::expect;

use super::super::plan;
use super::{CONTROL_PLANE, certified};
use crate::testing::now;

const FREE: &str = "{}";
const OURS: &str = "{lock: {metadata: {name: hello-lock, namespace: acme}, data: {lock-information: '{\"machineName\":\"m\"}'}}, is_lock_held: true}";
/// The other machine.
const OTHER: &str = "{config: {metadata: {name: other}}, machine: {metadata: {name: other}}}";
const GONE: &str = "is_lock_held: false";
const UNREADABLE: &str =
    "config: {spec: {files: [{path: /a, contentFrom: {secret: {name: gone, key: k}}}]}}";

/// The plans of both machines in a world.
fn both(what: &str, layers: &[&str]) -> String {
    let first = [&[CONTROL_PLANE], layers].concat();
    let second = [&[CONTROL_PLANE, OTHER], layers].concat();
    let [m, other] =
        [first, second].map(|layers| plan::plan(&certified(&layers), now()).to_string());
    format!(
        "--- {what}\nm: {}\nother: {}\n",
        m.trim_end(),
        other.trim_end()
    )
}

#[test]
fn one_of_two_machines_gets_the_lock() {
    let text = [
        both("both ask; whose object is created first has it", &[FREE]),
        both("m has it", &[OURS]),
        both("m is gone", &[OURS, GONE]),
        both("neither can boot: no lock is taken", &[FREE, UNREADABLE]),
        both("m cannot boot: it gives the lock back", &[OURS, UNREADABLE]),
    ];
    expect![[r#"
        --- both ask; whose object is created first has it
        m: create ConfigMap acme/hello-lock
        wait NotAvailable: Taking the lock of the machine that initializes the cluster
        other: create ConfigMap acme/hello-lock
        wait NotAvailable: Taking the lock of the machine that initializes the cluster
        --- m has it
        m: apply Secret acme/m
        other: wait NotAvailable: Waiting for Machine m to initialize the control plane
        --- m is gone
        m: apply Secret acme/m
        other: delete ConfigMap acme/hello-lock
        wait NotAvailable: Waiting for Machine m to initialize the control plane
        --- neither can boot: no lock is taken
        m: wait InternalError: file /a: Secret gone does not exist
        other: wait InternalError: file /a: Secret gone does not exist
        --- m cannot boot: it gives the lock back
        m: delete ConfigMap acme/hello-lock
        wait InternalError: file /a: Secret gone does not exist
        other: wait InternalError: file /a: Secret gone does not exist
    "#]]
    .assert_eq(&text.concat());
}
