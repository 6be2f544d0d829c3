//! The paths that a module names.

use std::collections::BTreeSet;

use syn::visit::{self, Visit};
use syn::{Item, ItemUse, Macro, UseTree, Visibility};

/// An imported path with the name that it gets here.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) name: String,
    /// Whether the name is visible outside the module.
    pub(crate) is_export: bool,
}

/// What the items of a module name.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    pub(crate) imports: Vec<Import>,
    /// Paths in code, macros included.
    pub(crate) paths: BTreeSet<Vec<String>>,
}

impl Paths {
    pub(crate) fn of(items: &[Item]) -> Self {
        let mut paths = Self::default();
        for item in items {
            paths.visit_item(item);
        }
        paths
    }

    /// Whether code of the module names `name` itself.
    pub(crate) fn use_name(&self, name: &str) -> bool {
        self.paths.iter().any(|path| path[0] == name)
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], is_export: bool) {
        let with = |name: String| [prefix, &[name]].concat();
        let mut add = |path: Vec<String>, name: String| self.imports.push(Import { path, name, is_export });
        match tree {
            UseTree::Path(tree) => self.import(&tree.tree, &with(tree.ident.to_string()), is_export),
            UseTree::Name(tree) if tree.ident == "self" => add(prefix.to_vec(), prefix[prefix.len() - 1].clone()),
            UseTree::Name(tree) => add(with(tree.ident.to_string()), tree.ident.to_string()),
            UseTree::Rename(tree) => add(with(tree.ident.to_string()), tree.rename.to_string()),
            UseTree::Glob(_) => add(with("*".into()), "*".into()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix, is_export)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        // What is quoted becomes code of another crate.
        if called.path.segments.last().is_some_and(|name| name.ident == "quote" || name.ident == "parse_quote") {
            return;
        }
        self.paths.extend(paths_in(&called.tokens.to_string()));
    }

    /// `pub(in path)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// The sequences of identifiers joined by `::` in the text of tokens, without string literals.
fn paths_in(tokens: &str) -> Vec<Vec<String>> {
    let code: String = tokens.split('"').step_by(2).collect();
    let spaced = code.replace("::", " :: ");
    let words = spaced
        .split(|char: char| !(char.is_alphanumeric() || char == '_' || char == ':'))
        .filter(|word| !word.is_empty());
    let mut paths: Vec<Vec<String>> = Vec::new();
    let mut is_joined = false;
    for word in words {
        if word == "::" {
            is_joined = !paths.is_empty();
        } else if is_joined {
            paths.last_mut().unwrap().push(word.to_owned());
            is_joined = false;
        } else {
            paths.push(vec![word.to_owned()]);
        }
    }
    paths
}
