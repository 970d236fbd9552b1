//! Proving who we are, with whichever plugin the server wants for the user.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

use super::connection::MyConnection;
use super::error::SourceError;
use super::handshake::{self, Greeting};
use super::scramble;
use super::settings::ConnectSettings;
use super::transport::Privacy;
use super::wire::{self, Fields};
use crate::config::Secret;

const OPERATION: &str = "authenticate";
/// Behind this byte comes what a plugin has to say to its other half.
const MORE_DATA: u8 = 0x01;
/// A user that failed to prove itself at once is asked again with its own plugin, and never a
/// third time.
const SWITCHES_MAX: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    Ed25519,
    Clear,
}

impl Plugin {
    /// The nonce within what a switch carries. A zero stands behind the 20 bytes of the others,
    /// none of which is zero (`generate_user_salt` in `password.cc`). Those of ed25519 are 32 of
    /// any value and end with the packet (`auth_ed25519` in `server_ed25519.c`).
    fn nonce(self, sent: &[u8]) -> &[u8] {
        match self {
            Self::Ed25519 => sent,
            Self::Native | Self::CachingSha2 | Self::Sha256 | Self::Clear => {
                sent.strip_suffix(b"\0").unwrap_or(sent)
            }
        }
    }

    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "mysql_native_password" => Self::Native,
            "caching_sha2_password" => Self::CachingSha2,
            "sha256_password" => Self::Sha256,
            "client_ed25519" => Self::Ed25519,
            // PAM, LDAP and tokens of clouds.
            "mysql_clear_password" => Self::Clear,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "client_ed25519",
            Self::Clear => "mysql_clear_password",
        }
    }
}

/// One login: what it is about, and who is asked.
struct Login<'a> {
    connection: &'a mut MyConnection,
    settings: &'a ConnectSettings,
    nonce: Vec<u8>,
    plugin: Plugin,
}

/// Answers the server until it is content.
pub(super) async fn authenticate(
    connection: &mut MyConnection,
    settings: &ConnectSettings,
    greeting: &Greeting,
) -> Result<(), SourceError> {
    // A server may propose what we do not know; it asks for the user's own plugin afterwards.
    let plugin = Plugin::of(&greeting.plugin).unwrap_or(Plugin::Native);
    let nonce = greeting.nonce.clone();
    let mut login = Login { connection, settings, nonce, plugin };
    let proof = match plugin {
        // Nothing that a password could be read from goes to a server that only proposed it.
        Plugin::Clear => Vec::new(),
        _ => login.proof()?,
    };
    let encrypted = login.connection.privacy() == Privacy::Encrypted;
    let user = settings.user.as_str();
    if user.contains('\0') {
        return Err(login.connection.protocol_error("a user cannot hold a zero byte".to_owned()));
    }
    let answer = handshake::answer(greeting, encrypted, user, plugin.name(), &proof);
    login.connection.send_payload(OPERATION, &answer).await?;
    login.run().await
}

