//! Conversion: tables of values, golden examples, and properties over objects that the schemas allow.

mod definitions;
mod durations;
mod examples;
mod generate;
mod keeping;
mod properties;
mod reviews;
