//! Ours and its limit in alternation, and what a row of the table says about them.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{Process, own_cpu};

/// One side of one pair.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Events a second.
    pub rate: f64,
    /// CPU microseconds an event of the process that serves.
    pub server_us: f64,
    /// CPU microseconds an event of the process that asks.
    pub client_us: f64,
}

/// Measures one run against a process.
pub struct Meter {
    server: Duration,
    client: Duration,
    began: Instant,
}

impl Meter {
    pub fn start(server: &Process) -> Result<Self> {
        Ok(Self { server: server.cpu()?, client: own_cpu()?, began: Instant::now() })
    }

    pub fn stop(self, server: &Process, events: u64) -> Result<Sample> {
        let seconds = self.began.elapsed().as_secs_f64();
        let events = events as f64;
        let micros = |now: Duration, then: Duration| (now - then).as_secs_f64() * 1e6 / events;
        Ok(Sample {
            rate: events / seconds,
            server_us: micros(server.cpu()?, self.server),
            client_us: micros(own_cpu()?, self.client),
        })
    }
}

/// All pairs of one figure.
#[derive(Default)]
pub struct Pairs {
    ours: Vec<Sample>,
    limit: Vec<Sample>,
    /// Rates of runs of the same side that followed each other, the later by the earlier: the A/A control.
    same: Vec<f64>,
}

/// Runs both sides once to warm up, then `pairs` times, the order alternating: ours limit, limit ours, ours limit.
///
/// So every pair but the first begins with the side that the one before ended with: those two are an A/A control.
pub async fn interleave(
    name: &str,
    pairs: usize,
    mut ours: impl AsyncFnMut() -> Result<Sample>,
    mut limit: impl AsyncFnMut() -> Result<Sample>,
) -> Result<Pairs> {
    ours().await?;
    limit().await?;
    let mut all = Pairs::default();
    for pair in 0..pairs {
        let (one, other) = if pair % 2 == 0 {
            let one = ours().await?;
            (one, limit().await?)
        } else {
            let other = limit().await?;
            (ours().await?, other)
        };
        // The side that both this pair and the one before have at their border.
        let border = if pair % 2 == 1 { (&all.limit, other) } else { (&all.ours, one) };
        if let Some(before) = border.0.last() {
            all.same.push(border.1.rate / before.rate);
        }
        eprintln!(
            "{name} pair {}: {:.0} / {:.0} events/s = {:.2}; {:.2}+{:.2} / {:.2}+{:.2} us",
            pair + 1,
            one.rate,
            other.rate,
            one.rate / other.rate,
            one.server_us,
            one.client_us,
            other.server_us,
            other.client_us
        );
        all.ours.push(one);
        all.limit.push(other);
    }
    Ok(all)
}

/// A line of the table.
pub struct Row {
    pub figure: String,
    pub what: String,
    pub ours: String,
    pub limit: String,
    pub ratio: String,
    pub control: String,
    pub cpu: String,
    pub floor: String,
    pub met: Option<bool>,
}

impl Row {
    /// The heading of the table.
    pub const HEAD: &str = "| | what | ours | limit | ratio: median (min..max) | A/A control | CPU us/event: ours; limit | floor | met |\n\
        |---|---|---|---|---|---|---|---|---|";

    /// A figure without a limit beside it.
    pub fn plain(figure: &str, what: &str, ours: String) -> Self {
        let none = String::new;
        Self {
            figure: figure.to_owned(),
            what: what.to_owned(),
            ours,
            limit: none(),
            ratio: none(),
            control: none(),
            cpu: none(),
            floor: none(),
            met: None,
        }
    }

    /// With a bound in words.
    pub fn bound(mut self, floor: &str, met: bool) -> Self {
        self.floor = floor.to_owned();
        self.met = Some(met);
        self
    }

    pub fn print(&self) -> String {
        let met = self.met.map_or("", |met| if met { "yes" } else { "**no**" });
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {met} |",
            self.figure,
            self.what,
            self.ours,
            self.limit,
            self.ratio,
            self.control,
            self.cpu,
            self.floor
        )
    }
}

impl Pairs {
    /// The row of a figure that is about the CPU of the process that serves: at most so many times the other side's.
    pub fn cpu_row(&self, figure: &str, what: &str, ceiling: f64) -> Row {
        let ratios = || {
            let pairs = self.ours.iter().zip(&self.limit);
            pairs.map(|(ours, limit)| ours.server_us / limit.server_us)
        };
        Row {
            ratio: format!("CPU: {}", spread(ratios())),
            floor: format!("at most {ceiling}"),
            met: Some(median(ratios()) <= ceiling),
            ..self.row(figure, what, 0.0)
        }
    }

    /// The row of this figure; a floor of 0 is none.
    pub fn row(&self, figure: &str, what: &str, floor: f64) -> Row {
        let of = |side: &[Sample], read: fn(&Sample) -> f64| median(side.iter().map(read));
        let cpu = |side: &[Sample]| {
            let server = of(side, |sample| sample.server_us);
            format!("{server:.1} + {:.1}", of(side, |sample| sample.client_us))
        };
        let ratios =
            || self.ours.iter().zip(&self.limit).map(|(ours, limit)| ours.rate / limit.rate);
        let ratio = median(ratios());
        Row {
            figure: figure.to_owned(),
            what: what.to_owned(),
            ours: rate(of(&self.ours, |sample| sample.rate)),
            limit: rate(of(&self.limit, |sample| sample.rate)),
            ratio: spread(ratios()),
            control: spread(self.same.iter().copied()),
            cpu: format!("{}; {}", cpu(&self.ours), cpu(&self.limit)),
            floor: if floor > 0.0 { format!("{floor}") } else { String::new() },
            met: (floor > 0.0).then_some(ratio >= floor),
        }
    }
}

/// `123k/s`
pub fn rate(rate: f64) -> String {
    if rate >= 1e6 { format!("{:.2}M/s", rate / 1e6) } else { format!("{:.1}k/s", rate / 1e3) }
}

/// `median (min..max)`
pub fn spread(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<_> = values.collect();
    let Some(min) = values.iter().copied().reduce(f64::min) else { return String::new() };
    let max = values.iter().copied().fold(min, f64::max);
    format!("{:.2} ({min:.2}..{max:.2})", median(values.iter().copied()))
}

/// The middle value, of an even number the mean of the two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}
