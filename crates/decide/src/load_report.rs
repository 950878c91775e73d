//! What endpoints say about their load: ORCA's `endpoint-load-metrics` fields and the answers of load URLs.
//!
//! Understood are the forms that Envoy and gRPC know (gRFC A51): `TEXT cpu_utilization=0.3, rps_fractional=120`, the
//! same without the word and with colons, and `JSON {"cpu_utilization": 0.3}`, also in its own field
//! `endpoint-load-metrics-json`. Binary reports are not read.

use std::str;

use serde::Deserialize;

/// Load of one endpoint, as it says itself. Nothing in it is negative or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// How busy it is, where 1 is all that it can do: `application_utilization`, or `cpu_utilization` without that.
    /// Above 0; overload is above 1.
    pub utilisation: Option<f64>,
    /// Requests per second: `rps_fractional`. Above 0.
    pub rate: Option<f64>,
    /// Failed requests per second: `eps`.
    pub errors: f64,
    /// Requests that it works at, of all balancers: `named_metrics.requests_in_flight` or `named_metrics.rif`.
    pub in_flight: Option<u32>,
    /// What its requests take now: `named_metrics.latency_us` or `named_metrics.latency_ms`.
    pub latency_us: Option<u64>,
}

/// The report in the fields of a response; `None` when there is none that can be read.
pub fn find(fields: &[httparse::Header<'_>]) -> Option<Report> {
    // Nearly all responses have none: the name's length rules out most fields at once.
    fields.iter().find_map(|field| {
        const PREFIX: &str = "endpoint-load-metrics";
        let (name, rest) = field.name.split_at_checked(PREFIX.len())?;
        if !name.eq_ignore_ascii_case(PREFIX) {
            return None;
        }
        match rest {
            "" => parse(field.value),
            _ if rest.eq_ignore_ascii_case("-json") => parse_json(field.value),
            _ => None,
        }
    })
}

/// The report in the value of `endpoint-load-metrics`, or in the answer of a load URL.
///
/// Names that are not known here and values that are no numbers are passed over. `None` when nothing is left.
pub fn parse(value: &[u8]) -> Option<Report> {
    let value = value.trim_ascii();
    let report = match value.split_at_checked(5) {
        Some((b"JSON ", json)) => return parse_json(json),
        Some((b"BIN ", _)) => return None,
        Some((b"TEXT ", list)) => parse_list(list),
        _ if value.starts_with(b"{") => return parse_json(value),
        _ => parse_list(value),
    };
    report.is_something()
}

fn parse_json(json: &[u8]) -> Option<Report> {
    let written: Written = serde_json::from_slice(json).ok()?;
    written.report().is_something()
}

fn parse_list(list: &[u8]) -> Report {
    let mut written = Written::default();
    for entry in list.split(|byte| matches!(byte, b',' | b'\n')) {
        let mut halves = entry.splitn(2, |byte| matches!(byte, b'=' | b':'));
        let (Some(name), Some(value)) = (halves.next(), halves.next()) else { continue };
        let number = str::from_utf8(value.trim_ascii()).ok().and_then(|text| text.parse().ok());
        let (name, number): (_, Option<f64>) = (name.trim_ascii(), number);
        let name = name.strip_prefix(b"named_metrics.").unwrap_or(name);
        match name {
            b"application_utilization" => written.application_utilization = number,
            b"cpu_utilization" => written.cpu_utilization = number,
            b"rps_fractional" => written.rps_fractional = number,
            b"eps" => written.eps = number,
            b"requests_in_flight" => written.named_metrics.requests_in_flight = number,
            b"rif" => written.named_metrics.rif = number,
            b"latency_us" => written.named_metrics.latency_us = number,
            b"latency_ms" => written.named_metrics.latency_ms = number,
            _ => {}
        }
    }
    written.report()
}

/// A report as it is written; the other names of Protocol Buffers' JSON are understood as well.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    #[serde(alias = "applicationUtilization")]
    application_utilization: Option<f64>,
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: Option<f64>,
    #[serde(alias = "rpsFractional")]
    rps_fractional: Option<f64>,
    eps: Option<f64>,
    #[serde(alias = "namedMetrics")]
    named_metrics: Named,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    requests_in_flight: Option<f64>,
    rif: Option<f64>,
    latency_us: Option<f64>,
    latency_ms: Option<f64>,
}

