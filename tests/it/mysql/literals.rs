//! Random literals of every type, often at an edge.

use rand::Rng;
use rand::rngs::StdRng;

use super::canonical::hex;
use super::kinds::Kind;
use crate::types::random_text;

/// A literal of this type; sometimes null, often at an edge. Sessions take literals without
/// backslash escapes.
pub(super) fn random(kind: Kind, rng: &mut StdRng) -> String {
    if rng.random_bool(0.15) {
        return "null".to_owned();
    }
    match kind {
        Kind::Int { bits, unsigned, .. } => integer(rng, bits, unsigned),
        Kind::Float => pick(rng, &["0.1", "-3.4028234e38", "1.1e-30", "0", "16777216", "-2.5"]),
        Kind::Double => {
            pick(rng, &["0.1", "-1.7976931348623157e308", "1e-300", "0", "123456789.123456789"])
        }
        Kind::Decimal { digits, scale, sql } => {
            let n_whole = rng.random_range(1..=digits - scale);
            let sign = rng.random_bool(0.5) && !sql.contains("unsigned");
            let minus = if sign { "-" } else { "" };
            format!("{minus}{}.{}", number(rng, n_whole), number(rng, scale.max(1)))
        }
        Kind::Year => pick(rng, &["1901", "2024", "2155"]),
        Kind::Date | Kind::Time { .. } | Kind::Datetime { .. } | Kind::Timestamp { .. } => {
            moment(kind, rng)
        }
        _ => other(kind, rng),
    }
}

fn moment(kind: Kind, rng: &mut StdRng) -> String {
    let micro = |rng: &mut StdRng| rng.random_range(0..1_000_000);
    match kind {
        Kind::Date => match rng.random_range(0..12) {
            0 => "'0000-00-00'".to_owned(),
            1 => "'2024-00-10'".to_owned(),
            2 => "'9999-12-31'".to_owned(),
            3 => "'1000-01-01'".to_owned(),
            _ => format!("'{}'", day(rng)),
        },
        Kind::Time { .. } => {
            let minus = if rng.random_bool(0.5) { "-" } else { "" };
            let hours = pick(rng, &["0", "1", "23", "24", "100", "838"]);
            format!("'{minus}{hours}:{:02}:{:02}.{:06}'", n60(rng), n60(rng), micro(rng))
        }
        Kind::Datetime { .. } => match rng.random_range(0..12) {
            0 => "'0000-00-00 00:00:00'".to_owned(),
            1 => "'2024-02-00 01:02:03'".to_owned(),
            _ => format!(
                "'{} 2{}:{:02}:{:02}.{:06}'",
                day(rng),
                n60(rng) % 4,
                n60(rng),
                n60(rng),
                micro(rng)
            ),
        },
        Kind::Timestamp { .. } => match rng.random_range(0..12) {
            0 => "'0000-00-00 00:00:00'".to_owned(),
            1 => "'1970-01-01 00:00:01'".to_owned(),
            2 => "'2038-01-19 03:14:07'".to_owned(),
            _ => format!(
                "'20{:02}-{:02}-11 05:{:02}:{:02}.{:06}'",
                n60(rng) % 38,
                n60(rng) % 12 + 1,
                n60(rng),
                n60(rng),
                micro(rng)
            ),
        },
        _ => panic!("{kind:?} is no moment"),
    }
}

fn other(kind: Kind, rng: &mut StdRng) -> String {
    match kind {
        Kind::Text { sql, .. } | Kind::Utf16 { sql } => {
            let n = if sql.contains('(') { 3 } else { 20 };
            format!("'{}'", random_text(rng, n).trim_end_matches(' '))
        }
        Kind::Bytes { sql } => {
            let n = rng.random_range(0..if sql == "binary(7)" { 8 } else { 25 });
            let bytes: Vec<u8> = (0..n).map(|_| rng.random()).collect();
            format!("x'{}'", hex(&bytes))
        }
        Kind::Bit { bits, .. } => {
            (rng.random::<u64>() >> (64 - bits) >> rng.random_range(0..bits)).to_string()
        }
        Kind::Enum => pick(rng, &["'sad'", "'o''k'", "'schön'"]),
        Kind::Set => pick(rng, &["''", "'a'", "'a,e'", "'e,bé,c d'"]),
        Kind::Json => document(rng),
        Kind::Geometry { sql: "point" } => {
            format!("st_geomfromtext('point({} {}.5)')", n60(rng), n60(rng))
        }
        Kind::Geometry { .. } => pick(
            rng,
            &[
                "st_geomfromtext('linestring(0 0, 1 2)')",
                "st_geomfromtext('polygon((0 0, 0 1, 1 1, 0 0))')",
                "st_geomfromtext('geometrycollection(point(1 2), point(3 4))')",
            ],
        ),
        Kind::Vector => format!("string_to_vector('[{}, -0.5, 1e10]')", n60(rng)),
        Kind::Uuid => {
            let hex = format!("{:032x}", rng.random::<u128>());
            let (a, rest) = hex.split_at(8);
            let (b, rest) = rest.split_at(4);
            let (c, rest) = rest.split_at(4);
            let (d, e) = rest.split_at(4);
            format!("'{a}-{b}-{c}-{d}-{e}'")
        }
        Kind::Inet { sql: "inet4" } => {
            pick(rng, &["'192.168.0.1'", "'10.0.0.0'", "'255.255.255.255'"])
        }
        Kind::Inet { .. } => pick(rng, &["'::1'", "'2001:db8::'", "'::ffff:10.0.0.1'"]),
        _ => panic!("{kind:?} has no literals"),
    }
}

fn pick(rng: &mut StdRng, literals: &[&str]) -> String {
    literals[rng.random_range(0..literals.len())].to_owned()
}

fn n60(rng: &mut StdRng) -> u32 {
    rng.random_range(0..60)
}

fn day(rng: &mut StdRng) -> String {
    let year = rng.random_range(1000..9999);
    format!("{year}-{:02}-{:02}", rng.random_range(1..13), rng.random_range(1..29))
}

fn number(rng: &mut StdRng, n_digits: u32) -> String {
    (0..n_digits).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
}

fn integer(rng: &mut StdRng, bits: u32, unsigned: bool) -> String {
    let whole = i128::from(rng.random::<u64>() >> (64 - bits));
    let span = 1_i128 << bits;
    let value = match rng.random_range(0..4) {
        0 => span - 1,
        1 => 0,
        2 => span / 2,
        _ => whole,
    };
    (if unsigned { value } else { value - span / 2 }).to_string()
}

fn document(rng: &mut StdRng) -> String {
    let deep = "[".repeat(20) + &"]".repeat(20);
    let long: Vec<String> =
        (0..rng.random_range(1..300)).map(|i| format!("\"k{i}\": {i}")).collect();
    match rng.random_range(0..9) {
        0 => "'null'".to_owned(),
        1 => "'\"x\\u00e9 😀\"'".to_owned(),
        2 => format!("'{{\"a\": [1, {}, null, true], \"b\": {{}} }}'", rng.random::<i64>()),
        3 => format!("'{deep}'"),
        4 => format!("'{{{}}}'", long.join(", ")),
        5 => "'18446744073709551615'".to_owned(),
        6 => "'[1.5, -2.25, 1e100]'".to_owned(),
        7 => format!("'\"{}\"'", "z".repeat(rng.random_range(100..20_000))),
        _ => "'[]'".to_owned(),
    }
}
