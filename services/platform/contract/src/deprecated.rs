//! Fields that stay for old clients, and that new ones should not use.

use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::{Metadata, Schema, SchemaObject, SubschemaValidation};

/// The schema of a deprecated field of the named type `T`: `#[schemars(schema_with = "deprecated::<T>")]`. Rust's
/// `#[deprecated]` would warn wherever the service itself fills the field.
pub fn deprecated<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let reference = generator.subschema_for::<T>();
    let subschemas = SubschemaValidation { all_of: Some(vec![reference]), ..SubschemaValidation::default() };
    let metadata = Metadata { deprecated: true, ..Metadata::default() };
    SchemaObject {
        metadata: Some(Box::new(metadata)),
        subschemas: Some(Box::new(subschemas)),
        ..SchemaObject::default()
    }
    .into()
}
