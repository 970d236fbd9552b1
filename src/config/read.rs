//! From the tree to the written form: a serde deserializer whose errors know place and path.
//!
//! Scalars get their type here, from the field that wants them: `5432` and `${env:PGPORT}` both
//! make a port, and `password: 007` stays text. A section without content (`stdout:`) is an empty
//! map, so that its defaults apply.

use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Expected, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::diagnose::{Finding, suggestion};
use super::tree::{Entry, Kind, Node, Place, Scalar};

/// Reads a value out of the tree.
pub(super) fn read<T: DeserializeOwned>(root: &Node) -> Result<T, Finding> {
    T::deserialize(At(root)).map_err(|error| {
        let mut path = error.path;
        path.reverse();
        Finding::at(error.place.unwrap_or(root.place), &path, error.problem)
    })
}

/// Grows its path from the inside out while it travels up.
#[derive(Debug)]
struct ReadError {
    place: Option<Place>,
    path: Vec<String>,
    problem: String,
}

impl ReadError {
    fn new(place: Place, problem: impl Into<String>) -> Self {
        Self { place: Some(place), path: Vec::new(), problem: problem.into() }
    }

    fn at(mut self, place: Place) -> Self {
        self.place.get_or_insert(place);
        self
    }

    fn under(mut self, step: &str) -> Self {
        self.path.push(step.to_owned());
        self
    }
}

impl std::error::Error for ReadError {}

impl Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.problem)
    }
}

/// None of these quotes a value: it may be a secret in the wrong place.
impl serde::de::Error for ReadError {
    fn custom<T: Display>(message: T) -> Self {
        Self { place: None, path: Vec::new(), problem: message.to_string() }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("unknown key `{field}`; {}", suggestion(field, expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::custom(format_args!("the key `{field}` is missing"))
    }
}

#[derive(Clone, Copy)]
struct At<'n>(&'n Node);

impl<'n> At<'n> {
    fn error(self, problem: impl Into<String>) -> ReadError {
        ReadError::new(self.0.place, problem)
    }

    fn expected(self, what: &str) -> ReadError {
        let found = match &self.0.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(scalar) if scalar.plain && scalar.text.parse::<f64>().is_ok() => {
                "a number"
            }
            Kind::Scalar(scalar) if scalar.plain && is_bool(&scalar.text) => "true or false",
            Kind::Scalar(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        };
        self.error(format!("expected {what}, found {found}"))
    }

    fn plain(self, what: &str) -> Result<&'n str, ReadError> {
        match &self.0.kind {
            Kind::Scalar(scalar) if scalar.plain && !scalar.is_null() => Ok(&scalar.text),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => Err(self.expected(what)),
        }
    }

    fn text(self) -> Result<&'n str, ReadError> {
        match &self.0.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Ok(&scalar.text),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => Err(self.expected("text")),
        }
    }

    fn entries(self) -> Result<&'n [Entry], ReadError> {
        match &self.0.kind {
            Kind::Map(entries) => Ok(entries),
            Kind::Scalar(scalar) if scalar.is_null() => Ok(&[]),
            Kind::Scalar(_) | Kind::List(_) => Err(self.expected("a map")),
        }
    }
}

fn is_bool(text: &str) -> bool {
    matches!(text, "true" | "false")
}

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),* $(,)?) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
                let what = format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX);
                let number = self.plain(&what)?.parse::<$type>();
                let number = number.map_err(|_| self.expected(&what))?;
                visitor.$visit(number).map_err(|e: ReadError| e.at(self.0.place))
            }
        )*
    };
}

impl<'de> Deserializer<'de> for At<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.kind {
            Kind::Scalar(_) => self.deserialize_str(visitor),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.plain("true or false")? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(self.expected("true or false")),
        }
    }

    whole_numbers! {
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(self.text()?).map_err(|e: ReadError| e.at(self.0.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.0.kind {
            Kind::Scalar(scalar) if scalar.is_null() => visitor.visit_none(),
            Kind::Scalar(_) | Kind::List(_) | Kind::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Kind::List(items) = &self.0.kind else { return Err(self.expected("a list")) };
        visitor.visit_seq(Items { items, next: 0 }).map_err(|e: ReadError| e.at(self.0.place))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor
            .visit_map(Entries { entries: self.entries()?, next: 0 })
            .map_err(|e: ReadError| e.at(self.0.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let list = variants.join(", ");
        let tag = match &self.0.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Tag::of_scalar(self.0, scalar),
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => Tag::of_entry(entry),
                entries => {
                    let n = entries.len();
                    return Err(self.error(format!("expected exactly one of {list}, found {n}")));
                }
            },
            Kind::Scalar(_) | Kind::List(_) => {
                return Err(self.expected(&format!("one of {list}")));
            }
        };
        if !variants.contains(&tag.name) {
            let tail = suggestion(tag.name, variants);
            let problem = match tag.secret {
                true => format!("an unknown name from a reference; known: {list}"),
                false => format!("unknown name `{}`; {tail}", tag.name),
            };
            return Err(ReadError::new(tag.place, problem));
        }
        visitor.visit_enum(tag).map_err(|e: ReadError| e.at(self.0.place))
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

struct Items<'n> {
    items: &'n [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let step = self.next.to_string();
        self.next += 1;
        seed.deserialize(At(item)).map(Some).map_err(|e| e.under(&step))
    }
}

struct Entries<'n> {
    entries: &'n [Entry],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        seed.deserialize(StrDeserializer::new(&entry.key))
            .map(Some)
            .map_err(|e: ReadError| e.at(entry.key_place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let entry = &self.entries[self.next];
        self.next += 1;
        seed.deserialize(At(&entry.value)).map_err(|e| e.under(&entry.key))
    }
}

/// An externally tagged enum: a bare name, or a map with the name as its one key.
struct Tag<'n> {
    name: &'n str,
    place: Place,
    secret: bool,
    content: Option<&'n Node>,
}

impl<'n> Tag<'n> {
    fn of_scalar(node: &Node, scalar: &'n Scalar) -> Self {
        Self { name: &scalar.text, place: node.place, secret: scalar.interpolated, content: None }
    }

    fn of_entry(entry: &'n Entry) -> Self {
        let (name, place) = (entry.key.as_str(), entry.key_place);
        Self { name, place, secret: false, content: Some(&entry.value) }
    }
}

impl<'de> EnumAccess<'de> for Tag<'_> {
    type Error = ReadError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), ReadError> {
        let variant = seed
            .deserialize(StrDeserializer::new(self.name))
            .map_err(|e: ReadError| e.at(self.place))?;
        Ok((variant, self))
    }
}

impl Tag<'_> {
    fn needs_content(&self) -> ReadError {
        let problem = format!("`{}` is a section: write `{}: {{ … }}`", self.name, self.name);
        ReadError::new(self.place, problem)
    }
}

impl<'de> VariantAccess<'de> for Tag<'_> {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        match self.content {
            None => Ok(()),
            Some(_) => {
                let problem = format!("`{}` is a plain word here, without a section", self.name);
                Err(ReadError::new(self.place, problem))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        let content = self.content.ok_or_else(|| self.needs_content())?;
        seed.deserialize(At(content)).map_err(|e| e.under(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ReadError> {
        Err(self.needs_content())
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let content = self.content.ok_or_else(|| self.needs_content())?;
        At(content).deserialize_map(visitor).map_err(|e| e.under(self.name))
    }
}
