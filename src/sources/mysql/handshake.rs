//! The first words: the server's greeting, the request for TLS, our answer. Pure.
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

use bytes::{BufMut, BytesMut};

use super::settings::Flavor;
use super::wire::{Fields, WireError};

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/group__group__cs__capabilities__flags.html>
pub(super) mod capability {
    pub(crate) const LONG_PASSWORD: u32 = 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const SSL: u32 = 1 << 11;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const MULTI_RESULTS: u32 = 1 << 17;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const CONNECT_ATTRIBUTES: u32 = 1 << 20;
    pub(crate) const PLUGIN_AUTH_LENENC_CLIENT_DATA: u32 = 1 << 21;
}

/// Neither compression nor `DEPRECATE_EOF` nor files of ours: results end with an EOF packet, on
/// every version of both servers.
const WANTED: u32 = capability::LONG_PASSWORD
    | capability::LONG_FLAG
    | capability::PROTOCOL_41
    | capability::TRANSACTIONS
    | capability::SECURE_CONNECTION
    | capability::MULTI_RESULTS
    | capability::PLUGIN_AUTH
    | capability::CONNECT_ATTRIBUTES
    | capability::PLUGIN_AUTH_LENENC_CLIENT_DATA;
/// Since MySQL 5.6 and MariaDB 10.0.
const NEEDED: u32 =
    capability::PROTOCOL_41 | capability::SECURE_CONNECTION | capability::PLUGIN_AUTH;

/// utf8mb4_general_ci, which both servers know by this number.
const CHARACTER_SET: u8 = 45;
/// What we say that we send at most; the server does not hold itself to it.
const PACKET_BYTES_MAX: u32 = 1 << 30;
const ATTRIBUTES: [(&str, &str); 2] =
    [("program_name", "tailwater"), ("_client_name", "tailwater")];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) version: String,
    pub(super) flavor: Flavor,
    pub(super) thread_id: u32,
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: String,
    pub(super) capabilities: u32,
}

impl Greeting {
    pub(super) fn has_tls(&self) -> bool {
        self.capabilities & capability::SSL != 0
    }

    /// What this server lacks to be spoken to at all.
    pub(super) fn lacks(&self) -> u32 {
        NEEDED & !self.capabilities
    }
}

/// `None` for another protocol version than 10.
pub(super) fn greeting(payload: &[u8]) -> Result<Option<Greeting>, WireError> {
    const WHAT: &str = "the greeting";
    let mut fields = Fields::new(WHAT, payload);
    if fields.byte()? != 10 {
        return Ok(None);
    }
    let version = String::from_utf8_lossy(fields.until_zero()?).into_owned();
    let thread_id = fields.u32()?;
    let mut nonce = fields.bytes(8)?.to_vec();
    fields.byte()?;
    let low = fields.u16()?;
    let _character_set = fields.byte()?;
    let _status = fields.u16()?;
    let high = fields.u16()?;
    let capabilities = u32::from(low) | u32::from(high) << 16;
    let nonce_bytes = usize::from(fields.byte()?);
    // Unused in MySQL; MariaDB has further capabilities here, none of which we want.
    fields.bytes(10)?;
    // "max(13, length - 8)", of which the last is a zero.
    let rest = fields.bytes(nonce_bytes.saturating_sub(8).max(13))?;
    nonce.extend_from_slice(rest.strip_suffix(b"\0").unwrap_or(rest));
    let plugin = match capabilities & capability::PLUGIN_AUTH {
        0 => String::new(),
        _ => {
            // The zero at the end was forgotten by some 5.5 servers.
            let name = fields.until_zero().unwrap_or(fields.rest());
            String::from_utf8_lossy(name).into_owned()
        }
    };
    let flavor = match version.to_ascii_lowercase().contains("mariadb") {
        true => Flavor::Mariadb,
        false => Flavor::Mysql,
    };
    // MariaDB put "5.5.5-" before its versions from 10 on, so that replicas of MySQL believed it.
    let version = match version.strip_prefix("5.5.5-") {
        Some(real) if flavor == Flavor::Mariadb => real.to_owned(),
        _ => version,
    };
    Ok(Some(Greeting { version, flavor, thread_id, nonce, plugin, capabilities }))
}

