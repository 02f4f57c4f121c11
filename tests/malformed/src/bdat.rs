//! Content in chunks (BDAT, RFC 3030) that is refused, cut off, out of order, or full of what looks like commands. Whatever
//! stands in a chunk is content: the messages that are accepted tell whether anything of it was obeyed.

use crate::{Builder, Ending, HEADER, HELLO, MAIL, RCPT, Session, session};

/// What a chunk must not do, were it read as commands.
const COMMANDS: &[u8] =
    b"RSET\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<evil@example.net>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n";

/// BDAT and its octets.
fn chunk(octets: &[u8], last: bool) -> Vec<u8> {
    let last = if last { " LAST" } else { "" };
    [format!("BDAT {}{last}\r\n", octets.len()).as_bytes(), octets].concat()
}

fn letter(body: &[u8]) -> Vec<u8> {
    [HEADER.as_bytes(), b"\r\n", body].concat()
}

impl Builder {
    /// The chunks of one segment, and the replies to each.
    fn chunks(mut self, chunks: &[(&[u8], bool, &'static [&'static str])]) -> Self {
        let octets: Vec<u8> = chunks.iter().flat_map(|(octets, last, _)| chunk(octets, *last)).collect();
        self = self.send(octets);
        chunks.iter().fold(self, |builder, (_, _, reply)| builder.expect(reply))
    }

    /// A line that cannot be obeyed, with what would be its chunk: the session ends.
    fn ends_at(self, line: &str, reply: &'static [&'static str]) -> Session {
        let octets = [line.as_bytes(), b"\r\n", COMMANDS].concat();
        self.send(octets).expect(reply).ends(Ending::Closed)
    }
}

const QUEUED: &[&str] = &["250 2.0.0 Queued"];
const SO_FAR: &[&str] = &["250 2.0.0"];
const ORDER: &[&str] = &["503 5.5.1"];

pub(crate) fn sessions() -> Vec<Session> {
    [accepted(), out_of_order(), sizes(), refused(), cut_off()].concat()
}

fn accepted() -> Vec<Session> {
    let whole =
        |name, body: &[u8]| session(name).rcpt().chunks(&[(&letter(body), true, QUEUED)]).accepts(1).usable();
    let command = |name, line: &str| {
        let octets = letter(COMMANDS);
        let line = line.replace('#', &octets.len().to_string());
        session(name)
            .rcpt()
            .send([line.as_bytes(), b"\r\n", &octets].concat())
            .expect(QUEUED)
            .accepts(1)
            .usable()
    };
    vec![
        whole("chunk_full_of_commands", COMMANDS),
        whole("chunk_with_an_end_of_data_inside", b"x\r\n.\r\nMAIL FROM:<a@example.org>\r\n\r\n.\r\n"),
        whole("chunk_with_lone_line_ends", b"a\nb\rc\r\n\n.\n\r.\r\r\n"),
        whole("chunk_with_nul_in_the_body", b"a\0b\r\n"),
        whole("chunk_without_a_line_end", b"x"),
        command("chunk_in_lower_case", "bdat # last"),
        command("chunk_with_zeros_before_its_size", "BDAT 000# LAST"),
        command("chunk_with_spaces_around_its_size", "BDAT  #  LAST "),
        session("chunks_of_which_the_last_is_empty")
            .rcpt()
            .chunks(&[(&letter(b"x\r\n"), false, SO_FAR), (b"", false, SO_FAR), (b"", true, QUEUED)])
            .accepts(1)
            .usable(),
        session("chunks_cut_within_a_line_end")
            .rcpt()
            .chunks(&[(&letter(b"x\r"), false, SO_FAR), (b"\n", false, SO_FAR), (COMMANDS, true, QUEUED)])
            .accepts(1)
            .usable(),
        session("empty_message_in_a_chunk").rcpt().chunks(&[(b"", true, QUEUED)]).accepts(1).usable(),
        session("everything_in_one_segment")
            .send(
                [HELLO.as_bytes(), MAIL.as_bytes(), RCPT.as_bytes(), &chunk(&letter(COMMANDS), true)]
                    .concat(),
            )
            .expect(&["250 "])
            .expect(&["250 2.1.0"])
            .expect(&["250 2.1.5"])
            .expect(QUEUED)
            .accepts(1)
            .usable(),
        session("binary_content_by_data")
            .hello()
            .line("MAIL FROM:<sender@example.org> BODY=BINARYMIME", &["250 2.1.0"])
            .send(RCPT)
            .expect(&["250 2.1.5"])
            .line("DATA", ORDER)
            .chunks(&[(&letter(b"a\0b\r\n"), true, QUEUED)])
            .accepts(1)
            .usable(),
    ]
}

