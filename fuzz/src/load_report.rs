//! Laws of load reports: whatever an endpoint sends, what is understood can be reckoned with, and is the same in every form.

use bascule_decide::load_report::{Report, find, parse};
use httparse::Header;

use crate::LONGEST;

/// Reads `bytes` as a report, and what was understood in every other form again.
pub fn load_report(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let read = parse(bytes);
    let fields = [Header { name: "endpoint-load-metrics", value: bytes }];
    assert_eq!(find(&fields), read, "a field is read like a value");
    let Some(report) = read else { return };
    assert!(report.utilisation.is_none_or(|it| it > 0.0 && it.is_finite()));
    assert!(report.rate.is_none_or(|it| it > 0.0 && it.is_finite()));
    assert!(report.errors >= 0.0 && report.errors.is_finite());
    let (list, json) = written(&report);
    for form in [format!("TEXT {list}"), list.clone(), format!("JSON {{{json}}}"), format!("{{{json}}}")] {
        let again = parse(form.as_bytes()).unwrap_or_else(|| panic!("{form} is a report"));
        assert!(is_same(&again, &report), "{form}: {again:?}, not {report:?}");
    }
}

/// JSON's numbers are read to their last bit but one.
fn is_same(one: &Report, other: &Report) -> bool {
    let close = |one: f64, other: f64| (one - other).abs() <= other.abs() * 1e-15;
    let both = |one: Option<f64>, other: Option<f64>| match (one, other) {
        (Some(one), Some(other)) => close(one, other),
        (one, other) => one == other,
    };
    both(one.utilisation, other.utilisation)
        && both(one.rate, other.rate)
        && close(one.errors, other.errors)
        && (one.in_flight, one.latency_us) == (other.in_flight, other.latency_us)
}

/// The same report as a list, and as the fields of a JSON object.
fn written(report: &Report) -> (String, String) {
    let (mut list, mut json) =
        (vec![format!("eps={}", report.errors)], vec![format!("\"eps\":{:e}", report.errors)]);
    let mut named = Vec::new();
    if let Some(busy) = report.utilisation {
        list.push(format!("application_utilization={busy}"));
        json.push(format!("\"application_utilization\":{busy:e}"));
    }
    if let Some(rate) = report.rate {
        list.push(format!("rps_fractional:{rate}"));
        json.push(format!("\"rps_fractional\":{rate:e}"));
    }
    if let Some(count) = report.in_flight {
        list.push(format!("named_metrics.rif={count}"));
        named.push(format!("\"requests_in_flight\":{count}"));
    }
    if let Some(us) = report.latency_us {
        list.push(format!("latency_us={us}"));
        named.push(format!("\"latency_us\":{us}"));
    }
    json.push(format!("\"named_metrics\":{{{}}}", named.join(",")));
    (list.join(", "), json.join(","))
}
