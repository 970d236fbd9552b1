//! What a snapshot reads, cut into parts that readers take one by one.

use std::cmp::Reverse;
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};

use super::deployment::Deployment;
use super::error::SourceError;
use super::listing::Listed;
use super::preflight::allowed;
use crate::failpoint;

const SIZE: &str = "ask for a collection's size";
const SAMPLE: &str = "sample a collection's ids";

/// A server may have a limit of its own for reads that name none (`defaultMaxTimeMS`, since 8.0),
/// meant for applications. The largest that it takes is 2^31 - 1 ms.
/// <https://www.mongodb.com/docs/manual/reference/cluster-parameters/defaultMaxTimeMS/>
pub(super) const READ_MAX: Duration = Duration::from_secs(20 * 24 * 60 * 60);

/// Collections below this are read in one go.
const PART_BYTES: u64 = 128 << 20;
const PARTS_MAX: u64 = 256;
/// Ids that are drawn for each part: the more, the more even the parts.
const DRAWN_EACH: u64 = 20;
/// From below a twentieth of a collection's documents on, and from none of up to a hundred, a server
/// draws at random; for more it reads and sorts all of them.
/// <https://www.mongodb.com/docs/manual/reference/operator/aggregation/sample/#behavior>
const DRAWN_OF: u64 = 20;
const DRAWN_OF_MIN: u64 = 101;
/// About what a reply should weigh, so that several readers fit into the memory budget.
const REPLY_BYTES: u64 = 1 << 20;
const REPLY_DOCUMENTS_MAX: u64 = 10_000;
const REPLY_DOCUMENTS_UNKNOWN: u32 = 1_000;

/// A range of one collection, by places in the index on `_id`: from the one, but not up to the
/// other. `None` is the end of the index.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub number: u32,
    pub from: Option<Bson>,
    pub to: Option<Bson>,
}

impl Part {
    pub(super) fn is_range(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

#[derive(Clone, Debug)]
pub struct Planned {
    pub listed: Listed,
    pub size: Option<Size>,
    /// Documents of one reply.
    pub batch_size: u32,
}

/// What the server thinks that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub documents: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    /// By number.
    pub collections: Vec<Planned>,
    /// In the order in which they are begun.
    pub parts: Vec<Part>,
    pub n_readers: usize,
}

impl Plan {
    pub(super) fn collection(&self, number: u32) -> Option<&Planned> {
        self.collections.get(number as usize)
    }

    /// `None` when the server does not know of every collection.
    pub(super) fn expected_documents(&self) -> Option<u64> {
        self.collections.iter().map(|planned| planned.size.map(|size| size.documents)).sum()
    }

    pub(super) fn expected_bytes(&self) -> Option<u64> {
        self.collections.iter().map(|planned| planned.size.map(|size| size.bytes)).sum()
    }

