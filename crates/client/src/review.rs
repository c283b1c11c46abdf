//! Asking the API server who somebody is, and what they may do: how components that serve
//! something themselves authenticate and authorize.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// The user that a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// The user.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
}

/// The user that a token stands for; `None` if it is not valid, or if the review fails.
pub async fn token(client: &Client, token: String) -> Option<Reviewed> {
    let spec = TokenReviewSpec { token, ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let api = Api::<TokenReview>::all(client.clone());
    let status = api.create(&PostParams::default(), &review).await.ok()?.status?;
    if status.authenticated != Some(true) {
        return None;
    }
    let user = status.user?;
    Some(Reviewed { user: user.username?, groups: user.groups.unwrap_or_default() })
}

/// Returns true if the review allows the request; false also if the review fails.
pub async fn allows(client: &Client, spec: SubjectAccessReviewSpec) -> bool {
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let api = Api::<SubjectAccessReview>::all(client.clone());
    match api.create(&PostParams::default(), &review).await {
        Ok(review) => review.status.is_some_and(|status| status.allowed),
        Err(error) => {
            tracing::warn!(%error, "access not reviewed");
            false
        }
    }
}
