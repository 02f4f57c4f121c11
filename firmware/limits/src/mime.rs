//! Bounds of the MIME walker and of S/MIME: structure of messages, certificates, signatures, recipes.

/// Open entities of one message: multiparts and attached messages inside each other. Real mail stays below ten;
/// what lies deeper is carried as one opaque piece.
pub const NESTING_COUNT_MAX: usize = 32;
/// Entities of one message. Digests with a thousand letters exist; a plan for this many takes
/// [`PLAN_BYTES_MAX`] octets.
pub const ENTITIES_COUNT_MAX: usize = 4_096;
/// Octets of a plan: two bits per entity.
pub const PLAN_BYTES_MAX: usize = ENTITIES_COUNT_MAX / 4;
/// Octets of one header field that is understood (From, Content-Type …), unfolded or not. A From with a hundred
/// authors fits; a longer field counts as ambiguous. Other fields may have any length.
pub const FIELD_BYTES_MAX: usize = 8_192;
/// Encoded words in such a field. The library that reads it tries every `=?`, so this bounds the work for one field.
pub const ENCODED_WORDS_COUNT_MAX: usize = 32;
/// Asterisks in a Content-Type: pieces and languages of parameters (RFC 2231). Joining them is quadratic in the library.
pub const PARAMETER_PIECES_COUNT_MAX: usize = 64;
/// Octets of a field name that is looked at.
pub const FIELD_NAME_BYTES_MAX: usize = 32;
/// Octets of the start of a header line by which the header firewall tells its field: more than the longest name of its
/// list. What is longer is told by what it begins with.
pub const FIREWALL_NAME_BYTES_MAX: usize = 64;
/// Loop markers of one message that are looked at. Ours removes all others when it is written, so a message that comes
/// back has one; more are an attempt to hide it.
pub const LOOP_MARKERS_COUNT_MAX: usize = 4;
/// Octets of a loop marker that are looked at, white space of folding included; ours takes 110.
pub const LOOP_MARKER_READ_BYTES_MAX: usize = 256;
/// Octets of a boundary. RFC 2046 §5.1.1 allows 70; some mailers use more.
pub const BOUNDARY_BYTES_MAX: usize = 128;
/// Octets of white space after a boundary (RFC 2046 §5.1.1 transport-padding) that still make a delimiter.
pub const BOUNDARY_PADDING_BYTES_MAX: usize = 64;
/// Octets of all `Content-*` fields of a message together, which move into the signed part.
pub const MOVED_FIELDS_BYTES_MAX: usize = 16_384;
/// Octets of a content line, without CRLF, that every relay carries (RFC 5322 §2.1.1).
pub const SAFE_LINE_BYTES_MAX: usize = 998;
/// Octets of an encoded line without CRLF (RFC 2045 §6.7 and §6.8).
pub const ENCODED_LINE_BYTES_MAX: usize = 76;

/// Octets of the stored facts about a message; they ride in the spool's arrival record.
pub const FACTS_BYTES_MAX: usize = 2_048;
/// Octets of an encoded recipe.
pub const RECIPE_BYTES_MAX: usize = 16_384;
/// Octets of fields that are put before a message when it leaves (trace, Date, Message-ID).
pub const PREPEND_BYTES_MAX: usize = 1_536;
/// Certificates of one chain, the signer's included. Public e-mail authorities use three or four.
pub const CHAIN_COUNT_MAX: usize = 6;
/// Octets of all certificates of one chain. Four certificates with RSA-4096 keys and long policies fit.
pub const CHAIN_BYTES_MAX: usize = 11 * 1_024;
/// Octets of a CMS SignedData apart from the chain: signed attributes, issuer name, signature (RSA-4096: 512).
pub const CMS_OVERHEAD_BYTES_MAX: usize = 2_048;
/// Octets that an emitter or transform writes at most for each octet that it reads: `=XX` and a soft line break
/// for every 25 of them, and line ends.
pub const EXPANSION_FACTOR_MAX: usize = 4;

crate::const_assert!(ENTITIES_COUNT_MAX.is_multiple_of(4));
crate::const_assert!(PLAN_BYTES_MAX + crate::smtp::MAILBOX_BYTES_MAX + 64 <= FACTS_BYTES_MAX);
crate::const_assert!(
    CHAIN_BYTES_MAX + CMS_OVERHEAD_BYTES_MAX + PLAN_BYTES_MAX + PREPEND_BYTES_MAX + 256 <= RECIPE_BYTES_MAX
);
