//! Flags that force a change although consumers are left behind. The registry keeps the reason.

use clap::Args;

/// Whether a change is forced although consumers are left behind.
#[derive(Debug, Clone, Args)]
pub struct ForceArgs {
    /// Proceed even if consumers would be left behind; requires --reason
    #[arg(long, requires = "reason")]
    pub force: bool,
    /// Why consumers are left behind; recorded with the change, and shown by tidings schema watch
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

impl ForceArgs {
    /// The reason; empty unless forced.
    pub fn reason(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }
}
