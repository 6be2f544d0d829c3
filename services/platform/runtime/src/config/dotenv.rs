//! The file `.env` in the working directory: lines of NAME=VALUE, of which the last with a name wins.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

/// Adds the variables of `./.env` to the environment, except those that are set already.
pub(super) fn load() -> Result<(), String> {
    let text = match std::fs::read_to_string(".env") {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!(".env cannot be read: {error}")),
    };
    let mut quoted = String::new();
    for (name, value) in parse(&text, |name| std::env::var_os(name).is_some())? {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
        quoted += &format!("{name}=\"{value}\"\n");
    }
    // dotenvy sets them: with the standard library that is unsafe code.
    dotenvy::from_read(quoted.as_bytes()).map_err(|_| ".env has a value that cannot be used".to_owned())
}

/// The variables of a file with this text. Errors name the line; they do not repeat it, because it may be a secret.
fn parse(text: &str, is_set: impl Fn(&str) -> bool) -> Result<BTreeMap<String, String>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = Cell::new(0);
    let mut statements = dotenvy::from_read_iter(LineByLine { rest: text.as_bytes(), read: &read });
    let mut variables = BTreeMap::new();
    loop {
        let before = read.get();
        let Some(statement) = statements.next() else { return Ok(variables) };
        // A quoted value may have several lines. Blank lines and comments are read with the statement that follows.
        let lines = text.split_inclusive('\n').enumerate().take(read.get()).skip(before);
        let mut lines = lines.skip_while(|(_, line)| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let (index, first) = lines.next().unwrap_or_default();
        let source = lines.fold(first.to_owned(), |source, (_, line)| source + line);
        let problem = match statement {
            Ok((name, value)) => {
                let problem = pitfall(&source, |name| is_set(name) || variables.contains_key(name));
                variables.insert(name, value);
                problem
            }
            Err(_) => Some("is not NAME=VALUE; a value with spaces or special characters needs single quotes"),
        };
        if let Some(problem) = problem {
            return Err(format!("line {} of .env {problem}", index + 1));
        }
    }
}

/// Why the value of `statement` would silently lose a part of its text.
fn pitfall(statement: &str, is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    let (_, value) = statement.split_once('=')?;
    if value.starts_with('#') {
        return Some("has a value that starts with #: put it in single quotes");
    }
    let (mut quote, mut previous) = (None, ' ');
    let mut characters = value.char_indices();
    while let Some((index, character)) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => {
                characters.next();
            }
            ('\'' | '"', None) => quote = Some(character),
            (_, Some(open)) if character == open => quote = None,
            // The rest is a comment.
            ('#', None) if previous.is_whitespace() => return None,
            ('$', None | Some('"')) => {
                let rest = &value[index + 1..];
                let name = match rest.strip_prefix('{') {
                    Some(braced) => braced.split('}').next(),
                    None => rest.split(|next: char| !next.is_alphanumeric()).next(),
                };
                if !name.is_some_and(&is_set) {
                    return Some("refers to a variable that is not set: put a value that contains $ in single quotes");
                }
            }
            _ => {}
        }
        previous = character;
    }
    None
}

/// A reader that returns at most one line at a time, and counts the lines.
struct LineByLine<'a> {
    rest: &'a [u8],
    read: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let line = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |end| end + 1);
        let length = line.min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest[..length]);
        self.rest = &self.rest[length..];
        if length == line && line > 0 {
            self.read.set(self.read.get() + 1);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<BTreeMap<String, String>, String> {
        parse(text, |name| name == "SET")
    }

    #[test]
    fn the_last_of_two_lines_with_one_name_wins() {
        let variables = parsed("\u{feff}A=1\nB='2'\n\n# A=3\nexport A=4 # four\n").unwrap();
        let expected = [("A", "4"), ("B", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_without_its_text() {
        for (text, number) in [
            ("A=1\n\n# comment\nsecret\nB=2\n", 4),
            ("A=sec ret", 1),
            ("A='1\n2'\nB='secret\nC=3\n", 3),
            ("A=1\nB=se$cret\n", 2),
            ("A=\"${SET}${secret}\"\n", 1),
            ("A=secret$\n", 1),
            ("A=#secret\n", 1),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.starts_with(&format!("line {number} of .env ")), "{text}: {error}");
            assert!(!error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn a_dollar_is_kept_in_single_quotes_or_escaped() {
        for text in ["A='pa$word#1'\n", "A=pa\\$word#1 # $x\n", "A=\"pa\\$word#1\"\n"] {
            assert_eq!(parsed(text).unwrap()["A"], "pa$word#1", "{text}");
        }
    }

    #[test]
    fn a_dollar_stands_for_a_variable_that_is_set() {
        let variables = parsed("DB_NAME=orders\nA=x${DB_NAME}\nB=$SET\n").unwrap();
        assert_eq!(variables["A"], "xorders");
    }
}
