//! Amounts of resources that are used, and never negative.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The amount in thousandths, rounded up; `None` if the text is no amount of zero or more.
pub(super) fn milli(text: &str) -> Option<u64> {
    u64::try_from(crate::amounts::milli(text)?).ok()
}

/// Resources in thousandths, by name.
pub(super) type Amounts = BTreeMap<String, u64>;

/// What is readable of a list of amounts.
pub(super) fn amounts(list: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let readable =
        |(name, quantity): (&String, &Quantity)| Some((name.clone(), milli(&quantity.0)?));
    list.into_iter().flatten().filter_map(readable).collect()
}

/// What a container asks for; a limit without a request is one.
pub(super) fn requests(resources: Option<&ResourceRequirements>) -> Amounts {
    let limits = resources.and_then(|all| all.limits.as_ref());
    let mut all = amounts(limits);
    all.extend(amounts(resources.and_then(|all| all.requests.as_ref())));
    all
}
