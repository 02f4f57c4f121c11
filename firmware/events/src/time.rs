//! Civil time as text, ISO 8601 in UTC. No time zones, no leap seconds.

use core::fmt;

const DAY_S: u64 = 86_400;
/// Last second that has a year of four digits: 9999-12-31T23:59:59Z.
const LAST_S: u64 = 253_402_300_799;

/// Seconds since 1970-01-01T00:00:00Z; prints `2026-11-22T14:31:28Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil(pub u64);

/// Year, month (1-12) and day (1-31) of a day counted from 1970-01-01. Days are counted from 1 March of year 0, so that
/// the leap day is the last of its year, in eras of 400 years.
const fn date_of_day(day: u64) -> (u64, u64, u64) {
    let day = day + 719_468;
    let era = day / 146_097;
    let of_era = day % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_month)
}

/// Days from 1970-01-01 to the first day of `year`; `year` from 1970 on.
const fn days_to_year(year: u64) -> u64 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

const fn is_leap(year: u64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(LAST_S);
        let (year, month, day) = date_of_day(seconds / DAY_S);
        let of_day = seconds % DAY_S;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            of_day / 3_600,
            of_day / 60 % 60,
            of_day % 60
        )
    }
}

/// Reads `YYYY-MM-DDTHH:MM:SSZ` (a space may stand for the `T`), years 1970 to 9999. Gives seconds since 1970, or
/// `None` if the text has another form or names a moment that does not exist.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let number = |from: usize, len: usize| {
        bytes
            .get(from..from + len)?
            .iter()
            .try_fold(0u64, |n, b| b.is_ascii_digit().then(|| n * 10 + u64::from(*b - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':'), (19, b'Z')];
    if separators.iter().any(|(at, c)| bytes[*at] != *c) || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 2)?, number(8, 2)?);
    let (hour, minute, second) = (number(11, 2)?, number(14, 2)?, number(17, 2)?);
    let exists = year >= 1970
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !exists {
        return None;
    }
    let days = days_to_year(year) + (1..month).map(|m| days_in_month(year, m)).sum::<u64>() + day - 1;
    Some(days * DAY_S + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn known_moments_print_and_read_back() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST_S, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Civil(seconds).to_string(), text);
            assert_eq!(parse_time(text), Some(seconds));
        }
    }

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for day in 0..146_097 * 2 {
            let seconds = day * DAY_S + day % DAY_S;
            assert_eq!(parse_time(&Civil(seconds).to_string()), Some(seconds));
        }
    }

    #[test]
    fn moments_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+",
            "2026-1-1T0:0:0Z",
            "é026-01-01T00:00:0Z",
            "",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
