//! One column value, borrowed from the wire.
//!
//! Sources decode into [`Value`], encoders write from it; neither knows the other. A value is
//! `Copy` and owns nothing: text and bytes point into the batch that was read, or into the arena
//! of that batch where the wire form had to be rewritten (an unescaped array element, a decimal's
//! two's complement). Both live exactly as long as one batch is worked on.
//!
//! *Null*, *absent* and *unavailable* are three different things: the database said NULL; the log
//! does not carry the column in this image (a key-only old row); the column exists with a value
//! that the log did not repeat (unchanged TOAST, a minimal row image).

/// A column value as a source understood it. The column's [`crate::schema::ColumnType`] tells
/// which variants can occur.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// Not part of this row image; only in `before`, when the log carries the key alone.
    Absent,
    /// Unchanged and not repeated by the log.
    Unavailable,
    Bool(bool),
    /// Every signed integer up to 64 bits, and every unsigned one that fits.
    Int(i64),
    /// An unsigned 64-bit integer (MySQL's BIGINT UNSIGNED), whatever its size.
    UInt(u64),
    Float32(f32),
    Float64(f64),
    Decimal(Decimal<'a>),
    /// A numeric that is no number.
    DecimalSpecial(DecimalSpecial),
    Text(&'a str),
    /// Opaque bytes; bit strings too, in little-endian order of bits.
    Bytes(&'a [u8]),
    /// Days since 1970-01-01. `i32::MAX` and `i32::MIN` are the infinities.
    Date(i32),
    /// A date, or a date and time, that is no day of the calendar: MySQL keeps zero dates
    /// (0000-00-00), partial ones (2024-00-10) and, where ALLOW_INVALID_DATES is set, 2024-02-31.
    NoSuchDate,
    /// Microseconds since midnight, 24:00:00 included. MySQL's TIME is a duration of up to
    /// 838:59:59 in either direction.
    Time(i64),
    /// Microseconds since midnight at an offset (seconds east of UTC).
    TimeTz {
        micros: i64,
        offset_s: i32,
    },
    /// Microseconds since 1970-01-01 00:00 without zone. `i64::MAX` and `i64::MIN` are the infinities.
    Timestamp(i64),
    /// Microseconds since 1970-01-01 00:00 UTC. `i64::MAX` and `i64::MIN` are the infinities.
    TimestampTz(i64),
    /// A timestamp with zone that [`Value::TimestampTz`] cannot hold: microseconds since 1970 end
    /// in 294247, PostgreSQL's years in 294276.
    FarTimestampTz {
        seconds: i64,
        micros: u32,
    },
    Interval(Interval),
    Point {
        x: f64,
        y: f64,
    },
    /// A shape as well-known binary. MySQL's SRID 0 is none.
    Geometry {
        srid: u32,
        wkb: &'a [u8],
    },
    /// Elements in row-major order.
    Array(&'a [Value<'a>]),
    /// The fields of a record, in their order.
    Struct(&'a [Value<'a>]),
    /// What an update did to a document.
    UpdateDescription(&'a UpdateDescription<'a>),
}

/// What an update did to a document of MongoDB, as the server tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateDescription<'a> {
    /// Dotted paths of fields that are gone.
    pub removed: &'a [&'a str],
    /// A JSON object: new values by dotted path.
    pub updated: Option<&'a str>,
    pub truncated: &'a [TruncatedArray<'a>],
}

/// An array that an update has cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncatedArray<'a> {
    /// Its dotted path.
    pub field: &'a str,
    pub new_size: i32,
}

/// A finite decimal: `unscaled * 10^-scale`, unscaled as minimal big-endian two's complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal<'a> {
    pub unscaled: &'a [u8],
    pub scale: i32,
}

impl Decimal<'_> {
    /// How many bytes, the last ones, of an unscaled number it takes.
    #[inline]
    #[must_use]
    pub fn n_bytes_of(unscaled: i64) -> usize {
        // All but the bits that repeat the sign, which needs one itself.
        let n_bits = i64::BITS + 1 - (unscaled ^ (unscaled >> 63)).leading_zeros();
        n_bits.div_ceil(8) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalSpecial {
    NaN,
    PositiveInfinity,
    NegativeInfinity,
}

/// PostgreSQL's interval: the three parts do not convert into each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// A value that outlives its batch: column defaults, constants of a source block.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedValue {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float32(f32),
    Float64(f64),
    Decimal { unscaled: Vec<u8>, scale: i32 },
    Text(String),
    Bytes(Vec<u8>),
    Date(i32),
    Time(i64),
    TimeTz { micros: i64, offset_s: i32 },
    Timestamp(i64),
    TimestampTz(i64),
    Interval(Interval),
}

impl OwnedValue {
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(v) => Value::Bool(*v),
            Self::Int(v) => Value::Int(*v),
            Self::UInt(v) => Value::UInt(*v),
            Self::Float32(v) => Value::Float32(*v),
            Self::Float64(v) => Value::Float64(*v),
            Self::Decimal { unscaled, scale } => {
                Value::Decimal(Decimal { unscaled, scale: *scale })
            }
            Self::Text(v) => Value::Text(v),
            Self::Bytes(v) => Value::Bytes(v),
            Self::Date(v) => Value::Date(*v),
            Self::Time(v) => Value::Time(*v),
            Self::TimeTz { micros, offset_s } => {
                Value::TimeTz { micros: *micros, offset_s: *offset_s }
            }
            Self::Timestamp(v) => Value::Timestamp(*v),
            Self::TimestampTz(v) => Value::TimestampTz(*v),
            Self::Interval(v) => Value::Interval(*v),
        }
    }
}
