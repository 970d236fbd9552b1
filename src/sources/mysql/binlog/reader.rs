//! A cursor over little-endian bytes that never reads beyond them.

/// A field that ends after the bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end early")]
pub struct Short;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Short)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u24(&mut self) -> Result<u32, Short> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u48(&mut self) -> Result<u64, Short> {
        self.array().map(|[a, b, c, d, e, f]| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    #[inline]
    pub(crate) fn u56(&mut self) -> Result<u64, Short> {
        self.array().map(|[a, b, c, d, e, f, g]| u64::from_le_bytes([a, b, c, d, e, f, g, 0]))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }

    /// "Packed integer" of the binlog, `lenenc` of the protocol (`net_field_length`). The byte that
    /// means NULL in result sets (251) occurs in no event.
    #[inline]
    pub(crate) fn packed(&mut self) -> Result<u64, Short> {
        match self.u8()? {
            byte @ 0..=250 => Ok(u64::from(byte)),
            251 | 255 => Err(Short),
            252 => self.u16().map(u64::from),
            253 => self.u24().map(u64::from),
            254 => self.u64(),
        }
    }

    /// A packed integer that counts bytes or items of this event.
    #[inline]
    pub(crate) fn packed_length(&mut self) -> Result<usize, Short> {
        usize::try_from(self.packed()?).map_err(|_| Short)
    }

    /// Bytes behind their packed length.
    #[inline]
    pub(crate) fn packed_bytes(&mut self) -> Result<&'a [u8], Short> {
        let length = self.packed_length()?;
        self.take(length)
    }

    /// Bytes behind their one-byte length.
    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], Short> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_integers() {
        for (bytes, expected) in [
            (&[0][..], Ok(0)),
            (&[250], Ok(250)),
            (&[252, 0xFB, 0], Ok(251)),
            (&[253, 1, 2, 3], Ok(0x03_02_01)),
            (&[254, 1, 0, 0, 0, 0, 0, 0, 0x80], Ok(0x8000_0000_0000_0001)),
            (&[251], Err(Short)),
            (&[255], Err(Short)),
            (&[252, 1], Err(Short)),
            (&[], Err(Short)),
        ] {
            assert_eq!(Reader::new(bytes).packed(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_length_beyond_the_end_is_short() {
        assert_eq!(Reader::new(&[3, 1, 2]).packed_bytes(), Err(Short));
        assert_eq!(
            Reader::new(&[254, 255, 255, 255, 255, 255, 255, 255, 255]).packed_bytes(),
            Err(Short)
        );
        assert_eq!(Reader::new(&[2, 1, 2, 3]).short_bytes(), Ok(&[1, 2][..]));
    }
}
