//! The configuration: typed, stored as one value, edited as text.
#![no_std]
#![forbid(unsafe_code)]

mod types;

pub use types::{Clock, HostName, IpNetwork, Network, NextHop, NextHopHost, Settings, WithoutIdentity};
