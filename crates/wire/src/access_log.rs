//! One line per exchange: what it says and how it is written. `log_writer.rs` takes the lines from here.

use bascule_contract::snapshot::AccessLogFormat;
use bascule_decide::grpc::Status;
use std::io::Write;

/// What a line says about the request; kept only while the log is on.
#[derive(Debug, Default)]
pub(crate) struct LogFacts {
    /// Whom the connection speaks for: its peer, or the client of a trusted proxy. Empty for Unix sockets.
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) target: Vec<u8>,
    /// `HTTP/1.1`, for example; empty when the request could not be read.
    pub(crate) protocol: &'static str,
    pub(crate) user_agent: Option<Vec<u8>>,
    pub(crate) referer: Option<Vec<u8>>,
}

/// What a line says about the TLS of its connection; all of it was known after the handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encryption<'a> {
    /// `TLSv1.3`
    pub(crate) version: &'static str,
    /// As IANA writes it; empty for one that has no name.
    pub(crate) cipher: &'static str,
    /// The host that the client asked for; empty when it asked for none.
    pub(crate) server_name: &'a str,
    /// The protocol that was agreed on; empty when the client offered none.
    pub(crate) alpn: &'static str,
    pub(crate) resumed: bool,
    /// The subject of the client's certificate, if it has shown one.
    pub(crate) client_subject: Option<&'a str>,
}

/// All that a line says.
pub(crate) struct Line<'a> {
    pub(crate) facts: &'a LogFacts,
    /// `None`: the client spoke in the clear.
    pub(crate) encryption: Option<Encryption<'a>>,
    pub(crate) listener: &'a str,
    pub(crate) route: &'a str,
    pub(crate) pool: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) status: u16,
    /// Of a call, where it is known.
    pub(crate) grpc_status: Option<Status>,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) attempts: u32,
    pub(crate) ending: &'a str,
    pub(crate) reason: &'a str,
    /// HAProxy's split: reading the request, waiting in a queue, connecting, waiting for the response's head, all; in microseconds.
    pub(crate) timers_us: [u64; 5],
    /// Milliseconds since the Unix epoch, of the end.
    pub(crate) at_ms: u64,
}

impl Encryption<'_> {
    fn write_json(&self, out: &mut Vec<u8>) {
        for (name, value) in [
            ("tls_version", self.version),
            ("tls_cipher", self.cipher),
            ("tls_server_name", self.server_name),
            ("tls_alpn", self.alpn),
        ] {
            if !value.is_empty() {
                text(out, name, value.as_bytes());
            }
        }
        let _ = write!(out, ",\"tls_resumed\":{}", self.resumed);
        if let Some(subject) = self.client_subject {
            text(out, "client_subject", subject.as_bytes());
        }
    }
}

impl Line<'_> {
    pub(crate) fn write(&self, format: AccessLogFormat, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Json => self.write_json(out),
            AccessLogFormat::Combined => self.write_combined(out),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"time\":\"{}\"", iso_time(self.at_ms));
        let texts: [(&str, &[u8]); 10] = [
            ("client", self.facts.client.as_bytes()),
            ("listener", self.listener.as_bytes()),
            ("route", self.route.as_bytes()),
            ("pool", self.pool.as_bytes()),
            ("endpoint", self.endpoint.as_bytes()),
            ("method", self.facts.method.as_bytes()),
            ("host", self.facts.host.as_bytes()),
            ("target", &self.facts.target),
            ("protocol", self.facts.protocol.as_bytes()),
            ("ending", self.ending.as_bytes()),
        ];
        for (name, value) in texts {
            text(out, name, value);
        }
        if !self.reason.is_empty() {
            text(out, "reason", self.reason.as_bytes());
        }
        let _ = write!(
            out,
            ",\"status\":{},\"received_bytes\":{},\"sent_bytes\":{},\"attempts\":{}",
            self.status, self.received_bytes, self.sent_bytes, self.attempts
        );
        if let Some(status) = self.grpc_status {
            let _ = write!(out, ",\"grpc_status\":{}", status.number());
        }
        for (name, us) in ["request", "queue", "connect", "response", "total"].iter().zip(self.timers_us) {
            let _ = write!(out, ",\"{name}_ms\":{}.{:03}", us / 1000, us % 1000);
        }
        if let Some(encryption) = &self.encryption {
            encryption.write_json(out);
        }
        if let Some(agent) = &self.facts.user_agent {
            text(out, "user_agent", agent);
        }
        if let Some(referer) = &self.facts.referer {
            text(out, "referer", referer);
        }
        out.extend_from_slice(b"}\n");
    }

    /// Apache's combined format, then what it has no place for: endpoint, ending and HAProxy's timers in milliseconds.
    fn write_combined(&self, out: &mut Vec<u8>) {
        let _ = write!(
            out,
            "{} - - [{}] \"{} ",
            or_dash(&self.facts.client),
            clf_time(self.at_ms),
            or_dash(&self.facts.method)
        );
        escaped(out, &self.facts.target, true);
        let _ = write!(out, " {}\" {} {} \"", self.facts.protocol, self.status, self.sent_bytes);
        escaped(out, self.facts.referer.as_deref().unwrap_or(b"-"), true);
        out.extend_from_slice(b"\" \"");
        escaped(out, self.facts.user_agent.as_deref().unwrap_or(b"-"), true);
        let ms = self.timers_us.map(|us| us / 1000);
        let _ = writeln!(
            out,
            "\" {} {} {}/{}/{}/{}/{}",
            or_dash(self.endpoint),
            self.ending,
            ms[0],
            ms[1],
            ms[2],
            ms[3],
            ms[4]
        );
    }
}

