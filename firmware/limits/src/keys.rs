//! Bounds of the TPM, of certificates and of the identity store.

/// Largest TPM command or response we handle. TPM 2.0 parts of every maker report 4,096 for
/// `TPM_PT_MAX_COMMAND_SIZE` and `TPM_PT_MAX_RESPONSE_SIZE`.
pub const TPM_BUFFER_BYTES: usize = 4_096;

/// How often one command is sent again after `TPM_RC_RETRY`, `TPM_RC_YIELDED` or `TPM_RC_TESTING`. Together with
/// the pauses below this is about 15 s, longer than the slowest self-test of a discrete TPM.
pub const TPM_RETRIES_COUNT_MAX: u32 = 80;
/// First pause before a command is sent again; it doubles up to [`TPM_RETRY_PAUSE_MS_MAX`].
pub const TPM_RETRY_PAUSE_MS_MIN: u64 = 2;
/// Longest pause before a command is sent again.
pub const TPM_RETRY_PAUSE_MS_MAX: u64 = 200;
/// How often an operation is done anew, with a new session, after the bus or the TPM lost something.
pub const TPM_OPERATION_TRIES_COUNT_MAX: u32 = 2;

/// Keys kept loaded in the TPM. A TPM has at least three object slots (PC Client profile, `TPM_PT_HR_TRANSIENT_MIN`
/// is 3); the third is left for the primary key and for a key being made.
pub const TPM_LOADED_KEYS_COUNT_MAX: usize = 2;
/// Handles that one clean-up of the TPM looks at: more than any part has slots for.
pub const TPM_HANDLES_COUNT_MAX: u32 = 16;

/// Wrapped private area of one key, `TPM2B_PRIVATE` without its size. RSA-2048 needs 222 octets under a SHA-256 parent;
/// 1,024 leaves room for RSA-4096.
pub const TPM_PRIVATE_BYTES_MAX: usize = 1_024;
/// Public area of one key, `TPMT_PUBLIC`: RSA-4096 needs 534.
pub const TPM_PUBLIC_BYTES_MAX: usize = 640;
/// Octets of random data asked of the TPM at once: the digest size of SHA-256, which every TPM can give.
pub const TPM_RANDOM_BYTES_MAX: usize = 32;

/// Identities in the store.
pub const IDENTITIES_COUNT_MAX: usize = 64;
/// Certificates in one chain: what a signature can carry. An identity whose chain is taken must be able to sign.
pub const CHAIN_COUNT_MAX: usize = crate::mime::CHAIN_COUNT_MAX;
/// DER octets of one chain: what a signature can carry. It is held in RAM: 64 identities cost at most 704 KiB.
pub const CHAIN_BYTES_MAX: usize = crate::mime::CHAIN_BYTES_MAX;
/// DER octets of one certificate.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1_024;
/// Text given to a chain import: the DER limit in base64 plus as much commentary (`openssl x509 -text` writes some).
pub const PEM_BYTES_MAX: usize = 64 * 1_024;
/// Mailboxes read from one certificate; further ones are ignored.
pub const CERTIFICATE_MAILBOXES_COUNT_MAX: usize = 32;
/// Octets of one mailbox: RFC 5321 section 4.5.3.1.3 allows a path of 256 with its brackets.
pub const MAILBOX_BYTES_MAX: usize = 254;
/// Octets of a printed subject or issuer; longer ones are cut.
pub const NAME_TEXT_BYTES_MAX: usize = 512;
/// Modulus of an RSA key in a certificate: 8,192 bit. Larger ones only cost time.
pub const RSA_MODULUS_BYTES_MAX: usize = 1_024;
/// Smallest RSA modulus accepted: 2,048 bit (RFC 8550 section 4.1).
pub const RSA_MODULUS_BYTES_MIN: usize = 256;

/// One record of the identity store, without the chain: wrapped key, auth value, address and the rest.
pub const IDENTITY_RECORD_BYTES_MAX: usize =
    TPM_PRIVATE_BYTES_MAX + TPM_PUBLIC_BYTES_MAX + MAILBOX_BYTES_MAX + 256;

crate::const_assert!(CERTIFICATE_BYTES_MAX <= CHAIN_BYTES_MAX);
// A chain and a record are one value each in the key-value log.
crate::const_assert!(CHAIN_BYTES_MAX <= crate::flash::KV_VALUE_BYTES_MAX);
crate::const_assert!(IDENTITY_RECORD_BYTES_MAX <= crate::flash::KV_VALUE_BYTES_MAX);
crate::const_assert!(2 * IDENTITIES_COUNT_MAX < crate::flash::KV_KEYS_COUNT_MAX);
// Base64 takes four characters for three octets and a line end every 64.
crate::const_assert!(PEM_BYTES_MAX >= CHAIN_BYTES_MAX * 3 / 2);
crate::const_assert!(TPM_PRIVATE_BYTES_MAX + TPM_PUBLIC_BYTES_MAX + 512 <= TPM_BUFFER_BYTES);
