//! Keys in use by requests of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use contract::idempotency::IdempotencyKey;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// The SHA-256 of a request, in Base64.
pub(super) type Fingerprint = String;

/// The fingerprint of `request` to `operation`: equal for equal JSON values, whatever their whitespace.
pub(super) fn fingerprint(operation: &str, request: &impl Serialize) -> serde_json::Result<Fingerprint> {
    let request = serde_json::to_vec(&(operation, request))?;
    Ok(STANDARD_NO_PAD.encode(Sha256::digest(request)))
}

/// The keys in use, with the fingerprints of their requests.
#[derive(Clone, Debug, Default)]
pub(super) struct KeysInUse(Arc<Mutex<HashMap<IdempotencyKey, Fingerprint>>>);

/// A key in use by a request, until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Claim(pub(super) Arc<ClaimedKey>);

#[derive(Debug)]
pub(super) struct ClaimedKey {
    pub(super) key: IdempotencyKey,
    pub(super) fingerprint: Fingerprint,
    in_use: KeysInUse,
}

impl KeysInUse {
    /// Claims `key`. If it is in use already, returns the fingerprint of the request that uses it.
    pub(super) fn claim(&self, key: IdempotencyKey, fingerprint: Fingerprint) -> Result<Claim, Fingerprint> {
        let mut in_use = self.lock();
        if let Some(other) = in_use.get(&key) {
            return Err(other.clone());
        }
        in_use.insert(key.clone(), fingerprint.clone());
        Ok(Claim(Arc::new(ClaimedKey { key, fingerprint, in_use: self.clone() })))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IdempotencyKey, Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ClaimedKey {
    fn drop(&mut self) {
        self.in_use.lock().remove(&self.key);
    }
}
