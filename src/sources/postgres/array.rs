//! `array_out`: braces, quotes and backslashes to elements in row-major order.
//!
//! Dimensions are flattened: an envelope's array has one, and Debezium makes nulls of the inner
//! ones. Lower bounds (`[0:1]={7,8}`) are dropped. An unquoted NULL is null, a quoted one is text.
//! Format: PostgreSQL manual, "Array Input and Output Syntax".

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use crate::sources::postgres::decode_error::ValueError;
use crate::value::Value;

const MALFORMED: ValueError = ValueError::Malformed("an array");

/// `MAXDIM` of the server.
const DEPTH_MAX: usize = 6;

/// Reads each element with `read`, which gets its text without quotes and escapes.
pub(crate) fn from_text<'a>(
    text: &'a str,
    arena: &'a Bump,
    mut read: impl FnMut(&'a str) -> Result<Value<'a>, ValueError>,
) -> Result<Value<'a>, ValueError> {
    let mut rest = without_bounds(text)?;
    let mut elements = BumpVec::new_in(arena);
    let mut depth = 0;
    let mut expect = Expect::Open;
    while let Some(&first) = rest.as_bytes().first() {
        let (taken, next) = match (first, expect) {
            (b'{', Expect::Open | Expect::ElementOrClose | Expect::Element)
                if depth < DEPTH_MAX =>
            {
                depth += 1;
                (1, Expect::ElementOrClose)
            }
            (b'}', Expect::ElementOrClose | Expect::CommaOrClose) => {
                depth -= 1;
                (1, if depth == 0 { Expect::End } else { Expect::CommaOrClose })
            }
            (b',', Expect::CommaOrClose) => (1, Expect::Element),
            (b'{' | b'}' | b',', _) | (_, Expect::Open | Expect::CommaOrClose | Expect::End) => {
                return Err(MALFORMED);
            }
            (b'"', Expect::ElementOrClose | Expect::Element) => {
                let (element, taken) = quoted(rest, arena)?;
                elements.push(read(element)?);
                (taken, Expect::CommaOrClose)
            }
            (_, Expect::ElementOrClose | Expect::Element) => {
                let (element, taken) = bare(rest)?;
                elements.push(if element == "NULL" { Value::Null } else { read(element)? });
                (taken, Expect::CommaOrClose)
            }
        };
        rest = rest.get(taken..).ok_or(MALFORMED)?;
        expect = next;
    }
    match expect {
        Expect::End => Ok(Value::Array(elements.into_bump_slice())),
        Expect::Open | Expect::Element | Expect::ElementOrClose | Expect::CommaOrClose => {
            Err(MALFORMED)
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The outermost brace.
    Open,
    /// After a comma.
    Element,
    /// After an opening brace.
    ElementOrClose,
    /// After an element or an inner array.
    CommaOrClose,
    End,
}

/// Drops `[lower:upper]…=` in front.
fn without_bounds(text: &str) -> Result<&str, ValueError> {
    if !text.starts_with('[') {
        return Ok(text);
    }
    let (bounds, rest) = text.split_once('=').ok_or(MALFORMED)?;
    let plausible = |byte: u8| byte.is_ascii_digit() || b"[]:-+".contains(&byte);
    if bounds.bytes().all(plausible) { Ok(rest) } else { Err(MALFORMED) }
}

/// An element in quotes, and how many bytes it takes with them.
fn quoted<'a>(rest: &'a str, arena: &'a Bump) -> Result<(&'a str, usize), ValueError> {
    let mut escaped = false;
    let mut any_escape = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => (escaped, any_escape) = (true, true),
            b'"' => {
                let inner = rest.get(1..at).ok_or(MALFORMED)?;
                let inner = if any_escape { unescape(inner, arena) } else { inner };
                return Ok((inner, at + 1));
            }
            _ => {}
        }
    }
    Err(MALFORMED)
}

/// An element without quotes: up to the next comma or brace. The server quotes whatever holds
/// blanks, quotes or backslashes.
fn bare(rest: &str) -> Result<(&str, usize), ValueError> {
    let end = rest.bytes().position(|byte| matches!(byte, b',' | b'}' | b'{' | b'"' | b'\\'));
    let end = end.ok_or(MALFORMED)?;
    let element = rest.get(..end).ok_or(MALFORMED)?;
    Ok((element, end))
}

fn unescape<'a>(text: &str, arena: &'a Bump) -> &'a str {
    let mut out = BumpString::with_capacity_in(text.len(), arena);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out.into_bump_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[Option<&str>], ValueError>) {
        let arena = Bump::new();
        let copied = arena.alloc_str(text);
        let found = from_text(copied, &arena, |element| Ok(Value::Text(element)));
        match (found, expected) {
            (Ok(Value::Array(found)), Ok(expected)) => {
                let expected: Vec<_> =
                    expected.iter().map(|e| e.map_or(Value::Null, Value::Text)).collect();
                assert_eq!(found, expected, "{text}");
            }
            (found, expected) => assert_eq!(found.err(), expected.err(), "{text}"),
        }
    }

    #[test]
    fn elements_are_quoted_where_they_must_be() {
        check("{}", Ok(&[]));
        check("{a}", Ok(&[Some("a")]));
        check(
            r#"{a,"b,c",NULL,"NULL",""}"#,
            Ok(&[Some("a"), Some("b,c"), None, Some("NULL"), Some("")]),
        );
        check(
            r#"{"q\"t","x\\y","{}","😀 "}"#,
            Ok(&[Some("q\"t"), Some("x\\y"), Some("{}"), Some("😀 ")]),
        );
        check("{sad,\"ha,ppy\"}", Ok(&[Some("sad"), Some("ha,ppy")]));
    }

    #[test]
    fn dimensions_are_flattened_in_row_major_order() {
        check("{{1,2},{3,4}}", Ok(&[Some("1"), Some("2"), Some("3"), Some("4")]));
        check("{{NULL},{NULL}}", Ok(&[None, None]));
        check("[0:1]={7,8}", Ok(&[Some("7"), Some("8")]));
        check("[-1:0][2:3]={{1,2},{3,4}}", Ok(&[Some("1"), Some("2"), Some("3"), Some("4")]));
        check("{{{{{{1}}}}}}", Ok(&[Some("1")]));
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in [
            "",
            "{",
            "}",
            "a",
            "{a",
            "{a,}",
            "{,a}",
            "{a}b",
            "{a}}",
            "{\"a}",
            "{\"a\\",
            "{a\"b\"}",
            "{{{{{{{1}}}}}}}",
            "[0:1]",
            "[0;1]={1}",
            "{a}{b}",
            "{{1}2}",
        ] {
            check(text, Err(MALFORMED));
        }
    }
}
