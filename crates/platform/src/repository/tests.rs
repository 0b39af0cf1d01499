//! Indexes and charts from text, directories and a web server that does not answer.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::{FetchError, Fetched, Index, Missing, fetch};

const BASE: &str = "https://charts.acme.example/stable";

fn check_index(yaml: &str, expect: &Expect) {
    let text = match Index::parse(yaml, BASE) {
        Ok(index) => index
            .entries
            .values()
            .flatten()
            .map(|v| format!("{} {} {} {:?}\n", v.name, v.version, v.url, v.digest))
            .collect(),
        Err(why) => format!("error: {why}\n"),
    };
    expect.assert_eq(&text);
}

#[test]
fn urls_are_relative_to_the_repository() {
    check_index(
        "entries: {a: [{version: 1.0.0, urls: [a.tgz]}, {version: 1.1, urls: ['https://x.example/a.tgz'], digest: AB}]}",
        &expect![[r#"
            a 1.0.0 https://charts.acme.example/stable/a.tgz None
            a 1.1 https://x.example/a.tgz Some("ab")
        "#]],
    );
}

#[test]
fn what_is_no_index_says_so() {
    check_index(
        "hello",
        &expect![[r#"
        error: it has no map "entries" of charts
    "#]],
    );
    check_index(
        "entries: [1]",
        &expect![[r#"
        error: it has no map "entries" of charts
    "#]],
    );
    check_index(
        "entries: {a: 1, b: [{version: 1}], c: [{name: d, version: 1, urls: [x]}]}",
        &expect![[r#""#]],
    );
}

#[test]
fn versions_are_found_with_and_without_v() {
    let index = Index::parse(
        "entries: {a: [{version: 1.0.0, urls: [a]}, {version: v2.0.0, urls: [b]}]}",
        BASE,
    )
    .unwrap();
    let find = |name, version| index.find(name, version).map(|v| v.version.clone());
    assert_eq!(find("a", "v1.0.0").as_deref(), Ok("1.0.0"));
    assert_eq!(find("a", "v2.0.0").as_deref(), Ok("v2.0.0"));
    assert_eq!(find("a", "2.0.0"), Err(Missing::Version));
    assert_eq!(find("b", "1.0.0"), Err(Missing::Chart));
    assert_eq!(
        Index::default().find("a", "1.0.0"),
        Err(Missing::Everything)
    );
}

fn chart_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let chart = directory.path().join("hello");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(
        chart.join("Chart.yaml"),
        "apiVersion: v2\nname: hello\nversion: 0.1.0\nappVersion: 1.5\n",
    )
    .unwrap();
    std::fs::write(chart.join("templates/cm.yaml"), "kind: ConfigMap\n").unwrap();
    std::fs::write(directory.path().join("README.md"), "no chart").unwrap();
    directory
}

#[tokio::test]
async fn a_directory_of_charts_is_a_repository() {
    let directory = chart_directory();
    let url = format!("file://{}", directory.path().display());
    let http = fetch::client();
    let (index, before) = fetch::index(&http, &url).await.unwrap();
    let version = index.find("hello", "0.1.0").unwrap();
    assert_eq!(
        (version.app_version.as_str(), version.url.as_str()),
        ("1.5", format!("{url}/hello").as_str())
    );
    let (chart, _) = fetch::chart(&http, &version.url, None).await.unwrap();
    assert_eq!((chart.name(), chart.templates.len()), ("hello", 1));
    std::fs::write(
        directory.path().join("hello/Chart.yaml"),
        "apiVersion: v2\nname: hello\nversion: 0.2.0\n",
    )
    .unwrap();
    let (_, after) = fetch::index(&http, &url).await.unwrap();
    assert_ne!(before, after);
}

#[tokio::test]
async fn what_is_not_there_or_wrong_is_told_apart() {
    let http = fetch::client();
    let directory = chart_directory();
    let root = directory.path().display().to_string();
    std::fs::write(directory.path().join("bad.tgz"), "no archive").unwrap();
    let missing = fetch::index(&http, &format!("file://{root}/nowhere"))
        .await
        .unwrap_err();
    assert!(matches!(missing, FetchError::NotFound(_)), "{missing}");
    let bad = fetch::chart(&http, &format!("file://{root}/bad.tgz"), None)
        .await
        .unwrap_err();
    assert!(matches!(bad, FetchError::Invalid(_)), "{bad}");
    let digest = fetch::chart(&http, &format!("file://{root}/bad.tgz"), Some("00"))
        .await
        .unwrap_err();
    assert!(digest.to_string().contains("its SHA-256 is"), "{digest}");
    let scheme = fetch::index(&http, "ftp://x").await.unwrap_err();
    expect![[r#"ftp://x: scheme "ftp" is not supported: want https, http or file"#]]
        .assert_eq(&scheme.to_string());
}

#[test]
fn only_what_is_ready_has_a_value() {
    assert_eq!(Fetched::<u8>::Loading.value(), None);
    let ready = Fetched::Ready {
        value: Arc::new(1),
        stale: Some(FetchError::NotFound(String::new())),
    };
    assert_eq!(ready.value(), Some(&Arc::new(1)));
}
