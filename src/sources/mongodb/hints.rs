//! What a person can do about a [`SourceError`]: the exact command or setting.

use super::error::SourceError;

const NAMES_SHOWN: usize = 10;

pub(super) fn hint(error: &SourceError) -> Option<String> {
    connection_hint(error).or_else(|| capture_hint(error)).or_else(|| log_hint(error))
}

fn connection_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::Uri { .. } => {
            "write mongodb://host:port,host:port/?replicaSet=name or mongodb+srv://host; percent-encode `:`, `/`, `?`, `#`, `[`, `]`, `@` and `%` in user and password, or set `source.mongodb.user` and `password`".to_owned()
        }
        SourceError::Unreachable { .. } | SourceError::Silent { .. } => {
            "check that the servers of `source.mongodb.uri` listen there (net.bindIp, port, firewall, tls; of mongodb+srv, that the DNS of this machine has SRV records of _mongodb._tcp.<host>), that `replicaSet` is the name that rs.conf()._id says, and that the members' own addresses in rs.conf() can be reached from here".to_owned()
        }
        SourceError::Tls { .. } => {
            "the certificate must be signed by `tlsCAFile` of `source.mongodb.uri` (or a public authority) and carry the host's name in its subjectAltName; a server that asks for a client's certificate needs `tlsCertificateKeyFile`".to_owned()
        }
        SourceError::Login { user, .. } => format!(
            "check `source.mongodb.user` and `password`, and that the user was made in the database that `authSource` names (admin where it is left out): db.getSiblingDB(\"admin\").getUser({})",
            quoted(user)
        ),
        SourceError::LoginLost { user, .. } => format!(
            "it was let in before: was its password changed, or does the router (mongos) not reach its config servers? db.getSiblingDB(\"admin\").getUser({}); sh.status()",
            quoted(user)
        ),
        SourceError::Setup { .. } => {
            "correct the option in `source.mongodb.uri`".to_owned()
        }
        SourceError::Standalone { .. } => {
            "make a replica set of it: start mongod with --replSet rs0 (replication.replSetName: rs0 in mongod.conf), run rs.initiate() once in mongosh, and add replicaSet=rs0 to `source.mongodb.uri`".to_owned()
        }
        SourceError::ServerVersion { oldest, wanted, .. } => {
            format!("upgrade the servers to {oldest} or newer, or do without {wanted}")
        }
        SourceError::Unauthorized { grant, .. } if !grant.is_empty() => grant.clone(),
        SourceError::MajorityOff { .. } => {
            "take `enableMajorityReadConcern: false` out of mongod.conf (replication) and restart the members one by one".to_owned()
        }
        SourceError::PipelineRefused { .. } => {
            "the patterns in `source.mongodb.collections` become regular expressions of the server: write fewer or shorter ones, or `capture_scope: database`; `tailwater check` shows them".to_owned()
        }
        _ => return None,
    })
}

fn capture_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::UnknownDatabase { database, known } => format!(
            "correct `source.mongodb.capture_target`, or make the database first: db.getSiblingDB({}).createCollection(\"…\"); there are {}",
            quoted(database),
            names(known)
        ),
        SourceError::UnknownCollection { unknown, known } => {
            let (database, collection) = unknown
                .first()
                .and_then(|name| name.split_once('.'))
                .unwrap_or(("…", "…"));
            format!(
                "correct `source.mongodb.collections.include`, or make it first: db.getSiblingDB({}).createCollection({}); there are {}",
                quoted(database),
                quoted(collection),
                names(known)
            )
        }
        SourceError::NothingCaptured { .. } => {
            "correct `source.mongodb.collections`; show dbs and show collections in mongosh tell the names".to_owned()
        }
        SourceError::ImagesOff { images, collections } => {
            let commands = collections.iter().take(NAMES_SHOWN).map(|name| {
                format!(
                    "db.getSiblingDB({}).runCommand({{ collMod: {}, changeStreamPreAndPostImages: {{ enabled: true }} }})",
                    quoted(&name.database),
                    quoted(&name.collection)
                )
            });
            format!(
                "{}; or set `source.mongodb.{}: when_available`",
                commands.collect::<Vec<_>>().join("; "),
                images.key()
            )
        }
        _ => return None,
    })
}

fn log_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::ForeignPosition { .. } => {
            "give the pipeline another name, or run `tailwater offsets reset` and let it take a new snapshot".to_owned()
        }
        SourceError::OtherDeployment { .. } => {
            "correct `source.mongodb.uri`; where the deployment was replaced on purpose, its tokens are gone with it: `tailwater offsets reset --yes` forgets the checkpoint, and the next start takes a new snapshot".to_owned()
        }
        SourceError::BeyondLog { .. } => {
            "this deployment was restored from a backup, or is not the one that was read: `tailwater offsets reset --yes` forgets the checkpoint, and the next start takes a new snapshot".to_owned()
        }
        SourceError::HistoryLost { .. } => {
            "events between the checkpoint and the oplog's beginning are lost to this pipeline: `tailwater offsets reset --yes`, and the next start takes a new snapshot. To keep more: db.adminCommand({ replSetResizeOplog: 1, size: <MB>, minRetentionHours: 48 }) on every member (minRetentionHours since 4.4)".to_owned()
        }
        SourceError::BadToken { .. } => {
            "the checkpoint was changed by hand, or comes from a newer server: `tailwater offsets reset --yes`, and the next start takes a new snapshot".to_owned()
        }
        SourceError::EventTooLarge { .. } => {
            "servers of 7.0 (6.0.9) and newer send such events in fragments; on this one, leave `pre_images` off, or set `full_document: off`, until the stream is past it".to_owned()
        }
        SourceError::ImageMissing { images, .. } => format!(
            "a collection that was made since keeps none unless it is told to (collMod: changeStreamPreAndPostImages: {{ enabled: true }}), and they are kept as long as db.adminCommand({{ getClusterParameter: \"changeStreamOptions\" }}) says (expireAfterSeconds); set `source.mongodb.{}: when_available` until the stream is past it",
            images.key()
        ),
        _ => return None,
    })
}

/// As mongosh takes a string.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn names(known: &[String]) -> String {
    match known {
        [] => "none".to_owned(),
        known => {
            let shown = known.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let more = known.len().saturating_sub(NAMES_SHOWN);
            if more == 0 { shown } else { format!("{shown} and {more} more") }
        }
    }
}
