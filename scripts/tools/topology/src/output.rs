//! What is generated: a whole file, or the blocks of a file that is otherwise written by hand.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// How the line above a generated block ends, whatever the comment syntax of its file.
pub const BEGIN: &str = "generated from services/platform.toml by cargo topology: begin";
/// How the line below a generated block ends.
pub const END: &str = "generated from services/platform.toml by cargo topology: end";
/// What the head of a file says that is generated whole.
pub const GENERATED: &str = "Generated from services/platform.toml by `cargo topology generate`. Do not edit.";

/// The generated part of one file.
#[derive(Debug)]
pub enum Output {
    /// The whole file.
    File(PathBuf, String),
    /// Its blocks, in the order in which they occur.
    Blocks(PathBuf, Vec<String>),
}

impl Output {
    /// The file, relative to the root of the workspace.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::File(path, _) | Self::Blocks(path, _) => path,
        }
    }

    /// What the file must hold, given what it holds.
    pub(crate) fn apply(&self, current: &str) -> Result<String> {
        match self {
            Self::File(_, content) => Ok(content.clone()),
            Self::Blocks(path, blocks) => replace_blocks(path, current, blocks),
        }
    }
}

fn replace_blocks(path: &Path, current: &str, blocks: &[String]) -> Result<String> {
    let mut replaced = String::with_capacity(current.len());
    let mut blocks = blocks.iter();
    let mut in_block = false;
    for line in current.split_inclusive('\n') {
        let text = line.trim_end();
        if text.ends_with(END) {
            ensure!(in_block, "{}: a block ends that has not begun", path.display());
            in_block = false;
        }
        if !in_block {
            replaced.push_str(line);
        }
        if text.ends_with(BEGIN) {
            let block = blocks.next().filter(|_| !in_block);
            let Some(block) = block else { anyhow::bail!("{}: a block too many begins", path.display()) };
            replaced.push_str(block);
            in_block = true;
        }
    }
    ensure!(!in_block, "{}: a block does not end", path.display());
    ensure!(blocks.next().is_none(), "{}: a block is missing; its first line ends in `{BEGIN}`", path.display());
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(current: &str, blocks: &[&str]) -> Result<String> {
        let blocks = blocks.iter().map(|&block| block.to_owned()).collect();
        Output::Blocks("a file".into(), blocks).apply(current)
    }

    #[test]
    fn blocks_are_replaced_and_the_rest_is_kept() {
        let file = |one, two| format!("a\n  # {BEGIN}\n{one}  # {END}\nb\n// {BEGIN}\n{two}// {END}\n");
        assert_eq!(apply(&file("old\n", ""), &["1\n", "2\n"]).unwrap(), file("1\n", "2\n"));
    }

    #[test]
    fn markers_that_do_not_match_the_blocks_are_refused() {
        let block = format!("# {BEGIN}\n# {END}\n");
        for current in [String::new(), format!("{block}{block}"), format!("# {BEGIN}\n"), format!("# {END}\n{block}")] {
            assert!(apply(&current, &["1\n"]).is_err(), "{current}");
        }
    }
}
