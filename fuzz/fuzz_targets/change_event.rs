//! Any bytes as messages of a change stream, or as a part of an event that is sound around it: an
//! error, a letter or changes that encode in both formats; no panic.
#![no_main]

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use tailwater::change::{Change, Progress, TransactionEdge};
use tailwater::config::{DocumentForm, FieldsConfig, TableFilter};
use tailwater::encode::{EncodeOptions, Encoder, Format, SchemaIds};
use tailwater::record::RecordBatch;
use tailwater::schema::registry::RegistryError;
use tailwater::sources::mongodb::bson::Document;
use tailwater::sources::mongodb::decoder::{Decoder, DecoderConfig, Deployment};
use tailwater::sources::mongodb::source_block::SourceConstants;
use tailwater::sources::{BoxError, ChangeHandler, Decode as _, RawBatch, Stage, Undecodable};

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    let messages = match mode & 7 {
        0 => documents(data),
        1 => vec![event(b"insert", &[data])],
        2 => vec![event(b"insert", &[&level(3, "fullDocument", data)])],
        3 => vec![event(b"update", &[&level(3, "updateDescription", data)])],
        4 => vec![event(b"update", &[&level(3, "updateDescription", &level(3, "updatedFields", data))])],
        5 => vec![event(b"delete", &[&level(3, "fullDocumentBeforeChange", data)])],
        6 => vec![fragment(1, &[]), fragment(2, data)],
        _ => vec![event(b"replace", &[&level(3, "documentKey", data), &level(3, "lsid", data)])],
    };
    let raw = batch(&messages);
    if matches!(mode & 7, 0 | 1 | 6) || mode & 64 != 0 {
        // Whatever these leave behind is gone with the decoder.
        let mut decoder = decoder(false, mode & 16 != 0, mode & 64 != 0);
        let _ = decoder.decode(&raw, &Bump::new(), &mut Looks);
        return;
    }
    // These leave nothing behind, and what they use is costly to make.
    WORKS.with_borrow_mut(|works| {
        let work = works.entry(mode & 0b11_1000);
        let (decoder, handler) = work.or_insert_with(|| {
            (decoder(mode & 8 != 0, mode & 16 != 0, false), Handler::new(mode & 32 != 0))
        });
        handler.out.data.clear();
        handler.out.records.clear();
        handler.out.headers.clear();
        let _ = decoder.decode(&raw, &Bump::new(), handler);
    });
});

thread_local! {
    static WORKS: RefCell<HashMap<u8, (Decoder, Handler)>> = RefCell::default();
}

fn decoder(has_rules: bool, is_sharded: bool, is_structured: bool) -> Decoder {
    let rules = |rules: &[&str]| match has_rules {
        true => rules.iter().map(|rule| (*rule).to_owned()).collect(),
        false => Vec::new(),
    };
    let config = DecoderConfig {
        source: SourceConstants { version: "0", topic_prefix: "p".to_owned() },
        lineage: "rs0".to_owned(),
        deployment: if is_sharded { Deployment::Sharded } else { Deployment::ReplicaSet },
        filter: TableFilter::new(Vec::new(), Vec::new()).expect("no pattern is malformed"),
        fields: FieldsConfig {
            exclude: rules(&["*.*.a", "*.*.b.c"]),
            rename: rules(&["*.*.d:e", "*.*.b.f:g"]),
        },
        form: if is_structured { DocumentForm::Structured } else { DocumentForm::Text },
        schemas: Default::default(),
        snapshot: None,
        split_bytes_max: 2_000,
        transaction_metadata: true,
    };
    Decoder::new(config).expect("no rule is malformed")
}

/// The documents that the bytes begin with, and what is left.
fn documents(mut data: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Ok((document, rest)) = Document::first(data) {
        found.push(document.bytes().to_vec());
        data = rest;
    }
    found.push(data.to_vec());
    found
}

