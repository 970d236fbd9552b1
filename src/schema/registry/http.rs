//! Requests to the registry: several URLs, retries, limits. Knows nothing of schemas.

use std::path::Path as FilePath;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backon::BackoffBuilder;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::RegistryError;
use crate::config::{RegistryAuth, RegistryConfig};

/// An answer of the registry is never larger than this (security 4.5).
const BODY_BYTES_MAX: usize = 8 << 20;
const DELAY_MIN: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Segments below a registry's root, each percent-encoded when it is used.
pub(super) struct Path {
    segments: Vec<String>,
    query: Option<&'static str>,
}

impl Path {
    pub(super) fn new<'a>(segments: impl IntoIterator<Item = &'a str>) -> Self {
        Self { segments: segments.into_iter().map(str::to_owned).collect(), query: None }
    }

    pub(super) fn query(self, query: &'static str) -> Self {
        Self { query: Some(query), ..self }
    }

    fn below(&self, root: &Url) -> Url {
        let mut url = root.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&self.segments);
        }
        url.set_query(self.query);
        url
    }
}

/// An answer that is neither silence nor a server's trouble.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null where the body was no JSON.
    pub(super) json: Value,
}

impl Answer {
    pub(super) fn message(&self) -> String {
        self.json.get("message").and_then(Value::as_str).unwrap_or("no message").to_owned()
    }
}

pub(super) struct Http {
    client: Client,
    roots: Vec<Url>,
    /// The URL that answered last; the others are tried when it does not.
    current: AtomicUsize,
    retry_budget: Duration,
}

/// Why an attempt is worth another one.
struct Trouble {
    source: Option<reqwest::Error>,
    retry_after: Option<Duration>,
}

impl Http {
    pub(super) fn new(config: &RegistryConfig) -> Result<Self, RegistryError> {
        let mut roots = Vec::new();
        for url in &config.urls {
            let mut url = Url::parse(url)
                .map_err(|e| setup(format!("`registry.url` is no URL ({e})"), None))?;
            // The configuration has moved these into `auth`; they must not reach a message.
            if url.set_username("").is_err() || url.set_password(None).is_err() {
                return Err(setup("`registry.url` names no host".to_owned(), None));
            }
            roots.push(url);
        }
        if roots.is_empty() {
            return Err(setup("`registry.url` is empty".to_owned(), None));
        }
        let client = client(config)?;
        let retry_budget = config.retry_budget;
        Ok(Self { client, roots, current: AtomicUsize::new(0), retry_budget })
    }

    pub(super) async fn get(&self, subject: &str, path: &Path) -> Result<Answer, RegistryError> {
        self.request(subject, Method::GET, path, None).await
    }

    pub(super) async fn post(
        &self,
        subject: &str,
        path: &Path,
        body: &Value,
    ) -> Result<Answer, RegistryError> {
        self.request(subject, Method::POST, path, Some(body.to_string())).await
    }

    /// The registry in use, for messages.
    pub(super) fn url(&self) -> String {
        self.roots[self.current.load(Ordering::Relaxed)].to_string()
    }

    async fn request(
        &self,
        subject: &str,
        method: Method,
        path: &Path,
        body: Option<String>,
    ) -> Result<Answer, RegistryError> {
        let deadline = Instant::now() + self.retry_budget;
        let mut delays = backoff();
        loop {
            let trouble = match self.try_each(&method, path, body.as_deref()).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let delay = delays.next().unwrap_or(DELAY_MAX);
            let delay = longer(delay, trouble.retry_after, self.retry_budget);
            if Instant::now() + delay >= deadline {
                return Err(RegistryError::Unreachable {
                    subject: subject.to_owned(),
                    url: self.url(),
                    budget_ms: u64::try_from(self.retry_budget.as_millis()).unwrap_or(u64::MAX),
                    source: trouble.source,
                });
            }
            tracing::warn!(
                subject,
                url = self.url(),
                retry_in_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                error = trouble.source.as_ref().map(tracing::field::display),
                "schema registry does not answer; rows of known schemas go on"
            );
            tokio::time::sleep(delay).await;
        }
    }

