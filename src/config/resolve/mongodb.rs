//! `source.mongodb`.

use std::time::Duration;

use mongodb::options::{ConnectionString, HostInfo, ServerAddress, Tls};

use super::checks::{Checks, is_local};
use super::source::{self, Kind};
use crate::config::{
    CaptureScope, DocumentForm, FieldsConfig, FullDocument, MongodbConfig, PreImages, defaults,
    written,
};

const KIND: Kind =
    Kind { key: "mongodb", list: "collections", table: "database.collection", example: "shop" };

pub(super) fn resolve(checks: &mut Checks<'_>, written: written::Mongodb) -> MongodbConfig {
    check_uri(checks, written.uri.0.expose(), written.password.is_some());
    if let Some(user) = &written.user {
        checks.text(&at("user"), user);
    }
    if written.password.is_some() {
        checks.secret(&at("password"));
    }
    if written.password.is_some() != written.user.is_some() {
        let problem = "`user` and `password` are given together, or both in `uri`";
        checks.refuse(&["source", KIND.key], problem);
    }
    let written::Collections { include, exclude } = written.collections.unwrap_or_default();
    let collections = source::tables(checks, KIND, written::Tables { include, exclude });
    let scope = scope(checks, written.capture_scope, written.capture_target);
    let await_time = checks.duration(
        &at("await_time"),
        written.await_time,
        defaults::AWAIT_TIME,
        Duration::from_millis(100)..=Duration::from_secs(60),
    );
    let message_bytes_max = checks.size(
        &at("message_bytes_max"),
        written.message_bytes_max,
        defaults::EVENT_BYTES_MAX,
        16 << 20..=1 << 30,
    );
    MongodbConfig {
        uri: written.uri.0,
        user: written.user,
        password: written.password.map(|secret| secret.0),
        collections,
        scope,
        full_document: match written.full_document {
            None => defaults::FULL_DOCUMENT,
            Some(written::FullDocument::Off) => FullDocument::Off,
            Some(written::FullDocument::Lookup) => FullDocument::Lookup,
            Some(written::FullDocument::WhenAvailable) => FullDocument::WhenAvailable,
            Some(written::FullDocument::Required) => FullDocument::Required,
        },
        pre_images: match written.pre_images {
            None => defaults::PRE_IMAGES,
            Some(written::PreImages::Off) => PreImages::Off,
            Some(written::PreImages::WhenAvailable) => PreImages::WhenAvailable,
            Some(written::PreImages::Required) => PreImages::Required,
        },
        documents: match written.documents {
            None => defaults::DOCUMENT_FORM,
            Some(written::DocumentForm::Text) => DocumentForm::Text,
            Some(written::DocumentForm::Structured) => DocumentForm::Structured,
        },
        fields: fields(checks, written.fields.unwrap_or_default()),
        await_time,
        message_bytes_max,
    }
}

fn at(key: &str) -> [&str; 3] {
    ["source", KIND.key, key]
}

/// The driver reads it; nothing of it is shown, because a password may stand anywhere in a text
/// that it does not understand.
fn check_uri(checks: &mut Checks<'_>, uri: &str, password_apart: bool) {
    let path = at("uri");
    let Ok(read) = ConnectionString::parse(uri) else {
        checks.refuse(&path, "no connection string: expected mongodb://host:port/?replicaSet=name or mongodb+srv://host, with `:`, `/`, `?`, `#`, `[`, `]`, `@` and `%` of user and password percent-encoded");
        return;
    };
    let has_password = read.credential.as_ref().is_some_and(|found| found.password.is_some());
    if has_password && !password_apart {
        checks.secret(&path);
    }
    let remote = match &read.host_info {
        HostInfo::HostIdentifiers(addresses) => addresses.iter().any(|address| match address {
            ServerAddress::Tcp { host, .. } => !is_local(host),
            _ => false,
        }),
        _ => true,
    };
    let encrypted = matches!(read.tls, Some(Tls::Enabled(_)));
    if remote && !encrypted && !uri.starts_with("mongodb+srv://") {
        checks.warn(
            &path,
            "passwords and documents may cross the network unencrypted; `tls=true` prevents that",
        );
    }
}

/// The addresses in a URI, or the name that is asked for them.
pub(in crate::config) fn servers(uri: &str) -> String {
    match ConnectionString::parse(uri).map(|read| read.host_info) {
        Ok(HostInfo::HostIdentifiers(addresses)) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(",")
        }
        Ok(HostInfo::DnsRecord(name)) => name,
        Ok(_) | Err(_) => "the servers of the URI".to_owned(),
    }
}

fn scope(
    checks: &mut Checks<'_>,
    scope: Option<written::CaptureScope>,
    target: Option<String>,
) -> CaptureScope {
    let path = at("capture_target");
    match (scope.unwrap_or(written::CaptureScope::Deployment), target) {
        (written::CaptureScope::Deployment, None) => CaptureScope::Deployment,
        (written::CaptureScope::Deployment, Some(_)) => {
            checks.refuse(&path, "a whole deployment has no target; set `capture_scope`");
            CaptureScope::Deployment
        }
        (written::CaptureScope::Database, Some(database))
            if !database.is_empty() && !database.contains('.') =>
        {
            CaptureScope::Database(database)
        }
        (written::CaptureScope::Database, _) => {
            checks
                .refuse(&path, "expected the name of the database that `capture_scope` speaks of");
            CaptureScope::Deployment
        }
        (written::CaptureScope::Collection, target) => {
            let parts = target.as_deref().and_then(|target| target.split_once('.'));
            match parts {
                Some((database, collection)) if !database.is_empty() && !collection.is_empty() => {
                    CaptureScope::Collection {
                        database: database.to_owned(),
                        collection: collection.to_owned(),
                    }
                }
                Some(_) | None => {
                    checks.refuse(
                        &path,
                        "expected the `database.collection` that `capture_scope` speaks of",
                    );
                    CaptureScope::Deployment
                }
            }
        }
    }
}

fn fields(checks: &mut Checks<'_>, written: written::Fields) -> FieldsConfig {
    let exclude = written.exclude.unwrap_or_default();
    let rename = written.rename.unwrap_or_default();
    let is_path = |path: &str| path.splitn(3, '.').filter(|step| !step.is_empty()).count() == 3;
    for (index, path) in exclude.iter().enumerate() {
        if !is_path(path) {
            let index = index.to_string();
            let place = ["source", KIND.key, "fields", "exclude", &index];
            checks.refuse(&place, "expected `database.collection.field`");
        }
    }
    for (index, rule) in rename.iter().enumerate() {
        let renames = |(path, name): (&str, &str)| is_path(path) && !name.is_empty();
        if !rule.rsplit_once(':').is_some_and(renames) {
            let index = index.to_string();
            let place = ["source", KIND.key, "fields", "rename", &index];
            checks.refuse(&place, "expected `database.collection.field:new_name`");
        }
    }
    FieldsConfig { exclude, rename }
}
