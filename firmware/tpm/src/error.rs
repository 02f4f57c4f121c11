//! Why an operation on the TPM did not come about.

use crate::ResponseCode;
use core::fmt;
use platform::TpmTransportError;

/// Why an operation on the TPM did not come about, sorted by who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmError {
    /// The bus or the TPM did not answer. Worth another try later.
    Transport(TpmTransportError),
    /// The answer does not have the form of a TPM response to this command: a broken TPM or somebody on the bus.
    Response,
    /// The MAC of the answer is wrong: somebody changed it on the bus. Nothing of it was used.
    Tampered,
    /// The TPM made a signature that its public key does not verify: a fault in the TPM, or somebody on the bus.
    BadSignature,
    /// The TPM refused, with this code.
    Refused(ResponseCode),
    /// The TPM stayed busy or testing longer than we wait.
    Busy,
    /// The auth value is wrong, or the TPM does not let us use its owner hierarchy without one.
    Denied(ResponseCode),
    /// The TPM locks out authorisations for a while.
    Lockout,
    /// The TPM failed its self-test. Only switching it off and on helps.
    Failure,
    /// Something else sits at the handle of our storage key.
    ForeignStorageKey,
    /// The driver was not started, or starting failed.
    NotStarted,
    /// The wrapped key is not from this TPM, is damaged, or is not a signing key.
    Key,
    /// A value does not fit a TPM command: our own bug.
    Encoding,
}

impl fmt::Display for TpmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(TpmTransportError::Absent) => f.write_str("there is no TPM"),
            Self::Transport(TpmTransportError::Timeout) => f.write_str("the TPM does not answer"),
            Self::Transport(_) | Self::Response => f.write_str("the TPM's answer makes no sense"),
            Self::Tampered => f.write_str("the TPM's answer was changed on the bus"),
            Self::BadSignature => f.write_str("the TPM made a wrong signature"),
            Self::Refused(code) => write!(f, "the TPM refused: {code}"),
            Self::Busy => f.write_str("the TPM stays busy"),
            Self::Denied(code) => write!(f, "the TPM denied access: {code}"),
            Self::Lockout => f.write_str("the TPM locks access for a while after failed attempts"),
            Self::Failure => f.write_str("the TPM failed its self-test; switch it off and on"),
            Self::ForeignStorageKey => {
                f.write_str("the TPM has a foreign key at handle 0x81000001; clear it before use")
            }
            Self::NotStarted => f.write_str("the TPM was not started"),
            Self::Key => f.write_str("this TPM cannot use this key"),
            Self::Encoding => f.write_str("a TPM command does not fit (a fault of this firmware)"),
        }
    }
}

impl core::error::Error for TpmError {}
