#!/usr/bin/env bash
# openai 6.49.0 (npm) sleeps for as long as `Retry-After` says, without a bound.
#
# Expected: a wait of more than a minute is not made within a call: the 429 is raised, as the Python SDK does beyond
#           two minutes, or the SDK's own back-off is used.
# Seen:     `Retry-After: 64729`, the rest of a day, starts a timer of 64,729 seconds, twice in one call, although the
#           time-out of the client is 10 minutes. Nothing is reported meanwhile.
source "$(dirname "$0")/lib/setup.sh"
npm_install openai@6.49.0
cat > run.mjs <<'EOF'
import OpenAI from 'openai';
import { check, done, error, json, serve } from './fake.mjs';

const server = await serve();
const client = new OpenAI({ apiKey: 'x', baseURL: server.url });
server.reply = json({ error: { message: 'come back tomorrow' } }, 429, { 'retry-after': '64729' });

// Long timers fire at once, and are noted.
const waits = [];
const setTimer = globalThis.setTimeout;
globalThis.setTimeout = (run, ms, ...rest) => {
  if (ms > 600_000) waits.push(ms / 1000);
  return setTimer(run, ms > 600_000 ? 0 : ms, ...rest);
};
const call = () => client.chat.completions.create({ model: 'm', messages: [] });
check('error in the end', await error(call), 'RateLimitError: 429 come back tomorrow');
check('seconds slept', waits, [64729, 64729]);
done();
EOF
run node run.mjs