    /// By collection.
    pub(super) fn parts_left(&self) -> Vec<usize> {
        let mut left = vec![0; self.collections.len()];
        for part in &self.parts {
            if let Some(left) = left.get_mut(part.number as usize) {
                *left += 1;
            }
        }
        left
    }
}

/// Asks how large everything is, and cuts what is large.
pub(super) async fn plan(
    deployment: &Deployment,
    captured: Vec<Listed>,
    n_readers: usize,
) -> Result<Plan, SourceError> {
    let mut collections = Vec::with_capacity(captured.len());
    for listed in captured {
        let size = size(deployment, &listed).await?;
        collections.push(Planned { batch_size: batch_size(size), listed, size });
    }
    let mut parts = Vec::new();
    for number in order(&collections) {
        let Some(planned) = collections.get(number as usize) else { continue };
        let bounds = match n_parts(planned, n_readers) {
            1 => Vec::new(),
            n_parts => {
                let drawn = draw(deployment, planned, n_parts).await?;
                pick(&drawn.unwrap_or_default(), n_parts)
            }
        };
        parts.extend(ranges(number, bounds));
    }
    Ok(Plan { collections, parts, n_readers })
}

/// Largest first, so that the last one to finish is not a giant that began last.
fn order(collections: &[Planned]) -> Vec<u32> {
    let sizes = (0..)
        .zip(collections)
        .map(|(number, planned)| (number, planned.size.map(|size| size.bytes).unwrap_or_default()));
    let mut order: Vec<(u32, u64)> = sizes.collect();
    order.sort_by_key(|(number, bytes)| (Reverse(*bytes), *number));
    order.into_iter().map(|(number, _)| number).collect()
}

fn n_parts(planned: &Planned, n_readers: usize) -> u64 {
    let splits = planned.listed.id_index && !planned.listed.capped && n_readers > 1;
    let bytes = planned.size.map(|size| size.bytes).unwrap_or_default();
    let part_bytes = failpoint::amount(failpoint::PART, PART_BYTES).max(1);
    let drawn_max = drawn_max(planned).clamp(1, PARTS_MAX);
    if splits { (bytes / part_bytes).clamp(1, drawn_max) } else { 1 }
}

/// How many ids may be drawn, by what the server thinks that there is: few large documents are cut
/// into fewer parts, or into none.
fn drawn_max(planned: &Planned) -> u64 {
    match planned.size {
        Some(Size { documents: documents @ DRAWN_OF_MIN.., .. }) => documents / DRAWN_OF - 1,
        Some(_) | None => 0,
    }
}

fn batch_size(size: Option<Size>) -> u32 {
    let Some(Size { documents: documents @ 1.., bytes }) = size else {
        return REPLY_DOCUMENTS_UNKNOWN;
    };
    let each = (bytes / documents).max(1);
    u32::try_from((REPLY_BYTES / each).clamp(1, REPLY_DOCUMENTS_MAX))
        .unwrap_or(REPLY_DOCUMENTS_UNKNOWN)
}

/// <https://www.mongodb.com/docs/manual/reference/command/collStats/#output>
async fn size(deployment: &Deployment, listed: &Listed) -> Result<Option<Size>, SourceError> {
    let command = doc! { "collStats": &listed.namespace.collection };
    let answer = deployment.command(SIZE, &listed.namespace.database, command).await;
    let Some(stats) = allowed(answer)? else { return Ok(None) };
    let number = |name: &str| stats.get(name).and_then(whole);
    Ok(number("count").zip(number("size")).map(|(documents, bytes)| Size { documents, bytes }))
}

/// Numbers come as whatever type they fit into.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates, and is a size"
)]
pub(super) fn whole(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(value) => u64::try_from(*value).ok(),
        Bson::Int64(value) => u64::try_from(*value).ok(),
        Bson::Double(value) => Some(*value as u64),
        _ => None,
    }
}

/// Ids from here and there, in the order of the index.
async fn draw(
    deployment: &Deployment,
    planned: &Planned,
    n_parts: u64,
) -> Result<Option<Vec<Bson>>, SourceError> {
    let listed = &planned.listed;
    let n_drawn = n_parts.saturating_mul(DRAWN_EACH).min(drawn_max(planned));
    let n_drawn = i64::try_from(n_drawn).unwrap_or(i64::MAX);
    let stages = [
        doc! { "$sample": { "size": n_drawn } },
        doc! { "$project": { "_id": 1 } },
        doc! { "$sort": { "_id": 1 } },
    ];
    let handle = deployment.client.database(&listed.namespace.database);
    let handle = handle.collection::<Document>(&listed.namespace.collection);
    let drawn = async {
        let mut cursor = handle.aggregate(stages).max_time(READ_MAX).await?;
        let mut ids = Vec::new();
        while cursor.advance().await? {
            ids.extend(cursor.deserialize_current()?.remove("_id"));
        }
        Ok::<_, mongodb::error::Error>(ids)
    };
    allowed(drawn.await.map_err(|error| deployment.failed(SAMPLE, &error)))
}

/// Bounds between so many parts, evenly among what was drawn.
fn pick(drawn: &[Bson], n_parts: u64) -> Vec<Bson> {
    let n_drawn = u64::try_from(drawn.len()).unwrap_or(u64::MAX);
    let places = (1..n_parts).map(|at| usize::try_from(at * n_drawn / n_parts));
    let mut bounds: Vec<Bson> =
        places.filter_map(|place| drawn.get(place.ok()?).cloned()).collect();
    bounds.dedup();
    bounds
}

