//! Shapes in well-known binary.

use super::emit::Shape;

/// Well-known binary of a point: little-endian, type 1, x, y.
pub(crate) fn point_wkb(x: f64, y: f64) -> [u8; 21] {
    let mut wkb = [0; 21];
    wkb[0] = 1;
    wkb[1] = 1;
    wkb[5..13].copy_from_slice(&x.to_le_bytes());
    wkb[13..].copy_from_slice(&y.to_le_bytes());
    wkb
}

/// The coordinates of a point; `None` for any other shape. Both orders of bytes are told by the
/// first one.
pub(crate) fn coordinates(wkb: &[u8]) -> Option<(f64, f64)> {
    let (order, rest) = wkb.split_first()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let (x, y) = rest.split_first_chunk::<8>()?;
    let y: &[u8; 8] = y.try_into().ok()?;
    match (order, u32::from_le_bytes(*kind), u32::from_be_bytes(*kind)) {
        (1, 1, _) => Some((f64::from_le_bytes(*x), f64::from_le_bytes(*y))),
        (0, _, 1) => Some((f64::from_be_bytes(*x), f64::from_be_bytes(*y))),
        _ => None,
    }
}

pub(crate) fn unreferenced(wkb: &[u8]) -> Shape<'_> {
    Shape { wkb, srid: None }
}

/// As Debezium reads MySQL's numbers of reference systems: four bytes with a sign, 0 for none
/// (`BinlogGeometry.fromBytes`).
pub(crate) fn referenced(wkb: &[u8], srid: u32) -> Shape<'_> {
    Shape { wkb, srid: (srid != 0).then(|| srid.cast_signed()) }
}

#[cfg(test)]
mod tests {
    use super::{coordinates, point_wkb};

    #[test]
    fn a_point_gives_its_coordinates_and_nothing_else_does() {
        assert_eq!(coordinates(&point_wkb(1.5, -2.0)), Some((1.5, -2.0)));
        let mut big = vec![0, 0, 0, 0, 1];
        big.extend(1.5_f64.to_be_bytes());
        big.extend((-2.0_f64).to_be_bytes());
        assert_eq!(coordinates(&big), Some((1.5, -2.0)));
        let mut line = point_wkb(0.0, 0.0);
        line[1] = 2;
        for other in [&line[..], &big[..20], &[], &[1]] {
            assert_eq!(coordinates(other), None);
        }
    }
}
