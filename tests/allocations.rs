//! What must not cost memory. A binary of its own: the counter is a global allocator.

#[path = "support/decode_binlog.rs"]
mod decode_binlog;
#[path = "support/decode_events.rs"]
mod decode_events;
#[path = "support/decode_rows.rs"]
mod decode_rows;
#[path = "support/transcode_rows.rs"]
mod transcode_rows;

mod decode_allocations;
mod encode_allocations;
mod transcode_allocations;
