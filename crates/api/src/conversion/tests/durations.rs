//! Durations of v1beta1 as seconds of v1beta2, and back.

use std::fmt::Write as _;

use expect_test::expect;
use serde_json::json;

use crate::conversion::values;

#[test]
fn every_notation_of_a_duration() {
    let mut text = String::new();
    for said in [
        "10m",
        "10m0s",
        "0",
        "0s",
        "-0s",
        "+5s",
        "90s",
        "1h30m",
        "1.5h",
        "1m0.9s",
        "500ms",
        "1ns",
        ".5s",
        "1500µs",
        "596523h14m7s",
        "596523h14m8s",
        "99999999999999999999h",
        "-5m",
        "-1ns",
        "",
        "10",
        "m",
        "1x",
        "1 h",
        "1h ",
        "1.2.3s",
        "999999999999999999999s",
        "1e3s",
    ] {
        let there = values::seconds(json!(said), "spec.nodeDrainTimeout");
        match there {
            Ok(seconds) => {
                let back = values::duration(seconds.clone());
                let seconds = seconds.to_string();
                writeln!(
                    text,
                    "{:<24} → {seconds:>10} → {}",
                    format!("{said:?}"),
                    back.as_str().unwrap()
                )
                .unwrap();
            }
            Err(error) => writeln!(text, "{:<24}   {error}", format!("{said:?}")).unwrap(),
        }
    }
    expect![[r#"
        "10m"                    →        600 → 10m0s
        "10m0s"                  →        600 → 10m0s
        "0"                      →          0 → 0s
        "0s"                     →          0 → 0s
        "-0s"                    →          0 → 0s
        "+5s"                    →          5 → 5s
        "90s"                    →         90 → 1m30s
        "1h30m"                  →       5400 → 1h30m0s
        "1.5h"                   →       5400 → 1h30m0s
        "1m0.9s"                 →         60 → 1m0s
        "500ms"                  →          1 → 1s
        "1ns"                    →          1 → 1s
        ".5s"                    →          1 → 1s
        "1500µs"                 →          1 → 1s
        "596523h14m7s"           → 2147483647 → 596523h14m7s
        "596523h14m8s"           → 2147483647 → 596523h14m7s
        "99999999999999999999h"  → 2147483647 → 596523h14m7s
        "-5m"                      spec.nodeDrainTimeout: Invalid value: "-5m" must not be negative: leave the field out, or give a time such as 10m
        "-1ns"                     spec.nodeDrainTimeout: Invalid value: "-1ns" must not be negative: leave the field out, or give a time such as 10m
        ""                         spec.nodeDrainTimeout: Invalid value: "" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "10"                       spec.nodeDrainTimeout: Invalid value: "10" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "m"                        spec.nodeDrainTimeout: Invalid value: "m" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "1x"                       spec.nodeDrainTimeout: Invalid value: "1x" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "1 h"                      spec.nodeDrainTimeout: Invalid value: "1 h" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "1h "                      spec.nodeDrainTimeout: Invalid value: "1h " must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "1.2.3s"                   spec.nodeDrainTimeout: Invalid value: "1.2.3s" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "999999999999999999999s"   spec.nodeDrainTimeout: Invalid value: "999999999999999999999s" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
        "1e3s"                     spec.nodeDrainTimeout: Invalid value: "1e3s" must be a duration such as 90s, 10m or 1h30m: numbers with a unit
    "#]].assert_eq(&text);
}

#[test]
fn what_is_no_text_stays_for_the_schema_to_refuse() {
    for value in [json!(5), json!(null), json!([]), json!({"a": 1})] {
        assert_eq!(values::seconds(value.clone(), "a"), Ok(value.clone()));
    }
    assert_eq!(values::duration(json!("5s")), json!("5s"));
}
