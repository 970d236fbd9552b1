//! The pipeline of a change stream.
//!
//! The server's filter is a help, not the judge: it lets through what is captured, and may let
//! through more; the decoder looks at every event once more. Patterns that a regular expression
//! cannot say exactly are therefore widened where they include, and left out where they exclude.
//! An event without a collection (an invalidation, a dropped database) always passes, and so does a
//! rename: whether what it brings is captured is not in its `ns`.

use std::fmt;

use mongodb::bson::{Bson, Document, Timestamp, doc};

use super::listing::is_glob;
use super::namespace::TEMPORARY;
use super::preflight::Features;
use crate::config::{CaptureScope, FullDocument, MongodbConfig, PreImages, TableFilter};

/// Where a stream begins.
#[derive(Clone, Debug, PartialEq)]
pub enum StartPoint {
    /// Now.
    Open,
    /// With the first event of this time.
    At(Timestamp),
    /// Behind a token. Of the two options that the server has for it this is `startAfter`: unlike
    /// `resumeAfter` it takes the token of an invalidation too.
    /// <https://www.mongodb.com/docs/manual/changeStreams/#startafter-for-change-streams>
    After(Document),
}

impl fmt::Display for StartPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("the stream's end"),
            Self::At(Timestamp { time, increment }) => write!(f, "{time}:{increment}"),
            Self::After(token) => match token.get_str("_data") {
                Ok(data) => f.write_str(data),
                Err(_) => token.fmt(f),
            },
        }
    }
}

/// Every stage, in the order in which the server wants them: `$changeStream` first,
/// `$changeStreamSplitLargeEvent` last.
pub(super) fn pipeline(
    config: &MongodbConfig,
    features: Features,
    from: &StartPoint,
) -> Vec<Document> {
    let mut stages = vec![doc! { "$changeStream": change_stream(config, features, from) }];
    stages.push(doc! { "$match": filter(&config.collections) });
    if features.split_events {
        stages.push(doc! { "$changeStreamSplitLargeEvent": {} });
    }
    stages
}

/// <https://www.mongodb.com/docs/manual/reference/operator/aggregation/changeStream/>
fn change_stream(config: &MongodbConfig, features: Features, from: &StartPoint) -> Document {
    let mut options = Document::new();
    match config.full_document {
        FullDocument::Off => None,
        FullDocument::Lookup => Some("updateLookup"),
        FullDocument::WhenAvailable => Some("whenAvailable"),
        FullDocument::Required => Some("required"),
    }
    .map(|value| options.insert("fullDocument", value));
    match config.pre_images {
        PreImages::Off => None,
        PreImages::WhenAvailable => Some("whenAvailable"),
        PreImages::Required => Some("required"),
    }
    .map(|value| options.insert("fullDocumentBeforeChange", value));
    if features.expanded_events {
        options.insert("showExpandedEvents", true);
    }
    match from {
        StartPoint::Open => None,
        StartPoint::At(time) => options.insert("startAtOperationTime", *time),
        StartPoint::After(token) => options.insert("startAfter", token.clone()),
    };
    if config.scope == CaptureScope::Deployment {
        options.insert("allChangesForCluster", true);
    }
    options
}

fn filter(collections: &TableFilter) -> Document {
    let include: Vec<Document> = collections.include().iter().map(|p| including(p)).collect();
    let mut both = Document::new();
    if !include.is_empty() && include.iter().all(|clause| !clause.is_empty()) {
        let mut any = vec![
            Bson::Document(doc! { "ns.coll": { "$exists": false } }),
            Bson::Document(doc! { "operationType": "rename" }),
        ];
        any.extend(include.into_iter().map(Bson::Document));
        both.insert("$or", any);
    }
    // What `$out` writes would come whole, before it is left out here.
    let temporary = doc! { "ns.coll": { "$regex": TEMPORARY } };
    let exclude = collections.exclude().iter().filter_map(|p| excluding(p));
    let but_renames = |mut clause: Document| {
        clause.insert("operationType", doc! { "$ne": "rename" });
        Bson::Document(clause)
    };
    let none: Vec<Bson> = std::iter::once(temporary).chain(exclude).map(but_renames).collect();
    both.insert("$nor", none);
    both
}

