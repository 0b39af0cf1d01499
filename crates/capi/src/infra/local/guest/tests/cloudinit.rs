//! cloud-init documents.

use expect_test::expect;

use super::super::cloudinit;
use super::hardware;

#[test]
fn documents_are_read_as_cloud_init_reads_them() {
    let document = cloudinit::parse(
        "## template: jinja
#cloud-config
write_files:
- {path: /plain, content: 'name {{ ds.meta_data.local_hostname }} id {{ v1.instance_id }} gone {{ ds.meta_data.other }} open {{', permissions: '0600'}
- {path: /base64, encoding: b64, content: 'aGVs bG8='}
- {path: /gzip, encoding: gz+base64, content: H4sIAAAAAAAAA8tIzcnJBwCGphA2BQAAAA==}
- {path: /plain, append: true, content: ', more'}
- {path: /empty}
runcmd:
- [ls, -l, 1]
- a && kubeadm join --config=/x && echo done > /y
mounts: []
",
        &hardware(),
    )
    .unwrap();
    let text = |path: &str| document.files.text(path).unwrap_or("-").to_owned();
    expect![[r#"
        name m id local:///acme/m gone CI_MISSING_JINJA_VAR/other open {{, more
        hello
        hello

        -"#]]
    .assert_eq(
        &["/plain", "/base64", "/gzip", "/empty", "/missing"]
            .map(text)
            .join("\n"),
    );
    assert_eq!(document.files.permissions("/base64"), Some("0644"));
    expect![[r#"
        [
            Other(
                "ls -l 1",
            ),
            Other(
                "a",
            ),
            Kubeadm {
                verb: "join",
                config: "/x",
            },
            Echo {
                text: "done\n",
                path: "/y",
            },
        ]
        ["section mounts skipped, there is nothing to do on a simulated machine"]"#]]
    .assert_eq(&format!("{:#?}\n{:?}", document.commands, document.skipped));
}

#[test]
fn damaged_documents_are_errors() {
    let mut text = String::new();
    for body in [
        "write_files: [{content: x}]",
        "write_files: [{path: /a, encoding: rot13, content: x}]",
        "write_files: [{path: /a, encoding: b64, content: '!'}]",
        "write_files: [{path: /a, encoding: gz+b64, content: YQ==}]",
        "runcmd: {}",
        "runcmd: [{}]",
        "- 1",
    ] {
        let error = cloudinit::parse(&format!("#cloud-config\n{body}\n"), &hardware()).unwrap_err();
        text += &format!("{error}\n");
    }
    expect![[r#"
        write_files[0] has no path
        write_files[0] (/a): the encoding "rot13" is unknown
        write_files[0] (/a): the content is not base64
        write_files[0] (/a): the content is not gzip
        runcmd is no list
        runcmd[0] is neither text nor a list
        the bootstrap data is no mapping
    "#]]
    .assert_eq(&text);
}
