//! A bounds-checked walk over bytes in network order. Every reader of the PostgreSQL wire goes
//! through it, so none of them can run past its message.

/// The message ended before the field did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {wanted} bytes of {field}: {left} are left")]
pub struct Short {
    pub field: &'static str,
    pub wanted: usize,
    pub left: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    #[inline]
    pub(crate) fn take(&mut self, n_bytes: usize, field: &'static str) -> Result<&'a [u8], Short> {
        match self.bytes.split_at_checked(n_bytes) {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(Short { field, wanted: n_bytes, left: self.bytes.len() }),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Short> {
        match self.bytes.split_first_chunk::<N>() {
            Some((taken, rest)) => {
                self.bytes = rest;
                Ok(*taken)
            }
            None => Err(Short { field, wanted: N, left: self.bytes.len() }),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, Short> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, Short> {
        self.array(field).map(i16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16, Short> {
        self.array(field).map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, Short> {
        self.array(field).map(i32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, Short> {
        self.array(field).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, Short> {
        self.array(field).map(i64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, Short> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Bytes up to a zero, which is consumed too.
    pub(crate) fn c_string(&mut self, field: &'static str) -> Result<&'a [u8], Short> {
        let left = self.bytes.len();
        let end = self.bytes.iter().position(|&byte| byte == 0);
        let end = end.ok_or(Short { field, wanted: left + 1, left })?;
        let text = self.take(end, field)?;
        self.take(1, field)?;
        Ok(text)
    }
}
