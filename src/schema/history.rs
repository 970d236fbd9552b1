//! What tables looked like at a position, for sources whose log does not say it.
//!
//! A source puts in texts under names and gets them back after a restart; nobody else reads them.
//! The history travels with the position that it belongs to, into the same checkpoint, so it is
//! never newer and never older. A clone is a pointer: every transaction carries one.

use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct SchemaHistory(Option<Arc<Entries>>);

#[derive(Clone, Default)]
struct Entries(BTreeMap<Arc<str>, Arc<str>>);

impl SchemaHistory {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|entries| entries.0.is_empty())
    }

    /// Names and texts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.iter().flat_map(|entries| &entries.0);
        entries.map(|(name, text)| (&**name, &**text))
    }

    pub fn set(&mut self, name: &str, text: &str) {
        let entries = Arc::make_mut(self.0.get_or_insert_default());
        entries.0.insert(Arc::from(name), Arc::from(text));
    }

    pub fn remove(&mut self, name: &str) {
        if let Some(entries) = &mut self.0
            && entries.0.contains_key(name)
        {
            Arc::make_mut(entries).0.remove(name);
        }
    }

    /// Whether the other is this one, or a clone of it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// One text for all.
    #[must_use]
    pub fn to_text(&self) -> String {
        let entries: BTreeMap<&str, &str> = self.iter().collect();
        serde_json::to_string(&entries).expect("texts by texts")
    }

    /// Reads [`Self::to_text`].
    ///
    /// # Errors
    /// When it is something else.
    pub fn of_text(text: &str) -> Result<Self, serde_json::Error> {
        let entries: BTreeMap<String, String> = serde_json::from_str(text)?;
        let entries = entries.into_iter().map(|(name, text)| (name.into(), text.into()));
        let entries = Entries(entries.collect());
        Ok(Self((!entries.0.is_empty()).then(|| Arc::new(entries))))
    }
}

impl PartialEq for SchemaHistory {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.iter().eq(other.iter())
    }
}

impl Eq for SchemaHistory {}

/// Its size: the texts would fill a page of a log.
impl std::fmt::Debug for SchemaHistory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SchemaHistory({} entries)", self.iter().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_was_made_of() {
        let mut history = SchemaHistory::default();
        assert!(history.is_empty());
        history.set("a", "1");
        let before = history.clone();
        assert!(history.is_same(&before));
        history.set("b", "2");
        history.remove("a");
        history.remove("c");
        assert_eq!(before.iter().collect::<Vec<_>>(), [("a", "1")]);
        assert_eq!(history.iter().collect::<Vec<_>>(), [("b", "2")]);
        assert_ne!(history, before);
        assert_eq!(SchemaHistory::of_text(&history.to_text()).unwrap(), history);
        assert!(SchemaHistory::of_text("{\"a\":").is_err());
        assert!(SchemaHistory::of_text("{}").unwrap().is_same(&SchemaHistory::default()));
    }
}
