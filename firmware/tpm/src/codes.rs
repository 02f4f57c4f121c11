//! Response codes: their names and what the driver does about them.

use core::fmt;

/// A TPM 2.0 response code as it came (Part 2, section 6.6). Prints its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseCode(pub u32);

/// Codes of format zero, "version 1" (RC_VER1 + n).
const VERSION_1: u32 = 0x100;
/// Warnings (RC_WARN + n).
const WARNING: u32 = 0x900;
/// Bit 7: format one, with the number of a parameter, handle or session.
const FORMAT_1: u32 = 0x080;
/// Bit 6 of format one: the number is a parameter's.
const PARAMETER: u32 = 0x040;

impl ResponseCode {
    /// The command was done.
    pub const SUCCESS: Self = Self(0);
    /// `TPM_RC_INITIALIZE`: Startup is needed, or was not needed.
    pub const INITIALIZE: Self = Self(VERSION_1);
    /// `TPM_RC_FAILURE`: the TPM failed its self-test; only a power cycle helps.
    pub const FAILURE: Self = Self(VERSION_1 + 0x01);

    /// The code without parameter, handle or session number.
    #[must_use]
    pub const fn base(self) -> u32 {
        if self.0 & FORMAT_1 != 0 { self.0 & 0x0bf } else { self.0 }
    }

    /// Whether the same command may be sent again unchanged: YIELDED, TESTING, RETRY, and NV_RATE (Part 2, section 6.6.3).
    #[must_use]
    pub const fn means_try_again(self) -> bool {
        matches!(self.0, 0x908 | 0x90a | 0x920 | 0x922)
    }

    /// Whether an object, session or entity the command named is not in the TPM (any more): a handle or session
    /// that is unknown, or a reference code.
    #[must_use]
    pub const fn means_lost(self) -> bool {
        matches!(self.base(), 0x08b)
            || (self.0 >= 0x910 && self.0 <= 0x916)
            || matches!(self.0, 0x918..=0x91e)
    }

    /// Whether the TPM has no room for another object or session.
    #[must_use]
    pub const fn means_full(self) -> bool {
        matches!(self.0, 0x902..=0x906)
    }

    /// Whether an authorisation was wrong: the auth value, or a session MAC.
    #[must_use]
    pub const fn means_denied(self) -> bool {
        matches!(self.base(), 0x08e | 0x0a2 | 0x089 | 0x09d)
    }

    /// Whether dictionary-attack protection is active.
    #[must_use]
    pub const fn means_lockout(self) -> bool {
        self.0 == 0x921
    }

