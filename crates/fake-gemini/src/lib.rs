//! A fake of Google's Gemini API that tests script and that a person can run.
//!
//! It listens on this machine and sends what Google sends: the framing of streams, errors in their
//! arrays, gzip, and the recorded headers only. It is as unfriendly as Google, too: it refuses
//! unknown fields, lost thought signatures and misplaced credentials.
//!
//! ```
//! use fake_gemini::{Break, FakeGemini, Reply, errors};
//! use std::time::Duration;
//!
//! const KEY_A: &str = "AIzaFAKE-first-key-000000000000000000001";
//! const KEY_B: &str = "AIzaFAKE-second-key-00000000000000000002";
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let gemini = FakeGemini::builder()
//!     .key(KEY_A)
//!     .key_of_project(KEY_B, "projects/000000000002")
//!     .start()
//!     .await?;
//!
//! // KEY_A exceeds its quota once, then breaks off a stream, then answers as usual.
//! let exceeded = errors::quota_per_minute("gemini-flash-latest", 15, Duration::from_secs(47));
//! gemini.script(KEY_A, Reply::error(exceeded));
//! gemini.script(KEY_A, Reply::events(5).break_after(3, Break::Reset));
//!
//! // KEY_B sends an event each time the test releases one.
//! let (reply, steps) = Reply::stepped(50);
//! gemini.script(KEY_B, reply);
//! steps.release(1);
//!
//! println!("base_url = {}/v1beta/openai/", gemini.origin());
//! # gemini.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a call is answered
//!
//! | first match | answer |
//! |---|---|
//! | nothing serves the path or the method | 404 without a body |
//! | no credential, several, or one in the wrong place | 400, 401 or 403 of the surface |
//! | the request is valid, and a reply is scripted for the key or for any registered key | that |
//! | the key is not registered, or its [`Condition`] is not `Valid` | the error for it |
//! | the request is not JSON, or has unknown fields or values of another shape | 400 |
//! | the model does not exist or cannot do that | 404 |
//! | the request is not valid | 400 |
//! | a file or a cache that the request names is missing or another project's | 403 |
//! | the project's [`Quota`] for the model is exhausted | 429 |
//! | anything else | the default reply |
//!
//! # Modules
//!
//! Each module uses only those above it.
//!
//! | module | what it holds |
//! |---|---|
//! | `json`, `ids`, `clock`, `models` | styles of JSON, made-up ids, the time, the models |
//! | [`errors`] | Google's errors |
//! | `api`, `route` | surfaces and operations; from a path to an operation |
//! | `turn`, `answer`, `reply` | conversations, what a model says, what a script says |
//! | `credential`, `keys`, `quota`, `signatures` | what Google checks |
//! | `resources` | files, caches, batches and videos |
//! | `request`, `encode` | reading requests and writing responses on both surfaces |
//! | `log`, `connection` | what was seen; sockets that can be reset |
//! | `output` | bodies, event by event |
//! | `sample`, `improvise` | tool calls and JSON for requests that ask for them |
//! | `plan` | conversations with agents |
//! | `service`, `server`, `fake` | a call, the connections, and the handle that tests hold |

mod answer;
mod api;
mod clock;
mod connection;
mod credential;
mod encode;
pub mod errors;
mod fake;
mod ids;
mod improvise;
mod json;
mod keys;
mod log;
mod models;
mod output;
mod plan;
mod quota;
mod reply;
mod request;
mod resources;
mod route;
mod sample;
mod server;
mod service;
mod signatures;
mod turn;

pub use answer::{Answer, Finish, Source, ToolCall};
pub use api::{Operation, Surface};
pub use clock::{Clock, ManualClock};
pub use credential::{Credential, Place};
pub use fake::{Builder, FakeGemini};
pub use keys::Condition;
pub use log::{Call, Ended};
pub use plan::Plan;
pub use quota::Quota;
pub use reply::{Break, Framing, MidStream, Reply, Steps};
