//! Writes JSON text.

/// Encodes text as a JSON string, with quotes.
pub fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a JSON object member by member.
#[derive(Debug)]
pub struct Object {
    text: String,
}

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// Creates an object without members.
    pub fn new() -> Self {
        Self { text: "{".to_owned() }
    }

    /// Adds a member with a string.
    pub fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &string(value));
    }

    /// Adds a member with a number.
    pub fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// Adds a member whose value is JSON text.
    pub fn raw(&mut self, name: &str, json: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(&string(name));
        self.text.push(':');
        self.text.push_str(json);
    }

    /// Returns the text of the object.
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}