impl Written {
    fn report(&self) -> Report {
        let sound = |number: Option<f64>| number.filter(|number| number.is_finite() && *number >= 0.0);
        // A zero in these is what a message has that does not say them.
        let said = |number: Option<f64>| sound(number).filter(|number| *number > 0.0);
        let named = &self.named_metrics;
        let latency_us = sound(named.latency_us).or(sound(named.latency_ms).map(|ms| ms * 1_000.0));
        Report {
            utilisation: said(self.application_utilization).or(said(self.cpu_utilization)),
            rate: said(self.rps_fractional),
            errors: sound(self.eps).unwrap_or(0.0),
            in_flight: sound(named.requests_in_flight).or(sound(named.rif)).map(|count| count as u32),
            latency_us: latency_us.map(|us| us as u64),
        }
    }
}

impl Report {
    fn is_something(self) -> Option<Self> {
        let says = self.utilisation.is_some() || self.rate.is_some() || self.in_flight.is_some();
        (says || self.latency_us.is_some()).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use httparse::Header;

    use super::{Report, find, parse};

    #[test]
    fn every_form_says_the_same() {
        let expected = Report {
            utilisation: Some(0.5),
            rate: Some(120.5),
            errors: 2.0,
            in_flight: Some(7),
            latency_us: Some(1_500),
        };
        for value in [
            "TEXT cpu_utilization=0.3, application_utilization=0.5,rps_fractional=120.5, eps=2,named_metrics.rif=7,named_metrics.latency_ms=1.5",
            "application_utilization:0.5,rps_fractional:1.205e2,eps:2.0,rif:7,latency_us:1500,cpu_utilization:9",
            "  eps = 2 \n application_utilization = .5 \n rps_fractional = 120.5 \n rif = 7 \n latency_us = 1500",
            r#"JSON {"cpu_utilization": 0.3, "application_utilization": 0.5, "rps_fractional": 120.5, "eps": 2, "named_metrics": {"requests_in_flight": 7, "latency_us": 1500, "kv_cache": 0.1}}"#,
            r#"{"applicationUtilization": 0.5, "rpsFractional": 120.5, "eps": 2, "namedMetrics": {"rif": 7, "latency_ms": 1.5}, "utilization": {"disk": 1}}"#,
        ] {
            assert_eq!(parse(value.as_bytes()), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_is_not_said_and_what_cannot_be_is_left_out() {
        let cpu = Report { utilisation: Some(0.3), ..Report::default() };
        assert_eq!(parse(b"TEXT cpu_utilization=0.3,application_utilization=0"), Some(cpu));
        assert_eq!(parse(b"TEXT cpu_utilization=0.3,rps_fractional=-1,eps=inf,rif=nan,mem=x"), Some(cpu));
        let huge = parse(b"TEXT rif=1e300,latency_ms=1e300").unwrap();
        assert_eq!((huge.in_flight, huge.latency_us), (Some(u32::MAX), Some(u64::MAX)));
    }

    #[test]
    fn what_says_nothing_is_no_report() {
        for value in [
            "",
            " ",
            "TEXT ",
            "TEXT",
            "JSON ",
            "JSON {}",
            "JSON {\"cpu_utilization\": \"0.3\"}",
            "{",
            "JSON []",
            "BIN AAAA",
            "cpu_utilization",
            "cpu_utilization=",
            "=0.3",
            "TEXT cpu_utilization=0",
            "eps=3",
            "\u{fffd}=1,,,",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(parse(b"cpu_utilization=\xff,\xff=0.3"), None);
    }

    #[test]
    fn a_report_is_found_by_its_field() {
        let fields = |name: &'static str, value: &'static str| {
            [Header { name: "Content-Type", value: b"text/plain" }, Header { name, value: value.as_bytes() }]
        };
        assert!(find(&fields("Endpoint-Load-Metrics", "TEXT rif=1")).is_some());
        assert!(find(&fields("endpoint-load-metrics-json", "{\"cpu_utilization\": 1}")).is_some());
        assert_eq!(find(&fields("endpoint-load-metrics-bin", "TEXT rif=1")), None);
        assert_eq!(find(&fields("endpoint-load", "TEXT rif=1")), None);
        assert_eq!(find(&[]), None);
    }
}
