//! Random literals of every mapped type, and the edges of each.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// How the server says the same: an expression over `v` whose text the decoded value must print.
pub(crate) struct Type {
    pub(crate) name: &'static str,
    pub(crate) edges: &'static [&'static str],
    pub(crate) random: fn(&mut StdRng) -> String,
    pub(crate) oracle: Option<&'static str>,
    pub(crate) in_arrays: bool,
}

pub(crate) fn seed() -> (u64, StdRng) {
    let named = std::env::var("TAILWATER_SEED").ok();
    let seed = named.map_or_else(|| rand::rng().random(), |seed| seed.parse().expect("a number"));
    println!("TAILWATER_SEED={seed}");
    (seed, StdRng::seed_from_u64(seed))
}

fn digits(rng: &mut StdRng, n_max: usize) -> String {
    let n = rng.random_range(1..=n_max);
    (0..n).map(|_| char::from(b'0' + rng.random_range(0..10))).collect()
}

fn decimal(rng: &mut StdRng, whole: usize, fraction: usize) -> String {
    let sign = ["", "-"].choose(rng).unwrap();
    format!("{sign}{}.{}", digits(rng, whole), digits(rng, fraction))
}

fn text(rng: &mut StdRng) -> String {
    const PIECES: [&str; 18] = [
        "a", "Z", " ", "\"", "'", "\\", ",", "{", "}", "NULL", "null", "ü", "😀", "\n", "\t", "=>",
        "\u{1}", "1",
    ];
    (0..rng.random_range(0..8)).map(|_| *PIECES.choose(rng).unwrap()).collect()
}

fn time(rng: &mut StdRng) -> String {
    let (h, m, s) = (rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60));
    format!("{h:02}:{m:02}:{s:02}.{:06}", rng.random_range(0..1_000_000))
}

fn date(rng: &mut StdRng, last_year: i32) -> (String, &'static str) {
    let era = if rng.random_bool(0.2) { " BC" } else { "" };
    let last = if era.is_empty() { last_year } else { 4713 };
    let range = if rng.random_bool(0.5) { 1900..2100 } else { 1..last };
    let (y, m, d) = (rng.random_range(range), rng.random_range(1..=12), rng.random_range(1..=28));
    (format!("{y:04}-{m:02}-{d:02}"), era)
}

fn stamp(rng: &mut StdRng) -> String {
    let (date, era) = date(rng, 294_200);
    format!("{date} {}{era}", time(rng))
}

fn interval(rng: &mut StdRng) -> String {
    let mut part = |n: i64| rng.random_range(-n..n);
    format!("{} months {} days {} microseconds", part(1 << 20), part(1 << 30), part(1 << 62))
}

fn bits(rng: &mut StdRng, n: usize) -> String {
    (0..n).map(|_| if rng.random() { '1' } else { '0' }).collect()
}

fn json(rng: &mut StdRng) -> String {
    serde_json::json!({ text(rng): [text(rng), null_or(rng), 1.5], "k": {} }).to_string()
}

fn null_or(rng: &mut StdRng) -> Option<i32> {
    rng.random::<bool>().then(|| rng.random())
}

fn hstore(rng: &mut StdRng) -> String {
    let quote = |text: String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pairs = (0..rng.random_range(0..20)).map(|_| {
        let value = if rng.random_bool(0.2) { "NULL".to_owned() } else { quote(text(rng)) };
        format!("{}=>{value}", quote(text(rng) + &digits(rng, 2)))
    });
    pairs.collect::<Vec<_>>().join(",")
}

fn address(rng: &mut StdRng) -> String {
    let mask = rng.random_range(0..=32);
    if rng.random() {
        let bytes: [u8; 4] = rng.random();
        format!("{}/{mask}", std::net::Ipv4Addr::from(bytes))
    } else {
        let mut words: [u16; 8] = rng.random();
        for word in &mut words {
            if rng.random_bool(0.6) {
                *word = 0;
            }
        }
        format!("{}/{}", std::net::Ipv6Addr::from(words), mask * 4)
    }
}

fn point(rng: &mut StdRng) -> String {
    format!("({},{})", rng.random::<f64>() * 1e9, rng.random::<f32>())
}

fn int_range(rng: &mut StdRng) -> String {
    let (low, n) = (rng.random_range(-100..100), rng.random_range(0..50));
    format!("[{low},{}]", low + n)
}

const MICROS: &str = "(extract(epoch from v) * 1000000)::numeric(40,0)::text";
const AS_PRINTED: Option<&str> = Some("format('%s', v)");

