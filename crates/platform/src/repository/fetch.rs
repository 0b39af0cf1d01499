//! Reading indexes and charts from web servers and directories, within limits of size and time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use render::Chart;
use reqwest::StatusCode;
use sha2::{Digest, Sha256};
use url::Url;

use super::FetchError;
use super::index::{Index, Version};

/// Bytes of an index.
const MAX_INDEX: u64 = 32 << 20;
/// Bytes of a packed chart.
const MAX_ARCHIVE: u64 = 32 << 20;
/// Bytes, files and directory levels of an unpacked chart.
const MAX_CHART: u64 = 64 << 20;
const MAX_FILES: usize = 5_000;
const MAX_DEPTH: usize = 16;
/// Charts in a directory.
const MAX_CHARTS: usize = 1_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(60);

type Found<T> = Result<(T, u64), FetchError>;

/// The client for all repositories.
pub(super) fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::limited(5))
        .user_agent(concat!("apiary/", env!("CARGO_PKG_VERSION")));
    builder.build().unwrap_or_default()
}

/// The index of the repository at `url`, which has no slash at its end.
pub(super) async fn index(http: &reqwest::Client, url: &str) -> Found<Index> {
    if let Some(directory) = directory(url)? {
        return blocking(move || read_directory(&directory)).await;
    }
    let address = format!("{url}/index.yaml");
    let bytes = get(http, &address, MAX_INDEX).await?;
    let base = url.to_owned();
    blocking(move || {
        let parsed = parse_index(&bytes, &base)
            .map_err(|why| FetchError::Invalid(format!("{address}: {why}")))?;
        Ok((parsed, hash(&bytes)))
    })
    .await
}

/// The chart at `url`: an archive, or a directory.
pub(super) async fn chart(http: &reqwest::Client, url: &str, digest: Option<&str>) -> Found<Chart> {
    let (address, digest) = (url.to_owned(), digest.map(str::to_owned));
    if let Some(path) = directory(url)? {
        return blocking(move || {
            let is_directory = path.is_dir();
            let files = if is_directory {
                read_files(&path)?
            } else {
                vec![]
            };
            if is_directory {
                let fingerprint = hash(&files);
                return Ok((
                    Chart::from_files(files).map_err(|e| invalid(&address, e))?,
                    fingerprint,
                ));
            }
            unpack(&address, &read_file(&path, MAX_ARCHIVE)?, digest.as_deref())
        })
        .await;
    }
    let bytes = get(http, url, MAX_ARCHIVE).await?;
    blocking(move || unpack(&address, &bytes, digest.as_deref())).await
}

fn unpack(address: &str, bytes: &[u8], digest: Option<&str>) -> Found<Chart> {
    let found = hex::encode(Sha256::digest(bytes));
    if let Some(wanted) = digest.filter(|wanted| **wanted != found) {
        return Err(invalid(
            address,
            format!("its SHA-256 is {found}, the index says {wanted}"),
        ));
    }
    Ok((
        Chart::from_tgz(bytes).map_err(|e| invalid(address, e))?,
        hash(bytes),
    ))
}

fn parse_index(bytes: &[u8], base: &str) -> Result<Index, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    Index::parse(text, base)
}

fn invalid(what: &str, why: impl std::fmt::Display) -> FetchError {
    FetchError::Invalid(format!("{what}: {why}"))
}

