//! Everything that a server's registry has, as the changes that led there.

use tidings_registry::{
    catalog::{Catalog, replay::History, verify::Verification},
    proto::v1::{self, ListSubjectsRequest, WatchRegistryRequest},
    service::revision,
};
use tonic::Status;

use super::{
    super::{
        super::{client::ServerArgs, failure::Failure, printer::printable},
        get::failed,
    },
    bar,
};

const PAGE_SIZE: i32 = 1_000;

/// Fetches it, and prepares to judge the subjects that begin with a prefix.
pub async fn fetch(server: &ServerArgs, prefix: &str) -> anyhow::Result<Verification> {
    let subjects = subjects(server, prefix).await?;
    let mut client = server.registry().await?;
    let failed = failed("fetch what is registered".to_owned());
    let request = WatchRegistryRequest { after_revision: 0 };
    let answer = client.watch_registry(request).await.map_err(&failed)?;
    let Some(reached) = revision::of(&answer.metadata().clone().into_headers()) else {
        return Err(Failure::new(format!("{} does not say its revision", server.server))
            .try_this("a server of this version: is --server a Tidings server?")
            .into());
    };
    let mut changes = answer.into_inner();
    let (mut catalog, mut history) = (Catalog::default(), History::default());
    let progress = bar("{spinner} fetching, change {human_pos} of {human_len}", reached);
    while catalog.revision < reached {
        let closed = || Status::unavailable("the server closed the stream");
        let message = changes.message().await;
        let change = message.and_then(|it| it.ok_or_else(closed)).map_err(&failed)?;
        let revision = change.revision;
        progress.set_position(revision);
        let noted = history.note(&change).and_then(|()| catalog.apply(change));
        noted.map_err(|fault| unreadable(&format!("change {revision}"), &fault))?;
    }
    progress.finish_and_clear();
    // Changes that older programs wrote do not have the settings that a subject began with.
    for subject in subjects {
        catalog.update(subject).map_err(|fault| unreadable("a subject", &fault))?;
    }
    Ok(Verification::new(&catalog, history, prefix))
}

async fn subjects(server: &ServerArgs, prefix: &str) -> anyhow::Result<Vec<v1::Subject>> {
    let mut client = server.registry().await?;
    let (mut subjects, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            ListSubjectsRequest { page_size: PAGE_SIZE, page_token, prefix: prefix.into() };
        let page = client.list_subjects(server.request(request)).await;
        let page = page.map_err(failed("list subjects".to_owned()))?.into_inner();
        subjects.extend(page.subjects);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(subjects);
        }
    }
}

fn unreadable(what: &str, fault: &str) -> Failure {
    Failure::new(format!("{what} of the registry cannot be read: {}", printable(fault)))
        .try_this("a version of tidings at least as new as the server")
}
