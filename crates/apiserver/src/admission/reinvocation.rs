//! Who has to look again: webhooks and policies that asked to, once something after them changed the object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What the mutating plugins of one request tell each other about a second pass.
#[derive(Debug, Default)]
pub struct Reinvocation {
    is_again: bool,
    is_wanted: bool,
    plugins: BTreeMap<&'static str, Participant>,
}

/// One plugin's part of it.
#[derive(Debug, Default)]
struct Participant {
    /// Those that were called and would like to be called again.
    called: BTreeSet<String>,
    /// Those of them that have to be.
    due: BTreeSet<String>,
    /// The object when the plugin was done with it.
    output: Option<Value>,
}

impl Participant {
    fn call_again(&mut self) {
        self.due.append(&mut self.called);
    }
}

impl Reinvocation {
    /// Whether this is the second pass.
    #[must_use]
    pub fn is_again(&self) -> bool {
        self.is_again
    }

    /// Begins the second pass if somebody wants it; there is no third.
    pub(super) fn begin_again(&mut self) -> bool {
        if self.is_again || !self.is_wanted {
            return false;
        }
        self.is_again = true;
        true
    }

    /// `plugin` begins: in the second pass, what others changed meanwhile is a reason to call everybody again.
    pub fn enter(&mut self, plugin: &'static str, object: &Value) {
        let is_again = self.is_again;
        let own = self.plugins.entry(plugin).or_default();
        if is_again && own.output.as_ref().is_some_and(|output| output != object) {
            own.call_again();
        }
    }

    /// `plugin` is done, and leaves the object like this.
    pub fn leave(&mut self, plugin: &'static str, object: &Value) {
        self.plugins.entry(plugin).or_default().output = Some(object.clone());
    }

    /// Whether `member` of `plugin` (one webhook, one binding) is to be called in this pass.
    #[must_use]
    pub fn is_due(&self, plugin: &'static str, member: &str) -> bool {
        !self.is_again
            || self
                .plugins
                .get(plugin)
                .is_some_and(|own| own.due.contains(member))
    }

    /// A member of `plugin` was called: whether it changed the object, and whether it wants to see what others do to it.
    pub fn called(
        &mut self,
        plugin: &'static str,
        member: &str,
        has_changed: bool,
        wants_again: bool,
    ) {
        let own = self.plugins.entry(plugin).or_default();
        if has_changed {
            own.call_again();
            self.is_wanted = true;
        }
        if wants_again {
            own.called.insert(member.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_who_asked_and_came_before_a_change_is_called_again() {
        let mut state = Reinvocation::default();
        state.enter("hooks", &json!(0));
        for member in ["asks", "does not ask", "changes", "comes later"] {
            assert!(state.is_due("hooks", member));
            let (changes, asks) = (member == "changes", member != "does not ask");
            state.called("hooks", member, changes, asks);
        }
        state.leave("hooks", &json!(1));
        assert!(state.begin_again());
        state.enter("hooks", &json!(1));
        let due = ["asks", "does not ask", "changes", "comes later", "new"]
            .map(|member| state.is_due("hooks", member));
        assert_eq!(due, [true, false, false, false, false]);
        assert!(!state.begin_again(), "there is no third pass");
    }

    #[test]
    fn what_other_plugins_change_calls_everybody_again() {
        let mut state = Reinvocation::default();
        state.enter("hooks", &json!(0));
        state.called("hooks", "asks", false, true);
        state.leave("hooks", &json!(0));
        assert!(!state.begin_again(), "nobody changed anything");
        state.called("others", "changes", true, false);
        assert!(state.begin_again());
        state.enter("hooks", &json!(1));
        assert!(state.is_due("hooks", "asks"));
    }
}
