//! The tree of a cluster as a table. Pure.

use jiff::Timestamp;

use super::{Counts, Node, Shown};
use crate::inspect::table::{self, Cell};
use crate::object::age;
use crate::ui::{Role, Ui};

const HEADS: &[&str] = &[
    "NAME",
    "REPLICAS",
    "AVAILABLE",
    "READY",
    "UP TO DATE",
    "STATUS",
    "REASON",
    "SINCE",
    "MESSAGE",
];

/// Machines of a group that are named.
const NAMED_MAX: usize = 3;

/// The tree, one object a row, below a line of heads.
#[must_use]
pub fn text(root: &Node, now: Timestamp, ui: &Ui) -> String {
    let mut rows = vec![];
    row(root, "", "", now, &mut rows);
    table::text(HEADS, &rows, ui)
}

/// `lead` stands before the name, `below` before what belongs to it.
fn row(node: &Node, lead: &str, below: &str, now: Timestamp, rows: &mut Vec<Vec<Cell>>) {
    let trunk = if node.children.is_empty() {
        below.to_owned()
    } else {
        format!("{below}│ ")
    };
    let trunk = trunk.trim_end();
    let message = message(node);
    let mut cells = vec![Cell::default()];
    cells.extend(counts(node.counts));
    cells.extend(state(node.condition.as_ref(), now));
    cells.push(Cell::from(&message));
    cells[0].lines.push(format!("{lead}{}", title(node)));
    // The trunk goes on beside a message of several lines.
    let more = message.lines().count().saturating_sub(1);
    cells[0].lines.extend(vec![trunk.to_owned(); more]);
    rows.push(cells);
    for shown in &node.conditions {
        let mut cells = vec![Cell::default(); 5];
        cells.extend(state(Some(shown), now));
        cells.push(Cell::from(&shown.message));
        let height = shown.message.lines().count().max(1);
        cells[0].lines.extend(vec![trunk.to_owned(); height]);
        rows.push(cells);
    }
    for (at, child) in node.children.iter().enumerate() {
        let (branch, under) = if at + 1 == node.children.len() {
            ("└─", "  ")
        } else {
            ("├─", "│ ")
        };
        let (lead, below) = (format!("{below}{branch}"), format!("{below}{under}"));
        row(child, &lead, &below, now, rows);
    }
}

fn title(node: &Node) -> String {
    let what = match (node.members.len(), node.name.as_str()) {
        (0, "") => node.kind.clone(),
        (0, name) => format!("{}/{name}", node.kind),
        (count, _) => format!("{count} {}s", node.kind),
    };
    node.role
        .map_or_else(|| what.clone(), |role| format!("{role}: {what}"))
}

/// The names of a group stand above what is said of all.
fn message(node: &Node) -> String {
    let said = node.condition.as_ref().map_or("", |c| c.message.as_str());
    if node.members.is_empty() {
        return said.to_owned();
    }
    let shown = node.members.len().min(NAMED_MAX);
    let mut names = node.members[..shown].join(", ");
    if let more @ 1.. = node.members.len() - shown {
        names.push_str(&format!(" and {more} more"));
    }
    format!("{names}\n{said}").trim_end().to_owned()
}

fn counts(counts: Option<Counts>) -> [Cell; 4] {
    let Some(Counts {
        replicas,
        desired,
        available,
        ready,
        up_to_date,
    }) = counts
    else {
        return Default::default();
    };
    let replicas = match desired {
        Some(desired) => format!("{replicas}/{desired}"),
        None => replicas.to_string(),
    };
    [
        Cell::from(replicas),
        Cell::from(available.to_string()),
        Cell::from(ready.to_string()),
        Cell::from(up_to_date.to_string()),
    ]
}

/// Status, reason and since when.
fn state(shown: Option<&Shown>, now: Timestamp) -> [Cell; 3] {
    let Some(shown) = shown else {
        return Default::default();
    };
    let role = match (shown.is_good, shown.status.as_str()) {
        (true, _) => Role::Good,
        // What is under way.
        (false, "True" | "Unknown") => Role::Waiting,
        (false, _) => Role::Bad,
    };
    [
        Cell::from(format!("{}: {}", shown.ty, shown.status)).in_role(role),
        Cell::from(&shown.reason),
        Cell::from(age(shown.since, now)),
    ]
}
