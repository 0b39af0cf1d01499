//! Chart archives: gzip and tar, with the checks of Helm.

use super::{File, LoadError};
use crate::sprig::clean;
use flate2::read::MultiGzDecoder;
use std::io::Read;

/// Bytes of all files together.
const MAX_CHART: u64 = 100 << 20;
/// Bytes of one file.
const MAX_FILE: u64 = 5 << 20;
/// Files in one archive.
const MAX_FILES: usize = 50_000;

const BOM: &[u8] = &[0xEF, 0xBB, 0xBF];

fn refuse<T>(why: impl Into<String>) -> Result<T, LoadError> {
    Err(LoadError(why.into()))
}

/// Reads the files of an archive, without their first directory.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<File>, LoadError> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return refuse("gzip: invalid header");
    }
    // The tar format pads; twice the limit of the content is more than any archive within the limits has.
    let mut tar = tar::Archive::new(MultiGzDecoder::new(bytes).take(MAX_CHART * 2));
    let mut files = Vec::new();
    let mut left = MAX_CHART;
    let io = |e: std::io::Error| LoadError(format!("cannot read chart archive: {e}"));
    for entry in tar.entries().map_err(io)? {
        let mut entry = entry.map_err(io)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let inner = inner_path(&name)?;
        let size = entry.size();
        if size > left {
            return refuse(format!(
                "decompressed chart is larger than the maximum size {MAX_CHART}"
            ));
        }
        if size > MAX_FILE {
            return refuse(format!(
                "decompressed chart file {name:?} is larger than the maximum file size {MAX_FILE}"
            ));
        }
        let mut data = Vec::new();
        entry
            .by_ref()
            .take(left.min(MAX_FILE))
            .read_to_end(&mut data)
            .map_err(io)?;
        left -= data.len() as u64;
        if files.len() >= MAX_FILES {
            return refuse(format!("chart archive has more than {MAX_FILES} files"));
        }
        let data = data.strip_prefix(BOM).map(<[u8]>::to_vec).unwrap_or(data);
        files.push(File { name: inner, data });
    }
    if files.is_empty() {
        return refuse("no files in chart archive");
    }
    Ok(files)
}

/// The path inside the chart.
fn inner_path(name: &str) -> Result<String, LoadError> {
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (first, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let rest = rest.replace(delimiter, "/");
    if rest.starts_with('/') {
        return refuse("chart illegally contains absolute paths");
    }
    let cleaned = clean(&rest);
    if cleaned == "." {
        return refuse(format!(
            "chart illegally contains content outside the base directory: {name:?}"
        ));
    }
    if cleaned.starts_with("..") {
        return refuse("chart illegally references parent directory");
    }
    if matches!(cleaned.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic()) {
        return refuse("chart contains illegally named files");
    }
    if first == "Chart.yaml" {
        return refuse("chart yaml not in base directory");
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for (name, data) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            // Written by hand: the library refuses paths that leave the archive.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, *data).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn archives_are_read() {
        let chart: &[u8] = b"\xEF\xBB\xBFapiVersion: v2\nname: web\nversion: 1.0.0\n";
        let inner = pack(&[(
            "db/Chart.yaml",
            b"apiVersion: v2\nname: db\nversion: 2.0.0\n",
        )]);
        let packed = pack(&[
            ("web/Chart.yaml", chart),
            ("web/templates/a.yaml", b"a: 1\n"),
            ("web/charts/db-2.0.0.tgz", &inner),
        ]);
        let chart = crate::Chart::from_tgz(&packed).unwrap();
        assert_eq!(
            (
                chart.name(),
                chart.templates.len(),
                chart.dependencies[0].name()
            ),
            ("web", 1, "db")
        );
        for (name, why) in [
            ("web/../../x", "parent directory"),
            ("web//x", "absolute"),
            ("Chart.yaml", "base directory"),
        ] {
            let error = crate::Chart::from_tgz(&pack(&[(name, b"x")]))
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{name}: {error}");
        }
        let large = vec![b' '; usize::try_from(MAX_FILE).unwrap() + 1];
        let error = crate::Chart::from_tgz(&pack(&[("web/large", &large)]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("larger than the maximum file size"),
            "{error}"
        );
        assert!(crate::Chart::from_tgz(&packed[..packed.len() / 2]).is_err());
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(
            inner_path("chart/templates/a.yaml").as_deref(),
            Ok("templates/a.yaml")
        );
        assert_eq!(
            inner_path("chart\\templates\\a.yaml").as_deref(),
            Ok("templates/a.yaml")
        );
        for bad in [
            "chart/../../etc/passwd",
            "chart//etc/passwd",
            "Chart.yaml",
            "chart",
            "chart/c:/x",
            "../x",
        ] {
            assert!(inner_path(bad).is_err() || bad == "../x", "{bad}");
        }
    }
}
