//! The types of a KeyString's values (`TypeBits` of `src/mongo/db/storage/key_string.h`): two bits
//! for a number, one for a text, in the order of the values.

/// Bits of a KeyString of version 1, packed from low to high.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeBits {
    bytes: Vec<u8>,
    n: usize,
}

/// `kStoredDecimalExponentBits`.
const EXPONENT_BITS: u32 = 6;
/// `Decimal128::kMaxBiasedExponent`, and one.
const EXPONENTS: u64 = 12_288;
/// `kDecimalZero0xxx`.
const DECIMAL_ZERO: u64 = 0x1A;

impl TypeBits {
    /// The lowest so many, the highest of them first.
    fn push(&mut self, value: u64, n_bits: u32) {
        for place in (0..n_bits).rev() {
            if self.n.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from(value >> place & 1 == 1) << (self.n % 8);
            *self.bytes.last_mut().expect("there is one") |= bit;
            self.n += 1;
        }
    }

    pub(crate) fn int(&mut self) {
        self.push(0, 2);
    }

    pub(crate) fn long(&mut self) {
        self.push(1, 2);
    }

    /// A negative zero has the same key as a positive one.
    pub(crate) fn double(&mut self, value: f64) {
        if value == 0.0 && value.is_sign_negative() {
            self.push(0x18, 5);
        } else {
            self.push(2, 2);
        }
    }

    /// `_appendNumberDecimal`: of a zero which of all of them, of others what their key leaves out
    /// of the exponent. The layout of the bytes is IEEE 754-2008, binary integer decimal.
    pub(crate) fn decimal(&mut self, bytes: [u8; 16]) {
        let bits = u128::from_le_bytes(bytes);
        let high = u64::try_from(bits >> 64).expect("a half fits");
        let negative = high >> 63 == 1;
        if high >> 59 & 0xF == 0xF {
            // NaN or an infinity.
            return self.push(3, 2);
        }
        let large = high >> 61 & 3 == 3;
        let exponent = if large { high >> 47 } else { high >> 49 } & 0x3FFF;
        // A coefficient of the large form is beyond what is allowed, and counts as zero.
        if large || bits & ((1 << 113) - 1) == 0 {
            let which = exponent + if negative { EXPONENTS } else { 0 };
            self.push((which >> 12) + DECIMAL_ZERO, 5);
            return self.push(which & 0xFFF, 12);
        }
        self.push(3, 2);
        self.push(exponent, EXPONENT_BITS);
    }

    pub(crate) fn text(&mut self) {
        self.push(0, 1);
    }

    pub(crate) fn symbol(&mut self) {
        self.push(1, 1);
    }

    /// As a token carries them; `None` where no bit is set. (`getBuffer`, cases 2 and 3; an `_id`
    /// that needs more than 127 bytes of them is more than a test writes.)
    pub(crate) fn encoded(&self) -> Option<Vec<u8>> {
        if self.bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let mut all = vec![];
        if self.bytes.len() > 1 || self.bytes[0] >= 0x80 {
            let n = u8::try_from(self.bytes.len()).ok().filter(|n| *n < 0x80);
            all.push(0x80 | n.expect("an id is not that long"));
        }
        all.extend(&self.bytes);
        Some(all)
    }

    /// What a client hands back. How many bits of the last byte count is not told.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.encoded() == other.encoded()
    }

    pub(crate) fn read(encoded: &[u8]) -> Option<Self> {
        let bytes = match encoded {
            [] | [0] => vec![],
            [one] if *one < 0x80 => vec![*one],
            [n, rest @ ..] if usize::from(*n & 0x7F) == rest.len() && *n > 0x80 => rest.to_vec(),
            _ => return None,
        };
        Some(Self { n: bytes.len() * 8, bytes })
    }
}

#[test]
fn types_are_told_as_the_server_tells_them() {
    let of = |id: mongodb::bson::Bson| {
        let document = mongodb::bson::doc! { "_id": id };
        let event = super::token::Event {
            time: mongodb::bson::Timestamp { time: 1, increment: 1 },
            index: 0,
            from_invalidate: false,
            uuid: Some([0; 16]),
            operation: "insert",
            identifier: Some(&document),
        };
        super::token::of_event(&event, 1).bits.encoded()
    };
    assert_eq!(of(7.into()), None);
    assert_eq!(of("a".into()), None);
    // BinData(0, "QA=="), as the manual shows it for an `_id` that the shell made a double.
    assert_eq!(of(7.0.into()), Some(vec![0x40]));
    assert_eq!(of(7_i64.into()), Some(vec![0x81, 0x80]));
    let decimal: mongodb::bson::Decimal128 = "1.10".parse().unwrap();
    // The exponent of 110E-2 is 6174 of 0..12287: its lowest six bits are 011110.
    assert_eq!(of(decimal.into()), Some(vec![0x82, 0xC0, 0b01_1110]));
    assert_eq!(of((-0.0).into()), Some(vec![0x82, 0xC0, 0]));
    for bits in [vec![0x40], vec![0x81, 0x80], vec![0x82, 0xC0, 0]] {
        assert_eq!(TypeBits::read(&bits).unwrap().encoded(), Some(bits));
    }
}
