//! Texts with placeholders: `{{name}}`.

use anyhow::{Context, Result};

/// `template` with every placeholder replaced by its value.
pub(crate) fn fill(template: &str, values: &[(&'static str, String)]) -> Result<String> {
    let mut parts = template.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").context("a placeholder does not end")?;
        let value = values.iter().find(|(known, _)| *known == name);
        filled += &value.with_context(|| format!("no value for the placeholder {name}"))?.1;
        filled += rest;
    }
    Ok(filled)
}
