//! Passwords that Redshift takes: 8 to 64 printable characters of ASCII without `/`, `@`, `\`, quotes and spaces, a small
//! letter, a capital and a digit among them.
//!
//! <https://docs.aws.amazon.com/redshift/latest/APIReference/API_CreateCluster.html>, `MasterUserPassword`.

use rustls::crypto::aws_lc_rs;
use secrecy::{ExposeSecret, SecretString};

use crate::error::{Error, Result};

/// What passwords are made of: nothing that is easily mistaken for another, or needs an escape anywhere.
const ALPHABET: &[u8; 57] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// 57^32 is more than 2^186.
const LENGTH: usize = 32;

/// Makes a password that nobody can guess.
///
/// # Errors
///
/// The system gives no random bytes.
pub fn new_password() -> Result<SecretString> {
    let random = aws_lc_rs::default_provider().secure_random;
    loop {
        let mut password = String::with_capacity(LENGTH);
        while password.len() < LENGTH {
            let mut bytes = [0; LENGTH];
            random.fill(&mut bytes).map_err(|_| {
                Error::target("can't make a password").because("the system gives no random bytes")
            })?;
            // Those beyond the last whole round of the alphabet would make its beginning more likely.
            let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 57 * 4);
            let chars = fair.map(|byte| char::from(ALPHABET[byte % ALPHABET.len()]));
            password.extend(chars.take(LENGTH - password.len()));
        }
        let password = SecretString::from(password);
        if check_password(&password).is_ok() {
            return Ok(password);
        }
    }
}

/// Checks that Redshift takes a password.
///
/// # Errors
///
/// It does not; the error says why, and does not show it.
pub fn check_password(password: &SecretString) -> Result<()> {
    let password = password.expose_secret();
    let has = |kind: fn(&u8) -> bool| password.as_bytes().iter().any(kind);
    let wrong = if !(8..=64).contains(&password.len()) {
        "has not 8 to 64 characters"
    } else if !password.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@\\'\"".contains(&byte)) {
        "has a space, a quote, a character outside of ASCII, or one of / @ \\"
    } else if !(has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_digit))
    {
        "has no small letter, no capital or no digit"
    } else {
        return Ok(());
    };
    Err(Error::config(format!("the password for the cluster {wrong}"))
        .with_help("take one that Redshift allows, or give none to have one made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_are_made_differ_and_are_taken() {
        let made = [new_password().unwrap(), new_password().unwrap()];
        assert_ne!(made[0].expose_secret(), made[1].expose_secret());
        for password in &made {
            assert_eq!(password.expose_secret().len(), LENGTH);
            check_password(password).unwrap();
        }
    }

    #[test]
    fn what_redshift_would_refuse_is_refused_and_not_shown() {
        let long = "aA1".repeat(22);
        for (password, why) in [
            ("aA1", "8 to 64"),
            (long.as_str(), "8 to 64"),
            ("Passw0rd/", "one of"),
            ("Passw0rd x", "a space"),
            ("Passwörd1", "outside of ASCII"),
            ("password1", "no capital"),
        ] {
            let error = check_password(&password.into()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error:?}").contains(password), "{error:?}");
        }
        check_password(&"Passw0rd".into()).unwrap();
    }
}
