//! The modules of a crate and the files that they are in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, Lit};

/// A module by the names that lead to it from the root of its crate; the root has none.
pub(crate) type ModulePath = Vec<String>;

/// A module with what it consists of, without the modules in it.
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) items: Vec<Item>,
}

/// The modules of one crate.
pub(crate) struct Sources {
    pub(crate) modules: BTreeMap<ModulePath, Module>,
}

impl Sources {
    /// Reads the crate whose root is this file.
    pub(crate) fn read(root: &Path) -> Self {
        Self::with(root, &|file| std::fs::read_to_string(file).ok())
    }

    /// A crate of these files, `lib.rs` among them.
    pub(crate) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let find =
            |file: &Path| files.iter().find(|(name, _)| Path::new(name) == file).map(|(_, text)| (*text).to_owned());
        Self::with(Path::new("lib.rs"), &find)
    }

    fn with(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut sources = Self { modules: BTreeMap::new() };
        let items = parse(root, &read(root).unwrap());
        sources.add(Vec::new(), root, root.parent().unwrap(), items, read);
        sources
    }

    /// Adds a module and those in it; `directory` is where the files of those are.
    fn add(
        &mut self,
        path: ModulePath,
        file: &Path,
        directory: &Path,
        items: Vec<Item>,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        let mut own = Vec::new();
        for item in items {
            let Item::Mod(module) = item else {
                own.push(item);
                continue;
            };
            if is_test(&module.attrs) {
                continue;
            }
            let name = module.ident.to_string();
            let inner = [path.clone(), vec![name.clone()]].concat();
            let below = directory.join(&name);
            if let Some((_, items)) = module.content {
                self.add(inner, file, &below, items, read);
            } else {
                let given = path_attribute(&module.attrs).map(|path| file.with_file_name(path));
                let usual = [directory.join(format!("{name}.rs")), below.join("mod.rs")];
                let candidates: Vec<_> = given.iter().chain(&usual).collect();
                let (file, text) = candidates.iter().find_map(|file| Some((*file, read(file)?))).unwrap();
                // The children of a file with `#[path]` are beside it.
                let below = if given.as_ref() == Some(file) { file.parent().unwrap() } else { &below };
                self.add(inner, file, below, parse(file, &text), read);
            }
        }
        self.modules.insert(path, Module { file: file.to_owned(), items: own });
    }
}

fn parse(file: &Path, text: &str) -> Vec<Item> {
    let items = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items;
    items.into_iter().filter(|item| !attributes(item).is_some_and(is_test)).collect()
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    match item {
        Item::Fn(item) => Some(&item.attrs),
        Item::Impl(item) => Some(&item.attrs),
        Item::Use(item) => Some(&item.attrs),
        _ => None,
    }
}

fn is_test(attributes: impl AsRef<[Attribute]>) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    };
    attributes.as_ref().iter().any(is_test)
}

/// The value of `#[path = "…"]`.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().unwrap().value {
        Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}
