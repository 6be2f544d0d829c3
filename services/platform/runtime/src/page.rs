//! Pages of a list: what the token of the next one carries, and cutting rows into a page.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contract::error_code::{INTERNAL_ERROR, INVALID_PAGE_TOKEN};
use contract::page::PageLimit;
use dropshot::HttpError;
use serde::{Serialize, de::DeserializeOwned};

/// Why a page cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The token is damaged, or another list gave it out.
    #[error("not a token of this list")]
    InvalidToken,
    /// The token stands beside filters: which of the two should count?
    #[error("a token beside filters")]
    TokenBesideFilters,
    /// A fault of ours: a state that cannot be written.
    #[error("{0}")]
    Fault(#[from] serde_json::Error),
}

impl From<PageError> for HttpError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::InvalidToken => INVALID_PAGE_TOKEN.to_error(),
            PageError::TokenBesideFilters => INVALID_PAGE_TOKEN.with_message(
                "query parameter `page_token`: it stands beside other filters; leave them out, the token knows them",
            ),
            PageError::Fault(_) => INTERNAL_ERROR.with_cause(error),
        }
    }
}

/// What a page token carries from one page to the next; each list has its own. To a client it is an opaque string.
///
/// Beside its bytes a token holds their CRC-32, so that one damaged on its way is refused, not taken for
/// another. It is no secret and no permission: whoever may read the list may read its tokens.
///
/// Deny unknown fields: an older instance must refuse the token of a newer one rather than forget one of its filters.
pub trait PageState: Serialize + DeserializeOwned {
    /// The list's name. A token of one list is not a token of another.
    const LIST: &'static str;

    /// This state as a token.
    fn to_token(&self) -> Result<String, PageError> {
        let mut bytes = serde_json::to_vec(&(Self::LIST, self))?;
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The state that `token` carries, if this list gave it out.
    fn from_token(token: &str) -> Result<Self, PageError> {
        read(Self::LIST, token).ok_or(PageError::InvalidToken)
    }
}

/// The page that `rows` make, of at most `limit` items, and the token of the next one, if there is one.
///
/// Ask the store for one row more than `limit`: whether it comes tells whether there is a next page. `next` makes
/// the state of the next page from the last item of this one.
pub fn page_of<T, S: PageState>(
    mut rows: Vec<T>,
    limit: PageLimit,
    next: impl FnOnce(&T) -> S,
) -> Result<(Vec<T>, Option<String>), PageError> {
    let length = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let more = rows.len() > length;
    rows.truncate(length);
    let token = match rows.last() {
        Some(last) if more => Some(next(last).to_token()?),
        _ => None,
    };
    Ok((rows, token))
}

fn read<S: DeserializeOwned>(list: &str, token: &str) -> Option<S> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (body, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32fast::hash(body) != u32::from_be_bytes(*checksum) {
        return None;
    }
    let (name, state): (String, S) = serde_json::from_slice(body).ok()?;
    (name == list).then_some(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After(i64);
    impl PageState for After {
        const LIST: &'static str = "things";
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Elsewhere(i64);
    impl PageState for Elsewhere {
        const LIST: &'static str = "others";
    }

    #[test]
    fn a_token_gives_back_what_it_was_made_of() {
        let token = After(42).to_token().unwrap();
        assert_eq!(After::from_token(&token).unwrap(), After(42));
    }

    #[test]
    fn a_token_with_any_one_character_changed_is_refused() {
        let token = After(42).to_token().unwrap();
        for position in 0..token.len() {
            for other in [b'A', b'z', b'0', b'_'] {
                let mut bytes = token.as_bytes().to_vec();
                if bytes[position] == other {
                    continue;
                }
                bytes[position] = other;
                let damaged = String::from_utf8(bytes).unwrap();
                assert!(matches!(After::from_token(&damaged), Err(PageError::InvalidToken)), "{damaged}");
            }
        }
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let token = Elsewhere(42).to_token().unwrap();
        assert!(After::from_token(&token).is_err());
    }
}
