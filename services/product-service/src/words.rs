//! The words of texts, for search: the same for stored texts and for queries, whatever the database.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// The number of characters after which a word is cut.
const MAX_LENGTH: usize = 64;

/// How many words a search may have.
const MAX_WORDS: usize = 16;

/// The words of a product.
#[derive(Debug)]
pub struct ProductWords {
    /// Those of its name.
    pub name: BTreeSet<String>,
    /// Those of its name, its description and its SKU.
    pub all: BTreeSet<String>,
}

impl ProductWords {
    /// The words of a product with these texts.
    pub fn new(sku: &str, name: &str, description: Option<&str>) -> Self {
        let name: BTreeSet<String> = words(name).collect();
        let all = words(sku).chain(words(description.unwrap_or_default())).chain(name.iter().cloned()).collect();
        Self { name, all }
    }
}

/// The words to search for, at least one. A product matches if it has all of them; the last one also matches longer words
/// that begin with it.
#[derive(Debug)]
pub struct SearchWords {
    complete: Vec<String>,
    prefix: String,
}

/// The search has no word, or too many.
#[derive(Clone, Debug, thiserror::Error)]
#[error("expected 1 to {MAX_WORDS} words of letters or digits, got {0}")]
pub struct WrongNumberOfWords(usize);

impl SearchWords {
    /// The words of `search`.
    pub fn new(search: &str) -> Result<Self, WrongNumberOfWords> {
        let mut complete: Vec<String> = words(search).collect();
        let number = complete.len();
        match complete.pop() {
            Some(prefix) if number <= MAX_WORDS => Ok(Self { complete, prefix }),
            _ => Err(WrongNumberOfWords(number)),
        }
    }

    /// Every word, and whether it is a prefix. Words are letters, digits and marks: they need no escape between quotes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, bool)> {
        let complete = self.complete.iter().map(|word| (word.as_str(), false));
        complete.chain([(self.prefix.as_str(), true)])
    }
}

/// The words of `text`, without case and accents, in their order.
fn words(text: &str) -> impl Iterator<Item = String> {
    // By way of upper case, `ß` becomes `ss`, and the final sigma the ordinary one; `ẞ` must be `ß` before.
    let lower_case = without_accents(text.chars()).flat_map(char::to_lowercase);
    let folded = lower_case.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let folded: String = without_accents(folded).collect();
    let words: Vec<String> = folded
        .split(|character: char| !character.is_alphanumeric() && !is_combining_mark(character))
        // A mark alone is no word: emoji have some.
        .map(|run| run.trim_start_matches(is_combining_mark))
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(MAX_LENGTH).collect())
        .collect();
    words.into_iter()
}

/// `characters` in their compatibility decomposition (NFKD), without accents.
fn without_accents(characters: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    characters.nfkd().filter(|character| !is_accent(*character))
}

/// Whether a letter means the same without this mark. The classes are those of Hebrew and Arabic vowel points, and of marks
/// by their position, such as Latin accents. Other marks belong to the spelling, such as Indic vowel signs and viramas, and
/// the voicing marks of Japanese.
fn is_accent(character: char) -> bool {
    matches!(canonical_combining_class(character), 10..=35 | 200..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_differ_in_case_and_accents_have_one_word() {
        for (text, word) in [
            ("Käse", "kase"),
            ("KA\u{308}SE", "kase"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("STRAẞE", "strasse"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδός", "οδοσ"),
            ("İstanbul", "istanbul"),
            ("ısı", "isi"),
            ("ﬁﬂ", "fifl"),
            ("Ｂｌｕｅ", "blue"),
            ("①", "1"),
            ("x²", "x2"),
            ("Ёлка", "елка"),
            ("שָׁלוֹם", "שלום"),
            ("مُحَمَّد", "محمد"),
            ("Việt", "viet"),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), [word], "{text:?}");
        }
    }

    #[test]
    fn a_word_is_all_letters_digits_and_marks_in_a_row() {
        for (text, wanted) in [
            ("Stoneware, 300 ml", &["stoneware", "300", "ml"][..]),
            ("MUG-01.b_C", &["mug", "01", "b", "c"]),
            ("O'Neill's", &["o", "neill", "s"]),
            ("हिन्दी किताब", &["हिन्दी", "किताब"]),
            ("青い カップ", &["青い", "カッフ\u{309a}"]),
            ("\u{e01}\u{e32}\u{e41}\u{e1f}", &["\u{e01}\u{e32}\u{e41}\u{e1f}"]),
            ("☕\u{fe0f} 🦀 --", &[]),
            ("", &[]),
            (" \u{93f}a", &["a"]),
        ] {
            assert_eq!(words(text).collect::<Vec<_>>(), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_word_is_cut_after_64_characters() {
        let long = "é".repeat(70);
        assert_eq!(words(&long).collect::<Vec<_>>(), ["e".repeat(64)]);
    }

    #[test]
    fn a_search_has_1_to_16_words_of_which_the_last_is_a_prefix() {
        let search = SearchWords::new("Blue MUG, l").unwrap();
        assert_eq!(search.iter().collect::<Vec<_>>(), [("blue", false), ("mug", false), ("l", true)]);
        assert!(SearchWords::new(&"a ".repeat(16)).is_ok());
        for (bad, number) in [("", 0), ("!?", 0), (&"a ".repeat(17)[..], 17)] {
            let refused = SearchWords::new(bad).unwrap_err().to_string();
            assert_eq!(refused, format!("expected 1 to 16 words of letters or digits, got {number}"));
        }
    }

    #[test]
    fn a_product_has_the_words_of_name_description_and_sku() {
        let words = ProductWords::new("MUG-01", "Blue mug", Some("A mug"));
        assert_eq!(words.name.iter().collect::<Vec<_>>(), ["blue", "mug"]);
        assert_eq!(words.all.iter().collect::<Vec<_>>(), ["01", "a", "blue", "mug"]);
    }
}
