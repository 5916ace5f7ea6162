//! Gemini Keypool: a Spin component between OpenAI-style clients and Google's Gemini API that spreads calls over a pool
//! of API keys.

pub mod config;
pub mod gemini;
pub mod openai;
pub mod origin;
pub mod pool;
pub mod redact;
pub mod store;
