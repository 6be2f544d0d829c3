//! The position of a command in the tree of commands.

/// A command's position in the tree, and its body.
pub(crate) struct Entry {
    /// The first word of the operation's id, or the service if the id has only one word.
    pub(crate) noun: &'static str,
    /// The description of the operation's tag.
    pub(crate) group: &'static str,
    /// The rest of the operation's id.
    pub(crate) verb: &'static str,
    /// The options for the fields of the body, and whether each is required.
    pub(crate) body: &'static [(&'static str, bool)],
}
