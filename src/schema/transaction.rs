//! Debezium's schemas of transactions: the block in envelopes, and the topic of begins and ends
//! (`SchemaFactory.transactionBlockSchema`, `transactionKeySchema`, `transactionValueSchema`,
//! `transactionEventCountPerDataCollectionSchema`). The same for every source.

use super::connect::{ConnectSchema, Field, Kind};
use super::debezium::RecordSchemas;

/// The envelope's field `transaction`.
pub(super) fn block_schema() -> ConnectSchema {
    let fields = vec![
        Field::new("id", string()),
        Field::new("total_order", int64()),
        Field::new("data_collection_order", int64()),
    ];
    ConnectSchema::record("event.block", fields).versioned(1).optional()
}

/// Of the records that say that a transaction began or ended.
#[must_use]
pub fn transaction_schemas() -> RecordSchemas {
    let record = |name: &str, fields| {
        ConnectSchema::record(format!("io.debezium.connector.common.{name}"), fields).versioned(1)
    };
    let collection =
        vec![Field::new("data_collection", string()), Field::new("event_count", int64())];
    let collection = ConnectSchema::record("event.collection", collection).versioned(1).optional();
    let value = vec![
        Field::new("status", string()),
        Field::new("id", string()),
        Field::new("event_count", int64().optional()),
        Field::new(
            "data_collections",
            ConnectSchema::new(Kind::Array(Box::new(collection))).optional(),
        ),
        Field::new("ts_ms", int64()),
    ];
    RecordSchemas {
        key: Some(record("TransactionMetadataKey", vec![Field::new("id", string())])),
        value: record("TransactionMetadataValue", value),
    }
}

fn string() -> ConnectSchema {
    ConnectSchema::new(Kind::String)
}

fn int64() -> ConnectSchema {
    ConnectSchema::new(Kind::Int64)
}
