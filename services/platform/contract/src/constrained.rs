//! String and integer types with bounds.
//!
//! `schemars` attributes such as `length` or `range` only describe; nothing enforces them. Here one declaration defines
//! both the JSON schema and the check in `Deserialize`, so the service enforces what the document promises.
//!
//! ```
//! contract::integer_type! {
//!     /// The number of pieces.
//!     pub struct Quantity in 1..=10, example 2;
//! }
//! contract::string_type! {
//!     /// The name of a colour.
//!     pub struct Colour {
//!         length: 1..=20,
//!         pattern: "^[a-z]+$",
//!         expected: "lower-case letters a to z",
//!         example: "red",
//!     }
//! }
//!
//! assert_eq!(serde_json::from_str::<Quantity>("3").unwrap().get(), 3);
//! let refused = serde_json::from_str::<Quantity>("11").unwrap_err().to_string();
//! assert!(refused.contains("expected an integer from 1 to 10"), "{refused}");
//! assert!("Red".parse::<Colour>().is_err());
//! ```

use std::fmt;

use schemars::schema::{InstanceType, NumberValidation, Schema, SchemaObject, StringValidation};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use crate::text::is_text;

/// The largest integer that every JSON parser represents exactly, 2^53 - 1 (RFC 8259, section 6).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// The reason why a value is not of the constrained type, as a message for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

/// The bounds of a string type, declared with [`string_type!`](crate::string_type).
#[derive(Clone, Copy, Debug)]
pub struct StringRules {
    /// The minimum number of characters (Unicode scalar values, as JSON Schema counts them).
    pub min_length: u32,
    /// The maximum number of characters.
    pub max_length: u32,
    /// An anchored ECMA-262 regular expression that the value must match, in the part of that syntax that all common
    /// engines share: a test of the contract tool enforces it. `None` for text, which no such expression
    /// describes: the document does so in words, and [`is_text`] decides.
    pub pattern: Option<&'static str>,
    /// A description of the values that completes the sentence "expected …".
    pub expected: &'static str,
    /// A valid value for the document. `None` if the document must not show one, because tools send what it shows.
    pub example: Option<&'static str>,
}

impl StringRules {
    /// The compiled [`pattern`](Self::pattern).
    pub fn compile(&self) -> Option<Pattern> {
        self.pattern.map(Pattern::new)
    }

    /// Checks `value` against these rules; `pattern` is what [`compile`](Self::compile) returns.
    ///
    /// The message never repeats the value, which can be personal data.
    pub fn check(&self, value: &str, pattern: Option<&Pattern>) -> Result<(), Violation> {
        let length = value.chars().count();
        let (min, max) = (self.min_length as usize, self.max_length as usize);
        if !(min..=max).contains(&length) {
            let expected = if min == max { max.to_string() } else { format!("{min} to {max}") };
            return Err(Violation(format!("expected {expected} characters, got {length}")));
        }
        if !pattern.map_or_else(|| is_text(value), |pattern| pattern.matches(value)) {
            return Err(Violation(format!("expected {}", self.expected)));
        }
        Ok(())
    }

    /// The same rules as a JSON schema.
    pub fn schema(&self, description: &str) -> Schema {
        let mut schema = described(InstanceType::String, description, self.example.map(Into::into));
        if self.pattern.is_none() {
            let description = &mut schema.metadata().description;
            *description = description.take().map(|text| format!("{text} It is {}.", self.expected));
        }
        schema.string = Some(Box::new(StringValidation {
            min_length: Some(self.min_length),
            max_length: Some(self.max_length),
            pattern: self.pattern.map(str::to_owned),
        }));
        schema.into()
    }
}

/// A compiled pattern in the regular expression syntax of ECMA-262, which JSON Schema prescribes.
#[derive(Debug)]
pub struct Pattern(Result<regress::Regex, regress::Error>);

impl Pattern {
    /// Compiles `pattern`. An invalid pattern matches nothing; a test that the example of each type is valid finds it.
    pub fn new(pattern: &str) -> Self {
        Self(regress::Regex::with_flags(pattern, "u"))
    }

    fn matches(&self, value: &str) -> bool {
        self.0.as_ref().is_ok_and(|regex| regex.find(value).is_some())
    }
}

/// The JSON schema of an integer from `min` to `max`.
pub fn integer_schema(min: i64, max: i64, description: &str, example: Option<i64>) -> Schema {
    let mut schema = described(InstanceType::Integer, description, example.map(Into::into));
    schema.format = Some("int64".to_owned());
    schema.number =
        Some(Box::new(NumberValidation { minimum: Some(min as f64), maximum: Some(max as f64), ..Default::default() }));
    schema.into()
}

/// The schema of a value of the type `kind`; the lines of `description` become one.
pub(crate) fn described(kind: InstanceType, description: &str, example: Option<serde_json::Value>) -> SchemaObject {
    let mut schema = SchemaObject { instance_type: Some(kind.into()), ..Default::default() };
    let lines: Vec<&str> = description.split('\n').map(str::trim).collect();
    schema.metadata().description = Some(lines.join(" ").trim().to_owned());
    schema.extensions.extend(example.map(|example| ("example".to_owned(), example)));
    schema
}

