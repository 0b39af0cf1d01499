//! The members of etcd, and what may be done with them without losing the majority. The rules are pure.
//!
//! Control planes on simulated machines keep the list of their members in a ConfigMap, in place of an etcd process that would be
//! asked. It is written where etcd would change its list: when a machine joins and when a member is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use runtime::{Cx, GatherError};
use serde::{Deserialize, Serialize};

/// Where the list of simulated members is.
pub const NAMESPACE: &str = "kube-system";
/// The ConfigMap with one key for each member.
pub const CONFIG_MAP: &str = "simulated-etcd-members";

/// A member; its name is that of its Node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Member id in hexadecimal digits.
    pub id: String,
    #[serde(default)]
    pub is_learner: bool,
    #[serde(rename = "peerURL")]
    pub peer_url: String,
}

/// All members, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members(pub BTreeMap<String, Member>);

impl Members {
    /// Parses the ConfigMap; entries that nobody wrote properly are left out.
    #[must_use]
    pub fn parse(record: &ConfigMap) -> Self {
        let entries = record.data.iter().flatten();
        Self(
            entries
                .filter_map(|(name, member)| {
                    Some((name.clone(), serde_json::from_str(member).ok()?))
                })
                .collect(),
        )
    }

    /// Names of the voting members.
    #[must_use]
    pub fn voters(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, m)| !m.is_learner)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Reads the members from the workload cluster; `None` if there is no list.
///
/// # Errors
/// If it can't be read.
pub async fn gather(remote: &Cx) -> Result<Option<Members>, GatherError> {
    let record: Option<Arc<ConfigMap>> = remote.get(NAMESPACE, CONFIG_MAP).await?;
    Ok(record.map(|r| Members::parse(&r)))
}

/// Members that are needed to decide anything.
#[must_use]
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether enough healthy members stay when `leaving` is removed. The last member may always go: then everything goes.
#[must_use]
pub fn may_remove(leaving: &str, voters: &[String], healthy: &[String]) -> bool {
    let rest: Vec<_> = voters.iter().filter(|v| *v != leaving).collect();
    let healthy = rest.iter().filter(|v| healthy.contains(v)).count();
    rest.is_empty() || healthy >= quorum(rest.len())
}

/// Whether `leaving` may be replaced because it does not work: enough healthy members stay when it is removed and another one joins that
/// may fail as well.
#[must_use]
pub fn may_replace(leaving: &str, voters: &[String], healthy: &[String]) -> bool {
    let rest: Vec<_> = voters.iter().filter(|v| *v != leaving).collect();
    let healthy = rest.iter().filter(|v| healthy.contains(v)).count();
    // A single member that stays has been the whole of etcd all the time.
    let joining = usize::from(voters.len() > 1);
    !rest.is_empty() && healthy >= quorum(rest.len() + joining)
}

/// Whether enough healthy members stay when one more joins that may fail.
#[must_use]
pub fn may_add(voters: &[String], healthy: &[String]) -> bool {
    let healthy = voters.iter().filter(|v| healthy.contains(v)).count();
    voters.len() <= 1 || healthy >= quorum(voters.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use std::fmt::Write as _;

    #[test]
    fn majorities() {
        let title = "voters healthy | add | remove healthy | remove broken | replace broken\n";
        let mut table = String::from(title);
        for voters in 1..=5_usize {
            for healthy in 0..=voters {
                let all: Vec<_> = (0..voters).map(|i| format!("n{i}")).collect();
                let good = all[..healthy].to_vec();
                let yes = |b: bool| if b { "yes" } else { "no" };
                let first = good
                    .first()
                    .map_or("-", |n| yes(may_remove(n, &all, &good)));
                let last = all
                    .get(healthy)
                    .map_or("-", |n| yes(may_remove(n, &all, &good)));
                let replaced = all
                    .get(healthy)
                    .map_or("-", |n| yes(may_replace(n, &all, &good)));
                writeln!(
                    table,
                    "{voters} {healthy} | {} | {first} | {last} | {replaced}",
                    yes(may_add(&all, &good))
                )
                .unwrap();
            }
        }
        expect![[r#"
            voters healthy | add | remove healthy | remove broken | replace broken
            1 0 | yes | - | yes | no
            1 1 | yes | yes | - | -
            2 0 | no | - | no | no
            2 1 | no | no | yes | no
            2 2 | yes | yes | - | -
            3 0 | no | - | no | no
            3 1 | no | no | no | no
            3 2 | no | no | yes | yes
            3 3 | yes | yes | - | -
            4 0 | no | - | no | no
            4 1 | no | no | no | no
            4 2 | no | no | yes | no
            4 3 | yes | yes | yes | yes
            4 4 | yes | yes | - | -
            5 0 | no | - | no | no
            5 1 | no | no | no | no
            5 2 | no | no | no | no
            5 3 | no | no | yes | yes
            5 4 | yes | yes | yes | yes
            5 5 | yes | yes | - | -
        "#]]
        .assert_eq(&table);
    }
}
