//! Against a tiny HTTP server that does what a registry will not do on demand: faults.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Response, StatusCode};

use super::*;
use crate::config::{RegistryAuth, Secret};

/// One scripted answer.
#[derive(Clone)]
enum Reply {
    Json(u16, &'static str),
    After(Duration, u16, &'static str),
    Redirect(String),
}

/// What the server was asked: method, path with query, authorization, body.
type Asked = Arc<Mutex<Vec<(String, String, String)>>>;

struct Server {
    url: String,
    asked: Asked,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Gives the replies one after the other, and the last one for ever.
#[expect(clippy::disallowed_methods, reason = "the server of a test, aborted with it")]
async fn serve(replies: Vec<Reply>) -> Server {
    let asked = Asked::default();
    let script = Arc::new(Mutex::new(VecDeque::from(replies)));
    let log = Arc::clone(&asked);
    let handler = move |request: Request| {
        let (script, log) = (Arc::clone(&script), Arc::clone(&log));
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let header = request.headers().get("authorization");
            let header = header.map_or(String::new(), |h| h.to_str().unwrap().to_owned());
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            log.lock().unwrap().push((line, header, String::from_utf8(body.to_vec()).unwrap()));
            let reply = {
                let mut script = script.lock().unwrap();
                if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
            };
            answer(reply.unwrap()).await
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(handler);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server { url, asked, task }
}

async fn answer(reply: Reply) -> Response<Body> {
    let (status, body) = match reply {
        Reply::Json(status, body) => (status, body),
        Reply::After(delay, status, body) => {
            tokio::time::sleep(delay).await;
            (status, body)
        }
        Reply::Redirect(to) => {
            return Response::builder()
                .status(StatusCode::FOUND)
                .header("location", to)
                .body(Body::empty())
                .unwrap();
        }
    };
    Response::builder().status(status).body(Body::from(body)).unwrap()
}

fn config(urls: &[&str]) -> RegistryConfig {
    RegistryConfig {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        auth: None,
        ca: None,
        certificate: None,
        key: None,
        register: true,
        request_timeout: Duration::from_millis(300),
        retry_budget: Duration::from_millis(1500),
    }
}

fn requests(server: &Server) -> Vec<String> {
    server.asked.lock().unwrap().iter().map(|(line, ..)| line.clone()).collect()
}

#[tokio::test]
async fn a_schema_is_asked_for_once_per_subject_and_text() {
    let server =
        serve(vec![Reply::Json(200, r#"{"id":7}"#), Reply::Json(200, r#"{"id":8}"#)]).await;
    let client = RegistryClient::new(config(&[&server.url])).unwrap();
    assert_eq!(client.id("shop.a-value", r#""int""#).await.unwrap(), 7);
    assert_eq!(client.id("shop.a-value", r#""int""#).await.unwrap(), 7);
    assert_eq!(client.id("shop.a-value", r#""long""#).await.unwrap(), 8);
    assert_eq!(requests(&server).len(), 2);
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked[0].0, "POST /subjects/shop.a-value/versions");
    assert_eq!(asked[0].2, r#"{"schema":"\"int\""}"#);
}

#[tokio::test]
async fn many_askers_of_one_schema_make_one_request() {
    let slow = Reply::After(Duration::from_millis(50), 200, r#"{"id":7}"#);
    let server = serve(vec![slow]).await;
    let client = RegistryClient::new(config(&[&server.url])).unwrap();
    let (a, b, c) = tokio::join!(client.id("s", "1"), client.id("s", "1"), client.id("s", "1"));
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (7, 7, 7));
    assert_eq!(requests(&server).len(), 1);
}

#[tokio::test]
async fn what_may_heal_is_tried_again() {
    let replies = vec![
        Reply::Json(500, "oops"),
        Reply::Json(429, ""),
        Reply::After(Duration::from_millis(600), 200, r#"{"id":1}"#),
        Reply::Json(200, r#"{"id":9}"#),
    ];
    let server = serve(replies).await;
    let config = RegistryConfig { retry_budget: Duration::from_secs(20), ..config(&[&server.url]) };
    let client = RegistryClient::new(config).unwrap();
    assert_eq!(client.id("s", "1").await.unwrap(), 9);
    assert_eq!(requests(&server).len(), 4);
}

#[tokio::test]
async fn a_registry_that_stays_away_is_unreachable_after_the_budget() {
    let server = serve(vec![Reply::Json(503, "")]).await;
    let config = config(&[&server.url]);
    let client = RegistryClient::new(config).unwrap();
    let begun = std::time::Instant::now();
    let error = client.id("s", "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { budget_ms: 1500, .. }), "{error}");
    assert_eq!(error.disposition(), Disposition::Reconnect);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn the_next_url_is_tried_and_kept() {
    let dead = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let broken = serve(vec![Reply::Json(500, "")]).await;
    let good = serve(vec![Reply::Json(200, r#"{"id":3}"#)]).await;
    let client = RegistryClient::new(config(&[&dead, &broken.url, &good.url])).unwrap();
    assert_eq!(client.id("s", "1").await.unwrap(), 3);
    assert_eq!(client.id("s", "2").await.unwrap(), 3);
    assert_eq!((requests(&broken).len(), requests(&good).len()), (1, 2));
}

#[tokio::test]
async fn a_refusal_names_the_rule_and_the_field() {
    let replies = vec![
        Reply::Json(409, r#"{"error_code":409,"message":"incompatible"}"#),
        Reply::Json(200, r#"{"is_compatible":false,"messages":["TYPE_MISMATCH"]}"#),
        Reply::Json(
            200,
            r#"{"id":1,"version":2,"schema":"{\"type\":\"record\",\"name\":\"V\",\"fields\":[{\"name\":\"price\",\"type\":\"int\"}]}"}"#,
        ),
        Reply::Json(200, r#"{"compatibilityLevel":"FULL"}"#),
    ];
    let server = serve(replies).await;
    let client = RegistryClient::new(config(&[&server.url])).unwrap();
    let ours = r#"{"type":"record","name":"V","fields":[{"name":"price","type":"string"}]}"#;
    let error = client.id("shop.a/b-value", ours).await.unwrap_err();
    let RegistryError::Refused { subject, rule, detail } = &error else { panic!("{error}") };
    assert_eq!((subject.as_str(), rule.as_str()), ("shop.a/b-value", "FULL"));
    assert_eq!(
        detail,
        "incompatible; TYPE_MISMATCH; first difference to the latest version: field `price` was int and is string"
    );
    assert!(error.hint().unwrap().contains("PUT /config/shop.a/b-value"));
    let expected = [
        "POST /subjects/shop.a%2Fb-value/versions",
        "POST /compatibility/subjects/shop.a%2Fb-value/versions/latest?verbose=true",
        "GET /subjects/shop.a%2Fb-value/versions/latest",
        "GET /config/shop.a%2Fb-value?defaultToGlobal=true",
    ];
    assert_eq!(requests(&server), expected);
}

#[tokio::test]
async fn look_up_alone_registers_nothing_and_says_what_is_missing() {
    let replies = vec![
        Reply::Json(200, r#"{"subject":"s","version":1,"id":5,"schema":"1"}"#),
        Reply::Json(404, r#"{"error_code":40403,"message":"Schema not found"}"#),
    ];
    let server = serve(replies).await;
    let config = RegistryConfig { register: false, ..config(&[&server.url]) };
    let client = RegistryClient::new(config).unwrap();
    assert_eq!(client.id("s", "1").await.unwrap(), 5);
    let error = client.id("s", "2").await.unwrap_err();
    assert!(matches!(error, RegistryError::Missing { .. }), "{error}");
    assert_eq!(requests(&server), ["POST /subjects/s", "POST /subjects/s"]);
}

#[tokio::test]
async fn credentials_are_sent_and_never_printed() {
    let server = serve(vec![Reply::Json(200, r#"{"id":5}"#), Reply::Json(401, "")]).await;
    let url = server.url.replace("http://", "http://tail:hunter2@");
    let auth = RegistryAuth::Basic { user: "tail".to_owned(), password: Secret::new("hunter2") };
    let config = RegistryConfig { auth: Some(auth), ..config(&[&url]) };
    let client = RegistryClient::new(config).unwrap();
    client.id("s", "1").await.unwrap();
    assert_eq!(server.asked.lock().unwrap()[0].1, "Basic dGFpbDpodW50ZXIy");
    let error = client.id("s", "2").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { status: 401, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(vec![Reply::Json(200, r#"{"id":5}"#)]).await;
    let server = serve(vec![Reply::Redirect(elsewhere.url.clone())]).await;
    let client = RegistryClient::new(config(&[&server.url])).unwrap();
    let error = client.id("s", "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unexpected { status: 302, .. }), "{error}");
    assert_eq!(requests(&elsewhere).len(), 0);
}

#[tokio::test]
async fn a_body_without_end_is_cut() {
    static SENT: AtomicUsize = AtomicUsize::new(0);
    let handler = || async {
        let body = Body::from(vec![b'['; 12 << 20]);
        SENT.fetch_add(1, Ordering::Relaxed);
        Response::new(body)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    let config = RegistryConfig { request_timeout: Duration::from_secs(5), ..config(&[&url]) };
    let error = RegistryClient::new(config).unwrap().id("s", "1").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unexpected { status: 200, .. }), "{error}");
    assert_eq!(SENT.load(Ordering::Relaxed), 1);
}
