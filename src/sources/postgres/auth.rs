//! Proving who we are: trust, SCRAM-SHA-256(-PLUS), md5, and the clear password over TLS only.
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use bytes::Bytes;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::connection::PgConnection;
use super::error::SourceError;
use super::transport::Privacy;
use super::wire::{self, Fields};
use crate::config::PostgresConfig;

/// What the server asks for, by the number in its Authentication message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Done,
    Cleartext,
    Md5 { salt: [u8; 4] },
    Sasl { mechanisms: Vec<String> },
    SaslContinue(Bytes),
    SaslFinal(Bytes),
    Unsupported(String),
}

fn request(body: &Bytes) -> Result<Request, wire::WireError> {
    let mut fields = Fields::new("an authentication request", body);
    let code = fields.int32()?;
    Ok(match code {
        0 => Request::Done,
        3 => Request::Cleartext,
        5 => {
            let mut salt = [0; 4];
            salt.copy_from_slice(fields.bytes(4)?);
            Request::Md5 { salt }
        }
        10 => {
            let mut mechanisms = Vec::new();
            while fields.rest().first().is_some_and(|byte| *byte != 0) {
                mechanisms.push(fields.c_string()?.to_owned());
            }
            Request::Sasl { mechanisms }
        }
        11 => Request::SaslContinue(body.slice_ref(fields.rest())),
        12 => Request::SaslFinal(body.slice_ref(fields.rest())),
        2 => Request::Unsupported("Kerberos V5".to_owned()),
        7 => Request::Unsupported("GSSAPI".to_owned()),
        9 => Request::Unsupported("SSPI".to_owned()),
        other => Request::Unsupported(format!("number {other}")),
    })
}

/// Answers the server until it is content.
pub(super) async fn authenticate(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<(), SourceError> {
    match next_request(connection, config).await? {
        Request::Done => Ok(()),
        Request::Cleartext => {
            if *connection.privacy() == Privacy::Clear {
                let (endpoint, user) = whom(connection, config);
                return Err(SourceError::CleartextRefused { endpoint, user });
            }
            let password = password(connection, config)?;
            send_password(connection, password.as_bytes()).await?;
            expect_done(connection, config).await
        }
        Request::Md5 { salt } => {
            let password = password(connection, config)?;
            let hash = md5_hash(config.user.as_bytes(), password.as_bytes(), salt);
            send_password(connection, hash.as_bytes()).await?;
            expect_done(connection, config).await
        }
        Request::Sasl { mechanisms } => scram(connection, config, &mechanisms).await,
        Request::SaslContinue(_) | Request::SaslFinal(_) => {
            Err(connection.protocol_error("a SASL answer without a question".to_owned()))
        }
        Request::Unsupported(method) => Err(unsupported(connection, config, method)),
    }
}

/// RFC 5802 and <https://www.postgresql.org/docs/current/sasl-authentication.html>
async fn scram(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    offered: &[String],
) -> Result<(), SourceError> {
    let Some((mechanism, binding)) = mechanism(connection.privacy(), offered) else {
        return Err(unsupported(connection, config, offered.join(", ")));
    };
    let password = password(connection, config)?;
    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    let (endpoint, user) = whom(connection, config);
    let scram_error =
        |source| SourceError::Scram { endpoint: endpoint.clone(), user: user.clone(), source };

    frontend::sasl_initial_response(mechanism, scram.message(), connection.output())
        .map_err(scram_error)?;
    connection.flush("authenticate").await?;
    let Request::SaslContinue(challenge) = next_request(connection, config).await? else {
        return Err(connection.protocol_error("no challenge in a SCRAM exchange".to_owned()));
    };
    scram.update(&challenge).map_err(scram_error)?;
    frontend::sasl_response(scram.message(), connection.output()).map_err(scram_error)?;
    connection.flush("authenticate").await?;
    // Without the server's own proof it may be anybody: no `Done` is accepted in its place.
    let Request::SaslFinal(proof) = next_request(connection, config).await? else {
        return Err(connection.protocol_error("no proof at the end of SCRAM".to_owned()));
    };
    scram.finish(&proof).map_err(scram_error)?;
    connection.set_channel_bound(mechanism == SCRAM_SHA_256_PLUS);
    expect_done(connection, config).await
}

/// Binds to the TLS channel wherever both sides can. The flag sent otherwise tells the server
/// whether we could have, so that it notices when somebody between hid its offer.
fn mechanism(privacy: &Privacy, offered: &[String]) -> Option<(&'static str, ChannelBinding)> {
    let offers = |name: &str| offered.iter().any(|offer| offer == name);
    match privacy {
        Privacy::Encrypted { end_point_hash: Some(hash) } if offers(SCRAM_SHA_256_PLUS) => {
            Some((SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash.clone())))
        }
        Privacy::Encrypted { end_point_hash: Some(_) } if offers(SCRAM_SHA_256) => {
            Some((SCRAM_SHA_256, ChannelBinding::unrequested()))
        }
        _ if offers(SCRAM_SHA_256) => Some((SCRAM_SHA_256, ChannelBinding::unsupported())),
        _ => None,
    }
}

