//! Images that are not there, by their names.

/// Tags under which nobody keeps an image.
const ABSENT_TAGS: [&str; 3] = ["404", "non-existent", "nonexistent"];
/// Hosts at which no registry is.
const ABSENT_HOST: &str = "invalid.";

/// Why the image cannot be pulled, if its name says that there is none.
pub(super) fn absent(image: &str) -> Option<String> {
    let last = image.rsplit('/').next().unwrap_or_default();
    let tag = last.split_once(':').map(|(_, tag)| tag).unwrap_or_default();
    let is_absent = ABSENT_TAGS.contains(&tag) || image.starts_with(ABSENT_HOST);
    is_absent.then(|| {
        format!("failed to resolve reference {image:?}: {image}: not found (no simulated image has this name)")
    })
}

#[cfg(test)]
mod tests {
    use super::absent;

    #[test]
    fn images_that_nobody_has() {
        for (image, expected) in [
            ("webserver:404", true),
            ("foo:non-existent", true),
            ("registry:5000/team/foo:non-existent", true),
            ("invalid.registry.k8s.io/invalid/alpine:3.1", true),
            ("nginx", false),
            ("registry:404/nginx", false),
            ("nginx:4.0.4", false),
        ] {
            assert_eq!(absent(image).is_some(), expected, "{image}");
        }
    }
}
