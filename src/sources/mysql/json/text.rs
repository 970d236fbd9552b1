//! A document's text.

use std::fmt::Write;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;

use super::JsonForm;
use super::binary::{Budget, MALFORMED, Stored, kind, sized};
use super::double;
use crate::sources::mysql::binlog::Reader;
use crate::sources::mysql::binlog::table_map::column_type;
use crate::sources::mysql::decimal;
use crate::sources::mysql::decode_error::ValueError;
use crate::sources::mysql::temporal::{self, Parts};

type Out<'o> = &'o mut dyn Write;

pub(super) fn write_stored(
    value: Stored<'_>,
    form: JsonForm,
    budget: &mut Budget,
    out: Out<'_>,
) -> Result<(), ValueError> {
    let Some(container) = value.container()? else { return write_scalar(value, form, budget, out) };
    budget.enter()?;
    put(out, if container.object { "{" } else { "[" })?;
    for index in 0..container.count {
        separate(index, form, out)?;
        if container.object {
            write_key(container.key(index)?, form, budget, out)?;
        }
        write_stored(container.value(index)?, form, budget, out)?;
    }
    budget.leave();
    put(out, if container.object { "}" } else { "]" })
}

fn put(out: Out<'_>, text: &str) -> Result<(), ValueError> {
    out.write_str(text).map_err(|_| MALFORMED)
}

/// Between two elements.
pub(super) fn separate(index: usize, form: JsonForm, out: Out<'_>) -> Result<(), ValueError> {
    match (index, form) {
        (0, _) => Ok(()),
        (_, JsonForm::Debezium) => put(out, ","),
        (_, JsonForm::Server) => put(out, ", "),
    }
}

pub(super) fn write_key(
    key: &str,
    form: JsonForm,
    budget: &mut Budget,
    out: Out<'_>,
) -> Result<(), ValueError> {
    budget.spend(key.len() + 1)?;
    write_string(key, form, out)?;
    put(out, if form == JsonForm::Debezium { ":" } else { ": " })
}

fn write_scalar(
    value: Stored<'_>,
    form: JsonForm,
    budget: &mut Budget,
    out: Out<'_>,
) -> Result<(), ValueError> {
    budget.spend(1)?;
    let mut bytes = Reader::new(value.bytes);
    let short = |_| MALFORMED;
    let written = match value.kind {
        kind::LITERAL => match bytes.u8().map_err(short)? {
            0 => out.write_str("null"),
            1 => out.write_str("true"),
            2 => out.write_str("false"),
            _ => return Err(MALFORMED),
        },
        kind::INT16 => write!(out, "{}", bytes.u16().map_err(short)?.cast_signed()),
        kind::UINT16 => write!(out, "{}", bytes.u16().map_err(short)?),
        kind::INT32 => write!(out, "{}", bytes.u32().map_err(short)?.cast_signed()),
        kind::UINT32 => write!(out, "{}", bytes.u32().map_err(short)?),
        kind::INT64 => write!(out, "{}", bytes.u64().map_err(short)?.cast_signed()),
        kind::UINT64 => write!(out, "{}", bytes.u64().map_err(short)?),
        kind::DOUBLE => {
            let number = f64::from_bits(bytes.u64().map_err(short)?);
            match form {
                _ if !number.is_finite() => return Err(MALFORMED),
                JsonForm::Debezium => double::write_as_debezium(number, out),
                JsonForm::Server => double::write_as_server(number, out),
            }
        }
        kind::STRING => {
            let text = sized(&mut bytes)?;
            budget.spend(text.len())?;
            let text = std::str::from_utf8(text).map_err(|_| MALFORMED)?;
            return write_string(text, form, out);
        }
        kind::OPAQUE => {
            let column_type = bytes.u8().map_err(short)?;
            let data = sized(&mut bytes)?;
            budget.spend(data.len())?;
            return write_opaque(column_type, data, form, out);
        }
        _ => return Err(MALFORMED),
    };
    written.map_err(|_| MALFORMED)
}

/// `double_quote` of `sql-common/json_dom.cc`; Debezium's differs in the case of hex digits.
fn write_string(text: &str, form: JsonForm, out: Out<'_>) -> Result<(), ValueError> {
    let mut write = || {
        out.write_char('"')?;
        // Whole runs at once; what is escaped is ASCII, so every cut is between characters.
        let mut run = text;
        while let Some(at) = run.find(|c: char| c < ' ' || c == '"' || c == '\\') {
            let (plain, rest) = run.split_at(at);
            let mut rest = rest.chars();
            out.write_str(plain)?;
            match rest.next() {
                Some('\u{8}') => out.write_str("\\b")?,
                Some('\t') => out.write_str("\\t")?,
                Some('\n') => out.write_str("\\n")?,
                Some('\u{c}') => out.write_str("\\f")?,
                Some('\r') => out.write_str("\\r")?,
                Some(c @ ('"' | '\\')) => write!(out, "\\{c}")?,
                Some(c) if form == JsonForm::Debezium => write!(out, "\\u{:04X}", u32::from(c))?,
                Some(c) => write!(out, "\\u{:04x}", u32::from(c))?,
                None => {}
            }
            run = rest.as_str();
        }
        out.write_str(run)?;
        out.write_char('"')
    };
    write().map_err(|_: std::fmt::Error| MALFORMED)
}

/// A value of an SQL type that JSON does not have.
fn write_opaque(
    column_type: u8,
    data: &[u8],
    form: JsonForm,
    out: Out<'_>,
) -> Result<(), ValueError> {
    let packed = || data.try_into().map(i64::from_le_bytes).map_err(|_| MALFORMED);
    let written = match column_type {
        column_type::NEWDECIMAL => {
            let [precision, scale, digits @ ..] = data else { return Err(MALFORMED) };
            let shape = decimal::Shape::in_document(*precision, *scale).ok_or(MALFORMED)?;
            return decimal::write(digits, shape, out);
        }
        column_type::DATE => {
            let parts = temporal::unpack_datetime(packed()?)?;
            write!(out, "\"{:04}-{:02}-{:02}\"", parts.year, parts.month, parts.day)
        }
        column_type::DATETIME | column_type::TIMESTAMP => {
            let parts = temporal::unpack_datetime(packed()?)?;
            write!(out, "\"{:04}-{:02}-{:02} ", parts.year, parts.month, parts.day)
                .and_then(|()| write_time(&parts, form, out))
        }
        column_type::TIME => {
            let parts = temporal::unpack_time(packed()?)?;
            let sign = if parts.negative { "-" } else { "" };
            write!(out, "\"{sign}").and_then(|()| write_time(&parts, form, out))
        }
        other => {
            let data = Base64Display::new(data, &STANDARD);
            match form {
                JsonForm::Debezium => write!(out, "\"{data}\""),
                // The number is the type's own (`Json_wrapper::to_string`).
                JsonForm::Server => write!(out, "\"base64:type{other}:{data}\""),
            }
        }
    };
    written.map_err(|_| MALFORMED)
}

/// The closing quote too.
fn write_time(parts: &Parts, form: JsonForm, out: Out<'_>) -> std::fmt::Result {
    write!(out, "{:02}:{:02}:{:02}", parts.hour, parts.minute, parts.second)?;
    match (form, parts.micros) {
        (JsonForm::Server, micros) => write!(out, ".{micros:06}\""),
        (JsonForm::Debezium, 0) => out.write_char('"'),
        (JsonForm::Debezium, mut micros) => {
            let mut width = 6;
            while micros % 10 == 0 {
                (micros, width) = (micros / 10, width - 1);
            }
            write!(out, ".{micros:0width$}\"")
        }
    }
}
