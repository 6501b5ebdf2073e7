//! Going on although consumers are left behind: said with the reason, which the registry keeps.

use clap::Args;

/// Whether a change goes on although consumers are left behind.
#[derive(Debug, Clone, Args)]
pub struct ForceArgs {
    /// Go on although consumers would be left behind; it takes a --reason
    #[arg(long, requires = "reason")]
    pub force: bool,
    /// Why consumers are left behind; kept with the change, and shown by tidings schema watch
    #[arg(long, value_name = "TEXT", requires = "force")]
    reason: Option<String>,
}

impl ForceArgs {
    /// The reason; empty where nothing is forced.
    pub fn reason(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }
}
