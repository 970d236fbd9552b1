//! `format`, and the registry within.

use std::time::Duration;

use super::checks::{Checks, at_least};
use crate::config::secret::Secret;
use crate::config::{FormatConfig, RegistryAuth, RegistryConfig, SinkConfig, defaults, written};

macro_rules! at {
    ($($step:literal),*) => { &["format", "avro", "registry" $(, $step)*] };
}

/// `None` after a finding.
pub(super) fn resolve(
    checks: &mut Checks<'_>,
    written: Option<written::Format>,
    sink: &SinkConfig,
) -> Option<FormatConfig> {
    let needs_json = match sink {
        SinkConfig::Kafka(_) => None,
        SinkConfig::File { .. } => Some("file"),
        SinkConfig::Stdout => Some("stdout"),
    };
    match (written, needs_json) {
        (None, Some(_)) => Some(FormatConfig::Json { schemas: false }),
        (None, None) => {
            checks.refuse(&["format"], "the key `format` is missing; `sink.kafka` needs `avro: { registry: { url: … } }` or `json: {}`");
            None
        }
        (Some(written::Format::Json(json)), _) => {
            Some(FormatConfig::Json { schemas: json.schemas.unwrap_or(false) })
        }
        (Some(written::Format::Avro(_)), Some(sink)) => {
            checks.refuse(
                &["format", "avro"],
                format!(
                    "`sink.{sink}` writes lines of text, which Avro's bytes are not; use `json`"
                ),
            );
            None
        }
        (Some(written::Format::Avro(avro)), None) => {
            Some(FormatConfig::Avro(registry(checks, avro.registry)))
        }
    }
}

fn registry(checks: &mut Checks<'_>, written: written::Registry) -> RegistryConfig {
    let tls = written.tls.unwrap_or_default();
    checks.certificate_pair(at!("tls"), tls.certificate.as_ref(), tls.key.as_ref());
    let mut auth = written.auth.map(|auth| self::auth(checks, auth));
    let mut urls = Vec::new();
    if written.url.0.is_empty() {
        checks.refuse(at!("url"), "an empty list; at least one URL is needed");
    }
    for (index, url) in written.url.0.iter().enumerate() {
        let index = index.to_string();
        let path: &[&str] = match written.url.0.len() {
            1 => at!("url"),
            _ => &["format", "avro", "registry", "url", &index],
        };
        let Some((url, user_info)) = parse_url(checks, path, url) else { continue };
        match (user_info, &auth) {
            (None, _) => {}
            (Some(found), None) => {
                checks.secret(path);
                auth = Some(found);
            }
            (Some(found), Some(known)) if same(&found, known) => {}
            (Some(_), Some(_)) => {
                checks
                    .refuse(path, "user and password in the URL contradict `auth` or another URL");
            }
        }
        urls.push(url);
    }
    RegistryConfig {
        urls,
        auth,
        ca: tls.ca,
        certificate: tls.certificate,
        key: tls.key,
        register: written.register.unwrap_or(true),
        request_timeout: checks.duration(
            at!("request_timeout"),
            written.request_timeout,
            defaults::REGISTRY_REQUEST_TIMEOUT,
            at_least(Duration::from_millis(100)),
        ),
        retry_budget: checks.duration(
            at!("retry_budget"),
            written.retry_budget,
            defaults::REGISTRY_RETRY_BUDGET,
            at_least(Duration::ZERO),
        ),
    }
}

fn auth(checks: &mut Checks<'_>, written: written::RegistryAuth) -> RegistryAuth {
    match written {
        written::RegistryAuth::Basic(basic) => {
            checks.text(at!("auth", "basic", "user"), &basic.user);
            checks.secret(at!("auth", "basic", "password"));
            RegistryAuth::Basic { user: basic.user, password: basic.password.0 }
        }
        written::RegistryAuth::Bearer(token) => {
            checks.secret(at!("auth", "bearer"));
            RegistryAuth::Bearer(token.0)
        }
    }
}

fn same(a: &RegistryAuth, b: &RegistryAuth) -> bool {
    match (a, b) {
        (
            RegistryAuth::Basic { user: user_a, password: password_a },
            RegistryAuth::Basic { user: user_b, password: password_b },
        ) => user_a == user_b && password_a == password_b,
        (RegistryAuth::Bearer(a), RegistryAuth::Bearer(b)) => a == b,
        (RegistryAuth::Basic { .. }, RegistryAuth::Bearer(_))
        | (RegistryAuth::Bearer(_), RegistryAuth::Basic { .. }) => false,
    }
}

/// The URL without user info and without a slash at its end, and the user info.
fn parse_url(
    checks: &mut Checks<'_>,
    path: &[&str],
    text: &str,
) -> Option<(String, Option<RegistryAuth>)> {
    let parsed = reqwest::Url::parse(text).ok();
    let Some(mut url) = parsed.filter(|url| matches!(url.scheme(), "http" | "https")) else {
        // Not quoted: a broken URL may still hold a password.
        checks.refuse(path, "expected a URL like http://127.0.0.1:8081");
        return None;
    };
    if url.query().is_some() || url.fragment().is_some() {
        checks.refuse(path, "a URL with `?` or `#`, to which no path can be added");
        return None;
    }
    let user_info = (!url.username().is_empty()).then(|| RegistryAuth::Basic {
        user: percent_decode(url.username()),
        password: Secret::new(percent_decode(url.password().unwrap_or_default())),
    });
    if user_info.is_some() {
        url.set_username("").and_then(|()| url.set_password(None)).expect("http has user info");
    }
    Some((url.as_str().trim_end_matches('/').to_owned(), user_info))
}

/// User info keeps its percent signs when a URL is parsed.
pub(in crate::config) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match hex.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