    /// The name in the specification, or a plain word for what has none.
    #[must_use]
    pub const fn name(self) -> &'static str {
        if self.0 & FORMAT_1 != 0 {
            return match self.base() {
                0x081 => "TPM_RC_ASYMMETRIC",
                0x082 => "TPM_RC_ATTRIBUTES",
                0x083 => "TPM_RC_HASH",
                0x084 => "TPM_RC_VALUE",
                0x085 => "TPM_RC_HIERARCHY",
                0x087 => "TPM_RC_KEY_SIZE",
                0x088 => "TPM_RC_MGF",
                0x089 => "TPM_RC_MODE",
                0x08a => "TPM_RC_TYPE",
                0x08b => "TPM_RC_HANDLE",
                0x08c => "TPM_RC_KDF",
                0x08d => "TPM_RC_RANGE",
                0x08e => "TPM_RC_AUTH_FAIL",
                0x08f => "TPM_RC_NONCE",
                0x090 => "TPM_RC_PP",
                0x092 => "TPM_RC_SCHEME",
                0x095 => "TPM_RC_SIZE",
                0x096 => "TPM_RC_SYMMETRIC",
                0x097 => "TPM_RC_TAG",
                0x098 => "TPM_RC_SELECTOR",
                0x09a => "TPM_RC_INSUFFICIENT",
                0x09b => "TPM_RC_SIGNATURE",
                0x09c => "TPM_RC_KEY",
                0x09d => "TPM_RC_POLICY_FAIL",
                0x09f => "TPM_RC_INTEGRITY",
                0x0a0 => "TPM_RC_TICKET",
                0x0a1 => "TPM_RC_RESERVED_BITS",
                0x0a2 => "TPM_RC_BAD_AUTH",
                0x0a3 => "TPM_RC_EXPIRED",
                0x0a4 => "TPM_RC_POLICY_CC",
                0x0a5 => "TPM_RC_BINDING",
                0x0a6 => "TPM_RC_CURVE",
                0x0a7 => "TPM_RC_ECC_POINT",
                _ => "unnamed error",
            };
        }
        match self.0 {
            0x000 => "TPM_RC_SUCCESS",
            0x01e => "TPM_RC_BAD_TAG",
            0x100 => "TPM_RC_INITIALIZE",
            0x101 => "TPM_RC_FAILURE",
            0x103 => "TPM_RC_SEQUENCE",
            0x119 => "TPM_RC_DISABLED",
            0x120 => "TPM_RC_EXCLUSIVE",
            0x124 => "TPM_RC_AUTH_TYPE",
            0x125 => "TPM_RC_AUTH_MISSING",
            0x127 => "TPM_RC_PCR",
            0x128 => "TPM_RC_PCR_CHANGED",
            0x12d => "TPM_RC_UPGRADE",
            0x12e => "TPM_RC_TOO_MANY_CONTEXTS",
            0x12f => "TPM_RC_AUTH_UNAVAILABLE",
            0x130 => "TPM_RC_REBOOT",
            0x131 => "TPM_RC_UNBALANCED",
            0x142 => "TPM_RC_COMMAND_SIZE",
            0x143 => "TPM_RC_COMMAND_CODE",
            0x144 => "TPM_RC_AUTHSIZE",
            0x145 => "TPM_RC_AUTH_CONTEXT",
            0x146 => "TPM_RC_NV_RANGE",
            0x147 => "TPM_RC_NV_SIZE",
            0x148 => "TPM_RC_NV_LOCKED",
            0x149 => "TPM_RC_NV_AUTHORIZATION",
            0x14a => "TPM_RC_NV_UNINITIALIZED",
            0x14b => "TPM_RC_NV_SPACE",
            0x14c => "TPM_RC_NV_DEFINED",
            0x150 => "TPM_RC_BAD_CONTEXT",
            0x151 => "TPM_RC_CPHASH",
            0x152 => "TPM_RC_PARENT",
            0x153 => "TPM_RC_NEEDS_TEST",
            0x154 => "TPM_RC_NO_RESULT",
            0x155 => "TPM_RC_SENSITIVE",
            0x901 => "TPM_RC_CONTEXT_GAP",
            0x902 => "TPM_RC_OBJECT_MEMORY",
            0x903 => "TPM_RC_SESSION_MEMORY",
            0x904 => "TPM_RC_MEMORY",
            0x905 => "TPM_RC_SESSION_HANDLES",
            0x906 => "TPM_RC_OBJECT_HANDLES",
            0x907 => "TPM_RC_LOCALITY",
            0x908 => "TPM_RC_YIELDED",
            0x909 => "TPM_RC_CANCELED",
            0x90a => "TPM_RC_TESTING",
            0x910 => "TPM_RC_REFERENCE_H0",
            0x911 => "TPM_RC_REFERENCE_H1",
            0x912 => "TPM_RC_REFERENCE_H2",
            0x918 => "TPM_RC_REFERENCE_S0",
            0x919 => "TPM_RC_REFERENCE_S1",
            0x91a => "TPM_RC_REFERENCE_S2",
            0x920 => "TPM_RC_NV_RATE",
            0x921 => "TPM_RC_LOCKOUT",
            0x922 => "TPM_RC_RETRY",
            0x923 => "TPM_RC_NV_UNAVAILABLE",
            _ if self.0 & WARNING == WARNING => "unnamed warning",
            _ => "unnamed error",
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if self.0 & FORMAT_1 != 0 {
            let number = (self.0 >> 8) & 0x0f;
            if self.0 & PARAMETER != 0 {
                return write!(f, " (parameter {number}, 0x{:03x})", self.0);
            }
            return if number >= 8 {
                write!(f, " (session {}, 0x{:03x})", number - 8, self.0)
            } else {
                write!(f, " (handle {number}, 0x{:03x})", self.0)
            };
        }
        write!(f, " (0x{:03x})", self.0)
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_code_prints_its_name_and_whom_it_is_about() {
        assert_eq!(ResponseCode(0x922).to_string(), "TPM_RC_RETRY (0x922)");
        assert_eq!(ResponseCode(0x98e).to_string(), "TPM_RC_AUTH_FAIL (session 1, 0x98e)");
        assert_eq!(ResponseCode(0x18b).to_string(), "TPM_RC_HANDLE (handle 1, 0x18b)");
        assert_eq!(ResponseCode(0x2d5).to_string(), "TPM_RC_SIZE (parameter 2, 0x2d5)");
        assert!(ResponseCode(0x922).means_try_again());
        assert!(ResponseCode(0x98e).means_denied());
        assert!(ResponseCode(0x18b).means_lost());
        assert!(ResponseCode(0x910).means_lost());
        assert!(!ResponseCode(0x917).means_lost());
        assert!(ResponseCode(0x902).means_full());
    }
}
