//! A subscription: what is recorded, then what is published, without end. Pulled by its reader: where that one stalls,
//! nothing is read, and what was read for it is a small batch.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

use super::{
    Broker,
    consumer::Announced,
    error::{Damage, Draining, StartError, StreamError},
    merge::Merge,
    negotiation::{Answer, Negotiation, Piece, Selection, Skipped},
    start::{Missing, Start},
    wanted::Wanted,
};
use crate::{
    model::{
        cursor::Cursor,
        event::Delivered,
        name::TopicPattern,
        numbers::{AppendTime, Position, TopicId},
    },
    store::{
        ReadError,
        read::Way,
        tail::Bounds,
        topics::{Extent, Following},
    },
};

/// Bytes of the first batch, and of the first behind a stall. A reader that stalls at once costs no more than this.
const BATCH_BYTES_MIN: usize = 4 << 10;
/// A batch has at most this part of what the reader has taken since it stalled last.
const PACE: usize = 8;
/// A reader that did not ask for this long has stalled.
const STALL: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// Topics and patterns.
    pub topics: Vec<TopicPattern>,
    /// Where to begin.
    pub start: Start,
    /// Which events.
    pub wanted: Wanted,
    /// Bounds of a batch.
    pub bounds: Bounds,
    /// How often to say that a quiet stream is alive.
    pub heartbeat_interval: Duration,
    /// Which schema versions the reader understands. None: any.
    pub selection: Option<Selection>,
    /// Name of the reading application: what it understands is recorded under it.
    pub consumer: Option<String>,
}

/// What a subscriber is told. Each of these resumes: everything before its cursor was delivered.
#[derive(Debug)]
pub enum Message {
    /// The first one, at once.
    Started {
        /// What each topic retains.
        topics: Vec<(String, Extent)>,
        /// What types are delivered in.
        schemas: Vec<Answer>,
    },
    /// Events.
    Batch(Vec<Delivered>),
    /// Everything that is recorded was delivered.
    CaughtUp,
    /// A stream that had caught up has to read from the disk.
    FellBehind {
        /// Events that are not delivered yet.
        behind: u64,
    },
    /// Nothing happened.
    Heartbeat {
        /// Events that are not delivered yet.
        behind: u64,
    },
    /// Events that the reader asked for and does not get.
    Gap(Missing),
    /// Events that cannot be given as the reader asked.
    Skipped(Skipped),
    /// What a type is delivered in is another version from here on.
    SchemaChanged(Answer),
    /// The stream is about to end.
    Draining,
}

/// An open stream.
pub struct Subscription {
    broker: Broker,
    request: Subscribe,
    merge: Merge,
    negotiation: Option<Negotiation>,
    _consumer: Option<Arc<Announced>>,
    /// Trims up to here are known to the reader.
    horizon: Position,
    told: VecDeque<(Message, Cursor)>,
    topics_changed: watch::Receiver<u64>,
    wake: Arc<Notify>,
    following: Vec<Following>,
    caught_up: bool,
    next_heartbeat: Instant,
    /// Bytes taken since the last stall.
    taken: usize,
    asked: Instant,
    /// Ends the stream, once everything before it was told.
    failure: Option<StreamError>,
    ended: bool,
}

impl Broker {
    /// Opens a stream.
    ///
    /// # Errors
    /// Why it cannot begin where it was asked to.
    pub async fn subscribe(&self, mut request: Subscribe) -> Result<Subscription, StartError> {
        if self.is_draining() {
            return Err(Draining.into());
        }
        // Seen before the topics are, so that one that comes in between is not missed.
        let mut topics_changed = self.store().catalog().watch();
        topics_changed.mark_unchanged();
        let topics = self.resolve(&request.topics)?;
        let (negotiation, schemas) = match request.selection.take() {
            Some(selection) => {
                let (negotiation, answers) = self.negotiate(selection).await?;
                (Some(negotiation), answers)
            }
            None => (None, Vec::new()),
        };
        let wake = Arc::new(Notify::new());
        let following = topics.iter().map(|topic| topic.follow(&wake)).collect();
        let begin = self.start_forward(topics, &request.start).await?;
        request.wanted.payloads = self.payloads();
        let merge =
            Merge::new(Arc::clone(self.store()), Way::Forward, &begin, request.wanted.clone());
        let consumer = match (request.consumer.take(), &self.parts.schemas) {
            (Some(name), Some(registry)) if !schemas.is_empty() => {
                Some(self.parts.consumers.begin(name, &schemas, registry.client()))
            }
            _ => None,
        };
        let mut subscription = Subscription {
            broker: self.clone(),
            merge,
            negotiation,
            _consumer: consumer,
            horizon: begin.horizon,
            told: VecDeque::new(),
            topics_changed,
            wake,
            following,
            caught_up: false,
            next_heartbeat: Instant::now() + request.heartbeat_interval,
            taken: 0,
            asked: Instant::now(),
            failure: None,
            ended: false,
            request,
        };
        let topics = begin.topics.iter().map(|topic| (topic.name.to_string(), topic.extent()));
        subscription.tell(Message::Started { topics: topics.collect(), schemas });
        for missing in begin.missing {
            subscription.tell(Message::Gap(missing));
        }
        Ok(subscription)
    }
}