/// The first part of the answer, sent by itself where TLS follows.
pub(super) fn request_tls(greeting: &Greeting) -> BytesMut {
    head(WANTED & greeting.capabilities | capability::SSL)
}

fn head(capabilities: u32) -> BytesMut {
    let mut answer = BytesMut::new();
    answer.put_u32_le(capabilities);
    answer.put_u32_le(PACKET_BYTES_MAX);
    answer.put_u8(CHARACTER_SET);
    answer.put_bytes(0, 23);
    answer
}

/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_response.html>
pub(super) fn answer(
    greeting: &Greeting,
    encrypted: bool,
    user: &str,
    plugin: &str,
    proof: &[u8],
) -> BytesMut {
    let tls = if encrypted { capability::SSL } else { 0 };
    let capabilities = WANTED & greeting.capabilities | tls;
    let mut answer = head(capabilities);
    answer.put_slice(user.as_bytes());
    answer.put_u8(0);
    // Proofs and attributes are shorter than 251 bytes, so one byte holds a length in both forms.
    put_short(&mut answer, proof);
    answer.put_slice(plugin.as_bytes());
    answer.put_u8(0);
    if capabilities & capability::CONNECT_ATTRIBUTES != 0 {
        let mut attributes = BytesMut::new();
        for (name, value) in ATTRIBUTES {
            put_short(&mut attributes, name.as_bytes());
            put_short(&mut attributes, value.as_bytes());
        }
        put_short(&mut answer, &attributes);
    }
    answer
}

fn put_short(output: &mut BytesMut, text: &[u8]) {
    output.put_u8(u8::try_from(text.len()).unwrap_or_default());
    output.put_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(version: &str, plugin: &str) -> Vec<u8> {
        let mut bytes = vec![10];
        bytes.extend_from_slice(version.as_bytes());
        bytes.extend_from_slice(b"\0\x07\0\0\0ABCDEFGH\0");
        bytes.extend_from_slice(&[0xFF, 0xFF, 45, 2, 0, 0xFF, 0xDF, 21]);
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(b"IJKLMNOPQRST\0");
        bytes.extend_from_slice(plugin.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn both_servers_are_told_apart_and_their_versions_read() {
        for (version, flavor, read) in [
            ("9.7.4-2", Flavor::Mysql, "9.7.4-2"),
            ("8.0.36-28.1", Flavor::Mysql, "8.0.36-28.1"),
            ("5.5.5-10.11.18-MariaDB-log", Flavor::Mariadb, "10.11.18-MariaDB-log"),
            ("11.4.5-MariaDB", Flavor::Mariadb, "11.4.5-MariaDB"),
        ] {
            let greeting = greeting(&sent(version, "caching_sha2_password")).unwrap().unwrap();
            assert_eq!((greeting.flavor, greeting.version.as_str()), (flavor, read));
            assert_eq!(greeting.nonce, b"ABCDEFGHIJKLMNOPQRST");
            assert_eq!(greeting.plugin, "caching_sha2_password");
            assert_eq!(greeting.thread_id, 7);
            assert!(greeting.has_tls());
            assert_eq!(greeting.lacks(), 0);
        }
    }

    #[test]
    fn a_greeting_is_read_from_any_bytes() {
        let whole = sent("9.7.4", "x");
        for cut in 1..whole.len() - 3 {
            assert!(greeting(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert_eq!(greeting(b"\x09old"), Ok(None));
        assert!(greeting(b"").is_err());
    }

    #[test]
    fn only_what_the_server_offers_is_asked_for() {
        let mut greeting = greeting(&sent("9.7.4", "x")).unwrap().unwrap();
        greeting.capabilities &= !capability::CONNECT_ATTRIBUTES;
        let answer = answer(&greeting, false, "me", "x", b"proof");
        let capabilities = u32::from_le_bytes([answer[0], answer[1], answer[2], answer[3]]);
        assert_eq!(capabilities & capability::CONNECT_ATTRIBUTES, 0);
        assert_eq!(capabilities & capability::SSL, 0);
        assert_eq!(&answer[32..], b"me\0\x05proofx\0");
    }
}
