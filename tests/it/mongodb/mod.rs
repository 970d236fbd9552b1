//! MongoDB from end to end: against the played server of `support::mongodb`, or unchanged against
//! the replica set that `TAILWATER_TEST_MONGODB_URI` names.

mod server;
