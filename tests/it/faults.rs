//! Crashes, power cuts, corrupt files, abusive clients, drain.

pub mod abuse;
pub mod checker;
pub mod corruption;
pub mod drain;
pub mod kill_loop;
pub mod power_cut;
pub mod torture;
