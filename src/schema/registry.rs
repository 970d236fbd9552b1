//! Client of a Confluent-compatible schema registry.
//!
//! It asks for numbers of schemas and for nothing else: it never changes a compatibility rule or a
//! mode, and deletes nothing. A number is asked for once per (subject, schema) and kept for the
//! life of the process, so that rows of known schemas flow while the registry is away.
//!
//! What may heal (no answer, 429, 5xx) is tried again, at every URL in turn, until the budget is
//! spent. A refusal is explained: the rule of the subject, the registry's own messages, and the
//! first field in which the schema differs from the latest one where those name none.

mod diff;
mod http;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::config::RegistryConfig;
use crate::disposition::{Diagnose, Disposition};
use http::{Answer, Http, Path};

/// Messages of the registry are cut here.
const DETAIL_BYTES_MAX: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("register a schema under {subject}: the registry refuses it ({rule}): {detail}")]
    Refused { subject: String, rule: String, detail: String },
    #[error("reach the schema registry at {url} for subject {subject} within {budget_ms} ms")]
    Unreachable { subject: String, url: String, budget_ms: u64, source: Option<reqwest::Error> },
    #[error("sign in to the schema registry at {url} for subject {subject}: it answers {status}")]
    Unauthorized { subject: String, url: String, status: u16 },
    #[error("find a schema under {subject} at {url}: it is not registered")]
    Missing { subject: String, url: String },
    #[error(
        "ask the schema registry at {url} about subject {subject}: it answers {status}: {detail}"
    )]
    Unexpected { subject: String, url: String, status: u16, detail: String },
    #[error("wait for the schema registry about subject {subject}: the run is stopping")]
    Stopped { subject: String },
    #[error("set up the client of the schema registry: {what}")]
    Setup { what: String, source: Option<std::io::Error> },
}

impl Diagnose for RegistryError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unreachable { .. } | Self::Stopped { .. } => Disposition::Reconnect,
            Self::Refused { .. }
            | Self::Unauthorized { .. }
            | Self::Missing { .. }
            | Self::Unexpected { .. }
            | Self::Setup { .. } => Disposition::Stop,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { subject, rule, .. } if rule == "invalid schema" => format!(
                "the registry cannot read the schema of {subject} at all; please report it with the table's definition"
            ),
            Self::Refused { subject, .. } => format!(
                "undo the change of the table, or relax the rule of this subject until the new schema is in: \
                 PUT /config/{subject} {{\"compatibility\": \"NONE\"}}; nothing was acknowledged to the source meanwhile"
            ),
            Self::Unreachable { .. } => "check `registry.url` and that the registry runs; `retry_budget` is how long it is waited for".to_owned(),
            Self::Unauthorized { status: 403, subject, .. } => {
                format!("grant this user read and write on subject {subject}")
            }
            Self::Unauthorized { .. } => "check user and password, or token, in `registry.auth`".to_owned(),
            Self::Missing { subject, .. } => format!(
                "register the schema under {subject} beforehand, or set `register: true`"
            ),
            Self::Unexpected { status: 300..=399, .. } => "`registry.url` points to something that redirects; write the address that it redirects to".to_owned(),
            Self::Unexpected { .. } => "check that `registry.url` is the root of the Confluent API (Apicurio has it under /apis/ccompat/v7)".to_owned(),
            Self::Stopped { .. } => return None,
            Self::Setup { .. } => "check `ca`, `certificate` and `key` of the registry: PEM files, readable by this user".to_owned(),
        })
    }
}

pub struct RegistryClient {
    config: RegistryConfig,
    http: Http,
    /// Subject to schema text to number: two levels, so that a look-up needs no copies.
    known: Mutex<HashMap<String, HashMap<String, u32>>>,
    /// One request at a time: whoever waits here finds the number in `known` afterwards.
    asking: tokio::sync::Mutex<()>,
}

impl RegistryClient {
    /// # Errors
    /// When certificate files cannot be read.
    pub fn new(config: RegistryConfig) -> Result<Self, RegistryError> {
        let http = Http::new(&config)?;
        Ok(Self { config, http, known: Mutex::default(), asking: tokio::sync::Mutex::new(()) })
    }

