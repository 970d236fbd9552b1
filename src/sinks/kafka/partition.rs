//! Which partition a record goes to, decided here and not in librdkafka, so that a key stays where
//! Java producers (and so Debezium) would have put it.

/// The partition of a keyed record: what Kafka's `DefaultPartitioner` / `BuiltInPartitioner`
/// computes, `Utils.toPositive(Utils.murmur2(key)) % n`.
#[must_use]
pub fn partition_of(key: &[u8], n_partitions: u32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % n_partitions.max(1)).expect("31 bits fit an i32")
}

/// Murmur2 as `org.apache.kafka.common.utils.Utils.murmur2` has it: 32 bits, seed 0x9747b28c,
/// little-endian words.
#[must_use]
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    // Java's arrays are shorter than 2^31, so the length's low 32 bits are all of it.
    let length = u32::try_from(data.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut h = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (i, byte) in (0..).zip(rest) {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_gives_what_java_gives() {
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }

    #[test]
    fn a_partition_is_never_negative_and_always_there() {
        for n in 1..50 {
            for key in ["", "21", "foobar", "abc"] {
                let partition = partition_of(key.as_bytes(), n);
                assert!(partition >= 0 && partition < i32::try_from(n).unwrap());
            }
        }
        // toPositive(-973932308) = 0x7fffffff & 0xc5f304ac
        let expected = i32::try_from(((-973_932_308_i32).cast_unsigned() & 0x7fff_ffff) % 7);
        assert_eq!(partition_of(b"21", 7), expected.unwrap());
    }
}
