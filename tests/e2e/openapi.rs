//! The admin API under Schemathesis, which generates requests from its description in OpenAPI.

use crate::clients::python;
use crate::support::Setup;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// An operator's token.
const ADMIN: &str = "fake-admin-token-0001";

#[tokio::test]
async fn the_admin_api_is_as_its_description_says() {
    let app = Setup::keys(3)
        .variable("admin_token", ADMIN)
        .variable("max_attempts", "1")
        .start()
        .await;
    app.assert_ready().await;
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis.toml");
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(python())
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(settings)
        .arg("run")
        .arg(format!("{}/admin/api/v1/openapi.json", app.origin()))
        .args(["--header", &format!("Authorization: Bearer {ADMIN}")])
        .args(["--phases", "examples,coverage,fuzzing"])
        // The pool answers a 429 after some calls without a token; other tests have them.
        .args(["--exclude-checks", "ignored_auth,missing_required_header"])
        .args(["--max-examples", "20", "--seed", "1", "--no-color"])
        .args(["--continue-on-failure", "--warnings", "off"])
        // Its caches stay out of the repository.
        .current_dir(folder.path())
        .env_clear()
        .output();
    let output = tokio::time::timeout(Duration::from_secs(180), run).await;
    let output = output.expect("Schemathesis ends").unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(app.client.get("/healthz").send().await.status, 200);
}
