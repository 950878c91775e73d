//! JSON Schema of every message, from the Rust types.

use crate::{catalog, event, explain, mark, receipt, settings, snapshot, stats, tls};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

/// An object with one schema per message, by the message's name.
pub fn every_message() -> Value {
    let mut messages = Map::new();
    messages.insert("Settings".into(), schema_of::<settings::Settings>());
    messages.insert("Snapshot".into(), schema_of::<snapshot::Snapshot>());
    messages.insert("Material".into(), schema_of::<tls::Material>());
    messages.insert("Mark".into(), schema_of::<mark::Mark>());
    messages.insert("Receipt".into(), schema_of::<receipt::Receipt>());
    messages.insert("Question".into(), schema_of::<explain::Question>());
    messages.insert("Explanation".into(), schema_of::<explain::Explanation>());
    messages.insert("Stats".into(), schema_of::<stats::Stats>());
    messages.insert("Event".into(), schema_of::<event::Event>());
    messages.insert("Catalog".into(), schema_of::<catalog::Catalog>());
    Value::Object(messages)
}

fn schema_of<T: JsonSchema>() -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    generator.into_root_schema_for::<T>().to_value()
}
