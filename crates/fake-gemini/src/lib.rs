//! A stand-in for Google's Gemini API that tests script, and that a person can run.
//!
//! It listens on this machine and sends what Google sends: the framing of streams, the errors in their arrays, gzip,
//! the headers that are there and those that are missing. A client that copes with this copes with Google, as far as
//! public recordings go.
//!
//! ```
//! use fake_gemini::{Break, Ended, FakeGemini, Reply, errors};
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
//! // KEY_A is over its quota once, then breaks off a stream, then answers as usual.
//! let over = errors::quota_per_minute("gemini-flash-latest", 15, Duration::from_secs(47));
//! gemini.script(KEY_A, Reply::error(over));
//! gemini.script(KEY_A, Reply::events(5).break_after(3, Break::Reset));
//!
//! // KEY_B sends event after event, as the test lets it.
//! let (reply, steps) = Reply::stepped(50);
//! gemini.script(KEY_B, reply);
//! steps.release(1);
//!
//! println!("base_url = {}/v1beta/openai/", gemini.origin());
//! # if false {
//! gemini.wait_until(|calls| calls.iter().any(|call| call.ended == Ended::ClientGone)).await;
//! # }
//! # gemini.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is answered
//!
//! | first that fits | answer |
//! |---|---|
//! | no such path, or not with that method | 404 without a body |
//! | no credential, several, or one in the wrong place | 400, 401 or 403 of the surface |
//! | the request is in order, and a reply is scripted for the key, or for any registered key | that reply |
//! | the key is not registered, or its [`Condition`] is not `Valid` | the error that belongs to it |
//! | the request is not in order | 400; it uses up quota |
//! | the model does not exist, cannot do that, or is retired for the project | 404 |
//! | a file or a cache that the request names is not there, or another project's | 403 |
//! | the prompt is longer than the model takes | 400; it uses up quota |
//! | the project's [`Quota`] for the model is used up | 429 |
//! | anything else | the default reply: words, a call of a tool, or JSON, as the request asks for |
//!
//! A request to Gemini 3, or to a newer model, is not in order either when the first tool call of a step has come back
//! without its thought signature, or with one that the fake has not given.
//!
//! Files, caches, batches, videos that are made and tuned models belong to the project of the key that made them; to
//! all others they are not there. Batches and videos stay pending until [`FakeGemini::finish`].
//!
//! Not there yet are uploads by `?uploadType=resumable`, which older clients of Google's use, batches of embeddings,
//! and tuning itself: they are refused, or answered 404 like any path that nothing serves.
//!
//! # Modules
//!
//! | module | what it knows |
//! |---|---|
//! | `fake`, `service` | the handle that tests hold; one call from arrival to answer |
//! | `reply`, `answer`, `gate` | what a script can say |
//! | `improvise`, `example` | what is said without one; values that fit a schema |
//! | [`errors`], `keys`, `quota`, `models` | Google's side: errors, keys, limits, models |
//! | `resources`, `signatures` | what projects own; the thought signatures that they got |
//! | `surface`, `credential`, `json` | the wire of each API |
//! | `play`, `server` | bodies, event by event; connections, and breaking them |
//! | `log`, `clock`, `ids`, `hash` | what was seen; what time it is; made-up ids; hashes |

mod answer;
mod clock;
mod credential;
pub mod errors;
mod example;
mod fake;
mod gate;
mod hash;
mod ids;
mod improvise;
mod json;
mod keys;
mod log;
mod models;
mod play;
mod quota;
mod reply;
mod resources;
mod server;
mod service;
mod signatures;
mod surface;

pub use answer::{Answer, CallIndex, Finish, ToolCall};
pub use clock::{Clock, ManualClock};
pub use credential::{Credential, Place};
pub use fake::{Builder, FakeGemini};
pub use gate::{Gate, Steps};
pub use keys::{Condition, UnknownCondition};
pub use log::{Call, Connections, Ended};
pub use models::{Kind, Model};
pub use quota::Quota;
pub use reply::{Break, Framing, MidStream, Reply};
pub use surface::{Act, Operation, Surface};
