//! Releases in Helm's storage: a Secret for each revision whose data is the release as JSON, compressed and encoded, so that
//! `helm ls`, `history`, `get` and `rollback` work on what was installed here, and this engine on what Helm installed.

use crate::chart::{Chart, File, Metadata};
use crate::helm::Hook;
use crate::values::Values;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// `type` of the Secret.
pub const SECRET_TYPE: &str = "helm.sh/release.v1";

/// Bytes of the JSON of a release. A Secret holds at most 1 MiB, so this is far beyond what compression makes of that.
const MAX_RELEASE: u64 = 256 << 20;

/// Labels that the storage itself sets.
const SYSTEM_LABELS: [&str; 6] = [
    "name",
    "owner",
    "status",
    "version",
    "createdAt",
    "modifiedAt",
];

/// State of a revision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Nobody knows.
    #[default]
    Unknown,
    /// Installed.
    Deployed,
    /// Removed, but its history is kept.
    Uninstalled,
    /// Replaced by a later revision.
    Superseded,
    /// It did not work.
    Failed,
    /// Being removed.
    Uninstalling,
    /// Being installed for the first time.
    PendingInstall,
    /// Being upgraded to.
    PendingUpgrade,
    /// Being rolled back to.
    PendingRollback,
}

impl Status {
    /// As it is written in labels and shown by `helm ls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Deployed => "deployed",
            Self::Uninstalled => "uninstalled",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::Uninstalling => "uninstalling",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
        }
    }

    /// True while an operation is under way.
    pub fn is_pending(self) -> bool {
        matches!(
            self,
            Self::PendingInstall | Self::PendingUpgrade | Self::PendingRollback
        )
    }
}

/// What happened to a release, and when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Info {
    /// Time of revision 1.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub first_deployed: Option<Timestamp>,
    /// Time of this revision.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub last_deployed: Option<Timestamp>,
    /// Time of its removal.
    #[serde(deserialize_with = "time", skip_serializing_if = "Option::is_none")]
    pub deleted: Option<Timestamp>,
    /// A sentence, such as "Install complete".
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// State.
    pub status: Status,
    /// The rendered notes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// Helm writes a missing time as an empty text or as year 1.
