//! What is to be done with one object, given its owners and dependents. Pure.

/// Finalizer of an object that waits until its dependents are deleted.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents are to live on without it.
pub(super) const ORPHAN: &str = "orphan";

/// What is known of an object.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) is_deleting: bool,
    /// Has the finalizer [`FOREGROUND`].
    pub(super) waits_for_dependents: bool,
    /// Has the finalizer [`ORPHAN`].
    pub(super) orphans_dependents: bool,
    /// In the order of the object's owner references; not looked up for an object that is being deleted.
    pub(super) owners: Vec<OwnerState>,
    pub(super) dependents: Vec<Dependent>,
}

/// How things stand with an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there, and stays.
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is no more.
    Gone,
    /// Nobody can say: its kind is not served, or it can't be addressed.
    Unknown,
}

/// An object that names this one as an owner.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dependent {
    /// Its owner reference has `blockOwnerDeletion`.
    pub(super) is_blocking: bool,
    pub(super) is_deleting: bool,
    /// It is being deleted and waits for dependents of its own.
    pub(super) waits_for_dependents: bool,
}

/// How an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    /// An owner can't be judged: try again later, delete nothing meanwhile.
    NotYet,
    /// Its dependents have to go first.
    LookAtDependents,
    Delete(Policy),
    /// It and an owner wait for each other: stop to block the owner, then delete.
    UnblockAndDelete,
    /// The owners at these positions are not to be named any more; others keep the object.
    DropOwners(Vec<usize>),
    RemoveFinalizer(&'static str),
    /// Free all dependents, then let it go.
    Orphan,
}

pub(super) fn decide(facts: &Facts) -> Action {
    if facts.is_deleting {
        return decide_deleting(facts);
    }
    if facts.owners.is_empty() {
        return Action::Nothing;
    }
    if facts.owners.contains(&OwnerState::Unknown) {
        return Action::NotYet;
    }
    let lost = facts
        .owners
        .iter()
        .enumerate()
        .filter(|(_, state)| **state != OwnerState::Solid);
    let lost: Vec<usize> = lost.map(|(index, _)| index).collect();
    if lost.is_empty() {
        return Action::Nothing;
    }
    if lost.len() < facts.owners.len() {
        return Action::DropOwners(lost);
    }
    let is_waited_for = facts.owners.contains(&OwnerState::Waiting);
    if is_waited_for && !facts.dependents.is_empty() {
        let is_circle = facts
            .dependents
            .iter()
            .any(|dependent| dependent.waits_for_dependents);
        return if is_circle {
            Action::UnblockAndDelete
        } else {
            Action::Delete(Policy::Foreground)
        };
    }
    if facts.orphans_dependents {
        Action::Delete(Policy::Orphan)
    } else if facts.waits_for_dependents {
        Action::Delete(Policy::Foreground)
    } else {
        Action::Delete(Policy::Background)
    }
}

fn decide_deleting(facts: &Facts) -> Action {
    if facts.orphans_dependents {
        return Action::Orphan;
    }
    if !facts.waits_for_dependents {
        return Action::Nothing;
    }
    let mut blocking = facts
        .dependents
        .iter()
        .filter(|dependent| dependent.is_blocking)
        .peekable();
    if blocking.peek().is_none() {
        return Action::RemoveFinalizer(FOREGROUND);
    }
    if blocking.any(|dependent| !dependent.is_deleting) {
        return Action::LookAtDependents;
    }
    // All are on their way; each that goes brings us back.
    Action::Nothing
}

#[cfg(test)]
mod tests {
    use super::OwnerState::{Gone, Solid, Unknown, Waiting};
    use super::*;
    use expect_test::{Expect, expect};

    const BLOCKING: Dependent = Dependent {
        is_blocking: true,
        is_deleting: false,
        waits_for_dependents: false,
    };

    fn check(facts: &Facts, expect: &Expect) {
        expect.assert_eq(&format!("{:?}", decide(facts)));
    }

    fn owned(owners: &[OwnerState]) -> Facts {
        Facts {
            owners: owners.to_vec(),
            ..Facts::default()
        }
    }

    #[test]
    fn an_object_lives_as_long_as_one_owner() {
        check(&owned(&[]), &expect!["Nothing"]);
        check(&owned(&[Solid]), &expect!["Nothing"]);
        check(
            &owned(&[Gone, Solid, Waiting]),
            &expect!["DropOwners([0, 2])"],
        );
        check(&owned(&[Gone]), &expect!["Delete(Background)"]);
        check(&owned(&[Gone, Gone]), &expect!["Delete(Background)"]);
    }

    #[test]
    fn nothing_is_deleted_on_a_guess() {
        check(&owned(&[Gone, Unknown]), &expect!["NotYet"]);
    }

    #[test]
    fn an_object_that_its_owner_waits_for_waits_for_its_own() {
        check(&owned(&[Waiting]), &expect!["Delete(Background)"]);
        let parent = Facts {
            dependents: vec![BLOCKING],
            ..owned(&[Waiting])
        };
        check(&parent, &expect!["Delete(Foreground)"]);
    }

    #[test]
    fn a_circle_is_broken() {
        let waiting = Dependent {
            is_deleting: true,
            waits_for_dependents: true,
            ..BLOCKING
        };
        let facts = Facts {
            dependents: vec![waiting],
            ..owned(&[Waiting])
        };
        check(&facts, &expect!["UnblockAndDelete"]);
    }

    #[test]
    fn finalizers_set_beforehand_choose_the_policy() {
        check(
            &Facts {
                orphans_dependents: true,
                ..owned(&[Gone])
            },
            &expect!["Delete(Orphan)"],
        );
        check(
            &Facts {
                waits_for_dependents: true,
                ..owned(&[Gone])
            },
            &expect!["Delete(Foreground)"],
        );
    }

    #[test]
    fn a_deleted_object_waits_for_those_that_block_it() {
        let deleting = |dependents: Vec<Dependent>| Facts {
            is_deleting: true,
            waits_for_dependents: true,
            dependents,
            ..Facts::default()
        };
        check(&deleting(vec![BLOCKING]), &expect!["LookAtDependents"]);
        check(
            &deleting(vec![Dependent {
                is_deleting: true,
                ..BLOCKING
            }]),
            &expect!["Nothing"],
        );
        check(
            &deleting(vec![Dependent::default()]),
            &expect![[r#"RemoveFinalizer("foregroundDeletion")"#]],
        );
        check(
            &deleting(vec![]),
            &expect![[r#"RemoveFinalizer("foregroundDeletion")"#]],
        );
    }

    #[test]
    fn an_orphaning_object_frees_its_dependents() {
        let facts = Facts {
            is_deleting: true,
            orphans_dependents: true,
            dependents: vec![BLOCKING],
            ..Facts::default()
        };
        check(&facts, &expect!["Orphan"]);
        check(
            &Facts {
                is_deleting: true,
                ..Facts::default()
            },
            &expect!["Nothing"],
        );
    }
}
