//! Metrics of API Priority and Fairness, under upstream's names.

use std::sync::OnceLock;

use telemetry::metrics::{Counter, Desc, Family, Gauge, Histogram, Registry};

/// Durations in seconds.
const DURATIONS: [f64; 13] =
    [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0];
const SEATS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];
const BY_SCHEMA: [&str; 2] = ["priority_level", "flow_schema"];

/// The families; levels and schemas keep their own series. Cloning shares them.
#[derive(Clone)]
pub(crate) struct FlowControl {
    rejected: Family<Counter, 3>,
    dispatched: Family<Counter, 2>,
    waiting: Family<Gauge, 2>,
    executing: Family<Gauge, 2>,
    seats: Family<Gauge, 2>,
    waited: Family<Histogram, 3>,
    took: Family<Histogram, 3>,
    estimated: Family<Histogram, 2>,
    limits: [Family<Gauge, 1>; 4],
}

/// Series of a flow schema, which are there once it has had a request.
#[derive(Clone)]
pub(crate) struct SchemaMetrics {
    all: FlowControl,
    level: String,
    schema: String,
    used: OnceLock<Used>,
}

/// Series that every request of a schema is counted in.
#[derive(Clone)]
pub(crate) struct Used {
    pub(crate) dispatched: Counter,
    pub(crate) executing: Gauge,
    pub(crate) seats: Gauge,
    /// By whether it is a watch.
    took: [Histogram; 2],
    pub(crate) estimated: Histogram,
}

/// Series of a priority level.
#[derive(Clone)]
pub(crate) struct LevelMetrics {
    limits: [Gauge; 4],
}

impl FlowControl {
    pub(super) fn new(registry: &Registry) -> Self {
        let beta = |name, help| Desc::beta(name, help);
        Self {
            rejected: registry.counters(
                beta(
                    "apiserver_flowcontrol_rejected_requests_total",
                    "Number of requests rejected by API Priority and Fairness subsystem",
                ),
                ["priority_level", "flow_schema", "reason"],
            ),
            dispatched: registry.counters(
                beta(
                    "apiserver_flowcontrol_dispatched_requests_total",
                    "Number of requests executed by API Priority and Fairness subsystem",
                ),
                BY_SCHEMA,
            ),
            waiting: registry.gauges(
                beta(
                    "apiserver_flowcontrol_current_inqueue_requests",
                    "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
                ),
                BY_SCHEMA,
            ),
            executing: registry.gauges(
                beta(
                    "apiserver_flowcontrol_current_executing_requests",
                    "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in the API Priority and Fairness subsystem",
                ),
                BY_SCHEMA,
            ),
            seats: registry.gauges(
                beta(
                    "apiserver_flowcontrol_current_executing_seats",
                    "Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
                ),
                BY_SCHEMA,
            ),
            waited: registry.histograms(
                beta(
                    "apiserver_flowcontrol_request_wait_duration_seconds",
                    "Length of time a request spent waiting in its queue",
                ),
                ["priority_level", "flow_schema", "execute"],
                &DURATIONS,
            ),
            took: registry.histograms(
                Desc::alpha(
                    "apiserver_flowcontrol_request_execution_seconds",
                    "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request execution in the API Priority and Fairness subsystem",
                ),
                ["priority_level", "flow_schema", "type"],
                &DURATIONS,
            ),
            estimated: registry.histograms(
                Desc::alpha(
                    "apiserver_flowcontrol_work_estimated_seats",
                    "Number of estimated seats (maximum of initial and final seats) associated with requests in API Priority and Fairness",
                ),
                BY_SCHEMA,
                &SEATS,
            ),
            limits: [
                beta(
                    "apiserver_flowcontrol_nominal_limit_seats",
                    "Nominal number of execution seats configured for each priority level",
                ),
                Desc::alpha(
                    "apiserver_flowcontrol_lower_limit_seats",
                    "Configured lower bound on number of execution seats available to each priority level",
                ),
                Desc::alpha(
                    "apiserver_flowcontrol_upper_limit_seats",
                    "Configured upper bound on number of execution seats available to each priority level",
                ),
                Desc::alpha(
                    "apiserver_flowcontrol_current_limit_seats",
                    "current derived number of execution seats available to each priority level",
                ),
            ]
            .map(|desc| registry.gauges(desc, ["priority_level"])),
        }
    }

    pub(crate) fn of_level(&self, level: &str) -> LevelMetrics {
        LevelMetrics { limits: self.limits.each_ref().map(|limit| limit.with([level])) }
    }

    pub(crate) fn of_schema(&self, level: &str, schema: &str) -> SchemaMetrics {
        let (level, schema) = (level.to_owned(), schema.to_owned());
        SchemaMetrics { all: self.clone(), level, schema, used: OnceLock::new() }
    }
}

impl SchemaMetrics {
    pub(crate) fn used(&self) -> &Used {
        self.used.get_or_init(|| {
            let (all, level, schema) = (&self.all, &*self.level, &*self.schema);
            Used {
                dispatched: all.dispatched.with([level, schema]),
                executing: all.executing.with([level, schema]),
                seats: all.seats.with([level, schema]),
                took: ["regular", "watch"].map(|kind| all.took.with([level, schema, kind])),
                estimated: all.estimated.with([level, schema]),
            }
        })
    }

    pub(crate) fn rejected(&self, reason: &str) {
        self.all.rejected.with([&self.level, &self.schema, reason]).inc();
    }

    /// Requests that wait.
    pub(crate) fn waiting(&self) -> Gauge {
        self.all.waiting.with([&self.level, &self.schema])
    }

    /// Seconds in a queue, and whether the request was executed then.
    pub(crate) fn waited(&self, seconds: f64, executed: bool) {
        let executed = if executed { "true" } else { "false" };
        self.all.waited.with([&self.level, &self.schema, executed]).observe(seconds);
    }
}

impl Used {
    /// Seconds of execution.
    pub(crate) fn took(&self, seconds: f64, watch: bool) {
        self.took[usize::from(watch)].observe(seconds);
    }
}

impl LevelMetrics {
    pub(crate) fn limits(&self, nominal: usize, least: usize, most: usize, now: usize) {
        for (gauge, seats) in self.limits.iter().zip([nominal, least, most, now]) {
            gauge.set(seats as f64);
        }
    }
}