pub(crate) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    match text.as_deref() {
        None | Some("" | "0001-01-01T00:00:00Z") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// One revision of a release.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Release {
    /// Name of the release.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What happened to it.
    pub info: Info,
    /// The chart that was installed.
    #[serde(serialize_with = "write_chart", deserialize_with = "read_chart")]
    pub chart: Chart,
    /// The values that the user gave.
    #[serde(
        deserialize_with = "nullable",
        skip_serializing_if = "Values::is_empty"
    )]
    pub config: Values,
    /// The rendered objects.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub manifest: String,
    /// The hooks.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Number of the revision, from 1.
    pub version: u32,
    /// Namespace that it is installed in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The user's own labels; they are stored as labels of the Secret.
    #[serde(skip)]
    pub labels: BTreeMap<String, String>,
    /// How its objects were applied: `ssa` (on the server) or `csa` (by the client, the default if empty).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub apply_method: String,
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A chart as the storage holds it. Charts inside it are not stored: the manifest has their objects.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredChart {
    metadata: Option<Metadata>,
    lock: Option<Json>,
    templates: Option<Vec<StoredFile>>,
    values: Option<Values>,
    /// In base64.
    schema: Option<String>,
    /// Helm wants a time here.
    #[serde(skip_deserializing)]
    schemamodtime: &'static str,
    files: Option<Vec<StoredFile>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredFile {
    name: String,
    #[serde(skip_deserializing)]
    modtime: &'static str,
    /// In base64.
    data: String,
}

const NO_TIME: &str = "0001-01-01T00:00:00Z";

fn stored(files: &[File]) -> Option<Vec<StoredFile>> {
    let file = |f: &File| StoredFile {
        name: f.name.clone(),
        modtime: NO_TIME,
        data: STANDARD.encode(&f.data),
    };
    Some(files.iter().map(file).collect())
}

fn write_chart<S: Serializer>(chart: &Chart, serializer: S) -> Result<S::Ok, S::Error> {
    StoredChart {
        metadata: Some(chart.metadata.clone()),
        lock: chart.lock.clone(),
        templates: stored(&chart.templates),
        values: Some(chart.values.clone()),
        schema: chart.schema.as_ref().map(|s| STANDARD.encode(s)),
        schemamodtime: NO_TIME,
        files: stored(&chart.files),
    }
    .serialize(serializer)
}

fn read_chart<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chart, D::Error> {
    let stored: StoredChart = nullable(deserializer)?;
    let data = |text: String| STANDARD.decode(text).map_err(serde::de::Error::custom);
    let files = |files: Option<Vec<StoredFile>>| -> Result<Vec<File>, D::Error> {
        files
            .unwrap_or_default()
            .into_iter()
            .map(|f| {
                Ok(File {
                    name: f.name,
                    data: data(f.data)?,
                })
            })
            .collect()
    };
    Ok(Chart {
        metadata: stored.metadata.unwrap_or_default(),
        lock: stored.lock,
        values: stored.values.unwrap_or_default(),
        schema: stored.schema.map(data).transpose()?,
        templates: files(stored.templates)?,
        files: files(stored.files)?,
        dependencies: Vec::new(),
    })
}

/// What is wrong with a stored release.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not in base64.
    #[error("release data is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// Not compressed, or larger than any release.
    #[error("release data cannot be decompressed: {0}")]
    Gzip(#[from] std::io::Error),
    /// Not the JSON of a release.
    #[error("release data is no release: {0}")]
    Json(#[from] serde_json::Error),
    /// The Secret has no release in it.
    #[error("secret {0:?} has no data key \"release\"")]
    NoData(String),
}

impl Release {
    /// Name of the Secret that holds this revision.
    pub fn secret_name(&self) -> String {
        secret_name(&self.name, self.version)
    }

    /// The revision as a Secret. `now` is written as the time of its creation, or of its change if `changed`.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_secret(&self, now: Timestamp, changed: bool) -> Result<Json, Error> {
        let mut labels = self.labels.clone();
        labels.retain(|key, _| !SYSTEM_LABELS.contains(&key.as_str()));
        let moment = if changed { "modifiedAt" } else { "createdAt" };
        for (key, value) in [
            (moment, now.as_second().to_string()),
            ("name", self.name.clone()),
            ("owner", "helm".into()),
            ("status", self.info.status.as_str().into()),
            ("version", self.version.to_string()),
        ] {
            labels.insert(key.into(), value);
        }
        Ok(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": self.secret_name(), "namespace": self.namespace, "labels": labels },
            "type": SECRET_TYPE,
            "data": { "release": STANDARD.encode(encode(self)?) },
        }))
    }

    /// Reads a revision from its Secret.
    ///
    /// # Errors
    /// When the Secret holds no release.
    pub fn from_secret(secret: &Json) -> Result<Self, Error> {
        let name = || {
            secret
                .pointer("/metadata/name")
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_string()
        };
        let data = secret
            .pointer("/data/release")
            .and_then(Json::as_str)
            .ok_or_else(|| Error::NoData(name()))?;
        let mut release = decode(&STANDARD.decode(data)?)?;
        if let Some(labels) = secret.pointer("/metadata/labels").and_then(Json::as_object) {
            let own = labels
                .iter()
                .filter(|(k, _)| !SYSTEM_LABELS.contains(&k.as_str()));
            release.labels = own
                .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_string())))
                .collect();
        }
        Ok(release)
    }
}

/// Name of the Secret that holds a revision.
pub fn secret_name(release: &str, version: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

/// Encodes a release as the bytes of the Secret's data: JSON, gzip, base64. (In JSON, the Secret's data is base64 of that.)
///
/// # Errors
/// When it cannot be written.
pub fn encode(release: &Release) -> Result<Vec<u8>, Error> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&serde_json::to_vec(release)?)?;
    Ok(STANDARD.encode(gzip.finish()?).into_bytes())
}

