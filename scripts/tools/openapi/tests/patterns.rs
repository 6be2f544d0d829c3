//! The patterns of the documents work in every engine that clients use: those of PCRE, RE2, Java, .NET, Python and
//! ECMAScript, with and without a mode for Unicode.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::process::Command;

use openapi_manager::contracts;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{AssertionKind, Ast, ClassSet, ClassSetItem, GroupKind, Literal, LiteralKind};
use regex_syntax::ast::{RepetitionKind, RepetitionRange};
use serde_json::Value;

/// RE2 allows no more repetitions of one expression, those of repetitions multiplied.
const MAX_REPETITIONS: u32 = 1000;

/// Why some engine refuses `pattern`, or reads it differently.
fn unportable(pattern: &str) -> Option<String> {
    match Parser::new().parse(pattern) {
        Ok(ast) => in_ast(&ast, MAX_REPETITIONS),
        Err(error) => Some(error.to_string()),
    }
}

/// As [`unportable`], within a repetition that leaves `repetitions` to those inside it.
fn in_ast(ast: &Ast, repetitions: u32) -> Option<String> {
    match ast {
        Ast::Empty(_) => None,
        Ast::Literal(literal) => in_literal(literal),
        Ast::Assertion(assertion) => match assertion.kind {
            AssertionKind::StartLine | AssertionKind::EndLine => None,
            _ => Some("an assertion other than `^` and `$`".to_owned()),
        },
        Ast::ClassBracketed(class) => match &class.kind {
            ClassSet::Item(item) => in_class(item),
            ClassSet::BinaryOp(_) => Some("an operator between classes".to_owned()),
        },
        Ast::Repetition(repetition) => {
            let times = match &repetition.op.kind {
                RepetitionKind::Range(RepetitionRange::Exactly(n) | RepetitionRange::AtLeast(n)) => *n,
                RepetitionKind::Range(RepetitionRange::Bounded(_, n)) => *n,
                _ => 1,
            };
            if times > repetitions {
                return Some(format!("more than {MAX_REPETITIONS} repetitions"));
            }
            in_ast(&repetition.ast, repetitions / times.max(1))
        }
        Ast::Group(group) => match group.kind {
            GroupKind::CaptureIndex(_) => in_ast(&group.ast, repetitions),
            _ => Some("a group with a name or flags".to_owned()),
        },
        Ast::Alternation(alternation) => alternation.asts.iter().find_map(|ast| in_ast(ast, repetitions)),
        Ast::Concat(concat) => concat.asts.iter().find_map(|ast| in_ast(ast, repetitions)),
        Ast::Flags(_) | Ast::Dot(_) | Ast::ClassUnicode(_) | Ast::ClassPerl(_) => {
            Some("flags, a dot, or a class by name, which engines read differently".to_owned())
        }
    }
}

fn in_class(item: &ClassSetItem) -> Option<String> {
    match item {
        ClassSetItem::Empty(_) => None,
        ClassSetItem::Literal(literal) => in_literal(literal),
        ClassSetItem::Range(range) => in_literal(&range.start).or_else(|| in_literal(&range.end)),
        ClassSetItem::Union(union) => union.items.iter().find_map(in_class),
        _ => Some("a class by name or within a class".to_owned()),
    }
}

/// Without a mode for Unicode some engines read bytes; none but a few know `\u`.
fn in_literal(literal: &Literal) -> Option<String> {
    let plain = matches!(literal.kind, LiteralKind::Verbatim | LiteralKind::Meta);
    (!plain || !literal.c.is_ascii()).then(|| format!("{:?} as an escape, or not ASCII", literal.c))
}

/// Every schema with a pattern in the documents: the document's service and the schema.
fn patterned() -> Vec<(&'static str, Value)> {
    fn collect(service: &'static str, value: &Value, found: &mut Vec<(&'static str, Value)>) {
        if value["pattern"].is_string() {
            found.push((service, value.clone()));
        }
        let fields = value.as_object().into_iter().flat_map(|fields| fields.values());
        fields.chain(value.as_array().into_iter().flatten()).for_each(|inner| collect(service, inner, found));
    }
    let mut found = Vec::new();
    for contract in contracts().unwrap() {
        for document in [Some(contract.document), contract.events].into_iter().flatten() {
            collect(contract.service, &serde_json::from_str(&document).unwrap(), &mut found);
        }
    }
    found
}

#[test]
fn every_pattern_is_portable() {
    let patterned = patterned();
    assert!(!patterned.is_empty());
    for (service, schema) in patterned {
        assert_eq!(unportable(schema["pattern"].as_str().unwrap()), None, "{service}: {schema}");
    }
}

#[test]
fn what_an_engine_lacks_is_found() {
    for pattern in
        ["^[^\\u0000-\\u001F]$", "^\\p{L}+$", "^.$", "^\\d$", "^(?i:a)$", "^ä$", "^([0-9]{0,15}){0,99}$", "^(a$"]
    {
        assert!(unportable(pattern).is_some(), "{pattern}");
    }
    assert_eq!(unportable("^[!-~]([ -~]*[!-~])?(,[a-z]\\.){0,99}$"), None);
}

#[test]
fn every_example_matches_in_rust_and_python() {
    for (service, schema) in patterned() {
        let pattern = schema["pattern"].as_str().unwrap();
        let Some(example) = schema["example"].as_str() else { continue };
        assert!(regex::Regex::new(pattern).unwrap().is_match(example), "{service}: {schema}");
        let program = "import re, sys; sys.exit(re.search(sys.argv[1], sys.argv[2]) is None)";
        let python = Command::new("python3").args(["-c", program, pattern, example]).status().unwrap();
        assert!(python.success(), "{service}: {schema}");
    }
}
