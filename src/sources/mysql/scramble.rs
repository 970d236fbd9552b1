//! How each authentication plugin proves that the password is known. Pure, but for one padding.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256, Sha512};
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// `SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password)))`; nothing for no password.
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_authentication_methods_native_password_authentication.html>
pub(super) fn native(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha1(&[password]);
    let mask = sha1(&[nonce, &sha1(&[&once])]);
    xor(&once, &mask)
}

/// `SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce)`; a zero for no password
/// (`caching_sha2_password_auth_client` in `sql/auth/sha2_password.cc`).
/// <https://dev.mysql.com/doc/dev/mysql-server/latest/page_caching_sha2_authentication_exchanges.html>
pub(super) fn caching_sha2(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return vec![0];
    }
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mask = Sha256::new().chain_update(twice).chain_update(nonce).finalize();
    xor(&once, &mask)
}

/// Ed25519 over the nonce, with the password in place of the seed.
/// <https://mariadb.com/kb/en/authentication-plugin-ed25519/>
pub(super) fn ed25519(password: &[u8], nonce: &[u8]) -> Vec<u8> {
    let seed: [u8; 64] = Sha512::digest(password).into();
    let (secret, prefix) = seed.split_at(32);
    let mut clamped = [0; 32];
    clamped.copy_from_slice(secret);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(clamped));
    let public = EdwardsPoint::mul_base(&secret).compress();
    let hash = |parts: &[&[u8]]| {
        let mut hasher = Sha512::new();
        for part in parts {
            hasher.update(part);
        }
        Scalar::from_bytes_mod_order_wide(&hasher.finalize().into())
    };
    let r = hash(&[prefix, nonce]);
    let commitment = EdwardsPoint::mul_base(&r).compress();
    let challenge = hash(&[commitment.as_bytes(), public.as_bytes(), nonce]);
    [commitment.to_bytes(), (challenge * secret + r).to_bytes()].concat()
}

/// The password for an RSA key: with a zero at its end, masked with the nonce so that it cannot be
/// sent twice, under OAEP with SHA-1 (`RSA_PKCS1_OAEP_PADDING` in `sha256_password_auth_client`).
pub(super) fn encrypt(
    password: &[u8],
    nonce: &[u8],
    public_key_pem: &[u8],
) -> Result<Vec<u8>, &'static str> {
    if nonce.is_empty() {
        return Err("the server sent no nonce");
    }
    let (modulus, exponent) = public_key(public_key_pem)?;
    let masked: Vec<u8> = password
        .iter()
        .chain(std::iter::once(&0))
        .zip(nonce.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    let key_bytes = usize::try_from(modulus.bits().div_ceil(8)).unwrap_or_default();
    let mut seed = [0; SHA1_BYTES];
    SystemRandom::new().fill(&mut seed).map_err(|_| "no randomness on this system")?;
    let padded = oaep(&masked, &seed, key_bytes).ok_or("the password is too long for the key")?;
    let cipher = BigUint::from_bytes_be(&padded).modpow(&exponent, &modulus).to_bytes_be();
    let mut whole = vec![0; key_bytes.saturating_sub(cipher.len())];
    whole.extend_from_slice(&cipher);
    Ok(whole)
}

/// A key that takes so long to use is not one that a server makes.
const KEY_BITS_MAX: u64 = 16_384;
const SHA1_BYTES: usize = 20;

fn public_key(pem: &[u8]) -> Result<(BigUint, BigUint), &'static str> {
    const DAMAGED: &str = "the server's public key is no RSA key in PEM";
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| DAMAGED)?;
    let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| DAMAGED)?;
    let key = info.subject_public_key.as_bytes().ok_or(DAMAGED)?;
    // RSAPublicKey of RFC 8017, A.1.1.
    let mut reader = SliceReader::new(key).map_err(|_| DAMAGED)?;
    let numbers = reader.sequence(|sequence| {
        Ok((UintRef::decode(sequence)?.as_bytes(), UintRef::decode(sequence)?.as_bytes()))
    });
    let (modulus, exponent) = numbers.map_err(|_| DAMAGED)?;
    let numbers = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    if numbers.0.bits() > KEY_BITS_MAX || numbers.1.bits() > 64 || numbers.0.bits() < 512 {
        return Err(DAMAGED);
    }
    Ok(numbers)
}

/// RFC 8017, 7.1.1, step 2, with an empty label.
fn oaep(message: &[u8], seed: &[u8; SHA1_BYTES], key_bytes: usize) -> Option<Vec<u8>> {
    let block_bytes = key_bytes.checked_sub(SHA1_BYTES + 1)?;
    let n_zeroes = block_bytes.checked_sub(SHA1_BYTES + 1 + message.len())?;
    let mut block = sha1(&[]);
    block.resize(SHA1_BYTES + n_zeroes, 0);
    block.push(1);
    block.extend_from_slice(message);
    let block = xor(&block, &mgf1(seed, block.len()));
    let seed = xor(seed, &mgf1(&block, SHA1_BYTES));
    Some([&[0][..], &seed, &block].concat())
}

/// RFC 8017, B.2.1.
fn mgf1(seed: &[u8], n_bytes: usize) -> Vec<u8> {
    let mut mask = Vec::new();
    for counter in 0u32.. {
        if mask.len() >= n_bytes {
            break;
        }
        mask.extend_from_slice(&sha1(&[seed, &counter.to_be_bytes()]));
    }
    mask.truncate(n_bytes);
    mask
}

fn sha1(parts: &[&[u8]]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, &parts.concat()).as_ref().to_vec()
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; 20] = b"ABCDEFGHIJKLMNOPQRST";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn no_password_is_proven_as_each_plugin_wants_it() {
        assert_eq!(native(b"", NONCE), b"");
        assert_eq!(caching_sha2(b"", NONCE), b"\0");
    }

    #[test]
    fn proofs_have_the_length_of_their_hash() {
        assert_eq!(native(b"secret", NONCE).len(), 20);
        assert_eq!(caching_sha2(b"secret", NONCE).len(), 32);
        assert_eq!(ed25519(b"secret", NONCE).len(), 64);
    }

    /// The test of MariaDB's own `client_ed25519`: the stored hash is the public key.
    #[test]
    fn the_password_is_the_seed_of_an_ed25519_key() {
        let seed: [u8; 64] = Sha512::digest(b"foo").into();
        let mut clamped = [0; 32];
        clamped.copy_from_slice(&seed[..32]);
        let secret = Scalar::from_bytes_mod_order(clamp_integer(clamped));
        let public = EdwardsPoint::mul_base(&secret).compress();
        // SELECT ed25519_password('foo'), in base64 without padding.
        let text = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD_NO_PAD,
            public.as_bytes(),
        );
        assert_eq!(text, "vubFBzIrapbfHct1/J72dnUryz5VS7lA6XHH8sIx4TI");
    }

    /// The mask's values are those of PyCryptodome; a real server reads the whole.
    #[test]
    fn oaep_masks_as_others_do_and_has_a_limit() {
        assert_eq!(hex(&mgf1(b"foo", 3)), "1ac907");
        assert_eq!(hex(&mgf1(b"bar", 50)[..5]), "bc0c655e01");
        assert!(oaep(&[0; 87], &[0; 20], 128).is_none());
        assert_eq!(oaep(&[0; 86], &[0; 20], 128).unwrap().len(), 128);
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        for pem in ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(encrypt(b"secret", NONCE, pem.as_bytes()).is_err());
        }
    }
}
