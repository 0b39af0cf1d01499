//! Templates that try to hang, to fill the memory or to overflow the stack: each ends with an error, soon.

use render::{Capabilities, Chart, Limits, NoCluster, ReleaseContext};
use serde_json::{Value as Json, json};

fn render(template: &str, values: &Json) -> Result<String, String> {
    let files = [
        (
            "Chart.yaml",
            "apiVersion: v2\nname: hostile\nversion: 1.0.0\n",
        ),
        ("templates/NOTES.txt", template),
    ];
    let chart =
        Chart::from_files(files.map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())));
    let release = ReleaseContext {
        name: "demo".into(),
        namespace: "apps".into(),
        revision: 1,
        is_install: true,
        is_upgrade: false,
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
        seed: [7; 32],
    };
    let limits = Limits {
        steps: 2_000_000,
        bytes: 128 << 20,
        ..Limits::default()
    };
    let result = render::template_within(
        limits,
        &chart.unwrap(),
        &release,
        values,
        &Capabilities::default(),
        &NoCluster,
    );
    result.map(|r| r.notes).map_err(|e| e.to_string())
}

fn check(template: &str, want: &str) {
    match render(template, &json!({})) {
        Ok(text) => panic!("{template:.200} rendered {} bytes", text.len()),
        Err(error) => assert!(error.contains(want), "{template:.200}: {error:.2000}"),
    }
}

const STEPS: &str = "rendering took more than 2000000 steps";
const BYTES: &str = "rendering made more than 134217728 bytes";
const NESTED: &str = "nested deeper than 500 levels or contains itself";
const DEPTH: &str = "exceeded maximum template depth (8000)";

#[test]
fn recursion_ends() {
    check(
        r#"{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}"#,
        "nested reference name: a",
    );
    check(
        r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}"#,
        DEPTH,
    );
    check(
        r#"{{ define "a" }}{{ if true }}{{ with 1 }}{{ template "b" $ }}{{ end }}{{ end }}{{ end }}{{ define "b" }}{{ range list 1 }}{{ include "a" $ }}{{ end }}{{ end }}{{ template "a" . }}"#,
        "",
    );
    let tpl = json!({ "t": "{{ tpl .Values.t . }}" });
    assert!(
        render("{{ tpl .Values.t . }}", &tpl)
            .unwrap_err()
            .contains(DEPTH)
    );
    let many: String = (0..20)
        .map(|i| {
            format!(
                "{{{{ define \"d{i}\" }}}}{{{{ include \"d{}\" . }}}}{{{{ end }}}}",
                (i + 1) % 20
            )
        })
        .collect();
    check(&format!("{many}{{{{ include \"d0\" . }}}}"), DEPTH);
}

#[test]
fn deep_syntax_ends() {
    let nest =
        |n: usize, open: &str, close: &str| format!("{}1{}", open.repeat(n), close.repeat(n));
    assert!(render(&format!("{{{{ {} }}}}", nest(900, "(", ")")), &json!({})).is_ok());
    check(
        &format!("{{{{ {} }}}}", nest(100_000, "(", ")")),
        "max expression depth exceeded",
    );
    check(
        &nest(100_000, "{{ if true }}", "{{ end }}"),
        "max expression depth exceeded",
    );
    check(
        &format!(
            "{{{{ if 0 }}}}{}{{{{ end }}}}",
            "{{ else if 0 }}".repeat(100_000)
        ),
        "max expression depth exceeded",
    );
    check(
        &format!("{{{{ {} }}}}", "not (".repeat(50_000)),
        "max expression depth exceeded",
    );
}

#[test]
fn loops_end() {
    check("{{ range 9000000000000000000 }}{{ end }}", STEPS);
    check(
        "{{ range until 1000000 }}{{ range until 1000000 }}x{{ end }}{{ end }}",
        STEPS,
    );
    check("{{ until 9000000000000000000 }}", STEPS);
    check(
        "{{ untilStep -9000000000000000000 9000000000000000000 1 }}",
        STEPS,
    );
    check("{{ seq 1 1 9000000000000000000 }}", STEPS);
    check(
        r#"{{ range until 100000 }}{{ regexMatch "(a|b|ab)*c[0-9]{1,50}" "abababab" }}{{ end }}"#,
        STEPS,
    );
    check(
        r#"{{ $l := list }}{{ range until 100000 }}{{ $l = append $l . }}{{ end }}"#,
        BYTES,
    );
    check(
        r#"{{ $l := until 3000 }}{{ range $l }}{{ $x := uniq $l }}{{ end }}"#,
        STEPS,
    );
}

