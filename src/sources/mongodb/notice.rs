//! What is told of events that make no record.
//!
//! A rename moves documents that no event is made of. Where the new name is captured, its topic
//! lacks what the collection holds from then on, and keeps what stood under that name before: only a
//! person can mend that, so it is an error in the log, with the ways out. It is none to stop at: the
//! stream itself is whole, Debezium goes on as well, and whoever runs `$out` every night would be
//! stopped every night, each time with a snapshot of everything as the only way on.

use super::captured::Collections;
use super::event::Event;

/// How much an event without documents means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Documents came under a captured name, and into no topic.
    Unread,
    /// Of a captured collection, or of a database or the stream.
    Noted,
    /// Of nothing that is captured.
    Nothing,
}

const WAYS_OUT: &str = "to write document by document, which is captured, use `$merge` in place of `$out`, or copy into the collection; for what it holds now, run once another pipeline of this `topic_prefix` with `snapshot.mode: initial_only` and this collection alone, or `tailwater offsets reset --yes` for a new snapshot of everything. Documents that were there before and are no more stay in the topic: delete them in it, or the topic before the snapshot";

impl Notice {
    pub(super) fn of(event: &Event<'_>, collections: &Collections) -> Self {
        let captures = |(database, collection)| collections.captures(database, collection);
        match (event.operation, event.to) {
            (Some("rename"), Some(to)) if captures(to) => Self::Unread,
            _ if event.collection.is_empty() || captures((event.database, event.collection)) => {
                Self::Noted
            }
            _ => Self::Nothing,
        }
    }

    pub(super) fn tell(self, event: &Event<'_>) {
        let Event { operation, database, collection, .. } = *event;
        let (to_database, to_collection) = event.to.unwrap_or_default();
        match self {
            Self::Unread => tracing::error!(
                database = to_database,
                collection = to_collection,
                renamed_from = format_args!("{database}.{collection}"),
                hint = WAYS_OUT,
                "a collection was renamed to a captured name, or put in its place by `$out`: its \
                 documents are in no topic until each is changed"
            ),
            Self::Noted => tracing::info!(
                operation,
                database,
                collection,
                "the structure of the database changed; this makes no record"
            ),
            Self::Nothing => tracing::debug!(
                operation,
                database,
                collection,
                "the structure of what is not captured changed"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, doc};

    use super::*;
    use crate::config::{DocumentForm, FieldsConfig, TableFilter};
    use crate::sources::mongodb::event::Message;
    use crate::sources::mongodb::fields::FieldRules;
    use crate::sources::mongodb::source_block::SourceConstants;

    fn notice(event: &Document) -> Notice {
        let collections = Collections::new(
            SourceConstants { version: "1", topic_prefix: "p".into() },
            TableFilter::new(vec!["shop.*".into()], vec!["shop.old_*".into()]).unwrap(),
            FieldRules::new(&FieldsConfig::default()).unwrap(),
            DocumentForm::Text,
        );
        let bytes = event.to_vec().unwrap();
        match Message::parse(&bytes).unwrap() {
            Message::Event(event) => Notice::of(&event, &collections),
            Message::Token(_) => panic!("it is an event"),
        }
    }

    fn rename(from: &str, to: &str) -> Notice {
        let ns = |name: &str| {
            let (database, collection) = name.split_once('.').unwrap();
            doc! { "db": database, "coll": collection }
        };
        // In the order of a 4.4 server's.
        notice(
            &doc! { "to": ns(to), "_id": { "_data": "82" }, "operationType": "rename", "ns": ns(from) },
        )
    }

    #[test]
    fn what_comes_under_a_captured_name_is_an_error_wherever_it_comes_from() {
        for from in ["shop.tmp.agg_out.7", "shop.old_orders", "elsewhere.orders", "shop.orders"] {
            assert_eq!(rename(from, "shop.new"), Notice::Unread, "{from}");
        }
    }

    #[test]
    fn what_leaves_a_captured_name_is_noted_and_the_rest_is_nobodys() {
        assert_eq!(rename("shop.orders", "shop.old_orders"), Notice::Noted);
        assert_eq!(rename("shop.orders", "shop.system.views"), Notice::Noted);
        assert_eq!(rename("elsewhere.a", "elsewhere.b"), Notice::Nothing);
        assert_eq!(rename("shop.tmp.agg_out.1", "shop.old_orders"), Notice::Nothing);
        let event = |operation: &str, ns: Document| {
            notice(&doc! { "_id": { "_data": "82" }, "operationType": operation, "ns": ns })
        };
        assert_eq!(event("drop", doc! { "db": "shop", "coll": "orders" }), Notice::Noted);
        assert_eq!(
            event("create", doc! { "db": "shop", "coll": "tmp.agg_out.1" }),
            Notice::Nothing
        );
        assert_eq!(event("dropDatabase", doc! { "db": "shop" }), Notice::Noted);
    }
}
