//! `--source mongodb://…`: a URI of MongoDB's own drivers, which may name several servers.

use mongodb::options::ConnectionString;

use crate::config::Secret;
use crate::config::resolve::percent_decode;
use crate::config::written;

/// What a pipeline is called that no database gives a name to.
const PIPELINE: &str = "mongodb";
/// The one parameter that is ours.
const COLLECTIONS: &str = "collections=";

pub(super) fn is_one(url: &str) -> bool {
    url.starts_with("mongodb://") || url.starts_with("mongodb+srv://")
}

/// The database or what stands for it, the source, and whether a password stands in the URL.
pub(super) fn look(
    url: &str,
    password: Option<Secret>,
) -> Result<(String, written::Source, bool), String> {
    let (uri, include) = without_collections(url);
    let shape = "expected mongodb://host:port/database?replicaSet=name, or mongodb+srv://host";
    let read = ConnectionString::parse(&uri).map_err(|_| shape.to_owned())?;
    let database = read.default_database.clone();
    let credential = read.credential.as_ref();
    let has_password = credential.is_some_and(|found| found.password.is_some());
    let user = credential.and_then(|found| found.username.clone());
    let (user, password) = match (user, password) {
        (Some(user), Some(password)) if !has_password => {
            (Some(user), Some(written::SecretText(password)))
        }
        _ => (None, None),
    };
    let whole = database.iter().map(|database| format!("{database}.*")).collect::<Vec<_>>();
    let include = include.or((!whole.is_empty()).then_some(whole));
    let source = written::Mongodb {
        uri: written::SecretText(Secret::new(uri)),
        user,
        password,
        collections: Some(written::Collections { include, exclude: None }),
        capture_scope: None,
        capture_target: None,
        full_document: None,
        pre_images: None,
        documents: None,
        fields: None,
        await_time: None,
        message_bytes_max: None,
    };
    let name = database.unwrap_or_else(|| PIPELINE.to_owned());
    Ok((name, written::Source::Mongodb(Box::new(source)), has_password))
}

/// The driver knows no such parameter.
fn without_collections(url: &str) -> (String, Option<Vec<String>>) {
    let Some((before, parameters)) = url.split_once('?') else { return (url.to_owned(), None) };
    let ours = parameters.split('&').find_map(|one| one.strip_prefix(COLLECTIONS));
    let theirs = parameters.split('&').filter(|one| !one.starts_with(COLLECTIONS));
    let theirs = theirs.collect::<Vec<_>>().join("&");
    let uri = if theirs.is_empty() { before.to_owned() } else { format!("{before}?{theirs}") };
    let list = |text: &str| percent_decode(text).split(',').map(str::to_owned).collect();
    (uri, ours.map(list))
}

#[cfg(test)]
mod tests {
    use crate::config::{
        CaptureScope, Loaded, Secret, SourceConfig, first_look, password_variable,
    };

    #[test]
    fn a_uri_of_the_drivers_is_a_whole_pipeline() {
        let url = "mongodb://127.0.0.1:27017,127.0.0.1:27018/shop?replicaSet=rs0";
        let Loaded { config, warnings } = first_look(url, None).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let SourceConfig::Mongodb(source) = &config.source else { panic!("MongoDB") };
        assert_eq!((config.pipeline.as_str(), source.uri.expose()), ("shop", url));
        assert_eq!(source.collections.include(), ["shop.*"]);
        assert_eq!(source.scope, CaptureScope::Deployment);
        assert_eq!(source.servers(), "127.0.0.1:27017,127.0.0.1:27018");
    }

    #[test]
    fn collections_and_a_password_come_from_elsewhere() {
        let url = "mongodb://app@127.0.0.1/?collections=a.*,b.c&replicaSet=rs0";
        assert_eq!(password_variable(url), "MONGODB_PASSWORD");
        let Loaded { config, .. } = first_look(url, Some(Secret::new("canary"))).unwrap();
        let SourceConfig::Mongodb(source) = &config.source else { panic!("MongoDB") };
        assert_eq!(source.uri.expose(), "mongodb://app@127.0.0.1/?replicaSet=rs0");
        assert_eq!(source.collections.include(), ["a.*", "b.c"]);
        assert_eq!(config.pipeline, "mongodb");
        assert_eq!(source.user.as_deref(), Some("app"));
        assert_eq!(source.password.as_ref().map(Secret::expose), Some("canary"));
        let error = first_look("mongodb://u:canary@h@/", None).unwrap_err();
        assert!(!error.lines().concat().contains("canary"));
    }
}
