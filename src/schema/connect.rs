//! Kafka Connect's schema model, as far as Debezium's records need it.
//!
//! It is the pivot: [`super::debezium`] builds it from a table, [`super::avro`] and
//! [`super::json_schema`] write it down. It holds no values and encodes none.

/// A schema: a kind, and what Connect hangs on it.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectSchema {
    pub kind: Kind,
    pub optional: bool,
    pub default: Option<Literal>,
    pub name: Option<String>,
    pub version: Option<u32>,
    /// In insertion order, which is part of the schema's text.
    pub parameters: Vec<(&'static str, String)>,
    pub doc: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    String,
    Bytes,
    Array(Box<ConnectSchema>),
    /// From texts, which are never null, to these.
    Map(Box<ConnectSchema>),
    Struct(Vec<Field>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub name: String,
    pub schema: ConnectSchema,
}

/// A default, converted to the form in which Connect holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl ConnectSchema {
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            optional: false,
            default: None,
            name: None,
            version: None,
            parameters: Vec::new(),
            doc: None,
        }
    }

    /// A required struct with a name.
    #[must_use]
    pub fn record(name: impl Into<String>, fields: Vec<Field>) -> Self {
        Self { name: Some(name.into()), ..Self::new(Kind::Struct(fields)) }
    }

    /// A semantic type: Debezium's and Connect's are all at version 1.
    #[must_use]
    pub fn semantic(kind: Kind, name: &'static str) -> Self {
        Self { name: Some(name.to_owned()), version: Some(1), ..Self::new(kind) }
    }

    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    #[must_use]
    pub fn versioned(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    #[must_use]
    pub fn parameter(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.parameters.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn documented(mut self, doc: &'static str) -> Self {
        self.doc = Some(doc);
        self
    }

    /// The fields of a struct; none for any other kind.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        match &self.kind {
            Kind::Struct(fields) => fields,
            Kind::Boolean
            | Kind::Int16
            | Kind::Int32
            | Kind::Int64
            | Kind::Float32
            | Kind::Float64
            | Kind::String
            | Kind::Bytes
            | Kind::Array(_)
            | Kind::Map(_) => &[],
        }
    }
}

impl Field {
    #[must_use]
    pub fn new(name: impl Into<String>, schema: ConnectSchema) -> Self {
        Self { name: name.into(), schema }
    }
}
