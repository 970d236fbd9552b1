//! BSON put together from bytes, because documents with broken text must pass through untouched.

use std::sync::Arc;

use mongodb::bson::{Bson, Document, RawDocument, doc};

/// A document as it stood on the wire.
pub(crate) type Raw = Arc<Vec<u8>>;

/// What the server refuses to store (`maxBsonObjectSize`), and what it adds to it for its own
/// documents (`BSONObjMaxInternalSize`).
pub(crate) const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
pub(crate) const INTERNAL_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 16 * 1024;

pub(crate) fn raw(document: &Document) -> Raw {
    Arc::new(document.to_vec().expect("a document of the test can be written"))
}

pub(crate) fn parse(raw: &[u8]) -> Option<Document> {
    Document::from_reader(raw).ok()
}

pub(crate) fn field(raw: &[u8], name: &str) -> Option<Bson> {
    let document = RawDocument::from_bytes(raw).ok()?;
    let value = document.get(name).ok()??;
    Bson::try_from(value).ok()
}

/// Writes one document, parts of it opened and closed in turn.
pub(crate) struct Builder {
    bytes: Vec<u8>,
    open: Vec<usize>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut builder = Self { bytes: Vec::with_capacity(256), open: vec![] };
        builder.open();
        builder
    }

    fn open(&mut self) {
        self.open.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }

    fn name(&mut self, kind: u8, name: &str) {
        self.bytes.push(kind);
        self.bytes.extend(name.as_bytes());
        self.bytes.push(0);
    }

    pub(crate) fn begin(&mut self, name: &str) {
        self.name(3, name);
        self.open();
    }

    pub(crate) fn end(&mut self) {
        self.bytes.push(0);
        let at = self.open.pop().expect("what ends has begun");
        let n = i32::try_from(self.bytes.len() - at).unwrap();
        self.bytes[at..at + 4].copy_from_slice(&n.to_le_bytes());
    }

    pub(crate) fn bson(&mut self, name: &str, value: impl Into<Bson>) {
        let one = doc! { name: value.into() }.to_vec().expect("a value of the test can be written");
        self.bytes.extend(&one[4..one.len() - 1]);
    }

    pub(crate) fn document(&mut self, name: &str, raw: &[u8]) {
        self.name(3, name);
        self.bytes.extend(raw);
    }

    pub(crate) fn documents(&mut self, name: &str, all: &[Raw]) {
        self.name(4, name);
        self.open();
        for (n, one) in all.iter().enumerate() {
            self.document(&n.to_string(), one);
        }
        self.end();
    }

    pub(crate) fn all(&mut self, document: &Document) {
        for (name, value) in document {
            self.bson(name, value.clone());
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.end();
        assert!(self.open.is_empty(), "what has begun was ended");
        self.bytes
    }
}
