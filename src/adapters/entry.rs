//! The entry point: what an instance sets up once, and how each request enters the gateway.
//!
//! The host sends an instance many requests, several at a time, and may drop it between any two. So
//! the setup (the variables, a connection, a check of the schema) lasts for the instance's life,
//! and every fact stays in the database.

use super::http::{HostUpstream, IncomingBody, head_of, respond};
use super::notify;
use super::sqlite::{HostConnector, HostDatabase};
use super::system::HostSystem;
use crate::config::{Config, InvalidConfig, LogFormat, VARIABLES};
use crate::gateway::ports::System;
use crate::gateway::{self, Gateway};
use crate::store::{self, DatabaseError, KeyVault, SettingUp};
use crate::sync::{Flight, SingleFlight};
use spin_sdk::variables;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use std::collections::HashMap;
use std::rc::Rc;

type HostGateway = Gateway<HostDatabase, HostUpstream, HostSystem>;

thread_local! {
    static GATEWAY: Rc<SingleFlight<HostGateway>> = Rc::default();
    /// A gateway without the database, for requests that need none.
    static WITHOUT_DATABASE: Rc<SingleFlight<HostGateway>> = Rc::default();
}

struct Component;

spin_sdk::wasip3::http::service::export!(Component);

// As `#[http_service]` generates it, except for its conversion of the request.
impl Guest for Component {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let head = head_of(&request)?;
        // Liveness does not depend on the database, which may be migrating for a while.
        let gateway = if gateway::needs_database(&head) {
            gateway().await
        } else {
            without_database().await
        };
        let body = IncomingBody::of_request(request, &head.headers);
        respond(gateway.handle(head, body).await).await
    }
}

/// The instance's gateway, set up by the first of the requests that an instance starts with.
/// Without a database it is not cached, so that the next request tries again.
async fn gateway() -> Rc<HostGateway> {
    let once = GATEWAY.with(Rc::clone);
    once.get(notify::new, async || {
        let config = read_config().await;
        for warning in config.iter().flat_map(Config::warnings) {
            HostSystem.log(warning);
        }
        let database = open_database(&config).await;
        let is_ready = database.is_ok();
        let gateway = Gateway::new(config, database, HostUpstream, HostSystem, notify::new);
        match is_ready {
            true => Flight::Cache(Rc::new(gateway)),
            false => Flight::Share(Rc::new(gateway)),
        }
    })
    .await
}

async fn without_database() -> Rc<HostGateway> {
    let once = WITHOUT_DATABASE.with(Rc::clone);
    once.get(notify::new, async || {
        let config = read_config().await;
        let none = Err(DatabaseError::new("it is not opened for this request"));
        let gateway = Gateway::new(config, none, HostUpstream, HostSystem, notify::new);
        Flight::Cache(Rc::new(gateway))
    })
    .await
}

async fn open_database(config: &Result<Config, InvalidConfig>) -> store::Result<Rc<HostDatabase>> {
    let database = Rc::new(HostDatabase::open(HostConnector, notify::new).await?);
    let setting_up = SettingUp(Rc::clone(&database));
    store::migrate(&setting_up).await?;
    if let Ok(config) = config {
        let vault = KeyVault::new(&config.encryption);
        let new_nonce = || HostSystem.new_nonce();
        let (keys, now) = (&config.import_keys, HostSystem.now());
        store::import_keys(&setting_up, &vault, keys, new_nonce, now).await?;
    }
    Ok(database)
}

async fn read_config() -> Result<Config, InvalidConfig> {
    let mut values = HashMap::new();
    let mut unreadable = Vec::new();
    for name in VARIABLES {
        match variables::get(name).await {
            Ok(value) => {
                values.insert(name, value);
            }
            Err(variables::Error::Undefined(_)) => {}
            Err(_) => unreadable.push(name),
        }
    }
    if !unreadable.is_empty() {
        return Err(InvalidConfig::unreadable(&unreadable));
    }
    let get = |name: &str| values.get(name).cloned();
    HostSystem.set_log_format(LogFormat::of_variables(get));
    Config::from_variables(get)
}
