//! Whole commands and responses (part 1, section 18): headers, handle, authorisation and parameter areas.

use crate::kdf::sha256;
use crate::session::{AUTH_COMMAND_BYTES, Protection, Session};
use crate::{AuthValue, ResponseCode, TpmError};
use core::ops::Range;
use platform::Entropy;
use tpm2_protocol::TpmWriter;
use tpm2_protocol::frame::{TpmFrame, TpmUnmarshalBody};

const HEADER_BYTES: usize = 10;
const TAG_NO_SESSIONS: [u8; 2] = [0x80, 0x01];
const TAG_SESSIONS: [u8; 2] = [0x80, 0x02];
/// `TPM_RS_PW` with an empty password: handle, no nonce, continueSession, no password. The owner hierarchy of a gateway's
/// TPM has no auth value, so there is nothing to see.
const EMPTY_PASSWORD: [u8; 9] = [0x40, 0, 0, 9, 0, 0, 1, 0, 0];
/// What the TPM answers to that: no nonce, continueSession, no MAC.
const EMPTY_PASSWORD_ANSWER: [u8; 5] = [0, 0, 1, 0, 0];

/// How a command is authorised.
#[derive(Clone, Copy)]
pub(crate) enum Authorisation<'a> {
    /// Not at all.
    None,
    /// With the empty auth value, in clear: only for what happens before a session can exist.
    EmptyPassword,
    /// Through the session, with the auth value of the first handle's object (`None`: empty).
    Session(Option<&'a AuthValue>, Protection),
}

/// Writes `command` to `buffer` and returns its length. `names` are the names of the entities behind its handles.
pub(crate) fn write<C: TpmFrame>(
    command: &C,
    names: &[&[u8]],
    authorisation: Authorisation<'_>,
    session: Option<&mut Session>,
    entropy: &impl Entropy,
    buffer: &mut [u8],
) -> Result<usize, TpmError> {
    let (head, rest) = buffer.split_at_mut_checked(HEADER_BYTES).ok_or(TpmError::Encoding)?;
    let handles = command.handles().checked_mul(4).ok_or(TpmError::Encoding)?;
    let (handle_area, rest) = rest.split_at_mut_checked(handles).ok_or(TpmError::Encoding)?;
    command.marshal_handles(&mut TpmWriter::new(handle_area)).map_err(|_| TpmError::Encoding)?;
    let authorisation_bytes = match authorisation {
        Authorisation::None => 0,
        Authorisation::EmptyPassword => 4 + EMPTY_PASSWORD.len(),
        Authorisation::Session(..) => 4 + AUTH_COMMAND_BYTES,
    };
    let (auth_area, rest) = rest.split_at_mut_checked(authorisation_bytes).ok_or(TpmError::Encoding)?;
    let mut writer = TpmWriter::new(rest);
    command.marshal_parameters(&mut writer).map_err(|_| TpmError::Encoding)?;
    let parameters = writer.len();
    let parameters = rest.get_mut(..parameters).ok_or(TpmError::Encoding)?;
    let code = command.cc().value().to_be_bytes();

    if let Some((size, area)) = auth_area.split_at_mut_checked(4) {
        let length = u32::try_from(area.len()).map_err(|_| TpmError::Encoding)?;
        size.copy_from_slice(&length.to_be_bytes());
        match authorisation {
            Authorisation::Session(auth, protection) => {
                let session = session.ok_or(TpmError::NotStarted)?;
                let area: &mut [u8; AUTH_COMMAND_BYTES] = area.try_into().map_err(|_| TpmError::Encoding)?;
                // Part 1, section 16.7: cpHash over command code, names and parameters.
                let hash = |parameters: &[u8]| match names {
                    [] => sha256(&[&code, parameters]),
                    [one] => sha256(&[&code, one, parameters]),
                    [one, two, ..] => sha256(&[&code, one, two, parameters]),
                };
                session.protect(entropy, auth, protection, parameters, hash, area)?;
            }
            _ => area.copy_from_slice(&EMPTY_PASSWORD),
        }
    }

    let length = HEADER_BYTES + handles + authorisation_bytes + parameters.len();
    let tag = if authorisation_bytes == 0 { TAG_NO_SESSIONS } else { TAG_SESSIONS };
    let size = u32::try_from(length).map_err(|_| TpmError::Encoding)?.to_be_bytes();
    head.copy_from_slice(&[&tag[..], &size, &code].concat());
    Ok(length)
}

