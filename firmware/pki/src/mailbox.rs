//! Whom an identity speaks for: one address or a whole domain.

use alloc::string::String;
use core::fmt;

/// An address (`user@example.org`) or a domain (`@example.org`), as an operator types it.
///
/// The domain is kept in lower case; the local part is kept as written and compared without regard to ASCII case,
/// as mail systems do in practice (RFC 5321 section 2.4 leaves it to the receiving host).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(String);

/// Why a text names neither an address nor a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeError {
    /// There is no `@`, or nothing behind it.
    NoDomain,
    /// Longer than `limits::keys::MAILBOX_BYTES_MAX`.
    TooLong,
    /// A character that an address cannot have here (blank, control, bracket, quote, non-ASCII).
    Character,
    /// The domain has an empty label or a label that starts or ends with a hyphen.
    Domain,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDomain => "not an address (user@example.org) and not a domain (@example.org)",
            Self::TooLong => "the address is too long",
            Self::Character => "the address has a character that is not allowed",
            Self::Domain => "the part behind @ is not a domain name",
        })
    }
}

impl core::error::Error for ScopeError {}

impl Scope {
    /// Reads `user@domain` or `@domain`. The last `@` separates.
    ///
    /// # Errors
    /// See [`ScopeError`]. Quoted local parts and address literals are not served and are refused.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        if text.len() > limits::keys::MAILBOX_BYTES_MAX {
            return Err(ScopeError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(ScopeError::NoDomain)?;
        if domain.is_empty() {
            return Err(ScopeError::NoDomain);
        }
        // RFC 5322 section 3.2.3: atext and the dot.
        if !local.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c)) {
            return Err(ScopeError::Character);
        }
        for label in domain.split('.') {
            if label.is_empty() || label.len() > 63 || label.starts_with('-') || label.ends_with('-') {
                return Err(ScopeError::Domain);
            }
            if !label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_') {
                return Err(ScopeError::Character);
            }
        }
        let mut kept = String::with_capacity(text.len());
        kept.push_str(local);
        kept.push('@');
        kept.push_str(domain);
        let at = local.len();
        if let Some(tail) = kept.get_mut(at..) {
            tail.make_ascii_lowercase();
        }
        Ok(Self(kept))
    }

    /// The text: `user@domain` or `@domain`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a whole domain.
    #[must_use]
    pub fn is_domain(&self) -> bool {
        self.0.starts_with('@')
    }

    /// The domain without `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// Whether `mailbox` (`user@domain`) is this address or lies in this domain. Subdomains are other domains.
    #[must_use]
    pub fn covers(&self, mailbox: &str) -> bool {
        if self.is_domain() {
            mailbox.rsplit_once('@').is_some_and(|(local, domain)| {
                !local.is_empty() && domain.eq_ignore_ascii_case(self.domain())
            })
        } else {
            mailbox.eq_ignore_ascii_case(&self.0)
        }
    }

    /// The mailbox that a certification request asks for: the address itself, or for a domain the name that
    /// RFC 3183 gives to whoever signs for a domain.
    #[must_use]
    pub fn request_mailbox(&self) -> String {
        if self.is_domain() {
            let mut mailbox = String::from("domain-signing-authority");
            mailbox.push_str(&self.0);
            mailbox
        } else {
            self.0.clone()
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_address_covers_itself_in_any_case_and_nothing_else() {
        let scope = Scope::parse("Ann.Lee@Example.ORG").unwrap();
        assert_eq!(scope.as_str(), "Ann.Lee@example.org");
        assert!(scope.covers("ann.lee@EXAMPLE.org"));
        assert!(!scope.covers("ann@example.org"));
        assert!(!scope.covers("ann.lee@mail.example.org"));
    }

    #[test]
    fn a_domain_covers_its_mailboxes_but_not_those_of_a_subdomain() {
        let scope = Scope::parse("@Example.org").unwrap();
        assert!(scope.is_domain());
        assert!(scope.covers("x@example.org"));
        assert!(!scope.covers("x@sub.example.org"));
        assert!(!scope.covers("@example.org"));
        assert_eq!(scope.request_mailbox(), "domain-signing-authority@example.org");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        assert_eq!(Scope::parse("nobody"), Err(ScopeError::NoDomain));
        assert_eq!(Scope::parse("x@"), Err(ScopeError::NoDomain));
        assert_eq!(Scope::parse("x y@example.org"), Err(ScopeError::Character));
        assert_eq!(Scope::parse("x@exa\nmple.org"), Err(ScopeError::Character));
        assert_eq!(Scope::parse("x@a..b"), Err(ScopeError::Domain));
        assert_eq!(Scope::parse("x@-a.b"), Err(ScopeError::Domain));
        assert_eq!(Scope::parse(&("x".repeat(300) + "@example.org")), Err(ScopeError::TooLong));
    }
}