/// Deserializes an integer from `min` to `max`. The error for any other value states the bounds.
pub fn deserialize_integer<'de, D: Deserializer<'de>>(deserializer: D, min: i64, max: i64) -> Result<i64, D::Error> {
    struct Bounded {
        min: i64,
        max: i64,
    }
    impl Visitor<'_> for Bounded {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "an integer from {} to {}", self.min, self.max)
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
            if (self.min..=self.max).contains(&value) {
                Ok(value)
            } else {
                Err(E::invalid_value(Unexpected::Signed(value), &self))
            }
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
            match i64::try_from(value) {
                Ok(value) => self.visit_i64(value),
                Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
            }
        }
    }
    deserializer.deserialize_i64(Bounded { min, max })
}

/// Refuses an integer outside `min..=max`.
pub fn check_integer(value: i64, min: i64, max: i64) -> Result<i64, Violation> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(Violation(format!("expected an integer from {min} to {max}, got {value}")))
    }
}

/// The value, if there is one before the semicolon, or the default after it.
#[doc(hidden)]
#[macro_export]
macro_rules! value_or {
    (; $default:expr) => {
        $default
    };
    ($value:expr; $default:expr) => {
        $value
    };
}

/// Declares a string type whose schema and check come from the same rules; see [`StringRules`]. Without a pattern its
/// values are text: see [`is_text`]. Without an example the document shows none.
#[macro_export]
macro_rules! string_type {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            length: $min:literal ..= $max:literal,
            $(pattern: $pattern:expr, expected: $expected:expr,)?
            $(example: $example:expr,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, Hash,
            $crate::macro_support::serde::Serialize, $crate::macro_support::serde::Deserialize,
        )]
        #[serde(crate = "contract::macro_support::serde", try_from = "String")]
        $vis struct $name(String);

        impl $name {
            /// The bounds that the document states.
            pub const RULES: $crate::constrained::StringRules = $crate::constrained::StringRules {
                min_length: $min,
                max_length: $max,
                pattern: $crate::value_or!($(Some($pattern))?; None),
                expected: $crate::value_or!($($expected)?; $crate::text::EXPECTED),
                example: $crate::value_or!($(Some($example))?; None),
            };

            /// A value that was valid when it was stored. The rules may have become stricter since; what is stored must
            /// stay readable.
            pub fn from_stored(value: String) -> Self {
                Self(value)
            }

            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::constrained::Violation;

            fn try_from(value: String) -> Result<Self, Self::Error> {
                static PATTERN: ::std::sync::LazyLock<Option<$crate::constrained::Pattern>> =
                    ::std::sync::LazyLock::new(|| $name::RULES.compile());
                Self::RULES.check(&value, PATTERN.as_ref())?;
                Ok(Self(value))
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::constrained::Violation;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                value.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl $crate::macro_support::schemars::JsonSchema for $name {
            fn schema_name() -> String {
                stringify!($name).to_owned()
            }

            fn json_schema(
                _: &mut $crate::macro_support::schemars::r#gen::SchemaGenerator,
            ) -> $crate::macro_support::schemars::schema::Schema {
                Self::RULES.schema(concat!($($doc, "\n"),*))
            }
        }
    };
}

/// Declares an integer type whose schema and check come from the same bounds. Without an example the document shows none.
#[macro_export]
macro_rules! integer_type {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident in $min:literal ..= $max:expr $(, example $example:literal)?;
    ) => {
        $(#[doc = $doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, $crate::macro_support::serde::Serialize,
        )]
        #[serde(crate = "contract::macro_support::serde", transparent)]
        $vis struct $name(i64);

        impl $name {
            /// The smallest value.
            pub const MIN: i64 = $min;
            /// The largest value.
            pub const MAX: i64 = $max;

            /// The value as an integer.
            pub fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = $crate::constrained::Violation;

            fn try_from(value: i64) -> Result<Self, Self::Error> {
                $crate::constrained::check_integer(value, Self::MIN, Self::MAX).map(Self)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl<'de> $crate::macro_support::serde::Deserialize<'de> for $name {
            fn deserialize<D>(deserializer: D) -> Result<Self, D::Error>
            where
                D: $crate::macro_support::serde::Deserializer<'de>,
            {
                $crate::constrained::deserialize_integer(deserializer, Self::MIN, Self::MAX).map(Self)
            }
        }

        impl $crate::macro_support::schemars::JsonSchema for $name {
            fn schema_name() -> String {
                stringify!($name).to_owned()
            }

            fn json_schema(
                _: &mut $crate::macro_support::schemars::r#gen::SchemaGenerator,
            ) -> $crate::macro_support::schemars::schema::Schema {
                $crate::constrained::integer_schema(
                    Self::MIN,
                    Self::MAX,
                    concat!($($doc, "\n"),*),
                    $crate::value_or!($(Some($example))?; None),
                )
            }
        }
    };
}
