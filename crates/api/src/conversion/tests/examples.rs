//! An example of each kind: v1beta1 as people write it, v1beta2 as it is stored, and v1beta1 again, unchanged.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::conversion::{KINDS, convert, lost};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conversion/tests/examples")
}

#[test]
fn examples_are_stored_as_checked_in_and_come_back_unchanged() {
    for kind in KINDS {
        let name = kind.kind.to_lowercase();
        let text = std::fs::read_to_string(folder().join(format!("{name}.v1beta1.yaml"))).unwrap();
        let old: Value = serde_saphyr::from_str(&text).unwrap();
        let new = convert(old.clone(), &format!("{}/v1beta2", kind.group)).unwrap();
        expect_test::expect_file![folder().join(format!("{name}.v1beta2.yaml"))]
            .assert_eq(&serde_saphyr::to_string(&new).unwrap());
        let back = convert(new, &format!("{}/v1beta1", kind.group)).unwrap();
        assert_eq!(
            back,
            old,
            "{name}\n{}",
            serde_saphyr::to_string(&back).unwrap()
        );
        assert!(lost(&old).is_empty(), "{name}: {:?}", lost(&old));
    }
}
