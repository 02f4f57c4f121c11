//! Who has which address: the same in every world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The appliance on its first interface.
pub const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
/// The appliance's IPv6 address on its first interface.
pub const GATEWAY_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// The appliance on its second interface, in scenarios with two.
pub const GATEWAY_INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 128, 0, 1));
/// Prefix length of the first interface's IPv4 network.
pub const PREFIX_LENGTH: u8 = 16;
/// The router of the first interface, behind which everything else is.
pub const ROUTER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 255, 254));
/// The same router's IPv6 address.
pub const ROUTER_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfffe));
/// Prefix length of the first interface's IPv6 network.
pub const PREFIX_LENGTH_6: u8 = 64;
/// The name server.
pub const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 53));
/// The second name server.
pub const NAME_SERVER_2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 53));

/// Where the appliance takes mail.
pub const GATEWAY_SMTP: SocketAddr = SocketAddr::new(GATEWAY, 25);
