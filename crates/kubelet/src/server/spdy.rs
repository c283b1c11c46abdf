//! SPDY/3.1, as far as Kubernetes' streaming protocols use it: streams opened by the client,
//! without flow control, which their implementations do not have either.

pub(super) mod dictionary;
pub(super) mod frame;
pub(super) mod headers;
pub(super) mod session;
