//! Civil dates from Unix seconds, as letters and logs write them. All in UTC: the appliance has no time zone.

use core::fmt;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: u64 = 86_400;
/// Seconds up to the end of the year 9999: later moments print as this one, so that a year has four digits.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// A moment in UTC, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// 1970 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 (Monday) to 6.
    pub weekday: u8,
}

impl Civil {
    /// Takes `unix_seconds` apart; moments after the year 9999 become its last second.
    #[must_use]
    pub const fn from_unix_seconds(unix_seconds: u64) -> Self {
        let seconds = if unix_seconds > UNIX_SECONDS_MAX { UNIX_SECONDS_MAX } else { unix_seconds };
        let days = (seconds / SECONDS_PER_DAY) as u32;
        let in_day = (seconds % SECONDS_PER_DAY) as u32;
        // Years are counted from 1 March of the year 0, so that the leap day is the last of its year and the
        // lengths of the months follow the line (153 m + 2) / 5.
        let since_march_0 = days + 719_468;
        let era = since_march_0 / 146_097;
        let day_of_era = since_march_0 % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = era * 400 + year_of_era + (month <= 2) as u32;
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (in_day / 3_600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
            // 1 January 1970 was a Thursday.
            weekday: ((days + 3) % 7) as u8,
        }
    }
}

/// Prints Unix seconds as a date of RFC 5322 §3.3: `Sun, 22 Nov 2026 14:30:00 +0000`.
///
/// `None`, the time of an appliance whose clock nobody has set, prints as
/// `Thu, 1 Jan 1970 00:00:00 -0000 (clock not set)`: the field stays well formed for every reader, `-0000` says
/// that the zone means nothing (RFC 5322 §3.3), and no one takes the year for a real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailDate(pub Option<u64>);

impl fmt::Display for MailDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(unix_seconds) = self.0 else {
            return f.write_str("Thu, 1 Jan 1970 00:00:00 -0000 (clock not set)");
        };
        let Civil { year, month, day, hour, minute, second, weekday } =
            Civil::from_unix_seconds(unix_seconds);
        let weekday = DAYS.get(usize::from(weekday)).unwrap_or(&"Mon");
        let month = MONTHS.get(usize::from(month).wrapping_sub(1)).unwrap_or(&"Jan");
        write!(f, "{weekday}, {day} {month} {year} {hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Prints Unix seconds as RFC 3339: `2026-11-22T14:30:00Z`. `None` prints as `-` filled to the same width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDate(pub Option<u64>);

impl fmt::Display for LogDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(unix_seconds) = self.0 else {
            return f.write_str("-------------------Z");
        };
        let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix_seconds(unix_seconds);
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn dates_are_written_as_letters_and_logs_write_them() {
        for (seconds, mail, log) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00Z"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00Z"),
            (1_078_099_199, "Sun, 29 Feb 2004 23:59:59 +0000", "2004-02-29T23:59:59Z"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 +0000", "2038-01-19T03:14:08Z"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000", "2100-03-01T00:00:00Z"),
            (1_795_357_845, "Sun, 22 Nov 2026 14:30:45 +0000", "2026-11-22T14:30:45Z"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(MailDate(Some(seconds)).to_string(), mail);
            assert_eq!(LogDate(Some(seconds)).to_string(), log);
        }
    }

    #[test]
    fn unknown_time_is_said_and_keeps_the_width() {
        assert!(MailDate(None).to_string().ends_with("(clock not set)"));
        assert_eq!(LogDate(None).to_string().len(), LogDate(Some(0)).to_string().len());
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut before = Civil::from_unix_seconds(0);
        for day in 1..200_000u64 {
            let now = Civil::from_unix_seconds(day * SECONDS_PER_DAY);
            assert_eq!(now.weekday, (before.weekday + 1) % 7);
            let next_day = (now.year, now.month, now.day) == (before.year, before.month, before.day + 1);
            let next_month = now.day == 1 && (now.year, now.month) == (before.year, before.month + 1);
            let next_year = (now.month, now.day) == (1, 1)
                && (before.month, before.day) == (12, 31)
                && now.year == before.year + 1;
            assert!(next_day || next_month || next_year, "{before:?} {now:?}");
            before = now;
        }
    }
}
