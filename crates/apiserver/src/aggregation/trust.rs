//! What extension servers need to recognize whom the server passes on: the ConfigMap
//! `kube-system/extension-apiserver-authentication`.

use serde_json::{Value, json};

use super::PROXY_NAME;
use crate::auth::ClusterKeys;
use crate::first::server_user;
use crate::registry::{Call, Registry, Target, find_builtin};
use crate::status::Status;

pub(super) const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// Lists in the ConfigMap: what the server itself does.
const LISTS: &[(&str, &str)] = &[
    ("requestheader-allowed-names", PROXY_NAME),
    ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
    ("requestheader-group-headers", "X-Remote-Group"),
    ("requestheader-uid-headers", "X-Remote-Uid"),
    ("requestheader-username-headers", "X-Remote-User"),
];

/// Makes sure that the ConfigMap says what it must; what else is in it stays.
///
/// # Errors
/// When it cannot be written.
pub(crate) async fn ensure(registry: &Registry, keys: &ClusterKeys) -> Result<(), Status> {
    let resource = find_builtin("", "v1", "configmaps").ok_or_else(Status::no_such_resource)?;
    let target = |name: &str| Target::new(resource.clone(), NAMESPACE, name, "");
    let user = server_user();
    let mut call = Call::new(&user, "kube-apiserver");
    let known = match registry.get(&target(NAME)).await {
        Ok(known) => Some(known.into_value()),
        Err(status) if status.code == 404 => None,
        Err(status) => return Err(status),
    };
    let Some(mut object) = known else {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE}, "data": data(&Value::Null, keys),
        });
        return registry
            .create(&mut call, &target(""), object)
            .await
            .map(drop);
    };
    let wanted = data(&object["data"], keys);
    if object["data"] == wanted {
        return Ok(());
    }
    object["data"] = wanted;
    registry
        .update(&mut call, &target(NAME), object)
        .await
        .map(drop)
}

/// What is known, with everything that must be in it.
fn data(known: &Value, keys: &ClusterKeys) -> Value {
    let mut data = match known {
        Value::Object(_) => known.clone(),
        _ => json!({}),
    };
    for (key, bundle) in [
        ("client-ca-file", &keys.ca_cert_pem),
        (
            "requestheader-client-ca-file",
            &keys.front_proxy_ca_cert_pem,
        ),
    ] {
        let text = known[key].as_str().unwrap_or_default();
        if !text.contains(bundle.trim()) {
            // What others wrote may end without the end of a line.
            let end = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            data[key] = format!("{text}{end}{bundle}").into();
        }
    }
    for (key, entry) in LISTS {
        let text = known[*key].as_str().unwrap_or("[]");
        let mut list: Vec<String> = serde_json::from_str(text).unwrap_or_default();
        if !list.iter().any(|known| known == entry) {
            list.push((*entry).to_owned());
            data[*key] = json!(list).to_string().into();
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays() {
        let keys = ClusterKeys::generate("test", "2026-04-22T12:00:00Z".parse().unwrap()).unwrap();
        let whole = data(&Value::Null, &keys);
        assert_eq!(data(&whole, &keys), whole);
        let changed = json!({
            "client-ca-file": "another", "requestheader-allowed-names": "[\"another\"]",
            "requestheader-group-headers": "no list", "theirs": "stays",
        });
        let merged = data(&changed, &keys);
        assert_eq!(
            merged["client-ca-file"],
            format!("another\n{}", keys.ca_cert_pem)
        );
        assert_eq!(
            merged["requestheader-allowed-names"],
            r#"["another","front-proxy-client"]"#
        );
        assert_eq!(
            merged["requestheader-group-headers"],
            r#"["X-Remote-Group"]"#
        );
        assert_eq!(merged["theirs"], "stays");
        assert_eq!(data(&merged, &keys), merged);
    }
}
