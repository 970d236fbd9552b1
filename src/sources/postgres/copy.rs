//! The frame of a binary COPY: header, rows, trailer. Values are read by [`super::binary`].
//!
//! Format: PostgreSQL manual, COPY, "Binary Format". The server sends a row, or the header with
//! the first row, in one CopyData payload.

use crate::sources::postgres::decode_error::CopyError;
use crate::sources::postgres::reader::Reader;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// How far the COPY of one table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CopyState {
    #[default]
    Header,
    Rows,
    /// After the trailer.
    Done,
}

/// A row: its fields are checked, not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRow<'a> {
    bytes: &'a [u8],
}

impl<'a> CopyRow<'a> {
    /// A row whose bytes were kept from [`Self::bytes`].
    #[must_use]
    pub fn kept(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Number of fields, then the fields.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// # Errors
    /// When the bytes are no row.
    pub fn fields(&self) -> Result<CopyFields<'a>, CopyError> {
        let mut reader = Reader::new(self.bytes);
        let n_fields = reader.i16("the number of fields")?;
        let n_fields = u16::try_from(n_fields).map_err(|_| CopyError::Negative(n_fields.into()))?;
        Ok(CopyFields { left: n_fields, reader })
    }
}

pub struct CopyFields<'a> {
    left: u16,
    reader: Reader<'a>,
}

impl CopyFields<'_> {
    #[must_use]
    pub fn n_left(&self) -> usize {
        usize::from(self.left)
    }
}

impl<'a> Iterator for CopyFields<'a> {
    /// `None` is SQL NULL.
    type Item = Result<Option<&'a [u8]>, CopyError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(field(&mut self.reader))
    }
}

#[inline]
fn field<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, CopyError> {
    match reader.i32("a field's length")? {
        -1 => Ok(None),
        length => {
            let n_bytes = usize::try_from(length).map_err(|_| CopyError::Negative(length))?;
            Ok(Some(reader.take(n_bytes, "a field")?))
        }
    }
}

/// Takes the next row off `payload`; `None` at its end.
///
/// # Errors
/// When the bytes are no binary COPY, or go on after its trailer.
pub fn next_row<'a>(
    state: &mut CopyState,
    payload: &mut &'a [u8],
) -> Result<Option<CopyRow<'a>>, CopyError> {
    let mut reader = Reader::new(payload);
    if *state == CopyState::Header && !reader.is_empty() {
        header(&mut reader)?;
        *state = CopyState::Rows;
        *payload = reader.rest();
    }
    if reader.is_empty() {
        return Ok(None);
    }
    if *state == CopyState::Done {
        return Err(CopyError::Trailing);
    }
    let before = reader.rest();
    match reader.i16("the number of fields")? {
        -1 => {
            *state = CopyState::Done;
            *payload = reader.rest();
            if payload.is_empty() { Ok(None) } else { Err(CopyError::Trailing) }
        }
        n_fields if n_fields < 0 => Err(CopyError::Negative(n_fields.into())),
        n_fields => {
            for _ in 0..n_fields {
                field(&mut reader)?;
            }
            let n_bytes = before.len() - reader.rest().len();
            *payload = reader.rest();
            Ok(Some(CopyRow { bytes: &before[..n_bytes] }))
        }
    }
}

fn header(reader: &mut Reader<'_>) -> Result<(), CopyError> {
    if reader.take(SIGNATURE.len(), "the COPY signature")? != SIGNATURE {
        return Err(CopyError::Signature);
    }
    // Bits 16 to 31 are critical: a reader that does not know one must not go on. Bit 16 (oids)
    // went away with PostgreSQL 12.
    let flags = reader.u32("COPY flags")?;
    if flags >> 16 != 0 {
        return Err(CopyError::Flags(flags));
    }
    let n_bytes = reader.i32("the length of the COPY header's extension")?;
    let n_bytes = usize::try_from(n_bytes).map_err(|_| CopyError::Negative(n_bytes))?;
    reader.take(n_bytes, "the COPY header's extension")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(payloads: &[&[u8]]) -> Result<(Vec<Vec<u8>>, CopyState), CopyError> {
        let mut state = CopyState::default();
        let mut rows = Vec::new();
        for mut payload in payloads.iter().copied() {
            while let Some(row) = next_row(&mut state, &mut payload)? {
                rows.push(row.bytes().to_vec());
            }
        }
        Ok((rows, state))
    }

    const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    const ROW: &[u8] = b"\0\x02\0\0\0\x01x\xff\xff\xff\xff";

    #[test]
    fn a_header_may_stand_alone_or_with_the_first_row() {
        let expected = Ok((vec![ROW.to_vec(), ROW.to_vec()], CopyState::Done));
        let joined = [HEADER, ROW].concat();
        assert_eq!(rows(&[&joined, ROW, b"\xff\xff"]), expected);
        let all = [HEADER, ROW, ROW, b"\xff\xff"].concat();
        assert_eq!(rows(&[&all]), expected);
        assert_eq!(rows(&[HEADER, ROW, ROW, b"\xff\xff"]), expected);
        assert_eq!(rows(&[HEADER, b"\xff\xff"]), Ok((vec![], CopyState::Done)));
    }

    #[test]
    fn fields_tell_null_from_empty() {
        let fields: Vec<_> = CopyRow::kept(ROW).fields().unwrap().collect();
        assert_eq!(fields, [Ok(Some(&b"x"[..])), Ok(None)]);
    }

    #[test]
    fn what_is_no_copy_is_refused() {
        assert_eq!(
            rows(&[ROW]).map_err(|e| matches!(e, CopyError::Short(_) | CopyError::Signature)),
            Err(true)
        );
        assert_eq!(rows(&[HEADER, b"\xff\xff", ROW]), Err(CopyError::Trailing));
        assert_eq!(rows(&[HEADER, b"\xff\xfe"]), Err(CopyError::Negative(-2)));
        assert!(matches!(rows(&[HEADER, &ROW[..6]]), Err(CopyError::Short(_))));
        let mut flagged = HEADER.to_vec();
        flagged[12] = 1;
        assert!(matches!(rows(&[&flagged]), Err(CopyError::Flags(_))));
    }
}