impl Subscription {
    /// How often a quiet stream says that it is alive.
    pub fn heartbeat_interval(&self) -> Duration {
        self.request.heartbeat_interval
    }

    /// What comes next, with the cursor behind it. None: the stream has ended.
    ///
    /// # Errors
    /// Why it ends.
    pub async fn next(&mut self) -> Option<Result<(Message, Cursor), StreamError>> {
        if self.asked.elapsed() > STALL {
            self.taken = 0;
        }
        let told = loop {
            if let Some(told) = self.told.pop_front() {
                break Some(Ok(told));
            }
            if let Some(failure) = self.failure.take() {
                self.ended = true;
                break Some(Err(failure));
            }
            if self.ended {
                break None;
            }
            if let Err(error) = self.turn().await {
                self.ended = true;
                break Some(Err(error));
            }
        };
        self.asked = Instant::now();
        told
    }

    fn cursor(&self) -> Cursor {
        Cursor { position: self.merge.position(), horizon: self.horizon }
    }

    fn tell(&mut self, message: Message) {
        let cursor = self.cursor();
        self.next_heartbeat = Instant::now() + self.request.heartbeat_interval;
        self.told.push_back((message, cursor));
    }

    /// Finds something to tell, or waits until there may be.
    async fn turn(&mut self) -> Result<(), StreamError> {
        if self.broker.is_draining() {
            self.tell(Message::Draining);
            self.ended = true;
            return Ok(());
        }
        self.follow_topics()?;
        if let Some(negotiation) = &mut self.negotiation {
            let changes = negotiation.changes();
            changes.into_iter().for_each(|answer| self.tell(Message::SchemaChanged(answer)));
        }
        self.tell_gaps().await;
        let watermark = self.broker.store().watermark();
        let bounds = self.bounds();
        let step = match self.merge.step(watermark, bounds).await {
            Ok(step) => step,
            Err(damage) => return Err(self.damaged(damage)),
        };
        if step.from_disk && self.caught_up {
            self.caught_up = false;
            self.broker.metrics().tail_misses();
            // Told with the cursor of what was delivered before.
            let behind = self.merge.behind() + step.events.len() as u64;
            self.tell_before(&step.events, Message::FellBehind { behind });
        }
        if !step.events.is_empty() {
            let bytes: usize = step.events.iter().map(|event| event.recorded.event.len()).sum();
            self.taken = self.taken.saturating_add(bytes);
            self.broker.metrics().delivered(step.events.len() as u64, bytes as u64);
            self.tell_events(step.events);
            return Ok(());
        }
        if self.merge.position() < watermark {
            // Only what is not wanted came by. Others have their turn before the next chunk.
            tokio::task::yield_now().await;
            return self.beat_when_due();
        }
        if !self.caught_up {
            self.caught_up = true;
            self.tell(Message::CaughtUp);
            return Ok(());
        }
        if Instant::now() >= self.next_heartbeat {
            return self.beat_when_due();
        }
        tokio::select! {
            () = self.wake.notified() => {}
            () = registered(&mut self.negotiation) => {}
            _ = self.topics_changed.changed() => self.topics_changed.mark_changed(),
            () = self.broker.parts.draining.cancelled() => {}
            () = sleep_until(self.next_heartbeat) => {}
        }
        Ok(())
    }

