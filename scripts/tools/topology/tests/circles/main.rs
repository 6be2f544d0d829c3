//! No file of a crate uses another one that uses it in turn, directly or through others.
//!
//! A file uses another if it names an item that is defined there. Declaring a module is no use of it, nor is exporting an
//! item of a submodule under a shorter path, unless the exporting file uses that item itself. Test modules are left out.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

mod paths;
mod resolve;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use topology_tool::workspace_root;

use crate::resolve::edges;
use crate::source::Sources;

/// For each file, the files that it uses, with a path that it names of each.
type Edges = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

#[test]
fn no_two_files_of_a_crate_use_each_other() {
    let mut report = String::new();
    let mut directories = Vec::new();
    for folder in ["clients", "services", "scripts/tools"] {
        find_crates(&workspace_root().join(folder), &mut directories);
    }
    assert!(directories.len() > 10, "{directories:?}");
    for directory in directories {
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| directory.join(root));
        for root in roots.iter().filter(|root| root.exists()) {
            let name = directory.strip_prefix(workspace_root()).unwrap().display().to_string();
            let edges = edges(&Sources::read(root));
            for circle in circles(&edges) {
                report += &format!("{name}:\n{}", describe(&circle, &edges, &directory));
            }
        }
    }
    assert!(report.is_empty(), "Move what two files need into a third below both:\n{report}");
}

#[test]
fn a_circle_between_modules_is_found() {
    let sources = Sources::of([
        ("lib.rs", "mod a; mod b; mod c; pub use a::A; use c::C; fn f(_: C) {}"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; impl B { fn f() { super::c::g::<crate::A>() } }"),
        ("c.rs", "pub struct C; pub fn g<T>() {}"),
    ]);
    let circles = circles(&edges(&sources));
    assert_eq!(circles, [BTreeSet::from(["a.rs".into(), "b.rs".into()])]);
}

#[test]
fn a_re_export_is_a_use_only_where_its_name_is_used() {
    let child = "use super::Shared; pub struct Item(Shared);";
    let exported = Sources::of([("lib.rs", "mod child; pub use child::Item; struct Shared;"), ("child.rs", child)]);
    assert!(circles(&edges(&exported)).is_empty());
    let used = "mod child; pub use child::Item; struct Shared; fn f(_: Item) {}";
    assert_eq!(circles(&edges(&Sources::of([("lib.rs", used), ("child.rs", child)]))).len(), 1);
    let path = "mod child; struct Shared; fn f() { println!(\"{}\", child::Item::new()) }";
    assert_eq!(circles(&edges(&Sources::of([("lib.rs", path), ("child.rs", child)]))).len(), 1);
}

/// Sets of files each of which uses, directly or not, every other one of its set.
fn circles(edges: &Edges) -> Vec<BTreeSet<PathBuf>> {
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (file, reachable(file, edges))).collect();
    let reaches = |from: &PathBuf, to: &PathBuf| reached.get(from).is_some_and(|reached| reached.contains(to));
    let mut circles = BTreeSet::new();
    for file in edges.keys().filter(|file| reaches(file, file)) {
        circles.insert(reached[file].iter().filter(|other| reaches(other, file)).cloned().collect::<BTreeSet<_>>());
    }
    circles.into_iter().collect()
}

fn reachable(file: &PathBuf, edges: &Edges) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![file];
    while let Some(file) = next.pop() {
        for other in edges.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    reached
}

/// Which file of a circle names what of which other.
fn describe(circle: &BTreeSet<PathBuf>, edges: &Edges, directory: &Path) -> String {
    let name = |file: &PathBuf| file.strip_prefix(directory.join("src")).unwrap().display().to_string();
    let mut lines = String::new();
    for from in circle {
        for (to, path) in edges[from].iter().filter(|(to, _)| circle.contains(*to)) {
            lines += &format!("    {} names {path}, which is in {}\n", name(from), name(to));
        }
    }
    lines
}

/// The directories in `directory` and below it that have a manifest.
fn find_crates(directory: &Path, found: &mut Vec<PathBuf>) {
    if directory.join("Cargo.toml").exists() {
        found.push(directory.to_owned());
    }
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let is_source = name != "src" && name != "tests" && name != "node_modules" && name != "target";
        if is_source && entry.file_type().unwrap().is_dir() {
            find_crates(&entry.path(), found);
        }
    }
}
