//! Enumerations of strings.
//!
//! An enumeration that serde derives reads more than the document promises: to it `{"red": null}` is the variant `red`.
//! One that is declared here reads strings only, and describes itself by the same names.
//!
//! ```
//! contract::string_enum! {
//!     /// The colour of a light.
//!     pub enum Light {
//!         Red = "red",
//!         Green = "green",
//!     }
//! }
//!
//! assert_eq!(serde_json::from_str::<Light>(r#""green""#).unwrap(), Light::Green);
//! for refused in [r#"{"green": null}"#, r#""blue""#, "null", "0", r#"["green"]"#] {
//!     let message = serde_json::from_str::<Light>(refused).unwrap_err().to_string();
//!     assert!(message.contains("expected `red` or `green`"), "{message}");
//! }
//! assert_eq!(Light::ALL.map(Light::as_str), ["red", "green"]);
//! ```

use std::fmt;

use schemars::schema::{InstanceType, Schema};
use serde::de::{Deserializer, Error, Visitor};

use crate::constrained::described;

/// Deserializes one of `names`, and returns its index. Only a string is accepted; the error for anything else lists the
/// names.
pub fn deserialize_name<'de, D: Deserializer<'de>>(
    deserializer: D,
    names: &'static [&'static str],
) -> Result<usize, D::Error> {
    struct OneOf(&'static [&'static str]);

    impl Visitor<'_> for OneOf {
        type Value = usize;

        /// In the words of [`Error::unknown_variant`].
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                [one, other] => write!(f, "`{one}` or `{other}`"),
                names => {
                    let prefix = if names.len() > 1 { "one of " } else { "" };
                    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                    write!(f, "{prefix}{}", names.join(", "))
                }
            }
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<usize, E> {
            let index = self.0.iter().position(|name| *name == value);
            index.ok_or_else(|| E::unknown_variant(value, self.0))
        }
    }

    deserializer.deserialize_str(OneOf(names))
}

/// The JSON schema of a string that is one of `names`; the first is the example.
pub fn schema(names: &[&str], description: &str) -> Schema {
    let example = names.first().copied().unwrap_or_default();
    let mut schema = described(InstanceType::String, description, Some(example.into()));
    schema.enum_values = Some(names.iter().map(|name| (*name).into()).collect());
    schema.into()
}

/// Declares an enumeration of strings whose schema and check come from the same names; see [`string_enum`](self).
#[macro_export]
macro_rules! string_enum {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $($variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the description of the enumeration says what each value means")]
        $vis enum $name {
            $($variant),+
        }

        impl $name {
            /// Every value.
            $vis const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The value as in JSON.
            $vis fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl $crate::macro_support::serde::Serialize for $name {
            fn serialize<S>(&self, serializer: S) -> Result<S::Ok, S::Error>
            where
                S: $crate::macro_support::serde::Serializer,
            {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> $crate::macro_support::serde::Deserialize<'de> for $name {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: $crate::macro_support::serde::Deserializer<'de>,
            {
                $crate::string_enum::deserialize_name(deserializer, &[$($text),+]).map(|index| Self::ALL[index])
            }
        }

        impl $crate::macro_support::schemars::JsonSchema for $name {
            fn schema_name() -> String {
                stringify!($name).to_owned()
            }

            fn json_schema(
                _: &mut $crate::macro_support::schemars::r#gen::SchemaGenerator,
            ) -> $crate::macro_support::schemars::schema::Schema {
                $crate::string_enum::schema(&[$($text),+], concat!($($doc, "\n"),*))
            }
        }
    };
}
