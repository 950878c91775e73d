//! What can be configured, described by the registries themselves.

use bascule_contract::catalog::{Catalog, Entry};

use crate::balance::registry::ALGORITHMS;
use crate::route::matcher::MATCHERS;

/// All algorithms and matchers, in the order of their registries.
pub fn catalog() -> Catalog {
    Catalog {
        algorithms: ALGORITHMS.iter().map(|it| entry(it.name, it.summary, it.advice, it.options)).collect(),
        matchers: MATCHERS.iter().map(|it| entry(it.name, it.summary, it.advice, it.options)).collect(),
    }
}

fn entry(name: &str, summary: &str, advice: &str, options: fn() -> serde_json::Value) -> Entry {
    Entry { name: name.into(), summary: summary.into(), advice: advice.into(), options: options() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bascule_contract::catalog::Entry;
    use bascule_contract::codec;

    use super::catalog;

    fn all() -> Vec<Entry> {
        let catalog = catalog();
        catalog.algorithms.into_iter().chain(catalog.matchers).collect()
    }

    #[test]
    fn every_entry_says_what_it_is_and_when_to_use_it() {
        for entry in all() {
            assert!(entry.summary.ends_with('.') && entry.summary.len() > 20, "{}", entry.name);
            assert!(entry.advice.ends_with('.') && entry.advice.len() > 60, "{}", entry.name);
        }
    }

    #[test]
    fn every_schema_describes_each_option_and_refuses_unknown_ones() {
        for entry in all() {
            assert_eq!(entry.options["type"], "object", "{}", entry.name);
            assert_eq!(entry.options["additionalProperties"], false, "{}", entry.name);
            for (option, schema) in entry.options["properties"].as_object().unwrap() {
                assert!(schema["description"].is_string(), "{}.{option}", entry.name);
            }
        }
    }

    #[test]
    fn names_are_unique_within_their_registry() {
        let catalog = catalog();
        for entries in [&catalog.algorithms, &catalog.matchers] {
            let names: BTreeSet<_> = entries.iter().map(|entry| &entry.name).collect();
            assert_eq!(names.len(), entries.len());
        }
    }

    #[test]
    fn the_catalogue_crosses_the_boundary_unchanged() {
        let catalog = catalog();
        assert_eq!(codec::decode(&codec::encode(&catalog)), Ok(catalog));
    }
}
