//! Civil time as the operator types it: ISO 8601 in UTC. No time zones, no leap seconds.

const DAY_S: u64 = 86_400;

/// Days from 1970-01-01 to the first day of `year`; `year` from 1970 on.
const fn days_to_year(year: u64) -> u64 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
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
    use super::*;
    use alloc::string::ToString;
    use envelope::LogDate;

    #[test]
    fn every_day_of_eight_centuries_reads_back() {
        for day in 0..146_097 * 2 {
            let seconds = day * DAY_S + day % DAY_S;
            assert_eq!(parse_time(&LogDate(Some(seconds)).to_string()), Some(seconds));
        }
        assert_eq!(parse_time("9999-12-31T23:59:59Z"), Some(253_402_300_799));
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