impl Login<'_> {
    async fn run(&mut self) -> Result<(), SourceError> {
        let mut n_switches = 0;
        loop {
            let payload = self.connection.next_payload(OPERATION).await?;
            match payload.first() {
                Some(&wire::OK) => return Ok(()),
                Some(&wire::ERROR) => return Err(self.refused(&payload)),
                Some(&wire::EOF) if n_switches < SWITCHES_MAX => {
                    n_switches += 1;
                    self.switch(&payload).await?;
                }
                Some(&MORE_DATA) => {
                    self.go_on(payload.get(1..).unwrap_or_default()).await?;
                }
                other => return Err(self.connection.unexpected(other.copied(), OPERATION)),
            }
        }
    }

    /// The server wants another plugin, with a new nonce.
    async fn switch(&mut self, payload: &[u8]) -> Result<(), SourceError> {
        let mut fields = Fields::new("a switch of authentication", payload);
        let read = fields.byte().and_then(|_| fields.until_zero());
        // Alone, the byte asks for what MySQL had before 4.1.
        let name = read.unwrap_or(b"mysql_old_password");
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(plugin) = Plugin::of(&name) else { return Err(self.unsupported(name)) };
        let nonce = fields.rest();
        self.nonce = plugin.nonce(nonce).to_vec();
        self.plugin = plugin;
        let proof = self.proof()?;
        self.connection.send_payload(OPERATION, &proof).await
    }

    /// What the plugin sends first.
    fn proof(&self) -> Result<Vec<u8>, SourceError> {
        let password = self.password();
        Ok(match self.plugin {
            Plugin::Native => scramble::native(password, &self.nonce),
            Plugin::CachingSha2 => scramble::caching_sha2(password, &self.nonce),
            Plugin::Ed25519 => scramble::ed25519(password, &self.nonce),
            Plugin::Sha256 if password.is_empty() => vec![0],
            // A server that has TLS takes the password through it and nothing else.
            Plugin::Sha256 if self.connection.privacy() == Privacy::Encrypted => self.in_clear(),
            Plugin::Sha256 => vec![SHA256_KEY_REQUEST],
            Plugin::Clear => {
                if self.connection.privacy() == Privacy::Clear {
                    return Err(SourceError::CleartextRefused {
                        endpoint: self.connection.endpoint().to_owned(),
                        user: self.settings.user.clone(),
                        flavor: self.settings.flavor,
                    });
                }
                self.in_clear()
            }
        })
    }

    async fn go_on(&mut self, data: &[u8]) -> Result<(), SourceError> {
        match (self.plugin, data) {
            // The server had the hash of the hash in its cache; OK follows.
            (Plugin::CachingSha2, [FAST_AUTHENTICATION_DONE]) => Ok(()),
            (Plugin::CachingSha2, [FULL_AUTHENTICATION]) => match self.connection.privacy() {
                Privacy::Encrypted | Privacy::Local => {
                    let password = self.in_clear();
                    self.connection.send_payload(OPERATION, &password).await
                }
                Privacy::Clear => {
                    self.connection.send_payload(OPERATION, &[CACHING_SHA2_KEY_REQUEST]).await
                }
            },
            // Asked for above, and only where nothing else hides the password.
            (Plugin::CachingSha2, key) if self.connection.privacy() == Privacy::Clear => {
                self.encrypt(key).await
            }
            (Plugin::Sha256, key) if self.connection.privacy() != Privacy::Encrypted => {
                self.encrypt(key).await
            }
            (plugin, data) => {
                let (name, n_bytes) = (plugin.name(), data.len());
                let detail = format!("{n_bytes} bytes out of place while {name} goes on");
                Err(self.connection.protocol_error(detail))
            }
        }
    }

    async fn encrypt(&mut self, key: &[u8]) -> Result<(), SourceError> {
        let encrypted = scramble::encrypt(self.password(), &self.nonce, key);
        let encrypted =
            encrypted.map_err(|detail| self.connection.protocol_error(detail.to_owned()))?;
        self.connection.send_payload(OPERATION, &encrypted).await
    }

    fn password(&self) -> &[u8] {
        self.settings.password.as_ref().map(Secret::expose).unwrap_or_default().as_bytes()
    }

    fn in_clear(&self) -> Vec<u8> {
        [self.password(), &[0]].concat()
    }

    fn refused(&self, payload: &[u8]) -> SourceError {
        SourceError::Login {
            endpoint: self.connection.endpoint().to_owned(),
            user: self.settings.user.clone(),
            flavor: self.settings.flavor,
            source: Box::new(wire::server_error(payload)),
        }
    }

    fn unsupported(&self, method: String) -> SourceError {
        SourceError::AuthenticationMethod {
            endpoint: self.connection.endpoint().to_owned(),
            user: self.settings.user.clone(),
            method,
        }
    }
}

/// `request_public_key`, `fast_auth_success` and `perform_full_authentication` in
/// `sql/auth/sha2_password.cc`; sha256_password asks for its key with another byte.
const CACHING_SHA2_KEY_REQUEST: u8 = 2;
const SHA256_KEY_REQUEST: u8 = 1;
const FAST_AUTHENTICATION_DONE: u8 = 3;
const FULL_AUTHENTICATION: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_keeps_its_own_zeros() {
        assert_eq!(Plugin::Ed25519.nonce(&[7, 0]), [7, 0]);
        assert_eq!(Plugin::CachingSha2.nonce(&[7, 0]), [7]);
        assert_eq!(Plugin::Native.nonce(&[7]), [7]);
    }
}
