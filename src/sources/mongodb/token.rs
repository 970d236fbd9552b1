//! The front of a resume token: which entry of the oplog, and which operation in it.
//!
//! `_data` is a key string in hexadecimal digits (`db/pipeline/resume_token.cpp`,
//! `db/storage/key_string`): the cluster time, the token's version, from version 1 on its type,
//! then the place of the operation within its transaction, and more behind that. Numbers are a
//! byte that says how many bytes follow, and those, shifted left by one.

/// What the ids of events are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Front {
    pub(crate) time: u32,
    pub(crate) increment: u32,
    /// Counts the operations of a transaction, or of inserts that were logged together.
    pub(crate) operation: u64,
}

const TIMESTAMP: u8 = 0x82;
const ZERO: u8 = 0x29;
/// A positive number of one byte; those of more bytes follow on.
const ONE_BYTE: u8 = 0x2B;
const NUMBER_BYTES_MAX: u8 = 8;
/// The newest version that is known to begin like this.
const VERSION_MAX: u64 = 2;

/// `None` for a token of another make.
pub(crate) fn front(data: &str) -> Option<Front> {
    let mut bytes = Digits(data.as_bytes());
    if bytes.byte()? != TIMESTAMP {
        return None;
    }
    let time = u32::try_from(bytes.number(4)?).ok()?;
    let increment = u32::try_from(bytes.number(4)?).ok()?;
    let version = bytes.key_number()?;
    if version > VERSION_MAX {
        return None;
    }
    if version > 0 {
        let _token_type = bytes.key_number()?;
    }
    Some(Front { time, increment, operation: bytes.key_number()? })
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (pair, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(digit(pair[0])? << 4 | digit(pair[1])?)
    }

    fn number(&mut self, n_bytes: u8) -> Option<u64> {
        (0..n_bytes).try_fold(0, |number, _| Some(number << 8 | u64::from(self.byte()?)))
    }

    fn key_number(&mut self) -> Option<u64> {
        match self.byte()? {
            ZERO => Some(0),
            kind => {
                let n_bytes = kind.checked_sub(ONE_BYTE)? + 1;
                (n_bytes <= NUMBER_BYTES_MAX)
                    .then(|| self.number(n_bytes))
                    .flatten()
                    .map(|n| n >> 1)
            }
        }
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_real_server_tell_time_and_operation() {
        let time = 1_795_186_584;
        for (data, increment, operation) in [
            // Four operations of one transaction.
            (
                "826B005F98000000012B022C0100296E5A10049091A62E013D4E6FADF306AA86274E89463C5F6964003C7430000004",
                1,
                0,
            ),
            (
                "826B005F98000000012B022C01002B026E5A10049091A62E013D4E6FADF306AA86274E89463C5F6964003C7431000004",
                1,
                1,
            ),
            (
                "826B005F98000000012B022C01002B046E5A10049091A62E013D4E6FADF306AA86274E89463C5F6964003C7432000004",
                1,
                2,
            ),
            (
                "826B005F98000000012B022C01002B066E5A10049091A62E013D4E6FADF306AA86274E89463C5F6964003C7430000004",
                1,
                3,
            ),
            // Of an idle stream.
            ("826B005F98000000032B0229296E04", 3, 0),
        ] {
            assert_eq!(front(data), Some(Front { time, increment, operation }), "{data}");
        }
    }

    #[test]
    fn large_numbers_and_the_first_version_are_read() {
        let found = front("8200000001000000022B042C01002C0800").unwrap();
        assert_eq!(found, Front { time: 1, increment: 2, operation: 1024 });
        assert_eq!(front("820000000100000002292B0E6E04").unwrap().operation, 7);
    }

    #[test]
    fn other_tokens_tell_nothing() {
        for data in ["", "8", "82", "81000000010000000229", "826B005F98000000012B06292904", "82zz"]
        {
            assert_eq!(front(data), None, "{data}");
        }
        assert_eq!(front("8200000001000000022B022C010033FFFFFFFFFFFFFFFFFF"), None);
    }
}
