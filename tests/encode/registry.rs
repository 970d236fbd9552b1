//! A registry that remembers what it was asked, and refuses when told to.

use std::sync::{Arc, Mutex};

use tailwater::encode::SchemaIds;
use tailwater::schema::registry::RegistryError;

#[derive(Clone, Default)]
pub(crate) struct Registry {
    known: Arc<Mutex<Vec<(String, String)>>>,
    pub(crate) refuses: Arc<Mutex<bool>>,
}

impl SchemaIds for Registry {
    fn id(&mut self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        if *self.refuses.lock().unwrap() {
            return Err(RegistryError::Refused {
                subject: subject.to_owned(),
                rule: "BACKWARD".to_owned(),
                detail: "READER_FIELD_MISSING_DEFAULT_VALUE".to_owned(),
            });
        }
        let mut known = self.known.lock().unwrap();
        let entry = (subject.to_owned(), schema.to_owned());
        let index = known.iter().position(|e| *e == entry).unwrap_or_else(|| {
            known.push(entry);
            known.len() - 1
        });
        Ok(u32::try_from(index).unwrap())
    }
}

impl Registry {
    /// Every schema of a subject, in the order in which they came.
    pub(crate) fn schemas_of(&self, subject: &str) -> Vec<String> {
        let known = self.known.lock().unwrap();
        known.iter().filter(|(of, _)| of == subject).map(|(_, schema)| schema.clone()).collect()
    }

    /// Subject and schema behind a number.
    pub(crate) fn schema(&self, id: u32) -> (String, String) {
        self.known.lock().unwrap()[id as usize].clone()
    }
}
