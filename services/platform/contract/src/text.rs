//! A bounded length for error messages that quote input.

/// The maximum number of characters of an error message.
const MAX_LENGTH: usize = 200;
/// The number of characters that remain of the end, where serde states what it expected.
const TAIL: usize = 90;

/// Cuts the middle out of a long `message`, so that the quoted input and the expectation both stay readable.
pub(crate) fn shorten(message: &str) -> String {
    let count = message.chars().count();
    if count <= MAX_LENGTH {
        return message.to_owned();
    }
    let head: String = message.chars().take(MAX_LENGTH - TAIL - 1).collect();
    let tail: String = message.chars().skip(count - TAIL).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_both_ends_within_the_limit() {
        let long = format!("invalid type: string \"{}\", expected an integer", "ü".repeat(500_000));
        let short = shorten(&long);
        assert_eq!(short.chars().count(), MAX_LENGTH);
        assert!(short.starts_with("invalid type: string \"ü"));
        assert!(short.ends_with("expected an integer"));
    }
}
