//! A JSON object of texts and nulls, which is what an hstore is, read pair by pair for formats
//! whose maps are no JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// Text of the document where it has no escapes.
struct Part<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Part<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Part<'de>, E> {
                Ok(Part(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Part<'de>, E> {
                Ok(Part(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// Calls `each` for every pair.
struct Pairs<F>(F);

impl<'de, F: FnMut(&str, Option<&str>)> Visitor<'de> for Pairs<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<Part<'de>, Option<Part<'de>>>()? {
            (self.0)(&key.0, value.as_ref().map(|value| &*value.0));
        }
        Ok(())
    }
}

/// Counts pairs, whatever their values are.
struct Count;

impl<'de> Visitor<'de> for Count {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        let mut n_pairs = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            n_pairs += 1;
        }
        Ok(n_pairs)
    }
}

/// `None` for a text that is no such object.
pub(crate) fn count(json: &str) -> Option<usize> {
    serde_json::Deserializer::from_str(json).deserialize_map(Count).ok()
}

/// Hands on every pair in its order; `None` for a text that is no such object.
pub(crate) fn pairs(json: &str, each: impl FnMut(&str, Option<&str>)) -> Option<()> {
    serde_json::Deserializer::from_str(json).deserialize_map(Pairs(each)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_their_order() {
        let json = r#"{"a":"1","q\"t":"x\\y","b c":null}"#;
        let mut found = Vec::new();
        pairs(json, |key, value| found.push((key.to_owned(), value.map(str::to_owned)))).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = [
            ("a".to_owned(), text("1")),
            ("q\"t".to_owned(), text("x\\y")),
            ("b c".to_owned(), None),
        ];
        assert_eq!(found, expected);
        assert_eq!(count(json), Some(3));
        assert_eq!(count("{}"), Some(0));
        assert_eq!(pairs("[1]", |_, _| {}), None);
        assert_eq!(pairs(r#"{"a":1}"#, |_, _| {}), None);
    }
}
