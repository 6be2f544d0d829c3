//! Text: what text for people is, and a bounded length for error messages that quote input.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// What [`is_text`] accepts, to complete the sentence "expected …".
pub const EXPECTED: &str = "text without control characters and with at least one visible character";

/// The categories of visible characters. Marks are not among them: they change the character before them. The glyphs of
/// private use are those of whoever uses them, for instance in names with rare Chinese characters.
const VISIBLE: GeneralCategoryGroup = GeneralCategoryGroup::Letter
    .union(GeneralCategoryGroup::Number)
    .union(GeneralCategoryGroup::Punctuation)
    .union(GeneralCategoryGroup::Symbol)
    .union(GeneralCategoryGroup::PrivateUse);

/// A symbol to Unicode, but one without a dot.
const BLANK_BRAILLE_PATTERN: char = '\u{2800}';

/// Whether `value` is text that people can read: it has no control characters, and a visible one in some script. By
/// Unicode's properties, so that spaces, fillers, variation selectors and unassigned characters are not visible.
pub fn is_text(value: &str) -> bool {
    !value.chars().any(char::is_control) && value.chars().any(is_visible)
}

fn is_visible(character: char) -> bool {
    VISIBLE.contains(CodePointMapData::<GeneralCategory>::new().get(character))
        && !CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        && character != BLANK_BRAILLE_PATTERN
}

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
    fn text_has_a_visible_and_no_control_character() {
        for text in ["A", "名", "🦀", " A ", "O'Dœ; --", "\u{200F}א", "e\u{301}", "\u{E000}", "नी", "1", "-"] {
            assert!(is_text(text), "{text:?}");
        }
        for character in [
            ' ',
            '\u{A0}',
            '\u{AD}',
            '\u{34F}',
            '\u{115F}',
            '\u{17B4}',
            '\u{180E}',
            '\u{2003}',
            '\u{200B}',
            '\u{2028}',
            '\u{2062}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{FE0F}',
            '\u{FEFF}',
            '\u{FFA0}',
            '\u{E0001}',
            '\u{E0100}',
            '\u{301}',
            '\u{20DD}',
            '\u{93E}',
            '\u{378}',
            '\u{FFFF}',
            '\u{10FFFF}',
        ] {
            assert!(!is_text(&character.to_string().repeat(2)), "{character:?}");
        }
        for text in ["", "A\0", "A\u{85}", "\nA", "A\u{7F}"] {
            assert!(!is_text(text), "{text:?}");
        }
    }

    #[test]
    fn a_long_message_keeps_both_ends_within_the_limit() {
        let long = format!("invalid type: string \"{}\", expected an integer", "ü".repeat(500_000));
        let short = shorten(&long);
        assert_eq!(short.chars().count(), MAX_LENGTH);
        assert!(short.starts_with("invalid type: string \"ü"));
        assert!(short.ends_with("expected an integer"));
    }
}
