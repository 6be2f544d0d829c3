// <generated>

use contract::document::DocumentError;

/// Each service with the document that its API trait declares.
pub(crate) const DOCUMENTS: &[(&str, fn() -> Result<String, DocumentError>)] = &[
<documents>
];