    /// Tells events as their reader understands them.
    fn tell_events(&mut self, events: Vec<Delivered>) {
        let mut cursor = self.cursor();
        let end = cursor.position;
        let first = events.first().map_or(end, |one| one.recorded.position);
        let Some(negotiation) = &mut self.negotiation else {
            self.tell(Message::Batch(events));
            return;
        };
        // Before the first event concerned, everything before it was delivered.
        cursor.position = Position(first.0 - 1);
        let pieces = negotiation.deliver(events);
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.into_iter().enumerate() {
            let (message, position) = match piece {
                Piece::Events(events) => {
                    let position = events.last().map_or(end, |one| one.recorded.position);
                    (Message::Batch(events), position)
                }
                Piece::Skipped(skipped) => {
                    let position = skipped.position;
                    (Message::Skipped(skipped), position)
                }
                Piece::Changed(answer) => (Message::SchemaChanged(answer), cursor.position),
                Piece::RegistryUnavailable(away) => {
                    self.failure = Some(away.into());
                    return;
                }
                Piece::Failed(mismatch) => {
                    let resume = Cursor { position: mismatch.position, ..cursor };
                    self.failure =
                        Some(StreamError::Mismatch { mismatch: Box::new(mismatch), resume });
                    return;
                }
            };
            cursor.position = if at == last { end } else { position };
            self.told.push_back((message, cursor));
        }
        self.next_heartbeat = Instant::now() + self.request.heartbeat_interval;
    }

    #[expect(clippy::unnecessary_wraps, reason = "the end of a turn")]
    fn beat_when_due(&mut self) -> Result<(), StreamError> {
        if Instant::now() >= self.next_heartbeat {
            let behind = self.merge.behind();
            self.tell(Message::Heartbeat { behind });
        }
        Ok(())
    }

    fn tell_before(&mut self, events: &[Delivered], message: Message) {
        let mut cursor = self.cursor();
        if let Some(first) = events.first() {
            cursor.position = Position(first.recorded.position.0 - 1).min(cursor.position);
        }
        self.told.push_back((message, cursor));
    }

    /// Lets topics join that came, and leave that went.
    fn follow_topics(&mut self) -> Result<(), StreamError> {
        if !self.topics_changed.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.topics_changed.mark_unchanged();
        let all = self.broker.store().catalog().all();
        for pattern in &self.request.topics {
            if let TopicPattern::Name(name) = pattern {
                let own = self.merge.topics().find(|topic| *topic.name == *name);
                // Deleted and made again it is another topic.
                let is_there = all.get(name).zip(own).is_some_and(|(now, own)| now.id == own.id);
                if !is_there {
                    return Err(self.broker.not_found(name.as_str()).into());
                }
            }
        }
        let there: HashSet<TopicId> = all.values().map(|topic| topic.id).collect();
        self.merge.leave(|topic| !there.contains(&topic.id));
        let own: HashSet<TopicId> = self.merge.topics().map(|topic| topic.id).collect();
        for topic in all.values() {
            let is_wanted = self.request.topics.iter().any(|one| one.matches(&topic.name));
            if is_wanted && !own.contains(&topic.id) {
                self.following.push(topic.follow(&self.wake));
                self.merge.join(Arc::clone(topic));
            }
        }
        Ok(())
    }

    /// Tells what trims have taken from under the stream.
    async fn tell_gaps(&mut self) {
        let Some(trim) = self.merge.overtaking_trim() else { return };
        // The cursor behind the gaps says that trims up to the watermark are known, so the watermark has to be there.
        while self.broker.store().watermark() < trim {
            tokio::task::yield_now().await;
        }
        let horizon = self.broker.store().watermark();
        let mut gaps = self.merge.overtaken();
        let last = gaps.pop();
        for gap in gaps {
            self.tell(Message::Gap(gap));
        }
        self.horizon = self.horizon.max(horizon);
        if let Some(gap) = last {
            self.tell(Message::Gap(gap));
        }
    }

    /// Small at first and behind a stall, as large as asked for where the reader drains.
    fn bounds(&self) -> Bounds {
        let most = self.request.bounds;
        let paced = (self.taken / PACE).max(BATCH_BYTES_MIN);
        Bounds { events: most.events, bytes: paced.min(most.bytes) }
    }

    fn damaged(&self, damage: Damage) -> StreamError {
        match damage.error {
            ReadError::Storage(error) => StreamError::Storage(error),
            error @ ReadError::Corrupt { .. } => {
                self.broker.metrics().corruption_detected();
                tracing::error!(%error, "a stored event is damaged");
                let horizon = self.horizon;
                let resume = damage.resume.map(|position| Cursor { position, horizon });
                StreamError::Corrupt { error, resume }
            }
        }
    }
}

async fn registered(negotiation: &mut Option<Negotiation>) {
    match negotiation {
        Some(negotiation) => negotiation.registered().await,
        None => std::future::pending().await,
    }
}

/// What time it is, for messages that say so.
pub fn now(broker: &Broker) -> AppendTime {
    broker.now()
}
