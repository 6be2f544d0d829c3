//! Embeds the sources that decide what the tool generates, for `src/freshness.rs`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The directories of the sources, relative to the workspace; `*` is each service.
const DIRECTORIES: [&str; 3] = ["services/platform/contract", "services/*/api", "scripts/tools/openapi"];

/// The workspace, relative to this package.
const ROOT: &str = "../../..";

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for directory in DIRECTORIES {
        match directory.split_once('*') {
            None => collect(Path::new(directory), &mut files)?,
            Some((parent, rest)) => {
                for service in fs::read_dir(Path::new(ROOT).join(parent))? {
                    let api = Path::new(parent).join(service?.file_name()).join(rest.trim_start_matches('/'));
                    if Path::new(ROOT).join(&api).is_dir() {
                        collect(&api, &mut files)?;
                    }
                }
            }
        }
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in &files {
        let path = Path::new(ROOT).join(file);
        writeln!(table, "    ({:?}, {:?}),", file.display().to_string(), fs::read_to_string(&path)?)
            .map_err(io::Error::other)?;
    }
    table += "]\n";
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&out).join("sources.rs"), table)
}

/// The files of the package in `directory`: its own and those below `src`.
fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", Path::new(ROOT).join(directory).display());
    for entry in fs::read_dir(Path::new(ROOT).join(directory))? {
        let path = directory.join(entry?.file_name());
        if !Path::new(ROOT).join(&path).is_dir() {
            files.push(path);
        } else if path.ends_with("src") || directory.components().any(|part| part.as_os_str() == "src") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
