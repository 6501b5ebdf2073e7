//! Fetches the content of a server's registry, as the changes that produced it.

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

/// Fetches the registry, and prepares to check the subjects with a prefix.
pub async fn fetch(server: &ServerArgs, prefix: &str) -> anyhow::Result<Verification> {
    let subjects = subjects(server, prefix).await?;
    let mut client = server.registry().await?;
    let failed = failed("fetch the registry".to_owned());
    let request = WatchRegistryRequest { after_revision: 0 };
    let response = client.watch_registry(request).await.map_err(&failed)?;
    let Some(target_revision) = revision::of(&response.metadata().clone().into_headers()) else {
        return Err(Failure::new(format!("{} does not report its revision", server.server))
            .with_remedy("use a server of this version: is --server a Tidings server?")
            .into());
    };
    let mut changes = response.into_inner();
    let (mut catalog, mut history) = (Catalog::default(), History::default());
    let progress = bar("{spinner} fetching, change {human_pos} of {human_len}", target_revision);
    while catalog.revision < target_revision {
        let closed = || Status::unavailable("the server closed the stream");
        let message = changes.message().await;
        let change = message.and_then(|change| change.ok_or_else(closed)).map_err(&failed)?;
        let revision = change.revision;
        progress.set_position(revision);
        let result = history.record(&change).and_then(|()| catalog.apply(change));
        result.map_err(|fault| unreadable(&format!("change {revision}"), &fault))?;
    }
    progress.finish_and_clear();
    // Changes that older programs wrote lack the settings that a subject was created with.
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

fn unreadable(item: &str, fault: &str) -> Failure {
    Failure::new(format!("{item} of the registry cannot be read: {}", printable(fault)))
        .with_remedy("a version of tidings at least as new as the server")
}
