#!/usr/bin/env bash
# @google/genai 2.32.0 (npm) loses an event that has an `event:` line before its `data:` line.
#
# Expected: `event: message`, the default type, changes nothing; or an error, as in the Python SDK.
# Seen:     the event's text is missing from the answer. There is no error. Lines after a `data:` line of the same event
#           are taken for its JSON, too: an event in two `data:` lines is a SyntaxError.
source "$(dirname "$0")/lib/setup.sh"
npm_install @google/genai@2.32.0
cat > run.mjs <<'EOF'
import { GoogleGenAI } from '@google/genai';
import { candidate, check, done, error, event, serve, stream } from './fake.mjs';

const server = await serve();
const client = new GoogleGenAI({ apiKey: 'AIzaFAKE-1', httpOptions: { baseUrl: server.url } });
const answer = async (body) => {
  server.reply = stream(body);
  const texts = [];
  for await (const part of await client.models.generateContentStream({ model: 'gemini-x', contents: 'Hello' })) texts.push(part.text);
  return texts;
};
const first = event(candidate('Good'));
const last = event(candidate(' day', 'STOP'));
check('data lines alone', await answer(first + last), ['Good', ' day']);
check('a comment', await answer(first + ': ping\n\n' + last), ['Good', ' day']);
check('an event line', await answer(first + 'event: message\n' + last), ['Good']);
const [before, after] = last.trimEnd().split(':{');
const twoLines = await error(() => answer(`${before}:\ndata: {${last.trimEnd().slice(before.length + 2)}\n\n`));
check('two data lines', twoLines.split(':')[0], 'SyntaxError');
done();
EOF
run node run.mjs