/// Whatever the pattern includes, and perhaps more; an empty document is everything.
fn including(pattern: &str) -> Document {
    let Some((database, collection)) = pattern.split_once('.') else { return Document::new() };
    // A `*` before the first dot of the pattern may stand for dots of the name.
    let spans = is_glob(database);
    let mut clause = Document::new();
    match spans {
        false => clause.insert("ns.db", database),
        true => {
            let prefix = literal_prefix(database);
            let prefix = (!prefix.is_empty()).then(|| regex(format!("^{}", escaped(prefix))));
            prefix.and_then(|prefix| clause.insert("ns.db", prefix))
        }
    };
    match (is_glob(collection), spans) {
        (false, false) => clause.insert("ns.coll", collection),
        _ if collection == "*" => None,
        (_, spans) => {
            let before = if spans { "(.*\\.)?" } else { "" };
            clause.insert("ns.coll", regex(format!("^{before}{}$", widened(collection))))
        }
    };
    clause
}

/// Nothing but what the pattern excludes; `None` where that cannot be said.
fn excluding(pattern: &str) -> Option<Document> {
    let (database, collection) = pattern.split_once('.')?;
    let exact = !is_glob(database) && !collection.contains(['[', ']', '{', '}', '\\']);
    exact.then_some(())?;
    let mut clause = doc! { "ns.db": database };
    match is_glob(collection) {
        false => clause.insert("ns.coll", collection),
        // Not those without a collection: they pass.
        true => clause.insert("ns.coll", regex(format!("^{}$", widened(collection)))),
    };
    Some(clause)
}

fn literal_prefix(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', ']', '{', '}', '\\']).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or_default()
}

