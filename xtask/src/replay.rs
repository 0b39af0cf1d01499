//! `cargo xtask replay`: sends the recorded requests to any server and prints what it answers differently.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::tools::Places;

use self::engine::{Answer, Request, Session, USER_AGENT};

#[path = "../../crates/apiserver/tests/it/replay/engine.rs"]
mod engine;

/// Arguments of `cargo xtask replay`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How the server is reached; the user must be in `system:masters`, because requests impersonate others
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Another context of the kubeconfig than its current one
    #[arg(long)]
    context: Option<String>,
    /// Only the files with these names, e.g. `lists`
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Write down what this server answers, in place of what was recorded
    #[arg(long)]
    record: bool,
}

/// Replays.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = Places::find()?.root.join("crates/apiserver/tests/replay");
    let server = Server::from_kubeconfig(&args.kubeconfig, args.context.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut differing = 0;
    for file in files(&folder)? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        if args.names.is_empty() || args.names.iter().any(|n| *n == name) {
            differing += runtime.block_on(args.file(&server, &file, &name))?;
        }
    }
    if differing > 0 {
        bail!("{differing} requests were answered differently");
    }
    Ok(())
}

impl Args {
    async fn file(&self, server: &Server, file: &Path, name: &str) -> Result<usize> {
        let text = std::fs::read_to_string(file)?;
        let requests = engine::parse(&text).map_err(|error| anyhow!(error))?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let namespace = format!("replay-{name}-{:x}", seconds % 0x1_0000);
        let mut session = Session::new(&namespace);
        for request in session.prelude() {
            let answer = server.send(&request).await?;
            if !matches!(answer.code, 201 | 409) {
                let text = String::from_utf8_lossy(&answer.body);
                bail!("making {namespace}: {} {text}", answer.code);
            }
        }
        let answers = file.with_extension("answers");
        let recorded = std::fs::read_to_string(&answers).unwrap_or_default();
        let recorded: BTreeMap<_, _> = engine::sections(&recorded).into_iter().collect();
        let mut new = String::new();
        let mut differing = 0;
        for request in &requests {
            let filled = session.fill(request);
            let filled = filled.map_err(|error| anyhow!("{}: {error}", request.name))?;
            let answer = server.send(&filled).await;
            let answer = answer.with_context(|| format!("{name}: {}", request.name))?;
            let found = session.note(request, &answer);
            let known = recorded.get(&request.name).map_or("", String::as_str);
            let difference = engine::difference(known, &found);
            if !self.record && !difference.is_empty() {
                println!("### {name}: {}\n{difference}", request.name);
                differing += 1;
            }
            new.push_str(&format!("### {}\n{}\n", request.name, found.trim_end()));
        }
        if self.record {
            std::fs::write(&answers, new)?;
        }
        let deletion = Request {
            method: "DELETE".into(),
            path: format!("/api/v1/namespaces/{namespace}"),
            ..Request::default()
        };
        server.send(&deletion).await?;
        println!(
            "{name}: {} requests, {differing} differences",
            requests.len()
        );
        Ok(differing)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "http") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

struct Server {
    url: String,
    token: Option<String>,
    client: reqwest::Client,
}

impl Server {
    fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let config: Value = serde_saphyr::from_str(&text)?;
        let context = context.or(config["current-context"].as_str());
        let context = context.ok_or_else(|| anyhow!("say which --context"))?;
        let context = &named(&config, "contexts", context)?["context"];
        let of = |list: &str, key: &str| -> Result<Value> {
            let name = context[key].as_str().unwrap_or_default();
            Ok(named(&config, list, name)?[key].clone())
        };
        let (cluster, user) = (of("clusters", "cluster")?, of("users", "user")?);
        let data = |from: &Value, key: &str| -> Result<Option<Vec<u8>>> {
            if let Some(data) = from[format!("{key}-data")].as_str() {
                return Ok(Some(STANDARD.decode(data)?));
            }
            let file = from[key].as_str();
            let bytes = file.map(|file| std::fs::read(path.with_file_name(file)));
            Ok(bytes.transpose()?)
        };
        let mut client = reqwest::Client::builder().user_agent(USER_AGENT).no_proxy();
        if let Some(ca) = data(&cluster, "certificate-authority")? {
            client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&ca)?);
        } else if cluster["insecure-skip-tls-verify"] == true {
            client = client.tls_danger_accept_invalid_certs(true);
        }
        let certificate = data(&user, "client-certificate")?;
        if let (Some(certificate), Some(key)) = (certificate, data(&user, "client-key")?) {
            let both = [certificate, b"\n".to_vec(), key].concat();
            client = client.identity(reqwest::Identity::from_pem(&both)?);
        }
        let server = cluster["server"].as_str();
        let url = server.ok_or_else(|| anyhow!("the cluster has no server"))?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            token: user["token"].as_str().map(str::to_owned),
            client: client.build()?,
        })
    }

    async fn send(&self, request: &Request) -> Result<Answer> {
        let method = match request.method.as_str() {
            "WATCH" => "GET",
            other => other,
        };
        let url = format!("{}{}", self.url, request.path);
        let mut sent = self.client.request(method.parse()?, url);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        if let Some(token) = &self.token {
            sent = sent.bearer_auth(token);
        }
        let answer = sent.body(request.body.clone()).send().await?;
        let headers = answer.headers();
        let text = |value: &reqwest::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        Ok(Answer {
            code: answer.status().as_u16(),
            content_type: headers.get("content-type").map(text).unwrap_or_default(),
            warnings: headers.get_all("warning").iter().map(text).collect(),
            body: answer.bytes().await?.to_vec(),
        })
    }
}

fn named<'a>(config: &'a Value, list: &str, name: &str) -> Result<&'a Value> {
    let mut entries = config[list].as_array().into_iter().flatten();
    let entry = entries.find(|entry| entry["name"] == name);
    entry.ok_or_else(|| anyhow!("the kubeconfig has no {name:?} among its {list}"))
}
