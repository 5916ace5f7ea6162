//! `--runtime-config-file`: the supported part of Spin's runtime configuration.
//!
//! ```toml
//! [outbound_http]
//! connection_pooling = false
//! max_connections = 100
//!
//! [[client_tls]]
//! component_ids = ["gemini-keypool"]
//! hosts = ["localhost"]
//! ca_roots_file = "ca.pem"
//! ```
//!
//! Everything else is rejected with the advice to use Spin, rather than silently ignored. Messages
//! never quote the file, which may contain a token.

use anyhow::{Context, Result, anyhow, bail, ensure};
use http::uri::Authority;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Settings of the HTTP client.
#[derive(Debug)]
pub(crate) struct RuntimeConfig {
    /// Whether connections are kept alive and shared.
    pub(crate) connection_pooling: bool,
    /// The maximum of open connections, idle ones included.
    pub(crate) max_connections: Option<usize>,
    /// Trusted certificate authorities.
    pub(crate) tls: ClientTls,
}

/// TLS towards upstreams.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    default: Arc<ClientConfig>,
    hosts: HashMap<String, Arc<ClientConfig>>,
}

impl ClientTls {
    /// The configuration for a host.
    pub(crate) fn config_for(&self, host: &str) -> Arc<ClientConfig> {
        Arc::clone(self.hosts.get(host).unwrap_or(&self.default))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutboundHttp {
    /// As with Spin, false if the table does not set it.
    #[serde(default)]
    connection_pooling: bool,
    max_connections: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientTlsEntry {
    component_ids: Vec<String>,
    hosts: Vec<String>,
    ca_use_platform_roots: Option<bool>,
    ca_use_webpki_roots: Option<bool>,
    ca_roots_file: Option<PathBuf>,
}

impl RuntimeConfig {
    /// Spin's defaults.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn default_of_spin() -> Result<Self> {
        let roots = Roots {
            platform: true,
            webpki: true,
            own: Vec::new(),
        };
        Ok(Self {
            connection_pooling: true,
            max_connections: None,
            tls: ClientTls {
                default: roots.client_config()?,
                hosts: HashMap::new(),
            },
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Names the file or setting that cannot be read or is not supported.
    pub(crate) fn load(path: &Path, component_id: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the runtime configuration {}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, component_id).with_context(|| path.display().to_string())
    }

    fn parse(text: &str, folder: &Path, component_id: &str) -> Result<Self> {
        let mut config = Self::default_of_spin()?;
        let table: toml::Table = toml::from_str(text).map_err(|error| {
            let before = text.get(..error.span().unwrap_or_default().start);
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            anyhow!("line {line}: {}", error.message())
        })?;
        for (name, value) in table {
            match name.as_str() {
                "outbound_http" => {
                    let outbound: OutboundHttp = supported("[outbound_http]", value)?;
                    config.connection_pooling = outbound.connection_pooling;
                    config.max_connections = outbound.max_connections;
                }
                "client_tls" => {
                    let entries: Vec<ClientTlsEntry> = supported("[[client_tls]]", value)?;
                    for entry in entries {
                        entry
                            .add_to(&mut config.tls, folder, component_id)
                            .context("[[client_tls]]")?;
                    }
                }
                _ => bail!(
                    "this host supports [outbound_http] and [[client_tls]], but not {name:?}; use \
                     `spin up`"
                ),
            }
        }
        Ok(config)
    }
}

fn supported<T: DeserializeOwned>(table: &str, value: toml::Value) -> Result<T> {
    value.try_into().map_err(|error: toml::de::Error| {
        anyhow!("{table}: {}; `spin up` may support it", error.message())
    })
}

impl ClientTlsEntry {
    fn add_to(self, tls: &mut ClientTls, folder: &Path, component_id: &str) -> Result<()> {
        ensure!(!self.component_ids.is_empty(), "component_ids is empty");
        ensure!(!self.hosts.is_empty(), "hosts is empty");
        for host in &self.hosts {
            let is_host = host
                .parse::<Authority>()
                .is_ok_and(|authority| authority.port().is_none() && authority.host() == host);
            ensure!(is_host, "{host:?} in hosts must be a host without a port");
        }
        let roots = Roots {
            // As with Spin, platform roots are on if no root is set.
            platform: self
                .ca_use_platform_roots
                .unwrap_or(self.ca_use_webpki_roots.is_none() && self.ca_roots_file.is_none()),
            webpki: self.ca_use_webpki_roots.unwrap_or(false),
            own: match &self.ca_roots_file {
                Some(file) => certificates(&folder.join(file))?,
                None => Vec::new(),
            },
        };
        let client_config = roots.client_config()?;
        if self.component_ids.iter().any(|id| id == component_id) {
            for host in self.hosts {
                // As with Spin, the first entry for a host wins.
                tls.hosts
                    .entry(host)
                    .or_insert_with(|| Arc::clone(&client_config));
            }
        }
        Ok(())
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read ca_roots_file {}", file.display()))?;
    ensure!(
        !certificates.is_empty(),
        "ca_roots_file {} contains no PEM certificate",
        file.display()
    );
    Ok(certificates)
}

/// The trusted certificate authorities.
struct Roots {
    platform: bool,
    webpki: bool,
    own: Vec<CertificateDer<'static>>,
}

impl Roots {
    fn client_config(self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        for certificate in self.own {
            roots
                .add(certificate)
                .context("a certificate in ca_roots_file is unusable")?;
        }
        if self.platform {
            // Unusable certificates are skipped; a machine may have none.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        if self.webpki {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        ensure!(
            !roots.is_empty(),
            "no certificate authority is trusted; set ca_use_webpki_roots = true or a ca_roots_file"
        );
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_error, temp_file};

    const ID: &str = "the-one";

    fn parse(text: &str) -> Result<RuntimeConfig> {
        RuntimeConfig::parse(text, Path::new("no/such/folder"), ID)
    }

    #[test]
    fn pooling_is_on_without_the_table() {
        for (text, pooling, max) in [
            ("", true, None),
            ("[outbound_http]", false, None),
            (
                "[outbound_http]\nconnection_pooling = true\nmax_connections = 7",
                true,
                Some(7),
            ),
            ("[outbound_http]\nconnection_pooling = false", false, None),
        ] {
            let config = parse(text).unwrap();
            assert_eq!(config.connection_pooling, pooling, "{text}");
            assert_eq!(config.max_connections, max, "{text}");
        }
    }

    #[test]
    fn first_entry_for_a_host_wins() {
        let config = parse(
            "[[client_tls]]\ncomponent_ids = [\"other\"]\nhosts = [\"a.test\"]\n\
             ca_use_webpki_roots = true\n\
             [[client_tls]]\ncomponent_ids = [\"other\", \"the-one\"]\nhosts = [\"b.test\"]\n\
             ca_use_webpki_roots = true\n\
             [[client_tls]]\ncomponent_ids = [\"the-one\"]\nhosts = [\"b.test\", \"c.test\"]\n\
             ca_use_webpki_roots = true",
        )
        .unwrap();
        let tls = config.tls;
        assert!(Arc::ptr_eq(&tls.config_for("a.test"), &tls.default));
        assert!(!Arc::ptr_eq(&tls.config_for("b.test"), &tls.default));
        assert!(!Arc::ptr_eq(
            &tls.config_for("b.test"),
            &tls.config_for("c.test")
        ));
    }

    #[test]
    fn errors_name_the_setting_and_quote_no_value() {
        let tls = "[[client_tls]]\ncomponent_ids = [\"the-one\"]\nhosts = [\"a.test\"]\n";
        for (text, expected) in [
            (
                "[sqlite_database.default]\ntoken = \"s3cret\"".to_owned(),
                "not \"sqlite_database\"; use `spin up`",
            ),
            ("a = 1\ntoken = \"s3cret".to_owned(), "line 2: "),
            (
                "[outbound_http]\nmax_concurrent_requests = 1".to_owned(),
                "unknown field `max_concurrent_requests`",
            ),
            (
                format!("{tls}client_cert_file = \"s3cret\""),
                "unknown field `client_cert_file`",
            ),
            (
                format!("{tls}ca_roots_file = \"ca.pem\""),
                "no/such/folder/ca.pem",
            ),
            (
                format!("{tls}ca_use_webpki_roots = false"),
                "no certificate authority",
            ),
            (tls.replace("a.test", "a.test:443"), "without a port"),
            (tls.replace("\"a.test\"", ""), "hosts is empty"),
            (tls.replace("\"the-one\"", ""), "component_ids is empty"),
        ] {
            assert_error(parse(&text), &[expected]);
        }
    }

    #[test]
    fn file_without_certificates_is_named() {
        let (_folder, path) = temp_file("ca.pem", "not PEM");
        let read = certificates(&path);
        assert_error(read, &["ca.pem", "contains no PEM certificate"]);
    }
}
