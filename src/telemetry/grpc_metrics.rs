//! The series of gRPC calls, under the names that common dashboards use.
//!
//! The series of a method are looked up once, when the metrics are created. Paths that name no
//! served method share one set of labels.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Instant,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;

use crate::proto::DESCRIPTORS;

/// Methods of services that are not in `proto/`.
const OTHER_METHODS: [(&str, &str, MethodType); 4] = [
    ("grpc.health.v1.Health", "Check", MethodType::UNARY),
    ("grpc.health.v1.Health", "Watch", MethodType::SERVER_STREAM),
    ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo", MethodType::BIDI_STREAM),
    ("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", MethodType::BIDI_STREAM),
];

/// The labels of codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// The sides of a method that are streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct MethodType {
    pub(super) client_streams: bool,
    server_streams: bool,
}

impl MethodType {
    const UNARY: Self = Self { client_streams: false, server_streams: false };
    const SERVER_STREAM: Self = Self { client_streams: false, server_streams: true };
    const BIDI_STREAM: Self = Self { client_streams: true, server_streams: true };

    fn label(self) -> &'static str {
        match (self.client_streams, self.server_streams) {
            (false, false) => "unary",
            (true, false) => "client_stream",
            (false, true) => "server_stream",
            (true, true) => "bidi_stream",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct MethodLabels {
    pub(super) grpc_type: &'static str,
    pub(super) grpc_service: String,
    pub(super) grpc_method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandledLabels {
    grpc_type: &'static str,
    grpc_service: String,
    grpc_method: String,
    grpc_code: &'static str,
}

/// The series of all methods.
#[derive(Debug)]
pub(super) struct GrpcMetrics {
    methods: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

/// The series of a method.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) method_type: MethodType,
    pub(super) labels: MethodLabels,
    started: Counter,
    handled: Family<HandledLabels, Counter>,
    /// Looked up in the family when a code first occurs.
    handled_by_code: [OnceLock<Counter>; CODES.len()],
    pub(super) received: Counter,
    pub(super) sent: Counter,
    seconds: Histogram,
}

impl GrpcMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Families::register(registry);
        let mut methods = HashMap::new();
        for (service, method, method_type) in served_methods() {
            methods.insert(
                format!("/{service}/{method}"),
                families.method(&service, &method, method_type),
            );
        }
        let unknown = families.method("unknown", "unknown", MethodType::UNARY);
        Self { methods, unknown }
    }

    /// Counts the start of a call of this path. The call ends by [`Call::end`] or when it is
    /// dropped.
    pub(super) fn start(&self, path: &str) -> Call {
        Call::start(self.method(path))
    }

    fn method(&self, path: &str) -> Arc<Method> {
        Arc::clone(self.methods.get(path).unwrap_or(&self.unknown))
    }
}

/// Service, method and type of every served method.
fn served_methods() -> Vec<(String, String, MethodType)> {
    let mut methods: Vec<_> = OTHER_METHODS
        .iter()
        .map(|(service, method, method_type)| {
            ((*service).to_owned(), (*method).to_owned(), *method_type)
        })
        .collect();
    // The descriptors are compiled into the binary. A test checks that they decode.
    let files = [DESCRIPTORS, tidings_registry::proto::DESCRIPTORS]
        .map(|set| FileDescriptorSet::decode(set).unwrap_or_default());
    for file in files.iter().flat_map(|set| &set.file) {
        for service in &file.service {
            for method in &service.method {
                methods.push((
                    format!("{}.{}", file.package(), service.name()),
                    method.name().to_owned(),
                    MethodType {
                        client_streams: method.client_streaming(),
                        server_streams: method.server_streaming(),
                    },
                ));
            }
        }
    }
    methods
}

struct Families {
    started: Family<MethodLabels, Counter>,
    handled: Family<HandledLabels, Counter>,
    received: Family<MethodLabels, Counter>,
    sent: Family<MethodLabels, Counter>,
    seconds: Family<MethodLabels, Histogram, fn() -> Histogram>,
}

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            started: Family::default(),
            handled: Family::default(),
            received: Family::default(),
            sent: Family::default(),
            // 100 µs to 26 s in steps of four: a dozen series per method show the distribution.
            seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(100e-6, 4.0, 10))
            }),
        };
        registry.register("grpc_server_started", "Calls started", families.started.clone());
        registry.register("grpc_server_handled", "Calls ended, by code", families.handled.clone());
        registry.register(
            "grpc_server_msg_received",
            "Messages received from clients",
            families.received.clone(),
        );
        registry.register(
            "grpc_server_msg_sent",
            "Messages sent to clients",
            families.sent.clone(),
        );
        registry.register(
            "grpc_server_handling_seconds",
            "Duration of calls; of streams, the time they were open",
            families.seconds.clone(),
        );
        families
    }

    fn method(&self, service: &str, method: &str, method_type: MethodType) -> Arc<Method> {
        let labels = MethodLabels {
            grpc_type: method_type.label(),
            grpc_service: service.to_owned(),
            grpc_method: method.to_owned(),
        };
        Arc::new(Method {
            method_type,
            started: self.started.get_or_create_owned(&labels),
            handled: self.handled.clone(),
            handled_by_code: Default::default(),
            received: self.received.get_or_create_owned(&labels),
            sent: self.sent.get_or_create_owned(&labels),
            seconds: self.seconds.get_or_create_owned(&labels),
            labels,
        })
    }
}

impl Method {
    fn handled(&self, code: Code) {
        let index = usize::try_from(i32::from(code)).unwrap_or_default();
        let Some((cached, name)) = self.handled_by_code.get(index).zip(CODES.get(index)) else {
            return;
        };
        cached
            .get_or_init(|| {
                self.handled.get_or_create_owned(&HandledLabels {
                    grpc_type: self.labels.grpc_type,
                    grpc_service: self.labels.grpc_service.clone(),
                    grpc_method: self.labels.grpc_method.clone(),
                    grpc_code: name,
                })
            })
            .inc();
    }
}

/// A call in progress. If it is dropped before its end, the client has cancelled it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Arc<Method>,
    started: Instant,
    pub(super) ended: bool,
}

impl Call {
    fn start(method: Arc<Method>) -> Self {
        method.started.inc();
        Self { method, started: Instant::now(), ended: false }
    }

    pub(super) fn end(&mut self, code: Code) {
        if !self.ended {
            self.ended = true;
            self.method.handled(code);
            self.method.seconds.observe(self.started.elapsed().as_secs_f64());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Metrics;

    #[test]
    fn methods_are_found_by_path() {
        let metrics = Metrics::new();
        let publish = metrics.grpc().method("/tidings.events.v1.EventService/PublishStream");
        assert_eq!(publish.labels.grpc_type, "bidi_stream");
        assert_eq!(metrics.grpc().method("/../etc").labels.grpc_method, "unknown");
    }
}
