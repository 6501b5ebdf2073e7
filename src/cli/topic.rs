//! `tidings topic`.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, Subcommand, ValueEnum};
use tidings::{
    json::{Object, string},
    notation::{StartPoint, parse_number, show_time},
    proto::events::v1::{
        CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListTopicsRequest, Retention,
        SchemaEnforcement, Topic, TrimTopicRequest, UpdateTopicRequest,
    },
};
use tonic::Status;

use super::{
    client::ServerArgs,
    failure::Failure,
    positions::{parse_pair, trim_position},
    printer::{printable, table},
};

const PAGE_SIZE: i32 = 1_000;

/// Create, show, change and delete topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create(CreateArgs),
    /// Show a topic
    Get(GetArgs),
    /// List topics
    List(ListArgs),
    /// Change some of a topic's settings
    Update(UpdateArgs),
    /// Delete a topic with all its events
    Delete(DeleteArgs),
    /// Remove the oldest events of a topic
    Trim(TrimArgs),
}

/// Create a topic.
#[derive(Debug, Args)]
#[command(after_help = "\
Names are segments of letters, digits, - and _, with dots between them.

Examples:
  tidings topic create orders
  tidings topic create logs --max-age 7d --max-bytes 10GiB
  tidings topic create shop.orders --allowed-type 'shop.*' --label team=checkout")]
pub struct CreateArgs {
    /// Name of the topic
    name: String,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    show: ShowArgs,
}

/// Show a topic.
#[derive(Debug, Args)]
pub struct GetArgs {
    /// Name of the topic
    name: String,
    #[command(flatten)]
    show: ShowArgs,
}

/// List topics.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings topic list
  tidings topic list 'shop.**' | jq -r .name")]
pub struct ListArgs {
    /// Only topics that match: * is one segment, ** one or more at the end
    pattern: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Change some of a topic's settings; the others stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings topic update logs --max-age 30d
  tidings topic update logs --max-bytes none --remove-label team")]
pub struct UpdateArgs {
    /// Name of the topic
    name: String,
    #[command(flatten)]
    settings: SettingArgs,
    /// Remove a label; repeatable
    #[arg(long, value_name = "NAME")]
    remove_label: Vec<String>,
    /// Allow every event type again
    #[arg(long, conflicts_with = "allowed_types")]
    allow_all_types: bool,
    /// Only if the topic still has this etag
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    show: ShowArgs,
}

/// Delete a topic with all its events.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the topic
    name: String,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// Only if the topic still has this etag
    #[arg(long)]
    etag: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Remove the oldest events of a topic.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidings topic trim logs --before 30d --dry-run
  tidings topic trim logs --before 120000")]
pub struct TrimArgs {
    /// Name of the topic
    name: String,
    /// First event to keep: an offset, the last N (-10), a time, an age (30d), or latest for none
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true, value_parser = StartPoint::parse)]
    before: StartPoint,
    /// Report the number of events, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    show: ShowArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Output format; default: a table on a terminal, JSON lines in a pipe
    #[arg(short, long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// One JSON object per topic
    Json,
}

impl ShowArgs {
    fn json(&self) -> bool {
        match self.output {
            Some(output) => output == Output::Json,
            None => !io::stdout().is_terminal(),
        }
    }
}

/// Settings of a topic.
#[derive(Debug, Default, Args)]
struct SettingArgs {
    /// Remove events older than this (7d), or none
    #[arg(long, value_name = "DURATION", value_parser = parse_age)]
    max_age: Option<Limit<Duration>>,
    /// Remove the oldest events above this size (10GiB), or none
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_bytes: Option<Limit<u64>>,
    /// Remove the oldest events above this count, or none
    #[arg(long, value_name = "N", value_parser = parse_count)]
    max_events: Option<Limit<u64>>,
    /// Largest event, if it is less than the server's limit, or none
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_event_bytes: Option<Limit<u64>>,
    /// Description of the topic
    #[arg(long)]
    description: Option<String>,
    /// A label; repeatable
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_pair)]
    labels: Vec<(String, String)>,
    /// Whether payloads are checked against schemas
    #[arg(long, value_enum)]
    schema_enforcement: Option<Enforcement>,
    /// Event types that may be published; prefixes end in *; repeatable
    #[arg(long = "allowed-type", value_name = "TYPE")]
    allowed_types: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Enforcement {
    /// Check types that have a schema, accept the others
    IfRegistered,
    /// Accept only types that have a schema
    Required,
    /// Check nothing
    Off,
}

/// A limit, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit<T>(Option<T>);

fn parse_limit<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Limit<T>, String> {
    if text == "none" { Ok(Limit(None)) } else { read(text).map(|value| Limit(Some(value))) }
}

