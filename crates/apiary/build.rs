//! Builds `examples/hello` into the binary, whatever files it has.

use std::fmt::Write;
use std::path::{Path, PathBuf};

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"))
        .join("../../examples/hello");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = vec![];
    collect(&root, &mut files);
    files.sort();
    let mut code = String::from(
        "/// The files of `examples/hello`: path and text.\nconst HELLO: &[(&str, &str)] = &[\n",
    );
    for file in files {
        let name = file
            .strip_prefix(&root)
            .expect("it was found below the root")
            .display()
            .to_string();
        let full = file
            .canonicalize()
            .expect("it was found a moment ago")
            .display()
            .to_string();
        writeln!(code, "    ({name:?}, include_str!({full:?})),").expect("writing to a string");
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    std::fs::write(out.join("hello.rs"), code).expect("the build directory is writable");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory)
        .expect("examples/hello is part of the repository")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