    /// Asks each registry in turn, beginning with the one that answered last.
    async fn try_each(
        &self,
        method: &Method,
        path: &Path,
        body: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let first = self.current.load(Ordering::Relaxed);
        let mut last = Trouble { source: None, retry_after: None };
        for i in 0..self.roots.len() {
            let at = (first + i) % self.roots.len();
            match self.attempt(method, path.below(&self.roots[at]), body).await {
                Ok(answer) => {
                    self.current.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    async fn attempt(
        &self,
        method: &Method,
        url: Url,
        body: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let mut request = self.client.request(method.clone(), url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, MEDIA_TYPE).body(body.to_owned());
        }
        let response = request.send().await.map_err(trouble)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let retry_after = retry_after(&response);
            let source = response.error_for_status_ref().err().map(reqwest::Error::without_url);
            return Err(Trouble { source, retry_after });
        }
        let bytes = bounded_body(response).await.map_err(trouble)?;
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status: status.as_u16(), json })
    }
}

fn trouble(error: reqwest::Error) -> Trouble {
    Trouble { source: Some(error.without_url()), retry_after: None }
}

/// Reads at most [`BODY_BYTES_MAX`]; what is longer is cut, and then no JSON any more.
async fn bounded_body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = BODY_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if bytes.len() == BODY_BYTES_MAX {
            break;
        }
    }
    Ok(bytes)
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The registry's own wish, as far as it fits: it may ask for more seconds than a clock can hold.
fn longer(delay: Duration, asked: Option<Duration>, budget: Duration) -> Duration {
    asked.map_or(delay, |asked| delay.max(asked.min(budget)))
}

fn backoff() -> impl Iterator<Item = Duration> {
    backon::ExponentialBuilder::default()
        .with_min_delay(DELAY_MIN)
        .with_max_delay(DELAY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

fn client(config: &RegistryConfig) -> Result<Client, RegistryError> {
    // reqwest panics without a provider of the process. Whoever was first has installed the same.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        rustls::crypto::ring::default_provider().install_default().unwrap_or(());
    }
    let mut builder = Client::builder()
        .default_headers(headers(config)?)
        .timeout(config.request_timeout)
        .connect_timeout(config.request_timeout)
        // Credentials and schemas go to the host that was configured and to no other.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tailwater/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &config.ca {
        let authorities = reqwest::Certificate::from_pem_bundle(&read(path)?)
            .map_err(|_| unreadable("certificates", path))?;
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(path) = &config.certificate {
        let mut pem = read(path)?;
        if let Some(key) = &config.key {
            pem.push(b'\n');
            pem.extend(read(key)?);
        }
        let identity = reqwest::Identity::from_pem(&pem)
            .map_err(|_| unreadable("a certificate with its key", path))?;
        builder = builder.identity(identity);
    }
    builder.build().map_err(|e| setup(e.without_url().to_string(), None))
}

fn headers(config: &RegistryConfig) -> Result<HeaderMap, RegistryError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        ACCEPT,
        HeaderValue::from_static("application/vnd.schemaregistry.v1+json, application/json"),
    );
    let authorization = match &config.auth {
        None => return Ok(headers),
        Some(RegistryAuth::Bearer(token)) => format!("Bearer {}", token.expose()),
        Some(RegistryAuth::Basic { user, password }) => {
            use base64::Engine as _;
            let pair = format!("{user}:{}", password.expose());
            format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair))
        }
    };
    let mut value = HeaderValue::from_str(&authorization).map_err(|_| {
        setup("the token in `registry.auth` has a line break in it".to_owned(), None)
    })?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

fn read(path: &FilePath) -> Result<Vec<u8>, RegistryError> {
    std::fs::read(path).map_err(|source| setup(format!("read {}", path.display()), Some(source)))
}

fn unreadable(what: &str, path: &FilePath) -> RegistryError {
    setup(format!("{} holds no {what} in PEM form", path.display()), None)
}

fn setup(what: String, source: Option<std::io::Error>) -> RegistryError {
    RegistryError::Setup { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_that_asks_for_ages_gets_the_budget_and_no_more() {
        let (own, budget) = (Duration::from_millis(100), Duration::from_secs(90));
        let check = |asked: Option<u64>, expected: Duration| {
            assert_eq!(longer(own, asked.map(Duration::from_secs), budget), expected, "{asked:?}");
        };
        check(None, own);
        check(Some(0), own);
        check(Some(7), Duration::from_secs(7));
        check(Some(u64::MAX), budget);
    }
}