fn parse_age(text: &str) -> Result<Limit<Duration>, String> {
    parse_limit(text, |text| {
        humantime::parse_duration(text)
            .ok()
            .filter(|age| !age.is_zero())
            .ok_or_else(|| "expected a duration such as 7d or 12h, or none".to_owned())
    })
}

fn parse_size(text: &str) -> Result<Limit<u64>, String> {
    parse_limit(text, |text| {
        text.parse::<ByteSize>()
            .map(|size| size.as_u64())
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| "expected a size such as 10GiB, or none".to_owned())
    })
}

fn parse_count(text: &str) -> Result<Limit<u64>, String> {
    parse_limit(text, |text| {
        parse_number(text)
            .filter(|count| *count > 0)
            .ok_or_else(|| "expected a number of events, or none".to_owned())
    })
}

impl SettingArgs {
    /// Applies the flags to the topic, and returns the paths of the changed fields.
    fn apply(&self, topic: &mut Topic) -> Result<Vec<&'static str>, Failure> {
        let mut changed = Vec::new();
        if self.max_age.is_some() || self.max_bytes.is_some() || self.max_events.is_some() {
            let retention = topic.retention.get_or_insert_with(Retention::default);
            if let Some(Limit(age)) = self.max_age {
                retention.max_age = match age.map(prost_types::Duration::try_from).transpose() {
                    Ok(age) => age,
                    Err(_) => return Err(Failure::usage("--max-age is too long")),
                };
            }
            if let Some(Limit(bytes)) = self.max_bytes {
                retention.max_bytes = bytes.unwrap_or_default();
            }
            if let Some(Limit(events)) = self.max_events {
                retention.max_events = events.unwrap_or_default();
            }
            changed.push("retention");
        }
        if let Some(Limit(bytes)) = self.max_event_bytes {
            topic.max_event_bytes = u32::try_from(bytes.unwrap_or_default())
                .map_err(|_| Failure::usage("--max-event-bytes is too large"))?;
            changed.push("max_event_bytes");
        }
        if let Some(description) = &self.description {
            topic.description.clone_from(description);
            changed.push("description");
        }
        if !self.labels.is_empty() {
            topic.labels.extend(self.labels.iter().cloned());
            changed.push("labels");
        }
        if let Some(enforcement) = self.schema_enforcement {
            topic.schema_enforcement = match enforcement {
                Enforcement::IfRegistered => SchemaEnforcement::IfRegistered,
                Enforcement::Required => SchemaEnforcement::Required,
                Enforcement::Off => SchemaEnforcement::Off,
            }
            .into();
            changed.push("schema_enforcement");
        }
        if !self.allowed_types.is_empty() {
            topic.allowed_types.clone_from(&self.allowed_types);
            changed.push("allowed_types");
        }
        Ok(changed)
    }
}

/// Runs the command.
pub async fn run(command: TopicCommand) -> anyhow::Result<()> {
    match command {
        TopicCommand::Create(args) => create(args).await,
        TopicCommand::Get(args) => get(args).await,
        TopicCommand::List(args) => list(args).await,
        TopicCommand::Update(args) => update(args).await,
        TopicCommand::Delete(args) => delete(args).await,
        TopicCommand::Trim(args) => trim(args).await,
    }
}

/// Converts a status into the failure of an operation.
fn failed(operation: &str, name: &str) -> impl Fn(Status) -> Failure {
    let operation = format!("{operation} {name}");
    move |status| Failure::from_status(&operation, &status)
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    let mut topic = Topic { name: args.name.clone(), ..Topic::default() };
    args.settings.apply(&mut topic)?;
    let server = &args.show.server;
    let request = server.request(CreateTopicRequest { topic: Some(topic) });
    let response = server.topics().await?.create_topic(request).await;
    let response = response.map_err(failed("create topic", &args.name))?.into_inner();
    show_topic(&args.show, &response.topic.unwrap_or_default())
}

async fn fetch(server: &ServerArgs, name: &str) -> anyhow::Result<Topic> {
    let request = server.request(GetTopicRequest { name: name.to_owned() });
    let response = server.topics().await?.get_topic(request).await;
    let response = response.map_err(failed("get topic", name))?.into_inner();
    Ok(response.topic.unwrap_or_default())
}

async fn get(args: GetArgs) -> anyhow::Result<()> {
    let topic = fetch(&args.show.server, &args.name).await?;
    show_topic(&args.show, &topic)
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    let pattern = args.pattern.clone().unwrap_or_default();
    let mut client = server.topics().await?;
    let mut topics = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = server.request(ListTopicsRequest {
            page_size: PAGE_SIZE,
            page_token,
            pattern: pattern.clone(),
        });
        let page = client.list_topics(request).await;
        let page = page.map_err(failed("list topics", &pattern))?.into_inner();
        topics.extend(page.topics);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let mut out = io::stdout().lock();
    if args.show.json() {
        for topic in &topics {
            writeln!(out, "{}", json(topic))?;
        }
    } else if topics.is_empty() {
        writeln!(io::stderr(), "note: no topics; tidings topic create NAME creates one")?;
    } else {
        writeln!(
            out,
            "{}",
            table(
                ["TOPIC", "EVENTS", "SIZE", "RETENTION", "LAST EVENT", "DESCRIPTION"],
                topics.iter().map(row)
            )
        )?;
    }
    Ok(())
}

