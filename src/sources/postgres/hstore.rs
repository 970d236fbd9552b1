//! `hstore_out` to the JSON text that Debezium publishes.
//!
//! Debezium reads the pairs into a Java `HashMap` and writes them as it walks the table, so the
//! order of keys is that of their hashes. Consumers may compare the text, so the order is kept.

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use crate::sources::postgres::decode_error::ValueError;

const MALFORMED: ValueError = ValueError::Malformed("an hstore");

/// `"a"=>"1", "b c"=>NULL` to `{"a":"1","b c":null}`.
pub(crate) fn to_json<'a>(text: &str, arena: &'a Bump) -> Result<&'a str, ValueError> {
    let mut pairs = BumpVec::new_in(arena);
    let mut rest = text;
    while !rest.is_empty() {
        if !pairs.is_empty() {
            rest = rest.strip_prefix(", ").ok_or(MALFORMED)?;
        }
        let (key, after) = quoted(rest, arena)?;
        let after = after.strip_prefix("=>").ok_or(MALFORMED)?;
        let (value, after) = match after.strip_prefix("NULL") {
            Some(after) => (None, after),
            None => quoted(after, arena).map(|(value, after)| (Some(value), after))?,
        };
        pairs.push((key, value));
        rest = after;
    }
    let n_buckets = table_size(pairs.len());
    // Stable: within a bucket the table keeps the order of insertion.
    pairs.sort_by_key(|(key, _)| bucket(key, n_buckets));
    let mut json = BumpString::with_capacity_in(text.len() + 2, arena);
    json.push('{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        push_string(&mut json, key);
        json.push(':');
        match value {
            Some(value) => push_string(&mut json, value),
            None => json.push_str("null"),
        }
    }
    json.push('}');
    Ok(json.into_bump_str())
}

fn quoted<'t, 'a>(text: &'t str, arena: &'a Bump) -> Result<(BumpString<'a>, &'t str), ValueError> {
    let text = text.strip_prefix('"').ok_or(MALFORMED)?;
    let mut out = BumpString::new_in(arena);
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((out, text.get(at + 1..).ok_or(MALFORMED)?)),
            '\\' => out.push(characters.next().ok_or(MALFORMED)?.1),
            other => out.push(other),
        }
    }
    Err(MALFORMED)
}

/// `java.util.HashMap`: 16 buckets, doubled whenever more than three quarters are taken.
fn table_size(n_pairs: usize) -> u32 {
    let mut n_buckets = 16_u32;
    while n_pairs > usize::try_from(n_buckets / 4 * 3).unwrap_or(usize::MAX) && n_buckets < 1 << 30
    {
        n_buckets *= 2;
    }
    n_buckets
}

/// `String.hashCode` over UTF-16, spread and masked as `HashMap` does.
fn bucket(key: &str, n_buckets: u32) -> u32 {
    let hash = key
        .encode_utf16()
        .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) & (n_buckets - 1)
}

/// As Jackson escapes: what JSON demands and nothing else, hexadecimal digits in capitals.
fn push_string(json: &mut BumpString<'_>, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            control if control < ' ' => {
                let escape = format!("\\u{:04X}", u32::from(control));
                json.push_str(&escape);
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, ValueError>) {
        assert_eq!(to_json(text, &Bump::new()), expected, "{text}");
    }

    #[test]
    fn pairs_come_in_the_order_of_debeziums_hash_table() {
        check(
            r#""a"=>"1", "b c"=>NULL, "q\"t"=>"x\\y""#,
            Ok(r#"{"a":"1","q\"t":"x\\y","b c":null}"#),
        );
        check("", Ok("{}"));
        check(r#""k"=>"""#, Ok(r#"{"k":""}"#));
        check(r#""NULL"=>"NULL""#, Ok(r#"{"NULL":"NULL"}"#));
        // Of 16 buckets "P" (80) falls into the first, "A" (65) into the second.
        check(r#""A"=>"1", "P"=>"2""#, Ok(r#"{"P":"2","A":"1"}"#));
    }

    #[test]
    fn control_characters_are_escaped_as_jackson_does() {
        check("\"k\"=>\"a\nb\u{1f}ü😀/\"", Ok("{\"k\":\"a\\nb\\u001Fü😀/\"}"));
    }

    #[test]
    fn what_is_no_hstore_is_refused() {
        for text in [
            "a",
            "\"a\"",
            "\"a\"=>",
            "\"a\"=>b",
            "\"a\"=>\"b",
            "\"a\"=>\"b\",",
            "\"a\"=>\"b\" ",
            "\"a\\",
        ] {
            check(text, Err(MALFORMED));
        }
    }
}
