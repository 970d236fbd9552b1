//! `delivery.transaction_metadata` and its topic.

use super::*;

#[test]
fn transactions_have_a_topic_of_their_own() {
    let delivery = |text: &str| format!("{MINIMAL}delivery: {{ {text} }}");
    let topic = |text: &str| parse_text(&delivery(text)).unwrap().config.delivery.transaction_topic;
    assert_eq!(topic("tombstones: true"), None);
    assert_eq!(topic("transaction_metadata: false"), None);
    assert_eq!(topic("transaction_metadata: true").as_deref(), Some("transaction"));
    let named = topic("transaction_metadata: true, transaction_topic: tx");
    assert_eq!(named.as_deref(), Some("tx"));
    for (text, problem) in [
        (
            "transaction_topic: tx",
            "8:32: delivery.transaction_topic: without `transaction_metadata: true` there is no such topic",
        ),
        (
            "transaction_metadata: true, transaction_topic: dead-letter",
            "8:60: delivery.transaction_topic: the dead letters have this topic; name another one",
        ),
        (
            "transaction_metadata: true, transaction_topic: a/b",
            "8:60: delivery.transaction_topic: expected 1 to 100 letters, digits, `.`, `_` and `-`",
        ),
    ] {
        refused(&delivery(text), &[&format!("shop.yaml:{problem}")]);
    }
}
