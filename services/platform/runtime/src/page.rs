//! Pagination of lists: page tokens, and the page that rows make.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contract::error_code::{INTERNAL_ERROR, INVALID_PAGE_TOKEN};
use contract::page::PageLimit;
use dropshot::HttpError;
use serde::{Serialize, de::DeserializeOwned};

/// The reason why a page cannot be returned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PageError {
    /// The token is damaged, or it belongs to another list.
    #[error("not a token of this list")]
    InvalidToken,
    /// The token is combined with a filter that is not the one of its list.
    #[error("a token combined with other filters")]
    OtherFilters,
    /// The state of the next page cannot be serialized.
    #[error("{0}")]
    Fault(Arc<serde_json::Error>),
}

impl From<PageError> for HttpError {
    fn from(error: PageError) -> Self {
        match error {
            PageError::InvalidToken => INVALID_PAGE_TOKEN.to_error(),
            PageError::OtherFilters => INVALID_PAGE_TOKEN.with_message(
                "query parameter `page_token`: its list has other filters; leave them out, or repeat them unchanged",
            ),
            PageError::Fault(_) => INTERNAL_ERROR.with_cause(error),
        }
    }
}

/// The state that a page token carries from one page to the next; each list has its own. To a client the token is an
/// opaque string.
///
/// A token contains the CRC-32 of its bytes, so that a damaged one is refused. It is neither secret nor a permission:
/// every client that may read the list may read its tokens.
///
/// Implementations deny unknown fields: an older instance must refuse the token of a newer one instead of ignoring one
/// of its filters.
pub trait PageState: Serialize + DeserializeOwned {
    /// The list's name. The token of another list is refused.
    const LIST: &'static str;

    /// This state as a token.
    fn to_token(&self) -> Result<String, PageError> {
        let mut bytes = serde_json::to_vec(&(Self::LIST, self)).map_err(|error| PageError::Fault(Arc::new(error)))?;
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The state in `token`, if it is a valid token of this list.
    fn from_token(token: &str) -> Result<Self, PageError> {
        read(Self::LIST, token).ok_or(PageError::InvalidToken)
    }
}

/// Refuses a filter that was `sent` beside a token and differs from the one `of_token`. A client may repeat the filters:
/// generated ones change only the token from page to page.
pub fn same_filter<T: PartialEq>(sent: Option<&T>, of_token: Option<&T>) -> Result<(), PageError> {
    if sent.is_none() || sent == of_token { Ok(()) } else { Err(PageError::OtherFilters) }
}

/// About how many bytes the items of a page have at most: generated clients read 4 MiB of a response.
const MAX_PAGE_BYTES: usize = 2 * 1024 * 1024;

/// The first `limit` items of `rows`, or fewer if these have too many bytes, and the token of the next page if there is one.
///
/// The caller reads one row more than `limit` from the database; if that row exists, there is a next page. `bytes_of` is
/// about how many bytes an item has, and `next` makes the state of the next page from the last item of this one.
pub fn page_of<T, S: PageState>(
    mut rows: Vec<T>,
    limit: PageLimit,
    bytes_of: impl Fn(&T) -> usize,
    next: impl FnOnce(&T) -> S,
) -> Result<(Vec<T>, Option<String>), PageError> {
    let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
    let mut bytes = 0;
    let fits = |row: &T| {
        bytes += bytes_of(row);
        bytes <= MAX_PAGE_BYTES
    };
    // A page has an item, whatever its size.
    let length = rows.iter().map(fits).take_while(|fits| *fits).count().clamp(1, limit);
    let has_next = rows.len() > length;
    rows.truncate(length);
    let token = match rows.last() {
        Some(last) if has_next => Some(next(last).to_token()?),
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
    struct Others(i64);
    impl PageState for Others {
        const LIST: &'static str = "others";
    }

    #[test]
    fn a_token_carries_its_state() {
        let token = After(42).to_token().unwrap();
        assert_eq!(After::from_token(&token).unwrap(), After(42));
    }

    #[test]
    fn a_token_with_one_changed_character_is_refused() {
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
    fn a_page_ends_at_its_limit_or_when_it_is_large() {
        // Items that are their own sizes.
        let page = |rows: &[i64], limit: i64| {
            let limit = limit.try_into().unwrap();
            let bytes_of = |bytes: &i64| usize::try_from(*bytes).unwrap();
            let (items, token) = page_of(rows.to_vec(), limit, bytes_of, |last: &i64| After(*last)).unwrap();
            (items, token.map(|token| After::from_token(&token).unwrap().0))
        };
        const HALF: i64 = MAX_PAGE_BYTES as i64 / 2;
        assert_eq!(page(&[1, 2], 2), (vec![1, 2], None));
        assert_eq!(page(&[1, 2, 3], 2), (vec![1, 2], Some(2)));
        assert_eq!(page(&[HALF, HALF - 1, 2], 3), (vec![HALF, HALF - 1], Some(HALF - 1)));
        assert_eq!(page(&[3 * HALF, 1], 2), (vec![3 * HALF], Some(3 * HALF)));
        assert_eq!(page(&[], 2), (vec![], None));
    }

    #[test]
    fn a_token_of_another_list_is_refused() {
        let token = Others(42).to_token().unwrap();
        assert!(After::from_token(&token).is_err());
    }
}
