//! (specification follows)
#![forbid(unsafe_code)]
