//! Header fields that Exchange writes, and those that it does not believe.

use super::Exchange;
use crate::peers::ledger::{Received, fields};

/// The prefixes of fields that only Exchange may write: its header firewall removes them from what comes from outside.
pub const INTERNAL: &[&str] = &[
    "X-MS-Exchange-Organization-",
    "X-MS-Exchange-Forest-",
    "X-MS-Exchange-CrossTenant-",
    "X-OriginatorOrg",
];

/// The values of all fields `name`.
pub fn values(content: &[u8], name: &str) -> Vec<String> {
    let all = fields(content).into_iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
    all.map(|(_, raw)| String::from_utf8_lossy(raw).split_once(':').map_or("", |(_, v)| v).trim().to_string())
        .collect()
}

/// What a message has after a mailbox here has sent it: the organisation's own fields, as the service writes them.
pub fn at_submission(exchange: &Exchange, content: &[u8]) -> Vec<u8> {
    let number = exchange.number();
    let host = exchange.host();
    let organisation = exchange.inner.config.borrow().accepted_domains.first().cloned().unwrap_or_default();
    let mut out = format!(
        "Received: from {host} (2603:10a6:208::1) by {host} with mapi id 15.20.8332.11; Sun, 22 Nov 2026 12:00:00 +0000\r\n\
         X-MS-Has-Attach:\r\n\
         X-MS-TNEF-Correlator:\r\n\
         X-MS-Exchange-Organization-AuthAs: Internal\r\n\
         X-MS-Exchange-Organization-AuthMechanism: 04\r\n\
         X-MS-Exchange-Organization-AuthSource: {host}\r\n\
         X-MS-Exchange-Organization-Network-Message-Id:\r\n 5f1e2d3c-0000-4000-8000-{number:012}\r\n\
         X-MS-Exchange-Organization-SCL: -1\r\n\
         X-MS-Exchange-Forest-IndexAgent: 1 {number}\r\n\
         X-MS-Exchange-CrossTenant-AuthAs: Internal\r\n\
         X-MS-Exchange-CrossTenant-Id: 7d1e2f3a-1111-4222-8333-444455556666\r\n\
         X-MS-Exchange-Transport-CrossTenantHeadersStamped: {host}\r\n\
         X-OriginatorOrg: {organisation}\r\n\
         X-LD-Processed: 7d1e2f3a-1111-4222-8333-444455556666,ExtAddr\r\n\
         X-MS-Exchange-Transport-Rules-Loop: 1\r\n\
         X-MS-PublicTrafficType: Email\r\n",
    )
    .into_bytes();
    out.extend_from_slice(content);
    out
}

/// What a message has after it came in: a trace field on top, and without `trusted` nothing that only Exchange may say,
/// but Exchange's own judgement instead.
pub fn at_arrival(exchange: &Exchange, message: &Received, trusted: bool) -> Vec<u8> {
    let host = exchange.host();
    let mut out = format!(
        "Received: from {} ({}) by {host} ({}) with Microsoft SMTP Server id 15.20.8332.11; Sun, 22 Nov 2026 12:00:00 +0000\r\n",
        message.hello.split(' ').nth(1).unwrap_or("unknown"),
        message.from.ip(),
        message.at.ip(),
    )
    .into_bytes();
    if trusted {
        out.extend_from_slice(&message.content);
        return out;
    }
    out.extend_from_slice(
        b"X-MS-Exchange-Organization-AuthAs: Anonymous\r\nX-MS-Exchange-Organization-SCL: 1\r\n\
          X-EOPAttributedMessage: 0\r\nX-EOPTenantAttributedMessage: 7d1e2f3a-1111-4222-8333-444455556666:0\r\n",
    );
    let mut rest = &message.content[..];
    for (name, raw) in fields(&message.content) {
        rest = &rest[raw.len()..];
        let lower = name.to_ascii_lowercase();
        if !INTERNAL.iter().any(|prefix| lower.starts_with(&prefix.to_ascii_lowercase())) {
            out.extend_from_slice(raw);
        }
    }
    out.extend_from_slice(rest);
    out
}
