//! SPF over the resolver, and in sentences.

use super::Findings;
use crate::resolver::LookupError;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use dns::{Data, Name, RecordType};
use embedded_io_async::Write;
use spf::{Evaluation, Outcome, Sender, check_host};

/// What Exchange Online's own record is called.
pub(super) const EXCHANGE_ONLINE_SPF: &str = "spf.protection.outlook.com";

struct Asked<'a, 'f, P: Platform>(&'a Appliance<'f, P>);

const fn translated(error: LookupError) -> spf::LookupError {
    match error {
        LookupError::NoSuchName => spf::LookupError::NoSuchName,
        LookupError::NoData => spf::LookupError::NoData,
        LookupError::Temporary(_) => spf::LookupError::Temporary,
    }
}

impl<P: Platform> Asked<'_, '_, P> {
    async fn records<T>(
        &self,
        name: &Name,
        kind: RecordType,
        read: impl Fn(&Data) -> Option<T>,
    ) -> Result<Vec<T>, spf::LookupError> {
        let records = self.0.resolver().fresh().records(name.clone(), kind).await.map_err(translated)?;
        Ok(records.iter().filter_map(read).collect())
    }
}

impl<P: Platform> spf::Lookup for Asked<'_, '_, P> {
    async fn txt(&self, name: &Name) -> Result<Vec<Vec<u8>>, spf::LookupError> {
        let text = |data: &Data| if let Data::Txt(text) = data { Some(text.to_vec()) } else { None };
        self.records(name, RecordType::TXT, text).await
    }

    async fn addresses(&self, name: &Name, six: bool) -> Result<Vec<IpAddr>, spf::LookupError> {
        let address = |data: &Data| match data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        };
        self.records(name, if six { RecordType::AAAA } else { RecordType::A }, address).await
    }

    async fn mx(&self, name: &Name) -> Result<Vec<Name>, spf::LookupError> {
        let host =
            |data: &Data| if let Data::Mx { exchange, .. } = data { Some(exchange.clone()) } else { None };
        self.records(name, RecordType::MX, host).await
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<Name>, spf::LookupError> {
        let name = |data: &Data| if let Data::Ptr(name) = data { Some(name.clone()) } else { None };
        self.records(&Name::reverse(address), RecordType::PTR, name).await
    }
}

/// The SPF record of a domain as it stands there, if there is one.
async fn record<P: Platform>(appliance: &Appliance<'_, P>, domain: &str) -> Option<String> {
    let texts = appliance.resolver().txt(domain).await.ok()?;
    let record = texts.iter().find(|text| spf::is_record(text))?;
    Some(String::from_utf8_lossy(record).into_owned())
}

/// Says what SPF makes of mail for `domain` that leaves from `addresses`.
///
/// `exchange_online`: whether mail of the domain goes to or comes from Exchange Online; `None`: nobody knows.
pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    addresses: &[IpAddr],
    exchange_online: Option<bool>,
    findings: &mut Findings<'_, W>,
) {
    let helo = String::from(appliance.settings().hostname());
    let mut included = None;
    for address in addresses {
        let sender = Sender { client: *address, local_part: "postmaster", domain, helo: &helo };
        let evaluation = check_host(&Asked(appliance), &sender).await;
        sentence(domain, *address, &evaluation, findings).await;
        let microsoft = evaluation.included.iter().any(|name| format!("{name}") == EXCHANGE_ONLINE_SPF);
        included = included.max(Some(microsoft));
    }
    let Some(record) = record(appliance, domain).await else { return };
    findings.note(format_args!("SPF: {record:.400}")).await;
    // The evaluation stops at the term that decides; the text shows what stands behind it.
    let microsoft = included == Some(true) || record.to_ascii_lowercase().contains(EXCHANGE_ONLINE_SPF);
    match exchange_online {
        Some(false) if microsoft => {
            findings
                .look(format_args!(
                    "SPF: {domain} includes {EXCHANGE_ONLINE_SPF}, but no MX record and no route of it leads to \
                     Exchange Online. If only applications send for it, remove the include: it lets every tenant of \
                     Exchange Online send for {domain}."
                ))
                .await;
        }
        Some(true) if !microsoft => {
            findings
                .look(format_args!(
                    "SPF: {domain} uses Exchange Online and does not include {EXCHANGE_ONLINE_SPF}. Add \
                     `include:{EXCHANGE_ONLINE_SPF}` if anything leaves it without passing here."
                ))
                .await;
        }
        _ => {}
    }
}

async fn sentence<W: Write>(
    domain: &str,
    address: IpAddr,
    evaluation: &Evaluation,
    findings: &mut Findings<'_, W>,
) {
    let term = match address {
        IpAddr::V4(address) => format!("ip4:{address}"),
        IpAddr::V6(address) => format!("ip6:{address}"),
    };
    let by = match &evaluation.decided_by {
        Some((name, term)) if format!("{name}") == domain => format!("by `{term}`"),
        Some((name, term)) => format!("by `{term}` of {name}"),
        None => String::from("no term is for it"),
    };
    let problem = evaluation.problem.as_ref().map(|problem| format!("{problem}")).unwrap_or_default();
    match evaluation.outcome {
        Outcome::Pass => findings.good(format_args!("SPF: pass for {domain} from {address}, {by}.")).await,
        Outcome::Fail => {
            findings
                .bad(format_args!(
                    "SPF: fail for {domain} from {address}, {by}: receivers refuse the mail. Add `{term}` in front of \
                     the last term of the record."
                ))
                .await;
        }
        Outcome::SoftFail => {
            findings
                .bad(format_args!(
                    "SPF: softfail for {domain} from {address}, {by}: receivers take the mail for spam. Add `{term}` in \
                     front of the last term of the record."
                ))
                .await;
        }
        Outcome::Neutral => {
            findings
                .look(format_args!(
                    "SPF: neutral for {domain} from {address}, {by}. Add `{term}` to the record."
                ))
                .await;
        }
        Outcome::None => {
            findings
                .look(format_args!(
                    "SPF: none; {domain} has no record. Add a TXT record `v=spf1 {term} -all`, with every other \
                     sender of the domain in it."
                ))
                .await;
        }
        Outcome::TempError => {
            findings.bad(format_args!("SPF: temperror for {domain}: {problem}. Try again later.")).await;
        }
        Outcome::PermError => {
            findings
                .bad(format_args!(
                    "SPF: permerror for {domain}: {problem}. Receivers ignore the record or refuse the mail until it \
                     is mended."
                ))
                .await;
        }
    }
    if evaluation.outcome != Outcome::PermError && evaluation.lookups >= limits::spf::LOOKUPS_COUNT_MAX - 1 {
        findings
            .look(format_args!(
                "SPF: the record of {domain} needs {} of 10 look-ups; the next include may break it.",
                evaluation.lookups
            ))
            .await;
    }
}