async fn next_request(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<Request, SourceError> {
    loop {
        let message = connection.next_message("authenticate").await?;
        match message.tag {
            b'R' => {
                return request(&message.body).map_err(|error| connection.wire_error(&error));
            }
            wire::ERROR => return Err(login_error(connection, config, &message.body)),
            wire::NOTICE => {}
            other => return Err(connection.unexpected(other, "authenticate")),
        }
    }
}

async fn expect_done(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<(), SourceError> {
    match next_request(connection, config).await? {
        Request::Done => Ok(()),
        other => Err(connection.protocol_error(format!("{other:?} after the password"))),
    }
}

async fn send_password(connection: &mut PgConnection, password: &[u8]) -> Result<(), SourceError> {
    if frontend::password_message(password, connection.output()).is_err() {
        return Err(connection.protocol_error("a password cannot hold a zero byte".to_owned()));
    }
    connection.flush("authenticate").await
}

pub(super) fn login_error(
    connection: &PgConnection,
    config: &PostgresConfig,
    body: &[u8],
) -> SourceError {
    let source = Box::new(wire::server_error(body));
    let (endpoint, user) = whom(connection, config);
    // "permission denied to start WAL sender", "must be superuser or replication role …"
    if connection.is_replication() && source.code == "42501" {
        return SourceError::LacksReplication { role: user, source };
    }
    SourceError::Login { endpoint, user, database: config.database.clone(), source }
}

fn password<'a>(
    connection: &PgConnection,
    config: &'a PostgresConfig,
) -> Result<&'a str, SourceError> {
    config.password.as_ref().map(crate::config::Secret::expose).ok_or_else(|| {
        let (endpoint, user) = whom(connection, config);
        SourceError::PasswordMissing { endpoint, user }
    })
}

fn unsupported(connection: &PgConnection, config: &PostgresConfig, method: String) -> SourceError {
    let (endpoint, user) = whom(connection, config);
    SourceError::AuthenticationMethod { endpoint, user, method }
}

fn whom(connection: &PgConnection, config: &PostgresConfig) -> (String, String) {
    (connection.endpoint().to_owned(), config.user.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(privacy: &Privacy, offered: &[&str]) -> Option<&'static str> {
        let offered: Vec<String> = offered.iter().map(|&s| s.to_owned()).collect();
        mechanism(privacy, &offered).map(|(name, _)| name)
    }

    #[test]
    fn the_channel_is_bound_wherever_both_sides_can() {
        let bound = Privacy::Encrypted { end_point_hash: Some(vec![1]) };
        let unbound = Privacy::Encrypted { end_point_hash: None };
        let both = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];
        assert_eq!(check(&bound, &both), Some(SCRAM_SHA_256_PLUS));
        assert_eq!(check(&bound, &[SCRAM_SHA_256]), Some(SCRAM_SHA_256));
        assert_eq!(check(&unbound, &both), Some(SCRAM_SHA_256));
        assert_eq!(check(&Privacy::Clear, &both), Some(SCRAM_SHA_256));
        assert_eq!(check(&bound, &["OAUTHBEARER"]), None);
    }

    #[test]
    fn requests_are_read_from_any_bytes() {
        let request = |bytes: &[u8]| request(&Bytes::copy_from_slice(bytes));
        assert_eq!(request(&[0, 0, 0, 0]), Ok(Request::Done));
        assert_eq!(request(&[0, 0, 0, 5, 1, 2, 3, 4]), Ok(Request::Md5 { salt: [1, 2, 3, 4] }));
        assert!(request(&[0, 0, 0, 5, 1]).is_err());
        assert!(request(&[0, 0, 0]).is_err());
        let sasl = request(b"\0\0\0\x0aSCRAM-SHA-256\0\0").unwrap();
        assert_eq!(sasl, Request::Sasl { mechanisms: vec!["SCRAM-SHA-256".to_owned()] });
        assert!(request(b"\0\0\0\x0aSCRAM").is_err());
    }
}
