//! The strict reader of app-state patches that go out: what the official reader is fatal on, and the limits that the
//! official writer keeps (protocol 06 §9.1).

use std::collections::BTreeSet;

use palomar_proto::{ExternalBlobReference, SyncActionData, SyncdMutation, SyncdPatch};
use prost::Message as _;

use crate::stanza::judge::{Finding, What};

use super::{Payload, Schema};

/// The most mutations of an inline list.
const MAX_INLINE: usize = 100;
/// The most bytes of a patch with an inline list.
const MAX_BYTES: usize = 10_000;
/// IV, one block of ciphertext, MAC: the shortest value.
const MIN_VALUE: usize = 16 + 16 + 32;
/// SET and REMOVE.
const OPERATIONS: [i32; 2] = [0, 1];

impl Schema {
    /// What the official reader would refuse in a patch that goes out, and which limits of the official writer it breaks;
    /// none for a good one. What lies in its records is judged by [`Schema::action`].
    #[must_use]
    pub fn patch(&self, bytes: &[u8]) -> Vec<Finding> {
        let mut reader =
            Reader { payload: Payload::SyncdPatch, findings: self.walk(Payload::SyncdPatch, bytes) };
        if let Ok(patch) = SyncdPatch::decode(bytes) {
            reader.patch(&patch, bytes.len());
        }
        reader.findings
    }

    /// The same for what a record holds. `sets`: the record's operation is SET.
    #[must_use]
    pub fn action(&self, bytes: &[u8], sets: bool) -> Vec<Finding> {
        let payload = Payload::SyncActionData;
        let mut reader = Reader { payload, findings: self.walk(payload, bytes) };
        if let Ok(data) = SyncActionData::decode(bytes) {
            reader.action(&data, sets);
        }
        reader.findings
    }
}

struct Reader {
    payload: Payload,
    findings: Vec<Finding>,
}

impl Reader {
    fn find(&mut self, path: &str, what: What, want: &str) {
        let finding = self.payload.finding(path, what, want);
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    fn require(&mut self, path: &str, there: bool) {
        if !there {
            self.find(path, What::Required, "present");
        }
    }

    fn forbid(&mut self, path: &str, there: bool) {
        if there {
            self.find(path, What::Value, "absent");
        }
    }

    /// Bytes of one length; absent ones are missing.
    fn fixed(&mut self, path: &str, bytes: Option<&[u8]>, length: usize) {
        match bytes {
            None => self.find(path, What::Required, "present"),
            Some(bytes) if bytes.len() != length => self.find(path, What::Length, &format!("{length} bytes")),
            Some(_) => {}
        }
    }

    fn patch(&mut self, patch: &SyncdPatch, length: usize) {
        self.forbid("version", patch.version.is_some());
        self.fixed("snapshotMac", patch.snapshot_mac.as_deref(), 32);
        self.fixed("patchMac", patch.patch_mac.as_deref(), 32);
        self.require("keyId/id", has_id(patch.key_id.as_ref().and_then(|key| key.id.as_deref())));
        self.require("deviceIndex", patch.device_index.is_some());
        match (&patch.external_mutations, patch.mutations.is_empty()) {
            (Some(_), false) => {
                self.find("externalMutations", What::Alternatives, "an inline list or an external one")
            }
            (None, true) => self.find("mutations", What::Count, "1 to 100"),
            (Some(external), true) => {
                self.forbid("clientDebugData", patch.client_debug_data.is_some());
                self.external(external);
            }
            (None, false) => {
                self.require("clientDebugData", patch.client_debug_data.is_some());
                self.inline(&patch.mutations, length);
            }
        }
    }

    fn inline(&mut self, mutations: &[SyncdMutation], length: usize) {
        if mutations.len() > MAX_INLINE {
            self.find("mutations", What::Count, "1 to 100");
        }
        if length > MAX_BYTES {
            self.find("", What::Length, "at most 10000 bytes");
        }
        let mut seen = BTreeSet::new();
        for mutation in mutations {
            self.mutation(mutation);
            let index = mutation.record.as_ref().and_then(|record| record.index.as_ref());
            let again = index
                .and_then(|index| index.blob.as_ref())
                .is_some_and(|blob| !seen.insert((blob.clone(), mutation.operation)));
            if again {
                self.find("mutations/record/index", What::Count, "one SET and one REMOVE of an index");
            }
        }
    }

    fn mutation(&mut self, mutation: &SyncdMutation) {
        match mutation.operation {
            None => self.find("mutations/operation", What::Required, "present"),
            Some(operation) if !OPERATIONS.contains(&operation) => {
                self.find("mutations/operation", What::Value, "SET or REMOVE");
            }
            Some(_) => {}
        }
        let record = mutation.record.clone().unwrap_or_default();
        let index = record.index.and_then(|index| index.blob);
        self.fixed("mutations/record/index/blob", index.as_deref(), 32);
        match record.value.and_then(|value| value.blob) {
            None => self.find("mutations/record/value/blob", What::Required, "present"),
            Some(value) if value.len() < MIN_VALUE || value.len() % 16 != 0 => {
                self.find("mutations/record/value/blob", What::Length, "IV, whole blocks, 32 bytes of MAC");
            }
            Some(_) => {}
        }
        self.require("mutations/record/keyId/id", has_id(record.key_id.and_then(|key| key.id).as_deref()));
    }

    fn external(&mut self, external: &ExternalBlobReference) {
        self.fixed("externalMutations/mediaKey", external.media_key.as_deref(), 32);
        self.fixed("externalMutations/fileSha256", external.file_sha256.as_deref(), 32);
        self.fixed("externalMutations/fileEncSha256", external.file_enc_sha256.as_deref(), 32);
        self.require("externalMutations/directPath", external.direct_path.is_some());
        self.require("externalMutations/handle", external.handle.is_some());
        self.require("externalMutations/fileSizeBytes", external.file_size_bytes.is_some());
    }

    fn action(&mut self, data: &SyncActionData, sets: bool) {
        match data.index.as_deref() {
            None => self.find("index", What::Required, "present"),
            Some(index) if !names_something(index) => {
                self.find("index", What::Value, "a JSON array of texts that begins with a name");
            }
            Some(_) => {}
        }
        self.require("version", data.version.is_some());
        if sets {
            self.require("value", data.value.is_some());
            let timestamp = data.value.as_ref().and_then(|value| value.timestamp);
            self.require("value/timestamp", timestamp.is_some());
        }
    }
}

fn has_id(id: Option<&[u8]>) -> bool {
    id.is_some_and(|id| !id.is_empty())
}

fn names_something(index: &[u8]) -> bool {
    let parts: Vec<String> = serde_json::from_slice(index).unwrap_or_default();
    parts.first().is_some_and(|name| !name.is_empty())
}