fn out_of_order() -> Vec<Session> {
    let first = |name| session(name).rcpt().chunks(&[(&letter(b"x\r\n"), false, SO_FAR)]);
    let between = |name, line: &str| {
        first(name).line(line, ORDER).chunks(&[(COMMANDS, true, QUEUED)]).accepts(1).usable()
    };
    let behind =
        |name, line: &str, reply| first(name).line(line, reply).chunks(&[(COMMANDS, true, ORDER)]).usable();
    vec![
        between("data_between_chunks", "DATA"),
        between("mail_between_chunks", "MAIL FROM:<other@example.org>"),
        between("rcpt_between_chunks", "RCPT TO:<other@example.net>"),
        behind("chunk_after_rset", "RSET", &["250 2.0.0"]),
        behind("chunk_after_another_hello", "EHLO again.example.org", &["250 "]),
        first("quit_between_chunks").line("QUIT", &["221"]).ends(Ending::Closed),
        session("chunk_after_the_last_one")
            .rcpt()
            .chunks(&[(&letter(b"x\r\n"), true, QUEUED), (COMMANDS, true, ORDER)])
            .accepts(1)
            .usable(),
        session("chunk_after_data")
            .content("x", &["250 2.0.0"])
            .chunks(&[(COMMANDS, true, ORDER)])
            .accepts(1)
            .usable(),
        session("chunk_before_hello").chunks(&[(COMMANDS, true, ORDER)]).usable(),
        session("chunk_before_mail").hello().chunks(&[(COMMANDS, true, ORDER)]).usable(),
        session("chunk_before_rcpt").mail().chunks(&[(COMMANDS, true, &["554 5.5.1"])]).usable(),
        session("chunk_after_helo")
            .line("HELO client.example.org", &["250 "])
            .line("MAIL FROM:<sender@example.org>", &["250 2.1.0"])
            .line("RCPT TO:<recipient@example.net>", &["250 2.1.5"])
            .chunks(&[(COMMANDS, true, ORDER)])
            .usable(),
        session("chunk_after_a_malformed_rcpt")
            .mail()
            .line("RCPT TO:<nobody@example..net>", &["501 5.1.3"])
            .chunks(&[(COMMANDS, true, &["554 5.5.1"])])
            .usable(),
        session("chunks_for_nobody_sent_ahead")
            .mail()
            .chunks(&[
                (COMMANDS, false, &["554 5.5.1"]),
                (b"", false, ORDER),
                (COMMANDS, false, ORDER),
                (COMMANDS, true, ORDER),
            ])
            .usable(),
    ]
}

