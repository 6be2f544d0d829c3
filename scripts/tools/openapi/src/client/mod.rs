//! The Rust client crate of a contract: the code by progenitor, the rest from templates.

mod error_codes;
mod outline;
mod samples;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use progenitor::{GenerationSettings, Generator, InterfaceStyle, TypePatch};
use serde_json::Value;

use crate::document::Contract;
use crate::text::format;
use outline::Outline;

/// The time limit of a call of a client built with `Client::plain`, including connecting.
const DEFAULT_TIMEOUT_S: u64 = 5;

/// Crates that a generated client depends on only if its code names them: the name in code, the line in its manifest.
const DEPENDENCIES: &[(&str, &str)] = &[
    ("chrono::", "chrono.workspace = true\n"),
    ("futures::", "futures.workspace = true\n"),
    ("regress::", "regress.workspace = true\n"),
    ("uuid::", "uuid = { workspace = true, features = [\"serde\"] }\n"),
];

/// What the integer types derive besides what every type does.
pub(crate) const INTEGER_DERIVES: [&str; 5] = ["Copy", "Eq", "Hash", "PartialOrd", "Ord"];

/// The files of the client crate of `contract`: path in the crate, content.
pub(crate) fn generate(contract: &Contract) -> Result<Vec<(&'static str, String)>> {
    let spec: openapiv3::OpenAPI =
        serde_json::from_value(contract.for_progenitor()?).context("the document is not OpenAPI 3.0")?;
    let document: Value = serde_json::from_str(&contract.document)?;
    let integers = integers(&document)?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder).with_timeout(DEFAULT_TIMEOUT_S).with_derive("PartialEq");
    settings.with_inner_type(syn::parse_str("client_policy::Policy")?);
    for name in integers.keys() {
        let mut patch = TypePatch::default();
        for derive in INTEGER_DERIVES {
            patch.with_derive(derive);
        }
        settings.with_patch(name, &patch);
    }

    let client = format(&Generator::new(&settings).generate_tokens(&spec)?.to_string())?;
    let mock = Generator::new(&settings).httpmock(&spec, "crate")?;
    let dependencies = DEPENDENCIES.iter().filter(|(name, _)| client.contains(name)).map(|(_, line)| *line);
    let outline = Outline::new(contract, &document)?.with("dependencies", dependencies.collect());
    Ok(vec![
        ("Cargo.toml", outline.fill(include_str!("templates/Cargo.toml"))?),
        ("GUIDE.md", outline.fill(include_str!("templates/GUIDE.md"))?),
        ("src/lib.rs", outline.fill(include_str!("templates/lib.rs"))?),
        ("src/generated/client.rs", [&client, &conversions(&integers), include_str!("policy.rs")].join("\n")),
        ("src/generated/error_codes.rs", error_codes::constants(&document)),
        ("src/generated/mock.rs", format(&mock.to_string())?),
        ("src/generated/samples.rs", samples::samples(&document)),
        ("src/generated/scenarios.rs", outline.fill(include_str!("templates/scenarios.rs"))?),
    ])
}

/// The integer types of the document with their bounds.
pub(crate) fn integers(document: &Value) -> Result<BTreeMap<String, (i64, i64)>> {
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten();
    let mut integers = BTreeMap::new();
    for (name, schema) in schemas.filter(|(_, schema)| schema["type"] == "integer") {
        match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(minimum), Some(maximum)) => integers.insert(name.clone(), (minimum, maximum)),
            _ => bail!("the integer type {name} needs a minimum and a maximum"),
        };
    }
    Ok(integers)
}

/// Conversions from plain integers within the bounds, and back.
///
/// progenitor wraps a type from 1 on around `NonZeroU64`, converts only from `NonZeroU64`, and omits the maximum. With these
/// conversions `user_id(1)` works and a number above the maximum is refused. A type with 0 or negative values is one around
/// `i64`, with a conversion from any `i64` that leaves the bounds to the service.
pub(crate) fn conversions(integers: &BTreeMap<String, (i64, i64)>) -> String {
    let (signed, positive): (Vec<_>, Vec<_>) = integers.iter().partition(|(_, (minimum, _))| *minimum <= 0);
    let list = |types: Vec<(&String, &(i64, i64))>| -> String {
        types.iter().map(|(name, (minimum, maximum))| format!("    {name} in {minimum}..={maximum},\n")).collect()
    };
    let mut code = format!("{}\nintegers! {{\n{}}}\n", include_str!("integers.rs"), list(positive));
    if !signed.is_empty() {
        let macros = include_str!("signed_integers.rs");
        code += &format!("\n{macros}\nsigned_integers! {{\n{}}}\n", list(signed));
    }
    code
}
