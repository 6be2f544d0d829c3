//! The trace context of requests and calls: W3C Trace Context, level 1.
//!
//! A request without a valid `traceparent` starts a trace with its request id as trace id: no id has to be generated,
//! and every log line can have it. The span id of a request is the second half of its request id.

use std::io::Write;
use std::num::{NonZeroU64, NonZeroU128};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header with the trace id and the span id of the caller.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The header with vendor-specific trace data.
const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00, `00-TRACE-PARENT-FLAGS`.
const TRACEPARENT_LENGTH: usize = 55;
/// The longest `tracestate` to propagate; the standard requires at least this length.
const MAX_TRACESTATE_LENGTH: usize = 512;
const SAMPLED: u8 = 1;

/// The position of a request, or of a call that it makes, in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub(crate) trace_id: NonZeroU128,
    pub(crate) span_id: NonZeroU64,
    pub(crate) parent: Option<NonZeroU64>,
    pub(crate) sampled: bool,
    state: Option<HeaderValue>,
}

impl TraceContext {
    /// The context of the request with the UUID `request_id` and `headers`. `sampled` says whether a trace that starts
    /// here is recorded.
    pub fn of_request(request_id: &str, headers: &HeaderMap, sampled: bool) -> Self {
        let traceparent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let context = Self::of(request_id, traceparent, sampled);
        // Without a parent, `tracestate` would belong to another trace.
        let state = context.parent.and_then(|_| tracestate(headers));
        Self { state, ..context }
    }

    /// Like [`of_request`](Self::of_request), without `tracestate`.
    pub(crate) fn of(request_id: &str, traceparent: Option<&str>, sampled: bool) -> Self {
        let own_id = Uuid::try_parse(request_id).unwrap_or_default().as_u128();
        let span_id = NonZeroU64::new(own_id as u64).unwrap_or(NonZeroU64::MIN);
        match traceparent.and_then(parse) {
            Some((trace_id, parent, sampled)) => Self { trace_id, span_id, parent: Some(parent), sampled, state: None },
            None => {
                let trace_id = NonZeroU128::new(own_id).unwrap_or(NonZeroU128::MIN);
                Self { trace_id, span_id, parent: None, sampled, state: None }
            }
        }
    }

    /// The context of a call that this request makes.
    pub fn child(&self) -> Self {
        let span_id = NonZeroU64::new(fastrand::u64(..)).unwrap_or(NonZeroU64::MIN);
        Self { span_id, parent: Some(self.span_id), ..self.clone() }
    }

    /// The trace id, as 32 hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// This position as the header `traceparent` has it.
    pub fn traceparent(&self) -> String {
        let (trace_id, span_id, flags) = (self.trace_id, self.span_id, if self.sampled { SAMPLED } else { 0 });
        format!("00-{trace_id:032x}-{span_id:016x}-{flags:02x}")
    }

    /// Adds the trace id to `line`, as 32 hexadecimal digits.
    pub(crate) fn add_trace_id(&self, line: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = write!(line, "{:032x}", self.trace_id);
    }

    /// The headers that propagate this context to the called service.
    pub fn headers(&self) -> HeaderMap {
        let traceparent = HeaderValue::try_from(self.traceparent()).ok();
        let headers = [(TRACEPARENT, traceparent), (TRACESTATE, self.state.clone())];
        let present = headers.into_iter().filter_map(|(name, value)| Some((HeaderName::from_static(name), value?)));
        present.collect()
    }
}

/// The trace id, the parent id, and whether the trace is sampled. As the standard requires, a malformed header is
/// ignored, and of a later version the fields that version 00 has are used.
fn parse(traceparent: &str) -> Option<(NonZeroU128, NonZeroU64, bool)> {
    let (known, rest) = traceparent.split_at_checked(TRACEPARENT_LENGTH)?;
    let mut parts = known.split('-');
    let mut next = |length| parts.next().filter(|part| part.len() == length && part.bytes().all(is_hexadecimal));
    let (version, trace_id, parent, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
    if version == "ff" || !(rest.is_empty() || version != "00" && rest.starts_with('-')) {
        return None;
    }
    let trace_id = NonZeroU128::new(u128::from_str_radix(trace_id, 16).ok()?)?;
    let parent = NonZeroU64::new(u64::from_str_radix(parent, 16).ok()?)?;
    Some((trace_id, parent, u8::from_str_radix(flags, 16).ok()? & SAMPLED != 0))
}

fn is_hexadecimal(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn tracestate(headers: &HeaderMap) -> Option<HeaderValue> {
    let lists: Option<Vec<_>> = headers.get_all(TRACESTATE).iter().map(|list| list.to_str().ok()).collect();
    let joined = lists?.join(",");
    (!joined.is_empty() && joined.len() <= MAX_TRACESTATE_LENGTH).then(|| HeaderValue::try_from(joined).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST_ID: &str = "b0b8715f-c303-4ce1-af4a-b98c3dce05ae";
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn of(traceparent: &str) -> TraceContext {
        TraceContext::of(REQUEST_ID, Some(traceparent), false)
    }

    fn trace_id(context: &TraceContext) -> String {
        let mut line = Vec::new();
        context.add_trace_id(&mut line);
        String::from_utf8(line).unwrap()
    }

    fn sent(context: &TraceContext) -> String {
        context.headers()[TRACEPARENT].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_valid_traceparent_is_continued() {
        for (traceparent, sampled) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), "01"),
            (format!("00-{TRACE}-00f067aa0ba902b7-00"), "00"),
            (format!("00-{TRACE}-00f067aa0ba902b7-ff"), "01"),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-fields of a later version"), "01"),
        ] {
            let context = of(&traceparent);
            assert_eq!(trace_id(&context), TRACE, "{traceparent}");
            assert_eq!(sent(&context), format!("00-{TRACE}-af4ab98c3dce05ae-{sampled}"), "{traceparent}");
            let call = sent(&context.child());
            assert!(call.starts_with(&format!("00-{TRACE}-")) && call.ends_with(sampled), "{call}");
            assert_ne!(call, sent(&context.child()), "each call has its own span id");
        }
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        for malformed in [
            String::new(),
            "canary@example.com".to_owned(),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01more"),
            format!("00-{TRACE}-00f067aa0ba902b7-0"),
            format!("00-{TRACE}-00f067aa0ba902b7-0x"),
            format!("00-+{}-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            "é".repeat(40),
        ] {
            assert_eq!(trace_id(&of(&malformed)), "b0b8715fc3034ce1af4ab98c3dce05ae", "{malformed}");
        }
    }

    #[test]
    fn tracestate_is_propagated_only_with_a_valid_traceparent() {
        let state = |traceparent: &str, lists: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, traceparent.parse().unwrap());
            for list in lists {
                headers.append(TRACESTATE, list.parse().unwrap());
            }
            let context = TraceContext::of_request(REQUEST_ID, &headers, true).child();
            context.headers().get(TRACESTATE).map(|state| state.to_str().unwrap().to_owned())
        };
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(state(&valid, &["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(state(&valid, &[]), None);
        assert_eq!(state(&valid, &[&"x".repeat(513)]), None);
        assert_eq!(state("malformed", &["a=1"]), None);
    }

    #[test]
    fn a_new_trace_is_sampled_only_if_spans_are_exported() {
        for (sampled, flags) in [(true, "-01"), (false, "-00")] {
            assert!(sent(&TraceContext::of(REQUEST_ID, None, sampled)).ends_with(flags));
        }
    }
}
