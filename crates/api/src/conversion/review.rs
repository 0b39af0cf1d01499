//! Conversion as a webhook: what an HTTP server answers to a `ConversionReview` of `apiextensions.k8s.io/v1`.

use serde_json::{Value, json};

use super::convert;

const API_VERSION: &str = "apiextensions.k8s.io/v1";
const KIND: &str = "ConversionReview";

/// The answer to `review`. One object that cannot be converted fails all, as the API server asks for.
#[must_use]
pub fn review(mut review: Value) -> Value {
    let request = review["request"].take();
    let answered = if review["apiVersion"] == API_VERSION && review["kind"] == KIND {
        convert_all(&request)
    } else {
        Err(format!("a {KIND} of {API_VERSION} was expected"))
    };
    let response = match answered {
        Ok(objects) => json!({"convertedObjects": objects, "result": {"status": "Success"}}),
        Err(message) => json!({"result": {"status": "Failure", "message": message}}),
    };
    let mut answer = json!({"apiVersion": API_VERSION, "kind": KIND, "response": response});
    answer["response"]["uid"] = request["uid"].clone();
    answer
}

fn convert_all(request: &Value) -> Result<Vec<Value>, String> {
    let Some(wanted) = request["desiredAPIVersion"].as_str() else {
        return Err("request.desiredAPIVersion must say the version that is wanted".into());
    };
    let Some(objects) = request["objects"].as_array() else {
        return Err("request.objects must be the list of objects to convert".into());
    };
    let convert = |object: &Value| {
        let name = |field: &str| {
            object["metadata"][field]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        convert(object.clone(), wanted)
            .map_err(|error| format!("{}/{}: {error}", name("namespace"), name("name")))
    };
    objects.iter().map(convert).collect()
}
