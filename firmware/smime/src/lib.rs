//! S/MIME (RFC 8551) over CMS (RFC 5652): streaming, in memory that does not depend on the size of the message.
//!
//! # The way of a message
//!
//! 1. While it arrives, [`Scanner`] reads it once and learns [`Facts`]: who it is from, whether it is protected already, what
//!    prevents signing, and a *plan*: which parts have to be re-encoded so that they survive every relay. The facts are
//!    stored beside the message. The rules stand in [`facts`].
//! 2. When it has been decided to sign, [`Signing`] reads the stored octets once, applies the plan, hashes the result and asks a
//!    [`SignQuestion`]. The key (a TPM) answers when it likes; [`AwaitingSignature`] takes the answer once and gives a
//!    [`Recipe`], which is stored.
//! 3. On every delivery attempt an [`Emitter`] reads the stored octets once and writes what leaves. Its output is a pure function
//!    of the stored octets, the recipe and the [`Audience`]: the same octets on every attempt, of a size that is known before
//!    the first is sent ([`Recipe::emitted_size`]).
//!
//! Octets that came in chunks (BDAT) need not be mail by its rules: lines may end in a lone LF, parts may be binary. They are
//! stored as they came and made canonical on the way out, before anything is signed: text gets CRLF, what is no text becomes
//! base64. What is protected is not touched; then only a next hop with BINARYMIME can take it ([`Facts::odd_when_canonical`]).
//!
//! A message that is not signed has a recipe too ([`Recipe::pass`], [`Canonicalising`] where it cannot leave as it is); it leaves octet for octet, after the trace fields and
//! without the header fields that are not for its audience ([`firewall`]). These are never part of what is signed.
//!
//! All three machines take pieces of any size. The way a message is cut has no influence on any result.
//!
//! # What leaves
//!
//! `multipart/signed` (RFC 1847) with a detached signature, readable without S/MIME:
//!
//! ```text
//! fields that were put before        (for Exchange the loop marker; trace)
//! header fields of the message       all that the firewall lets through but Content-*, in their order; MIME-Version added if there was none
//! Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="=_sig_…"
//!
//! one line for readers without MIME
//! --=_sig_…
//! Content-* fields of the message    in their order, with the new Content-Transfer-Encoding at the end
//!                                    (text/plain is said where there was no Content-Type)
//! body, edited by the plan
//! --=_sig_…
//! smime.p7s                          base64 of the CMS object, see the module `cms`
//! --=_sig_…--
//! ```
//!
//! The boundary is made of random octets and the digest of the part, so the part cannot hold it.
//!
//! # Stored forms
//!
//! Facts and recipe are one version octet followed by postcard. An unknown version reads as unreadable: facts are then scanned
//! anew from the stored message, a recipe is made anew. The plan takes two bits per entity, in the order of headers: for a
//! leaf 0 keep, 1 relabel 7bit, 2 quoted-printable, 3 base64; for a container bit 0 relabel 7bit, bit 1 make gaps safe.
//!
//! # Bounds and costs
//!
//! Scanner and emitter hold at most [`MOVED_FIELDS_BYTES_MAX`](limits::mime::MOVED_FIELDS_BYTES_MAX) of header, the walker's
//! bounds and a plan of [`PLAN_BYTES_MAX`](limits::mime::PLAN_BYTES_MAX); a piece becomes at most
//! [`EXPANSION_FACTOR_MAX`](limits::mime::EXPANSION_FACTOR_MAX) times as long. Counted on x86-64, size-optimised: the scanner takes 2
//! instructions per octet of clean text or base64 and 10 per octet of 8-bit text; emission of clean content 0.3, of
//! quoted-printable 27, of base64 19. SHA-256 takes the rest of a signing pass.
//!
//! # What it does not do
//!
//! It does not sign in the place of somebody: choosing the identity is the caller's. It does not check that the signature is
//! right, only its form; whoever holds the public key does. It never touches what others signed or encrypted.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod canonical;
mod cms;
pub mod emit;
pub mod facts;
pub mod firewall;
mod plan;
pub mod recipe;
pub mod sign;
mod transform;

pub use canonical::Canonicalising;
pub use emit::{Audience, Emitter};
pub use facts::{Facts, FactsUnreadable, Header, Obstacle, Protection, Scanner};
pub use firewall::Firewalled;
pub use mime::address::Author;
pub use recipe::{PrependInvalid, Recipe, RecipeUnreadable};
pub use sign::{AwaitingSignature, Purpose, RawSignature, SignQuestion, Signing, SigningError};