fn ranges(number: u32, bounds: Vec<Bson>) -> Vec<Part> {
    let starts = std::iter::once(None).chain(bounds.iter().cloned().map(Some));
    let ends = bounds.iter().cloned().map(Some).chain(std::iter::once(None));
    starts.zip(ends).map(|(from, to)| Part { number, from, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mongodb::namespace::Namespace;

    fn planned(bytes: u64) -> Planned {
        let namespace = Namespace::new("d", "c");
        let listed = Listed { namespace, capped: false, images: false, id_index: true };
        Planned { listed, size: Some(Size { documents: 1 << 20, bytes }), batch_size: 1 }
    }

    #[test]
    fn the_largest_collection_is_begun_first_and_equals_keep_their_order() {
        assert_eq!(order(&[planned(8), planned(0), planned(1 << 40), planned(8)]), [2, 0, 3, 1]);
    }

    #[test]
    fn only_what_is_large_and_has_an_index_is_cut() {
        assert_eq!(n_parts(&planned(PART_BYTES * 2 - 1), 4), 1);
        assert_eq!(n_parts(&planned(PART_BYTES * 5), 4), 5);
        assert_eq!(n_parts(&planned(PART_BYTES * 5), 1), 1);
        assert_eq!(n_parts(&planned(u64::MAX), 4), PARTS_MAX);
        let mut clustered = planned(PART_BYTES * 5);
        clustered.listed.id_index = false;
        assert_eq!(n_parts(&clustered, 4), 1);
    }

    /// Drawing more would read the whole collection.
    #[test]
    fn few_large_documents_are_cut_into_no_more_parts_than_may_be_drawn() {
        let check = |documents, expected: (u64, u64)| {
            let mut few = planned(PART_BYTES * 50);
            few.size = few.size.map(|size| Size { documents, ..size });
            assert_eq!((n_parts(&few, 4), drawn_max(&few)), expected, "{documents}");
        };
        for (documents, expected) in
            [(0, (1, 0)), (100, (1, 0)), (101, (4, 4)), (400, (19, 19)), (3000, (50, 149))]
        {
            check(documents, expected);
        }
        let mut unknown = planned(PART_BYTES);
        unknown.size = None;
        assert_eq!(n_parts(&unknown, 4), 1);
    }

    #[test]
    fn ranges_cover_everything_once_whatever_the_types() {
        let drawn = [Bson::Null, Bson::Int32(7), Bson::String("a".into()), Bson::Boolean(true)];
        let parts = ranges(3, pick(&drawn, 3));
        let bound = |value: &Bson| Some(value.clone());
        let expected = [
            (None, bound(&drawn[1])),
            (bound(&drawn[1]), bound(&drawn[2])),
            (bound(&drawn[2]), None),
        ];
        let parts: Vec<_> = parts.into_iter().map(|part| (part.from, part.to)).collect();
        assert_eq!(parts, expected);
        assert_eq!(ranges(0, pick(&[], 3)).len(), 1);
        assert_eq!(ranges(0, pick(&[Bson::Int32(1)], 3)).len(), 2, "the same bound twice is one");
    }

    #[test]
    fn replies_weigh_about_the_same() {
        let size = |documents, bytes| batch_size(Some(Size { documents, bytes }));
        assert_eq!(size(1000, 1000 * 1024), 1024);
        assert_eq!(size(2, 32 << 20), 1);
        assert_eq!(size(1_000_000, 1_000_000), 10_000);
        assert_eq!((size(0, 0), batch_size(None)), (1000, 1000));
    }

    #[test]
    fn numbers_of_any_type_are_read() {
        let numbers = [Bson::Int32(7), Bson::Int64(7), Bson::Double(7.0)];
        assert!(numbers.iter().all(|number| whole(number) == Some(7)));
        assert_eq!(whole(&Bson::Int32(-1)), None);
    }
}
