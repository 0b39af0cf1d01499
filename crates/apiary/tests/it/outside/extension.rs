//! An extension API server in another process, written in Go, used through the management cluster by kubectl.
//! `APIARY_GO_CLIENTS` names the program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use expect_test::expect;

use super::clients::go_clients;
use super::world::{Server, kubectl};

#[test]
fn kubectl_uses_what_an_extension_server_serves() {
    let (Some(program), Some(_)) = (go_clients(), kubectl()) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::ready(&folder.path().join("data"), &[]);
    let kubectl = server.kubectl();
    let mut extension = Command::new(program)
        .args(["extension"])
        .arg(&kubectl.kubeconfig)
        .arg("default")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(extension.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "available");
    let mut told = vec![];
    let mut ask = |args: &[&str]| {
        let answer = kubectl.ok(args);
        let lines: Vec<&str> = answer.trim_end().lines().map(str::trim_end).collect();
        told.push(format!(
            "$ kubectl {}\n{}\n",
            args.join(" "),
            lines.join("\n")
        ));
    };
    let fields = "custom-columns=NAME:.metadata.name,SERVICE:.spec.service.name,WHY:.status.conditions[0].reason";
    ask(&["get", "apiservice", "v1.story.example.com", "-o", fields]);
    ask(&["api-resources", "--api-group=story.example.com"]);
    ask(&["get", "greetings", "-o", "name"]);
    ask(&[
        "get",
        "gr",
        "hello",
        "-o",
        "jsonpath={.text} {.metadata.annotations}",
    ]);
    ask(&["explain", "greetings.text"]);
    ask(&["get", "--raw", "/apis/story.example.com/v1"]);
    expect![[r#"
        $ kubectl get apiservice v1.story.example.com -o custom-columns=NAME:.metadata.name,SERVICE:.spec.service.name,WHY:.status.conditions[0].reason
        NAME                   SERVICE     WHY
        v1.story.example.com   extension   Passed
        $ kubectl api-resources --api-group=story.example.com
        NAME        SHORTNAMES   APIVERSION             NAMESPACED   KIND
        greetings   gr           story.example.com/v1   true         Greeting
        $ kubectl get greetings -o name
        greeting.story.example.com/goodbye
        greeting.story.example.com/hello
        $ kubectl get gr hello -o jsonpath={.text} {.metadata.annotations}
        hello apiary-admin {"groups":"system:masters,system:authenticated","secret":""}
        $ kubectl explain greetings.text
        GROUP:      story.example.com
        KIND:       Greeting
        VERSION:    v1

        FIELD: text <string>


        DESCRIPTION:
            What is said.
        $ kubectl get --raw /apis/story.example.com/v1
        {"apiVersion":"v1","groupVersion":"story.example.com/v1","kind":"APIResourceList","resources":[{"kind":"Greeting","name":"greetings","namespaced":true,"shortNames":["gr"],"singularName":"greeting","verbs":["get","list"]}]}
    "#]]
    .assert_eq(&told.concat());
    let refusal = kubectl.refused(&["get", "greetings", "--as=nobody"]);
    assert!(
        refusal.contains("User \"nobody\" cannot list resource \"greetings\""),
        "{refusal}"
    );
    // It ends, and the group with it.
    drop(extension.stdin.take());
    assert_eq!(said.next().unwrap().unwrap(), "gone");
    assert!(extension.wait().unwrap().success());
    let missing = kubectl.refused(&["get", "--raw", "/apis/story.example.com/v1"]);
    assert!(missing.contains("NotFound"), "{missing}");
    assert!(server.down());
}
