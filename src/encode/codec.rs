//! How the values of a column are written, by its type and the modes that the operator chose.
//! `schema::debezium::column_schema` says the type in the schema; the two change together.

use super::binary_text::BinaryText;
use super::emit::Nullability;
use super::row::label;
use crate::config::{
    BigintUnsignedMode, BinaryMode, DecimalMode, HstoreMode, IntervalMode, TimeMode, ValueModes,
};
use crate::schema::ColumnType;
use crate::schema::debezium::element_optional;

/// How a column's values are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codec {
    Bool,
    Int16,
    Int32,
    Int64,
    UInt64,
    /// As a decimal without fraction.
    UInt64Decimal,
    Float32,
    Float64,
    Decimal {
        scale: i32,
    },
    VariableDecimal,
    /// At least `scale` digits after the point.
    DecimalText {
        scale: i32,
    },
    DecimalDouble,
    Text,
    Json,
    Uuid,
    StringMap,
    Bytes,
    BytesText(BinaryText),
    Date,
    IsoDate,
    MilliTime,
    MicroTime,
    NanoTime,
    IsoTime,
    ZonedTime,
    MilliTimestamp,
    MicroTimestamp,
    NanoTimestamp,
    IsoTimestamp,
    ZonedTimestamp {
        digits: u8,
    },
    Duration,
    IsoInterval,
    Point,
    Geometry,
    FloatVector,
    Array {
        element: Box<Codec>,
        nullability: Nullability,
    },
    Struct {
        fields: Vec<StructCodec>,
    },
    UpdateDescription,
}

/// A field of a record, which may be null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StructCodec {
    pub(crate) codec: Codec,
    /// How JSON opens it.
    pub(crate) label: Vec<u8>,
}

impl Codec {
    pub(crate) fn of(data_type: &ColumnType, modes: &ValueModes) -> Self {
        match data_type {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int16 => Self::Int16,
            ColumnType::Int32 | ColumnType::Year => Self::Int32,
            ColumnType::Int64 => Self::Int64,
            ColumnType::UInt64 => match modes.bigint_unsigned {
                BigintUnsignedMode::Long => Self::UInt64,
                BigintUnsignedMode::Precise => Self::UInt64Decimal,
            },
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Decimal { scale, .. } | ColumnType::Money { scale } => {
                match modes.decimal {
                    DecimalMode::Precise => Self::Decimal { scale: *scale },
                    DecimalMode::String => Self::DecimalText { scale: *scale },
                    DecimalMode::Double => Self::DecimalDouble,
                }
            }
            ColumnType::VariableDecimal => match modes.decimal {
                DecimalMode::Precise => Self::VariableDecimal,
                DecimalMode::String => Self::DecimalText { scale: 0 },
                DecimalMode::Double => Self::DecimalDouble,
            },
            ColumnType::Text
            | ColumnType::Xml
            | ColumnType::Ltree
            | ColumnType::TsVector
            | ColumnType::Enum { .. }
            | ColumnType::EnumSet { .. } => Self::Text,
            ColumnType::Hstore if modes.hstore == HstoreMode::Map => Self::StringMap,
            ColumnType::Json | ColumnType::Hstore => Self::Json,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Bytes => match modes.binary {
                BinaryMode::Bytes => Self::Bytes,
                BinaryMode::Base64 => Self::BytesText(BinaryText::Base64),
                BinaryMode::Base64UrlSafe => Self::BytesText(BinaryText::Base64UrlSafe),
                BinaryMode::Hex => Self::BytesText(BinaryText::Hex),
            },
            ColumnType::Bits { .. } => Self::Bytes,
            ColumnType::Date
            | ColumnType::Time { .. }
            | ColumnType::SignedTime { .. }
            | ColumnType::Timestamp { .. } => Self::of_time(data_type, modes.time),
            ColumnType::TimeTz { .. } => Self::ZonedTime,
            ColumnType::TimestampTz { precision } => Self::ZonedTimestamp { digits: *precision },
            ColumnType::Interval => match modes.interval {
                IntervalMode::Numeric => Self::Duration,
                IntervalMode::String => Self::IsoInterval,
            },
            ColumnType::Point => Self::Point,
            ColumnType::Geometry => Self::Geometry,
            ColumnType::FloatVector => Self::FloatVector,
            ColumnType::Array(element) => Self::Array {
                element: Box::new(Self::of(element, modes)),
                nullability: Nullability::of(element_optional(element), false),
            },
            ColumnType::Struct(fields) => {
                let fields = fields.iter().enumerate().map(|(index, field)| StructCodec {
                    codec: Self::of(&field.data_type, modes),
                    label: label(index, &field.name),
                });
                Self::Struct { fields: fields.collect() }
            }
            ColumnType::UpdateDescription => Self::UpdateDescription,
        }
    }

    /// Dates and times without zone. Connect's own are numbers like Debezium's: only the names of
    /// their schemas differ.
    fn of_time(data_type: &ColumnType, mode: TimeMode) -> Self {
        match (data_type, mode) {
            (ColumnType::Date, TimeMode::Isostring) => Self::IsoDate,
            (ColumnType::Date, _) => Self::Date,
            (ColumnType::Timestamp { .. }, TimeMode::Connect) => Self::MilliTimestamp,
            (ColumnType::Timestamp { .. }, TimeMode::Isostring) => Self::IsoTimestamp,
            (ColumnType::Timestamp { .. }, TimeMode::Nanoseconds) => Self::NanoTimestamp,
            (
                ColumnType::Timestamp { precision: 0..=3 },
                TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds,
            ) => Self::MilliTimestamp,
            (ColumnType::Timestamp { .. }, _) => Self::MicroTimestamp,
            (_, TimeMode::Connect) => Self::MilliTime,
            (_, TimeMode::Isostring) => Self::IsoTime,
            (_, TimeMode::Nanoseconds) => Self::NanoTime,
            (ColumnType::Time { precision: 0..=3 }, TimeMode::Adaptive) => Self::MilliTime,
            (_, _) => Self::MicroTime,
        }
    }

    /// What its values are called in an error.
    pub(crate) fn expected(&self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Int16 | Self::Int32 | Self::Int64 => "an integer",
            Self::UInt64 | Self::UInt64Decimal => "an unsigned integer",
            Self::Float32 | Self::Float64 => "a floating point number of the column's size",
            Self::Decimal { .. }
            | Self::VariableDecimal
            | Self::DecimalText { .. }
            | Self::DecimalDouble => "a decimal",
            Self::Text | Self::Json | Self::Uuid => "text",
            Self::StringMap => "an object of texts",
            Self::Bytes | Self::BytesText(_) => "bytes",
            Self::Date | Self::IsoDate => "a date",
            Self::MilliTime | Self::MicroTime | Self::NanoTime | Self::IsoTime => "a time",
            Self::ZonedTime => "a time with zone",
            Self::MilliTimestamp
            | Self::MicroTimestamp
            | Self::NanoTimestamp
            | Self::IsoTimestamp => "a timestamp",
            Self::ZonedTimestamp { .. } => "a timestamp with zone",
            Self::Duration | Self::IsoInterval => "an interval",
            Self::Point => "a point",
            Self::Geometry => "a geometry",
            Self::FloatVector => "a vector of floating point numbers",
            Self::Array { .. } => "an array",
            Self::Struct { .. } => "a record of as many fields",
            Self::UpdateDescription => "an update's description",
        }
    }
}