#[test]
fn text_stays_in_bounds() {
    check(r#"{{ repeat 1000000000000 "x" }}"#, BYTES);
    check(
        r#"{{ $s := "x" }}{{ range until 64 }}{{ $s = print $s $s }}{{ end }}"#,
        BYTES,
    );
    check(
        r#"{{ $s := "x" }}{{ range until 64 }}{{ $s = replace "x" "xx" $s }}{{ end }}"#,
        BYTES,
    );
    check(
        r#"{{ $s := "\n\n" }}{{ range until 64 }}{{ $s = indent 1000 $s | replace " " "\n" }}{{ end }}"#,
        BYTES,
    );
    check(
        r#"{{ range until 1000000 }}0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789{{ end }}"#,
        "rendering ",
    );
    check(
        r#"{{ printf "%1000000d %1000000d" 1 2 | repeat 100 }}"#,
        BYTES,
    );
    check("{{ randAlphaNum 9000000000000000000 }}", BYTES);
    check("{{ randBytes 9000000000000000000 }}", BYTES);
    check(
        r#"{{ regexReplaceAll "" (repeat 100000 "x") (repeat 100000 "y") }}"#,
        BYTES,
    );
    check(r#"{{ join (repeat 1000000 "x") (until 100000) }}"#, BYTES);
    check(
        r#"{{ $s := repeat 100000 "x" }}{{ range until 100000 }}{{ $s | upper | lower | trim | title | quote | b64enc | sha256sum }}{{ end }}"#,
        "rendering ",
    );
}

#[test]
fn values_that_contain_themselves_end() {
    let own = r#"{{ $d := dict }}{{ $_ := set $d "self" $d }}"#;
    for use_of in [
        "$d",
        "toYaml $d",
        "toJson $d",
        "toToml $d",
        "deepCopy $d",
        "quote $d",
        "printf \"%s\" $d",
        "toYamlPretty $d",
        "join \",\" (list $d)",
        "html $d",
    ] {
        check(&format!("{own}{{{{ {use_of} }}}}"), NESTED);
    }
    check(
        &format!(
            r#"{own}{{{{ $e := dict }}}}{{{{ $_ := set $e "self" $e }}}}{{{{ deepEqual $d $e }}}}"#
        ),
        NESTED,
    );
    check(
        &format!(
            r#"{own}{{{{ $e := dict }}}}{{{{ $_ := set $e "self" $e }}}}{{{{ merge $d $e }}}}"#
        ),
        NESTED,
    );
    check(r#"{{ $_ := set . "self" . }}{{ toYaml . }}"#, NESTED);
    check(
        r#"{{ $d := dict }}{{ range until 100000 }}{{ $d = dict "d" $d }}{{ end }}{{ toYaml $d }}"#,
        NESTED,
    );
    let chain = r#"{{ $d := dict }}{{ $cur := $d }}{{ range until 100000 }}{{ $n := dict }}{{ $_ := set $cur "n" $n }}{{ $cur = $n }}{{ end }}"#;
    assert!(render(chain, &json!({})).is_ok());
}

#[test]
fn values_that_share_their_parts_end() {
    let wide = r#"{{ $d := dict }}{{ range until 60 }}{{ $d = dict "a" $d "b" $d }}{{ end }}"#;
    check(&format!("{wide}{{{{ $d }}}}"), "rendering ");
    check(&format!("{wide}{{{{ toYaml $d }}}}"), "rendering ");
    check(&format!("{wide}{{{{ $e := deepCopy $d }}}}"), "rendering ");
    check(
        &format!(
            "{wide}{{{{ $e := dict }}}}{{{{ range until 60 }}}}{{{{ $e = dict \"a\" $e \"b\" $e }}}}{{{{ end }}}}{{{{ deepEqual $d $e }}}}"
        ),
        STEPS,
    );
}

#[test]
fn data_from_text_stays_in_bounds() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
    ] {
        let values = json!({ "t": text });
        assert!(
            render(
                "{{ fromYaml .Values.t }}{{ fromJson .Values.t }}{{ fromToml .Values.t }}",
                &values
            )
            .is_ok()
        );
    }
    let odd = r#"{{ $d := dict }}{{ range $i := until 300 }}{{ $_ := set $d (printf "a%02d%s" (mod $i 100) (list "" "b" "0" | join "" | trunc (int (mod $i 3)))) $i }}{{ end }}{{ toYaml $d | len }}"#;
    assert!(render(odd, &json!({})).is_ok());
}

#[test]
fn broken_archives_are_refused() {
    for bytes in [
        &b""[..],
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        b"PK\x03\x04",
        &[0x1f; 4096],
    ] {
        assert!(Chart::from_tgz(bytes).is_err());
    }
}