/// All that a line says about a flow.
pub(crate) struct FlowLine<'a> {
    /// `TCP` or `UDP`.
    pub(crate) protocol: &'static str,
    /// Its address; empty for Unix sockets.
    pub(crate) client: &'a str,
    pub(crate) listener: &'a str,
    pub(crate) route: &'a str,
    pub(crate) pool: &'a str,
    pub(crate) endpoint: &'a str,
    /// The name that its TLS hello asked for, where that was read.
    pub(crate) server_name: &'a str,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) attempts: u32,
    pub(crate) ending: &'a str,
    pub(crate) reason: &'a str,
    /// Waiting in a queue, connecting, all; in microseconds.
    pub(crate) timers_us: [u64; 3],
    /// Milliseconds since the Unix epoch, of the end.
    pub(crate) at_ms: u64,
}

impl FlowLine<'_> {
    pub(crate) fn write(&self, format: AccessLogFormat, out: &mut Vec<u8>) {
        match format {
            AccessLogFormat::Json => self.write_json(out),
            AccessLogFormat::Combined => self.write_combined(out),
        }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{{\"time\":\"{}\"", iso_time(self.at_ms));
        let texts = [
            ("client", self.client),
            ("listener", self.listener),
            ("route", self.route),
            ("pool", self.pool),
            ("endpoint", self.endpoint),
            ("server_name", self.server_name),
            ("ending", self.ending),
            ("reason", self.reason),
        ];
        for (name, value) in texts {
            if !matches!((name, value), ("server_name" | "reason", "")) {
                text(out, name, value.as_bytes());
            }
        }
        let _ = write!(
            out,
            ",\"received_bytes\":{},\"sent_bytes\":{},\"attempts\":{}",
            self.received_bytes, self.sent_bytes, self.attempts
        );
        for (name, us) in ["queue", "connect", "total"].iter().zip(self.timers_us) {
            let _ = write!(out, ",\"{name}_ms\":{}.{:03}", us / 1000, us % 1000);
        }
        out.extend_from_slice(b"}\n");
    }

    /// What a line of an exchange has, with the flow in the place of the request.
    fn write_combined(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "{} - - [{}] \"FLOW ", or_dash(self.client), clf_time(self.at_ms));
        escaped(out, or_dash(self.server_name).as_bytes(), true);
        let [queue, connect, total] = self.timers_us.map(|us| us / 1000);
        let _ = writeln!(
            out,
            " {}\" 0 {} \"-\" \"-\" {} {} 0/{queue}/{connect}/0/{total}",
            self.protocol,
            self.sent_bytes,
            or_dash(self.endpoint),
            self.ending,
        );
    }
}

fn or_dash(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}

fn text(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let _ = write!(out, ",\"{name}\":\"");
    escaped(out, value, false);
    out.push(b'"');
}

