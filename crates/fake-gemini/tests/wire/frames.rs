//! The frame that each surface puts around an error.

use crate::support::{KEY, chat, contents, gemini, native};
use fake_gemini::Reply;
use fake_gemini::errors::{self, ApiError};
use std::time::Duration;

/// The compatible surface's frame around a 429, to the byte.
const ARRAY: &str = "[{\n  \"error\": {\n    \"code\": 429,\n    \"message\": \"Resource has been exhausted (e.g. check quota).\",\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}\n]\n";

#[tokio::test]
async fn the_compatible_surface_sends_an_array_of_one() {
    for more in ["", r#","stream":true"#] {
        let gemini = gemini().await;
        gemini.script(KEY, Reply::error(errors::resource_exhausted()));
        let response = chat(&gemini, more).await;
        assert_eq!((response.status(), response.text()), (429, ARRAY));
        let head = &response.head;
        assert_eq!(
            head.get("content-type"),
            Some("application/json; charset=UTF-8")
        );
        assert_eq!(head.get("retry-after"), None);
        let length = ARRAY.len().to_string();
        assert_eq!(head.get("content-length"), Some(length.as_str()));
    }
}

#[tokio::test]
async fn the_native_surface_sends_the_object_whatever_the_header_says() {
    let object = ARRAY
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix("]\n"))
        .unwrap();
    for (path, content_type) in [
        (
            "models/gemini-2.5-flash:generateContent",
            "application/json; charset=UTF-8",
        ),
        (
            "models/gemini-2.5-flash:streamGenerateContent",
            "application/json; charset=UTF-8",
        ),
        (
            "models/gemini-2.5-flash:streamGenerateContent?alt=sse",
            "text/event-stream",
        ),
    ] {
        let gemini = gemini().await;
        gemini.script(KEY, Reply::error(errors::resource_exhausted()));
        let response = native(&gemini, path, &contents()).await;
        assert_eq!((response.status(), response.text()), (429, object));
        assert_eq!(response.head.get("content-type"), Some(content_type));
    }
}

#[tokio::test]
async fn details_are_indented_level_by_level() {
    let gemini = gemini().await;
    let error = errors::quota_per_minute("m", 15, Duration::from_secs(47));
    gemini.script(KEY, Reply::error(error.clone()));
    let response = chat(&gemini, "").await;
    let end = r#"            "quotaDimensions": {
              "location": "global",
              "model": "m"
            },
            "quotaValue": "15"
          }
        ]
      },
      {
        "@type": "type.googleapis.com/google.rpc.RetryInfo",
        "retryDelay": "47s"
      }
    ]
  }
}
]
"#;
    assert!(response.text().ends_with(end), "{}", response.text());
    let compact: serde_json::Value = serde_json::from_str(&error.compact()).unwrap();
    assert_eq!(response.json()[0], compact);
}

#[tokio::test]
async fn an_error_of_ones_own_is_framed_like_the_others() {
    let gemini = gemini().await;
    for (code, status) in [(418, 418), (0, 500), (101, 500), (1000, 500)] {
        gemini.script(KEY, Reply::error(ApiError::new(code, "ODD", "odd")));
        let response = chat(&gemini, "").await;
        assert_eq!(response.status(), status, "{code}");
        assert_eq!(response.json()[0]["error"]["code"], code);
    }
}
