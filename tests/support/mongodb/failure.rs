//! What the server answers when it does not do what was asked.

use mongodb::bson::{Document, Timestamp, doc};

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) labels: Vec<String>,
}

impl Failure {
    /// Code and name as in the server's `error_codes.yml`.
    pub(crate) fn new(code: i32, name: &str, message: impl Into<String>) -> Self {
        Self { code, name: name.to_owned(), message: message.into(), labels: vec![] }
    }

    pub(crate) fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        Self::new(2, "BadValue", message)
    }

    /// The test server's own honesty: what it does not know it refuses, by name.
    pub(crate) fn unknown(what: &str) -> Self {
        Self::new(59, "CommandNotFound", format!("no such command: '{what}' (test server)"))
    }

    /// In the order of the recorded answers.
    pub(crate) fn document(&self, time: Timestamp) -> Document {
        let mut document = Document::new();
        if !self.labels.is_empty() {
            document.insert("errorLabels", self.labels.clone());
        }
        document.extend(doc! {
            "operationTime": time, "ok": 0.0, "errmsg": &self.message, "code": self.code,
            "codeName": &self.name,
        });
        document
    }
}
