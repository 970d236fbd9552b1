use std::collections::BTreeMap;

use super::*;
use crate::config::TopicConfig;

#[test]
fn librdkafka_gives_up_no_record_by_itself() {
    // One that expired while the next of its key did not let the brokers have the later one alone.
    let config = KafkaConfig {
        bootstrap_servers: vec!["a:1".to_owned()],
        topics: TopicConfig {
            create: true,
            partitions: 1,
            replication_factor: 1,
            cleanup_policy: "delete".to_owned(),
            settings: BTreeMap::new(),
        },
        properties: BTreeMap::new(),
        retry_budget: Duration::from_secs(90),
    };
    let client = producer_config(&config);
    assert_eq!(client.get("message.timeout.ms"), Some("0"));
    assert!(client.create_native_config().is_ok());
}

#[test]
fn the_age_is_that_of_the_first_batch_that_the_brokers_have_not_taken() {
    let (ledger, now) = (Ledger::new(), Instant::now());
    let mut in_flight = VecDeque::new();
    for slot in 0..3_u8 {
        ledger.open(slot.into(), 1);
        let since = now + Duration::from_secs(slot.into());
        in_flight.push_back(InFlight { slot: slot.into(), since, batch: RecordBatch::default() });
    }
    let age = || oldest(&in_flight, &ledger).map(|flight| flight.since.duration_since(now));
    assert_eq!(age(), Some(Duration::ZERO));
    ledger.settle(1);
    assert_eq!(age(), Some(Duration::ZERO), "what overtook says nothing of what is stuck");
    ledger.settle(0);
    assert_eq!(age(), Some(Duration::from_secs(2)));
    ledger.settle(2);
    assert_eq!(age(), None, "complete, though its receipt may not have left");
}