/// Decodes the bytes of the Secret's data.
///
/// # Errors
/// When they are no release.
pub fn decode(data: &[u8]) -> Result<Release, Error> {
    let packed = STANDARD.decode(data)?;
    // Releases from before compression are plain JSON.
    if !packed.starts_with(&[0x1f, 0x8b, 0x08]) {
        return Ok(serde_json::from_slice(&packed)?);
    }
    let mut json = Vec::new();
    MultiGzDecoder::new(packed.as_slice())
        .take(MAX_RELEASE)
        .read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helm::HookEvent;

    #[test]
    fn a_release_survives_its_secret() {
        let files = [
            (
                "Chart.yaml",
                "apiVersion: v2\nname: web\nversion: 1.2.3\nappVersion: 1.10\n",
            ),
            ("values.yaml", "a: {b: 1}\n"),
            ("values.schema.json", "{}"),
            ("templates/a.yaml", "x: {{ .Values.a.b }}\n"),
            ("README.md", "# web\n"),
        ];
        let chart =
            Chart::from_files(files.map(|(n, d)| (n.to_string(), d.as_bytes().to_vec()))).unwrap();
        let release = Release {
            name: "demo".into(),
            namespace: "apps".into(),
            version: 3,
            info: Info {
                first_deployed: Some("2026-01-02T03:04:05Z".parse().unwrap()),
                status: Status::PendingUpgrade,
                description: "Preparing upgrade".into(),
                ..Info::default()
            },
            chart,
            config: serde_json::json!({"x": null}).as_object().cloned().unwrap(),
            manifest: "---\n# Source: web/templates/a.yaml\nx: 1\n".into(),
            hooks: vec![Hook {
                name: "h".into(),
                events: vec![HookEvent::PreInstall],
                weight: -5,
                ..Hook::default()
            }],
            labels: BTreeMap::from([("team".into(), "a".into())]),
            apply_method: "ssa".into(),
        };
        let secret = release
            .to_secret("2026-01-02T03:04:05Z".parse().unwrap(), false)
            .unwrap();
        assert_eq!(secret["metadata"]["name"], "sh.helm.release.v1.demo.v3");
        assert_eq!(
            secret["metadata"]["labels"],
            serde_json::json!({
                "createdAt": "1767323045", "name": "demo", "owner": "helm", "status": "pending-upgrade", "team": "a", "version": "3",
            })
        );
        let back = Release::from_secret(&secret).unwrap();
        assert_eq!(
            serde_json::to_value(&back).unwrap(),
            serde_json::to_value(&release).unwrap()
        );
        assert_eq!(back.labels, release.labels);
        assert_eq!(back.chart.metadata.app_version, "1.1");
    }

    #[test]
    fn what_helm_writes_is_read() {
        let json = r#"{"name":"demo","info":{"first_deployed":"2026-01-02T03:04:05.678901234+01:00",
            "last_deployed":"2026-01-02T03:04:05.678901234Z","deleted":"","description":"Install complete","status":"deployed"},
            "chart":{"metadata":{"name":"web","version":"1.2.3","apiVersion":"v2"},"lock":null,
            "templates":[{"name":"templates/a.yaml","data":"eDogMQo="}],"values":null,"schema":null,"files":null},
            "manifest":"---\nx: 1\n","hooks":[{"name":"h","kind":"Job","path":"web/templates/h.yaml","manifest":"kind: Job",
            "events":["pre-install","test"],"last_run":{"started_at":"","completed_at":"","phase":""},
            "delete_policies":["before-hook-creation"]}],"version":1,"namespace":"apps"}"#;
        let release = decode(STANDARD.encode(json).as_bytes()).unwrap();
        assert_eq!(release.info.status, Status::Deployed);
        assert_eq!(
            release.hooks[0].events,
            [HookEvent::PreInstall, HookEvent::Test]
        );
        assert_eq!(release.chart.templates[0].data, b"x: 1\n");
    }

    #[test]
    fn rubbish_is_refused() {
        for data in ["", "!", "AAAA", "H4sIAAAA"] {
            assert!(decode(data.as_bytes()).is_err(), "{data}");
        }
    }
}
