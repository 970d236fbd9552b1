//! Users: SCRAM-SHA-256 (RFC 7677), and the built-in roles that matter to a capture
//! (<https://www.mongodb.com/docs/manual/reference/built-in-roles/>).

use std::collections::HashMap;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mongodb::bson::{Binary, Bson, Document, doc, spec::BinarySubtype};
use ring::{digest, hmac, pbkdf2};

use super::failure::Failure;
use super::state::State;
use super::wire::Request;

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) password: String,
    /// `root`, `readAnyDatabase`, `clusterMonitor`, or `read@<database>`.
    pub(crate) roles: Vec<String>,
}

impl User {
    pub(crate) fn new(name: &str, password: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|&role| role.to_owned()).collect();
        Self { name: name.to_owned(), password: password.to_owned(), roles }
    }

    fn has(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role || known == "root")
    }
}

#[derive(Default)]
pub(crate) struct Login {
    exchange: Option<Exchange>,
    pub(crate) user: Option<String>,
}

struct Exchange {
    user: User,
    nonce: String,
    salt: Vec<u8>,
    /// Both first messages, as the proof signs them.
    said: String,
}

const ITERATIONS: u32 = 4096;

fn failed() -> Failure {
    Failure::new(18, "AuthenticationFailed", "Authentication failed.")
}

/// One step of the conversation.
pub(crate) fn sasl(
    users: &[User],
    login: &mut Login,
    request: &Request,
) -> Result<Document, Failure> {
    let command = &request.command;
    let payload = command.get_binary_generic("payload").map_err(|_| failed())?;
    let payload = String::from_utf8(payload.clone()).map_err(|_| failed())?;
    let (done, said) = if request.name == "saslStart" {
        if command.get_str("mechanism").ok() != Some("SCRAM-SHA-256") {
            return Err(failed());
        }
        (false, first(users, login, &payload)?)
    } else if login.user.is_some() {
        (true, String::new())
    } else {
        (true, last(login, &payload)?)
    };
    let payload = Binary { subtype: BinarySubtype::Generic, bytes: said.into_bytes() };
    Ok(doc! { "conversationId": 1, "done": done, "payload": payload })
}

fn attributes(message: &str) -> HashMap<&str, &str> {
    message.split(',').filter_map(|part| part.split_once('=')).collect()
}

fn first(users: &[User], login: &mut Login, payload: &str) -> Result<String, Failure> {
    let bare = payload.strip_prefix("n,,").ok_or_else(failed)?;
    let given = attributes(bare);
    let (name, nonce) = (given.get("n").ok_or_else(failed)?, given.get("r").ok_or_else(failed)?);
    let name = name.replace("=2C", ",").replace("=3D", "=");
    let user = users.iter().find(|user| user.name == name).ok_or_else(failed)?.clone();
    let salt = rand::random::<[u8; 28]>().to_vec();
    let nonce = format!("{nonce}{}", STANDARD.encode(rand::random::<[u8; 24]>()));
    let said = format!("r={nonce},s={},i={ITERATIONS}", STANDARD.encode(&salt));
    let both = format!("{bare},{said}");
    login.exchange = Some(Exchange { user, nonce, salt, said: both });
    Ok(said)
}

fn last(login: &mut Login, payload: &str) -> Result<String, Failure> {
    let exchange = login.exchange.take().ok_or_else(failed)?;
    let given = attributes(payload);
    if given.get("r") != Some(&exchange.nonce.as_str()) {
        return Err(failed());
    }
    let (without_proof, proof) = payload.rsplit_once(",p=").ok_or_else(failed)?;
    let signed = format!("{},{without_proof}", exchange.said);
    let mut salted = [0; 32];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        NonZeroU32::new(ITERATIONS).expect("it is not zero"),
        &exchange.salt,
        exchange.user.password.as_bytes(),
        &mut salted,
    );
    let sign = |key: &[u8], what: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what).as_ref().to_vec()
    };
    let client_key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored.as_ref(), signed.as_bytes());
    let expected: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    if STANDARD.decode(proof).ok() != Some(expected) {
        return Err(failed());
    }
    login.user = Some(exchange.user.name);
    let server_key = sign(&salted, b"Server Key");
    Ok(format!("v={}", STANDARD.encode(sign(&server_key, signed.as_bytes()))))
}

/// Whether a command is allowed to who is logged in.
pub(crate) fn may(state: &State, login: &Login, request: &Request) -> Result<(), Failure> {
    if state.options.users.is_empty() {
        return Ok(());
    }
    let name = request.name.as_str();
    let Some(user) = login.user.as_ref() else {
        let message = format!("command {name} requires authentication");
        return Err(Failure::new(13, "Unauthorized", message));
    };
    let user = state.options.users.iter().find(|u| u.name == *user).expect("it logged in");
    let database = request.database.as_str();
    let everywhere = request.command.get(name).is_some_and(|v| !matches!(v, Bson::String(_)))
        && database == "admin";
    let inner = matches!(database, "local" | "config");
    let reads = user.has("readAnyDatabase") && !inner
        || user.has("clusterMonitor") && database == "config"
        || user.has(&format!("read@{database}")) && !(everywhere && name == "aggregate");
    let allowed = match name {
        "find" | "aggregate" | "count" | "listCollections" | "listIndexes" => {
            user.has("root") || reads
        }
        "collStats" | "dbStats" => reads || user.has("clusterMonitor"),
        "getMore" | "killCursors" | "listDatabases" | "refreshSessions" => true,
        "replSetGetStatus" | "replSetGetConfig" | "serverStatus" | "getParameter" | "hostInfo" => {
            user.has("clusterMonitor")
        }
        _ => user.has("root"),
    };
    if allowed {
        return Ok(());
    }
    let shown: Document = request.command.clone().into_iter().take(3).collect();
    let message = format!("not authorized on {database} to execute command {shown}");
    Err(Failure::new(13, "Unauthorized", message))
}