async fn update(args: UpdateArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    // Unspecified settings stay: the topic is read, changed, and written back only if it has not
    // changed in between.
    let mut topic = fetch(server, &args.name).await?;
    let mut paths = args.settings.apply(&mut topic)?;
    for name in &args.remove_label {
        topic.labels.remove(name);
        paths.push("labels");
    }
    if args.allow_all_types {
        topic.allowed_types.clear();
        paths.push("allowed_types");
    }
    if let Some(etag) = args.etag.clone() {
        topic.etag = etag;
    }
    paths.sort_unstable();
    paths.dedup();
    if paths.is_empty() {
        return Err(Failure::usage("nothing to change")
            .with_remedy("a flag such as --max-age 7d; tidings topic update --help lists them")
            .into());
    }
    // Output fields, not settings.
    topic.stats = None;
    topic.create_time = None;
    let paths = paths.into_iter().map(str::to_owned).collect();
    let request = server.request(UpdateTopicRequest {
        topic: Some(topic),
        update_mask: Some(prost_types::FieldMask { paths }),
    });
    let response = server.topics().await?.update_topic(request).await;
    let response = response.map_err(failed("update topic", &args.name))?.into_inner();
    show_topic(&args.show, &response.topic.unwrap_or_default())
}

async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    if !args.yes {
        let topic = fetch(&args.server, &args.name).await?;
        confirm(&format!("delete topic {} with {}?", args.name, events(&topic)))?;
    }
    let request = args.server.request(DeleteTopicRequest {
        name: args.name.clone(),
        etag: args.etag.clone().unwrap_or_default(),
    });
    let response = args.server.topics().await?.delete_topic(request).await;
    response.map_err(failed("delete topic", &args.name))?;
    writeln!(io::stderr(), "deleted {}", printable(&args.name))?;
    Ok(())
}

/// Asks for confirmation on the terminal; without a terminal, deletion requires a flag.
pub fn confirm(question: &str) -> anyhow::Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("stdin is not a terminal, and deletion needs confirmation")
            .with_remedy("--yes")
            .into());
    }
    write!(io::stderr(), "{} [y/N] ", printable(question))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new("not deleted").with_remedy("y, or --yes").into())
    }
}

async fn trim(args: TrimArgs) -> anyhow::Result<()> {
    let server = &args.show.server;
    let request = server.request(TrimTopicRequest {
        name: args.name.clone(),
        before: Some(trim_position(&args.before)),
        validate_only: args.dry_run,
    });
    let response = server.topics().await?.trim_topic(request).await;
    let response = response.map_err(failed("trim topic", &args.name))?.into_inner();
    let mut out = io::stdout().lock();
    if args.show.json() {
        let mut object = Object::new();
        object.text("topic", &args.name);
        object.number("events_removed", response.events_removed);
        object.number("first_offset", response.first_offset);
        object.raw("dry_run", if args.dry_run { "true" } else { "false" });
        writeln!(out, "{}", object.finish())?;
    } else {
        let verb = if args.dry_run { "would remove" } else { "removed" };
        writeln!(
            out,
            "{verb} {} events of {}; the first event kept is at offset {}",
            response.events_removed, args.name, response.first_offset
        )?;
    }
    Ok(())
}

fn show_topic(show: &ShowArgs, topic: &Topic) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if show.json() {
        writeln!(out, "{}", json(topic))?;
        return Ok(());
    }
    let stats = topic.stats.unwrap_or_default();
    let labels: Vec<_> =
        topic.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let rows = [
        ("name", topic.name.clone()),
        ("description", topic.description.clone()),
        ("events", events(topic)),
        ("offsets", format!("{} to {}", stats.first_offset, stats.next_offset)),
        ("size", size(stats.bytes)),
        ("retention", describe_retention(topic)),
        ("first event", show_time(stats.first_append_time.as_ref())),
        ("last event", show_time(stats.last_append_time.as_ref())),
        ("created", show_time(topic.create_time.as_ref())),
        (
            "largest event",
            if topic.max_event_bytes == 0 {
                String::new()
            } else {
                size(topic.max_event_bytes.into())
            },
        ),
        ("schemas", enforcement(topic).unwrap_or_default().to_owned()),
        ("types", topic.allowed_types.join(", ")),
        ("labels", labels.join(", ")),
        ("etag", topic.etag.clone()),
    ];
    for (name, value) in rows {
        if !value.is_empty() {
            writeln!(out, "{name:<14} {}", printable(&value))?;
        }
    }
    Ok(())
}

