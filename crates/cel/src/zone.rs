//! Time zones by their names.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The zones that this program was built with; the database reads each of them once.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone the IANA's database calls exactly `name`: as the system's files have it, or, where it has none, as this
/// program was built with it. A container of the program alone has no such files.
pub fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).or_else(|_| BUNDLED.get(name)).ok()?;
    // Both compare without regard to case, but names are those of files.
    (!zone.is_unknown() && zone.iana_name() == Some(name)).then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_known_by_their_names_alone() {
        for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
            assert!(zone(name).is_some(), "{name}");
        }
        for name in [
            "",
            "Moon/Crater",
            "europe/berlin",
            "Local",
            "Etc/Unknown",
            "../etc/passwd",
            "/etc/passwd",
        ] {
            assert!(zone(name).is_none(), "{name}");
        }
    }

    #[test]
    fn zones_need_no_files() {
        let at = jiff::Timestamp::from_second(1_783_000_000).unwrap();
        for name in ["Europe/Berlin", "America/New_York", "Asia/Kolkata"] {
            let zone = BUNDLED.get(name).unwrap();
            let hours = f64::from(zone.to_offset(at).seconds()) / 3600.0;
            let expected = match name {
                "Europe/Berlin" => 2.0,
                "America/New_York" => -4.0,
                _ => 5.5,
            };
            assert!((hours - expected).abs() < 1e-9, "{name} {hours}");
        }
    }
}
