//! A recorded event as JSON: its topic, offset and position, and its CloudEvents document.

use tidings::{cloudevents, json::Object, notation::show_time, proto::events::v1::RecordedEvent};

/// The event as one line of JSON.
pub fn recorded(recorded: &RecordedEvent) -> String {
    let mut object = Object::new();
    object.text("topic", &recorded.topic);
    object.number("offset", recorded.offset);
    object.number("position", recorded.position);
    if recorded.key_version > 0 {
        object.text("key", &recorded.key);
        object.number("key_version", recorded.key_version);
    }
    object.text("append_time", &show_time(recorded.append_time.as_ref()));
    object.text("cursor", &recorded.cursor);
    if let Some(event) = &recorded.event {
        object.raw("event", &cloudevents::document(event, &[]));
    }
    object.finish()
}
