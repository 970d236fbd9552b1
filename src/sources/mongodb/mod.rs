//! MongoDB: change streams.
//!
//! The official driver finds the server, proves who we are and hands us replies as they came. What
//! is ours: when a stream is opened and from where, what a lost stream means, the walk over BSON,
//! and the text forms that Debezium's consumers read.
