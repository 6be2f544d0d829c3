//! Keeping error texts short, however long the input was that they quote.

/// The most characters an error message has before it is shortened.
const LONGEST: usize = 200;
/// What is kept of the end, where serde says what it expected.
const TAIL: usize = 90;

/// Shortens `message` from the middle, so that both what was sent and what was expected stay readable.
pub(crate) fn shorten(message: &str) -> String {
    let count = message.chars().count();
    if count <= LONGEST {
        return message.to_owned();
    }
    let head: String = message.chars().take(LONGEST - TAIL - 1).collect();
    let tail: String = message.chars().skip(count - TAIL).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_message_is_kept() {
        assert_eq!(shorten("invalid type"), "invalid type");
    }

    #[test]
    fn a_long_message_keeps_both_ends_and_stays_bounded() {
        let long = format!("invalid type: string \"{}\", expected an integer", "ü".repeat(500_000));
        let short = shorten(&long);
        assert_eq!(short.chars().count(), LONGEST);
        assert!(short.starts_with("invalid type: string \"ü"));
        assert!(short.ends_with("expected an integer"));
    }
}