pub(crate) const TYPES: &[Type] = &[
    Type {
        name: "bool",
        edges: &["t", "f"],
        random: |r| r.random::<bool>().to_string(),
        oracle: Some("v::text"),
        in_arrays: true,
    },
    Type {
        name: "int2",
        edges: &["-32768", "32767"],
        random: |r| r.random::<i16>().to_string(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "int4",
        edges: &["-2147483648", "0"],
        random: |r| r.random::<i32>().to_string(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "int8",
        edges: &["-9223372036854775808"],
        random: |r| r.random::<i64>().to_string(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "oid",
        edges: &["4294967295"],
        random: |r| r.random::<u32>().to_string(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "float4",
        edges: &["NaN", "-0", "Infinity", "1e-45", "3.4028235e38"],
        random: |r| f32::from_bits(r.random()).to_string().replace("inf", "Infinity"),
        oracle: None,
        in_arrays: true,
    },
    Type {
        name: "float8",
        edges: &["NaN", "-0", "-Infinity", "5e-324", "1.7976931348623157e308"],
        random: |r| f64::from_bits(r.random()).to_string().replace("inf", "Infinity"),
        oracle: None,
        in_arrays: true,
    },
    Type {
        name: "numeric",
        edges: &[
            "0",
            "0.000",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-16383",
            "1e1000",
            "100.00",
            "-9999.9999",
            "10000",
            "0.0001",
        ],
        random: |r| decimal(r, 60, 60),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "numeric(20,6)",
        edges: &["NaN", "0", "-99999999999999.999999"],
        random: |r| decimal(r, 14, 6),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "numeric(60,30)",
        edges: &["0.000000000000000000000000000001"],
        random: |r| decimal(r, 29, 30),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "money",
        edges: &["-92233720368547758.08", "92233720368547758.07", "-0.01"],
        random: |r| decimal(r, 12, 2),
        oracle: Some("v::numeric::text"),
        in_arrays: false,
    },
    Type { name: "text", edges: &[""], random: text, oracle: AS_PRINTED, in_arrays: true },
    Type { name: "varchar(40)", edges: &[""], random: text, oracle: AS_PRINTED, in_arrays: true },
    Type { name: "char(40)", edges: &[""], random: text, oracle: AS_PRINTED, in_arrays: true },
    Type { name: "bpchar", edges: &["x  "], random: text, oracle: AS_PRINTED, in_arrays: true },
    Type { name: "name", edges: &[""], random: text, oracle: AS_PRINTED, in_arrays: false },
    Type {
        name: "\"char\"",
        edges: &["", "\\"],
        random: |r| char::from(r.random_range(32..127_u8)).to_string(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type { name: "citext", edges: &[""], random: text, oracle: AS_PRINTED, in_arrays: true },
    Type {
        name: "json",
        edges: &["{ \"a\" : 1.0,  \"a\": 2 }"],
        random: json,
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "jsonb",
        edges: &["[1e2]"],
        random: |r| json(r).replace("\\u0001", "x"),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "xml",
        edges: &[
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><a/>",
            "<?xml version=\"1.0\" standalone=\"yes\"?><a/>",
        ],
        random: |r| format!("<a>{}</a>", digits(r, 9)),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "uuid",
        edges: &["A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
        random: |r| format!("{:032x}", r.random::<u128>()),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "bytea",
        edges: &["\\x"],
        random: |r| {
            format!("\\x{:02x}", r.random::<u128>())
                .replace("\\x0", "\\x00")
                .chars()
                .take(16)
                .collect()
        },
        oracle: Some("encode(v, 'hex')"),
        in_arrays: true,
    },
    Type { name: "bit(1)", edges: &[], random: |r| bits(r, 1), oracle: None, in_arrays: false },
    Type {
        name: "bit(29)",
        edges: &["00000000000000000000000000000"],
        random: |r| bits(r, 29),
        oracle: None,
        in_arrays: false,
    },
    Type {
        name: "varbit",
        edges: &[""],
        random: |r| {
            let n = r.random_range(0..70);
            bits(r, n)
        },
        oracle: None,
        in_arrays: false,
    },
    Type {
        name: "inet",
        edges: &["0.0.0.0/0", "::1", "::ffff:1.2.3.4", "::1.2.3.4/64", "10.0.0.1/32"],
        random: address,
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "cidr",
        edges: &["0.0.0.0/0", "10.0.0.1/32", "::/0", "fe80::/10"],
        random: |r| format!("10.{}.0.0/16", r.random::<u8>()),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "macaddr",
        edges: &[],
        random: |r| format!("{:012x}", r.random_range(0..1_u64 << 48)),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "macaddr8",
        edges: &[],
        random: |r| format!("{:016x}", r.random::<u64>()),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "date",
        edges: &["4714-11-24 BC", "5874897-12-31", "0001-01-01", "0001-12-31 BC", "2000-02-29"],
        random: |r| {
            let (d, era) = date(r, 5_874_000);
            d + era
        },
        oracle: Some("(v - date '1970-01-01')::text"),
        in_arrays: true,
    },
    Type {
        name: "time",
        edges: &["24:00:00", "00:00:00"],
        random: time,
        oracle: Some(MICROS),
        in_arrays: true,
    },
    Type {
        name: "time(3)",
        edges: &["23:59:59.999"],
        random: time,
        oracle: Some(MICROS),
        in_arrays: true,
    },
    Type {
        name: "timetz",
        edges: &["24:00:00+15:59:59", "00:00:00-15:59:59", "12:00+05:45"],
        random: |r| format!("{}{:+03}:30", time(r), r.random_range(-14..14)),
        oracle: Some(
            "(extract(epoch from v::time) * 1000000)::bigint || ' ' || extract(timezone from v)::int",
        ),
        in_arrays: true,
    },
    Type {
        name: "timestamp",
        edges: &["4714-11-24 00:00:00 BC", "0001-01-01 00:00:00", "1969-12-31 23:59:59.999999"],
        random: stamp,
        oracle: Some(MICROS),
        in_arrays: true,
    },
    Type {
        name: "timestamp(0)",
        edges: &["2024-02-29 23:59:59.4"],
        random: stamp,
        oracle: Some(MICROS),
        in_arrays: true,
    },
    Type {
        name: "timestamptz",
        edges: &[
            "4713-01-01 00:00:00+00 BC",
            "0001-01-01 00:00:00+00",
            "1911-12-31 23:59:59",
            "294276-12-31 23:59:59+00",
            "294247-01-10 04:00:55+00",
        ],
        random: stamp,
        oracle: Some(MICROS),
        in_arrays: true,
    },
    Type {
        name: "interval",
        edges: &[
            "0",
            "-178000000 years",
            "1 year -1 day 00:00:00.000001",
            "-1 mon +1 day -00:00:01",
            "9223372036854775807 microseconds",
        ],
        random: interval,
        oracle: Some(
            "(extract(year from v) * 12 + extract(month from v))::int || ' ' || extract(day from v)::int || ' ' || (extract(hour from v) * 3600000000 + extract(minute from v) * 60000000 + extract(microseconds from v))::numeric(30,0)",
        ),
        in_arrays: false,
    },
    Type {
        name: "point",
        edges: &["(NaN,Infinity)", "(-0,1e-300)"],
        random: point,
        oracle: None,
        in_arrays: false,
    },
    Type {
        name: "int4range",
        edges: &["empty", "(,)"],
        random: int_range,
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "tstzrange",
        edges: &["empty", "[2024-01-01 01:02:03+02,)"],
        random: |_| "(,2024-01-01]".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "numrange",
        edges: &["empty", "[1.50,)"],
        random: |_| "[1.5,2.50]".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "tsvector",
        edges: &["fat:2,4 cat:3 rat:5A"],
        random: |r| digits(r, 8),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "ltree",
        edges: &["Top.Science"],
        random: |r| digits(r, 8),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "hstore",
        edges: &["a=>1, \"b c\"=>NULL", ""],
        random: hstore,
        oracle: None,
        in_arrays: true,
    },
    Type {
        name: "mood",
        edges: &["sad", "ha,ppy", "NULL", "q\"uote\\"],
        random: |_| "ok".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: true,
    },
    Type {
        name: "price2",
        edges: &["-99999.999"],
        random: |r| decimal(r, 5, 3),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "yesno",
        edges: &["t"],
        random: |r| r.random::<bool>().to_string(),
        oracle: Some("v::text"),
        in_arrays: false,
    },
    Type {
        name: "tsquery",
        edges: &["fat & rat"],
        random: |_| "a | 'b'''".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "pair",
        edges: &["(1,x)", "(,)"],
        random: |r| format!("({},\"{}\")", r.random::<i32>(), digits(r, 3)),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "money[]",
        edges: &["{1.5}", "{}"],
        random: |_| "{NULL}".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
    Type {
        name: "path",
        edges: &["[(0,0),(1,1)]"],
        random: |_| "((0,0),(1,1),(2,0))".to_owned(),
        oracle: AS_PRINTED,
        in_arrays: false,
    },
];
