//! How values are written where Debezium gives a choice. Each name is the one that stands in the
//! file, so the written form and the resolved one are the same type.

use schemars::JsonSchema;
use serde::Deserialize;

use super::defaults;

/// The choices of one pipeline, whatever its source; a source's defaults where nothing was chosen,
/// or where it has nothing to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueModes {
    pub decimal: DecimalMode,
    pub time: TimeMode,
    pub binary: BinaryMode,
    pub interval: IntervalMode,
    pub hstore: HstoreMode,
    pub bigint_unsigned: BigintUnsignedMode,
}

impl Default for ValueModes {
    fn default() -> Self {
        defaults::POSTGRES_VALUES
    }
}

/// NUMERIC, DECIMAL and money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecimalMode {
    /// Connect's `Decimal`: bytes, with the scale in the schema.
    Precise,
    /// A text with every digit.
    String,
    /// A number of 64 bits, which keeps 15 to 17 digits.
    Double,
}

/// Dates and times without zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeMode {
    /// Milliseconds for up to three digits of the second's fraction, microseconds above
    /// (PostgreSQL only).
    Adaptive,
    /// As `adaptive`, but times of day are always microseconds.
    AdaptiveTimeMicroseconds,
    /// Connect's own `Date`, `Time` and `Timestamp`: milliseconds, finer digits are cut.
    Connect,
    /// Text: `2024-02-29Z`, `04:05:06.789Z`, `2024-02-29T04:05:06.789Z`.
    Isostring,
    /// Always microseconds.
    Microseconds,
    /// Always nanoseconds, which end in 1677 and in 2262.
    Nanoseconds,
}

/// Binary columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BinaryMode {
    Bytes,
    Base64,
    /// With `-` and `_`, which need no escaping in URLs and file names.
    Base64UrlSafe,
    /// In lower case.
    Hex,
}

/// PostgreSQL's intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMode {
    /// Microseconds, with months of 30 days and 10.5 hours.
    Numeric,
    /// `P1Y2M3DT4H5M6.789S`, which keeps months and days apart.
    String,
}

/// PostgreSQL's `hstore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HstoreMode {
    /// A JSON object as text.
    Json,
    /// A map of texts.
    Map,
}

/// MySQL's BIGINT UNSIGNED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BigintUnsignedMode {
    /// A signed number of 64 bits: from 2^63 on it comes out negative.
    Long,
    /// Connect's `Decimal` of scale 0: right for every number.
    Precise,
}

/// MySQL's TINYINT(1), which is what it makes of BOOLEAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tinyint1Mode {
    Number,
    /// True for every number but 0, as the server itself takes it.
    Boolean,
}