fn row(topic: &Topic) -> [String; 6] {
    let stats = topic.stats.unwrap_or_default();
    [
        topic.name.clone(),
        event_count(topic).to_string(),
        size(stats.bytes),
        describe_retention(topic),
        show_time(stats.last_append_time.as_ref()),
        topic.description.clone(),
    ]
}

fn event_count(topic: &Topic) -> u64 {
    let stats = topic.stats.unwrap_or_default();
    stats.next_offset.saturating_sub(stats.first_offset)
}

fn events(topic: &Topic) -> String {
    match event_count(topic) {
        1 => "1 event".to_owned(),
        events => format!("{events} events"),
    }
}

fn size(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}

fn describe_retention(topic: &Topic) -> String {
    let retention = topic.retention.unwrap_or_default();
    let mut limits = Vec::new();
    if let Some(age) = retention.max_age.and_then(|age| Duration::try_from(age).ok()) {
        limits.push(humantime::format_duration(age).to_string());
    }
    if retention.max_bytes > 0 {
        limits.push(size(retention.max_bytes));
    }
    if retention.max_events > 0 {
        limits.push(format!("{} events", retention.max_events));
    }
    if limits.is_empty() { "unlimited".to_owned() } else { limits.join(", ") }
}

fn enforcement(topic: &Topic) -> Option<&'static str> {
    match topic.schema_enforcement() {
        SchemaEnforcement::Unspecified => None,
        SchemaEnforcement::IfRegistered => Some("if-registered"),
        SchemaEnforcement::Required => Some("required"),
        SchemaEnforcement::Off => Some("off"),
    }
}

fn json(topic: &Topic) -> String {
    let mut object = Object::new();
    object.text("name", &topic.name);
    let retention = topic.retention.unwrap_or_default();
    let mut limits = Object::new();
    if let Some(age) = retention.max_age.and_then(|age| Duration::try_from(age).ok()) {
        limits.text("max_age", &humantime::format_duration(age).to_string());
    }
    for (name, limit) in [("max_bytes", retention.max_bytes), ("max_events", retention.max_events)]
    {
        if limit > 0 {
            limits.number(name, limit);
        }
    }
    object.raw("retention", &limits.finish());
    if let Some(enforcement) = enforcement(topic) {
        object.text("schema_enforcement", enforcement);
    }
    let types: Vec<_> = topic.allowed_types.iter().map(|kind| string(kind)).collect();
    object.raw("allowed_types", &format!("[{}]", types.join(",")));
    if topic.max_event_bytes > 0 {
        object.number("max_event_bytes", topic.max_event_bytes.into());
    }
    object.text("description", &topic.description);
    let mut labels = Object::new();
    for (name, value) in &topic.labels {
        labels.text(name, value);
    }
    object.raw("labels", &labels.finish());
    object.text("etag", &topic.etag);
    object.text("create_time", &show_time(topic.create_time.as_ref()));
    if let Some(stats) = &topic.stats {
        let mut object_stats = Object::new();
        object_stats.number("first_offset", stats.first_offset);
        object_stats.number("next_offset", stats.next_offset);
        object_stats.number("bytes", stats.bytes);
        for (name, time) in [
            ("first_append_time", stats.first_append_time.as_ref()),
            ("last_append_time", stats.last_append_time.as_ref()),
        ] {
            if time.is_some() {
                object_stats.text(name, &show_time(time));
            }
        }
        object.raw("stats", &object_stats.finish());
    }
    object.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_or_removed() {
        assert_eq!(parse_age("7d"), Ok(Limit(Some(Duration::from_secs(7 * 86_400)))));
        assert_eq!(parse_size("10GiB"), Ok(Limit(Some(10 << 30))));
        assert_eq!(parse_count("none"), Ok(Limit(None)));
        assert!(parse_age("0s").is_err());
        assert!(parse_size("much").is_err());
    }

    #[test]
    fn only_specified_settings_change() {
        let mut topic = Topic {
            retention: Some(Retention { max_bytes: 5, ..Retention::default() }),
            ..Topic::default()
        };
        topic.labels.insert("a".to_owned(), "1".to_owned());
        let settings = SettingArgs {
            max_age: Some(Limit(Some(Duration::from_secs(60)))),
            labels: vec![("b".to_owned(), "2".to_owned())],
            ..SettingArgs::default()
        };
        assert_eq!(settings.apply(&mut topic).unwrap(), ["retention", "labels"]);
        assert_eq!(describe_retention(&topic), "1m, 5 B");
        assert_eq!(topic.labels.len(), 2);
    }
}