fn sizes() -> Vec<Session> {
    const SYNTAX: &[&str] = &["501 5.5.4"];
    const SIZE: &[&str] = &["552 5.3.4"];
    let of = |name, line: &str, reply| session(name).rcpt().ends_at(line, reply);
    vec![
        of("chunk_of_4294967295_octets", "BDAT 4294967295 LAST", SIZE),
        of("chunk_of_18446744073709551615_octets", "BDAT 18446744073709551615 LAST", SIZE),
        of("chunk_of_18446744073709551616_octets", "BDAT 18446744073709551616 LAST", SIZE),
        of("chunk_of_9223372036854775808_octets", "BDAT 9223372036854775808", SIZE),
        of("chunk_of_minus_1_octet", "BDAT -1 LAST", SYNTAX),
        of("chunk_of_plus_1_octet", "BDAT +1 LAST", SYNTAX),
        of("chunk_size_in_hexadecimal", "BDAT 0x10 LAST", SYNTAX),
        of("chunk_size_with_an_exponent", "BDAT 1e3 LAST", SYNTAX),
        of("chunk_size_of_thirty_digits", "BDAT 000000000000000000000000000010", SYNTAX),
        of("chunk_without_a_size", "BDAT", SYNTAX),
        of("chunk_last_without_a_size", "BDAT LAST", SYNTAX),
        of("chunk_with_an_unknown_word", "BDAT 10 FIRST", SYNTAX),
        of("chunk_last_twice_in_one_command", "BDAT 10 LAST LAST", SYNTAX),
        of("chunk_size_behind_a_tab", "BDAT\t10", SYNTAX),
        of("chunk_behind_a_space", " BDAT 10", SYNTAX),
        of("chunk_command_with_a_bare_lf", "BDAT 10\nRSET", &["500 5.5.2", "501 5.5.4"]),
        of("chunk_command_with_a_bare_cr", "BDAT 10\rRSET", &["500 5.5.2", "501 5.5.4"]),
        of("chunk_command_with_a_nul", "BDAT 10\0 LAST", &["500 5.5.2", "501 5.5.4"]),
        session("chunk_command_without_end")
            .rcpt()
            .send("BDAT 10".to_owned() + &" ".repeat(3_000) + "\r\n")
            .expect(&["500 5.5.2", "501 5.5.4"])
            .ends(Ending::Closed),
        // The command line and EHLO count too; the hundredth in vain is one too many.
        session("empty_chunks_without_end")
            .rcpt()
            .send("BDAT 0\r\n".repeat(150))
            .expect_many(99, SO_FAR)
            .expect(&["421 4.7.0"])
            .ends(Ending::Closed),
    ]
}

fn refused() -> Vec<Session> {
    let long = "X-Filler: ".to_owned() + &"x".repeat(262_144) + "\r\n";
    let header = |name, field: &[u8], reply| {
        let octets = [HEADER.as_bytes(), field, b"\r\n\r\nx\r\n"].concat();
        session(name).rcpt().chunks(&[(&octets, true, reply)]).usable()
    };
    vec![
        header("chunk_with_nul_in_the_header", b"X-Note: a\0b", &["554 5.6.0"]),
        header("chunk_with_a_bare_cr_in_the_header", b"X-Note: a\rX-Field: b", &["554 5.6.0"]),
        header("chunk_with_a_header_of_more_than_256_kib", long.as_bytes(), &["552 5.3.4"]),
        session("chunks_behind_a_refused_one")
            .rcpt()
            .chunks(&[
                (long.as_bytes(), false, &["552 5.3.4"]),
                (COMMANDS, false, ORDER),
                (COMMANDS, true, ORDER),
            ])
            .usable(),
        session("too_many_chunks_out_of_order")
            .hello()
            .send(chunk(COMMANDS, true).repeat(30))
            .expect_many(20, ORDER)
            .expect(&["421 4.7.0"])
            .ends(Ending::Closed),
    ]
}

fn cut_off() -> Vec<Session> {
    let begun = |name| {
        let octets = [b"BDAT 1000 LAST\r\n".as_slice(), HEADER.as_bytes(), COMMANDS].concat();
        session(name).rcpt().send(octets)
    };
    vec![
        begun("client_closes_within_a_chunk").ends(Ending::ClientCloses),
        begun("client_vanishes_within_a_chunk").ends(Ending::ClientVanishes),
        session("client_closes_between_chunks")
            .rcpt()
            .chunks(&[(&letter(b"x\r\n"), false, SO_FAR)])
            .ends(Ending::ClientCloses),
    ]
}
