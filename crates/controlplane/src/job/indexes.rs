//! Sets of completion indexes, and the text that a status shows of them: `1,3-5,7`.

use std::collections::BTreeSet;
use std::fmt;

/// A set of indexes as ordered intervals that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<(u32, u32)>);

impl Indexes {
    /// Reads `1,3-5,7`, without indexes from `completions` on. Parts that are no interval are left out.
    pub(super) fn parse(text: &str, completions: u32) -> Self {
        let intervals = text.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
            (first <= last && first < completions).then(|| (first, last.min(completions - 1)))
        });
        Self::of(intervals.collect())
    }

    fn of(mut intervals: Vec<(u32, u32)>) -> Self {
        intervals.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(intervals.len());
        for (first, last) in intervals {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => {
                    before.1 = before.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Both sets together.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// The set with these indexes as well.
    pub(super) fn with(&self, more: &BTreeSet<u32>) -> Self {
        self.union(&Self(more.iter().map(|index| (*index, *index)).collect()))
    }

    pub(super) fn has(&self, index: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many are in both sets.
    pub(super) fn overlap(&self, other: &Self) -> u32 {
        let mut count = 0;
        let (mut ours, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some((a, b)), Some((c, d))) = (ours.peek(), theirs.peek()) {
            let (first, last) = (*a.max(c), *b.min(d));
            if first <= last {
                count += last - first + 1;
            }
            if b <= d {
                ours.next()
            } else {
                theirs.next()
            };
        }
        count
    }

    /// The lowest `count` indexes below `completions` that are not in the set.
    pub(super) fn missing(&self, count: usize, completions: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut candidate = 0;
        for (first, last) in self.0.iter().copied().chain([(completions, u32::MAX)]) {
            let end = first.min(completions);
            let room = count - found.len();
            found.extend((candidate..end).take(room));
            if found.len() == count || last >= completions {
                break;
            }
            candidate = last + 1;
        }
        found
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written() {
        for (text, completions, expected) in [
            ("", 5, ""),
            ("0", 5, "0"),
            ("0,1", 5, "0,1"),
            ("0-2", 5, "0-2"),
            ("0,1,2,4", 5, "0-2,4"),
            ("1,3-7,9", 6, "1,3-5"),
            ("1,x,3-,5", 6, "1,5"),
            ("3-1", 6, ""),
            ("7", 7, ""),
            ("0-4294967295", 3, "0-2"),
        ] {
            assert_eq!(
                Indexes::parse(text, completions).to_string(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn sets_are_joined_counted_and_searched() {
        let set = Indexes::parse("1,3-5", 10);
        assert_eq!(set.with(&[0, 2, 8].into()).to_string(), "0-5,8");
        assert_eq!(set.count(), 4);
        assert_eq!(set.overlap(&Indexes::parse("0-3,5-9", 10)), 3);
        assert_eq!(set.overlap(&Indexes::default()), 0);
        let has: Vec<u32> = (0..8).filter(|index| set.has(*index)).collect();
        assert_eq!(has, [1, 3, 4, 5]);
    }

    #[test]
    fn the_lowest_missing_indexes_are_found() {
        let set = Indexes::parse("1,3-5", 10);
        assert_eq!(set.missing(3, 10), [0, 2, 6]);
        assert_eq!(set.missing(9, 8), [0, 2, 6, 7]);
        assert_eq!(set.missing(0, 8), [0; 0]);
        assert_eq!(set.missing(5, 2), [0]);
        assert_eq!(Indexes::default().missing(2, 10), [0, 1]);
        assert_eq!(Indexes::parse("0-9", 10).missing(2, 10), [0; 0]);
    }
}