    /// The number of `schema` under `subject`: registered if the configuration lets it, looked up
    /// otherwise. Retries with backoff until the budget is spent.
    ///
    /// # Errors
    /// When the registry refuses, or stays away beyond the budget.
    pub async fn id(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        if let Some(id) = self.known(subject, schema) {
            return Ok(id);
        }
        let _turn = self.asking.lock().await;
        if let Some(id) = self.known(subject, schema) {
            return Ok(id);
        }
        let path = match self.config.register {
            true => Path::new(["subjects", subject, "versions"]),
            false => Path::new(["subjects", subject]),
        };
        let answer = self.http.post(subject, &path, &body(schema)).await?;
        let id = match answer.status {
            200 => id_of(&answer),
            404 if !self.config.register => {
                return Err(RegistryError::Missing {
                    subject: subject.to_owned(),
                    url: self.http.url(),
                });
            }
            409 | 422 => return Err(self.refused(subject, schema, &answer).await),
            _ => None,
        };
        let Some(id) = id else { return Err(self.unexpected(subject, &answer)) };
        tracing::info!(subject, schema_id = id, "schema is known to the registry");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(subject.to_owned()).or_default().insert(schema.to_owned(), id);
        Ok(id)
    }

    fn known(&self, subject: &str, schema: &str) -> Option<u32> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(subject)?.get(schema).copied()
    }

    /// Collects what the operator needs to see. The refusal stands whatever these questions find.
    async fn refused(&self, subject: &str, schema: &str, answer: &Answer) -> RegistryError {
        let mut detail = answer.message();
        let rule = if answer.status == 422 {
            "invalid schema".to_owned()
        } else {
            let messages = self.compatibility_messages(subject, schema).await;
            for message in messages.iter().filter(|message| !message.is_empty()) {
                if !detail.contains(message.as_str()) {
                    detail.push_str("; ");
                    detail.push_str(message);
                }
            }
            if let Some(difference) = self.first_difference(subject, schema).await
                && !detail.contains(&format!("`{}`", difference.field))
            {
                detail.push_str(&format!("; first difference to the latest version: {difference}"));
            }
            self.rule(subject).await.unwrap_or_else(|| "rule unknown".to_owned())
        };
        RegistryError::Refused { subject: subject.to_owned(), rule, detail: cut(detail) }
    }

    async fn rule(&self, subject: &str) -> Option<String> {
        let path = Path::new(["config", subject]).query("defaultToGlobal=true");
        match self.level(subject, &path).await {
            // Of a subject without a rule, registries that do not know the parameter answer 404, and
            // Apicurio that its rule is NONE, which nothing is refused by.
            None => self.level(subject, &Path::new(["config"])).await,
            Some(level) if level == "NONE" => {
                self.level(subject, &Path::new(["config"])).await.or(Some(level))
            }
            Some(level) => Some(level),
        }
    }

    async fn level(&self, subject: &str, path: &Path) -> Option<String> {
        let answer = self.http.get(subject, path).await.ok().filter(|a| a.status == 200)?;
        let level = answer.json.get("compatibilityLevel").or(answer.json.get("compatibility"))?;
        Some(level.as_str()?.to_owned())
    }

    async fn compatibility_messages(&self, subject: &str, schema: &str) -> Vec<String> {
        let path = Path::new(["compatibility", "subjects", subject, "versions", "latest"])
            .query("verbose=true");
        let Ok(answer) = self.http.post(subject, &path, &body(schema)).await else {
            return Vec::new();
        };
        let messages = answer.json.get("messages").and_then(Value::as_array);
        let texts = messages.into_iter().flatten().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    }

    async fn first_difference(&self, subject: &str, schema: &str) -> Option<diff::Difference> {
        let path = Path::new(["subjects", subject, "versions", "latest"]);
        let answer = self.http.get(subject, &path).await.ok()?;
        let latest = serde_json::from_str(answer.json.get("schema")?.as_str()?).ok()?;
        let ours = serde_json::from_str(schema).ok()?;
        diff::first_difference(&latest, &ours)
    }

    fn unexpected(&self, subject: &str, answer: &Answer) -> RegistryError {
        let (subject, url, status) = (subject.to_owned(), self.http.url(), answer.status);
        match status {
            401 | 403 => RegistryError::Unauthorized { subject, url, status },
            _ => RegistryError::Unexpected { subject, url, status, detail: cut(answer.message()) },
        }
    }
}

/// `schemaType` is left out, which means Avro: registries from before it existed take it too.
fn body(schema: &str) -> Value {
    json!({ "schema": schema })
}

fn id_of(answer: &Answer) -> Option<u32> {
    u32::try_from(answer.json.get("id")?.as_u64()?).ok()
}

fn cut(mut text: String) -> String {
    let end = (0..=DETAIL_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
    if text.len() > DETAIL_BYTES_MAX {
        text.truncate(end.unwrap_or(0));
    }
    text
}

#[cfg(test)]
mod tests;
