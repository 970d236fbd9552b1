use super::*;

fn decode(name: &str, bytes: &[u8]) -> Result<String, NotText> {
    Charset::named(name).unwrap().decode(bytes, &Bump::new()).map(str::to_owned)
}

#[test]
fn texts_as_the_servers_read_them() {
    for (name, bytes, text) in [
        ("utf8mb4", "ü😀".as_bytes(), "ü😀"),
        // MySQL's latin1 is cp1252, with controls where that has nothing.
        ("latin1", &[0x80, 0xE9, 0x81], "€é\u{81}"),
        ("ucs2", &[0x4E, 0x2D], "中"),
        ("utf16", &[0xD8, 0x3D, 0xDE, 0x00], "😀"),
        ("utf16le", &[0x2D, 0x4E], "中"),
        ("utf32", &[0, 1, 0xF6, 0], "😀"),
        ("swe7", b"[\\]", "ÄÖÅ"),
        ("gbk", &[0xD6, 0xD0, b'a'], "中a"),
        // Where the servers differ from Windows' own sets.
        ("sjis", &[0x81, 0x60, 0xB1, b'\\'], "〜ｱ\\"),
        ("cp932", &[0x81, 0x60], "～"),
        ("ujis", &[0xA1, 0xC1, 0x8E, 0xB1], "〜ｱ"),
        ("ujis", &[0xF5, 0xA1, 0x8F, 0xF5, 0xA1], "\u{E000}\u{E3AC}"),
        ("eucjpms", &[0x8F, 0xF3, 0xF3], "ⅰ"),
        ("gb2312", &[0xA1, 0xA4], "・"),
        ("big5", &[0xA1, 0x45], "•"),
        ("gb18030", &[0x94, 0x39, 0xDA, 0x33, 0xA6, 0xD9], "💩\u{E78D}"),
        ("euckr", &[0xC7, 0xD1], "한"),
    ] {
        assert_eq!(decode(name, bytes).as_deref(), Ok(text), "{name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_error() {
    for (name, bytes) in [
        ("utf8mb4", &[0xFF][..]),
        ("ascii", &[0x80]),
        ("binary", b"a"),
        ("cp1250", &[0x81]),
        ("ucs2", &[0xD8, 0x3D, 0xDE, 0x00]),
        ("ucs2", &[0x4E]),
        ("utf16", &[0xD8, 0x3D]),
        ("utf32", &[0, 0x11, 0, 0]),
        ("utf32", &[0, 0, 0]),
        ("gbk", &[0xD6]),
        ("sjis", &[0x81]),
        ("ujis", &[0x8F, 0xA1]),
        ("big5", &[0xA1, 0x5A]),
        ("gb18030", &[0x94, 0x39, 0xDA]),
    ] {
        assert_eq!(decode(name, bytes), Err(NotText), "{name} {bytes:?}");
    }
}

#[test]
fn collations_name_their_character_set() {
    for (id, name) in [
        (8, Some("latin1")),
        (33, Some("utf8mb3")),
        (45, Some("utf8mb4")),
        (63, Some("binary")),
        (255, Some("utf8mb4")),
        (2304, Some("utf8mb4")),
        (0, None),
        (17, None),
        (9999, None),
    ] {
        assert_eq!(collations::charset_name(id), name, "{id}");
        assert_eq!(Charset::of_collation(id).is_some(), name.is_some(), "{id}");
    }
    for id in 0..=u16::MAX {
        let name = collations::charset_name(id);
        assert!(name.is_none_or(|name| Charset::named(name).is_some()), "{id} {name:?}");
    }
}

#[test]
fn any_bytes_are_a_text_or_an_error() {
    let arena = Bump::new();
    for name in ["ujis", "eucjpms", "sjis", "gb18030", "big5", "gb2312", "gbk", "euckr", "swe7"] {
        let charset = Charset::named(name).unwrap();
        for first in 0..=u8::MAX {
            for second in 0..=u8::MAX {
                let bytes = [first, second, second, first];
                for length in 1..4 {
                    let bytes = arena.alloc_slice_copy(&bytes[..length]);
                    charset.decode(bytes, &arena).ok();
                }
            }
        }
    }
}