/// A glob as a regular expression that matches no less. Up to the first bracket, brace or backslash
/// it matches no more either.
fn widened(glob: &str) -> String {
    let mut text = String::new();
    for c in glob.chars() {
        match c {
            '*' => text.push_str(".*"),
            '?' => text.push('.'),
            '[' | '{' | '\\' | ']' | '}' => {
                text.push_str(".*");
                return text;
            }
            c => text.push_str(&escaped(c.encode_utf8(&mut [0; 4]))),
        }
    }
    text
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\^$.|?*+()[]{}/".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// `.` is any character at all, line feeds too.
fn regex(pattern: String) -> Document {
    doc! { "$regex": pattern, "$options": "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(include: &[&str], exclude: &[&str]) -> Document {
        let list = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        filter(&TableFilter::new(list(include), list(exclude)).unwrap())
    }

    fn nor(clause: Option<Document>) -> Vec<Document> {
        let all = std::iter::once(doc! { "ns.coll": { "$regex": TEMPORARY } }).chain(clause);
        let with = |mut clause: Document| {
            clause.insert("operationType", doc! { "$ne": "rename" });
            clause
        };
        all.map(with).collect()
    }

    #[test]
    fn without_patterns_everything_passes_but_what_the_server_makes_for_a_moment() {
        assert_eq!(of(&[], &[]), doc! { "$nor": nor(None) });
        assert_eq!(of(&["*", "shop.orders"], &[]), doc! { "$nor": nor(None) });
    }

    #[test]
    fn names_and_whole_databases_need_no_regular_expression() {
        let check = |pattern: &str, clause: Document| {
            let always =
                [doc! { "ns.coll": { "$exists": false } }, doc! { "operationType": "rename" }];
            let or: Vec<Document> = always.into_iter().chain([clause]).collect();
            assert_eq!(of(&[pattern], &[]), doc! { "$or": or, "$nor": nor(None) }, "{pattern}");
        };
        check("shop.orders", doc! { "ns.db": "shop", "ns.coll": "orders" });
        check("shop.a.b", doc! { "ns.db": "shop", "ns.coll": "a.b" });
        check("shop.*", doc! { "ns.db": "shop" });
        check(
            "shop.order-?*",
            doc! { "ns.db": "shop", "ns.coll": { "$regex": "^order-..*$", "$options": "s" } },
        );
        // A class is widened to whatever may follow.
        check(
            "shop.a[bc]d",
            doc! { "ns.db": "shop", "ns.coll": { "$regex": "^a.*$", "$options": "s" } },
        );
        // The star may take dots of the collection's name along.
        check(
            "eu_*.orders",
            doc! {
                "ns.db": { "$regex": "^eu_", "$options": "s" },
                "ns.coll": { "$regex": "^(.*\\.)?orders$", "$options": "s" },
            },
        );
    }

    #[test]
    fn what_is_excluded_is_so_to_the_letter() {
        let check = |exclude: &str, clause: Document| {
            assert_eq!(of(&[], &[exclude]), doc! { "$nor": nor(Some(clause)) }, "{exclude}");
        };
        check("shop.x", doc! { "ns.db": "shop", "ns.coll": "x" });
        check(
            "shop.audit_*",
            doc! { "ns.db": "shop", "ns.coll": { "$regex": "^audit_.*$", "$options": "s" } },
        );
        let left = of(&[], &["*.x", "shop.[ab]", "s?op.x"]);
        assert_eq!(left, doc! { "$nor": nor(None) }, "the decoder's to do");
    }

    /// The judge and its help agree: what a glob takes, its regular expression takes too.
    #[test]
    fn a_regular_expression_takes_no_less_than_its_glob() {
        for (glob, name) in [
            ("a*b", "a.x.b"),
            ("a?b", "a.b"),
            ("[!x]y", "ay"),
            ("{a,b}c", "ac"),
            ("a\\*b", "a*b"),
            ("a$(1)", "a$(1)"),
            ("ä*", "äö"),
        ] {
            let glob_matcher = globset::Glob::new(glob).unwrap().compile_matcher();
            assert!(glob_matcher.is_match(name), "{glob}");
            // The expressions are simple enough to be walked by hand.
            assert!(takes(&widened(glob), name), "{glob}: {}", widened(glob));
        }
    }

    /// `.`, `.*`, escapes and literals.
    fn takes(pattern: &str, text: &str) -> bool {
        if let Some(rest) = pattern.strip_prefix(".*") {
            return text.char_indices().any(|(at, _)| takes(rest, text.split_at(at).1))
                || takes(rest, "");
        }
        let mut left = pattern.chars();
        let mut right = text.chars();
        match (left.next(), right.next()) {
            (None, None) => true,
            (Some('.'), Some(_)) => takes(left.as_str(), right.as_str()),
            (Some('\\'), Some(c)) => left.next() == Some(c) && takes(left.as_str(), right.as_str()),
            (Some(l), Some(r)) => l == r && takes(left.as_str(), right.as_str()),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    fn config(yaml: impl FnOnce(&mut MongodbConfig)) -> MongodbConfig {
        let mut config = MongodbConfig {
            uri: crate::config::Secret::new("mongodb://localhost"),
            user: None,
            password: None,
            collections: TableFilter::new(vec![], vec![]).unwrap(),
            scope: CaptureScope::Deployment,
            full_document: FullDocument::Lookup,
            pre_images: PreImages::Off,
            documents: crate::config::DocumentForm::Text,
            fields: crate::config::FieldsConfig::default(),
            await_time: std::time::Duration::from_secs(1),
            message_bytes_max: 64 << 20,
        };
        yaml(&mut config);
        config
    }

    #[test]
    fn a_server_is_asked_for_no_more_than_it_has() {
        let stages = |features| pipeline(&config(|_| {}), features, &StartPoint::Open);
        let matched = doc! { "$match": { "$nor": nor(None) } };
        let old = doc! { "fullDocument": "updateLookup", "allChangesForCluster": true };
        assert_eq!(stages(Features::default()), [doc! { "$changeStream": old }, matched.clone()]);
        let new = doc! {
            "fullDocument": "updateLookup",
            "showExpandedEvents": true,
            "allChangesForCluster": true,
        };
        assert_eq!(
            stages(Features { expanded_events: true, split_events: true }),
            [doc! { "$changeStream": new }, matched, doc! { "$changeStreamSplitLargeEvent": {} }]
        );
    }

    #[test]
    fn a_stream_begins_where_it_is_told_to() {
        let config = config(|config| {
            config.scope = CaptureScope::Database("shop".into());
            config.full_document = FullDocument::Off;
            config.pre_images = PreImages::Required;
        });
        let stage = |from| pipeline(&config, Features::default(), &from);
        let image = doc! { "fullDocumentBeforeChange": "required" };
        assert_eq!(stage(StartPoint::Open).first(), Some(&doc! { "$changeStream": image }));
        let token = doc! { "_data": "82" };
        let stages = stage(StartPoint::After(token.clone()));
        let first = stages.first().unwrap().get_document("$changeStream").unwrap();
        assert_eq!(first.get_document("startAfter").unwrap(), &token);
        let time = Timestamp { time: 7, increment: 1 };
        let stages = stage(StartPoint::At(time));
        let first = stages.first().unwrap().get_document("$changeStream").unwrap();
        assert_eq!(first.get_timestamp("startAtOperationTime").unwrap(), time);
    }
}
