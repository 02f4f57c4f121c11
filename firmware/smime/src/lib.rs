//! S/MIME (RFC 8551) over CMS (RFC 5652): streaming, in memory that does not depend on the size of the message.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cms;
pub mod emit;
pub mod facts;
mod plan;
pub mod recipe;
pub mod sign;
mod transform;

pub use emit::Emitter;
pub use facts::{Facts, FactsUnreadable, Header, Obstacle, Protection, Scanner};
pub use mime::address::Author;
pub use recipe::{PrependInvalid, Recipe, RecipeUnreadable};
pub use sign::{AwaitingSignature, Purpose, RawSignature, SignQuestion, Signing, SigningError};
