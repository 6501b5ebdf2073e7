//! Runs the server and its limit alternately, and computes the rows of the table.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{Process, own_cpu};

/// A run of one side of a pair.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Events per second.
    pub rate: f64,
    /// CPU microseconds per event of the server process.
    pub server_us: f64,
    /// CPU microseconds per event of the client process.
    pub client_us: f64,
}

/// Measures a run against a process.
pub struct Meter {
    server: Duration,
    client: Duration,
    start: Instant,
}

impl Meter {
    pub fn start(server: &Process) -> Result<Self> {
        Ok(Self { server: server.cpu()?, client: own_cpu()?, start: Instant::now() })
    }

    pub fn stop(self, server: &Process, events: u64) -> Result<Sample> {
        let seconds = self.start.elapsed().as_secs_f64();
        let events = events as f64;
        let micros = |end: Duration, start: Duration| (end - start).as_secs_f64() * 1e6 / events;
        Ok(Sample {
            rate: events / seconds,
            server_us: micros(server.cpu()?, self.server),
            client_us: micros(own_cpu()?, self.client),
        })
    }
}

/// All pairs of a figure.
#[derive(Default)]
pub struct Pairs {
    ours: Vec<Sample>,
    limit: Vec<Sample>,
    /// Ratios of consecutive runs of the same side, later by earlier: the A/A control.
    control_ratios: Vec<f64>,
}

/// Runs both sides once to warm up, then `pairs` times in alternating order: ours limit, limit
/// ours, ours limit.
///
/// Every pair but the first begins with the side that ended the previous one: those two runs are an
/// A/A control.
pub async fn interleave(
    name: &str,
    pairs: usize,
    mut ours: impl AsyncFnMut() -> Result<Sample>,
    mut limit: impl AsyncFnMut() -> Result<Sample>,
) -> Result<Pairs> {
    ours().await?;
    limit().await?;
    let mut collected = Pairs::default();
    for pair in 0..pairs {
        let (ours_sample, limit_sample) = if pair % 2 == 0 {
            let sample = ours().await?;
            (sample, limit().await?)
        } else {
            let sample = limit().await?;
            (ours().await?, sample)
        };
        // The side that ended the previous pair and began this one.
        let (side, sample) = if pair % 2 == 1 {
            (&collected.limit, limit_sample)
        } else {
            (&collected.ours, ours_sample)
        };
        if let Some(previous) = side.last() {
            collected.control_ratios.push(sample.rate / previous.rate);
        }
        eprintln!(
            "{name} pair {}: {:.0} / {:.0} events/s = {:.2}; {:.2}+{:.2} / {:.2}+{:.2} us",
            pair + 1,
            ours_sample.rate,
            limit_sample.rate,
            ours_sample.rate / limit_sample.rate,
            ours_sample.server_us,
            ours_sample.client_us,
            limit_sample.server_us,
            limit_sample.client_us
        );
        collected.ours.push(ours_sample);
        collected.limit.push(limit_sample);
    }
    Ok(collected)
}

/// A row of the table.
pub struct Row {
    pub figure: String,
    pub description: String,
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
    pub const HEAD: &str = "| | measured | ours | limit | ratio: median (min..max) | A/A control | CPU us/event: ours; limit | floor | met |\n\
        |---|---|---|---|---|---|---|---|---|";

    /// A figure without a limit.
    pub fn plain(figure: &str, description: &str, ours: String) -> Self {
        let none = String::new;
        Self {
            figure: figure.to_owned(),
            description: description.to_owned(),
            ours,
            limit: none(),
            ratio: none(),
            control: none(),
            cpu: none(),
            floor: none(),
            met: None,
        }
    }

    /// Adds a bound in words.
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
            self.description,
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
    /// The row of a figure with a ceiling on the CPU of the server, as a multiple of the other
    /// side's.
    pub fn cpu_row(&self, figure: &str, description: &str, ceiling: f64) -> Row {
        let ratios = || {
            let pairs = self.ours.iter().zip(&self.limit);
            pairs.map(|(ours, limit)| ours.server_us / limit.server_us)
        };
        Row {
            ratio: format!("CPU: {}", spread(ratios())),
            floor: format!("at most {ceiling}"),
            met: Some(median(ratios()) <= ceiling),
            ..self.row(figure, description, 0.0)
        }
    }

    /// The row of a figure with a floor on the ratio of rates. 0 is no floor.
    pub fn row(&self, figure: &str, description: &str, floor: f64) -> Row {
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
            description: description.to_owned(),
            ours: rate(of(&self.ours, |sample| sample.rate)),
            limit: rate(of(&self.limit, |sample| sample.rate)),
            ratio: spread(ratios()),
            control: spread(self.control_ratios.iter().copied()),
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

/// The median. Of an even number of values, the mean of the middle two.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}