fn event(operation: &[u8], elements: &[&[u8]]) -> Vec<u8> {
    let namespace = [text("db", b"d"), text("coll", b"c")].concat();
    let time = [&b"\x11clusterTime\0"[..], &[7; 8]].concat();
    let body = [
        level(3, "_id", &text("_data", b"82070707070707070729292904")),
        text("operationType", operation),
        time,
        level(3, "ns", &namespace),
        level(3, "documentKey", b"\x10_id\0\x01\0\0\0"),
        level(3, "fullDocument", &[]),
        elements.concat(),
    ];
    document(&body.concat())
}

fn fragment(number: u8, elements: &[u8]) -> Vec<u8> {
    let field = |name: &str, value: u8| [b"\x10", name.as_bytes(), &[0, value, 0, 0, 0]].concat();
    let of = [field("fragment", number), field("of", 2)].concat();
    match number {
        1 => event(b"insert", &[&level(3, "splitEvent", &of)]),
        _ => {
            let token = level(3, "_id", &text("_data", b"82"));
            document(&[&token, elements, &level(3, "splitEvent", &of)].concat())
        }
    }
}

fn text(name: &str, text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() + 1).expect("short").to_le_bytes();
    [b"\x02", name.as_bytes(), b"\0", &length, text, b"\0"].concat()
}

fn level(kind: u8, name: &str, body: &[u8]) -> Vec<u8> {
    [&[kind], name.as_bytes(), b"\0", &document(body)].concat()
}

fn document(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 5).expect("short").to_le_bytes();
    [&length, body, b"\0"].concat()
}

fn batch(documents: &[Vec<u8>]) -> RawBatch {
    let (mut data, mut messages) = (Vec::new(), Vec::new());
    for document in documents {
        let start = u32::try_from(data.len()).expect("short");
        data.extend_from_slice(document);
        messages.push(start..u32::try_from(data.len()).expect("short"));
    }
    let read_at = Instant::now();
    RawBatch { stage: Stage::Stream, data: data.into(), messages, read_at, budget: None }
}

struct One;

impl SchemaIds for One {
    fn id(&mut self, _: &str, _: &str) -> Result<u32, RegistryError> {
        Ok(1)
    }
}

/// Looks at every change.
struct Looks;

impl ChangeHandler for Looks {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        assert!(!format!("{change:?}").is_empty());
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        assert!(!progress.position().to_string().is_empty());
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        assert!(!row.error.to_string().is_empty());
        Ok(())
    }
}

struct Handler {
    encoder: Encoder,
    out: RecordBatch,
}

impl Handler {
    fn new(is_json: bool) -> Self {
        let options = EncodeOptions {
            topic_prefix: "p".to_owned(),
            format: if is_json { Format::Json { schemas: false } } else { Format::Avro },
            connector: "mongodb",
            values: tailwater::config::ValueModes::default(),
            tombstones: true,
            id_header: true,
            context_headers: false,
            transaction_topic: Some("transaction".to_owned()),
        };
        let encoder = Encoder::new(options, Arc::default(), Box::new(One));
        Self { encoder, out: RecordBatch::default() }
    }
}

impl ChangeHandler for Handler {
    fn change(&mut self, change: &Change<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode(change, 1_795_179_844_034_652_816, &mut self.out);
        assert!(encoded.is_ok(), "{encoded:?}");
        Ok(())
    }

    fn transaction(&mut self, edge: &TransactionEdge<'_>) -> Result<(), BoxError> {
        let encoded = self.encoder.encode_transaction(edge, &mut self.out);
        assert!(encoded.is_ok(), "{encoded:?}");
        Ok(())
    }

    fn progress(&mut self, progress: Progress) {
        assert!(!progress.position().to_string().is_empty());
    }

    fn undecodable(&mut self, row: Undecodable<'_>) -> Result<(), BoxError> {
        assert!(!row.error.to_string().is_empty());
        Ok(())
    }
}
