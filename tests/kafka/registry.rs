use std::time::Duration;

use tailwater::config::RegistryConfig;
use tailwater::schema::registry::{RegistryClient, RegistryError};

use super::servers;

fn client(register: bool) -> RegistryClient {
    let url = servers::registry().to_owned();
    let config = RegistryConfig {
        urls: vec![url],
        auth: None,
        ca: None,
        certificate: None,
        key: None,
        register,
        request_timeout: Duration::from_secs(10),
        retry_budget: Duration::from_secs(60),
    };
    RegistryClient::new(config).unwrap()
}

fn schema(price: &str, more: &str) -> String {
    format!(
        r#"{{"type":"record","name":"Value","namespace":"shop.orders","fields":[{{"name":"id","type":"int"}},{{"name":"price","type":"{price}"}}{more}]}}"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_registry_gives_one_number_to_one_schema_and_explains_its_refusals() {
    let ours = client(true);
    let id = ours.id("shop.orders-value", &schema("int", "")).await.unwrap();
    assert_eq!(client(true).id("shop.orders-value", &schema("int", "")).await.unwrap(), id);
    assert_eq!(client(false).id("shop.orders-value", &schema("int", "")).await.unwrap(), id);
    let error = client(false).id("shop.orders-value", &schema("long", "")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Missing { .. }), "{error}");

    let rule = format!("{}/config/shop.orders-value", servers::registry());
    let http = reqwest::Client::new();
    let put = http.put(rule).header("content-type", "application/json");
    put.body(r#"{"compatibility":"FULL"}"#).send().await.unwrap().error_for_status().unwrap();
    let error = ours.id("shop.orders-value", &schema("string", "")).await.unwrap_err();
    let RegistryError::Refused { subject, rule, detail } = &error else { panic!("{error}") };
    println!("{error}");
    assert_eq!((subject.as_str(), rule.as_str()), ("shop.orders-value", "FULL"));
    assert!(detail.contains("price"), "{detail}");

    let more = r#",{"name":"tax","type":"int"}"#;
    let error = ours.id("shop.orders-value", &schema("int", more)).await.unwrap_err();
    assert!(error.to_string().contains("tax"), "{error}");
}
