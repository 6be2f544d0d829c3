//! Metrics that are read when somebody asks for them.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The labels of one value, by name.
type Labels<'a> = &'a [(&'a str, &'a str)];

/// Writing a metric with all its values.
pub(crate) trait Encode {
    /// A single value that goes up and down.
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result;

    /// A single value that only grows. `name` is without `_total`.
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result;

    /// A value that goes up and down, for each set of labels.
    fn gauges<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result
    where
        V: EncodeGaugeValue;

    /// A value that only grows, for each set of labels. `name` is without `_total`.
    fn counters<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result
    where
        V: EncodeCounterValue;
}

impl Encode for DescriptorEncoder<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        ConstGauge::new(value).encode(self.encode_descriptor(name, help, None, MetricType::Gauge)?)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        ConstCounter::new(value).encode(self.encode_descriptor(name, help, None, MetricType::Counter)?)
    }

    fn gauges<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result
    where
        V: EncodeGaugeValue,
    {
        let metric = self.encode_descriptor(name, help, None, MetricType::Gauge)?;
        encode_all(metric, values.into_iter().map(|(labels, value)| (labels, ConstGauge::new(value))))
    }

    fn counters<'a, V>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'a>, V)>,
    ) -> fmt::Result
    where
        V: EncodeCounterValue,
    {
        let metric = self.encode_descriptor(name, help, None, MetricType::Counter)?;
        encode_all(metric, values.into_iter().map(|(labels, value)| (labels, ConstCounter::new(value))))
    }
}

fn encode_all<'a, M: EncodeMetric>(
    mut metric: MetricEncoder<'_>,
    values: impl Iterator<Item = (Labels<'a>, M)>,
) -> fmt::Result {
    for (labels, value) in values {
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