/// The response code of a response that is at least a header, with the right size.
pub(crate) fn code(response: &[u8]) -> Result<ResponseCode, TpmError> {
    let head: &[u8; HEADER_BYTES] =
        response.get(..HEADER_BYTES).and_then(|head| head.try_into().ok()).ok_or(TpmError::Response)?;
    let [tag @ .., _, _, _, _, _, _, _, _] = head;
    let [_, _, size @ .., _, _, _, _] = head;
    let [_, _, _, _, _, _, code @ ..] = head;
    let code = u32::from_be_bytes(*code);
    let length_is_right = usize::try_from(u32::from_be_bytes(*size)) == Ok(response.len());
    // Part 1, section 18.4: an error has no more than a header.
    let form_is_right = *tag == TAG_SESSIONS && code == 0
        || *tag == TAG_NO_SESSIONS && (code == 0 || response.len() == HEADER_BYTES)
        // A TPM 1.2 tag comes with TPM_RC_BAD_TAG, which is an error like others.
        || *tag == [0x00, 0xc4] && code != 0;
    if length_is_right && form_is_right { Ok(ResponseCode(code)) } else { Err(TpmError::Response) }
}

/// Reads the response to a successful command, after checking its authorisation. On failure nothing of it is used.
pub(crate) fn read<R: TpmUnmarshalBody>(
    response: &mut [u8],
    authorisation: Authorisation<'_>,
    session: Option<&mut Session>,
) -> Result<R, TpmError> {
    let with_sessions = response.get(..2) == Some(&TAG_SESSIONS);
    let (_, rest) = response.split_at_mut_checked(HEADER_BYTES).ok_or(TpmError::Response)?;
    let (handles, rest) = rest.split_at_mut_checked(R::HANDLES * 4).ok_or(TpmError::Response)?;
    if with_sessions == matches!(authorisation, Authorisation::None) {
        return Err(TpmError::Response);
    }
    if !with_sessions {
        return R::unmarshal_body(handles, rest).map_err(|_| TpmError::Response);
    }
    let (range, rest) = parameter_area(rest).ok_or(TpmError::Response)?;
    let (parameters, answer) = rest.split_at_mut_checked(range.end).ok_or(TpmError::Response)?;
    match authorisation {
        Authorisation::Session(auth, protection) => {
            let session = session.ok_or(TpmError::NotStarted)?;
            // Part 1, section 16.8: rpHash over response code (0), command code and parameters. Handles are not in it;
            // a wrong one fails at its first use, where the name of the entity is in cpHash.
            let digest = sha256(&[&[0; 4], &R::CC.value().to_be_bytes(), parameters]);
            session.accept(auth, protection, &digest, answer, parameters)?;
        }
        _ if *answer == EMPTY_PASSWORD_ANSWER => {}
        _ => return Err(TpmError::Response),
    }
    R::unmarshal_body(handles, parameters).map_err(|_| TpmError::Response)
}

/// The parameter area behind its size, as a range of what follows the size.
fn parameter_area(rest: &mut [u8]) -> Option<(Range<usize>, &mut [u8])> {
    let (size, rest) = rest.split_at_mut_checked(4)?;
    let size = usize::try_from(u32::from_be_bytes((&*size).try_into().ok()?)).ok()?;
    (size <= rest.len()).then_some((0..size, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_responses_of_the_right_form_have_a_code() {
        let ok = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];
        assert_eq!(code(&ok), Ok(ResponseCode::SUCCESS));
        assert_eq!(code(&ok[..9]), Err(TpmError::Response));
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 11, 0, 0, 0, 0]), Err(TpmError::Response));
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x22]), Ok(ResponseCode(0x922)));
        assert_eq!(code(&[0x80, 1, 0, 0, 0, 11, 0, 0, 9, 0x22, 0]), Err(TpmError::Response));
        assert_eq!(code(&[0x80, 2, 0, 0, 0, 10, 0, 0, 9, 0x22]), Err(TpmError::Response));
        assert_eq!(code(&[0x81, 1, 0, 0, 0, 10, 0, 0, 0, 0]), Err(TpmError::Response));
        assert_eq!(code(&[]), Err(TpmError::Response));
    }
}