fn hash(what: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// The path of a `file:` URL; `None` for a web address.
fn directory(url: &str) -> Result<Option<PathBuf>, FetchError> {
    let parsed = Url::parse(url).map_err(|error| invalid(url, error))?;
    match parsed.scheme() {
        "http" | "https" => Ok(None),
        "file" => {
            let path = parsed.to_file_path();
            path.map(Some)
                .map_err(|()| invalid(url, "want file:/// and an absolute path"))
        }
        scheme => Err(invalid(
            url,
            format!("scheme {scheme:?} is not supported: want https, http or file"),
        )),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(FetchError::Invalid(format!("reading failed: {error}"))))
}

async fn get(http: &reqwest::Client, url: &str, max: u64) -> Result<Vec<u8>, FetchError> {
    let failed = |error: reqwest::Error| {
        let why = runtime::chain(&error.without_url());
        FetchError::Unreachable(format!("GET {url}: {why}"))
    };
    let mut response = http.get(url).send().await.map_err(failed)?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            return Err(FetchError::NotFound(format!("GET {url}: not found")));
        }
        status => {
            return Err(FetchError::Unreachable(format!(
                "GET {url}: the server answers {status}"
            )));
        }
    }
    let mut bytes = vec![];
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if (bytes.len() + chunk.len()) as u64 > max {
            return Err(FetchError::Invalid(format!(
                "{url} has more than {max} bytes"
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn io(path: &Path, error: &std::io::Error) -> FetchError {
    let text = format!("{}: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::NotFound => FetchError::NotFound(text),
        _ => FetchError::Unreachable(text),
    }
}

fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, FetchError> {
    let file = std::fs::File::open(path).map_err(|e| io(path, &e))?;
    let mut bytes = vec![];
    file.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| io(path, &e))?;
    if bytes.len() as u64 > max {
        return Err(invalid(
            &path.display().to_string(),
            format!("it has more than {max} bytes"),
        ));
    }
    Ok(bytes)
}

/// A directory's own index, or one made from the charts in it.
fn read_directory(directory: &Path) -> Found<Index> {
    let base = Url::from_file_path(directory)
        .map_err(|()| invalid(&directory.display().to_string(), "not absolute"))?;
    let base = base.as_str().trim_end_matches('/');
    let own = directory.join("index.yaml");
    if own.is_file() {
        let bytes = read_file(&own, MAX_INDEX)?;
        let index =
            parse_index(&bytes, base).map_err(|why| invalid(&own.display().to_string(), why))?;
        return Ok((index, hash(&bytes)));
    }
    let mut index = Index::default();
    for path in children(directory)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let metadata = if path.join("Chart.yaml").is_file() {
            let bytes = read_file(&path.join("Chart.yaml"), MAX_INDEX)?;
            render::yaml::from_str(&String::from_utf8_lossy(&bytes)).ok()
        } else if name.ends_with(".tgz") {
            let chart = Chart::from_tgz(&read_file(&path, MAX_ARCHIVE)?).ok();
            chart.and_then(|chart| serde_json::to_value(&chart.metadata).ok())
        } else {
            None
        };
        // What is no chart is somebody else's.
        let Some(mut version) = metadata.as_ref().map(Version::of_metadata) else {
            continue;
        };
        if version.name.is_empty() || version.version.is_empty() {
            continue;
        }
        version.url = format!("{base}/{name}");
        index.add(version);
        if index.entries.len() > MAX_CHARTS {
            return Err(invalid(
                &directory.display().to_string(),
                format!("more than {MAX_CHARTS} charts"),
            ));
        }
    }
    let fingerprint = hash(&format!("{index:?}"));
    Ok((index, fingerprint))
}

fn children(directory: &Path) -> Result<Vec<PathBuf>, FetchError> {
    let failed = |e: std::io::Error| io(directory, &e);
    let mut children = vec![];
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        children.push(entry.map_err(failed)?.path());
        if children.len() > MAX_FILES {
            return Err(invalid(
                &directory.display().to_string(),
                format!("more than {MAX_FILES} files"),
            ));
        }
    }
    children.sort();
    Ok(children)
}

/// The files of a chart's directory, by path inside it. Links are not followed: they could lead anywhere.
fn read_files(root: &Path) -> Result<Vec<(String, Vec<u8>)>, FetchError> {
    let mut files = vec![];
    let mut left = MAX_CHART;
    let mut todo = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = todo.pop() {
        for path in children(&directory)? {
            let kind = std::fs::symlink_metadata(&path).map_err(|e| io(&path, &e))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                todo.push((path, depth + 1));
            } else if kind.is_file() {
                let bytes = read_file(&path, left)?;
                left -= bytes.len() as u64;
                let inner = path.strip_prefix(root).unwrap_or(&path);
                let parts: Vec<_> = inner
                    .components()
                    .map(|c| c.as_os_str().to_string_lossy())
                    .collect();
                files.push((parts.join("/"), bytes));
            }
            if files.len() > MAX_FILES {
                return Err(invalid(
                    &root.display().to_string(),
                    format!("more than {MAX_FILES} files"),
                ));
            }
        }
    }
    files.sort();
    Ok(files)
}
