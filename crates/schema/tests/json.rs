//! JSON Schema: golden cases, generated pairs, hostile input, and the webhooks of GitHub.

#[path = "json/conversion.rs"]
mod conversion;
#[path = "json/counterexamples.rs"]
mod counterexamples;
#[path = "json/dialects.rs"]
mod dialects;
#[path = "clients/environment.rs"]
mod environment;
#[path = "json/generate.rs"]
mod generate;
#[path = "json/github.rs"]
mod github;
#[path = "json/golden.rs"]
mod golden;
#[path = "json/hostile.rs"]
mod hostile;
#[path = "json/numbers.rs"]
mod numbers;
#[path = "json/pairs.rs"]
mod pairs;
#[path = "json/parse.rs"]
mod parse;
#[path = "json/patterns.rs"]
mod patterns;
#[path = "json/python.rs"]
mod python;