/// Quotes, backslashes, control characters and bytes that are not UTF-8 are escaped: no value can end its line or its field.
fn escaped(out: &mut Vec<u8>, value: &[u8], combined: bool) {
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
                _ if character.is_control() && combined => {
                    drop(write!(out, "\\x{:02X}", u32::from(character)))
                }
                _ if character.is_control() => drop(write!(out, "\\u{:04x}", u32::from(character))),
                _ => drop(write!(out, "{character}")),
            }
        }
        for byte in chunk.invalid() {
            let _ = if combined { write!(out, "\\x{byte:02X}") } else { write!(out, "\\u00{byte:02x}") };
        }
    }
}

/// Year, month, day, hour, minute, second of a moment (UTC), by the civil calendar.
fn civil(at_ms: u64) -> (u64, usize, u64, u64, u64, u64) {
    let seconds = at_ms / 1000;
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (
        year,
        month as usize,
        day_of_year - (153 * shifted + 2) / 5 + 1,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    )
}

fn iso_time(at_ms: u64) -> String {
    let (year, month, day, hour, minute, second) = civil(at_ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", at_ms % 1000)
}

fn clf_time(at_ms: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second) = civil(at_ms);
    format!("{day:02}/{}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month - 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use bascule_decide::grpc::Code;

    fn line(facts: &LogFacts, format: AccessLogFormat) -> String {
        written(facts, None, format)
    }

    fn written(facts: &LogFacts, encryption: Option<Encryption<'_>>, format: AccessLogFormat) -> String {
        let line = Line {
            facts,
            encryption,
            listener: "web",
            route: "web/0",
            pool: "api",
            endpoint: "10.0.0.1:80",
            status: 200,
            grpc_status: Some(Code::Unavailable.into()),
            received_bytes: 90,
            sent_bytes: 1100,
            attempts: 1,
            ending: "ok",
            reason: "",
            timers_us: [100, 0, 250, 12_345, 12_700],
            at_ms: 1_795_507_200_042,
        };
        let mut out = Vec::new();
        line.write(format, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    fn facts() -> LogFacts {
        LogFacts {
            client: "192.0.2.7".to_owned(),
            method: "GET".to_owned(),
            host: "a.example".to_owned(),
            target: b"/x?y".to_vec(),
            protocol: "HTTP/1.1",
            user_agent: Some(b"curl\"\n\x1b\xff".to_vec()),
            referer: None,
        }
    }

    #[test]
    fn a_combined_line_is_what_apache_writes_and_then_the_endpoint_and_timers() {
        assert_eq!(
            line(&facts(), AccessLogFormat::Combined),
            "192.0.2.7 - - [24/Nov/2026:08:00:00 +0000] \"GET /x?y HTTP/1.1\" 200 1100 \"-\" \"curl\\\"\\x0A\\x1B\\xFF\" 10.0.0.1:80 ok 0/0/0/12/12\n"
        );
    }

    #[test]
    fn no_value_breaks_out_of_its_json_line() {
        let line = line(&facts(), AccessLogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(
            line.starts_with("{\"time\":\"2026-11-24T08:00:00.042Z\",\"client\":\"192.0.2.7\""),
            "{line}"
        );
        assert!(line.contains("\"user_agent\":\"curl\\\"\\u000a\\u001b\\u00ff\""), "{line}");
        assert!(line.contains("\"response_ms\":12.345"), "{line}");
        assert!(line.contains("\"grpc_status\":14,"), "{line}");
        assert!(!line.contains("tls"), "{line}");
    }

    #[test]
    fn what_clients_say_in_a_handshake_stays_within_its_field() {
        let hostile = Encryption {
            version: "TLSv1.3",
            cipher: "TLS_AES_128_GCM_SHA256",
            server_name: "a\",\"status\":999,\n",
            alpn: "",
            resumed: true,
            client_subject: Some("CN=a\\\"\r\n\u{85}é"),
        };
        let line = written(&facts(), Some(hostile), AccessLogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let expected = concat!(
            r#","tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","#,
            r#""tls_server_name":"a\",\"status\":999,\u000a","tls_resumed":true,"#,
            r#""client_subject":"CN=a\\\"\u000d\u000a\u0085é","#
        );
        assert!(line.contains(expected), "{line}");
    }
}
