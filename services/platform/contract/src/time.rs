//! Points in time.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use schemars::JsonSchema;
use schemars::r#gen::SchemaGenerator;
use schemars::schema::{InstanceType, Schema, SchemaObject};
use serde::{Deserialize, Serialize, Serializer};

/// A point in time to the microsecond, which is what both databases keep. In JSON it is RFC 3339 in UTC, always with six
/// fractional digits, so that all times have one length and can be compared as text.
///
/// `DateTime` itself is written with three digits if the others are zeros. It is no type of a contract: it has no schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "DateTime<Utc>")]
pub struct Timestamp(DateTime<Utc>);

impl From<DateTime<Utc>> for Timestamp {
    /// `time` without what is shorter than a microsecond.
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(6))
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        time.0
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> String {
        "Timestamp".to_owned()
    }

    /// Generators have types of their own for this format.
    fn is_referenceable() -> bool {
        false
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = SchemaObject {
            instance_type: Some(InstanceType::String.into()),
            format: Some("date-time".to_owned()),
            ..Default::default()
        };
        schema.extensions.insert("example".to_owned(), "2026-01-01T12:00:00.123456Z".into());
        schema.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_always_has_six_fractional_digits() {
        for (written, expected) in [
            ("2026-01-01T12:00:00.123456789Z", "2026-01-01T12:00:00.123456Z"),
            ("2026-01-01T12:00:00.120Z", "2026-01-01T12:00:00.120000Z"),
            ("2026-01-01T14:00:00+02:00", "2026-01-01T12:00:00.000000Z"),
        ] {
            let time: Timestamp = serde_json::from_value(written.into()).unwrap();
            assert_eq!(serde_json::to_value(time).unwrap(), expected);
        }
    }
}
