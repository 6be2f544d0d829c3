//! Which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;

use crate::Edges;
use crate::paths::Paths;
use crate::source::{ModulePath, Sources};

/// Which file uses which.
pub(crate) fn edges(sources: &Sources) -> Edges {
    let crate_ = Crate::of(sources);
    let mut edges: Edges = sources.modules.values().map(|module| (module.file.clone(), BTreeMap::new())).collect();
    for (path, module) in &sources.modules {
        for (used, name) in crate_.used_by(path) {
            let file = &sources.modules[&used].file;
            if *file != module.file {
                edges.get_mut(&module.file).unwrap().insert(file.clone(), name);
            }
        }
    }
    edges
}

struct Crate {
    modules: BTreeMap<ModulePath, Names>,
}

struct Names {
    defined: BTreeSet<String>,
    paths: Paths,
}

/// Where a path leads: to an item of a module, or to a module itself.
enum Target {
    Item(ModulePath),
    Module(ModulePath),
}

impl Crate {
    fn of(sources: &Sources) -> Self {
        let names =
            |items: &[Item]| Names { defined: items.iter().filter_map(name).collect(), paths: Paths::of(items) };
        Self { modules: sources.modules.iter().map(|(path, module)| (path.clone(), names(&module.items))).collect() }
    }

    /// The modules whose items this module uses, with a path that it names of each.
    fn used_by(&self, module: &ModulePath) -> BTreeMap<ModulePath, String> {
        let names = &self.modules[module];
        let imports = names.paths.imports.iter();
        let used = imports.filter(|import| !import.is_export || names.paths.use_name(&import.name));
        let used = used.map(|import| &import.path).chain(&names.paths.paths);
        used.filter_map(|path| match self.resolve(module, path, 0)? {
            Target::Item(target) => Some((target, path.join("::"))),
            Target::Module(_) => None,
        })
        .collect()
    }

    /// Where a path that is written in `module` leads; nowhere if that is in another crate or a local name.
    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Option<Target> {
        // Two modules may import from each other everything.
        if depth > 8 {
            return None;
        }
        let mut base = module.to_vec();
        let mut rest = path;
        match path[0].as_str() {
            "crate" => {
                base.clear();
                rest = &path[1..];
            }
            "self" | "super" => {
                while let Some(first) = rest.first().filter(|first| *first == "self" || *first == "super") {
                    if first == "super" {
                        base.pop();
                    }
                    rest = &rest[1..];
                }
            }
            // A name of this module: only a path through another module leads elsewhere.
            first if path.len() > 1 && !self.modules.contains_key(&joined(&base, first)) => {
                let import = self.modules[module].paths.imports.iter().find(|import| import.name == first)?;
                match self.resolve(module, &import.path, depth + 1)? {
                    Target::Module(imported) => (base, rest) = (imported, &path[1..]),
                    Target::Item(_) => return None,
                }
            }
            _ if path.len() > 1 => {}
            _ => return None,
        }
        while let Some(first) = rest.first().filter(|first| self.modules.contains_key(&joined(&base, first))) {
            base = joined(&base, first);
            rest = &rest[1..];
        }
        match rest.first() {
            None => Some(Target::Module(base)),
            Some(name) => self.find(&base, name, depth + 1),
        }
    }

    /// Where the item `name` of `module` is defined, if that exports it from elsewhere.
    fn find(&self, module: &ModulePath, name: &str, depth: usize) -> Option<Target> {
        let names = &self.modules[module];
        if name == "*" || names.defined.contains(name) {
            return Some(Target::Item(module.clone()));
        }
        let imports = || names.paths.imports.iter();
        if let Some(import) = imports().find(|import| import.name == name) {
            // What another crate defines is used from there, not from the module that imports it.
            return if import.path == [name] { None } else { self.resolve(module, &import.path, depth + 1) };
        }
        for import in imports().filter(|import| import.name == "*") {
            let path = &import.path[..import.path.len() - 1];
            if let Some(Target::Module(from)) = self.resolve(module, path, depth + 1)
                && self.modules[&from].defined.contains(name)
            {
                return Some(Target::Item(from));
            }
        }
        Some(Target::Item(module.clone()))
    }
}

fn joined(module: &[String], name: &str) -> ModulePath {
    [module, &[name.to_owned()]].concat()
}

/// The name that an item defines in its module.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
