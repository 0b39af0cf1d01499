//! The rules of Cluster API's kinds as webhooks, for management clusters whose API server is another one: an HTTPS server that fills
//! (`/mutate`), refuses (`/validate`) and converts between versions (`/convert`) as the API server of this process does, and the
//! manifests that lead requests there.
//!
//! What rules have to know of other objects, such as a Cluster's class, is read from the API server for each request that needs it.

pub mod manifests;
mod objects;
mod review;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::time::Duration;

use apiserver::status::Status;
use kube::Client;
use serde_json::Value;

use objects::Fetched;
use review::{Answer, Asked};

pub use server::serve;
pub use tls::Certificates;

/// The longest that the objects are read for that a rule needs: API servers wait 10 seconds for the answer.
const READ_LIMIT: Duration = Duration::from_secs(8);

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Mutate,
    Validate,
    Convert,
}

impl Task {
    /// By the path of a request.
    fn of(path: &str) -> Option<Self> {
        match path {
            manifests::MUTATE => Some(Self::Mutate),
            manifests::VALIDATE => Some(Self::Validate),
            manifests::CONVERT => Some(Self::Convert),
            _ => None,
        }
    }
}

/// Answers a review.
///
/// # Errors
/// What is wrong with the review itself.
async fn answer(client: &Client, task: Task, review: Value) -> Result<Value, String> {
    let decide = match task {
        Task::Mutate => mutate,
        Task::Validate => validate,
        Task::Convert => return Ok(api::conversion::review(review)),
    };
    let asked = Asked::parse(review)?;
    let read = tokio::time::timeout(
        READ_LIMIT,
        Fetched::read(client, &asked, task == Task::Validate),
    )
    .await;
    let objects = match read {
        Ok(Ok(objects)) => objects,
        Ok(Err(why)) => return Ok(asked.answer(Err(Status::internal(why)))),
        Err(_) => {
            let seconds = READ_LIMIT.as_secs();
            let why = format!("reading what the rules are about took more than {seconds} s");
            return Ok(asked.answer(Err(Status::new(504, "Timeout", why))));
        }
    };
    Ok(asked.answer(decide(&asked, &objects)))
}

/// Fills what was left out. Pure.
fn mutate(asked: &Asked, objects: &Fetched) -> Result<Answer, Status> {
    let review = asked.review(objects);
    let mut object = asked.object.clone();
    let warnings = super::admit(&review, &mut object).map_err(|why| asked.refused(why))?;
    Ok(Answer {
        patch: review::patch(&asked.object, &object),
        warnings,
    })
}

/// Says why something must not be written, if so. Pure.
fn validate(asked: &Asked, objects: &Fetched) -> Result<Answer, Status> {
    let checked = super::check(&asked.review(objects), &asked.object);
    checked.map_err(|why| asked.refused(why))?;
    Ok(Answer::default())
}
