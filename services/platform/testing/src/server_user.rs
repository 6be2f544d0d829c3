//! The user that a server for tests runs as.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};

/// The user and group to run a server as, if this process is root: `preferred`, or else nobody. Some servers refuse to
/// run as root.
pub(crate) fn server_user(preferred: &str) -> Result<Option<(u32, u32)>> {
    let root = std::fs::metadata("/proc/self")?.uid() == 0;
    if !root {
        return Ok(None);
    }
    let passwd = std::fs::read_to_string("/etc/passwd")?;
    let user = |name: &str| {
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user = user(preferred).or_else(|| user("nobody"));
    user.map(Some)
        .with_context(|| format!("servers do not run as root here, and there is no user {preferred} or nobody"))
}
